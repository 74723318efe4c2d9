//! One seed: people with phones, cameras and calendars, a broker, a network and Graph, all on virtual time, and the core in
//! the middle. Calm and hostile phases take turns; at the end everything is healed and must come right.
//!
//! `office`: who there is and what they do. `broker`: how that reaches the core. `graph`: calls and their fates. `faults`:
//! what goes wrong. `judge`: the checkers, each with the letter under which a violation names it.

mod broker;
mod faults;
mod graph;
mod journal;
mod judge;
mod office;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use presence_bridge::presence::{
    Core, Deadline, Folded, Link, Mono, Now, OnStop, Outcome, PersonId, SourceId, Ticket, Timestamp,
};
use presence_bridge::sandbox::tenant::{Settings, Tenant};

use self::faults::{Death, Mood};
use self::graph::{Gate, Write};
use self::office::{KINDS, Kind, Message, Office, Truth, object_id};
use super::oracle::{At, Hearing, Oracle};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const START: u64 = 10 * HOUR;
const WALL: i64 = 1_795_000_000_000;
const NEVER: u64 = u64::MAX;
const SESSION_KEPT: u64 = 300 * SECOND;
const NOBODY: &str = "Offline/Offline";

#[derive(Clone, Debug)]
enum Event {
    /// A device does something.
    Device(usize, Kind),
    /// A calendar moves the end of a meeting that is about to end.
    Extension(usize),
    /// A message reaches the broker.
    AtBroker(Message),
    /// A message reaches the bridge, on the connection of that number.
    Arrives(u64, Message, bool),
    Replayed(u64),
    Answer(Ticket, usize, Outcome),
    Lands(usize, Write),
    LinkDown,
    LinkUp,
    Deaf,
    Die(Death),
    Suspend,
    WallStep,
    Pause(usize),
    Resume(usize),
    /// Somebody is struck off the list, and comes back.
    Leave(usize),
    Join(usize),
    /// A rule says something else from now on.
    NewRule,
    /// Two people change desks.
    Swap(usize, usize),
    /// Another replica takes a person's partition over, and gives it back.
    Lose(usize),
    Gain(usize),
    /// The other replica calls.
    Another(usize),
    Phase,
    Tick,
}

/// What one seed came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub hours: u64,
    pub calls: u64,
    pub throttled: u64,
    /// The longest that somebody was seen with what was not wanted any more, milliseconds, where `max_stale` is 5 min.
    pub worst_stuck: u64,
    /// The same against what people truly did: where the bridge was told, could not hear it, was never told.
    pub worst_stuck_truth: [u64; 3],
    pub coverage: BTreeMap<&'static str, u64>,
    pub violations: Vec<String>,
}

struct Person {
    id: Option<PersonId>,
    truth: BTreeMap<Kind, Truth>,
    in_flight: Option<Ticket>,
    /// The content that Graph confirmed last, when it was asked for and for how long; `Err` where that is not known.
    confirmed: Result<Option<&'static str>, ()>,
    confirmed_at: u64,
    confirmed_span: u64,
    /// When the last write went out whose landing is not known: once that is over, it is written over once.
    ghost: Option<u64>,
    /// The last outcome, if it parks the person.
    parked: Option<Outcome>,
    listed: bool,
    /// When other devices last became theirs.
    moved_at: u64,
    paused_until: u64,
    /// Another replica's from then on.
    owned_until: u64,
    wanted: &'static str,
    wanted_since: u64,
    changes: VecDeque<u64>,
    /// When each thing that can be seen was last wanted.
    last_wanted: BTreeMap<&'static str, u64>,
    /// When each was asked for, and for how long, as far as that may still last.
    asked: BTreeMap<&'static str, VecDeque<(u64, u64)>>,
    /// When a call last failed.
    failed: Option<u64>,
}

