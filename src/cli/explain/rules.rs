//! Rule by rule: what each saw of the message, and how far it came; and which rules have nothing to do with it.

use super::SHOWN;
use super::topic::{Difference, difference};
use super::written::Written;
use crate::presence::rule::trace::{Condition, Look, Passed, Trace};
use crate::presence::rule::{LARGEST, Role, Rule, Rules};
use crate::presence::{Plan, RuleId, SourceId};
use crate::replay::line::Message;
use crate::replay::tell::{excerpt, rfc3339, words};
use crate::replay::{Effect, Heard};

/// Rules that do not take the topic are shown up to here, the nearest first.
const NEAREST: usize = 5;

/// How rules are called, and how they stand in the file.
pub(super) struct Names {
    pub(super) rules: Vec<Written>,
    pub(super) file: String,
}

impl Names {
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
    pub(super) fn taken(&self, plan: &Plan, heard: &Heard, message: &Message, text: &mut String) {
        let Heard { trace, effect } = heard;
        let Some(rule) = plan.rules.get(trace.rule) else {
            *text += "\nThe door, which needs no rule: in/<name>/<signal>\n";
            subject(trace, effect, text);
            return result(effect, message, text);
        };
        let beside = trace.beside.and_then(|place| rule.siblings.get(place));
        let (topic, which) = match beside {
            Some(sibling) => (&sibling.pattern, format!("the topic of its {}", sibling.role.as_str())),
            None => (&rule.pattern, "its topic".to_owned()),
        };
        *text += &format!("\n{}: {which} matches\n  topic    {}\n", self.title(trace.rule, rule), topic.as_str());
        for (name, found) in &trace.captures {
            *text += &format!("           {{{name}}} = {:?}\n", excerpt(found, SHOWN));
        }
        for condition in &trace.conditions {
            *text += &tried(condition);
        }
        searched(trace, text);
        if let Some(look) = &trace.value {
            let said = match beside {
                Some(sibling) => format!("{}{}", found(look), asked(&sibling.role)),
                None => value(rule, self.written(trace.rule, rule), trace, look),
            };
            *text += &format!("  value    {said}\n");
        }
        subject(trace, effect, text);
        result(effect, message, text);
    }

