//! The door that needs no rule: `<prefix>/in/<label>/<signal>` takes `on`, `off` and `{"on": true, "for": "30m"}`.

use std::time::Duration;

use super::json::Json;
use super::{DEFAULT_TTL, Effect, LARGEST, LONGEST_TTL, Reason, Rules, Say};
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
        let (say, span) = read(payload)?;
        let ttl = span.unwrap_or(DEFAULT_TTL);
        let timed = span.is_some();
        Ok(Effect { person, signal, device: DEVICE, subject: label, say, ttl, timed, accept_retained: true })
    }
}

fn read(payload: &[u8]) -> Result<(Say, Option<Duration>), Reason> {
    if payload.len() > LARGEST {
        return Err(Reason::TooLarge);
    }
    let text = std::str::from_utf8(payload).map_err(|_| Reason::NotUtf8)?.trim_start_matches('\u{feff}').trim();
    if !text.starts_with('{') {
        return Ok((word(text.trim_matches('"'))?, None));
    }
    let json = Json::parse(payload)?;
    let say = word(&json.at("/on").and_then(Json::word).ok_or(Reason::Missing)?)?;
    let span = match json.at("/for") {
        None | Some(Json::Null) => None,
        Some(Json::Text(text)) => Some(duration(text).ok_or(Reason::BadJson)?),
        Some(_) => return Err(Reason::BadJson),
    };
    Ok((say, span))
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

/// As people write it (`30m`, `1h 30m`) or as ISO 8601 (`PT30M`); 1 s to 31 days.
fn duration(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.trim().parse().ok()?;
    let span = Duration::try_from(span).ok()?;
    (Duration::from_secs(1)..=LONGEST_TTL).contains(&span).then_some(span)
}
