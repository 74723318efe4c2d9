//! Calls to Graph and their fates: accepted, refused, throttled, lost, late.

use std::collections::BTreeSet;
use std::time::Duration;

use presence_bridge::presence::{Action, Outcome, Ticket};

use super::faults::{Death, Mood};
use super::office::{AVAILABLE, object_id};
use super::{Event, MINUTE, NOBODY, SECOND, World};

/// What a call asks for; `None` for a clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Write(Option<(&'static str, &'static str, Duration)>);

impl Write {
    /// As colleagues would see it.
    pub(super) fn shows(self) -> &'static str {
        match self.0 {
            Some(("Available", ..)) => AVAILABLE,
            Some((_, "InACall", _)) => "Busy/InACall",
            Some((_, "InAConferenceCall", _)) => "Busy/InAConferenceCall",
            Some(other) => panic!("no signal shows {other:?}"),
            None => NOBODY,
        }
    }

    fn content(self) -> Option<&'static str> {
        self.0.map(|(_, activity, _)| activity)
    }
}

/// What Graph's answers ask of the whole application: wait until then, then one call alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gate {
    pub(super) until: u64,
    half_open: bool,
    probe: Option<Ticket>,
}

impl Gate {
    pub(super) fn abandon(&mut self, ticket: Option<Ticket>) {
        if self.probe == ticket {
            self.probe = None;
        }
    }

    fn shut(&mut self, until: u64) {
        (self.until, self.half_open, self.probe) = (self.until.max(until), true, None);
    }

    /// As the next process finds it: shut, or forgotten.
    pub(super) fn after_restart(&mut self, now: u64) {
        self.probe = None;
        self.half_open = now < self.until;
    }
}

impl Write {
    /// What another replica sets.
    pub(super) fn by_another(shows: &'static str) -> Option<Write> {
        let (availability, activity) = shows.split_once('/').filter(|_| shows != NOBODY)?;
        Some(Write(Some((availability, activity, Duration::from_secs(300)))))
    }
}

impl World {
    pub(super) fn perform(&mut self) {
        while let Some(action) = self.core.poll_action() {
            let (ticket, id, write, not_after) = match action {
                Action::SetPresence { ticket, person, presence, expiration, not_after, .. } => {
                    let write = Write(Some((presence.availability(), presence.activity(), expiration)));
                    (ticket, person, write, not_after)
                }
                Action::ClearPresence { ticket, person, not_after, .. } => (ticket, person, Write(None), not_after),
                Action::Alarm { on: true, .. } => {
                    self.cover("an alarm");
                    continue;
                }
                _ => continue,
            };
            let person = match self.people.iter().position(|known| known.id == Some(id)) {
                Some(person) => person,
                None => {
                    self.find_ids();
                    self.people.iter().position(|known| known.id == Some(id)).unwrap()
                }
            };
            let not_after = u64::try_from(i64::try_from(not_after.as_millis()).unwrap() - self.boot).unwrap();
            self.may_start(person, not_after);
            self.call(ticket, person, write);
        }
        self.write();
    }

    fn call(&mut self, ticket: Ticket, person: usize, write: Write) {
        self.report.calls += 1;
        self.note(|| format!("p{person} calls {write:?}"));
        self.may_call(ticket, person, write);
        let who = &mut self.people[person];
        who.in_flight = Some(ticket);
        if let Some((.., span)) = write.0 {
            let asked = who.asked.entry(write.shows()).or_default();
            asked.retain(|(at, span)| self.mono <= at + span + MINUTE);
            asked.push_back((self.mono, u64::try_from(span.as_millis()).unwrap()));
        }
        if self.dies_at == Some(Death::CallOut) {
            self.dies_at = None;
            self.after(10, Event::Die(Death::AtOnce));
        }
        let quick = self.rng.u64(30..400);
        let (outcome, after, lands) = self.fate(quick, write);
        if let Some(lands) = lands {
            self.after(lands, Event::Lands(person, write));
        }
        let now = self.mono;
        let who = &mut self.people[person];
        if outcome == Outcome::Ambiguous {
            who.ghost = Some(now);
        }
        if outcome == Outcome::Accepted {
            who.ghost = who.ghost.filter(|&sent| now < sent + 30 * SECOND); // 5 s to start, 25 s to land
            who.confirmed = Ok(write.content());
            who.confirmed_at = now;
            let span = write.0.map_or(0, |(.., span)| u64::try_from(span.as_millis()).unwrap());
            who.confirmed_span = if write.shows() == AVAILABLE { span.min(5 * MINUTE) } else { span };
        } else {
            // What Graph refuses, and what never left, changes nothing.
            if matches!(outcome, Outcome::Ambiguous | Outcome::Throttled { .. }) {
                who.confirmed = Err(());
            }
            self.last_fault = self.last_fault.max(now + after);
        }
        self.cover(match outcome {
            Outcome::Accepted => "accepted",
            Outcome::Throttled { .. } => "throttled",
            Outcome::NotSent => "not sent",
            Outcome::Ambiguous => "ambiguous",
            Outcome::Unauthorised => "unauthorised",
            Outcome::Forbidden { .. } => "forbidden",
            Outcome::NoSuchUser => "no such user",
            Outcome::Refused => "refused",
        });
        self.after(after, Event::Answer(ticket, person, outcome));
    }

