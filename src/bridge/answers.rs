//! Answers at the door: whoever sends a message there and is refused is told why, on `in/<label>/error`. At most one a
//! second, since anybody can cause them; the rest is counted.

use std::time::Duration;

use serde_json::json;

use super::{Bridge, report};
use crate::mqtt;
use crate::presence::rule::door::{ERROR, FORGET};
use crate::presence::{Mono, Reason};
use crate::telemetry::Event;

/// One answer in this time.
const APART: Duration = Duration::from_secs(1);
/// A longer name is nobody's.
const LONGEST_LABEL: usize = 64;
const WORDS: &str = r#"on, off, {"on": true, "for": "30m"} or {"on": true, "until": "2026-11-24T17:00:00Z"}"#;

/// Label and signal of a topic at the door.
fn parts<'a>(prefix: &str, topic: &'a [u8]) -> Option<(&'a str, &'a str)> {
    let topic = std::str::from_utf8(topic).ok()?;
    topic.strip_prefix(prefix)?.strip_prefix("/in/")?.split_once('/')
}

/// Whether a topic is behind the door.
pub(super) fn is_door(prefix: &str, topic: &[u8]) -> bool {
    parts(prefix, topic).is_some()
}

/// Whether it is one of ours, which the broker brings back: the door's filter takes it too.
pub(super) fn is_answer(prefix: &str, topic: &[u8]) -> bool {
    parts(prefix, topic).is_some_and(|(_, signal)| signal == ERROR)
}

impl Bridge {
    /// A message at the door of the broker at `place` was refused.
    pub(super) fn answer_at_door(&mut self, place: usize, topic: &[u8], reason: Reason) {
        if matches!(reason, Reason::Replay | Reason::RetainedIgnored) {
            return; // nobody has just said that
        }
        let Some((label, _)) = parts(&self.topic_prefix, topic) else { return };
        if !(1..=LONGEST_LABEL).contains(&label.chars().count()) || label.contains(|c: char| c.is_control()) {
            return;
        }
        let answer = self.answer_to(label, topic, reason);
        let now = self.clock.real();
        let soon = self.answered.is_some_and(|last| now.since(last) < APART);
        let free = self.links.get_mut(place).filter(|link| link.answer.is_none() && !soon);
        let given = free.is_some();
        if let Some(link) = free {
            link.answer = Some(answer);
            self.answered = Some(now);
        }
        self.telemetry.tell(&Answered { given });
    }

    fn answer_to(&self, label: &str, topic: &[u8], reason: Reason) -> mqtt::Message {
        let remedy = match reason {
            Reason::UnknownSubject => "nobody is listed by this name: names are those of [users], the people file and \
                                       [devices]"
                .to_owned(),
            Reason::UnknownSignal => {
                let signals = self.signals.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
                format!("no such signal: {signals}; or pause, or forget")
            }
            Reason::TooLarge => format!("too large: {WORDS}"),
            Reason::NotUtf8 => format!("not UTF-8: {WORDS}"),
            Reason::TooManyShares => {
                "this person has as many shares as one may have: wait until some have ended, or say off on topics that are \
                 not needed"
                    .to_owned()
            }
            Reason::BadJson => format!(
                "not JSON as it is taken here: {WORDS}; for and until exclude each other, for is 1 s to 31 days, until has \
                 its offset"
            ),
            _ if topic.ends_with(FORGET.as_bytes()) => "say on".to_owned(),
            _ => format!("say {WORDS}"),
        };
        let said = json!({ "topic": report::shown(topic), "reason": reason.as_str(), "remedy": remedy });
        mqtt::Message::new(format!("{}/in/{label}/{ERROR}", self.topic_prefix), said.to_string())
    }
}

/// When a message at the door was last answered.
pub(super) type LastAnswer = Option<Mono>;

/// A message at the door was refused.
struct Answered {
    given: bool,
}

impl Event for Answered {
    const NAME: &'static str = "door_refusal";

    fn reason(&self) -> &'static str {
        if self.given { "answered" } else { "not_answered" }
    }

    fn log(&self, _: Option<u64>) {} // what was refused has a line already
}
