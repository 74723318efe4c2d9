//! What was last heard on each topic: a digest, so that a retained replay of the same does nothing.
//!
//! Without it, the retained INUSE of a PBX that died last week would come back as a fresh call at every reconnect.
//! Bounded: when full, the eighth that was heard longest ago is forgotten.

use std::collections::HashMap;
use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::action::SourceId;
use super::now::Mono;
use super::snapshot::SavedTopic;

/// As many topics as are remembered; an entry takes some 40 bytes.
const MOST: usize = 200_000;

/// What was not said again for so long is forgotten.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Clone, Copy, Debug)]
struct Heard {
    digest: u64,
    at: Mono,
}

/// How a message stands to what its topic said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recall {
    /// Never heard of.
    New,
    /// The same as last time.
    Same,
    /// Something else than last time.
    Other,
}

/// The last message of each topic that reached a listed person.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    topics: HashMap<(SourceId, u64), Heard>,
}

pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

impl Memory {
    pub(super) fn recall(&self, now: Mono, source: SourceId, topic: &str, payload: &[u8]) -> Recall {
        match self.topics.get(&(source, digest(topic.as_bytes()))) {
            None => Recall::New,
            Some(heard) if now.since(heard.at) > LONGEST => Recall::New,
            Some(heard) if heard.digest == digest(payload) => Recall::Same,
            Some(_) => Recall::Other,
        }
    }

    pub(super) fn remember(&mut self, now: Mono, source: SourceId, topic: &str, payload: &[u8]) {
        if self.topics.len() >= MOST {
            self.forget_oldest();
        }
        self.topics.insert((source, digest(topic.as_bytes())), Heard { digest: digest(payload), at: now });
    }

    pub(super) fn save(&self) -> Vec<SavedTopic> {
        let mut topics: Vec<SavedTopic> = self
            .topics
            .iter()
            .map(|(&(source, topic), heard)| SavedTopic { source, topic, payload: heard.digest, at: heard.at })
            .collect();
        topics.sort_by_key(|topic| (topic.source, topic.topic)); // the same core gives the same snapshot
        topics
    }

    pub(super) fn restore(&mut self, topics: impl Iterator<Item = SavedTopic>) {
        self.topics.extend(
            topics
                .take(MOST)
                .map(|SavedTopic { source, topic, payload, at }| ((source, topic), Heard { digest: payload, at })),
        );
    }

    fn forget_oldest(&mut self) {
        let mut times: Vec<Mono> = self.topics.values().map(|heard| heard.at).collect();
        let eighth = times.len() / 8;
        let (_, &mut oldest, _) = times.select_nth_unstable(eighth);
        self.topics.retain(|_, heard| heard.at > oldest);
    }
}
