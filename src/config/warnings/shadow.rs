//! A rule that another one always shadows: that takes every message which this one takes, and says the same of it to the
//! same share. Said only where it can be proven from what is written, key by key; so not of rules that put the same in other
//! words.
//!
//! Topics are compared by messages that nobody sends: the narrower pattern is filled in with names of its own for everything
//! that a wildcard stands for. What the other pattern makes of these names it makes of all.

use std::collections::{BTreeMap, HashMap};

use toml::de::DeValue;

use super::super::reader::Section;
use super::rules::pairs;
use super::{Read, SHADOWED_RULE};
use crate::presence::rule::Rule;
use crate::presence::{RuleId, SourceId};

/// Keys that do not change what is said, or are compared in ways of their own.
const APART: [&str; 10] = ["name", "topic", "source", "except", "device", "when", "on", "off", "unknown", "echo"];
/// With more rules on one topic nobody reads them one by one.
const MOST: usize = 100;
/// Stands in for what a wildcard may be; no topic has it.
const MARK: char = '\u{1}';
/// Ways to fill in what stands for none, one or several levels.
const WAYS: usize = 3;

/// A rule as it is written.
struct Written<'s, 'r, 'i> {
    section: &'s Section<'r, 'i>,
    keys: BTreeMap<&'r str, &'r DeValue<'i>>,
}

pub(super) fn find(sections: &[Section<'_, '_>], read: &Read<'_>) {
    let all = pairs(sections, read);
    if all.len() != sections.len() {
        return; // some rule is not where it is written: places are no numbers then
    }
    let written = |section| Written { section, keys: Section::values(section).collect() };
    let all: Vec<(Written<'_, '_, '_>, &Rule)> =
        all.into_iter().map(|(section, rule)| (written(section), rule)).collect();
    let mut known = HashMap::new();
    for (place, narrow) in all.iter().enumerate() {
        let others = candidates(narrow.1, read, &mut known).iter().copied().filter(|&other| other != place);
        let wider = others.filter_map(|other| Some((other, all.get(other)?))).find(|(other, wide)| {
            shadows(wide, narrow) && (*other < place || !shadows(narrow, wide)) // of two alike the later one
        });
        if let Some((_, (_, wide))) = wider {
            let text = format!("rule \"{}\" takes every message that this one takes, and says the same", wide.name);
            let hint = "take one of them out, or tell them apart: another signal, another device, a condition";
            narrow.0.section.warn_at(SHADOWED_RULE, Some(narrow.0.section.place()), "", text, hint);
        }
    }
}

/// Rules that take a message which this one takes: the same for all that are written for one topic.
fn candidates<'k>(rule: &Rule, read: &Read<'_>, known: &'k mut HashMap<(SourceId, String), Vec<usize>>) -> &'k [usize] {
    let (source, topic) = (rule.source.unwrap_or(SourceId(0)), fill(rule.pattern.as_str(), 0));
    known.entry((source, topic)).or_insert_with_key(|(source, topic)| {
        let mut found = Vec::new();
        read.plan.rules.evaluate(*source, topic, b"", &mut |id, _| {
            if id != RuleId::DOOR && found.len() < MOST && !found.contains(&(id.0 as usize)) {
                found.push(id.0 as usize);
            }
        });
        found
    })
}

fn shadows((wide, wide_rule): &(Written<'_, '_, '_>, &Rule), (narrow, rule): &(Written<'_, '_, '_>, &Rule)) -> bool {
    let sources = wide_rule.source.is_none() || wide_rule.source == rule.source;
    let excepts = wide_rule.except.iter().all(|except| rule.except.contains(except));
    // An event said twice is not an event said once.
    if !sources || !excepts || !rule.toggle.is_empty() || wide_rule.signal != rule.signal {
        return false;
    }
    (0..WAYS).all(|way| {
        let topic = fill(rule.pattern.as_str(), way);
        let (Some(in_wide), Some(in_narrow)) = (wide_rule.pattern.captures(&topic), rule.pattern.captures(&topic))
        else {
            return false;
        };
        let wide = Filled { written: wide, captures: wide_rule.pattern.names().zip(in_wide.iter().copied()).collect() };
        let narrow =
            Filled { written: narrow, captures: rule.pattern.names().zip(in_narrow.iter().copied()).collect() };
        wide.says_what(&narrow)
    })
}

/// A rule for one message.
struct Filled<'a, 's, 'r, 'i> {
    written: &'a Written<'s, 'r, 'i>,
    captures: Vec<(&'a str, &'a str)>,
}

impl Filled<'_, '_, '_, '_> {
    fn says_what(&self, narrow: &Self) -> bool {
        let (wide, other) = (&self.written.keys, &narrow.written.keys);
        let mut keys = wide.keys().chain(other.keys()).filter(|key| !APART.contains(key));
        keys.all(|key| self.at(key) == narrow.at(key))
            && self.device() == narrow.device()
            && self.asks_no_more(narrow)
            && self.words(narrow)
    }

    /// A key with captures filled in.
    fn at(&self, key: &str) -> Option<String> {
        self.written.keys.get(key).map(|value| self.text(value))
    }

    fn text(&self, value: &DeValue<'_>) -> String {
        match value {
            DeValue::String(text) => format!("{:?}", self.filled(text)),
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Array(items) => items.iter().map(|item| self.text(item.get_ref()) + ",").collect(),
            DeValue::Table(table) => {
                let entries = table.iter().map(|(key, value)| (self.filled(key.get_ref()), self.text(value.get_ref())));
                format!("{:?}", entries.collect::<BTreeMap<_, _>>())
            }
            DeValue::Datetime(_) => MARK.to_string(),
        }
    }

    /// What is put together of captures is as good as a constant.
    fn filled(&self, text: &str) -> String {
        let filled = self.captures.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value).replace(&format!("{{{name}...}}"), value)
        });
        if filled == text || text.starts_with('=') { filled } else { format!("={filled}") }
    }

    /// The topic that the rule writes, with all captures filled in.
    fn topic(&self) -> Option<String> {
        let text = self.written.keys.get("topic")?.as_str()?;
        let filled = self.filled(text);
        Some(filled.strip_prefix('=').filter(|_| !text.starts_with('=')).map_or(filled.clone(), str::to_owned))
    }

    /// Which device holds the share; without a key it is the topic, but for the captures that `value` looks at.
    fn device(&self) -> Vec<String> {
        let written = self.written.keys.get("topic").and_then(|topic| topic.as_str()).unwrap_or_default();
        let topic = self.topic().unwrap_or_default();
        match (self.written.keys.get("device"), self.written.keys.get("value")) {
            (Some(DeValue::String(device)), _) => {
                let filled = self.filled(device);
                vec![filled.strip_prefix('=').map(str::to_owned).unwrap_or(filled)]
            }
            (Some(device), _) => vec![self.text(device)],
            (None, Some(DeValue::String(value))) if value.contains('{') => {
                // Names that stay in the device: these have to be written alike.
                vec![topic, written.to_owned()]
            }
            (None, _) => vec![topic],
        }
    }

    /// Whether each condition is one of the narrow rule too.
    fn asks_no_more(&self, narrow: &Self) -> bool {
        let conditions = |rule: &Self| match rule.written.keys.get("when") {
            Some(DeValue::Table(table)) => {
                table.iter().map(|(key, value)| (rule.filled(key.get_ref()), rule.text(value.get_ref()))).collect()
            }
            _ => Vec::new(),
        };
        let theirs = conditions(narrow);
        conditions(self).iter().all(|condition| theirs.contains(condition))
    }

    /// Whether each word of the narrow rule means the same here.
    fn words(&self, narrow: &Self) -> bool {
        let keys = ["on", "off", "unknown"];
        if keys.iter().all(|key| self.at(key) == narrow.at(key)) {
            return true;
        }
        let lists =
            |rule: &Self| keys.map(|key| rule.written.keys.get(key).map_or(Some(Vec::new()), |value| list(value)));
        let ([Some(on), Some(off), Some(unknown)], [Some(their_on), Some(their_off), Some(their_unknown)]) =
            (lists(self), lists(narrow))
        else {
            return false;
        };
        let among = |word: &String, words: &[String]| words.iter().any(|other| same(word, other));
        their_on.iter().all(|word| among(word, &on))
            && their_off.iter().all(|word| among(word, &off) && !among(word, &on))
            && their_unknown.iter().all(|word| among(word, &unknown) && !among(word, &on) && !among(word, &off))
    }
}

