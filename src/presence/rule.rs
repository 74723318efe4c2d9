//! From a message to effects on shares, or a typed reason why not. (The evaluator arrives with the rules.)

use std::time::Duration;

use super::action::SourceId;
use super::plan::{RuleId, SignalId};

/// What a device says of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// It is on.
    On,
    /// It is off.
    Off,
    /// The device does not know, or withdrew what it said.
    Unknown,
}

/// What one rule makes of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect<'a> {
    /// Index into `Plan::people`.
    pub person: usize,
    /// Which signal.
    pub signal: SignalId,
    /// Which device holds the share; with `subject` its identity.
    pub device: &'a str,
    /// The subject as found, before the device table.
    pub subject: &'a str,
    /// On, off or unknown.
    pub say: Say,
    /// How long the share lasts if nothing more is heard.
    pub ttl: Duration,
    /// The message itself says for how long (the door's `for`): it counts from a live message only.
    pub timed: bool,
    /// Whether a retained replay may speak.
    pub accept_retained: bool,
}

/// Why a message had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No rule's topic pattern matches.
    NoRule,
    /// The value is in none of the rule's word lists.
    OtherValue,
    /// The field that the rule looks at is not there.
    Missing,
    /// A retained replay for a rule that ignores those.
    RetainedIgnored,
    /// A retained replay of what was already heard.
    Replay,
    /// The topic is not UTF-8 or not a topic.
    BadTopic,
    /// The payload exceeds what rules look at (64 KiB).
    TooLarge,
    /// The payload is not UTF-8.
    NotUtf8,
    /// The payload is not the JSON that the rule wants.
    BadJson,
    /// JSON nested deeper than 32.
    TooDeep,
    /// A JSON object names a key twice.
    DuplicateKey,
    /// The subject leads to no listed person.
    UnknownSubject,
    /// No such signal (door).
    UnknownSignal,
    /// The person has as many shares as one may have.
    TooManyShares,
}

impl Reason {
    /// Its name in counters and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::NoRule => "no_rule",
            Reason::OtherValue => "other_value",
            Reason::Missing => "missing",
            Reason::RetainedIgnored => "retained_ignored",
            Reason::Replay => "replay",
            Reason::BadTopic => "bad_topic",
            Reason::TooLarge => "too_large",
            Reason::NotUtf8 => "not_utf8",
            Reason::BadJson => "bad_json",
            Reason::TooDeep => "too_deep",
            Reason::DuplicateKey => "duplicate_key",
            Reason::UnknownSubject => "unknown_subject",
            Reason::UnknownSignal => "unknown_signal",
            Reason::TooManyShares => "too_many_shares",
        }
    }
}

/// All rules of a configuration and the table of devices.
#[derive(Debug, Default)]
pub struct Rules {}

impl Rules {
    /// The rule of `new` that says the same as rule `id` of these, if there is one.
    #[must_use]
    pub fn successor(&self, id: RuleId, _new: &Rules) -> Option<RuleId> {
        Some(id)
    }

    /// Where a subject leads: an index into `Plan::people`.
    #[must_use]
    pub fn resolve(&self, _subject: &str) -> Option<usize> {
        None
    }

    /// Calls `each` once for every rule whose topic pattern matches, with what it makes of the message. Does not call it
    /// at all if none matches.
    pub fn evaluate(
        &self,
        _source: SourceId,
        _topic: &str,
        _payload: &[u8],
        _each: &mut dyn FnMut(RuleId, Result<Effect<'_>, Reason>),
    ) {
    }
}
