//! The tenant's budget and gate, measured from outside: how fast calls go, and when the next one goes after a failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use presence_bridge::presence::{
    Action, Core, Link, Mono, Now, Outcome, PersonId, Policy, Publish, Rate, SourceId, TenantId, Ticket, Timestamp,
};

use crate::support::plan;

const SECOND: u64 = 1_000;
const START: u64 = 1_000_000;
/// A call's way to Graph and back.
const ROUND_TRIP: u64 = 100;

/// People who all go into a call at once, and what Graph answers to the n-th call.
struct Office {
    core: Core,
    people: usize,
    mono: u64,
    answer: fn(usize) -> Outcome,
    answers: BTreeMap<(u64, usize), (Ticket, Outcome)>,
    /// When calls went, and for whom.
    calls: Vec<(u64, PersonId)>,
    was_shut: bool,
}

impl Office {
    /// Nobody does anything yet; the bucket fills from empty.
    fn closed(people: usize, rate: f64, burst: u32, answer: fn(usize) -> Outcome) -> Office {
        let policy = Policy { rate, burst, ..Policy::default() };
        let mut core = Core::new(at(START), Arc::new(plan::office(people, policy)));
        core.handle_link(at(START), SourceId(0), Link::Up { session_present: false, expiry: Duration::ZERO });
        Office { core, people, mono: START, answer, answers: BTreeMap::new(), calls: Vec::new(), was_shut: false }
    }

    fn open(people: usize, rate: f64, answer: fn(usize) -> Outcome) -> Office {
        let mut office = Office::closed(people, rate, 5, answer);
        office.everybody("on");
        office
    }

    fn everybody(&mut self, payload: &str) {
        (0..self.people).for_each(|person| self.say(person, payload));
    }

    fn budget(&mut self, per_second: f64, burst: u32) {
        self.core.handle_budget(at(self.mono), TenantId(0), Rate { per_second, burst }, None);
    }

    fn say(&mut self, person: usize, payload: &str) {
        let topic = format!("presence-bridge/in/p{person}/call");
        let publish = Publish { topic: topic.as_bytes(), payload: payload.as_bytes(), retain: false, expiry: None };
        self.core.handle_publish(at(self.mono), SourceId(0), &publish);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(action) = self.core.poll_action() {
            let (Action::SetPresence { ticket, person, .. } | Action::ClearPresence { ticket, person, .. }) = action
            else {
                continue;
            };
            let n = self.calls.len();
            self.calls.push((self.mono, person));
            self.answers.insert((self.mono + ROUND_TRIP, n), (ticket, (self.answer)(n)));
        }
    }

    fn drive(&mut self, seconds: u64) -> &mut Office {
        let end = self.mono + seconds * SECOND;
        let mut spins = 0;
        while self.mono < end {
            let timeout = self.core.poll_timeout().map_or(u64::MAX, |deadline| deadline.mono.as_millis());
            let answer = self.answers.keys().next().map_or(u64::MAX, |key| key.0);
            let next = timeout.min(answer).max(self.mono).min(end);
            spins = if next == self.mono { spins + 1 } else { 0 };
            assert!(spins < 10_000, "the core wants to be woken at once for ever");
            self.mono = next;
            while let Some(entry) = self.answers.first_entry().filter(|entry| entry.key().0 <= next) {
                let (ticket, outcome) = entry.remove();
                self.core.handle_outcome(at(next), ticket, outcome);
            }
            self.core.handle_timeout(at(next));
            self.was_shut |= self.core.gate(TenantId(0)).is_some();
            self.perform();
        }
        self
    }

    /// When the n-th call went, milliseconds since the start.
    fn at(&self, n: usize) -> u64 {
        self.calls[n].0 - START
    }

    /// How many calls went from second `from` on, up to second `to`.
    fn within(&self, from: u64, to: u64) -> usize {
        let span = START + from * SECOND..START + to * SECOND;
        self.calls.iter().filter(|call| span.contains(&call.0)).count()
    }

    /// Seconds between the calls from the n-th on, rounded.
    fn waits(&self, n: usize) -> Vec<u64> {
        self.calls[n..].windows(2).map(|pair| (pair[1].0 - pair[0].0 + SECOND / 2) / SECOND).collect()
    }
}

fn at(mono: u64) -> Now {
    let wall = Timestamp::from_millis(1_795_000_000_000 + i64::try_from(mono).unwrap());
    Now { mono: Mono::from_millis(mono), wall }
}

const THROTTLED: Outcome = Outcome::Throttled { retry_after: Some(Duration::from_secs(1)) };

/// Whether each wait is the one expected, or up to a quarter shorter: that much is jitter. A call's way comes on top.
#[track_caller]
fn about(found: &[u64], expected: &[u64]) {
    let near = |(found, expected): (&u64, &u64)| (expected * 3 / 4..=expected + 1).contains(found);
    assert!(found.len() >= expected.len(), "{found:?}");
    assert!(found.iter().zip(expected).all(near), "expected about {expected:?}, found {found:?}");
}

#[test]
fn calls_go_at_the_rate_and_after_a_pause_a_burst_goes_at_once() {
    let mut office = Office::open(1_000, 10.0, |_| Outcome::Accepted);
    office.drive(20);
    assert_eq!(office.at(0), 100, "the bucket is empty at the start");
    assert_eq!(office.within(0, 20), 199);
    let mut office = Office::closed(100, 10.0, 5, |_| Outcome::Accepted);
    office.drive(60);
    office.everybody("on");
    office.drive(2);
    assert_eq!((office.at(4), office.at(5), office.at(6)), (60_000, 60_100, 60_200));
}

