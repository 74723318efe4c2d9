//! Calls to Graph: what a person's next one says, and what the end of one means for the person, the tenant and its alarms.

use std::time::Duration;

use super::super::action::{Action, Alarm, Cause, Outcome, PersonId, TenantId, Ticket};
use super::super::board::{Deafness, Level, Share, deaf};
use super::super::keeper::{Lane, Lesson};
use super::super::now::{Mono, Now, Timestamp};
use super::super::pair::Presence;
use super::super::plan::Plan;
use super::super::session::{
    ATTEMPT, Circumstances, LONGEST, REFRESH_FROM, REFRESH_FROM_WITH_REPLICAS, SHORTEST, START_WITHIN,
};
use super::hearing::Source;
use super::{Core, Person, id_of, index, tenant_id};

impl Core {
    /// A call to Graph ended. Outcomes of other calls than the one in flight are ignored.
    pub fn handle_outcome(&mut self, now: Now, ticket: Ticket, outcome: Outcome) {
        self.tick(now);
        let Some(person) = self.people.get_mut(index(ticket.person)) else { return };
        if !person.session.finish(now.mono, ticket, outcome, person.seed ^ ticket.serial) {
            return;
        }
        let lane = usize::from(person.who.tenant.0);
        self.unsaved.person(ticket.person);
        match self.lanes[lane].learn(now.mono, ticket, outcome) {
            Lesson::None => self.judge(ticket.person, outcome),
            Lesson::Application(alarm) => {
                self.alarm(alarm, true);
                self.unpark(self.people[index(ticket.person)].who.tenant);
            }
            Lesson::Healed(alarm) => {
                self.alarm(alarm, false);
                self.judge(ticket.person, outcome);
                self.unpark(self.people[index(ticket.person)].who.tenant);
            }
        }
        self.settle(ticket.person);
        self.weigh(lane);
    }

    /// Raises or ends the alarm that is this person's own.
    fn judge(&mut self, id: PersonId, outcome: Outcome) {
        let alarm = match outcome {
            Outcome::Accepted => None,
            Outcome::Refused => Some(Alarm::RequestRefused(id)),
            Outcome::NoSuchUser => Some(Alarm::NoSuchUser(id)),
            Outcome::Unauthorised | Outcome::Forbidden { .. } => Some(Alarm::PersonRefused(id)),
            _ => return,
        };
        let person = &mut self.people[index(id)];
        if alarm.is_some() && person.session.waiting(self.now.mono).is_none() {
            return; // it is tried once more before anybody is told
        }
        let before = std::mem::replace(&mut person.alarm, alarm);
        if before == alarm {
            return;
        }
        if let Some(before) = before {
            self.alarm(before, false);
        }
        if let Some(alarm) = alarm {
            self.alarm(alarm, true);
        }
    }

    fn alarm(&mut self, alarm: Alarm, on: bool) {
        self.out.push_back(Action::Alarm { alarm, on });
    }

    fn unpark(&mut self, tenant: TenantId) {
        for slot in 0..self.people.len() {
            let person = &mut self.people[slot];
            if person.who.tenant == tenant && person.session.unpark(self.now.mono) {
                if let Some(alarm) = person.alarm.take() {
                    self.out.push_back(Action::Alarm { alarm, on: false });
                }
                self.settle(id_of(slot));
            }
        }
    }

    /// The call that a person needs, unless our ownership ends before it could.
    pub(super) fn call(&mut self, lane: usize, id: PersonId) -> Option<Action> {
        let now = self.now.mono;
        let person = &mut self.people[index(id)];
        let owned = self.owned[usize::from(person.partition.0)].unwrap_or(Mono::ZERO);
        let not_after = (now + START_WITHIN).min(if owned == Mono::MAX { owned } else { owned - ATTEMPT });
        if not_after <= now {
            self.lanes[lane].requeue(person.due.take(), None);
            return None;
        }
        self.serial += 1;
        let ticket = Ticket { person: id, serial: self.serial };
        let expiration = self.expiration(lane, id);
        let person = &mut self.people[index(id)];
        if person.cause == Cause::Change {
            self.lanes[lane].load.changed(now);
        }
        let content = person.session.start(now, ticket, expiration, not_after);
        let (tenant, cause) = (person.who.tenant, person.cause);
        self.lanes[lane].sent(ticket);
        self.settle(id);
        // The journal knows of a call before it leaves: the next process must reckon with its landing.
        self.unsaved.person(id);
        self.out.push_back(match content {
            Some(presence) => {
                Action::SetPresence { ticket, tenant, person: id, presence, expiration, not_after, cause }
            }
            None => Action::ClearPresence { ticket, tenant, person: id, not_after },
        });
        self.out.pop_front()
    }