/// Plain words; `None` where a value is asked for by more than words.
fn list(value: &DeValue<'_>) -> Option<Vec<String>> {
    let word = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.trim().to_lowercase()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        _ => None,
    };
    match value {
        DeValue::Array(items) => items.iter().map(|item| word(item.get_ref())).collect(),
        value => Some(vec![word(value)?]),
    }
}

/// As the core compares them: 1.0 is 1.
fn same(a: &str, b: &str) -> bool {
    let number = |word: &str| word.parse::<f64>().ok();
    a == b || number(a).is_some_and(|a| Some(a) == number(b))
}

/// A topic that the pattern takes, with a name of its own for each thing that a wildcard may be.
fn fill(pattern: &str, way: usize) -> String {
    let mut count = 0;
    let mut fresh = || {
        count += 1;
        format!("{MARK}{count}{MARK}")
    };
    let mut levels = Vec::new();
    for level in pattern.split('/') {
        match (level, level.find('{'), level.find('}')) {
            ("+", ..) => levels.push(if way == 1 { String::new() } else { fresh() }),
            ("#", ..) => levels.extend((0..(way + 1) % WAYS).map(|_| fresh())),
            (_, Some(_), Some(_)) if level.contains("...}") => levels.extend((0..1 + way.min(1)).map(|_| fresh())),
            (_, Some(open), Some(close)) => {
                levels.push(format!("{}{}{}", &level[..open], fresh(), &level[close + 1..]))
            }
            _ => levels.push(level.to_owned()),
        }
    }
    levels.join("/")
}
