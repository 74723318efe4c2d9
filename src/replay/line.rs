//! One line of a recording: a message, or the start that `record` writes first.
//!
//! Keys that are not known are left alone, so that what `mosquitto_sub -F %j` prints can be played as it is.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use crate::presence::{SourceId, Timestamp};

/// The longest line that is looked at, bytes: a payload of a mebibyte fits, however it is written.
pub const LONGEST: usize = 8 << 20;
/// MQTT's own bound for a topic, bytes.
const LONGEST_TOPIC: usize = 65_535;

/// A line, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// Nothing stands there.
    Blank,
    /// What the wall clock read at `t` = 0.
    Start(Timestamp),
    /// A message.
    Message(Message),
}

/// A message as a broker delivered it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Since the start; `None`: with the message before.
    pub t: Option<Duration>,
    /// Where it was published.
    pub topic: String,
    /// Untouched.
    pub payload: Vec<u8>,
    /// A replay after SUBSCRIBE, not a live message.
    pub retain: bool,
    /// The broker by the name of its `[[source]]`, as the line says it.
    pub broker: Option<String>,
    /// That broker; `None`: any that a rule for the topic listens to.
    pub source: Option<SourceId>,
}

/// As it is written.
#[derive(Deserialize)]
struct Written {
    t: Option<f64>,
    topic: Option<String>,
    /// `null` is how mosquitto writes an empty payload.
    #[serde(default, deserialize_with = "there")]
    payload: Option<Option<String>>,
    payload_b64: Option<String>,
    retain: Option<Flag>,
    source: Option<String>,
    start: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Word(bool),
    Number(u8),
}

/// Tells `null` from a key that is missing.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Line {
    /// Reads a line, without its end.
    ///
    /// # Errors
    /// What is wrong with it, and what should stand there.
    pub fn parse(bytes: &[u8]) -> Result<Line, String> {
        if bytes.len() > LONGEST {
            return Err(format!("longer than {} MiB", LONGEST >> 20));
        }
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes).trim_ascii();
        if bytes.is_empty() {
            return Ok(Line::Blank);
        }
        if bytes[0] != b'{' {
            return Err(r#"not an object; a line is {"t": 0, "topic": "…", "payload": "…"}"#.to_owned());
        }
        let written: Written = serde_json::from_slice(bytes).map_err(|error| said(&error))?;
        match (&written.start, &written.topic) {
            (Some(start), None) => Ok(Line::Start(instant(start)?)),
            _ => written.message().map(Line::Message),
        }
    }
}

/// serde_json counts lines within the line; only the column helps.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    format!("{text}, at column {}", error.column())
}

/// RFC 3339, with its offset.
fn instant(text: &str) -> Result<Timestamp, String> {
    let at: jiff::Timestamp =
        text.trim().parse().map_err(|_| format!("start = {text:?} is not a time like 2026-11-24T09:30:00Z"))?;
    Ok(Timestamp::from_millis(at.as_millisecond()))
}

impl Written {
    fn message(self) -> Result<Message, String> {
        let topic = self.topic.ok_or(r#"no "topic""#)?;
        let t = self.t.map(seconds).transpose()?;
        let payload = match (self.payload, self.payload_b64) {
            (Some(_), Some(_)) => return Err(r#""payload" and "payload_b64" exclude each other"#.to_owned()),
            (None, None) => return Err(r#"no "payload" and no "payload_b64""#.to_owned()),
            (Some(text), None) => text.unwrap_or_default().into_bytes(),
            (None, Some(text)) => {
                STANDARD.decode(text.trim()).map_err(|error| format!("payload_b64 is not base64: {error}"))?
            }
        };
        let retain = match self.retain {
            None | Some(Flag::Word(false) | Flag::Number(0)) => false,
            Some(Flag::Word(true) | Flag::Number(1)) => true,
            Some(Flag::Number(_)) => return Err(r#""retain" is true or false"#.to_owned()),
        };
        Ok(Message { t, topic, payload, retain, broker: self.source, source: None })
    }
}

/// Whether MQTT allows to publish to `topic`.
///
/// # Errors
/// Why not.
pub fn check_topic(topic: &str) -> Result<(), String> {
    if topic.is_empty() || topic.len() > LONGEST_TOPIC || topic.contains(['+', '#', '\0']) {
        return Err("the topic cannot be published to: 1 to 65,535 bytes without + # and NUL".to_owned());
    }
    Ok(())
}

/// To the millisecond.
fn seconds(t: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64((t * 1000.0).round() / 1000.0)
        .map(|t| Duration::from_millis(u64::try_from(t.as_millis()).unwrap_or(u64::MAX)))
        .map_err(|_| format!("t = {t} is not a time since the start, in seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_is_kept_to_the_millisecond() {
        for (text, millis) in [("0", 0), ("12.3456", 12_346), ("1e3", 1_000_000), ("0.001", 1)] {
            let line = format!(r#"{{"t":{text},"topic":"a","payload":""}}"#);
            let t = Line::parse(line.as_bytes()).map(|line| match line {
                Line::Message(message) => message.t,
                Line::Blank | Line::Start(_) => None,
            });
            assert_eq!(t, Ok(Some(Duration::from_millis(millis))), "{line}");
        }
        for text in ["-1", "1e300", "\"1\"", "1e999"] {
            assert!(Line::parse(format!(r#"{{"t":{text},"topic":"a","payload":""}}"#).as_bytes()).is_err(), "{text}");
        }
    }
}
