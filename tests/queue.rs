//! Who goes next, as properties: at each call the core makes, plain code that looks at everybody says whose turn it was.
//! The law: who would lapse within a minute, but no two of them in a row while a change waits; then changes, those that
//! became more taken or have waited for 30 s before the others, each by how long it has waited; then early refreshes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use presence_bridge::presence::{
    Action, Core, Link, Mono, Now, Outcome, PersonId, Plan, Policy, Presence, Publish, Rate, Rules, Signal, SourceId,
    TenantId, Ticket, Timestamp,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::plan;

const SECOND: u64 = 1_000;
/// In order of priority, with how taken each makes; nobody is taken at 0.
const SIGNALS: [(&str, Presence, u8); 4] = [
    ("talk", Presence::Presenting, 3),
    ("call", Presence::InACall, 2),
    ("meeting", Presence::InAConferenceCall, 2),
    ("desk", Presence::Available, 1),
];

fn office(people: usize, rate: f64) -> Plan {
    let labels = (0..people).map(|n| (format!("p{n}"), n));
    let names = SIGNALS.map(|(name, ..)| name.into()).into();
    Plan {
        signals: SIGNALS.map(|(name, pair, _)| Signal { name: name.into(), presence: Some(pair) }).into(),
        rules: Rules::new(Vec::new(), labels, names, Some("presence-bridge")),
        ..plan::office(people, Policy { rate, burst: 1, ..Policy::default() })
    }
}

/// What is known of one person from outside.
#[derive(Clone, Debug, Default)]
struct Person {
    /// By signal.
    on: [bool; SIGNALS.len()],
    wanted: Option<usize>,
    since: u64,
    /// The last four changes, oldest first.
    changes: [u64; 4],
    held: Option<usize>,
    asked: u64,
    out: Option<(Option<usize>, u64)>,
}

fn rank(signal: Option<usize>) -> u8 {
    signal.map_or(0, |signal| SIGNALS[signal].2)
}

impl Person {
    fn held(&self, now: u64) -> Option<usize> {
        self.held.filter(|_| now < self.asked + 300 * SECOND)
    }

    /// Deadline of somebody who would lapse within a minute.
    fn lapses(&self, now: u64) -> Option<u64> {
        let held = self.out.is_none() && self.wanted.is_some() && self.held(now) == self.wanted;
        Some(self.asked + 300 * SECOND).filter(|lapses| held && lapses - 60 * SECOND <= now)
    }

