//! Taking a snapshot, and going on from one: on the same boot by the clock since boot, on another by the wall clock.

use std::sync::Arc;
use std::time::Duration;

use super::super::action::{SourceId, TenantId};
use super::super::board::Gap;
use super::super::now::{Mono, Now};
use super::super::plan::{Plan, SignalId};
use super::super::session::{Held, LATE, LONGEST, START_WITHIN};
use super::super::snapshot::{Restart, SavedPerson, SavedShare, SavedTopic, Snapshot, VERSION};
use super::{Core, Person, id_of, index, source_id};

/// Brokers are awaited so long before anybody is set from what was known before the restart.
pub(super) const AWAITED: Duration = Duration::from_secs(10);

/// How instants of the old process read on the clocks of this one.
struct Shift {
    saved: Now,
    now: Now,
    same_boot: bool,
    /// Time between snapshot and restart; zero where the wall clock went backwards.
    away: Duration,
}

impl Shift {
    fn new(saved: Now, now: Now, same_boot: bool) -> Self {
        let away = if same_boot { now.mono.since(saved.mono) } else { now.wall.since(saved.wall) };
        Shift { saved, now, same_boot, away }
    }

    /// The clock reads earlier than the snapshot: nothing can be judged by it.
    fn is_backwards(&self) -> bool {
        !self.same_boot && self.now.wall < self.saved.wall
    }

    fn mono(&self, then: Mono) -> Mono {
        if self.same_boot || then == Mono::MAX {
            return then;
        }
        // As far from the present as the process believes; no instant of before gets out of its order.
        (self.now.mono + then.since(self.saved.mono)) - (self.away + self.saved.mono.since(then))
    }
}

