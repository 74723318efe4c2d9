//! What a journal does not know yet. Marks in sets: whatever happens between two writes, a person and a topic are written
//! once, as they are then; so that the slower the disk, the fewer the writes.

use std::collections::BTreeSet;

use super::super::action::PersonId;
use super::super::memory::TopicKey;
use super::super::now::Now;
use super::super::snapshot::{Changes, Snapshot};
use super::{Core, index};

/// Bounded by the people and topics there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsaved {
    /// Whether anybody keeps a journal.
    noted: bool,
    people: BTreeSet<PersonId>,
    topics: BTreeSet<TopicKey>,
    /// Devices whose last event is another.
    events: BTreeSet<u64>,
    /// Brokers or gates.
    rest: bool,
    everything: bool,
}

impl Unsaved {
    pub(super) fn person(&mut self, person: PersonId) {
        if self.noted && !self.everything {
            self.people.insert(person);
        }
    }

    pub(super) fn topic(&mut self, topic: TopicKey) {
        if self.noted && !self.everything {
            self.topics.insert(topic);
        }
    }

    pub(super) fn event(&mut self, device: u64) {
        if self.noted && !self.everything {
            self.events.insert(device);
        }
    }

    /// Brokers and gates are written each time: they are few.
    pub(super) fn rest(&mut self) {
        self.rest |= self.noted;
    }

    /// Too much to be named: a configuration, a memory that forgot.
    pub(super) fn everything(&mut self) {
        if self.noted {
            *self = Unsaved { noted: true, everything: true, ..Unsaved::default() };
        }
    }

    fn is_empty(&self) -> bool {
        self.people.is_empty() && self.topics.is_empty() && self.events.is_empty() && !self.rest && !self.everything
    }

    fn take(&mut self) -> Unsaved {
        let noted = self.noted;
        std::mem::replace(self, Unsaved { noted, ..Unsaved::default() })
    }
}

impl Core {
    /// From now on what changes is noted for [`Core::take_changes`], beginning with everything.
    pub fn note_changes(&mut self) {
        self.unsaved.noted = true;
        self.unsaved.everything();
    }

    /// Whether anything changed that a journal has to hold before the message that did it is acknowledged, or the call that
    /// comes of it leaves. A renewal counts once it is a tenth of its lease late.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// The next changes are everything there is: what was written before is lost, or has grown long.
    pub fn doubt_journal(&mut self) {
        self.unsaved.everything();
    }

    /// What changed since the last time, as it is now; with nothing changed only when and how brokers and gates are.
    pub fn take_changes(&mut self, now: Now) -> Changes {
        let Unsaved { people, topics, events, everything, .. } = self.unsaved.take();
        if everything {
            return Changes { whole: true, part: self.snapshot(now), gone: Vec::new() };
        }
        let topics = topics.iter().filter_map(|&key| self.memory.saved(key)).collect();
        let events = events.iter().filter_map(|&device| self.memory.notes.event(device)).collect();
        let mut part = Snapshot { topics, events, ..self.rest(now) };
        let mut gone = Vec::new();
        for person in people.into_iter().filter_map(|id| self.people.get(index(id))) {
            match self.save(person) {
                Some(saved) => part.people.push(saved),
                None => gone.extend(self.tenant_of(person).map(|tenant| (tenant, person.who.object_id))),
            }
        }
        Changes { whole: false, part, gone }
    }
}
