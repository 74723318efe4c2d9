//! `status`: asks the running bridge how it is, or why somebody shows what they show.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::{ConfigArg, block_on, finish};
use crate::admin::{self, Address};
use crate::config::{AdminSection, Config};

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Why does this person show what they show? A name from [users] or the people file.
    user: Option<String>,
    /// As the bridge says it.
    #[arg(long)]
    json: bool,
}

/// Where the running bridge is.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    #[command(flatten)]
    config: ConfigArg,
    /// The bridge's socket, instead of the one that the configuration leads to.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Place {
    /// Its addresses; the first that answers is it.
    pub(super) fn addresses(&self) -> Result<Vec<Address>, String> {
        Ok(match &self.socket {
            Some(path) => vec![Address::Unix(path.clone())],
            None => addresses(&self.section()?),
        })
    }

    /// Tells the bridge something, through its socket alone, and what it says to it.
    pub(super) fn tell(&self, path: &str) -> Result<String, String> {
        let mut sockets = self.addresses()?;
        sockets.retain(|address| matches!(address, Address::Unix(_)));
        if sockets.is_empty() {
            return Err("[admin] has no socket, and through its port nothing can be changed: give it one".to_owned());
        }
        let (code, body) = block_on(first(&sockets, async |address| admin::tell(address, path).await))??;
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        match (code, &answer) {
            (200, answer) => Ok(text(answer, "said").to_owned()),
            (_, Value::Object(_)) => Err(text(&answer, "why").to_owned()),
            _ => Err(body.trim().to_owned()),
        }
    }

    /// Only of where the bridge may be asked: a configuration that is wrong by now is a good reason to ask.
    fn section(&self) -> Result<AdminSection, String> {
        let path = &self.config.config;
        let text = std::fs::read_to_string(path).map_err(|error| {
            format!("{}: {error}; name the file with --config, or the socket with --socket", path.display())
        })?;
        Ok(Config::admin_of(&text, path.parent().unwrap_or(std::path::Path::new("."))))
    }
}

/// Prints what the bridge says; exit code 1 if none answers or nobody of that name is listed.
#[must_use]
pub fn status(args: &Args) -> ExitCode {
    finish(ask(args).and_then(|(good, text)| {
        say!("{text}");
        if good { Ok(()) } else { Err("see above") }.map_err(str::to_owned)
    }))
}

fn ask(args: &Args) -> Result<(bool, String), String> {
    let addresses = args.place.addresses()?;
    let path = args.user.as_ref().map_or_else(|| "/status".to_owned(), |user| format!("/status/{user}"));
    let (code, body) = block_on(first_answer(&addresses, &path))??;
    let Ok(answer) = serde_json::from_str::<Value>(&body) else { return Err(body.trim().to_owned()) };
    let text = match (args.json, &args.user) {
        (true, _) => format!("{answer:#}"),
        (false, Some(_)) => person(&answer),
        (false, None) => overview(&answer),
    };
    Ok((code == 200, text))
}

/// Where the bridge of this configuration may be asked.
pub(super) fn addresses(section: &AdminSection) -> Vec<Address> {
    match section.sockets.is_empty() {
        false => section.sockets.iter().cloned().map(Address::Unix).collect(),
        true => section.listen.map(Address::Tcp).into_iter().collect(),
    }
}

/// Status and body, from the first that answers.
pub(super) async fn first_answer(addresses: &[Address], path: &str) -> Result<(u16, String), String> {
    first(addresses, async |address| admin::ask(address, path).await).await
}

async fn first(
    addresses: &[Address],
    ask: impl AsyncFn(&Address) -> Result<(u16, String), String>,
) -> Result<(u16, String), String> {
    let mut tried = Vec::new();
    for address in addresses {
        match ask(address).await {
            Ok(answer) => return Ok(answer),
            Err(error) => tried.push(format!("{address}: {error}")),
        }
    }
    let hint = "is the bridge running, with this configuration, and may this user open its socket (sudo)?";
    match tried.is_empty() {
        true => Err("[admin] has neither socket nor listen: the bridge can be asked nowhere".to_owned()),
        false => Err(format!("no bridge answers: {}; {hint}", tried.join("; "))),
    }
}

/// A name as one part of a path: a slash would part it.
pub(super) fn in_a_path(name: &str) -> String {
    name.replace('/', " ")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("-")
}

