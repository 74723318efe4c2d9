//! Who is called next, at one tenant: the queue of people whose session needs a call, and what the answers say about the
//! tenant as a whole.
//!
//! One refused person is that person's fault; three different ones in a row are the application's. The difference
//! matters: the first is parked for an hour, the second shuts the gate for all, raises one alarm, and asks again every
//! five minutes, each time for somebody else.

use std::collections::BTreeSet;
use std::time::Duration;

use super::action::{Alarm, Outcome, PersonId, TenantId, Ticket};
use super::budget::{Bucket, Gate, Rate};
use super::load::Load;
use super::now::Mono;
use super::session::Class;

/// So many different people refused in a row are the application's fault.
const IN_A_ROW: usize = 3;

/// Place in the queue.
pub(super) type Due = (Class, Mono, PersonId);

/// What an outcome means beyond the person it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lesson {
    /// Nothing.
    None,
    /// The application, not the people, is at fault: lift what was parked for it.
    Application(Alarm),
    /// It works again.
    Healed(Alarm),
}

/// One tenant: its queue, its budget, its gate.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    tenant: TenantId,
    pub(super) bucket: Bucket,
    pub(super) gate: Gate,
    pub(super) load: Load,
    due: BTreeSet<Due>,
    /// Whether the last call went to somebody who would have lapsed: those get half of the rate, changes the other half.
    saved_one: bool,
    refused: Vec<PersonId>,
    unknown: Vec<PersonId>,
    fault: Option<Alarm>,
}

impl Lane {
    pub(super) fn new(tenant: TenantId, rate: Rate, now: Mono) -> Self {
        Lane {
            tenant,
            bucket: Bucket::new(rate, now),
            gate: Gate::default(),
            load: Load::default(),
            due: BTreeSet::new(),
            saved_one: false,
            refused: Vec::new(),
            unknown: Vec::new(),
            fault: None,
        }
    }

    /// Moves a person from one place in the queue to another.
    pub(super) fn requeue(&mut self, old: Option<Due>, new: Option<Due>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.due.remove(&old);
        }
        if let Some(new) = new {
            self.due.insert(new);
        }
    }

    /// Who may be called at `now`, if anybody.
    pub(super) fn next(&mut self, now: Mono) -> Option<PersonId> {
        self.bucket.fill(now);
        if !self.gate.admits(now) || !self.bucket.has_one() {
            return None;
        }
        let &first = self.due.first()?;
        let changes = (Class::Rising, Mono::ZERO, PersonId(0))..(Class::Early, Mono::ZERO, PersonId(0));
        let change = self.due.range(changes).next().copied().filter(|_| self.saved_one);
        let (class, _, person) = change.unwrap_or(first);
        self.saved_one = class == Class::Lapsing;
        Some(person)
    }

    /// When somebody may be called.
    pub(super) fn wake(&self) -> Mono {
        if self.due.is_empty() { Mono::MAX } else { self.gate.next().max(self.bucket.next()) }
    }

    /// Whether there is room for something that nobody waits for.
    pub(super) fn has_room(&mut self, now: Mono) -> bool {
        self.bucket.fill(now);
        self.due.is_empty() && self.gate.is_open(now) && self.bucket.has_one()
    }

    /// When there may be; calls that are due come first, and wake by themselves.
    pub(super) fn room(&self) -> Mono {
        if self.due.is_empty() { self.gate.opened().max(self.bucket.next()) } else { Mono::MAX }
    }

    /// Graph said so of something else than a call.
    pub(super) fn throttled(&mut self, now: Mono, retry_after: Option<Duration>) {
        self.gate.throttled(now, retry_after, &mut self.bucket);
    }

    pub(super) fn sent(&mut self, ticket: Ticket) {
        self.bucket.take();
        self.gate.sent(ticket);
    }

    pub(super) fn learn(&mut self, now: Mono, ticket: Ticket, outcome: Outcome) -> Lesson {
        match outcome {
            Outcome::Throttled { retry_after } => {
                self.gate.throttled(now, retry_after, &mut self.bucket);
                return Lesson::None;
            }
            Outcome::NotSent | Outcome::Ambiguous => {
                let due = self.due.len() + 1;
                self.gate.failed(now, ticket, due);
                return Lesson::None;
            }
            _ => self.gate.answered(ticket),
        }
        match outcome {
            Outcome::Accepted => {
                self.refused.clear();
                self.unknown.clear();
                self.fault.take().map_or(Lesson::None, Lesson::Healed)
            }
            Outcome::Unauthorised | Outcome::Forbidden { .. } => {
                let certain = matches!(outcome, Outcome::Forbidden { role_missing: true });
                note(&mut self.refused, ticket.person);
                self.accuse(now, certain || self.refused.len() >= IN_A_ROW, Alarm::ApplicationRefused(self.tenant))
            }
            Outcome::NoSuchUser => {
                note(&mut self.unknown, ticket.person);
                self.accuse(now, self.unknown.len() >= IN_A_ROW, Alarm::NobodyKnown(self.tenant))
            }
            _ => Lesson::None,
        }
    }

    fn accuse(&mut self, now: Mono, guilty: bool, alarm: Alarm) -> Lesson {
        if !guilty {
            return Lesson::None;
        }
        self.gate.application_refused(now);
        self.fault = Some(alarm);
        Lesson::Application(alarm)
    }
}

fn note(people: &mut Vec<PersonId>, person: PersonId) {
    if people.len() < IN_A_ROW && !people.contains(&person) {
        people.push(person);
    }
}
