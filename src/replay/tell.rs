//! What a replay tells, and how it is written as JSON lines.

use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::presence::{Presence, Timestamp};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Since the start, whole milliseconds.
    pub t: Duration,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A rule took a message, or none did.
    Effect(Arc<Effect>),
    /// Somebody should show something else.
    Wanted {
        /// Who.
        user: Arc<str>,
        /// What; `None`: nothing of ours.
        presence: Option<Presence>,
        /// The share that decided, as `signal@subject`.
        because: Option<String>,
    },
    /// A call to Graph.
    Call {
        /// For whom.
        user: Arc<str>,
        /// `setPresence` with `expirationDuration`; `None`: `clearPresence`.
        set: Option<(Presence, Duration)>,
        /// It says again what is held, before that ends.
        refresh: bool,
    },
    /// Colleagues see something else.
    Seen {
        /// Of whom.
        user: Arc<str>,
        /// `availability/activity`.
        presence: String,
    },
    /// A signal began or ended; not among the JSON lines, the picture draws it.
    Signal {
        /// Whose.
        user: Arc<str>,
        /// Its name.
        signal: Box<str>,
        /// It began.
        on: bool,
    },
}

/// What a rule made of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// As published.
    pub topic: String,
    /// The beginning of the payload, for people.
    pub payload: String,
    /// The rule by its name; `door` for the one that needs no rule; `None` where none matches.
    pub rule: Option<String>,
    /// Who it is about, as found in the message.
    pub subject: Option<String>,
    /// The person whom the subject leads to, if it leads to one.
    pub user: Option<Arc<str>>,
    /// Which signal.
    pub signal: Option<String>,
    /// The device that holds the share.
    pub device: Option<String>,
    /// `on`, `off`, `unknown`, `pulse`, `until`, `forget`, `device_down`, `device_up`; `ignored` or `rejected`, with a reason.
    pub effect: &'static str,
    /// The value that was compared with the rule's words.
    pub value: Option<String>,
    /// The end that the message names.
    pub until: Option<Timestamp>,
    /// Why there was no effect, or not the one that the value alone has.
    pub reason: Option<&'static str>,
    /// It said what was known already.
    pub again: bool,
    /// How long it lasts if nothing more is heard, for people.
    pub ttl: Option<Duration>,
    /// The message means something to another rule and nothing to this one: people need not hear of it.
    pub aside: bool,
}

/// Seconds, written without a fraction where there is none.
struct Seconds(Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.subsec_millis() {
            0 => serializer.serialize_u64(self.0.as_secs()),
            _ => serializer.serialize_f64(self.0.as_secs_f64()),
        }
    }
}

#[derive(Serialize)]
struct EffectLine<'a> {
    t: Seconds,
    kind: &'static str,
    topic: &'a str,
    rule: Option<&'a str>,
    subject: Option<&'a str>,
    user: Option<&'a str>,
    signal: Option<&'a str>,
    device: Option<&'a str>,
    effect: &'static str,
    value: Option<serde_json::Value>,
    until: Option<String>,
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct WantedLine<'a> {
    t: Seconds,
    kind: &'static str,
    user: &'a str,
    presence: Option<&'static str>,
    because: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallLine<'a> {
    t: Seconds,
    kind: &'static str,
    user: &'a str,
    call: &'static str,
    presence: Option<&'static str>,
    expiration_duration: Option<String>,
}

#[derive(Serialize)]
struct SeenLine<'a> {
    t: Seconds,
    kind: &'static str,
    user: &'a str,
    presence: &'a str,
}

impl Event {
    /// One JSON object without a line end; `None` for what the lines do not hold.
    #[must_use]
    pub fn json(&self) -> Option<String> {
        let t = Seconds(self.t);
        let line = match &self.what {
            What::Effect(effect) => serde_json::to_string(&EffectLine {
                t,
                kind: "effect",
                topic: &effect.topic,
                rule: effect.rule.as_deref(),
                subject: effect.subject.as_deref(),
                user: effect.user.as_deref(),
                signal: effect.signal.as_deref(),
                device: effect.device.as_deref(),
                effect: effect.effect,
                value: effect.value.as_deref().map(scalar),
                until: effect.until.map(rfc3339),
                reason: effect.reason,
            }),
            What::Wanted { user, presence, because } => {
                let presence = presence.map(Presence::as_str);
                serde_json::to_string(&WantedLine { t, kind: "wanted", user, presence, because: because.as_deref() })
            }
            What::Call { user, set, .. } => serde_json::to_string(&CallLine {
                t,
                kind: "call",
                user,
                call: if set.is_some() { "setPresence" } else { "clearPresence" },
                presence: set.map(|(presence, _)| presence.as_str()),
                expiration_duration: set.map(|(_, span)| iso8601(span)),
            }),
            What::Seen { user, presence } => serde_json::to_string(&SeenLine { t, kind: "seen", user, presence }),
            What::Signal { .. } => return None,
        };
        line.ok() // texts and numbers: nothing that JSON could not hold
    }
}

/// A word as JSON: a number, true or false where it is written as one, whatever the payload's format. A number with more
/// digits than a reader of JSON keeps is a text.
fn scalar(word: &str) -> serde_json::Value {
    use serde_json::Value;
    match serde_json::from_str(word) {
        Ok(value @ (Value::Bool(_) | Value::Null)) => value,
        Ok(Value::Number(number)) if word.len() <= 15 => Value::Number(number),
        _ => Value::from(word),
    }
}

/// UTC.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(|_| "?".to_owned(), |at| at.to_string())
}

/// Whole seconds, as Graph is told: `PT5M`.
pub(super) fn iso8601(span: Duration) -> String {
    let seconds = span.as_secs();
    let mut text = "PT".to_owned();
    for (count, unit) in [(seconds / 3600, 'H'), (seconds % 3600 / 60, 'M'), (seconds % 60, 'S')] {
        if count > 0 {
            text += &format!("{count}{unit}");
        }
    }
    if text == "PT" { "PT0S".to_owned() } else { text }
}

/// `1h 30m`
#[must_use]
pub fn words(span: Duration) -> String {
    let seconds = span.as_secs();
    let units =
        [(seconds / 86_400, 'd'), (seconds % 86_400 / 3600, 'h'), (seconds % 3600 / 60, 'm'), (seconds % 60, 's')];
    let parts: Vec<String> =
        units.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// The beginning of a text, on one line: what is shown may come from anybody.
#[must_use]
pub fn excerpt(text: &str, most: usize) -> String {
    let mut short: String =
        text.chars().take(most).map(|c| if c.is_control() || is_bidi(c) { '\u{b7}' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}

/// What would turn the rest of a line around.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}
