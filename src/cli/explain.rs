//! `explain`: one message, and what the configuration makes of it: which rules take it, which do not and at which
//! condition, what was found where, whom it leads to, and what would be wanted then.

mod rules;
mod topic;
mod written;

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::rules::Names;
use self::written::written;
use super::ConfigArg;
use crate::clock::Clock;
use crate::config::Config;
use crate::presence::Timestamp;
use crate::presence::rule::LARGEST;
use crate::replay::line::{Message, check_topic};
use crate::replay::tell::{excerpt, words};
use crate::replay::{Event, What, World};

/// So much of a text is shown, characters.
const SHOWN: usize = 100;

/// Options of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The topic of the message
    #[arg(short, long, value_parser = topic_of)]
    topic: String,
    /// The payload of the message
    #[arg(short, long, required_unless_present = "payload_file", conflicts_with = "payload_file")]
    payload: Option<String>,
    /// A file with the payload; - for standard input
    #[arg(long, value_name = "FILE")]
    payload_file: Option<PathBuf>,
    /// As it is delivered right after subscribing, out of what the broker retains
    #[arg(long)]
    retain: bool,
    /// What the clock reads when it comes, as 2026-11-24T09:30:00Z; else now
    #[arg(long, value_name = "RFC3339", value_parser = super::replay::instant)]
    at: Option<Timestamp>,
}

fn topic_of(text: &str) -> Result<String, String> {
    check_topic(text).map(|()| text.to_owned())
}

/// Explains it.
#[must_use]
pub fn explain(args: &Args) -> ExitCode {
    let path = &args.config.config;
    // Before the configuration itself, so that the text and what it holds are in memory once.
    let rules = Config::text(path).map_or_else(|_| Vec::new(), |text| written(&text));
    let config = match super::load_offline(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let text = payload(args).map(|payload| {
        let message = Message { topic: args.topic.clone(), payload, retain: args.retain, ..Message::default() };
        let names = Names { rules, file: path.display().to_string() };
        let at = args.at.unwrap_or_else(|| Clock::live().now().wall);
        tell(&names, &message, config, at)
    });
    super::finish(text.map(|text| say!("{}", text.trim_end())))
}

fn payload(args: &Args) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let Some(path) = &args.payload_file else {
        return Ok(args.payload.clone().unwrap_or_default().into_bytes());
    };
    let reader: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin().lock()),
        false => {
            Box::new(std::fs::File::open(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?)
        }
    };
    // One byte more than rules look at is as good as any number of them.
    let most = u64::try_from(LARGEST).unwrap_or(u64::MAX) + 1;
    let mut payload = Vec::new();
    reader
        .take(most)
        .read_to_end(&mut payload)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(payload)
}

fn tell(names: &Names, message: &Message, config: Config, at: Timestamp) -> String {
    let sources = u16::try_from(config.sources.len()).unwrap_or(u16::MAX);
    let plan = std::sync::Arc::new(config.plan);
    let mut world = World::new(std::sync::Arc::clone(&plan), sources, at);
    let mut events: Vec<Event> = Vec::new();
    let heard = world.publish(message, &mut |event| events.push(event.clone()));
    let mut text = head(message);
    for heard in &heard {
        names.taken(&plan, heard, message, &mut text);
    }
    if heard.is_empty() {
        text += "\nNo rule takes this topic.\n";
    }
    names.others(&plan.rules, world.source_of(&message.topic), &heard, &message.topic, &mut text);
    outcome(&mut world, &events, &mut text);
    text
}

fn head(message: &Message) -> String {
    let Message { topic, payload, retain, .. } = message;
    let kind = if *retain { "retained, replayed after subscribing" } else { "live" };
    let shown = match std::str::from_utf8(payload) {
        Ok(payload) => format!("{:?}", excerpt(payload, SHOWN)),
        Err(_) => format!("{} bytes that are not UTF-8", payload.len()),
    };
    format!("{} {shown} ({kind})\n", excerpt(topic, SHOWN))
}

/// What it comes to, for whoever it is about.
fn outcome(world: &mut World, events: &[Event], text: &mut String) {
    let mut later = Vec::new();
    // What a delay holds back is told as well, as long as the longest that a rule may have.
    let soon = Duration::from_secs(3600);
    let changed = |event: &Event| matches!(event.what, What::Wanted { .. });
    if !events.iter().any(changed) {
        world.run(soon, &mut |event| later.push(event.clone()));
    }
    let mut any = false;
    for event in events.iter().chain(later.iter().filter(|event| changed(event)).take(1)) {
        let What::Wanted { user, presence, because } = &event.what else { continue };
        any = true;
        let after = if event.t.is_zero() { String::new() } else { format!(" after {}", words(event.t)) };
        let because = because.as_ref().map_or_else(String::new, |because| format!(", because of {because}"));
        let _written = match presence {
            Some(presence) => writeln!(text, "\n{user} would be wanted {presence}{after}{because}."),
            None => writeln!(text, "\nOf {user} nothing would be wanted{after}."),
        };
    }
    if !any {
        *text += "\nNobody would be wanted anything because of this message alone.\n";
    }
}