    /// Place among changes.
    fn change(&self, now: u64) -> Option<(bool, u64)> {
        let held = self.held(now);
        let later = rank(self.wanted) <= rank(held) && now < self.since + 30 * SECOND;
        (self.out.is_none() && held != self.wanted).then_some((later, self.since))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Turn {
    Lapsing(u64),
    Change(bool, u64),
    Early,
}

/// What must happen for the property to mean something.
const SITUATIONS: [&str; 6] = [
    "a lapse prevented",
    "a lapse prevented before a waiting change",
    "a change before somebody who would lapse",
    "an aged fall before a rise",
    "a rise before an older fall",
    "an early refresh",
];

struct World {
    core: Core,
    mono: u64,
    ids: Vec<PersonId>,
    people: Vec<Person>,
    answers: BTreeMap<(u64, usize), Ticket>,
    /// The last call went to somebody who would have lapsed.
    saved_one: bool,
    /// How often each of [`SITUATIONS`].
    met: [usize; SITUATIONS.len()],
    /// The longest that a change waited.
    longest: u64,
}

impl World {
    fn new(people: usize, rate: f64) -> World {
        let mono = 1_000_000;
        let mut core = Core::new(at(mono), Arc::new(office(people, rate)));
        core.handle_link(at(mono), SourceId(0), Link::Up { session_present: false, expiry: Duration::ZERO });
        let ids = core.people().collect();
        let people = vec![Person::default(); people];
        World {
            core,
            mono,
            ids,
            people,
            answers: BTreeMap::new(),
            saved_one: false,
            met: [0; SITUATIONS.len()],
            longest: 0,
        }
    }

    /// Says it, unless the person changed so often that falling would be put off: that is another law.
    fn say(&mut self, person: usize, signal: usize, on: bool) -> Result<(), TestCaseError> {
        let who = &mut self.people[person];
        let mut said = who.on;
        said[signal] = on;
        let wanted = said.iter().position(|&on| on);
        if wanted != who.wanted {
            if who.changes[1] + 31 * SECOND > self.mono {
                return Ok(());
            }
            who.changes.rotate_left(1);
            who.changes[3] = self.mono;
            (who.wanted, who.since) = (wanted, self.mono);
        }
        who.on = said;
        let topic = format!("presence-bridge/in/p{person}/{}", SIGNALS[signal].0);
        let payload = if on { "on" } else { "off" };
        let publish = Publish { topic: topic.as_bytes(), payload: payload.as_bytes(), retain: false, expiry: None };
        self.core.handle_publish(at(self.mono), SourceId(0), &publish);
        self.perform()
    }

    fn turn(&self) -> Turn {
        let lapsing = self.people.iter().filter_map(|who| who.lapses(self.mono)).min();
        let change = self.people.iter().filter_map(|who| who.change(self.mono)).min();
        match (lapsing, change) {
            (Some(lapses), change) if !self.saved_one || change.is_none() => Turn::Lapsing(lapses),
            (_, Some((later, since))) => Turn::Change(later, since),
            _ => Turn::Early,
        }
    }

    /// The turn that a call for this person is.
    fn turn_of(&self, person: usize) -> Turn {
        let who = &self.people[person];
        match (who.lapses(self.mono), who.change(self.mono)) {
            (Some(lapses), _) => Turn::Lapsing(lapses),
            (_, Some((later, since))) => Turn::Change(later, since),
            _ => Turn::Early,
        }
    }

    fn perform(&mut self) -> Result<(), TestCaseError> {
        while let Some(action) = self.core.poll_action() {
            let (ticket, id, content) = match action {
                Action::SetPresence { ticket, person, presence, .. } => {
                    (ticket, person, SIGNALS.iter().position(|&(_, pair, _)| pair == presence))
                }
                Action::ClearPresence { ticket, person, .. } => (ticket, person, None),
                _ => continue,
            };
            let person = self.ids.iter().position(|&known| known == id).unwrap();
            let (expected, found) = (self.turn(), self.turn_of(person));
            prop_assert_eq!(expected, found, "(h) whose turn at {} ms: {:#?}", self.mono, &self.people);
            self.meet(person, found);
            let who = &mut self.people[person];
            if found == Turn::Early {
                prop_assert!(self.mono >= who.asked + 150 * SECOND, "(d) refreshed {} ms early", self.mono - who.asked);
            }
            if let Turn::Change(_, since) = found {
                let expired = who.held.map_or(0, |_| who.asked + 300 * SECOND);
                let since = if expired <= self.mono { since.max(expired) } else { since };
                self.longest = self.longest.max(self.mono - since);
            }
            who.out = Some((content, self.mono));
            self.answers.insert((self.mono + 100, person), ticket);
            self.saved_one = matches!(found, Turn::Lapsing(_));
        }
        Ok(())
    }

    fn meet(&mut self, person: usize, turn: Turn) {
        let now = self.mono;
        let falls = |who: &Person| rank(who.wanted) <= rank(who.held(now));
        let changes = || self.people.iter().filter(|who| who.change(now).is_some());
        let (lapsing, called) = (self.people.iter().any(|who| who.lapses(now).is_some()), &self.people[person]);
        let met = match turn {
            Turn::Lapsing(_) => [true, changes().next().is_some(), false, false, false, false],
            Turn::Change(_, since) => {
                let aged = falls(called) && changes().any(|who| !falls(who));
                let passed = !falls(called) && changes().any(|who| falls(who) && who.since < since);
                [false, false, lapsing, aged, passed, false]
            }
            Turn::Early => [false, false, false, false, false, true],
        };
        add(&mut self.met, met.map(usize::from));
    }

    fn drive(&mut self, span: u64) -> Result<(), TestCaseError> {
        let end = self.mono + span;
        let mut spins = 0;
        loop {
            let timeout = self.core.poll_timeout().map_or(u64::MAX, |deadline| deadline.mono.as_millis());
            let answer = self.answers.keys().next().map_or(u64::MAX, |key| key.0);
            let next = timeout.min(answer).max(self.mono).min(end);
            spins = if next == self.mono { spins + 1 } else { 0 };
            prop_assert!(spins < 10_000, "the core wants to be woken at once for ever");
            self.mono = next;
            self.core.handle_timeout(at(self.mono));
            if answer <= self.mono {
                let ((_, person), ticket) = self.answers.pop_first().unwrap();
                let who = &mut self.people[person];
                (who.held, who.asked) = who.out.take().unwrap();
                self.core.handle_outcome(at(self.mono), ticket, Outcome::Accepted);
            }
            self.perform()?;
            if self.mono == end {
                return Ok(());
            }
        }
    }
}

fn add(to: &mut [usize], more: [usize; SITUATIONS.len()]) {
    to.iter_mut().zip(more).for_each(|(to, more)| *to += more);
}

fn at(mono: u64) -> Now {
    let wall = Timestamp::from_millis(1_795_000_000_000 + i64::try_from(mono).unwrap());
    Now { mono: Mono::from_millis(mono), wall }
}

#[derive(Clone, Debug)]
struct Day {
    people: usize,
    rate: f64,
    /// Seconds for which the gate is shut once everybody is set.
    gate: u64,
    /// Milliseconds since the one before, person, signal, on.
    events: Vec<(u64, usize, usize, bool)>,
}

fn days() -> impl Strategy<Value = Day> {
    let event = |people| (0..4 * SECOND, 0..people, 0..SIGNALS.len(), any::<bool>());
    (2..14_usize).prop_flat_map(move |people| {
        (0.3..2.0, 180..290_u64, prop::collection::vec(event(people), 0..150))
            .prop_map(move |(rate, gate, events)| Day { people, rate, gate, events })
    })
}

/// Everybody in a call and held; then the gate shuts, so that refreshes become urgent, and while it opens they change.
fn live(day: &Day) -> Result<[usize; SITUATIONS.len()], TestCaseError> {
    let mut world = World::new(day.people, day.rate);
    for person in 0..day.people {
        world.say(person, 1, true)?;
    }
    let all = (day.people as f64 / day.rate) as u64 + 2;
    world.drive(all * SECOND)?;
    let opens = world.mono + day.gate * SECOND;
    let rate = Rate { per_second: day.rate, burst: 1 };
    world.core.handle_budget(at(world.mono), TenantId(0), rate, Some(Mono::from_millis(opens)));
    world.drive((day.gate - 60) * SECOND)?;
    for &(wait, person, signal, on) in &day.events {
        world.drive(wait)?;
        world.say(person, signal, on)?;
    }
    world.drive(400 * SECOND)?;
    // It waits for the gate, and then for those who waited longer; of each two calls one is for a change.
    let bound = 60 + 5 + (2.0 * day.people as f64 / day.rate) as u64;
    prop_assert!(world.longest < bound * SECOND, "(h) a change waited {} ms, more than {bound} s", world.longest);
    Ok(world.met)
}

#[test]
fn everybody_is_called_in_their_turn() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) };
    let met = RefCell::new([0; SITUATIONS.len()]);
    let lived = TestRunner::new(config).run(&days(), |day| {
        add(&mut *met.borrow_mut(), live(&day)?);
        Ok(())
    });
    lived.unwrap_or_else(|error| panic!("{error}"));
    for (situation, times) in SITUATIONS.iter().zip(met.into_inner()) {
        assert!(times > 0, "never met: {situation}");
        println!("{times:>6} {situation}");
    }
}
