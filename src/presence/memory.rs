//! What was last heard on each topic: a digest, so that a retained replay of the same does nothing.
//!
//! Without it, the retained INUSE of a PBX that died last week would come back as a fresh call at every reconnect.
//! Bounded: when full, the eighth that was heard longest ago is forgotten.
//!
//! It also makes a repeat cheap. Most messages say again what their topic said before, and all that does is to renew the
//! lease of one share. Rules, person and share lie far apart in memory, and each costs more to fetch than a repeat may
//! take. So where nothing but the lease can change, the share leaves its *renewal* here: a repeat notes its time and
//! is done, and the share asks for that time when its lease would end, or when anything else touches it.

pub(super) mod notes;

use std::collections::HashMap;
use std::hash::Hasher;
use std::num::NonZeroU64;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::action::{PersonId, SourceId};
use super::now::Mono;
use super::plan::RuleId;
use super::quick::Keyed;
use super::snapshot::{SavedTopic, Tag};

/// As many topics as are remembered at least; an entry takes some 70 bytes.
const MOST: usize = 200_000;

/// As many for each person, where that is more.
const MOST_EACH: usize = 4;

/// What was not said again for so long is forgotten.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A journal may be this part of a lease behind.
const LATE: u32 = 10;

/// A topic of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TopicKey(NonZeroU64);

impl TopicKey {
    pub(super) fn new(source: SourceId, topic: &str) -> Self {
        Self::of(source, digest(topic.as_bytes()))
    }

    /// Adding a number of the source to the digest is as good as hashing both, and can be undone.
    fn of(source: SourceId, digest: u64) -> Self {
        TopicKey(NonZeroU64::new(digest.wrapping_add(spread(source))).unwrap_or(NonZeroU64::MAX))
    }

    fn digest(self, source: SourceId) -> u64 {
        self.0.get().wrapping_sub(spread(source))
    }
}

fn spread(source: SourceId) -> u64 {
    u64::from(source.0) << 48
}

/// A share that the same message would only renew, on behalf of which the memory listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Renewal {
    pub(super) person: PersonId,
    pub(super) rule: RuleId,
    /// Its lease, in milliseconds.
    pub(super) ttl: u32,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    digest: u64,
    at: Mono,
    renewal: Option<Renewal>,
    source: SourceId,
    /// The end of the lease that a journal holds, at the latest; [`Mono::ZERO`] where that is not known.
    written: Mono,
    /// Partitions of the people whom it reached, a bit each.
    partitions: u64,
    /// Who that is.
    about: Tag,
}

impl Heard {
    /// Said again, of something that lasts `ttl`, or of nothing ([`Duration::MAX`]): whether a journal has to learn of it now.
    /// An end that a tenth of the lease is missing from is near enough: else every repeat would cost a write.
    fn hear_again(&mut self, now: Mono, ttl: Duration) -> bool {
        self.at = now;
        let end = now + ttl;
        let due = ttl != Duration::MAX && (end < self.written || end.since(self.written) >= ttl / LATE);
        if due {
            self.written = end;
        }
        due
    }

    fn saved(&self, key: TopicKey) -> SavedTopic {
        SavedTopic {
            source: self.source,
            topic: key.digest(self.source),
            payload: self.digest,
            at: self.at,
            partitions: self.partitions,
            about: self.about,
        }
    }
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
    topics: HashMap<TopicKey, Heard, Keyed>,
    /// What rules have to remember besides.
    pub(super) notes: notes::Notes,
}

pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

impl Memory {
    pub(super) fn recall(&self, now: Mono, key: TopicKey, payload: &[u8]) -> Recall {
        match self.topics.get(&key) {
            None => Recall::New,
            Some(heard) if now.since(heard.at) > LONGEST => Recall::New,
            Some(heard) if heard.digest == digest(payload) => Recall::Same,
            Some(_) => Recall::Other,
        }
    }

