//! The checkers. What is wanted, the oracle says; what is seen, the tenant model.
//!
//! * (a) Healthy and undamped, with budget in hand, seen equals wanted within an attempt.
//! * (b) Available, wanted, never fades then.
//! * (c) Nobody is stuck: law 3's bounds, against what is wanted and against what people truly do.
//! * (d) No call without a change, a due refresh, a due retry or an unknown held, and each asks for what is wanted.
//! * (e) One call in flight per person, none after its `not_after`, none that could outlast an ownership.
//! * (f) The budget, and nothing while Graph said to wait, but for one probe.
//! * (g) Nobody lapses while the budget suffices.
//! * (h) Under overload the oldest change is served within a bound.
//! * (i) Who is not listed is never set.
//! * (o) The core wants what the oracle wants.
//! * (j) What a journal holds at a death is what the core knows (`journal`).

use presence_bridge::presence::{OnStop, Ticket};

use super::super::oracle::Standing;
use super::graph::Write;
use super::office::{AVAILABLE, KINDS, Kind, SIGNALS, object_id};
use super::{HOUR, MINUTE, NOBODY, SECOND, World};

/// Beside the expiration: the latest that a call may land (25 s), an attempt (10 s), and the five seconds in which a call
/// that was asked for may still start.
const LANDS_WITHIN: u64 = 40 * SECOND;
/// A falling presence that flaps is put off for so long at most.
const DAMPED: u64 = 60 * SECOND;
/// Told and alive: an attempt, and a turn in the queue.
const ONE_ATTEMPT: u64 = 12 * SECOND;
/// Calm counts as healthy when the last fault is so long ago: a late write, its second answer, the longest back-off. With
/// hardly any budget also the climb of a lowered rate, and what has piled up.
const HEALTHY: u64 = 120 * SECOND;
const HEALTHY_WHEN_SHORT: u64 = 30 * MINUTE;
const BLIND_HOLD: u64 = 15 * MINUTE;
/// An attempt, as an owner whose time runs out reckons with it.
const ATTEMPT: u64 = 10 * SECOND;

/// What the bridge knows of the end of what somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Heard,
    /// Said, but the bridge could not hear it.
    Unheard,
    /// The device never said so, or something older was heard after it.
    Unsaid,
}

