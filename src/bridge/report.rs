//! Notable events of the loop. WARN recovers by itself; ERROR is for somebody to act on.

use crate::graph::{Failure, Sent, Unread};
use crate::presence::{Alarm, Applied, Cause, Outcome, PersonId, Presence, Reason};
use crate::telemetry::{AlarmText, Event};

/// As much of a topic as a log line shows.
const SHOWN: usize = 128;

/// The words for `alarm` of the core; `label` names a person.
#[must_use]
pub fn words_for(alarm: Alarm, label: impl Fn(PersonId) -> String) -> AlarmText {
    let (name, about, remedy) = match alarm {
        Alarm::ApplicationRefused(_) => (
            "application_refused",
            None,
            "Graph refuses the application (401 or 403): grant it the application permission Presence.ReadWrite.All with \
             admin consent, and check tenant id, client id and secret; it is tried again every 5 minutes",
        ),
        Alarm::NobodyKnown(_) => (
            "nobody_known",
            None,
            "Graph knows none of the people called last (404): check tenant_id and cloud, and that [users] holds object \
             ids of this tenant; it is tried again every 5 minutes",
        ),
        Alarm::NoSuchUser(person) => (
            "no_such_user",
            Some(label(person)),
            "Graph does not know this person (404): check the object id in [users], the licence, and whether the account \
             was deleted; tried again after an hour, then less often",
        ),
        Alarm::RequestRefused(person) => (
            "request_refused",
            Some(label(person)),
            "Graph refused the request itself (400): Graph changed or this is a bug; report the log line with its \
             request-id; the same request is not repeated",
        ),
        Alarm::PersonRefused(person) => (
            "person_refused",
            Some(label(person)),
            "Graph refuses this person only (401 or 403): the account may be in another tenant or protected; tried again \
             after an hour, then less often",
        ),
        Alarm::BudgetShort(_) => (
            "budget_short",
            None,
            "refreshes and changes take 90 % of presence.rate or more, so that sessions stretch up to \
             presence.max_stale_ceiling and outlive a bridge that dies by so much: raise presence.max_stale, set \
             presence.when_free = \"nothing\", or run `presence-bridge check` for what would fit",
        ),
        Alarm::ReadRefused(_) => (
            "read_refused",
            None,
            "Graph does not let the application read presence (401 or 403), which presence.verify needs: grant it the \
             application permission Presence.ReadWrite.All (or Presence.Read.All) with admin consent, or take presence.verify out; presences are set all \
             the same, and reading is tried again every hour",
        ),
    };
    AlarmText { name, about, remedy: remedy.into() }
}

/// What a rule made of a message.
pub(super) struct Message<'a> {
    pub(super) topic: &'a [u8],
    pub(super) result: Result<Applied, Reason>,
}

impl Event for Message<'_> {
    const NAME: &'static str = "message";

    fn reason(&self) -> &'static str {
        match self.result {
            Ok(Applied::Changed) => "changed",
            Ok(Applied::Renewed) => "renewed",
            Err(reason) => reason.as_str(),
        }
    }

    fn log(&self, due: Option<u64>) {
        let (Some(times), Err(reason)) = (due, self.result) else { return };
        let (topic, usual, reason) = (shown(self.topic), is_usual(reason), reason.as_str());
        if usual {
            tracing::debug!(reason, topic, times, "Message without effect.");
        } else {
            tracing::warn!(reason, topic, times, "Message refused.");
        }
    }
}

/// What a healthy installation produces all day.
fn is_usual(reason: Reason) -> bool {
    use Reason::{DeviceDown, Duplicate, Guard, Missing, NoRule, OtherValue, Replay, RetainedIgnored, TooOld};
    let not_for_us = matches!(reason, NoRule | Guard | OtherValue | Missing);
    not_for_us || matches!(reason, RetainedIgnored | Replay | Duplicate | TooOld | DeviceDown)
}