    /// Outcome, when it is known, and when the call is applied, if it is.
    fn fate(&mut self, quick: u64, write: Write) -> (Outcome, u64, Option<u64>) {
        let roll = self.rng.u32(0..100);
        let roll = match self.mood {
            Mood::Calm => 100,
            Mood::Mixed => roll,
            Mood::NoToken => return (Outcome::NotSent, quick, None),
            Mood::Silent if roll < 90 => return (Outcome::Ambiguous, 10 * SECOND, None),
            Mood::Storm if roll < 70 => roll % 6,
            Mood::Refusing if roll < 50 => return (Outcome::Unauthorised, quick, None),
            Mood::Refusing => return (Outcome::Forbidden { role_missing: roll < 60 }, quick, None),
            Mood::Silent | Mood::Storm => 100,
        };
        match roll {
            0..6 => {
                let waits = [None, Some(0), Some(1), Some(2), Some(7), Some(30), Some(128), Some(200), Some(5_000)];
                let wait = waits[self.rng.usize(0..waits.len())].map(Duration::from_secs);
                let applied = self.rng.bool().then_some(quick / 2);
                (Outcome::Throttled { retry_after: wait }, quick, applied)
            }
            6..14 => (Outcome::NotSent, quick, None),
            14..18 => (Outcome::Ambiguous, 10 * SECOND, Some(quick)), // applied, answer lost
            18..24 => (Outcome::Ambiguous, 10 * SECOND, Some(self.rng.u64(0..25 * SECOND))),
            24..28 => (Outcome::Ambiguous, quick, None),
            28..29 => (Outcome::Unauthorised, quick, None),
            29..30 => (Outcome::Forbidden { role_missing: false }, quick, None),
            30..31 if write.0.is_some() => (Outcome::NoSuchUser, quick, None),
            31..32 => (Outcome::Refused, quick, None),
            _ => (Outcome::Accepted, quick, Some(quick / 2)),
        }
    }

    pub(super) fn answer(&mut self, ticket: Ticket, person: usize, outcome: Outcome, touched: &mut BTreeSet<usize>) {
        if !self.alive {
            return;
        }
        touched.insert(person);
        if self.dies_at == Some(Death::BeforeTheJournal) {
            // The answer is handled, and what it changed is lost with the process.
            self.dies_at = None;
            self.die(Death::BeforeTheJournal);
            return;
        }
        self.note(|| format!("p{person} answered {outcome:?}"));
        if self.people[person].in_flight == Some(ticket) {
            self.people[person].in_flight = None;
            if matches!(outcome, Outcome::NotSent | Outcome::Ambiguous) {
                self.people[person].failed = Some(self.mono);
            }
            self.people[person].parked = match outcome {
                Outcome::Accepted => None,
                Outcome::Unauthorised | Outcome::Forbidden { .. } | Outcome::NoSuchUser | Outcome::Refused => {
                    Some(outcome)
                }
                _ => self.people[person].parked,
            };
            self.learn(ticket, person, outcome);
        }
        self.core.handle_outcome(self.now(), ticket, outcome);
        self.perform();
    }

    /// What the answer means for everybody.
    fn learn(&mut self, ticket: Ticket, person: usize, outcome: Outcome) {
        let probe = self.gate.probe == Some(ticket);
        match outcome {
            Outcome::Throttled { retry_after } => {
                self.report.throttled += 1;
                // Whatever else it does, it waits as long as it was told, up to 15 min, and at least for a second.
                let wait = retry_after.unwrap_or_default().clamp(Duration::from_secs(1), Duration::from_secs(900));
                self.gate.shut(self.mono + u64::try_from(wait.as_millis()).unwrap());
                self.last_fault = self.last_fault.max(self.gate.until);
                return;
            }
            Outcome::NotSent | Outcome::Ambiguous if probe => self.gate.probe = None,
            Outcome::NotSent | Outcome::Ambiguous => {}
            _ if probe => self.gate = Gate::default(),
            _ => {}
        }
        let row = match outcome {
            Outcome::Accepted => return self.refused = Default::default(),
            Outcome::Unauthorised | Outcome::Forbidden { .. } => &mut self.refused[0],
            Outcome::NoSuchUser => &mut self.refused[1],
            _ => return,
        };
        if row.len() < 3 {
            row.insert(person);
        }
        // Three people in a row, or a token without the role: the application is asked again after five minutes.
        if row.len() >= 3 || outcome == (Outcome::Forbidden { role_missing: true }) {
            self.cover("the application refused");
            self.gate.shut(self.mono + 5 * MINUTE);
            self.last_fault = self.last_fault.max(self.gate.until);
            for person in &mut self.people {
                person.parked = person.parked.filter(|why| *why == Outcome::Refused); // the others: not their fault
            }
        }
    }

    /// Counts a call at the gate; `false` where it may not pass.
    pub(super) fn passes_gate(&mut self, ticket: Ticket) -> bool {
        if self.mono < self.gate.until || self.gate.half_open && self.gate.probe.is_some() {
            return false;
        }
        if self.gate.half_open {
            self.gate.probe = Some(ticket);
        }
        true
    }

    pub(super) fn lands(&mut self, person: usize, write: Write, touched: &mut BTreeSet<usize>) {
        touched.insert(person);
        let user = object_id(person);
        match write.0 {
            Some((availability, activity, span)) => {
                let set = self.tenant.set(self.mono, &user, availability, activity, span);
                assert!(set, "only settable pairs are set");
            }
            None => drop(self.tenant.clear(self.mono, &user)),
        }
        if self.people[person].confirmed != Ok(write.content()) {
            self.cover("a write that landed late over another");
            if write.0.is_some() && self.people[person].wanted == NOBODY {
                self.cover("a late landing after a hang-up");
            }
        }
    }
}
