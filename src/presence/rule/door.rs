//! The door that needs no rule: `<prefix>/in/<label>/<signal>` takes `on`, `off`,
//! `{"on": true, "for": "30m"}`, `{"on": true, "until": "2026-11-24T17:00:00Z"}`, and `{"until": …}` alone for another end.

use std::time::Duration;

use super::json::Json;
use super::{DEFAULT_TTL, Effect, LARGEST, LONGEST_TTL, More, Reason, Rules, Say};
use crate::presence::now::{Timestamp, parse_duration};
use crate::presence::plan::RuleId;

/// The device that holds a share which came through the door.
const DEVICE: &str = "door";

impl Rules {
    pub(super) fn enter(&self, rest: &str, payload: &[u8], each: &mut dyn FnMut(RuleId, Result<Effect<'_>, Reason>)) {
        let Some((label, signal)) = rest.split_once('/').filter(|(_, signal)| !signal.contains('/')) else { return };
        let effect = self.door_effect(label, signal, payload);
        each(RuleId::DOOR, effect);
    }

    fn door_effect<'a>(&self, label: &'a str, signal: &str, payload: &[u8]) -> Result<Effect<'a>, Reason> {
        let person = self.resolve(label).ok_or(Reason::UnknownSubject)?;
        let signal = super::signal(&self.signals, signal).ok_or(Reason::UnknownSignal)?;
        let Said { say, span, until } = read(payload)?;
        let ttl = span.unwrap_or(DEFAULT_TTL);
        Ok(Effect {
            person,
            signal,
            device: DEVICE,
            subject: label,
            say,
            ttl,
            delay: Duration::ZERO,
            hold: Duration::ZERO,
            until,
            timed: span.is_some(),
            accept_retained: true,
            more: More::default(),
        })
    }
}

struct Said {
    say: Say,
    span: Option<Duration>,
    until: Option<Timestamp>,
}

fn read(payload: &[u8]) -> Result<Said, Reason> {
    if payload.len() > LARGEST {
        return Err(Reason::TooLarge);
    }
    let text = std::str::from_utf8(payload).map_err(|_| Reason::NotUtf8)?.trim_start_matches('\u{feff}').trim();
    if !text.starts_with('{') {
        return Ok(Said { say: word(text.trim_matches('"'))?, span: None, until: None });
    }
    let json = Json::parse(payload)?;
    let say = match (json.at("/on"), json.at("/until")) {
        (Some(on), _) => word(&on.word().ok_or(Reason::Missing)?)?,
        (None, Some(_)) => Say::Until,
        (None, None) => return Err(Reason::Missing),
    };
    let span = optional(&json, "/for", duration)?;
    let until = optional(&json, "/until", instant)?;
    if span.is_some() && until.is_some() {
        return Err(Reason::BadJson); // two ends contradict each other
    }
    Ok(Said { say, span, until })
}

fn optional<T>(json: &Json, pointer: &str, read: fn(&str) -> Option<T>) -> Result<Option<T>, Reason> {
    match json.at(pointer) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Text(text)) => read(text).map(Some).ok_or(Reason::BadJson),
        Some(_) => Err(Reason::BadJson),
    }
}

/// RFC 3339, with its offset.
fn instant(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.trim().parse().ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

fn word(text: &str) -> Result<Say, Reason> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    match text {
        _ if is(&["on", "true", "1"]) => Ok(Say::On),
        _ if is(&["off", "false", "0"]) => Ok(Say::Off),
        _ if is(&["", "unknown", "unavailable"]) => Ok(Say::Unknown),
        _ => Err(Reason::OtherValue),
    }
}

/// 1 s to 31 days.
fn duration(text: &str) -> Option<Duration> {
    parse_duration(text).filter(|span| (Duration::from_secs(1)..=LONGEST_TTL).contains(span))
}