impl World {
    /// What the oracle wants now; keeps account of since when.
    pub(super) fn want(&mut self, person: usize) -> &'static str {
        let now = self.mono;
        let standing = self.oracle.standing(person, self.at());
        let quiet = !self.people[person].listed
            || now < self.people[person].paused_until
            || matches!(self.stopping, Some((OnStop::Clear, _)));
        let wanted = match standing {
            _ if quiet => NOBODY,
            Standing::Taken(signal) => SIGNALS[signal].1,
            Standing::Free if self.office.policy.when_free.is_some() => AVAILABLE,
            _ => NOBODY,
        };
        let who = &mut self.people[person];
        let before = who.wanted;
        if before != wanted {
            who.last_wanted.insert(before, now);
            (who.wanted, who.wanted_since) = (wanted, now);
            who.changes.push_back(now);
            if who.changes.len() > 4 {
                who.changes.pop_front();
            }
            if !self.delivering && now < self.gate.until {
                self.cover("a lease that ended during a gate");
            }
        }
        self.people[person].last_wanted.insert(wanted, now);
        wanted
    }

    pub(super) fn may_start(&mut self, person: usize, not_after: u64) {
        if not_after < self.mono {
            self.violation('e', person, "a call that may not start any more");
        }
        if not_after.saturating_add(ATTEMPT) > self.people[person].owned_until {
            self.violation('e', person, "a call that could outlast the ownership");
        }
    }

    pub(super) fn may_call(&mut self, ticket: Ticket, person: usize, write: Write) {
        if self.people[person].in_flight.is_some() {
            self.violation('e', person, "two calls in flight");
        }
        let wanted = self.want(person);
        if write.shows() != wanted {
            let what = format!("asks for {}, wanted is {wanted}", write.shows());
            self.violation('d', person, &what);
        }
        if write.shows() != NOBODY && !self.people[person].listed {
            self.violation('i', person, "set, and not listed");
        }
        let who = &self.people[person];
        let moved = self.office.policy.trust_until && wanted == SIGNALS[1].1;
        // 60 % of the time that it holds, 50 % with replicas (which changes nothing for Available), and jitter of a tenth.
        let early = if self.office.policy.replicas && wanted != AVAILABLE { 39 } else { 49 };
        let due = wanted != NOBODY && self.mono >= who.confirmed_at + who.confirmed_span * early / 100;
        let confirmed = who.confirmed.map(|content| content.is_some());
        let same = confirmed == Ok(wanted != NOBODY) && write.is(who.confirmed);
        if same && !due && !moved && who.ghost.is_none() {
            let ago = self.mono - self.people[person].confirmed_at;
            self.violation(
                'd',
                person,
                &format!("a call without a change, {ago} ms after it was confirmed: {write:?}"),
            );
        }
        let who = &self.people[person];
        if let Some(at) = who.failed
            && self.mono < at + 400
            && who.wanted_since < at
        {
            self.violation('d', person, "no back-off after a failure");
        }
        if !self.passes_gate(ticket) {
            self.violation('f', person, "called while Graph had said to wait, or beside the probe");
        }
        self.sent.push_back(self.mono);
        while self.sent.front().is_some_and(|&sent| sent + 30 * SECOND <= self.mono) {
            self.sent.pop_front();
        }
        let policy = &self.office.policy;
        if self.sent.len() as f64 > policy.rate * 30.0 + f64::from(policy.burst) {
            self.violation('f', person, &format!("{} calls within 30 s", self.sent.len()));
        }
    }

    /// Compares what colleagues see with what is wanted.
    pub(super) fn look(&mut self, person: usize) {
        let wanted = self.want(person);
        self.core_agrees(person, wanted);
        let now = self.mono;
        self.let_meetings_end(person);
        let seen = self.seen(person);
        if seen == wanted {
            return;
        }
        let flapping = self.is_flapping(person);
        self.is_stuck(person, seen, flapping);
        let who = &self.people[person];
        let since = now - who.wanted_since;
        let served =
            who.parked.is_none() && !flapping && now + 15 * SECOND < who.owned_until && self.stopping.is_none();
        if !self.is_healthy() || !served {
            return;
        }
        let what = format!("seen {seen}, wanted {wanted} since {since} ms, all healthy");
        if self.office.is_short() {
            // Half of the rate at least is for changes, and after half a minute none is put before an older one.
            let bound = 30.0 + 2.0 * self.people.len() as f64 / self.office.policy.rate;
            let waits = who.confirmed != Ok(None) || wanted != NOBODY;
            if waits && !write_is(who.confirmed, wanted) && since > bound as u64 * SECOND + ONE_ATTEMPT {
                self.violation('h', person, &what);
            }
        } else if since > ONE_ATTEMPT {
            let was_set = write_is(who.confirmed, wanted);
            let checker = if wanted == AVAILABLE && seen != NOBODY {
                'b'
            } else if was_set && seen == NOBODY {
                'g'
            } else {
                'a'
            };
            self.violation(checker, person, &what);
        }
    }

    fn core_agrees(&mut self, person: usize, wanted: &'static str) {
        let Some(id) = self.people[person].id.filter(|_| self.alive) else { return };
        let core = self.core.view(id).wanted().map_or(NOBODY, |pair| pair.as_str());
        if core != wanted {
            let object_id = object_id(person);
            let saved = self.core.snapshot(self.now()).people;
            let shares: Vec<_> = saved.into_iter().filter(|saved| saved.object_id.to_string() == object_id).collect();
            let (now, oracle) = (self.now(), self.oracle.shares(person));
            self.note(|| format!("==== at {now:?} the core has: {shares:?}"));
            self.note(|| format!("==== the oracle has: {oracle}"));
            self.violation('o', person, &format!("the oracle wants {wanted}, the core {core}"));
        }
    }

    fn is_flapping(&self, person: usize) -> bool {
        let changes = &self.people[person].changes;
        changes.len() == 4 && self.mono < changes[0] + 30 * SECOND + DAMPED + 10 * SECOND
    }

    fn is_healthy(&self) -> bool {
        let long_ago = if self.office.is_short() { HEALTHY_WHEN_SHORT } else { HEALTHY };
        self.mono >= self.last_fault + long_ago && !self.mood.is_hostile() && self.hears()
    }

    /// Law 3. `seen` is not what is wanted now.
    fn is_stuck(&mut self, person: usize, seen: &'static str, flapping: bool) {
        if matches!(seen, NOBODY | "Available/AvailableInactive" | "Away/Away") {
            return; // not of our making
        }
        let who = &self.people[person];
        let Some(&last) = who.last_wanted.get(seen) else {
            return self.violation('c', person, &format!("seen {seen}, which was never wanted"));
        };
        let asked =
            who.asked.get(seen).into_iter().flatten().filter(|(at, span)| self.mono <= at + span + LANDS_WITHIN);
        let span = asked.map(|(_, span)| *span).max().unwrap_or(300 * SECOND);
        let bound = span + LANDS_WITHIN + if flapping { DAMPED } else { 0 };
        let stuck = self.mono - last;
        if span == 300 * SECOND && !flapping {
            self.report.worst_stuck = self.report.worst_stuck.max(stuck);
        }
        if stuck > bound {
            self.violation('c', person, &format!("stuck on {seen} for {stuck} ms after it was wanted"));
        }
        self.is_stuck_in_truth(person, seen, bound);
    }

    /// The same against what people truly do. Devices whose last word was lost are believed for their ttl; those whose word
    /// could not be heard, for `blind_hold`.
    fn is_stuck_in_truth(&mut self, person: usize, seen: &'static str, bound: u64) {
        if self.office.policy.when_free.is_some() && seen == AVAILABLE {
            return; // of that, "off" is the cause as well
        }
        let (mut stuck, mut allowed, mut told) = (u64::MAX, 0, Word::Heard);
        let subjects: Vec<usize> =
            (0..self.people.len()).filter(|&subject| self.office.leads_to[subject] == person).collect();
        for subject in subjects {
            self.let_meetings_end(subject);
            for kind in KINDS.into_iter().filter(|&kind| SIGNALS[self.office.terms(kind).signal].1 == seen) {
                let (truth, terms) = (self.people[subject].truth[&kind], self.office.terms(kind));
                let was_told = truth.heard == truth.sent && !truth.lost;
                let moved_at = self.people[person].moved_at;
                // Told, it counts from when it was; of a device that died, its last word is believed from when it was heard.
                let from_word = was_told || truth.lost;
                let ended = if from_word { truth.ended.max(truth.heard_at) } else { truth.ended }.max(moved_at);
                stuck = stuck.min(if truth.on { 0 } else { self.mono - ended });
                let was = match was_told {
                    true => Word::Heard,
                    // A meeting that is not heard of goes on until its known end.
                    false if truth.lost || !kind.is_retained() || kind == Kind::Meeting => Word::Unsaid,
                    false => Word::Unheard,
                };
                told = told.max(was);
                let believed = match was {
                    Word::Heard => 0,
                    Word::Unheard => BLIND_HOLD,
                    Word::Unsaid => terms.ttl.max(BLIND_HOLD),
                };
                allowed = allowed.max(believed + terms.hold);
            }
        }
        if self.clock_was_set && (self.booted || seen == SIGNALS[1].1) {
            return;
        }
        if bound == 300 * SECOND + LANDS_WITHIN {
            let worst = &mut self.report.worst_stuck_truth[told as usize];
            *worst = (*worst).max(stuck);
        }
        if stuck > bound + allowed {
            self.violation('c', person, &format!("stuck on {seen} for {stuck} ms after it was true"));
        }
    }

    pub(super) fn seen(&mut self, person: usize) -> &'static str {
        let shown = self.tenant.seen(self.mono, &object_id(person)).to_string();
        let known = ["Available/AvailableInactive", "Away/Away", NOBODY];
        let known = SIGNALS.into_iter().map(|(_, shows)| shows).chain(known).find(|&known| known == shown);
        known.unwrap_or_else(|| panic!("nobody can show {shown}"))
    }

    pub(super) fn converged(&mut self) {
        for person in 0..self.people.len() {
            self.look(person);
            let wanted = self.want(person);
            if self.people[person].parked.is_some() {
                self.cover("parked at the end");
                continue;
            }
            let just_now = self.mono < self.people[person].wanted_since + ONE_ATTEMPT;
            let away = self.people[person].owned_until != u64::MAX;
            if just_now || away || self.office.is_short() {
                continue;
            }
            let seen = self.seen(person);
            if seen != wanted {
                let what =
                    format!("healed for {} minutes, seen {seen}, wanted {wanted}", (self.mono - self.end) / MINUTE);
                self.violation('a', person, &what);
            }
        }
        debug_assert!(self.mono > self.end && self.end > HOUR);
    }
}

/// Whether what Graph confirmed shows so.
fn write_is(confirmed: Result<Option<&'static str>, ()>, wanted: &str) -> bool {
    match confirmed {
        Ok(None) => wanted == NOBODY,
        Ok(Some(activity)) => wanted.split('/').nth(1) == Some(activity),
        Err(()) => false,
    }
}

impl Write {
    fn is(self, confirmed: Result<Option<&'static str>, ()>) -> bool {
        write_is(confirmed, self.shows())
    }
}