#[test]
fn after_a_429_seven_tenths_of_the_rate_are_left_and_a_twentieth_comes_back_each_quiet_half_minute() {
    let mut office = Office::open(4_000, 10.0, |n| if n == 9 { THROTTLED } else { Outcome::Accepted });
    office.drive(301); // the 429 comes at 1.1 s
    let each: Vec<usize> = (0..8).map(|n| office.within(2 + 30 * n, 32 + 30 * n)).collect();
    let expected = [210, 225, 240, 255, 270, 285, 300, 300];
    assert!(each.iter().zip(expected).all(|(found, expected)| found.abs_diff(expected) <= 6), "{each:?}");
}

#[test]
fn a_rate_that_is_changed_meanwhile_stays_lowered() {
    let mut office = Office::open(4_000, 10.0, |n| if n == 9 { THROTTLED } else { Outcome::Accepted });
    office.drive(5);
    office.budget(20.0, 5);
    office.drive(300);
    assert!(office.within(6, 26).abs_diff(280) <= 6, "{}", office.within(6, 26));
    assert!(office.within(270, 300).abs_diff(600) <= 6, "{}", office.within(270, 300));
}

#[test]
fn a_burst_that_is_made_smaller_is_smaller_at_once() {
    let mut office = Office::closed(100, 10.0, 50, |_| Outcome::Accepted);
    office.drive(60);
    office.budget(10.0, 5);
    office.everybody("on");
    office.drive(1);
    assert_eq!((office.at(4), office.at(5)), (60_000, 60_100));
}

#[test]
fn a_rate_of_nothing_and_one_without_end_are_taken_for_the_least_and_the_most() {
    for senseless in [0.0, -1.0, f64::INFINITY] {
        let mut office = Office::open(50, 10.0, |_| Outcome::Accepted);
        office.drive(1);
        office.budget(senseless, 5);
        office.drive(600);
        office.budget(10.0, 5);
        office.drive(20);
        assert!(office.calls.len() >= 50, "{senseless}: {} calls", office.calls.len());
    }
}

#[test]
fn all_429_of_one_burst_count_once_and_the_longest_wait_of_them_is_kept() {
    // Twenty calls go at once; three of them are told to wait.
    let mut office = Office::closed(2_000, 10.0, 20, |n| match n {
        1 | 7 => THROTTLED,
        4 => Outcome::Throttled { retry_after: Some(Duration::from_secs(20)) },
        _ => Outcome::Accepted,
    });
    office.drive(10);
    office.everybody("on");
    office.drive(80);
    assert_eq!((office.at(0), office.at(19)), (10_000, 10_000));
    assert_eq!((office.at(20), office.at(21)), (30_100, 30_200), "one probe, and the others when it was answered");
    let found = office.within(41, 70); // what was saved meanwhile is sent by then
    assert!(found.abs_diff(29 * 75 / 10) <= 5, "{found} calls at seven tenths and a twentieth of ten a second");
}

#[test]
fn without_a_retry_after_the_wait_doubles_up_to_a_minute_until_an_answer() {
    let mut office = Office::open(1, 10.0, |n| match n {
        8 => Outcome::Accepted,
        _ => Outcome::Throttled { retry_after: None },
    });
    office.drive(400);
    about(&office.waits(0), &[1, 2, 4, 8, 16, 32, 60, 60]);
    office.say(0, "off");
    office.drive(10);
    about(&office.waits(9), &[1, 2]);
}

#[test]
fn a_retry_after_counts_from_a_second_to_a_quarter_of_an_hour() {
    let mut office = Office::open(1, 10.0, |n| match n {
        0 => Outcome::Throttled { retry_after: Some(Duration::ZERO) },
        1 => Outcome::Throttled { retry_after: Some(Duration::from_secs(7_200)) },
        _ => Outcome::Accepted,
    });
    office.drive(1_000);
    assert_eq!(office.waits(0)[..2], [1, 900]);
}

#[test]
fn five_failures_of_different_people_shut_the_gate_for_a_time_that_doubles_up_to_half_a_minute() {
    let mut office = Office::open(20, 10.0, |n| if n < 12 { Outcome::Ambiguous } else { Outcome::Accepted });
    office.drive(200);
    assert_eq!(office.at(4), 500);
    about(&office.waits(4), &[1, 2, 4, 8, 16, 30, 30, 30]);
    assert_eq!(office.waits(12)[..5], [0; 5], "then all go");
}

#[test]
fn failures_between_which_graph_answers_shut_nothing() {
    let mut office = Office::open(200, 10.0, |n| if n % 5 == 4 { Outcome::Accepted } else { Outcome::Ambiguous });
    office.drive(60);
    assert!(!office.was_shut);
}

#[test]
fn failures_of_one_person_count_once_while_others_wait_and_all_where_few_do() {
    for (others, shuts) in [(3, true), (4, false)] {
        let mut office = Office::closed(1 + others, 10.0, 1, |_| Outcome::Accepted);
        (1..=others).for_each(|person| office.say(person, "on"));
        office.drive(10);
        office.answer = |_| Outcome::Ambiguous;
        office.budget(0.5, 1);
        // The others fall; one fails and the rest wait, while the first rises again and again, which no back-off delays.
        (1..=others).for_each(|person| office.say(person, "off"));
        office.drive(1);
        for _ in 0..5 {
            office.say(0, "off");
            office.say(0, "on");
            office.drive(2);
        }
        assert_eq!(office.was_shut, shuts, "{others} others: {:?}", office.calls);
    }
}