/// Escaped and capped: a topic is written by strangers.
pub(super) fn shown(topic: &[u8]) -> String {
    let text = String::from_utf8_lossy(topic);
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// The name of an outcome in logs and counters.
fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Throttled { .. } => "throttled",
        Outcome::NotSent => "not_sent",
        Outcome::Ambiguous => "ambiguous",
        Outcome::Unauthorised => "unauthorised",
        Outcome::Forbidden { .. } => "forbidden",
        Outcome::NoSuchUser => "no_such_user",
        Outcome::Refused => "refused",
    }
}

/// A call to Graph ended.
pub(super) struct CallEnded<'a> {
    pub(super) user: &'a str,
    pub(super) from: &'a str,
    pub(super) to: Option<Presence>,
    pub(super) cause: Cause,
    pub(super) because: &'a str,
    pub(super) sent: &'a Sent,
}

impl Event for CallEnded<'_> {
    const NAME: &'static str = "call";

    fn reason(&self) -> &'static str {
        outcome(self.sent.outcome)
    }

    fn log(&self, due: Option<u64>) {
        let &CallEnded { user, from, because, .. } = self;
        let to = self.to.map_or("none", Presence::as_str);
        match (self.sent.outcome, self.cause) {
            (Outcome::Accepted, Cause::Refresh) => tracing::debug!(user, to, "Presence refreshed."),
            (Outcome::Accepted, Cause::Change) => tracing::info!(user, from, to, because, "Presence set."),
            _ => failed(user, to, self.reason(), self.sent.failure.as_ref(), due),
        }
    }
}

/// A read of what colleagues see ended.
pub(super) struct ReadEnded<'a> {
    pub(super) unread: Option<&'a Unread>,
    pub(super) people: usize,
}

impl Event for ReadEnded<'_> {
    const NAME: &'static str = "read";

    fn reason(&self) -> &'static str {
        self.unread.map_or("answered", |unread| outcome(unread.why))
    }

    fn log(&self, due: Option<u64>) {
        let (reason, people) = (self.reason(), self.people);
        let (Some(times), Some(unread)) = (due, self.unread) else {
            return tracing::debug!(reason, people, "Presence read back.");
        };
        let (error, request_id) = (unread.failure.error.as_str(), unread.failure.request_id.as_deref());
        tracing::warn!(reason, people, error, request_id, times, "Presence could not be read back.");
    }
}

/// Colleagues see something else than what Graph confirmed.
pub(super) struct NotSeen<'a> {
    pub(super) user: &'a str,
    pub(super) held: &'static str,
    pub(super) availability: &'a str,
    pub(super) activity: &'a str,
    /// It was asserted before, or is more taken: the person's own choice or client.
    pub(super) overridden: bool,
}

impl Event for NotSeen<'_> {
    const NAME: &'static str = "not_seen";

    fn reason(&self) -> &'static str {
        if self.overridden { "overridden" } else { "asserted_again" }
    }

    fn log(&self, due: Option<u64>) {
        let &NotSeen { user, held, availability, activity, overridden } = self;
        let seen = format!("{availability}/{activity}");
        match (overridden, due) {
            (false, Some(times)) => tracing::info!(user, held, seen, times, "Presence not seen; set once more."),
            _ => tracing::debug!(user, held, seen, overridden, "Presence not seen."),
        }
    }
}

/// One line for each failure: the first of its kind in a minute at WARN, the others at DEBUG.
fn failed(user: &str, to: &str, outcome: &str, failure: Option<&Failure>, due: Option<u64>) {
    let error = failure.map_or("unknown", |failure| &failure.error);
    let client_request_id = failure.and_then(|failure| failure.client_request_id.as_deref());
    let request_id = failure.and_then(|failure| failure.request_id.as_deref());
    let diagnostic = failure.and_then(|failure| failure.diagnostic.as_deref());
    let retry_after_s = failure.and_then(|failure| failure.retry_after).map(|span| span.as_secs_f64());
    macro_rules! line {
        ($level:ident $(, $times:ident)?) => {
            tracing::$level!(
                user, to, outcome, error, client_request_id, request_id, diagnostic, retry_after_s, $($times,)?
                "A call to Graph failed."
            )
        };
    }
    match due {
        Some(times) => line!(warn, times),
        None => line!(debug),
    }
}
