//! Why a message had no effect: counted under these names.

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
    /// A list that names nobody.
    EmptyList,
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
    /// A guard of the rule does not hold, or its pattern does not match the payload.
    Guard,
    /// A time in the payload cannot be read.
    BadTime,
    /// The payload's own time says that it is older than the rule takes.
    TooOld,
    /// The same event again: a press that was delivered twice.
    Duplicate,
    /// A retained message of a device that is known to be away.
    DeviceDown,
}

/// A subject that leads to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stranger<'a> {
    /// As the message has it.
    pub found: &'a str,
    /// As it was looked for among devices and people; `None`: the rule's `match` or `as` takes nothing of that kind.
    pub subject: Option<&'a str>,
}

/// A reason on its way out of the rules, with whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused<'a> {
    For(Reason),
    Stranger(Stranger<'a>),
}

impl Refused<'_> {
    pub(super) fn reason(self) -> Reason {
        match self {
            Refused::For(reason) => reason,
            Refused::Stranger(_) => Reason::UnknownSubject,
        }
    }
}

impl Reason {
    /// Its name in counters and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::NoRule => "no_rule",
            Reason::OtherValue => "other_value",
            Reason::Missing => "missing",
            Reason::EmptyList => "empty_list",
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
            Reason::Guard => "guard",
            Reason::BadTime => "bad_time",
            Reason::TooOld => "too_old",
            Reason::Duplicate => "duplicate",
            Reason::DeviceDown => "device_down",
        }
    }
}