impl Core {
    /// Everything worth keeping.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let people = self.people.iter().filter_map(|person| self.save(person)).collect();
        let (topics, events) = (self.memory.save(), self.memory.notes.save());
        Snapshot { people, topics, events, ..self.rest(now) }
    }

    /// Everything but people and what was heard: little, and bounded by the configuration.
    pub(super) fn rest(&self, now: Now) -> Snapshot {
        let tenants = self.plan.tenants.iter().zip(&self.lanes);
        let gates = tenants.filter_map(|(tenant, lane)| Some((*tenant, lane.gate.shut(now.mono)?))).collect();
        let sources = self.sources.iter().enumerate();
        let sources = sources.map(|(slot, source)| (source_id(slot), source.unheard_since())).collect();
        Snapshot { version: VERSION, taken: now, sources, gates, ..Snapshot::default() }
    }

    pub(super) fn save(&self, person: &Person) -> Option<SavedPerson> {
        let held = person.session.as_saved();
        if person.board.shares().is_empty() && held == Held::Nothing && person.paused.is_none() {
            return None;
        }
        let shares = person.board.shares().iter().filter_map(|share| {
            let signal = self.plan.signals.get(usize::from(share.signal.0))?.name.clone();
            Some(SavedShare {
                signal,
                rule: self.plan.rules.fingerprint(share.rule),
                share: share.up_to_date(&self.memory),
            })
        });
        Some(SavedPerson {
            tenant: self.tenant_of(person)?,
            object_id: person.who.object_id,
            shares: shares.collect(),
            held,
            may_land_until: person.session.may_land_until(),
            paused: person.paused,
        })
    }

    pub(super) fn tenant_of(&self, person: &Person) -> Option<super::ObjectId> {
        self.plan.tenants.get(usize::from(person.who.tenant.0)).copied()
    }

    /// A core that goes on where a snapshot ends. What the plan no longer has is dropped; who is no longer listed but may
    /// still hold something at Graph is cleared.
    #[must_use]
    pub fn restore(now: Now, plan: Arc<Plan>, snapshot: Snapshot, restart: Restart) -> Self {
        let mut core = Core::new(now, Arc::clone(&plan));
        let shift = Shift::new(snapshot.taken, now, restart.same_boot);
        for (source, deaf_since) in snapshot.sources {
            core.await_broker(source, deaf_since.unwrap_or(snapshot.taken.mono), &shift);
        }
        let Snapshot { people, topics, events, .. } = snapshot;
        core.take_up_all(&plan, Snapshot { people, topics, events, ..Snapshot::default() }, &shift, restart.clean);
        for (tenant, until) in snapshot.gates {
            let lanes = plan.tenants.iter().zip(&mut core.lanes);
            for (_, lane) in lanes.filter(|(known, _)| **known == tenant) {
                lane.gate.shut_until(shift.mono(until));
            }
        }
        core.settle_all();
        core
    }

    /// Takes people over from another core: a [part](Snapshot::part) of its snapshot, with what their topics said last. What is
    /// known here of them already stays. Whoever they belong to now must be said before ([`Core::handle_ownership`]).
    pub fn take_over(&mut self, now: Now, part: Snapshot, restart: Restart) {
        self.tick(now);
        let (plan, shift) = (Arc::clone(&self.plan), Shift::new(part.taken, now, restart.same_boot));
        self.take_up_all(&plan, part, &shift, restart.clean);
        self.unsaved.everything();
        self.settle_all();
    }

    fn take_up_all(&mut self, plan: &Plan, part: Snapshot, shift: &Shift, clean: bool) {
        for saved in part.people {
            self.take_up(plan, saved, shift, clean);
        }
        let topics = part.topics.into_iter().map(|topic| SavedTopic { at: shift.mono(topic.at), ..topic });
        self.memory.restore(self.people.len(), topics);
        let events = part.events.into_iter().map(|(device, event, at)| (device, event, shift.mono(at)));
        self.memory.notes.restore(events);
    }

    fn take_up(&mut self, plan: &Plan, saved: SavedPerson, shift: &Shift, clean: bool) {
        let Some(id) = self.find_or_add(plan, &saved) else { return };
        let held = match saved.held {
            Held::Pair { presence, sent, lapses, expires } => Held::Pair {
                presence,
                sent: shift.mono(sent),
                lapses: shift.mono(lapses),
                expires: shift.mono(expires),
            },
            other => other,
        };
        let person = &mut self.people[index(id)];
        person.paused = saved.paused.map(|mut until| {
            until.mono = shift.mono(until.mono);
            until
        });
        for SavedShare { signal, rule, mut share } in saved.shares {
            let place = plan.signals.iter().position(|known| known.name == signal);
            let (Some(place), Some(rule)) = (place.and_then(|place| u16::try_from(place).ok()), plan.rules.find(rule))
            else {
                continue;
            };
            let leads_to = plan.rules.resolve(&share.subject).and_then(|person| self.slots.get(person));
            if leads_to != Some(&id) {
                continue;
            }
            (share.signal, share.rule) = (SignalId(place), rule);
            if !shift.same_boot {
                share.rebase(shift.saved, shift.is_backwards(), |then| shift.mono(then));
            }
            self.people[index(id)].board.adopt(share, &self.names);
        }
        // Whoever had nothing to show for as long as Graph keeps anything is left alone; for the others one call settles it.
        let certain = clean && shift.same_boot;
        let person = &mut self.people[index(id)];
        let touched =
            held != Held::Nothing || person.board.shares().iter().any(|share| share.was_on_within(shift.now, LONGEST));
        match held {
            Held::Unknown => {
                // A call was out, and may still land; on another boot nobody knows how long that is ago.
                let latest = shift.now.mono + START_WITHIN + LATE;
                let until = saved.may_land_until.map_or(Mono::ZERO, |until| shift.mono(until).min(latest));
                person.session.follow(shift.now.mono, if shift.same_boot { until } else { latest });
            }
            held if certain || !touched => person.session.restore(held),
            _ => person.session.restore(Held::Unknown),
        }
    }

    /// A broker that was listened to before: unheard since then.
    fn await_broker(&mut self, source: SourceId, since: Mono, shift: &Shift) {
        let deaf_for = shift.saved.mono.since(since) + shift.away;
        let left = self.plan.policy.blind_hold.saturating_sub(deaf_for);
        let state = self.source(source);
        state.gap = Some(Gap { since: shift.mono(since), ends_shares: shift.now.mono + left });
        state.awaited_until = Some(shift.now.mono + AWAITED);
        self.deafness[usize::from(source.0)] = self.sources[usize::from(source.0)].gap.unwrap_or(Gap::NONE);
    }

    fn find_or_add(&mut self, plan: &Plan, saved: &SavedPerson) -> Option<super::PersonId> {
        if let Some(id) = self.ids.get(&(saved.tenant, saved.object_id)) {
            return Some(*id);
        }
        if saved.held == Held::Nothing {
            return None;
        }
        let tenant = plan.tenants.iter().position(|tenant| *tenant == saved.tenant)?;
        let who = super::PersonPlan {
            tenant: TenantId(u16::try_from(tenant).ok()?),
            object_id: saved.object_id,
            label: saved.object_id.to_string().into(),
        };
        let id = self.enlist(plan, &who);
        self.people[index(id)].listed = false;
        debug_assert_eq!(id, id_of(self.people.len() - 1));
        Some(id)
    }
}
