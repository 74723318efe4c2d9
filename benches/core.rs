//! What the pure core costs, in time and in memory: see README.md beside this file.
//!
//! Everybody is at a desk with one phone. People are taken in an order that jumps about in memory, as real events do.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "benches may")]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use presence_bridge::presence::rule::{Format, Place, Rule, Template, Words};
use presence_bridge::presence::topic::Pattern;
use presence_bridge::presence::{
    Action, Core, Mono, Now, ObjectId, Outcome, PersonPlan, Plan, Policy, Presence, Publish, Restart, Rules, Signal,
    SourceId, TenantId, Ticket, Timestamp,
};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const TOPIC: &str = "pbx/devstate/PJSIP/{ext}";

fn main() {
    if asked("BENCH_BYTES") {
        return sizes().into_iter().for_each(bytes);
    }
    divan::main();
}

#[allow(clippy::disallowed_methods, reason = "no configuration, and no argument that divan would pass on")]
fn asked(variable: &str) -> bool {
    std::env::var_os(variable).is_some()
}

/// What people take of the machine, the allocator's own share included.
#[allow(clippy::print_stdout, reason = "it is what was asked for")]
fn bytes(people: usize) {
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let before = resident();
    let plan = Arc::new(plan(people));
    let planned = resident();
    let core = Core::new(start(), plan);
    let known = resident();
    let house = House::around(core, people).everybody_calls();
    let active = resident();
    let each = |from: usize, to: usize| to.saturating_sub(from) / people;
    println!(
        "{people} people: {} bytes each in the plan, {} known to the core, {} more where active",
        each(before, planned),
        each(planned, known),
        each(known, active)
    );
    black_box(house);
}

/// People in the tenant.
fn sizes() -> Vec<usize> {
    let mut sizes = vec![1_000, 10_000, 100_000];
    sizes.extend(asked("BENCH_MILLION").then_some(1_000_000));
    sizes
}

fn rule(topic: &str) -> Rule {
    let pattern = Pattern::parse(topic).unwrap();
    let subject = Place::Topic(Template::parse("{ext}", &pattern).unwrap());
    Rule {
        on: Words::new(["INUSE", "BUSY"]),
        off: Words::new(["NOT_INUSE"]),
        unknown: Words::new(["UNAVAILABLE"]),
        ttl: Duration::from_secs(8 * 3600),
        ..Rule::new(pattern, subject, "call")
    }
}

fn extension(person: usize) -> String {
    (2_000_000 + person).to_string()
}

fn rules(people: usize, topics: impl Iterator<Item = String>) -> Rules {
    let subjects = (0..people).flat_map(|n| [(format!("person{n}"), n), (extension(n), n)]);
    let rules = topics.map(|topic| rule(&topic)).collect();
    Rules::new(rules, subjects, vec!["call".into()], Some("presence-bridge"))
}

fn plan(people: usize) -> Plan {
    let who = |n| PersonPlan {
        tenant: TenantId(0),
        object_id: format!("11111111-1111-4111-8111-{n:012x}").parse().unwrap(),
        label: format!("person{n}").into(),
    };
    // No budget: it is the core that is measured.
    let max_stale = Duration::from_secs(4 * 3600);
    let policy = Policy { rate: 1e9, burst: 1_000_000_000, max_stale, ..Policy::default() };
    Plan {
        tenants: vec![ObjectId::default()],
        people: (0..people).map(who).collect(),
        signals: vec![Signal { name: "call".into(), presence: Some(Presence::InACall) }],
        rules: rules(people, std::iter::once(TOPIC.to_owned())),
        policy,
    }
}

fn start() -> Now {
    Now { mono: Mono::from_millis(1_000_000), wall: Timestamp::from_millis(1_795_000_000_000) }
}

/// A core and what surrounds it.
struct House {
    core: Core,
    now: Now,
    on: Vec<bool>,
    calls: Vec<Ticket>,
    last: usize,
}

impl House {
    fn new(people: usize) -> House {
        House::around(Core::new(start(), Arc::new(plan(people))), people)
    }

    fn around(core: Core, people: usize) -> House {
        House { core, now: start(), on: vec![false; people], calls: Vec::new(), last: 0 }
    }

    /// Everybody is on the phone, and Graph holds that.
    fn busy(people: usize) -> House {
        House::new(people).everybody_calls()
    }

