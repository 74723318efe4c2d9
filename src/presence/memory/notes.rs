//! What rules have to remember besides shares: the last event of a device, on which side of two bounds a number was last,
//! and what sibling topics said, with the devices that they are about. Bounded: when full, it is begun anew; sibling topics
//! are mostly retained, and a press is told from its repeat by the next.

use std::collections::HashMap;
use std::time::Duration;

use crate::presence::action::{PersonId, SourceId};
use crate::presence::now::{Mono, Timestamp};
use crate::presence::quick::Keyed;
use crate::presence::rule::{Fact, Say, Window};
use crate::presence::snapshot::Tag;

/// As many entries of each kind.
const MOST: usize = 200_000;
/// So many devices may share a sibling topic: all phones of one exchange.
const MOST_MEMBERS: usize = 10_000;
/// Where a rule names no field that tells one press from the next, the same message again within this is the same press.
const BOUNCE: Duration = Duration::from_secs(1);

/// What a device said of a signal under a rule that has siblings.
#[derive(Clone, Debug)]
pub(in crate::presence) struct Member {
    pub(in crate::presence) person: PersonId,
    pub(in crate::presence) source: SourceId,
    pub(in crate::presence) device: Box<str>,
    pub(in crate::presence) subject: Box<str>,
    pub(in crate::presence) say: Say,
    pub(in crate::presence) until: Option<Timestamp>,
    pub(in crate::presence) windows: Option<Box<[Window]>>,
    pub(in crate::presence) lease: Mono,
    pub(in crate::presence) delay: Duration,
    pub(in crate::presence) hold: Duration,
    pub(in crate::presence) links: Box<[u64]>,
    /// When its device went away, if it did.
    pub(in crate::presence) gone: Option<Mono>,
}

#[derive(Clone, Debug, Default)]
struct Noted {
    fact: Option<Fact>,
    members: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
pub(in crate::presence) struct Notes {
    events: HashMap<u64, (u64, Mono, Tag), Keyed>,
    sides: HashMap<u64, (Say, Tag), Keyed>,
    facts: HashMap<u64, Noted, Keyed>,
    members: HashMap<u64, Member, Keyed>,
}

fn insert<T>(map: &mut HashMap<u64, T, Keyed>, key: u64, value: T) {
    if map.len() >= MOST && !map.contains_key(&key) {
        map.clear();
    }
    map.insert(key, value);
}

impl Notes {
    /// Whether a device's event is another than its last, which it then is. `named`: by a field, not by the whole message.
    pub(in crate::presence) fn is_new(
        &mut self,
        now: Mono,
        (device, about): (u64, Tag),
        event: u64,
        named: bool,
    ) -> bool {
        let last = self.events.get(&device);
        let same = last.is_some_and(|&(last, at, _)| last == event && (named || now.since(at) < BOUNCE));
        insert(&mut self.events, device, (event, now, about));
        !same
    }

    /// The last events, for a snapshot: a press that is delivered again after a restart is the same press.
    pub(in crate::presence) fn save(&self) -> Vec<(u64, u64, Mono)> {
        let mut events: Vec<_> = self.events.iter().map(|(&device, &(event, at, _))| (device, event, at)).collect();
        events.sort_unstable(); // the same core gives the same snapshot
        events
    }

    pub(in crate::presence) fn restore(&mut self, events: impl Iterator<Item = (u64, u64, Mono)>) {
        for (device, event, at) in events.take(MOST) {
            self.events.entry(device).or_insert((event, at, Tag::SEVERAL));
        }
    }

    /// The last event of a device.
    pub(in crate::presence) fn event(&self, device: u64) -> Option<(u64, u64, Mono)> {
        self.events.get(&device).map(|&(event, at, _)| (device, event, at))
    }

    /// On which side of two bounds a device's number is.
    pub(in crate::presence) fn note_side(&mut self, (device, about): (u64, Tag), say: Say) {
        insert(&mut self.sides, device, (say, about));
    }

    pub(in crate::presence) fn side(&self, device: u64) -> Option<Say> {
        self.sides.get(&device).map(|&(say, _)| say)
    }

    pub(in crate::presence) fn fact(&self, key: u64) -> Option<Fact> {
        self.facts.get(&key)?.fact
    }

    /// Takes what a sibling says; what it said before, and whom it is about.
    pub(in crate::presence) fn hear(&mut self, key: u64, fact: Fact) -> (Option<Fact>, Vec<u64>) {
        if self.facts.len() >= MOST && !self.facts.contains_key(&key) {
            self.facts.clear();
        }
        let noted = self.facts.entry(key).or_default();
        (noted.fact.replace(fact), noted.members.clone())
    }

    pub(in crate::presence) fn member(&mut self, key: u64) -> Option<&mut Member> {
        self.members.get_mut(&key)
    }

    /// Forgets what devices said of a person, and what siblings said that are about nobody else. Events that an earlier process
    /// kept are anybody's; a press that is delivered again in just that moment is taken for another.
    pub(in crate::presence) fn forget(&mut self, person: PersonId, tag: Tag) {
        self.events.retain(|_, (_, _, about)| !about.may_be(tag));
        self.sides.retain(|_, (_, about)| !about.may_be(tag));
        let members = &mut self.members;
        members.retain(|_, member| member.person != person);
        self.facts.retain(|_, noted| {
            let before = noted.members.len();
            noted.members.retain(|key| members.contains_key(key));
            before == 0 || !noted.members.is_empty()
        });
    }

    /// Remembers what a device said, where its siblings find it.
    pub(in crate::presence) fn join(&mut self, key: u64, member: Member) {
        for &link in &member.links {
            if self.facts.len() >= MOST && !self.facts.contains_key(&link) {
                self.facts.clear();
            }
            let members = &mut self.facts.entry(link).or_default().members;
            if let Err(place) = members.binary_search(&key)
                && members.len() < MOST_MEMBERS
            {
                members.insert(place, key);
            }
        }
        insert(&mut self.members, key, member);
    }
}
