//! What the bridge says on its own retained topics.

use serde_json::{Value, json};

use super::links::Link;
use crate::presence::{Deadline, Held, Level, Mono, Now, ShareView, Timestamp, View};
use crate::telemetry::AlarmText;

/// The retained status of a bridge that is gone.
pub(super) const OFFLINE: &str = r#"{"state":"offline"}"#;

/// The retained status of a bridge that runs: the same words at every broker.
pub(super) fn online(links: &[Link], calls_per_minute: usize, alarms: &[AlarmText]) -> String {
    let links: Vec<Value> = links
        .iter()
        .map(|link| json!({ "source": link.name, "state": link.state.as_str(), "since": rfc3339(link.since) }))
        .collect();
    json!({
        "state": "online",
        "version": env!("CARGO_PKG_VERSION"),
        "links": links,
        "calls_per_minute": calls_per_minute,
        "alarms": self::alarms(alarms),
    })
    .to_string()
}

pub(super) fn alarms(alarms: &[AlarmText]) -> Vec<Value> {
    alarms.iter().map(|alarm| json!({ "alarm": alarm.name, "about": alarm.about, "remedy": alarm.remedy })).collect()
}

/// A person, for busy lights and dashboards. `until`: the ends of the shares in `on`, if nothing more is heard; a renewal
/// alone is not published.
pub(super) fn person(view: &View<'_>, now: Now) -> String {
    let on: Vec<ShareView<'_>> = view.shares().filter(|share| share.level == Level::On).collect();
    json!({
        "wanted": view.wanted().map(|pair| pair.as_str()),
        "held": match view.held() {
            Held::Nothing => None,
            held => Some(self::held(held)),
        },
        "seen": view.seen().map(|seen| seen.map_or_else(str::to_owned, |pair| pair.as_str().to_owned())),
        "because": view.because().map(|share| name(&share)),
        "since": view.because().map(|share| rfc3339(share.since)),
        "on": on.iter().map(name).collect::<Vec<_>>(),
        "until": on.iter().map(|share| on_wall(share.until, now).map(rfc3339)).collect::<Vec<_>>(),
        "door": door(view),
        "paused": view.paused().is_some(),
        "paused_until": view.paused().and_then(|until| on_wall(until, now)).map(rfc3339),
    })
    .to_string()
}

/// The signals that the door holds on, each once.
fn door<'a>(view: &View<'a>) -> Vec<&'a str> {
    let mut signals: Vec<&str> = Vec::new();
    for signal in view.door() {
        if !signals.contains(&signal) {
            signals.push(signal);
        }
    }
    signals
}

/// When the first thing that [`person`] says stops being true by itself.
pub(super) fn first_end(view: &View<'_>, now: Now) -> Option<Mono> {
    let shares = view.shares().filter(|share| share.level == Level::On).map(|share| share.until);
    let ends = shares.chain(view.paused()).filter_map(|until| on_wall(until, now));
    ends.min().map(|end| now.mono + end.since(now.wall))
}

/// An instant as people read clocks.
pub(super) fn wall_of(then: Mono, now: Now) -> Timestamp {
    let ago = i64::try_from(now.mono.since(then).as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.wall.as_millis().saturating_sub(ago))
}

/// A deadline as people read clocks; `None` for never.
pub(super) fn on_wall(deadline: Deadline, now: Now) -> Option<Timestamp> {
    let mono = (deadline.mono != Mono::MAX).then(|| now.wall + deadline.mono.since(now.mono));
    let wall = (deadline.wall != Timestamp::MAX).then_some(deadline.wall);
    mono.into_iter().chain(wall).min()
}

pub(super) fn held(held: Held) -> &'static str {
    match held {
        Held::Unknown => "unknown",
        Held::Nothing => "none",
        Held::Pair { presence, .. } => presence.as_str(),
    }
}

pub(super) fn level(level: Level) -> &'static str {
    match level {
        Level::On => "on",
        Level::Off => "off",
        Level::Unknown => "unknown",
    }
}

pub(super) fn because(view: &View<'_>) -> String {
    match view.because() {
        Some(share) => name(&share),
        None => match view.standing() {
            crate::presence::Standing::Free => "free".to_owned(),
            _ => "nothing is known".to_owned(),
        },
    }
}

/// `call@1001`: the signal, and who says so in the words of the message.
pub(super) fn name(share: &ShareView<'_>) -> String {
    let by = if share.subject.is_empty() { share.device } else { share.subject };
    format!("{}@{by}", share.signal)
}

pub(super) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(|_| "?".to_owned(), |at| at.to_string())
}