    fn everybody_calls(mut self) -> House {
        for person in 0..self.on.len() {
            self.pass(1);
            self.change(person);
            self.answer();
        }
        self
    }

    /// Every second one is on the phone, and Graph holds that.
    fn mixed(people: usize) -> House {
        let mut house = House::busy(people);
        for person in (0..people).step_by(2) {
            house.pass(1);
            house.change(person);
            house.answer();
        }
        house
    }

    fn pass(&mut self, millis: u64) {
        let span = Duration::from_millis(millis);
        self.now = Now { mono: self.now.mono + span, wall: self.now.wall + span };
    }

    /// Somebody else, far away in memory. The stride is prime, so it comes by everybody.
    fn next(&mut self) -> usize {
        self.last = (self.last + 7_919) % self.on.len();
        self.last
    }

    /// As it comes from a socket: in the cache.
    fn topic(&self, person: usize) -> String {
        TOPIC.replace("{ext}", &extension(person))
    }

    fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) {
        let publish = Publish { topic: topic.as_bytes(), payload, retain, expiry: None };
        black_box(self.core.handle_publish(self.now, SourceId(0), &publish));
        self.perform();
    }

    /// The payload that would change what the person says.
    fn toggle(&mut self, person: usize) -> &'static [u8] {
        self.on[person] ^= true;
        if self.on[person] { b"INUSE" } else { b"NOT_INUSE" }
    }

    fn change(&mut self, person: usize) {
        let topic = self.topic(person);
        let payload = self.toggle(person);
        self.publish(&topic, payload, false);
    }

    fn perform(&mut self) {
        while let Some(action) = self.core.poll_action() {
            if let Action::SetPresence { ticket, .. } | Action::ClearPresence { ticket, .. } = action {
                self.calls.push(ticket);
            }
        }
    }

    fn answer(&mut self) {
        while let Some(ticket) = self.calls.pop() {
            self.core.handle_outcome(self.now, ticket, Outcome::Accepted);
            self.perform();
        }
    }

    /// To the moment at which the next refresh is due.
    fn refresh(&mut self) {
        let before = self.calls.len();
        while self.calls.len() == before {
            let span = self.core.poll_timeout().unwrap().mono.since(self.now.mono);
            self.pass(u64::try_from(span.as_millis()).unwrap());
            self.core.handle_timeout(self.now);
            self.perform();
        }
    }
}

/// A live message that says what is known already, of somebody whom Graph shows that way.
#[divan::bench(args = sizes(), sample_size = 100, sample_count = 200)]
fn a_repeat(bencher: Bencher<'_, '_>, people: usize) {
    say_again(bencher, people, false);
}

/// A replay after a reconnect that equals what was heard last.
#[divan::bench(args = sizes(), sample_size = 100, sample_count = 200)]
fn a_replay(bencher: Bencher<'_, '_>, people: usize) {
    say_again(bencher, people, true);
}

fn say_again(bencher: Bencher<'_, '_>, people: usize, retain: bool) {
    let house = RefCell::new(House::busy(people));
    let message = || {
        let mut house = house.borrow_mut();
        house.pass(1);
        let person = house.next();
        house.topic(person)
    };
    bencher.with_inputs(message).bench_local_refs(|topic| house.borrow_mut().publish(topic, b"INUSE", retain));
}

/// A message that changes what somebody should show, up to the call that it causes.
#[divan::bench(args = sizes(), sample_size = 100, sample_count = 200)]
fn a_change(bencher: Bencher<'_, '_>, people: usize) {
    let house = RefCell::new(House::mixed(people));
    let answered = || {
        let mut house = house.borrow_mut();
        house.answer();
        house.pass(600); // nobody flaps
        let person = house.next();
        (house.topic(person), house.toggle(person))
    };
    bencher
        .with_inputs(answered)
        .bench_local_refs(|(topic, payload)| house.borrow_mut().publish(topic, payload, false));
}

/// The answer to such a call.
#[divan::bench(args = sizes(), sample_size = 100, sample_count = 200)]
fn an_outcome(bencher: Bencher<'_, '_>, people: usize) {
    let house = RefCell::new(House::mixed(people));
    let called = || {
        let mut house = house.borrow_mut();
        house.pass(600);
        let person = house.next();
        house.change(person);
        house.calls.pop().unwrap()
    };
    bencher.with_inputs(called).bench_local_values(|ticket| {
        let mut house = house.borrow_mut();
        house.calls.push(ticket);
        house.answer();
    });
}