    /// Takes a live message that does nothing but renew a share, if that is what it does; and whether it is time that a
    /// journal learns of it.
    pub(super) fn renew(&mut self, now: Mono, key: TopicKey, payload: &[u8]) -> Option<(Renewal, bool)> {
        let heard = self.topics.get_mut(&key)?;
        let renewal = heard.renewal?;
        let ttl = Duration::from_millis(renewal.ttl.into());
        if now.since(heard.at) >= ttl || heard.digest != digest(payload) {
            return None;
        }
        let due = heard.hear_again(now, ttl);
        Some((renewal, due))
    }

    /// When the share of a topic was last renewed here.
    pub(super) fn renewed(&self, key: TopicKey) -> Option<Mono> {
        self.topics.get(&key).filter(|heard| heard.renewal.is_some()).map(|heard| heard.at)
    }

    /// Nothing is renewed here for the share of a topic any more: whose it was, and when that was last done.
    pub(super) fn stop(&mut self, key: TopicKey) -> Option<(PersonId, Mono)> {
        let heard = self.topics.get_mut(&key)?;
        heard.renewal.take().map(|renewal| (renewal.person, heard.at))
    }

    /// Nothing is renewed here for anybody any more.
    pub(super) fn stop_all(&mut self) {
        self.topics.values_mut().for_each(|heard| heard.renewal = None);
    }

    /// What a topic has just said. `ttl`: how long the shortest lasts of what the message renewed. Returns whether a journal
    /// has to learn of it.
    pub(super) fn remember(
        &mut self,
        now: Mono,
        (source, key): (SourceId, TopicKey),
        payload: &[u8],
        renewal: Option<Renewal>,
        (partitions, about, ttl): (u64, Tag, Duration),
    ) -> bool {
        let digest = digest(payload);
        let mut fresh = Heard { digest, at: now, renewal, source, written: Mono::ZERO, partitions, about };
        let known = self.topics.get(&key).filter(|known| known.digest == digest && known.partitions == partitions);
        fresh.written = known.map_or(Mono::ZERO, |known| known.written);
        let due = known.is_none() | fresh.hear_again(now, ttl);
        self.topics.insert(key, fresh);
        due
    }

    /// What a topic said last.
    pub(super) fn saved(&self, key: TopicKey) -> Option<SavedTopic> {
        self.topics.get(&key).map(|heard| heard.saved(key))
    }

    pub(super) fn save(&self) -> Vec<SavedTopic> {
        let mut topics: Vec<SavedTopic> = self.topics.iter().map(|(&key, heard)| heard.saved(key)).collect();
        topics.sort_by_key(|topic| (topic.source, topic.topic)); // the same core gives the same snapshot
        topics
    }

    pub(super) fn restore(&mut self, people: usize, topics: impl Iterator<Item = SavedTopic>) {
        for SavedTopic { source, topic, payload, at, partitions, about } in topics.take(room(people)) {
            let heard = Heard { digest: payload, at, renewal: None, source, written: Mono::ZERO, partitions, about };
            self.topics.entry(TopicKey::of(source, topic)).or_insert(heard);
        }
    }

    /// Forgets what was heard of a person: their topics, also those that spoke of others too, and what rules remember of them.
    /// Nothing may be renewed here meanwhile ([`Memory::stop_all`]).
    pub(super) fn forget(&mut self, person: PersonId, partition: u64, tag: Tag) {
        self.topics.retain(|_, heard| heard.partitions & partition == 0 || !heard.about.may_be(tag));
        self.notes.forget(person, tag);
    }

    /// Whether something has to be forgotten before anything new is remembered.
    pub(super) fn is_full(&self, people: usize) -> bool {
        self.topics.len() >= room(people)
    }

    pub(super) fn forget_oldest(&mut self) {
        let mut times: Vec<Mono> = self.topics.values().map(|heard| heard.at).collect();
        let eighth = times.len() / 8;
        let (_, &mut oldest, _) = times.select_nth_unstable(eighth);
        self.topics.retain(|_, heard| heard.at > oldest);
    }
}

fn room(people: usize) -> usize {
    MOST.max(MOST_EACH * people)
}