pub struct World {
    rng: fastrand::Rng,
    seed: u64,
    mono: u64,
    wall: i64,
    /// What the clock since boot read at the beginning of virtual time.
    boot: i64,
    office: Office,
    core: Core,
    /// What a journal would hold.
    journal: Folded,
    tenant: Tenant,
    oracle: Oracle,
    people: Vec<Person>,
    events: BTreeMap<(u64, u64), Event>,
    serial: u64,
    // The broker and the link.
    retained: BTreeMap<String, Message>,
    backlog: Vec<Message>,
    up: bool,
    deaf: bool,
    connection: u64,
    last_heard: u64,
    lost_at: u64,
    session_kept: bool,
    /// When each topic was last spoken on, and its last message that was heard.
    spoken: BTreeMap<String, (u64, u64)>,
    // Faults.
    mood: Mood,
    healed: bool,
    /// The wall clock was set, so that the ends of meetings are a matter of opinion …
    clock_was_set: bool,
    /// … and after another boot those of all leases.
    booted: bool,
    last_fault: u64,
    gate: Gate,
    /// Different people refused in a row, by what they were told: three are the application's fault.
    refused: [BTreeSet<usize>; 2],
    /// The next death waits for a call to be out, or for an answer.
    dies_at: Option<Death>,
    stopping: Option<(OnStop, u64)>,
    sent: VecDeque<u64>,
    /// A message is being handled, so that what changes is its doing.
    delivering: bool,
    end: u64,
    alive: bool,
    report: Report,
    trace: VecDeque<String>,
    keep_trace: bool,
}

