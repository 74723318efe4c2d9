//! What the bridge says on its own topics, when, and how surely.
//!
//! **QoS 0** for what is said again at every connection anyway: the status and the people. It is lost only with the
//! connection, and the next one repeats it; at QoS 1 it would be kept and repeated twice. **QoS 1** for what is said once:
//! the farewell, after which we are gone, and deletions, since what is not deleted stays for ever. A deletion is said
//! again at each connection until one has lasted a minute after it. **QoS 0**, not retained, for answers at the door:
//! whoever is not there to hear it has no use for it later.
//!
//! Nothing here waits: a topic that is out of date is a mark in a set, its content is made when there is room for it, and
//! what changed a hundred times meanwhile is said once.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::announce::Announced;
use super::links::State;
use super::{Bridge, words};
use crate::mqtt;
use crate::presence::{Deadline, Mono, Now, PersonId};

/// The status is said again after this if nothing but the number of calls is another.
const STATUS_EVERY: Duration = Duration::from_secs(60);
/// A connection that lasted so long after a deletion has carried it.
const CARRIED: Duration = Duration::from_secs(60);
/// No person is published again sooner because an end that was told has come.
const ENDS_APART: Duration = Duration::from_secs(1);

/// Retained topics of ours whose content is out of date at a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Status,
    Person(PersonId),
    /// To Home Assistant: of a person, of the bridge where nobody is named.
    Announcement(Option<PersonId>),
}

/// Topics to be deleted at a broker.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    /// Still to be said on this connection.
    due: BTreeSet<String>,
    /// Said on this connection, and when; in order of time.
    sent: VecDeque<(Mono, String)>,
}

impl Deletions {
    pub(super) fn are_due(&self) -> bool {
        !self.due.is_empty()
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.due.iter().chain(self.sent.iter().map(|(_, topic)| topic)).map(String::as_str)
    }

    pub(super) fn add(&mut self, topic: String) {
        self.remove(&topic);
        self.due.insert(topic);
    }

    /// Somebody has the topic again.
    pub(super) fn remove(&mut self, topic: &str) {
        self.due.remove(topic);
        self.sent.retain(|(_, sent)| sent != topic);
    }

    /// The connection is gone: all of them are said again on the next.
    pub(super) fn forget_sent(&mut self) {
        self.due.extend(self.sent.drain(..).map(|(_, topic)| topic));
    }

    fn next(&mut self, now: Mono) -> Option<String> {
        let topic = self.due.pop_first()?;
        self.sent.push_back((now, topic.clone()));
        Some(topic)
    }

    /// When the first of them will have been carried.
    fn wake(&self) -> Mono {
        self.sent.front().map_or(Mono::MAX, |(sent, _)| *sent + CARRIED)
    }

    /// Forgets those that have been carried. Whether there were any.
    fn forget_carried(&mut self, now: Mono) -> bool {
        let before = self.sent.len();
        while self.wake() <= now {
            self.sent.pop_front();
        }
        self.sent.len() < before
    }
}

/// When calls were made, as far back as a minute.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<Mono>);

impl Recent {
    const KEPT: Duration = Duration::from_secs(60);

    pub(super) fn note(&mut self, now: Mono) {
        self.forget(now);
        self.0.push_back(now);
    }

    fn forget(&mut self, now: Mono) {
        while self.0.front().is_some_and(|then| now.since(*then) >= Self::KEPT) {
            self.0.pop_front();
        }
    }

    /// In the last `span`, at most a minute.
    pub(super) fn count(&mut self, now: Mono, span: Duration) -> usize {
        self.forget(now);
        self.0.iter().rev().take_while(|then| now.since(**then) < span).count()
    }
}

/// What was last said of the calls, and when it is looked at again.
#[derive(Debug, Default)]
pub(super) struct Said {
    calls: usize,
    at: Mono,
}

/// When what was said of people stops being true by itself: the ends of shares and pauses that were told. Most come with
/// a change of what is shown, which the core tells; an end behind another share, or in a pause, does not.
#[derive(Debug, Default)]
pub(super) struct Ends {
    queue: BTreeSet<(Mono, PersonId)>,
    of: HashMap<PersonId, Mono>,
}

impl Ends {
    fn set(&mut self, person: PersonId, end: Option<Mono>) {
        let old = match end {
            Some(end) => self.of.insert(person, end),
            None => self.of.remove(&person),
        };
        if let Some(old) = old {
            self.queue.remove(&(old, person));
        }
        self.queue.extend(end.map(|end| (end, person)));
    }

    fn pop(&mut self, now: Mono) -> Option<PersonId> {
        let &(at, person) = self.queue.first().filter(|(at, _)| *at <= now)?;
        self.queue.remove(&(at, person));
        self.of.remove(&person);
        Some(person)
    }

    fn is_told(&self, person: PersonId, end: Mono) -> bool {
        self.of.get(&person).is_some_and(|told| *told <= end)
    }

    fn wake(&self) -> Mono {
        self.queue.first().map_or(Mono::MAX, |(at, _)| *at)
    }
}

impl Bridge {
    /// When there is something to do for our own topics.
    pub(super) fn publishing_wakes(&self) -> Deadline {
        let deletions = self.links.iter().map(|link| link.deletions.wake()).min().unwrap_or(Mono::MAX);
        let status =
            if self.said.calls > 0 || !self.recent.0.is_empty() { self.said.at + STATUS_EVERY } else { Mono::MAX };
        Deadline::NEVER.at_latest(deletions.min(status).min(self.ends.wake()).min(self.kept.wake()))
    }

