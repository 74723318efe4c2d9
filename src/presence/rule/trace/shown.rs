//! How places, words and values are written for people.

use std::fmt::{self, Display, Formatter, Write};

use super::LONGEST;
use crate::presence::rule::Place;
use crate::presence::rule::json::Json;
use crate::presence::rule::words::{Test, Value, Words};
use crate::presence::topic::Pattern;

/// As a rule writes it; `payload` for all of it.
pub(super) fn place(place: &Place, pattern: &Pattern) -> String {
    match place {
        Place::Payload => "payload".to_owned(),
        Place::Field(name) if name.is_empty() => "payload".to_owned(),
        Place::Field(name) => name.to_string(),
        Place::Topic(template) if template.has_capture() => template.written(pattern),
        Place::Topic(template) => format!("={}", template.written(pattern)),
    }
}

/// The first of a text.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// As it is compared with words; arrays and objects as JSON.
pub(super) fn value(value: &Value<'_>) -> String {
    match (value.word(), value) {
        (Some(word), _) => cut(&word),
        (None, Value::Json(json)) => {
            let mut text = String::new();
            write(json, &mut text);
            cut(&text)
        }
        (None, Value::Word(_)) => String::new(),
    }
}

/// Goes no further than what is told, however much there is.
fn write(json: &Json, text: &mut String) {
    if text.len() > 4 * LONGEST {
        return;
    }
    match json {
        Json::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate().take(LONGEST) {
                text.push_str(if place == 0 { "" } else { "," });
                write(item, text);
            }
            text.push(']');
        }
        Json::Object(fields) => {
            text.push('{');
            for (place, (key, item)) in fields.iter().enumerate().take(LONGEST) {
                text.push_str(if place == 0 { "" } else { "," });
                text.push_str(&quoted(key));
                text.push(':');
                write(item, text);
            }
            text.push('}');
        }
        Json::Text(word) => text.push_str(&quoted(word)),
        other => text.push_str(&other.word().unwrap_or_default()),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Display for Words {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (words, test) = self.parts();
        let test = test.map(tests).unwrap_or_default();
        let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        match (words.as_slice(), test.as_str()) {
            ([word], "") => f.write_str(word),
            (words, "") => write!(f, "[{}]", words.join(", ")),
            ([], test) => write!(f, "{{ {test} }}"),
            (words, test) => write!(f, "{{ in = [{}], {test} }}", words.join(", ")),
        }
    }
}

fn tests(test: &Test) -> String {
    let mut all: Vec<String> = Vec::new();
    let mut text = String::new();
    if !test.not.is_empty() {
        all.push(format!("not = {}", test.not));
    }
    for (key, bound) in [("above", test.above), ("below", test.below)] {
        all.extend(bound.map(|bound| format!("{key} = {bound}")));
    }
    if !test.contains.is_empty() {
        // Writing into a String cannot fail.
        let _told = write!(text, "contains = {:?}", test.contains);
        all.push(text);
    }
    all.extend(test.exists.map(|exists| format!("exists = {exists}")));
    all.extend(test.matches.as_ref().map(|regex| format!("match = {regex:?}")));
    all.join(", ")
}