/// A refresh that becomes due: timer, queue, call.
#[divan::bench(args = sizes(), sample_size = 1, sample_count = 1_000)]
fn a_due_refresh(bencher: Bencher<'_, '_>, people: usize) {
    let house = RefCell::new(House::busy(people));
    bencher.with_inputs(|| house.borrow_mut().answer()).bench_local_values(|()| house.borrow_mut().refresh());
}

/// Building the plan out of a configuration that has been read: for its memory.
#[divan::bench(args = sizes(), sample_size = 1, sample_count = 5)]
fn plan_of(people: usize) -> Plan {
    plan(people)
}

/// From a plan to a core that waits for messages. Allocated bytes less deallocated ones, by people: bytes per known person.
#[divan::bench(args = sizes(), sample_size = 1, sample_count = 5)]
fn load(bencher: Bencher<'_, '_>, people: usize) {
    bencher.with_inputs(|| Arc::new(plan(people))).bench_local_values(|plan| Core::new(start(), plan));
}

/// Everything worth keeping of everybody, as it would go to disk.
#[divan::bench(args = sizes(), sample_size = 1, sample_count = 5)]
fn a_snapshot(bencher: Bencher<'_, '_>, people: usize) {
    let house = House::busy(people);
    bencher.bench_local(|| house.core.snapshot(house.now));
}

/// From such a snapshot and a plan to a core that goes on where it ended.
#[divan::bench(args = sizes(), sample_size = 1, sample_count = 5)]
fn load_with_a_snapshot(bencher: Bencher<'_, '_>, people: usize) {
    let House { core, now, .. } = House::busy(people);
    let restart = Restart { same_boot: true, clean: true };
    bencher
        .with_inputs(|| (Arc::new(plan(people)), core.snapshot(now)))
        .bench_local_values(|(plan, snapshot)| Core::restore(now, plan, snapshot, restart));
}

/// Everybody becomes active for the first time: allocated and grown bytes less deallocated ones, by people, are what an
/// active person takes beyond a known one.
#[divan::bench(args = sizes(), sample_count = 1)]
fn everybody_becomes_active(bencher: Bencher<'_, '_>, people: usize) {
    let topics: Vec<String> = (0..people).map(|n| TOPIC.replace("{ext}", &extension(n))).collect();
    bencher.with_inputs(|| House::new(people)).bench_local_values(|mut house| {
        for topic in &topics {
            house.pass(1);
            house.publish(topic, b"INUSE", false);
            house.answer();
        }
        house
    });
}

/// A day of an office: each has ten calls between eight and six, and every attempt is answered at once. Within Graph's
/// budget and with its expiration of five minutes, so with all refreshes.
#[divan::bench(args = [1_000, 10_000], sample_count = 1, sample_size = 1)]
fn a_day_of_an_office(bencher: Bencher<'_, '_>, people: usize) {
    let mut plan = plan(people);
    plan.policy = Policy::default();
    let plan = Arc::new(plan);
    bencher.with_inputs(|| House::around(Core::new(start(), Arc::clone(&plan)), people)).bench_local_values(day);
}

fn day(mut house: House) {
    const TEN_HOURS: u64 = 36_000_000;
    let people = house.on.len();
    let mut changes: Vec<(u64, usize)> = Vec::with_capacity(20 * people);
    for person in 0..people {
        for call in 0..10 {
            // In its own hour, at a minute that is another for each, for three to twenty-three minutes.
            let at = TEN_HOURS / 10 * call + (person as u64 * 7_919 + call * 104_729) % 2_000_000;
            let span = 180_000 + (person as u64 * 15_485_863 + call * 32_452_843) % 1_200_000;
            changes.extend([(at, person), (at + span, person)]);
        }
    }
    changes.sort_unstable();
    let mut changes = changes.into_iter().peekable();
    let (begin, mut calls) = (house.now.mono, 0);
    while changes.peek().is_some() {
        let next = begin + Duration::from_millis(changes.peek().map_or(0, |(at, _)| *at));
        let wake = house.core.poll_timeout().map_or(Mono::MAX, |deadline| deadline.mono);
        let span = next.min(wake).since(house.now.mono);
        house.pass(u64::try_from(span.as_millis()).unwrap());
        if wake < next {
            house.core.handle_timeout(house.now);
            house.perform();
        } else if let Some((_, person)) = changes.next() {
            house.change(person);
        }
        calls += house.calls.len();
        house.answer();
    }
    assert!(calls > 20 * people, "{calls} calls: nobody was refreshed");
}

