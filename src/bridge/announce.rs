//! When what [`super::discovery`] makes is said, and when it is taken back.
//!
//! Retained, at QoS 0, after the states that it is about, and again at each connection, as those are. The broker keeps it when
//! the bridge is gone, so what was announced is written down beside the names of the people: whoever leaves the list, a
//! signal that is none any more and a bridge that no longer announces itself are taken back, whenever that was changed.

use serde::{Deserialize, Serialize};

use super::Bridge;
use super::discovery::{Announcement, Discovery};
use super::publish::Topic;
use crate::mqtt;
use crate::presence::PersonId;

/// What the topics of announcements depend on, beside the names of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Announced {
    /// First levels of Home Assistant's topics.
    prefix: String,
    signals: Vec<Box<str>>,
}

impl Announced {
    fn discovery<'a>(&'a self, own: &'a str, instance: &'a str) -> Discovery<'a> {
        Discovery { prefix: &self.prefix, own, instance }
    }

    pub(super) fn topics_of_person(&self, own: &str, label: &str) -> Vec<String> {
        self.discovery(own, "").topics_of_person(label, &self.signals)
    }

    pub(super) fn topics_of_bridge(&self, own: &str, instance: &str) -> Vec<String> {
        self.discovery(own, instance).topics_of_bridge()
    }
}

impl Bridge {
    /// As it is now; `None`: nothing is announced.
    pub(super) fn announced(&self) -> Option<Announced> {
        let prefix = self.home_assistant.clone()?;
        Some(Announced { prefix, signals: self.signals.clone() })
    }

    /// The configurations of a person, of the bridge where nobody is named. Deleted ones are not said.
    pub(super) fn announcements(&self, place: usize, person: Option<PersonId>) -> Vec<mqtt::Message> {
        let (Some(prefix), Some(link)) = (&self.home_assistant, self.links.get(place)) else { return Vec::new() };
        let discovery = Discovery { prefix, own: &self.topic_prefix, instance: &link.instance };
        let said = match person {
            Some(person) if self.listing.unlisted.contains(&person) => Vec::new(),
            Some(person) => discovery.person(&self.core.person(person).label, &self.signals),
            None => discovery.bridge(),
        };
        said.into_iter().map(|Announcement { topic, payload }| mqtt::Message::new(topic, payload).retained()).collect()
    }

    /// Everything, at the broker at `place`: it may have lost what it retained.
    pub(super) fn announce_all(&mut self, place: usize) {
        let (true, Some(link)) = (self.home_assistant.is_some(), self.links.get_mut(place)) else { return };
        link.mark(Topic::Announcement(None));
        self.core.people().for_each(|person| link.mark(Topic::Announcement(Some(person))));
    }

    /// There are other signals: switches of those that are gone go, and everybody gets the new ones. The order of the
    /// signals is nothing to Home Assistant.
    pub(super) fn announce_signals(&mut self, before: Option<&Announced>) {
        let (Some(mut gone), Some(mut new)) = (before.cloned(), self.announced()) else { return };
        gone.signals.retain(|signal| !self.signals.contains(signal));
        new.signals.retain(|signal| !before.is_some_and(|before| before.signals.contains(signal)));
        if gone.signals.is_empty() && new.signals.is_empty() {
            return;
        }
        let listed: Vec<PersonId> = self.core.people().filter(|id| !self.listing.unlisted.contains(id)).collect();
        for person in listed {
            let label = self.core.person(person).label.clone();
            let (gone, new) =
                (gone.topics_of_signals(&self.topic_prefix, &label), new.topics_of_signals(&self.topic_prefix, &label));
            for link in self.links.iter_mut().filter(|link| link.own_topics) {
                gone.iter().cloned().for_each(|topic| link.deletions.add(topic));
                new.iter().for_each(|topic| link.deletions.remove(topic));
            }
            self.mark(Topic::Announcement(Some(person)));
        }
    }
}

impl Announced {
    fn topics_of_signals(&self, own: &str, label: &str) -> Vec<String> {
        let fixed = self.discovery(own, "").topics_of_person(label, &[]).len();
        self.topics_of_person(own, label).split_off(fixed)
    }
}
