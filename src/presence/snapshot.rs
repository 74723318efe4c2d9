//! What outlives the process: shares, topic memory, what Graph was last known to hold, and the gate.
//!
//! Everything is keyed by names that a new configuration may still have (tenant and object ids, names of signals, what a
//! rule says), never by places in the old one. Unknown fields are kept out of the way of older versions by serde's
//! defaults; [`VERSION`] changes only when an old reader would misunderstand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::action::SourceId;
use super::board::Share;
use super::now::{Deadline, Mono, Now};
use super::partition::Partition;
use super::plan::ObjectId;
use super::session::Held;

/// The format that is written.
pub const VERSION: u32 = 1;

/// A core, or a part of one, at an instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// When it was taken, on both clocks.
    pub taken: Now,
    /// People with anything to remember.
    pub people: Vec<SavedPerson>,
    /// The last message of each topic.
    pub topics: Vec<SavedTopic>,
    /// The last event of each device whose rule tells one from the next: digests of the device and of the event, and when.
    pub events: Vec<(u64, u64, Mono)>,
    /// Brokers that had been listened to: since when they could not be heard, if they could not.
    pub sources: Vec<(SourceId, Option<Mono>)>,
    /// Tenants whose gate was shut, and until when.
    pub gates: Vec<(ObjectId, Mono)>,
}

/// One person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedPerson {
    /// Directory (tenant) id.
    pub tenant: ObjectId,
    /// Object id.
    pub object_id: ObjectId,
    /// The shares.
    pub shares: Vec<SavedShare>,
    /// What Graph was last known to hold; unknown while a call was out.
    pub held: Held,
    /// What was out, or had no answer, may still be applied until then.
    #[serde(default)]
    pub may_land_until: Option<Mono>,
    /// Paused until then.
    #[serde(default)]
    pub paused: Option<Deadline>,
}

/// One share, with what its places in the configuration mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedShare {
    /// The name of the signal.
    pub signal: Box<str>,
    /// A digest of everything that the rule says; `None` for the door.
    pub rule: Option<u64>,
    /// The share.
    pub share: Share,
}

/// What a topic said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedTopic {
    /// The broker.
    pub source: SourceId,
    /// Digest of the topic.
    pub topic: u64,
    /// Digest of its last payload.
    pub payload: u64,
    /// When that was heard.
    pub at: Mono,
    /// Partitions of the people whom it reached: a bit each, all where it is not known.
    #[serde(default = "everybody")]
    pub partitions: u64,
    /// Who that is, as far as it takes to forget them.
    #[serde(default)]
    pub about: Tag,
}

fn everybody() -> u64 {
    u64::MAX
}

impl Snapshot {
    /// The people of one partition, and what was said of them: what another owner needs.
    #[must_use]
    pub fn part(&self, partition: Partition) -> Snapshot {
        let of = |person: &&SavedPerson| Partition::of(person.tenant, person.object_id) == partition;
        let bit = 1_u64.checked_shl(partition.0.into()).unwrap_or(0);
        Snapshot {
            people: self.people.iter().filter(of).cloned().collect(),
            topics: self.topics.iter().filter(|topic| topic.partitions & bit != 0).copied().collect(),
            version: self.version,
            taken: self.taken,
            events: self.events.clone(),
            sources: self.sources.clone(),
            gates: self.gates.clone(),
        }
    }

    /// Names the brokers anew: from their places when it was taken to those of now. What came from one that is not there any
    /// more is left out.
    pub fn rename_sources(&mut self, place: impl Fn(SourceId) -> Option<SourceId>) {
        let renamed = |source: &mut SourceId| place(*source).map(|now| *source = now).is_some();
        self.topics.retain_mut(|topic| renamed(&mut topic.source));
        self.sources.retain_mut(|(source, _)| renamed(source));
        for person in &mut self.people {
            person.shares.retain_mut(|saved| renamed(&mut saved.share.source));
        }
    }
}

/// What changed between two instants: for a journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// It is everything: what was known before is replaced.
    pub whole: bool,
    /// Who and what changed, as it is now; brokers and gates are all of them.
    pub part: Snapshot,
    /// Of whom (tenant, object id) there is nothing to remember any more.
    pub gone: Vec<(ObjectId, ObjectId)>,
}

/// Changes, one upon the other.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    people: BTreeMap<(ObjectId, ObjectId), SavedPerson>,
    topics: BTreeMap<(SourceId, u64), SavedTopic>,
    events: BTreeMap<u64, (u64, Mono)>,
    rest: Snapshot,
}

impl Folded {
    /// What came next.
    pub fn fold(&mut self, changes: Changes) {
        let Changes { whole, mut part, gone } = changes;
        if whole {
            self.people.clear();
            self.topics.clear();
            self.events.clear();
        }
        for person in gone {
            self.people.remove(&person);
        }
        let people = std::mem::take(&mut part.people).into_iter();
        self.people.extend(people.map(|person| ((person.tenant, person.object_id), person)));
        let topics = std::mem::take(&mut part.topics).into_iter();
        self.topics.extend(topics.map(|topic| ((topic.source, topic.topic), topic)));
        let events = std::mem::take(&mut part.events).into_iter();
        self.events.extend(events.map(|(device, event, at)| (device, (event, at))));
        self.rest = part;
    }

    /// All of it.
    #[must_use]
    pub fn into_snapshot(self) -> Snapshot {
        let (people, topics) = (self.people.into_values().collect(), self.topics.into_values().collect());
        let events = self.events.into_iter().map(|(device, (event, at))| (device, event, at)).collect();
        Snapshot { people, topics, events, ..self.rest }
    }
}

/// Whom a topic reached, in as little as finds them again when they are to be forgotten: a part of a digest of the object id.
/// With the partition, two of ten thousand people share it now and then; then both are forgotten, and no more comes of that
/// than of a topic heard for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag(u16);

impl Tag {
    /// More than one person, or nobody knows.
    pub(super) const SEVERAL: Tag = Tag(0);

    /// Of a digest.
    pub(super) fn of(digest: u64) -> Tag {
        Tag(u16::try_from(digest & 0xffff).unwrap_or(0).max(1))
    }

    pub(super) fn may_be(self, other: Tag) -> bool {
        self == other || self == Tag::SEVERAL
    }
}

/// Under which circumstances a snapshot is taken up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// The machine has not been started again: the clock since boot still counts.
    pub same_boot: bool,
    /// The last process ended by itself and waited for its calls; otherwise what Graph holds is unknown.
    pub clean: bool,
}
