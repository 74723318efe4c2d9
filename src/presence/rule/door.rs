//! The door that needs no rule: `<prefix>/in/<label>/<signal>` takes `on`, `off`,
//! `{"on": true, "for": "30m"}`, `{"on": true, "until": "2026-11-24T17:00:00Z"}`, and `{"until": …}` alone for another end.
//!
//! Three names in the place of a signal are none: `pause` takes the same words and pauses the person, `forget` takes `on` and
//! forgets what devices said of the person, and on `error` the
//! bridge itself answers messages that it refused, so that what it says there is never taken for a message to the door.

use std::time::Duration;

use super::json::Json;
use super::{DEFAULT_TTL, Effect, LARGEST, LONGEST_TTL, More, Reason, Rules, Say};
use crate::presence::now::{Timestamp, parse_duration};
use crate::presence::plan::RuleId;

/// In the place of a signal: pauses the person.
pub const PAUSE: &str = "pause";
/// In the place of a signal: forgets what devices said of the person.
pub const FORGET: &str = "forget";
/// In the place of a signal: answers of the bridge.
pub const ERROR: &str = "error";

/// What is said of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Index into `Plan::people`.
    pub person: usize,
    /// Whether it begins, or ends.
    pub on: bool,
    /// For how long: it counts from a live message only.
    pub span: Option<Duration>,
    /// Until when.
    pub until: Option<Timestamp>,
}

/// The device that holds a share which came through the door.
const DEVICE: &str = "door";

impl Rules {
    /// What a message says of somebody's pause, if that is what its topic is for. Beside the effects of rules, since it
    /// is about no share: it changes none, and all of them are kept up to date meanwhile.
    #[must_use]
    pub fn pause(&self, topic: &str, payload: &[u8]) -> Option<Result<Pause, Reason>> {
        let label = self.at_door(topic, PAUSE)?;
        Some(self.read_pause(label, payload))
    }

    /// Who is to be forgotten (index into `Plan::people`), if that is what a topic is for.
    #[must_use]
    pub fn forget(&self, topic: &str, payload: &[u8]) -> Option<Result<usize, Reason>> {
        let label = self.at_door(topic, FORGET)?;
        let person = self.resolve(label).ok_or(Reason::UnknownSubject);
        let said = |person| match read(payload)? {
            Said { say: Say::On, span: None, until: None } => Ok(person),
            _ => Err(Reason::OtherValue),
        };
        Some(person.and_then(said))
    }

    /// The label in a topic at the door that has this name in the place of a signal.
    fn at_door<'a>(&self, topic: &'a str, name: &str) -> Option<&'a str> {
        let rest = topic.strip_prefix(self.door.as_deref()?)?;
        rest.strip_suffix(name)?.strip_suffix('/').filter(|label| !label.contains('/'))
    }

    fn read_pause(&self, label: &str, payload: &[u8]) -> Result<Pause, Reason> {
        let person = self.resolve(label).ok_or(Reason::UnknownSubject)?;
        let Said { say, span, until } = read(payload)?;
        let on = match say {
            Say::On => true,
            Say::Off => false,
            // Whoever deletes the retained level takes it back; "unavailable" says nothing of what is wanted.
            Say::Unknown if payload.is_empty() => false,
            Say::Unknown => return Err(Reason::OtherValue),
            Say::Until => return Err(Reason::Missing),
        };
        Ok(Pause { person, on, span, until })
    }

    pub(super) fn enter(&self, rest: &str, payload: &[u8], each: &mut dyn FnMut(RuleId, Result<Effect<'_>, Reason>)) {
        let Some((label, signal)) = rest.split_once('/').filter(|(_, signal)| !signal.contains('/')) else { return };
        if [PAUSE, FORGET, ERROR].contains(&signal) {
            return;
        }
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

/// How long something may be said to last: 1 s to 31 days.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    parse_duration(text).filter(|span| (Duration::from_secs(1)..=LONGEST_TTL).contains(span))
}