/// Rules alone.
mod rules_of {
    use super::*;

    fn topics(count: usize) -> impl Iterator<Item = String> {
        (0..count).map(|n| format!("site/building{n}/phone/{{ext}}/state"))
    }

    /// A message that one of so many patterns takes.
    #[divan::bench(args = [10, 1_000, 10_000], sample_size = 1_000)]
    fn a_hit(bencher: Bencher<'_, '_>, patterns: usize) {
        let rules = rules(1_000, topics(patterns));
        let messages: Vec<String> =
            (0..1_000).map(|n| format!("site/building{}/phone/{}/state", n * 7 % patterns, extension(n))).collect();
        let mut at = 0;
        bencher.bench_local(|| {
            at = (at + 1) % messages.len();
            rules.evaluate(SourceId(0), &messages[at], b"INUSE", &mut |_, effect| {
                black_box(effect).unwrap();
            });
        });
    }

    const STATUS: &[u8] = br#"{"state":"INUSE","line":0,"trunk":"SIP0","direction":"inbound","caller":{"number":"+493023456789","name":""},"called":{"number":"+493087654321","name":""},"updated":"2026-11-24T10:29:40+01:00"}"#;

    /// The same status read by serde_json into its own tree: what a rule in JSON is measured by.
    #[divan::bench(sample_size = 1_000)]
    fn json_parsed_alone(bencher: Bencher<'_, '_>) {
        bencher.bench_local(|| serde_json::from_slice::<serde_json::Value>(black_box(STATUS)).unwrap());
    }

    /// A field of JSON, as a status of 200 bytes has it; most of it is parsing.
    #[divan::bench(args = [10, 10_000], sample_size = 1_000)]
    fn a_hit_in_json(bencher: Bencher<'_, '_>, patterns: usize) {
        let json = |topic: String| {
            let rule = rule(&topic);
            Rule { format: Format::Json, value: Place::Field("/state".into()), ..rule }
        };
        let subjects = (0..1_000).map(|n| (extension(n), n));
        let rules = topics(patterns).map(json).collect();
        let rules = Rules::new(rules, subjects, vec!["call".into()], Some("presence-bridge"));
        let topic = format!("site/building7/phone/{}/state", extension(7));
        bencher.bench_local(|| {
            rules.evaluate(SourceId(0), black_box(&topic), STATUS, &mut |_, effect| {
                black_box(effect).unwrap();
            });
        });
    }

    /// A message of a known shape that is for nobody.
    #[divan::bench(args = [10, 1_000, 10_000], sample_size = 1_000)]
    fn a_miss(bencher: Bencher<'_, '_>, patterns: usize) {
        let rules = rules(1_000, topics(patterns));
        bencher.bench_local(|| {
            let topic = black_box("site/building7/phone/1001/ringing");
            rules.evaluate(SourceId(0), topic, b"INUSE", &mut |_, effect| {
                black_box(effect).unwrap();
            });
        });
    }
}

/// Which filters to subscribe: at the start and at each reload, while the bridge waits.
#[divan::bench(args = [10, 1_000, 10_000], sample_size = 1, sample_count = 20)]
fn filters_of(bencher: Bencher<'_, '_>, patterns: usize) {
    let rules = rules(10, (0..patterns).map(|n| format!("site/building{n}/phone/{{ext}}/state")));
    bencher.bench_local(|| rules.filters());
}

/// A message that no rule wants, through the whole core.
#[divan::bench]
fn for_nobody(bencher: Bencher<'_, '_>) {
    let mut house = House::busy(1_000);
    bencher.bench_local(|| {
        let publish = Publish { topic: b"zigbee2mqtt/lamp/set", payload: b"{}", retain: false, expiry: None };
        black_box(house.core.handle_publish(house.now, SourceId(0), &publish));
    });
}
