//! What outlives the process: shares, topic memory, what Graph was last known to hold, and the gate.
//!
//! Everything is keyed by names that a new configuration may still have (tenant and object ids, names of signals, what a
//! rule says), never by places in the old one. Unknown fields are kept out of the way of older versions by serde's
//! defaults; [`VERSION`] changes only when an old reader would misunderstand.

use serde::{Deserialize, Serialize};

use super::action::SourceId;
use super::board::Share;
use super::now::{Deadline, Mono, Now};
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
}

/// Under which circumstances a snapshot is taken up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// The machine has not been started again: the clock since boot still counts.
    pub same_boot: bool,
    /// The last process ended by itself and waited for its calls; otherwise what Graph holds is unknown.
    pub clean: bool,
}
