//! What the bridge says on its own retained topics.

use serde_json::json;

use super::report::AlarmText;
use crate::presence::{Held, Level, ShareView, Timestamp, View};

/// The retained status of a bridge that is gone.
pub(super) const OFFLINE: &str = r#"{"state":"offline"}"#;

pub(super) fn online<'a>(alarms: impl Iterator<Item = &'a AlarmText>) -> String {
    let alarms: Vec<_> =
        alarms.map(|alarm| json!({ "alarm": alarm.name, "about": alarm.about, "remedy": alarm.remedy })).collect();
    json!({ "state": "online", "version": env!("CARGO_PKG_VERSION"), "alarms": alarms }).to_string()
}

/// A person, for busy lights and dashboards.
pub(super) fn person(view: &View<'_>) -> String {
    let on: Vec<String> = view.shares().filter(|share| share.level == Level::On).map(|share| name(&share)).collect();
    json!({
        "wanted": view.wanted().map(|pair| pair.as_str()),
        "held": match view.held() {
            Held::Nothing => None,
            held => Some(self::held(held)),
        },
        "because": view.because().map(|share| name(&share)),
        "since": view.because().map(|share| rfc3339(share.since)),
        "on": on,
    })
    .to_string()
}

pub(super) fn held(held: Held) -> &'static str {
    match held {
        Held::Unknown => "unknown",
        Held::Nothing => "none",
        Held::Pair { presence, .. } => presence.as_str(),
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
fn name(share: &ShareView<'_>) -> String {
    let by = if share.subject.is_empty() { share.device } else { share.subject };
    format!("{}@{by}", share.signal)
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(|_| "?".to_owned(), |at| at.to_string())
}
