//! `unmapped`: asks the running bridge whom messages name that is no device and nobody listed. With `--watch`, lifting a
//! handset shows which line is missing.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::status::{Place, first_answer};
use super::{block_on, finish};
use crate::admin::Address;
use crate::bridge::unmapped::escaped;

/// A handset is lifted and put down again in a second or two.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A bridge that is restarted is back after this many looks; longer, and somebody should know.
const PATIENCE: u32 = 60;

/// Options of `unmapped`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Go on, and show each as it is heard from now on, until interrupted.
    #[arg(long)]
    watch: bool,
    /// As the bridge says it; with --watch one object a line.
    #[arg(long)]
    json: bool,
}

/// Prints them, the newest last; exit code 1 if no bridge answers.
#[must_use]
pub fn unmapped(args: &Args) -> ExitCode {
    finish(block_on(run(args)).and_then(|result| result))
}

async fn run(args: &Args) -> Result<(), String> {
    let addresses = args.place.addresses()?;
    let answer = ask(&addresses).await?;
    match (args.watch, args.json) {
        (true, json) => watch(&addresses, &answer, json).await,
        (false, true) => {
            say!("{answer:#}");
            Ok(())
        }
        (false, false) => {
            say!("{}", list(&answer));
            Ok(())
        }
    }
}

async fn ask(addresses: &[Address]) -> Result<Value, String> {
    let (code, body) = first_answer(addresses, "/unmapped").await?;
    match serde_json::from_str(&body) {
        Ok(answer) if code == 200 => Ok(answer),
        _ => Err(body.trim().to_owned()),
    }
}

/// Shows what is heard after `before`.
async fn watch(addresses: &[Address], before: &Value, json: bool) -> Result<(), String> {
    let mut known: HashMap<String, u64> = entries(before).map(heard).collect();
    if !json {
        say!("{} unmapped so far; waiting for more. Lift a handset.", known.len());
    }
    let mut in_vain = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let answer = match ask(addresses).await {
            Ok(answer) => answer,
            Err(error) if in_vain == PATIENCE => return Err(error),
            Err(_) => {
                in_vain += 1;
                continue;
            }
        };
        in_vain = 0;
        for entry in entries(&answer).filter(|entry| is_news(&known, entry)) {
            match json {
                true => say!("{entry}"),
                false => say!("\n{}", words(entry)),
            }
        }
        known = entries(&answer).map(heard).collect(); // what the bridge forgot is news when it comes back
    }
}

/// The oldest first, so that the newest stands where one looks.
fn entries(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["unmapped"].as_array().into_iter().flatten().rev()
}

/// What tells an entry from others, and how often it was heard.
fn heard(entry: &Value) -> (String, u64) {
    let key = ["source", "topic", "found", "rule"].map(|part| entry[part].to_string()).join(" ");
    (key, entry["count"].as_u64().unwrap_or_default())
}

/// A count that went back is that of a bridge that began anew.
fn is_news(known: &HashMap<String, u64>, entry: &Value) -> bool {
    let (key, count) = heard(entry);
    known.get(&key) != Some(&count)
}

fn list(answer: &Value) -> String {
    let all: Vec<String> = entries(answer).map(words).collect();
    if all.is_empty() {
        return "nobody: whoever messages named since the bridge began is in [devices] or [users]".to_owned();
    }
    let forgotten = match answer["forgotten"].as_u64() {
        None | Some(0) => String::new(),
        Some(count) => format!("\n{count} more made room: the {} heard last are kept", answer["most"]),
    };
    format!("{}\n\n{} unmapped{forgotten}", all.join("\n\n"), all.len())
}

fn words(entry: &Value) -> String {
    let text = |key: &str| escaped(entry[key].as_str().unwrap_or("-").as_bytes());
    let count = entry["count"].as_u64().unwrap_or_default();
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    let replayed = if entry["retained"] == true { ", replayed by the broker" } else { "" };
    let source = entry["source"].as_str().map_or_else(String::new, |_| format!(" at {}", text("source")));
    let found = match &entry["subject"] {
        Value::Null => format!("{}, of which the rule's match or as takes nothing", text("found")),
        subject if *subject == entry["found"] => text("found"),
        _ => format!("{}, looked for as {}", text("found"), text("subject")),
    };
    let line = match entry["line"].as_str() {
        Some(line) => format!("write    {line}    in [devices], with a name from [users]"),
        None => "write    nothing in [devices] would do: see what the rule's subject leads to".to_owned(),
    };
    // Already escaped by the bridge, which has the bytes.
    let payload = entry["payload"].as_str().unwrap_or("-");
    let more = match entry["payload_cut"].as_bool() {
        Some(true) => format!(" … ({} bytes)", entry["payload_bytes"]),
        _ => String::new(),
    };
    [
        format!("{}, {times}{replayed}{source}", text("last")),
        format!("topic    {}", text("topic")),
        format!("payload  {payload}{more}"),
        format!("rule     {}", text("rule")),
        format!("subject  {found}"),
        line,
    ]
    .join("\n")
}
