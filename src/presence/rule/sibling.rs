//! Topics beside a rule's own that say more about the same thing: when it ends, whether it counts, whether the device is
//! there. They belong together by the captures that they share, and come in any order.

use super::judge::read_time;
use super::pattern::Regex;
use super::payload::{Payload, Sight};
use super::text::Scratch;
use super::words::Words;
use super::{Format, LARGEST, Place, Reason, Rules};
use crate::presence::action::SourceId;
use crate::presence::memory;
use crate::presence::now::Timestamp;
use crate::presence::plan::RuleId;
use crate::presence::topic::Pattern;

/// A topic beside a rule's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Sibling {
    /// The topic; its captures are among the rule's.
    pub pattern: Pattern,
    /// How its payload is read.
    pub format: Format,
    /// What takes it apart, for [`Format::Match`].
    pub regex: Option<Regex>,
    /// What counts of it.
    pub value: Place,
    /// What it says.
    pub role: Role,
}

/// What a sibling says.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// When an on ends.
    Until,
    /// An on counts only while it says one of these.
    When(Words),
    /// An on does not count while it says one of these.
    Unless(Words),
    /// Whether the device is there.
    Alive {
        /// It is.
        up: Words,
        /// It is not.
        down: Words,
        /// What it had said stays while it is not.
        keep: bool,
    },
}

/// What a sibling said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// When an on ends, if that is known.
    Until(Option<Timestamp>),
    /// Whether an on may count.
    Counts(bool),
    /// Whether the device is away.
    Down(bool),
}

impl Sibling {
    /// Which captures of a rule's `pattern` its own are, in its order.
    pub(super) fn links(&self, pattern: &Pattern) -> Vec<usize> {
        self.pattern.names().filter_map(|name| pattern.names().position(|other| other == name)).collect()
    }

    fn fact(&self, captures: &[&str], payload: &Payload<'_>, zone: &super::Zone) -> Result<Fact, Reason> {
        if payload.bytes.len() > LARGEST {
            return Err(Reason::TooLarge);
        }
        if payload.bytes.is_empty() {
            return Ok(match self.role {
                Role::Until => Fact::Until(None),
                Role::When(_) => Fact::Counts(false),
                Role::Unless(_) => Fact::Counts(true),
                Role::Alive { .. } => Fact::Down(false), // nothing is said of it any more
            });
        }
        let sight = Sight::new(payload, self.format, captures, self.regex.as_ref())?;
        let mut scratch = Scratch::new();
        let value = sight.look(&self.value, &mut scratch)?;
        match &self.role {
            Role::Until => Ok(Fact::Until(value.map_or(Ok(None), |value| read_time(&value, zone))?)),
            Role::When(words) => Ok(Fact::Counts(words.holds(value.as_ref()))),
            Role::Unless(words) => Ok(Fact::Counts(!words.holds(value.as_ref()))),
            Role::Alive { down, .. } if down.holds(value.as_ref()) => Ok(Fact::Down(true)),
            Role::Alive { up, .. } if up.is_empty() || up.holds(value.as_ref()) => Ok(Fact::Down(false)),
            Role::Alive { .. } => Err(Reason::OtherValue),
        }
    }
}

impl Rules {
    /// Calls `each` for every sibling whose topic this is: with its rule, the key that it shares with that rule's
    /// messages, and what it says.
    pub fn beside(
        &self,
        source: SourceId,
        topic: &str,
        payload: &[u8],
        each: &mut dyn FnMut(RuleId, u64, Result<Fact, Reason>),
    ) {
        if self.beside.is_empty() {
            return;
        }
        let payload = Payload::new(payload);
        self.sibling_index.find(topic, &mut |id| {
            let (id, place) = self.beside[id as usize];
            let rule = &self.rules[id.0 as usize];
            let sibling = &rule.siblings[place];
            if rule.source.is_some_and(|only| only != source) {
                return;
            }
            if let Some(captures) = sibling.pattern.captures(topic) {
                let key = self.key(id, place, captures.iter().copied());
                each(id, key, sibling.fact(&captures, &payload, &rule.zone));
            }
        });
    }

    /// The keys that a message of a rule shares with those of its siblings, in their order.
    pub(super) fn links(&self, id: RuleId, captures: &[&str]) -> Vec<u64> {
        let links = &self.prepared[id.0 as usize].links;
        let key = |(place, own): (usize, &Vec<usize>)| {
            self.key(id, place, own.iter().filter_map(|&own| captures.get(own)).copied())
        };
        links.iter().enumerate().map(key).collect()
    }

    pub(super) fn key<'a>(&self, id: RuleId, place: usize, captures: impl Iterator<Item = &'a str>) -> u64 {
        let mut text = format!("{:x} {place}", self.prepared[id.0 as usize].fingerprint);
        for capture in captures {
            text.push('\0');
            text.push_str(capture);
        }
        memory::digest(text.as_bytes())
    }
}
