//! Small worlds, all of them: one person, two devices, two signals, every message, every fate of every call, every step to
//! the next deadline, up to a depth. No sampling. After each path everything is healed, and what Graph holds must be what
//! is wanted.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use presence_bridge::presence::{
    Action, Core, Link, Mono, Now, Outcome, Policy, Presence, Publish, SourceId, Ticket, Timestamp, Waiting,
};

use crate::support::plan::desks;

const MESSAGES: [(&str, &str); 5] = [
    ("pbx/devstate/PJSIP/1001", "INUSE"),
    ("pbx/devstate/PJSIP/1001", "NOT_INUSE"),
    ("pbx/devstate/PJSIP/1001", "UNAVAILABLE"),
    ("ha/alice/state", "on"),
    ("ha/alice/state", "off"),
];

/// How a call ends, and when its write is applied: never, at once, or so many seconds after it was sent.
const FATES: [(Outcome, Option<u64>); 12] = [
    (Outcome::Accepted, Some(0)),
    (Outcome::Throttled { retry_after: None }, None),
    (Outcome::Throttled { retry_after: Some(Duration::from_secs(3)) }, Some(0)),
    (Outcome::NotSent, None),
    (Outcome::Ambiguous, None),
    (Outcome::Ambiguous, Some(0)),
    (Outcome::Ambiguous, Some(24)),
    (Outcome::Unauthorised, None),
    (Outcome::Forbidden { role_missing: false }, None),
    (Outcome::Forbidden { role_missing: true }, None),
    (Outcome::NoSuchUser, None),
    (Outcome::Refused, None),
];

#[derive(Clone, Copy, Debug)]
enum Step {
    Say(usize),
    End(usize),
    Wait,
}

#[derive(Clone)]
struct Call {
    ticket: Ticket,
    content: Option<(Presence, Duration)>,
    sent: u64,
}

/// Core and Graph, and the one call that may be out.
#[derive(Clone)]
struct World {
    core: Core,
    now: u64,
    held: Option<(Presence, u64)>,
    late: Vec<(u64, Option<(Presence, Duration)>)>,
    call: Option<Call>,
    calls: usize,
}

