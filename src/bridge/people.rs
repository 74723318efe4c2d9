//! What a change of the list means for the loop: the core gets the new plan, topics of people who are gone or go by another
//! name are deleted at the broker, and alarms about them end.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::publish::{Topic, topics_of};
use super::{Bridge, reload::News};
use crate::config::PeopleSection;
use crate::presence::{ObjectId, PersonId, Plan, Rate, TenantId};
use crate::telemetry::AlarmText;

/// How people are listed.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) section: PeopleSection,
    /// The core still knows them, to clear them.
    pub(super) unlisted: BTreeSet<PersonId>,
    /// Calls a second that are not the core's.
    lookups: f64,
}

impl Listing {
    pub(super) fn new(section: PeopleSection) -> Self {
        Listing { section, ..Listing::default() }
    }

    /// Calls a second that go to lookups at present.
    pub(super) fn lookups(&self) -> f64 {
        self.lookups
    }
}

impl Bridge {
    pub(super) fn learn(&mut self, news: News) {
        match news {
            News::Plan(plan, section, changes) => {
                self.list_anew(plan, *section);
                for (link, change) in self.links.iter().zip(changes) {
                    link.handle.change(change);
                }
            }
            News::Lookups(rate) => self.listing.lookups = rate,
        }
        self.share_budget();
    }

    fn list_anew(&mut self, plan: Arc<Plan>, section: PeopleSection) {
        let known = self.core.people().filter(|id| !self.listing.unlisted.contains(id));
        let before: HashMap<PersonId, Box<str>> = known.map(|id| (id, self.core.person(id).label.clone())).collect();
        self.core.handle_config(self.clock.now(), Arc::clone(&plan));
        let listed: HashMap<ObjectId, &str> = plan.people.iter().map(|who| (who.object_id, &*who.label)).collect();
        let labels: HashSet<&str> = listed.values().copied().collect();
        let is_listed = |id: &PersonId| listed.contains_key(&self.core.person(*id).object_id);
        let is_new = |id: &PersonId| before.get(id) != Some(&self.core.person(*id).label);
        let news: Vec<PersonId> = self.core.people().filter(is_listed).filter(is_new).collect();
        self.listing.unlisted = self.core.people().filter(|id| !is_listed(id)).collect();
        for (id, old) in &before {
            let label = listed.get(&self.core.person(*id).object_id).copied();
            if label == Some(&**old) {
                continue;
            }
            if !labels.contains(&**old) {
                self.delete_topics(old);
            }
            self.readdress_alarms(old, label);
        }
        let announced = self.announced();
        self.signals = names(&plan);
        for id in news {
            self.keep_topics(id);
            self.mark(Topic::Person(id));
            self.mark(Topic::Announcement(Some(id)));
        }
        self.announce_signals(announced.as_ref());
        self.policy = plan.policy.clone();
        self.listing.section = section;
        self.keep();
    }

    /// Nobody goes by this name any more.
    fn delete_topics(&mut self, label: &str) {
        let topics = topics_of(&self.topic_prefix, label, self.announced().as_ref());
        for link in self.links.iter_mut().filter(|link| link.own_topics) {
            topics.iter().cloned().for_each(|topic| link.deletions.add(topic));
        }
    }

    /// Somebody goes by this name again.
    fn keep_topics(&mut self, person: PersonId) {
        let topics = topics_of(&self.topic_prefix, &self.core.person(person).label, self.announced().as_ref());
        for link in self.links.iter_mut().filter(|link| link.own_topics) {
            topics.iter().for_each(|topic| link.deletions.remove(topic));
        }
    }

    /// Alarms about `old` are now about `new`, or about nobody.
    fn readdress_alarms(&self, old: &str, new: Option<&str>) {
        for alarm in self.telemetry.alarms().into_iter().filter(|alarm| alarm.about.as_deref() == Some(old)) {
            self.telemetry.end(alarm.name, Some(old));
            if let Some(new) = new {
                self.telemetry.raise(AlarmText { about: Some(new.to_owned()), ..alarm });
            }
        }
    }

    /// Calls that are not the core's are taken off its rate; it keeps at least half.
    fn share_budget(&mut self) {
        let policy = &self.policy;
        let per_second = (policy.rate - self.listing.lookups).max(policy.rate / 2.0);
        let rate = Rate { per_second, burst: policy.burst };
        self.core.handle_budget(self.clock.now(), TenantId(0), rate, None);
    }
}

/// Names of the signals, in order of priority.
pub(super) fn names(plan: &Plan) -> Vec<Box<str>> {
    plan.signals.iter().map(|signal| signal.name.clone()).collect()
}
