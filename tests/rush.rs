//! 10,000 people going Busy at 09:00: the budget at Graph's door, who lapses, and how long the last one waits. On virtual
//! time; calls take up to two seconds to arrive, as on a bad day.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use presence_bridge::presence::{
    Action, Core, Link, Mono, Now, Outcome, PersonId, Plan, Policy, Publish, Restart, SourceId, Ticket, Timestamp,
};

use crate::support::plan;

const PEOPLE: usize = 10_000;
/// Graph counts so many calls of an application in any 30 s.
const LIMIT: usize = 1_500;
const SECOND: u64 = 1_000;

struct Office {
    core: Core,
    plan: Arc<Plan>,
    mono: u64,
    rng: fastrand::Rng,
    /// Answers by time: the call, its arrival, and who.
    answers: BTreeMap<(u64, u64), (Ticket, PersonId, u64)>,
    serial: u64,
    arrivals: Vec<u64>,
    sent: u64,
    held_until: BTreeMap<PersonId, u64>,
    first_set: BTreeMap<PersonId, u64>,
    lapsed: usize,
    /// The next call is answered 429 with this.
    throttle: Option<Duration>,
    told_to_wait_until: u64,
    sent_while_told: usize,
}

impl Office {
    fn open(seed: u64) -> Office {
        let plan = Arc::new(plan::office(PEOPLE, Policy::default()));
        let mono = 1_000_000;
        let mut core = Core::new(now(mono), Arc::clone(&plan));
        core.handle_link(now(mono), SourceId(0), Link::Up { session_present: false, expiry: Duration::ZERO });
        Office {
            core,
            plan,
            mono,
            rng: fastrand::Rng::with_seed(seed),
            answers: BTreeMap::new(),
            serial: 0,
            arrivals: Vec::new(),
            sent: 0,
            held_until: BTreeMap::new(),
            first_set: BTreeMap::new(),
            lapsed: 0,
            throttle: None,
            told_to_wait_until: 0,
            sent_while_told: 0,
        }
    }

    fn everybody(&mut self, payload: &str) {
        for person in 0..PEOPLE {
            let topic = format!("presence-bridge/in/p{person}/call");
            let publish = Publish { topic: topic.as_bytes(), payload: payload.as_bytes(), retain: false, expiry: None };
            self.core.handle_publish(now(self.mono), SourceId(0), &publish);
        }
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(action) = self.core.poll_action() {
            let (ticket, person) = match action {
                Action::SetPresence { ticket, person, .. } | Action::ClearPresence { ticket, person, .. } => {
                    (ticket, person)
                }
                _ => continue,
            };
            self.sent += 1;
            self.sent_while_told += usize::from(self.mono < self.told_to_wait_until);
            let arrives = self.mono + self.rng.u64(0..2 * SECOND);
            self.arrivals.push(arrives);
            self.serial += 1;
            self.answers.insert((arrives + self.rng.u64(10..500), self.serial), (ticket, person, arrives));
        }
    }

    fn drive(&mut self, seconds: u64) {
        let end = self.mono + seconds * SECOND;
        loop {
            let timeout = self.core.poll_timeout().map_or(u64::MAX, |deadline| deadline.mono.as_millis());
            let answer = self.answers.keys().next().map_or(u64::MAX, |key| key.0);
            let next = timeout.min(answer).max(self.mono);
            if next > end {
                self.mono = end;
                return;
            }
            self.mono = next;
            if answer <= next {
                let (_, (ticket, person, arrived)) = self.answers.pop_first().unwrap();
                self.answer(ticket, person, arrived);
            } else {
                self.core.handle_timeout(now(next));
            }
            self.perform();
        }
    }

    fn answer(&mut self, ticket: Ticket, person: PersonId, arrived: u64) {
        let outcome = match self.throttle.take() {
            Some(wait) => {
                self.told_to_wait_until = self.mono + u64::try_from(wait.as_millis()).unwrap();
                Outcome::Throttled { retry_after: Some(wait) }
            }
            None => {
                let before = self.held_until.insert(person, arrived + 300 * SECOND);
                self.lapsed += usize::from(before.is_some_and(|until| until < arrived));
                self.first_set.entry(person).or_insert(arrived);
                Outcome::Accepted
            }
        };
        self.core.handle_outcome(now(self.mono), ticket, outcome);
    }

    /// The most arrivals in any 30 s.
    fn busiest(&self) -> usize {
        let mut arrivals = self.arrivals.clone();
        arrivals.sort_unstable();
        let mut window = VecDeque::new();
        let mut most = 0;
        for at in arrivals {
            window.push_back(at);
            while window.front().is_some_and(|first| first + 30 * SECOND <= at) {
                window.pop_front();
            }
            most = most.max(window.len());
        }
        most
    }
}

fn now(mono: u64) -> Now {
    let wall = Timestamp::from_millis(1_795_000_000_000 + i64::try_from(mono).unwrap());
    Now { mono: Mono::from_millis(mono), wall }
}

#[test]
fn fault_37_everybody_at_nine_is_served_at_the_rate_and_nobody_lapses() {
    let mut office = Office::open(37);
    office.drive(60); // the bucket is full
    let nine = office.mono;
    office.everybody("on");
    office.drive(1800);
    let last = office.first_set.values().max().unwrap() - nine;
    assert_eq!(office.first_set.len(), PEOPLE);
    assert!(office.busiest() <= LIMIT, "{} arrivals in 30 s", office.busiest());
    assert_eq!(office.lapsed, 0);
    // At 45 a second the last one's turn comes after 221 s; refreshes of the first begin to be urgent at 240 s.
    assert!((218..230).contains(&(last / SECOND)), "the last one waited {last} ms");
    println!("rush of {PEOPLE}: last after {last} ms, at most {} arrivals in 30 s, none lapsed", office.busiest());
}

#[test]
fn fault_46_a_gate_in_the_rush_costs_no_more_than_it_must() {
    for (gate, served) in [(60, 4_000), (120, 4_000)] {
        let mut office = Office::open(gate);
        office.drive(60);
        office.everybody("on");
        office.drive(90);
        assert!(office.first_set.len() > served - 200, "{}", office.first_set.len());
        office.throttle = Some(Duration::from_secs(gate));
        office.drive(3600);
        assert_eq!(office.sent_while_told, 0, "nothing is sent while Graph says to wait");
        assert!(office.busiest() <= LIMIT, "{} arrivals in 30 s", office.busiest());
        assert_eq!(office.first_set.len(), PEOPLE);
        // 10,000 refreshes need 33 calls a second and the rate fell to 31 for a while: some lapse, and are set again.
        println!("rush with a gate of {gate} s: {} lapsed", office.lapsed);
        let lapsed = office.lapsed;
        office.drive(1800);
        assert_eq!(office.lapsed, lapsed, "and when the rate is back nobody lapses");
    }
}

#[test]
fn restarts_inherit_what_was_sent_before_them() {
    let mut office = Office::open(1);
    office.drive(60);
    office.everybody("on");
    for _ in 0..5 {
        office.drive(7);
        let snapshot = office.core.snapshot(now(office.mono));
        office.answers.clear();
        let restart = Restart { same_boot: true, clean: false };
        office.core = Core::restore(now(office.mono), Arc::clone(&office.plan), snapshot, restart);
        let up = Link::Up { session_present: true, expiry: Duration::from_secs(300) };
        office.core.handle_link(now(office.mono), SourceId(0), up);
        office.perform();
    }
    office.drive(300);
    assert!(office.busiest() <= LIMIT, "{} arrivals in 30 s", office.busiest());
}