    /// Rules whose topic does not match, the nearest first.
    pub(super) fn others(&self, rules: &Rules, source: SourceId, heard: &[Heard], topic: &str, text: &mut String) {
        let all = (0..).map(RuleId).map_while(|id| rules.get(id).map(|rule| (id, rule)));
        let others = all.filter_map(|(id, rule)| Some((rules.passed(id, source, topic)?, id, rule)));
        let others = others.filter(|(_, id, _)| !heard.iter().any(|heard| heard.trace.rule == *id));
        let mut others: Vec<(Difference, Passed<'_>, RuleId, &Rule)> =
            others.map(|(passed, id, rule)| (difference(rule.pattern.as_str(), topic), passed, id, rule)).collect();
        others.sort_by_key(|(difference, _, id, _)| (std::cmp::Reverse(difference.same), *id));
        if !others.is_empty() {
            *text += "\nNot taken by\n";
        }
        for (difference, passed, id, rule) in others.iter().take(NEAREST) {
            let why = match passed {
                Passed::Topic => difference.to_string(),
                Passed::Except(except) => format!("its topic matches, but except = {except:?} does too"),
                Passed::Source => "it listens to another broker (source)".to_owned(),
            };
            *text += &format!("  {}: {}\n           {why}\n", self.title(*id, rule), rule.pattern.as_str());
        }
        if others.len() > NEAREST {
            *text += &format!("  and {} more, which differ earlier or as early\n", others.len() - NEAREST);
        }
    }
}

fn found(look: &Look) -> String {
    let place = match look.place.as_str() {
        "payload" => "the payload".to_owned(),
        place if place.contains('{') => format!("{place} in the topic"),
        place => format!("at {place:?}"),
    };
    match &look.found {
        Some(found) => format!("{place}: {:?}", excerpt(found, SHOWN)),
        None => format!("{place}: not found"),
    }
}

fn tried(condition: &Condition) -> String {
    let Condition { key, look, wants, holds } = condition;
    let holds = if *holds { "holds" } else { "does not hold" };
    format!("  {key:8} {}; {} {holds}\n", found(look), excerpt(wants, SHOWN))
}

fn searched(trace: &Trace, text: &mut String) {
    let Some(elements) = &trace.elements else { return };
    *text += &match elements.all {
        None => format!("  any      at {:?}: not found\n", elements.at),
        Some(all) => format!("  any      at {:?}: {all} elements, {} of them count\n", elements.at, elements.chosen),
    };
}

fn asked(role: &Role) -> String {
    match role {
        Role::Until => String::new(),
        Role::When(words) | Role::Unless(words) => format!(", compared with {words}"),
        Role::Alive { up, down, .. } if up.is_empty() => format!(", down = {down}"),
        Role::Alive { up, down, .. } => format!(", down = {down}, up = {up}"),
    }
}

/// Where the value was looked for, what was found, and in which list it stands.
fn value(rule: &Rule, written: Option<&Written>, trace: &Trace, look: &Look) -> String {
    let text = found(look);
    // As the file has them, with their capital letters; tests are written as the rule has them.
    let words = |key: &str, rule_has: String| {
        let written = written.and_then(|written| written.words.iter().find(|(name, _)| *name == key));
        match written {
            Some((_, words)) if !words.is_empty() => format!("{key} = {words:?}"),
            _ => format!("{key} = {rule_has}"),
        }
    };
    let lists: Vec<_> =
        rule.lists().map(|(list, asked)| (list, words(list.as_str(), excerpt(&asked.to_string(), SHOWN)))).collect();
    match trace.list {
        Some(hit) => match lists.iter().find(|(list, _)| *list == hit) {
            Some((_, list)) => format!("{text}, in {list}"),
            None => text,
        },
        None if look.found.is_none() || lists.is_empty() => text,
        None => {
            let lists: Vec<&str> = lists.iter().map(|(_, list)| list.as_str()).collect();
            format!("{text}, in none of {}", lists.join(", "))
        }
    }
}

fn subject(trace: &Trace, effect: &Effect, text: &mut String) {
    let Some(look) = &trace.subject else { return };
    let Some(found) = &look.found else {
        if trace.beside.is_none() {
            *text += &format!("  subject  at {:?}: not found\n", look.place);
        }
        return;
    };
    let spelt = match &trace.key {
        Some(key) if key == found => String::new(),
        Some(key) => format!(", that is {:?}", excerpt(key, SHOWN)),
        None => return *text += &format!("  subject  {:?}, which has not the form of one\n", excerpt(found, SHOWN)),
    };
    let leads = match &effect.user {
        Some(user) => format!("leads to {user}"),
        None => "leads to nobody: it is neither in [devices] nor in [users]".to_owned(),
    };
    *text += &format!("  subject  {:?}{spelt}, {leads}\n", excerpt(found, SHOWN));
}

fn result(effect: &Effect, message: &Message, text: &mut String) {
    let words = match effect.reason {
        Some(reason) if ["ignored", "rejected"].contains(&effect.effect) => {
            format!("none: {}", why(reason, message.payload.len()))
        }
        _ => said(effect),
    };
    *text += &format!("  effect   {words}\n");
}

fn said(effect: &Effect) -> String {
    let user = effect.user.as_deref().unwrap_or("?");
    let what = match effect.effect {
        "device_down" => return "the device is away: what it said does not count".to_owned(),
        "device_up" => return "the device is there".to_owned(),
        "forget" if effect.device.is_none() => return "what was said before is withdrawn".to_owned(),
        "forget" => "unknown, what was said before is withdrawn",
        "until" => "goes on to another end",
        other => other,
    };
    let signal = effect.signal.as_deref().unwrap_or("?");
    let end = match (effect.until, effect.ttl) {
        (Some(until), _) => format!(", until {}", rfc3339(until)),
        (None, Some(ttl)) => format!(", for {} if nothing more is heard", words(ttl)),
        (None, None) => String::new(),
    };
    let note = effect.reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    let device = effect
        .device
        .as_ref()
        .map_or_else(String::new, |device| format!("\n           held by device {:?}", excerpt(device, SHOWN)));
    format!("{signal} of {user}: {what}{note}{end}{device}")
}

/// A reason in words, and what to do.
fn why(reason: &str, size: usize) -> String {
    let text = match reason {
        "other_value" => "the value is in none of the lists; add it to on, off or unknown if it means one of these",
        "missing" => "there is nothing where the rule looks; compare value and subject with the payload",
        "guard" => "a condition of `when` does not hold, or the pattern does not match the payload",
        "retained_ignored" => "the rule ignores retained messages (retained = \"ignore\", toggle or pulse)",
        "replay" => "a replay of what was heard already",
        "too_large" => return format!("the payload has {size} bytes or more, rules look at {LARGEST} ({reason})"),
        "not_utf8" => "the payload is not UTF-8",
        "bad_json" => "the payload is not JSON; with format = \"text\" the whole payload would be the value",
        "too_deep" => "the JSON is nested too deep",
        "duplicate_key" => "a name stands there twice, and readers disagree on which counts",
        "bad_time" => "a time in the payload cannot be read; docs/rules.md lists the forms",
        "too_old" => "the payload's own time lies further back than max_age, or than the ttl",
        "duplicate" => "the same event was heard already",
        "device_down" => "the device is known to be away",
        "unknown_subject" => "the subject leads to nobody; add it to [devices]",
        "unknown_signal" => "there is no such signal in [signals]",
        "too_many_shares" => "the person has as many shares as one may have",
        "counts" => "on its own; from here on what the rule says counts",
        "does_not_count" => "on its own; from here on an on of the rule does not count",
        other => other,
    };
    format!("{text} ({reason})")
}