    /// `expirationDuration` for what the person wants now, whole seconds.
    fn expiration(&mut self, lane: usize, id: PersonId) -> Duration {
        let stretched = self.stretches(lane);
        let (policy, person) = (&self.plan.policy, &self.people[index(id)]);
        if let Some(end) = known_end(&self.plan, &self.deafness, person, self.now) {
            let left = end.since(self.now.wall);
            return Duration::from_secs(left.as_secs() + 1).clamp(SHORTEST, LONGEST);
        }
        // Who is held longest was refreshed most often, and stretches furthest. Available fades all the same.
        let last = person.session.span().filter(|_| person.cause == Cause::Refresh);
        match (stretched, last) {
            (Some(ceiling), Some(last)) if person.verdict.wanted != Some(Presence::Available) => {
                (last * 2).clamp(policy.max_stale, ceiling)
            }
            _ => policy.max_stale,
        }
    }

    /// How far sessions may stretch now, if at all.
    fn stretches(&mut self, lane: usize) -> Option<Duration> {
        let ceiling = self.plan.policy.max_stale_ceiling?.max(self.plan.policy.max_stale);
        self.weigh(lane).then_some(ceiling)
    }

    /// Whether the budget does not suffice; raises and ends the alarm for that, where anything can be done about it.
    pub(super) fn weigh(&mut self, lane: usize) -> bool {
        let can_stretch = self.plan.policy.max_stale_ceiling.is_some();
        let Lane { load, bucket, .. } = &mut self.lanes[lane];
        let before = load.was_short();
        let short = load.is_short(self.now.mono, &self.plan.policy, bucket.rate(), can_stretch);
        if short != before {
            self.alarm(Alarm::BudgetShort(tenant_id(lane)), short);
        }
        short
    }
}

/// The end of what is wanted, where it is known and to be trusted: the last of those that hold the same pair.
fn known_end(plan: &Plan, deafness: &Deafness, person: &Person, now: Now) -> Option<Timestamp> {
    let wanted = person.verdict.wanted.filter(|_| plan.policy.trust_until)?;
    let shows = |share: &&Share| {
        let signal = plan.signals.get(usize::from(share.signal.0));
        let pair = signal.and_then(|signal| signal.presence);
        pair == Some(wanted) && share.level(now, deaf(deafness, share.source)) == Level::On
    };
    let mut ends = person.board.shares().iter().filter(shows).map(Share::known_end);
    let first = ends.next()??;
    ends.try_fold(first, |last, end| Some(last.max(end?)))
}

/// What bears on a person's call from outside the session.
pub(super) fn circumstances(
    plan: &Plan,
    sources: &[Source],
    deafness: &Deafness,
    person: &Person,
    now: Now,
) -> Circumstances {
    let because = person.verdict.because.and_then(|index| person.board.share(index));
    let hearsay_until = because.and_then(|share| {
        let source = sources.get(usize::from(share.source.0))?;
        source.hearsay(share.heard())
    });
    let backlog_until = sources.iter().filter_map(|source| source.unsettled(person.stirred)).max();
    Circumstances {
        seed: person.seed,
        refresh_from: if plan.policy.replicas { REFRESH_FROM_WITH_REPLICAS } else { REFRESH_FROM },
        stirred: person.stirred,
        hearsay_until,
        backlog_until,
        end: known_end(plan, deafness, person, now).map(|end| now.mono + end.since(now.wall)),
        at_once: false,
    }
}
