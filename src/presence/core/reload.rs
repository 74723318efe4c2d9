//! A new configuration under a running core: who and what goes on, and who is cleared.

use std::sync::Arc;

use super::super::action::{Action, PersonId};
use super::super::board::Share;
use super::super::budget::Rate;
use super::super::keeper::Lane;
use super::super::memory;
use super::super::now::Now;
use super::super::partition::Partition;
use super::super::plan::{PersonPlan, Plan, SignalId};
use super::{Core, Person, id_of, index, tenant_id};

impl Core {
    /// A new plan. Whoever is not listed any more is not paused, and nothing is held against them. Ends shares whose rule, signal or person is gone or whose subject leads to somebody else; people no
    /// longer listed are cleared once.
    pub fn handle_config(&mut self, now: Now, plan: Arc<Plan>) {
        self.tick(now);
        self.stop_renewals();
        let old = std::mem::replace(&mut self.plan, Arc::clone(&plan));
        let rate = Rate { per_second: plan.policy.rate, burst: plan.policy.burst };
        for (slot, _) in plan.tenants.iter().enumerate() {
            match self.lanes.get_mut(slot) {
                Some(lane) => lane.bucket.set_rate(rate),
                None => self.lanes.push(Lane::new(tenant_id(slot), rate, now.mono)),
            }
        }
        let before: Vec<bool> = self.people.iter_mut().map(|person| std::mem::take(&mut person.listed)).collect();
        let more = plan.people.len().saturating_sub(self.people.len());
        self.people.reserve_exact(more); // not twice as many: they are what takes most of the memory
        self.ids.reserve(more);
        self.slots = Vec::with_capacity(plan.people.len());
        for who in &plan.people {
            let id = self.enlist(&plan, who);
            self.slots.push(id);
        }
        let slots = &self.slots;
        for (slot, person) in self.people.iter_mut().enumerate() {
            let listed = person.listed;
            if !listed && before.get(slot) == Some(&true) {
                person.paused = None;
                person.session.forgive();
                if let Some(alarm) = person.alarm.take() {
                    self.out.push_back(Action::Alarm { alarm, on: false });
                }
            }
            person.board.retain(|share| listed && carry(&old, &plan, slots, id_of(slot), share));
        }
        for lane in 0..self.lanes.len() {
            self.weigh(lane);
        }
        self.stop_reading();
        self.unsaved.everything();
        self.settle_all();
    }

    pub(super) fn enlist(&mut self, plan: &Plan, who: &PersonPlan) -> PersonId {
        let tenant = plan.tenants.get(usize::from(who.tenant.0)).copied().unwrap_or_default();
        let next = id_of(self.people.len());
        let id = *self.ids.entry((tenant, who.object_id)).or_insert(next);
        if id == next {
            let partition = Partition::of(tenant, who.object_id);
            let seed = memory::digest(who.object_id.to_string().as_bytes());
            self.people.push(Person::new(who.clone(), partition, seed));
        }
        let person = &mut self.people[index(id)];
        person.listed = true;
        person.who.clone_from(who);
        id
    }
}

/// Whether a share lives on under a new plan; moves it to the new places of its rule and signal.
fn carry(old: &Plan, new: &Plan, slots: &[PersonId], owner: PersonId, share: &mut Share) -> bool {
    let Some(rule) = old.rules.successor(share.rule, &new.rules) else { return false };
    let Some(name) = old.signals.get(usize::from(share.signal.0)).map(|signal| &signal.name) else { return false };
    let Some(signal) = new.signals.iter().position(|signal| signal.name == *name) else { return false };
    let leads_to = new.rules.resolve(&share.subject).and_then(|person| slots.get(person));
    if leads_to != Some(&owner) {
        return false;
    }
    share.rule = rule;
    share.signal = SignalId(u16::try_from(signal).unwrap_or(u16::MAX));
    true
}
