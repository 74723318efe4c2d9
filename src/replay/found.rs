//! What a rule found in a message, for people to read. The rule layer decides without saying what it looked at; this reads
//! the same places again, from outside and for showing alone: nothing depends on it.

use crate::presence::rule::{Format, LARGEST, Place, Rule, Template};

/// So much of a value is shown, characters.
const SHOWN: usize = 200;

/// The value that `rule` compares with its words, if it can be told.
#[must_use]
pub fn looked_at(rule: &Rule, topic: &str, payload: &[u8]) -> Option<String> {
    at(rule, &rule.value, topic, payload)
}

/// The subject that `rule` finds, if it can be told.
#[must_use]
pub fn subject_at(rule: &Rule, topic: &str, payload: &[u8]) -> Option<String> {
    at(rule, &rule.subject, topic, payload)
}

fn at(rule: &Rule, place: &Place, topic: &str, payload: &[u8]) -> Option<String> {
    if payload.len() > LARGEST {
        return None;
    }
    let found = match place {
        Place::Topic(template) => capture(rule, template, topic),
        Place::Field(pointer) => field(payload, pointer),
        Place::Payload if rule.format == Format::Text => text(payload),
        Place::Payload => field(payload, ""),
    };
    found.map(|value| value.chars().take(SHOWN).collect())
}

/// Where the template is one capture and nothing else.
fn capture(rule: &Rule, template: &Template, topic: &str) -> Option<String> {
    let captures = rule.pattern.captures(topic)?;
    let is = |name: &str| Template::parse(&format!("{{{name}}}"), &rule.pattern).as_ref() == Ok(template);
    let place = rule.pattern.names().position(is)?;
    captures.get(place).map(|&text| text.to_owned())
}

pub(super) fn text(payload: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(payload).ok()?.trim_start_matches('\u{feff}').trim();
    Some(serde_json::from_str::<String>(text).map_or_else(|_| text.to_owned(), |word| word.trim().to_owned()))
}

fn field(payload: &[u8], pointer: &str) -> Option<String> {
    let text = std::str::from_utf8(payload).ok()?.trim_start_matches('\u{feff}');
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    match json.pointer(pointer)? {
        serde_json::Value::String(text) => Some(text.trim().to_owned()),
        other => Some(other.to_string()),
    }
}
