//! One message through the rules with every step shown, for people who ask why. Nothing decides by it.
//!
//! What a rule makes of a message is asked of the rule itself, and what it saw on the way is looked up in the same places
//! by the same means; so the two can only differ in what they show, and `tests/replay/trace.rs` holds them together. Whoever
//! does not ask pays nothing: the way of a message through the core does not pass here.

mod follow;
mod shown;

use std::time::Duration;

use super::door::Pause;
use super::{Effect, Fact, Reason, Say, Turn, Window};
use crate::presence::now::Timestamp;
use crate::presence::plan::{RuleId, SignalId};

/// What was looked at, and what stood there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// As the rule writes it; `payload` for all of it.
    pub place: String,
    /// At most [`LONGEST`] characters; arrays and objects as JSON. `None`: nothing stood there.
    pub found: Option<String>,
}

/// So much of a value is told, in characters.
pub const LONGEST: usize = 200;

/// A condition that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `when`, or `where` for that of an element.
    pub key: &'static str,
    /// What it looked at.
    pub look: Look,
    /// What it asks for.
    pub wants: String,
    /// Whether that is so.
    pub holds: bool,
}

/// The array that a rule searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elements {
    /// By JSON Pointer.
    pub at: String,
    /// How many there are; `None`: nothing to search stood there.
    pub all: Option<usize>,
    /// How many of them count.
    pub chosen: usize,
}

/// The list of a rule that a value stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `on`
    On,
    /// `pulse`
    Pulse,
    /// `toggle`
    Toggle,
    /// `off`
    Off,
    /// `unknown`
    Unknown,
}

impl List {
    /// Its key in a rule.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            List::On => "on",
            List::Pulse => "pulse",
            List::Toggle => "toggle",
            List::Off => "off",
            List::Unknown => "unknown",
        }
    }
}

/// An [`Effect`] that outlives its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Index into `Plan::people`.
    pub person: usize,
    /// Which signal.
    pub signal: SignalId,
    /// The device that holds the share.
    pub device: String,
    /// The subject in the spelling that the share keeps.
    pub subject: String,
    /// On, off or unknown.
    pub say: Say,
    /// How what was said before bears on it.
    pub turn: Turn,
    /// How long it lasts if nothing more is heard.
    pub ttl: Duration,
    /// How long an on must last before it counts.
    pub delay: Duration,
    /// The end that the message knows.
    pub until: Option<Timestamp>,
    /// The windows of a calendar.
    pub windows: Option<Vec<Window>>,
}

impl From<Effect<'_>> for Told {
    fn from(effect: Effect<'_>) -> Self {
        Told {
            person: effect.person,
            signal: effect.signal,
            device: effect.device.to_owned(),
            subject: effect.subject.to_owned(),
            say: effect.say,
            turn: effect.more.turn,
            ttl: effect.ttl,
            delay: effect.delay,
            until: effect.until,
            windows: effect.more.windows.map(<[Window]>::to_vec),
        }
    }
}

/// What a message comes to, before anything that was said earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Something about a share.
    Share(Told),
    /// Something beside shares: an end, whether an on counts, whether a device is there.
    Beside(Fact),
    /// Something about a pause.
    Pause(Pause),
}

/// What one rule makes of a message; where that is several things, each has one of these.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The rule, or [`RuleId::DOOR`].
    pub rule: RuleId,
    /// For a topic beside the rule's own, its place among [`Rule::siblings`](super::Rule::siblings).
    pub beside: Option<usize>,
    /// What the topic's captures hold, by name.
    pub captures: Vec<(String, String)>,
    /// Nothing was said any more: the payload is empty.
    pub withdrawn: bool,
    /// In their order, up to the first that does not hold.
    pub conditions: Vec<Condition>,
    /// The array that was searched.
    pub elements: Option<Elements>,
    /// The value that is compared with the lists; `None` where none is.
    pub value: Option<Look>,
    /// The list that it stands in.
    pub list: Option<List>,
    /// Whom the message names, before any normalisation.
    pub subject: Option<Look>,
    /// The same as it is looked for among devices and people; `None`: there is none of that form.
    pub key: Option<String>,
    /// Where that leads, an index into `Plan::people`.
    pub person: Option<usize>,
    /// What it comes to, or why to nothing.
    pub result: Result<Outcome, Reason>,
}

/// Why a rule does not take a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed<'a> {
    /// It listens to another broker.
    Source,
    /// Its pattern does not match.
    Topic,
    /// Its pattern matches, and this one of `except` does too.
    Except(&'a str),
}
