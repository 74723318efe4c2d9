//! `explain`: one message, and what the configuration makes of it: which rules take it, which do not and at which
//! condition, what was found where, whom it leads to, and what would be wanted then.

mod topic;
mod written;

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::topic::{Difference, difference};
use self::written::{Written, written};
use super::ConfigArg;
use crate::clock::Clock;
use crate::config::Config;
use crate::presence::rule::{LARGEST, Place, Rule, Rules};
use crate::presence::{RuleId, Timestamp};
use crate::replay::line::{Message, check_topic};
use crate::replay::tell::{excerpt, words};
use crate::replay::{Effect, Event, What, World};

/// Rules that do not take the topic are shown up to here, the nearest first.
const NEAREST: usize = 5;
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
    let config = match super::load_offline(&args.config.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let text = payload(args).map(|payload| {
        let message = Message { t: None, topic: args.topic.clone(), payload, retain: args.retain };
        let text = std::fs::read_to_string(&args.config.config).unwrap_or_default();
        let file = args.config.config.display().to_string();
        let at = args.at.unwrap_or_else(|| Clock::live().now().wall);
        Explained { rules: written(&text), file, message }.tell(config, at)
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

struct Explained {
    /// The rules as they stand in the file.
    rules: Vec<Written>,
    file: String,
    message: Message,
}

impl Explained {
    fn tell(&self, config: Config, at: Timestamp) -> String {
        let plan = std::sync::Arc::new(config.plan);
        let mut world = World::new(std::sync::Arc::clone(&plan), at);
        let mut events: Vec<Event> = Vec::new();
        world.publish(&self.message, &mut |event| events.push(event.clone()));
        let mut text = self.head();
        let mut effects = events.iter().filter_map(|event| match &event.what {
            What::Effect(effect) => Some(&**effect),
            _ => None,
        });
        let rules = &plan.rules;
        let mut ids = Vec::new();
        rules.evaluate(crate::presence::SourceId(0), &self.message.topic, &self.message.payload, &mut |id, _| {
            ids.push(id);
        });
        for &id in &ids {
            if let Some(effect) = effects.next() {
                self.taken(rules, id, effect, &mut text);
            }
        }
        if ids.is_empty() {
            text += "\nNo rule takes this topic.\n";
        }
        self.others(rules, &ids, &mut text);
        self.outcome(&mut world, &events, &mut text);
        text
    }

    fn head(&self) -> String {
        let Message { topic, payload, retain, .. } = &self.message;
        let kind = if *retain { "retained, replayed after subscribing" } else { "live" };
        let shown = match std::str::from_utf8(payload) {
            Ok(payload) => format!("{:?}", excerpt(payload, SHOWN)),
            Err(_) => format!("{} bytes that are not UTF-8", payload.len()),
        };
        format!("{} {shown} ({kind})\n", excerpt(topic, SHOWN))
    }

    fn written(&self, id: RuleId, rule: &Rule) -> Option<&Written> {
        // Rules that come from elsewhere than [[rule]] would shift the count: then nothing is better than another's words.
        let place = usize::try_from(id.0).ok()?;
        self.rules.get(place).filter(|written| written.topic == rule.pattern.as_str())
    }

    fn title(&self, id: RuleId, rule: &Rule) -> String {
        let place = self.written(id, rule).map_or_else(String::new, |at| format!(" ({}:{})", self.file, at.line));
        let name = if *rule.name == *rule.pattern.as_str() { String::new() } else { format!(" {:?}", rule.name) };
        format!("rule {}{name}{place}", u64::from(id.0) + 1)
    }

    /// A rule whose topic matches: what it found, and how far it came.
    fn taken(&self, rules: &Rules, id: RuleId, effect: &Effect, text: &mut String) {
        let Some(rule) = rules.get(id) else {
            *text += "\nThe door, which needs no rule: in/<name>/<signal>\n";
            return self.result(effect, text);
        };
        *text += &format!("\n{}: its topic matches\n  topic    {}\n", self.title(id, rule), rule.pattern.as_str());
        if let Some(captures) = rule.pattern.captures(&self.message.topic) {
            for (name, found) in rule.pattern.names().zip(captures.iter()) {
                *text += &format!("           {{{name}}} = {:?}\n", excerpt(found, SHOWN));
            }
        }
        let written = self.written(id, rule);
        *text += &format!("  value    {}\n", value(rule, written, effect));
        if let Some(subject) = &effect.subject {
            let leads = match &effect.user {
                Some(user) => format!("leads to {user}"),
                None => "leads to nobody: it is neither in [devices] nor in [users]".to_owned(),
            };
            *text += &format!("  subject  {:?}, {leads}\n", excerpt(subject, SHOWN));
        }
        self.result(effect, text);
    }

    fn result(&self, effect: &Effect, text: &mut String) {
        let words = match effect.reason {
            Some(reason) => format!("none: {}", why(reason, self.message.payload.len())),
            None => said(effect),
        };
        *text += &format!("  effect   {words}\n");
    }

    /// Rules whose topic does not match, the nearest first.
    fn others(&self, rules: &Rules, taken: &[RuleId], text: &mut String) {
        let all = (0..).map(RuleId).map_while(|id| rules.get(id).map(|rule| (id, rule)));
        let others = all.filter(|(id, _)| !taken.contains(id));
        let mut others: Vec<(Difference, RuleId, &Rule)> =
            others.map(|(id, rule)| (difference(rule.pattern.as_str(), &self.message.topic), id, rule)).collect();
        others.sort_by_key(|(difference, id, _)| (std::cmp::Reverse(difference.same), *id));
        if !others.is_empty() {
            *text += "\nNot taken by\n";
        }
        for (difference, id, rule) in others.iter().take(NEAREST) {
            *text += &format!("  {}: {}\n           {difference}\n", self.title(*id, rule), rule.pattern.as_str());
        }
        if others.len() > NEAREST {
            *text += &format!("  and {} more, which differ earlier or as early\n", others.len() - NEAREST);
        }
    }

    /// What it comes to, for whoever it is about.
    fn outcome(&self, world: &mut World, events: &[Event], text: &mut String) {
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
}

/// Where the value was looked for, what was found, and in which list it stands.
fn value(rule: &Rule, written: Option<&Written>, effect: &Effect) -> String {
    let place = match (&rule.value, written.and_then(|written| written.value.as_deref())) {
        (_, Some(value)) => format!("at {value:?}"),
        (Place::Field(pointer), None) => format!("at {pointer:?}"),
        (Place::Topic(_), None) => "in the topic".to_owned(),
        (Place::Payload, None) => "the payload".to_owned(),
    };
    let Some(found) = &effect.value else { return format!("{place}: not found") };
    let mut text = format!("{place}: {:?}", excerpt(found, SHOWN));
    let lists = written.map_or(&[][..], |written| &written.words);
    let holds =
        |list: &&(&str, Vec<String>)| list.1.iter().any(|word| word.trim().to_lowercase() == found.to_lowercase());
    if effect.reason == Some("other_value") {
        let lists: Vec<String> = lists.iter().map(|(name, words)| format!("{name} = {words:?}")).collect();
        text += &match lists.is_empty() {
            true => ", in none of the rule's lists".to_owned(),
            false => format!(", in none of {}", lists.join(", ")),
        };
    } else if let Some((name, words)) = lists.iter().find(holds) {
        text += &format!(", in {name} = {words:?}");
    }
    text
}

fn said(effect: &Effect) -> String {
    let user = effect.user.as_deref().unwrap_or("?");
    let signal = effect.signal.as_deref().unwrap_or("?");
    let end = match (effect.until, effect.ttl) {
        (Some(until), _) => format!(", until {}", crate::replay::tell::rfc3339(until)),
        (None, Some(ttl)) => format!(", for {} if nothing more is heard", words(ttl)),
        (None, None) => String::new(),
    };
    let device = effect.device.as_deref().unwrap_or("?");
    format!("{signal} of {user}: {}{end}\n           held by device {:?}", effect.effect, excerpt(device, SHOWN))
}

/// A reason in words, and what to do.
fn why(reason: &str, size: usize) -> String {
    let text = match reason {
        "other_value" => "the value is in none of the lists; add it to on, off or unknown if it means one of these",
        "missing" => "there is nothing where the rule looks; compare value and subject with the payload",
        "retained_ignored" => "the rule ignores retained messages (retained = \"ignore\")",
        "replay" => "a replay of what was heard already",
        "too_large" => return format!("the payload has {size} bytes or more, rules look at {LARGEST} ({reason})"),
        "not_utf8" => "the payload is not UTF-8",
        "bad_json" => "the payload is not JSON; with format = \"text\" the whole payload would be the value",
        "too_deep" => "the JSON is nested too deep",
        "duplicate_key" => "a JSON object names a key twice, and readers disagree on which counts",
        "unknown_subject" => "the subject leads to nobody; add it to [devices]",
        "unknown_signal" => "there is no such signal in [signals]",
        "too_many_shares" => "the person has as many shares as one may have",
        other => other,
    };
    format!("{text} ({reason})")
}