    /// Time passed.
    pub(super) fn publish_in_time(&mut self, now: Now) {
        while let Some(person) = self.ends.pop(now.mono) {
            self.mark(Topic::Person(person));
        }
        if now.mono.since(self.said.at) >= STATUS_EVERY {
            self.said.at = now.mono;
            if self.recent.count(now.mono, Recent::KEPT) != self.said.calls {
                self.mark(Topic::Status);
            }
        }
        let mut carried = false;
        for link in self.links.iter_mut().filter(|link| link.state != State::Down) {
            carried |= link.deletions.forget_carried(now.mono);
        }
        if carried {
            self.keep();
        }
        self.kept.write_if_due(now.mono);
    }

    /// Somebody said at the door again what was so already, perhaps with an earlier end. A later one is not published, no
    /// more than other renewals are.
    pub(super) fn hear_of_end(&mut self, person: PersonId) {
        let end = words::first_end(&self.core.view(person), self.clock.now());
        if end.is_some_and(|end| !self.ends.is_told(person, end)) {
            self.mark(Topic::Person(person));
        }
    }

    /// Says the next thing that the broker at `place` has not been told.
    pub(super) fn publish(&mut self, place: usize, permit: Option<mqtt::Permit>) {
        self.turn = self.turn.wrapping_add(1);
        if let (Some(permit), Some(message)) = (permit, self.next_to_publish(place)) {
            permit.publish(message);
        }
    }

    fn next_to_publish(&mut self, place: usize) -> Option<mqtt::Message> {
        if let Some(answer) = self.links.get_mut(place)?.answer.take() {
            return Some(answer);
        }
        loop {
            if let Some(next) = self.links.get_mut(place)?.announcing.pop() {
                return Some(next);
            }
            let Some(topic) = self.links.get_mut(place)?.unpublished.pop_first() else { break };
            match topic {
                Topic::Status => {
                    let topic = format!("{}/status/{}", self.topic_prefix, self.links.get(place)?.instance);
                    return Some(mqtt::Message::new(topic, self.online()).retained());
                }
                Topic::Person(person) if self.listing.unlisted.contains(&person) => {} // its topic is gone or another's
                Topic::Person(person) => return Some(self.person(person)),
                Topic::Announcement(of) => {
                    let said = self.announcements(place, of);
                    self.links.get_mut(place)?.announcing = said;
                }
            }
        }
        let now = self.clock.now().mono;
        let gone = self.links.get_mut(place)?.deletions.next(now)?;
        Some(mqtt::Message::new(gone, "").retained().at_least_once())
    }

    fn online(&mut self) -> String {
        let now = self.clock.now().mono;
        self.said = Said { calls: self.recent.count(now, Recent::KEPT), at: now };
        words::online(&self.links, self.said.calls, &self.telemetry.alarms())
    }

    fn person(&mut self, person: PersonId) -> mqtt::Message {
        let now = self.clock.now();
        let view = self.core.view(person);
        let end = words::first_end(&view, now).map(|end| end.max(now.mono + ENDS_APART));
        let message =
            mqtt::Message::new(people(&self.topic_prefix, view.label()), words::person(&view, now)).retained();
        self.ends.set(person, end);
        message
    }
}

/// The topic of a person.
pub(super) fn people(prefix: &str, label: &str) -> String {
    format!("{prefix}/people/{label}")
}

/// All retained topics that a person of this name has.
pub(super) fn topics_of(prefix: &str, label: &str, announced: Option<&Announced>) -> Vec<String> {
    let mut topics = announced.map_or_else(Vec::new, |announced| announced.topics_of_person(prefix, label));
    topics.push(people(prefix, label));
    topics
}

/// The last will: what the broker says of us when we are gone without a word. And the farewell.
#[must_use]
pub fn will(topic_prefix: &str, instance: &str) -> mqtt::Message {
    mqtt::Message::new(format!("{topic_prefix}/status/{instance}"), words::OFFLINE).retained().at_least_once()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::BOOT + Duration::from_secs(seconds)
    }

    #[test]
    fn a_deletion_is_said_at_each_connection_until_one_has_lasted_a_minute_after_it() {
        let mut deletions = Deletions::default();
        ["b", "a", "b"].iter().for_each(|topic| deletions.add((*topic).to_owned()));
        assert_eq!(
            [deletions.next(at(0)), deletions.next(at(1)), deletions.next(at(2))],
            [Some("a".to_owned()), Some("b".to_owned()), None]
        );
        assert!(!deletions.are_due());
        deletions.forget_sent(); // lost: who knows
        assert_eq!(deletions.topics().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((deletions.next(at(10)).as_deref(), deletions.wake()), (Some("a"), at(70)));
        assert!(!deletions.forget_carried(at(69)));
        assert!(deletions.forget_carried(at(70)));
        assert_eq!((deletions.topics().collect::<Vec<_>>(), deletions.wake()), (vec!["b"], Mono::MAX));
    }

    #[test]
    fn a_topic_that_somebody_has_again_is_not_deleted() {
        let mut deletions = Deletions::default();
        ["a", "b"].iter().for_each(|topic| deletions.add((*topic).to_owned()));
        deletions.next(at(0));
        ["a", "b"].iter().for_each(|topic| deletions.remove(topic));
        deletions.forget_sent();
        assert_eq!((deletions.are_due(), deletions.topics().count()), (false, 0));
    }

    #[test]
    fn calls_are_counted_over_the_last_seconds_and_no_longer_than_a_minute() {
        let mut recent = Recent::default();
        [0, 20, 40, 55].iter().for_each(|second| recent.note(at(*second)));
        assert_eq!(recent.count(at(59), Duration::from_secs(30)), 2);
        assert_eq!(recent.count(at(59), Recent::KEPT), 4);
        assert_eq!(recent.count(at(60), Recent::KEPT), 3);
        assert_eq!((recent.count(at(200), Recent::KEPT), recent.0.len()), (0, 0));
    }
}