impl World {
    fn new() -> World {
        let start = 1_000_000;
        let mut core = Core::new(at(start), Arc::new(desks(Policy::default())));
        core.handle_link(at(start), SourceId(0), Link::Up { session_present: false, expiry: Duration::ZERO });
        World { core, now: start + 10_000, held: None, late: Vec::new(), call: None, calls: 0 }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = (0..MESSAGES.len()).map(Step::Say).collect();
        if self.call.is_some() {
            steps.extend((0..FATES.len()).map(Step::End));
        }
        steps.push(Step::Wait);
        steps
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Say(message) => {
                let (topic, payload) = MESSAGES[message];
                let publish =
                    Publish { topic: topic.as_bytes(), payload: payload.as_bytes(), retain: false, expiry: None };
                self.core.handle_publish(at(self.now), SourceId(0), &publish);
            }
            Step::End(fate) => self.end(FATES[fate]),
            Step::Wait => self.wait(u64::MAX),
        }
        self.perform();
    }

    /// To the next deadline of the core, the next late write, or the time-out of the call that is out.
    fn wait(&mut self, latest: u64) {
        let timeout = self.core.poll_timeout().map_or(u64::MAX, |deadline| deadline.mono.as_millis());
        let late = self.late.iter().map(|late| late.0).min().unwrap_or(u64::MAX);
        let given_up = self.call.as_ref().map_or(u64::MAX, |call| call.sent + 10_000);
        let next = timeout.min(late).min(given_up).min(latest);
        if next == u64::MAX {
            return;
        }
        self.now = self.now.max(next);
        self.land();
        if self.now >= given_up {
            self.end((Outcome::Ambiguous, None));
        }
        self.core.handle_timeout(at(self.now));
    }

    fn end(&mut self, (outcome, applied): (Outcome, Option<u64>)) {
        let call = self.call.take().unwrap();
        match applied {
            Some(0) => self.apply(call.content),
            Some(seconds) => self.late.push((call.sent + seconds * 1000, call.content)),
            None => {}
        }
        self.core.handle_outcome(at(self.now), call.ticket, outcome);
    }

    fn apply(&mut self, content: Option<(Presence, Duration)>) {
        self.held = content.map(|(pair, span)| (pair, self.now + u64::try_from(span.as_millis()).unwrap()));
    }

    fn land(&mut self) {
        self.late.sort_by_key(|late| late.0);
        while self.late.first().is_some_and(|late| late.0 <= self.now) {
            let (_, content) = self.late.remove(0);
            self.apply(content);
        }
    }

    fn perform(&mut self) {
        while let Some(action) = self.core.poll_action() {
            let (ticket, content, not_after) = match action {
                Action::SetPresence { ticket, presence, expiration, not_after, .. } => {
                    (ticket, Some((presence, expiration)), not_after)
                }
                Action::ClearPresence { ticket, not_after, .. } => (ticket, None, not_after),
                _ => continue,
            };
            assert!(self.call.is_none(), "(e) two calls in flight");
            assert!(not_after.as_millis() >= self.now, "(e) a call that may not start any more");
            self.calls += 1;
            self.call = Some(Call { ticket, content, sent: self.now });
        }
    }

    fn wanted(&self) -> Option<Presence> {
        let alice = self.core.people().next().unwrap();
        self.core.view(alice).wanted()
    }

    fn seen(&self) -> Option<Presence> {
        self.held.filter(|&(_, until)| self.now < until).map(|(pair, _)| pair)
    }

    /// From now on every call is accepted. Returns what is wrong after that, if anything.
    fn heal(mut self) -> Option<String> {
        let end = self.now + 200_000;
        let mut steps = 0;
        while self.now < end {
            steps += 1;
            if steps > 10_000 {
                return Some("the core wants to be woken at once for ever".to_owned());
            }
            if self.call.is_some() {
                self.now += 50;
                self.land();
                self.end((Outcome::Accepted, Some(0)));
            } else {
                self.wait(end);
            }
            self.perform();
        }
        let alice = self.core.people().next().unwrap();
        let parked = self.core.view(alice).waiting().is_some_and(|(why, _)| why != Waiting::BackOff);
        let gate = self.core.gate(presence_bridge::presence::TenantId(0)).is_some();
        if !parked && !gate && self.seen() != self.wanted() {
            return Some(format!("(c) healed: seen {:?}, wanted {:?}", self.seen(), self.wanted()));
        }
        (self.calls > 60).then(|| format!("(d) {} calls", self.calls))
    }

    /// What tells this world from others at an instant: worlds that agree in it need to be searched once.
    fn key(&self) -> String {
        let alice = self.core.people().next().unwrap();
        let mut snapshot = self.core.snapshot(at(self.now));
        snapshot.topics.clear();
        let deadline = self.core.poll_timeout().map(|deadline| deadline.mono.as_millis().saturating_sub(self.now));
        let late: Vec<_> = self.late.iter().map(|late| (late.0 - self.now, late.1.map(|late| late.0))).collect();
        let call = self.call.as_ref().map(|call| (self.now - call.sent, call.content.map(|content| content.0)));
        format!(
            "{:?} {:?} {:?} {:?} {deadline:?} {late:?} {call:?} {:?}",
            self.now,
            snapshot.people,
            self.core.state(alice),
            self.calls,
            self.held
        )
    }
}

fn at(mono: u64) -> Now {
    let wall = Timestamp::from_millis(1_795_000_000_000 + i64::try_from(mono).unwrap());
    Now { mono: Mono::from_millis(mono), wall }
}

/// Every path up to `depth`; worlds that were met before are not searched again. Returns how many were met.
fn search(depth: usize) -> usize {
    let mut met = HashSet::new();
    let mut level = vec![(World::new(), Vec::new())];
    let mut worlds = 0;
    for _ in 0..depth {
        let mut next = Vec::new();
        for (world, path) in level {
            for step in world.steps() {
                let mut world = world.clone();
                world.take(step);
                if !met.insert(world.key()) {
                    continue;
                }
                worlds += 1;
                let mut path: Vec<Step> = path.clone();
                path.push(step);
                if let Some(wrong) = world.clone().heal() {
                    panic!("{wrong}, after {path:?}");
                }
                next.push((world, path));
            }
        }
        level = next;
    }
    worlds
}

#[test]
fn every_small_world_to_depth_six_comes_right() {
    println!("{} worlds", search(6));
}

#[test]
#[ignore = "minutes: under tests/run --all"]
fn every_small_world_to_depth_seven_comes_right() {
    println!("{} worlds", search(7));
}