fn overview(answer: &Value) -> String {
    let lines = [
        format!(
            "presence-bridge {}, {}, since {}",
            text(answer, "version"),
            text(answer, "instance"),
            text(answer, "started")
        ),
        brokers(&answer["sources"]),
        format!("token    {}", token(&answer["token"])),
        format!("gate     {}", gate(&answer["gate"])),
        format!("budget   {}", budget(&answer["budget"])),
        format!("people   {}", people(&answer["people"])),
        format!("wanted   {}", counts(&answer["people"]["wanted"])),
    ];
    let mut lines = lines.to_vec();
    if let Some(credential) = credential(&answer["credential"]) {
        lines.insert(3, format!("login    {credential}"));
    }
    if let Some(behind) = answer["clock_behind_s"].as_i64().filter(|behind| behind.abs() > 60) {
        lines.push(format!("clock    {behind} s behind Graph's: set it"));
    }
    if let Some(unmapped) = answer["unmapped"].as_u64().filter(|count| *count > 0) {
        lines.push(format!("unmapped {unmapped} that messages name: see `presence-bridge unmapped`"));
    }
    lines.push(format!("alarms   {}", alarms(&answer["alarms"])));
    lines.join("\n")
}

/// One line each; their names where there are several.
fn brokers(sources: &Value) -> String {
    let sources = sources.as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |source: &Value| {
        let since = text(source, "since");
        let state = match text(source, "state") {
            "up" => format!("connected since {since}"),
            "deaf" => format!("CONNECTED, BUT NOTHING IS HEARD since {since}"),
            _ => format!("NOT CONNECTED since {since}"),
        };
        let name = if sources.len() > 1 { format!("{} ", text(source, "source")) } else { String::new() };
        format!("broker   {name}{}, {state}", text(source, "address"))
    };
    sources.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn token(token: &Value) -> String {
    let roles: Vec<&str> = token["roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match text(token, "state") {
        "good" => format!("good until {}, roles: {}", text(token, "expires"), roles.join(", ")),
        "none" => format!("NONE: {}: {}", text(token, "error"), text(token, "remedy")),
        state => state.to_owned(),
    }
}

/// Nothing where nobody knows when it ends.
fn credential(credential: &Value) -> Option<String> {
    let (kind, ends) = (credential["kind"].as_str()?, text(credential, "ends"));
    let Some(remedy) = credential["remedy"].as_str() else { return Some(format!("{kind}, good until {ends}")) };
    let warning = match credential["ended"].as_bool() {
        Some(true) => format!("ENDED at {ends}"),
        _ => format!("ENDS IN {} DAYS, at {ends}", credential["days"]),
    };
    Some(format!("{kind}, {warning}: {remedy}"))
}

fn gate(gate: &Value) -> String {
    match gate["open"].as_bool() {
        Some(true) => "open".to_owned(),
        _ => format!("SHUT until {}: nobody is called", text(gate, "until")),
    }
}

fn budget(budget: &Value) -> String {
    format!(
        "{} calls in the last 30 s; at most {}/s, {} at once",
        budget["calls_in_30_s"], budget["per_second"], budget["burst"]
    )
}

fn people(people: &Value) -> String {
    let mut line = format!(
        "{} listed: {} taken, {} free, {} unknown",
        people["listed"], people["taken"], people["free"], people["unknown"]
    );
    for (key, words) in [
        ("without_id", "without an object id yet"),
        ("leaving", "no longer listed and not yet cleared"),
        ("differing", "not yet as wanted at Graph"),
        ("overridden", "overridden by a choice or client of their own"),
        ("in_flight", "being called"),
    ] {
        if people[key].as_u64().is_some_and(|count| count > 0) {
            line += &format!("; {} {words}", people[key]);
        }
    }
    let waiting = counts(&people["waiting"]);
    if waiting != "-" {
        line += &format!("; waiting: {waiting}");
    }
    line
}

fn counts(counts: &Value) -> String {
    let counts = counts.as_object().into_iter().flatten().map(|(name, count)| format!("{name} {count}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    if counts.is_empty() { "-".to_owned() } else { counts }
}

fn alarms(alarms: &Value) -> String {
    let lines = alarms.as_array().into_iter().flatten().map(|alarm| {
        let about = alarm["about"].as_str().map_or_else(String::new, |about| format!(" {about}"));
        format!("\n  {}{about}: {}", text(alarm, "alarm"), text(alarm, "remedy"))
    });
    let lines: String = lines.collect();
    if lines.is_empty() { "none".to_owned() } else { lines }
}

fn person(answer: &Value) -> String {
    let Some(name) = answer["person"].as_str() else { return text(answer, "why").to_owned() };
    let mut lines = vec![
        format!("{name}: {}", text(answer, "why")),
        format!("wanted   {}", text(answer, "wanted")),
        format!(
            "held     {}{}",
            text(answer, "held"),
            answer["held_until"].as_str().map_or_else(String::new, |until| format!(", until {until} if not refreshed"))
        ),
    ];
    for share in answer["shares"].as_array().into_iter().flatten() {
        let end = share["until"].as_str().map_or_else(String::new, |until| format!(", until {until}"));
        lines.push(format!(
            "share    {}@{} ({}): {} since {}{end}",
            text(share, "signal"),
            text(share, "subject"),
            text(share, "device"),
            text(share, "level"),
            text(share, "since")
        ));
    }
    lines.push(format!("alarms   {}", alarms(&answer["alarms"])));
    lines.join("\n")
}