impl World {
    pub fn new(seed: u64, people: usize, hours: u64) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let office = Office::open(people, &mut rng);
        let boot = i64::try_from(Mono::BOOT.as_millis()).unwrap();
        let now = Now { mono: Mono::BOOT + Duration::from_millis(START), wall: Timestamp::from_millis(WALL) };
        let core = Core::new(now, Arc::new(office.plan()));
        let mut world = World {
            rng,
            seed,
            mono: START,
            wall: WALL,
            boot,
            office,
            core,
            journal: Folded::default(),
            tenant: Tenant::new(Settings::for_users((0..people).map(object_id))),
            oracle: Oracle::default(),
            people: (0..people).map(|_| Person::new()).collect(),
            events: BTreeMap::new(),
            serial: 0,
            retained: BTreeMap::new(),
            backlog: Vec::new(),
            up: true,
            deaf: false,
            connection: 1,
            last_heard: START,
            lost_at: START,
            session_kept: true,
            spoken: BTreeMap::new(),
            mood: Mood::Calm,
            healed: false,
            clock_was_set: false,
            booted: false,
            last_fault: 0,
            gate: Gate::default(),
            refused: Default::default(),
            dies_at: None,
            stopping: None,
            sent: VecDeque::new(),
            delivering: false,
            end: START + hours * HOUR,
            alive: true,
            report: Report { hours, ..Report::default() },
            trace: VecDeque::new(),
            keep_trace: false,
        };
        world.find_ids();
        world.begin_journal();
        world.core.handle_link(now, SourceId(0), Link::Up { session_present: false, expiry: Duration::ZERO });
        world.oracle.hearing(START, Hearing::Up { session: None });
        for person in 0..people {
            for kind in KINDS {
                let first = world.rng.u64(0..2 * HOUR);
                world.after(first, Event::Device(person, kind));
            }
        }
        world.after(10 * MINUTE, Event::Phase);
        world.after(20 * SECOND, Event::Tick);
        world
    }

    /// Keeps the last lines of what happened, to print beside a violation.
    pub fn traced(mut self) -> World {
        self.keep_trace = true;
        self
    }

    fn after(&mut self, span: u64, event: Event) {
        self.serial += 1;
        self.events.insert((self.mono + span, self.serial), event);
    }

    fn now(&self) -> Now {
        let mono = u64::try_from(i64::try_from(self.mono).unwrap() + self.boot).unwrap();
        Now { mono: Mono::from_millis(mono), wall: Timestamp::from_millis(self.wall) }
    }

    fn at(&self) -> At {
        At { mono: self.mono, wall: self.wall }
    }

    fn cover(&mut self, what: &'static str) {
        *self.report.coverage.entry(what).or_default() += 1;
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.keep_trace {
            self.trace.push_back(format!("{:>10.3} {}", (self.mono - START) as f64 / 1e3, line()));
            if self.trace.len() > 4_000 {
                self.trace.pop_front();
            }
        }
    }

    /// `checker`: its letter, as in the list of `judge`.
    fn violation(&mut self, checker: char, person: usize, what: &str) {
        if self.report.violations.len() < 3 {
            let seconds = (self.mono - START) as f64 / 1e3;
            let mut text = format!("({checker}) seed {} at {seconds:.3} s: p{person}: {what}", self.seed);
            let about = |line: &&String| line.contains("====") || line.contains(&format!(" p{person} "));
            let of_person = self.trace.iter().filter(about).rev().take(60).collect::<Vec<_>>();
            let of_all = self.trace.iter().rev().take(30).collect::<Vec<_>>();
            for line in of_person.into_iter().rev() {
                text += "\n    ";
                text += line;
            }
            text += "\n  and the last that happened to anybody:";
            for line in of_all.into_iter().rev() {
                text += "\n    ";
                text += line;
            }
            self.report.violations.push(text);
        }
    }

    /// Runs to the end: faults in turn, then healed; what is left then must be right.
    pub fn run(mut self) -> Report {
        while self.mono < self.end {
            self.step();
        }
        self.heal();
        let end = self.mono + self.office.settles_within();
        while self.mono < end {
            self.step();
        }
        self.converged();
        self.report
    }

    fn step(&mut self) {
        let timeout = self.core.poll_timeout().filter(|_| self.alive).map_or(NEVER, |deadline| self.in_mono(deadline));
        let next = self.events.keys().next().map_or(NEVER, |key| key.0);
        self.pass(timeout.min(next).max(self.mono));
        if timeout <= next && self.alive {
            self.core.handle_timeout(self.now());
            self.perform();
        }
        let mut touched = BTreeSet::new();
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.mono) {
            let event = entry.remove();
            self.happen(event, &mut touched);
        }
        self.stopped_yet(&mut touched);
        for person in touched {
            self.look(person);
        }
    }

    fn pass(&mut self, to: u64) {
        self.wall += i64::try_from(to - self.mono).unwrap();
        self.mono = to;
    }

    fn in_mono(&self, deadline: Deadline) -> u64 {
        let wall = deadline.wall.as_millis();
        let wall = if wall == i64::MAX { NEVER } else { self.mono + u64::try_from(wall - self.wall).unwrap_or(0) };
        let mono = deadline.mono.as_millis();
        let mono = if mono == NEVER { NEVER } else { u64::try_from(mono as i64 - self.boot).unwrap_or(0) };
        mono.min(wall)
    }

    /// Whether messages come through.
    fn hears(&self) -> bool {
        self.up && !self.deaf && self.alive
    }

    fn happen(&mut self, event: Event, touched: &mut BTreeSet<usize>) {
        match event {
            Event::Device(person, kind) => self.device(person, kind),
            Event::Extension(person) => self.extend(person),
            Event::AtBroker(message) => self.at_broker(message),
            Event::Arrives(connection, message, retain) => {
                if connection == self.connection && self.hears() {
                    touched.insert(self.office.leads_to[message.subject]);
                    self.arrives(&message, retain);
                }
            }
            Event::Replayed(connection) => self.replay_is_through(connection, touched),
            Event::Answer(ticket, person, outcome) => self.answer(ticket, person, outcome, touched),
            Event::Lands(person, write) => self.lands(person, write, touched),
            Event::Phase => self.phase(),
            Event::Tick => {
                touched.extend(0..self.people.len());
                self.after(20 * SECOND, Event::Tick);
            }
            fault => {
                self.go_wrong(fault);
                touched.extend(0..self.people.len());
            }
        }
    }

    /// The core's numbers of people, which a restart may deal out anew.
    fn find_ids(&mut self) {
        for (person, who) in self.people.iter_mut().enumerate() {
            let object_id = object_id(person);
            who.id = self.core.people().find(|&id| self.core.person(id).object_id.to_string() == object_id);
        }
    }
}

impl Person {
    fn new() -> Person {
        Person {
            id: None,
            truth: KINDS.into_iter().map(|kind| (kind, Truth::new())).collect(),
            in_flight: None,
            confirmed: Ok(None),
            confirmed_at: 0,
            confirmed_span: 0,
            ghost: None,
            parked: None,
            listed: true,
            moved_at: 0,
            paused_until: 0,
            owned_until: NEVER,
            wanted: NOBODY,
            wanted_since: START,
            changes: VecDeque::new(),
            last_wanted: BTreeMap::from([(NOBODY, START)]),
            asked: BTreeMap::new(),
            failed: None,
        }
    }
}
