//! One seed: people with phones, cameras and calendars, a broker, a network and Graph, all on virtual time, and the core in
//! the middle. Calm and hostile phases take turns; at the end everything is healed and must come right.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use presence_bridge::presence::rule::{Format, Place, Rule, Template, Words};
use presence_bridge::presence::topic::Pattern;
use presence_bridge::presence::{
    Action, Core, Deadline, Link, Mono, Now, ObjectId, Outcome, PersonId, PersonPlan, Plan, Policy, Presence, Publish,
    Restart, Rules, Signal, SourceId, TenantId, Ticket, Timestamp,
};
use presence_bridge::sandbox::tenant::{Settings, Tenant};

use super::oracle::{At, Delivery, Hearing, Oracle, Say};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const START: u64 = 10 * HOUR;
const WALL: i64 = 1_795_000_000_000;
/// Law 3: `max_stale` (300 s), the latest that a call may land (25 s), an attempt (10 s); and the five seconds in which a
/// call that was asked for may still start.
const STUCK: u64 = 340 * SECOND;
/// A falling presence that flaps is put off for so long at most.
const DAMPED: u64 = 60 * SECOND;
/// Told and alive: an attempt, and a turn in the queue.
const ONE_ATTEMPT: u64 = 12 * SECOND;
/// Calm counts as healthy when the last fault is so long ago: a late write, its second answer, the longest back-off.
const HEALTHY: u64 = 120 * SECOND;
const SESSION_KEPT: u64 = 300 * SECOND;

/// In order of priority, with what colleagues see.
const SIGNALS: [(&str, &str); 3] =
    [("call", "Busy/InACall"), ("meeting", "Busy/InAConferenceCall"), ("desk", "Available/Available")];
const NOBODY: &str = "Offline/Offline";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Phone,
    Ring,
    Camera,
    Meeting,
    Desk,
}

const KINDS: [Kind; 5] = [Kind::Phone, Kind::Ring, Kind::Camera, Kind::Meeting, Kind::Desk];

impl Kind {
    fn topic(self, who: &str) -> String {
        match self {
            Kind::Phone => format!("pbx/{who}"),
            Kind::Ring => format!("ring/{who}"),
            Kind::Camera => format!("cam/{who}"),
            Kind::Meeting => format!("presence-bridge/in/{who}/meeting"),
            Kind::Desk => format!("desk/{who}"),
        }
    }

    /// Signal, name of the device for the oracle, ttl, delay, hold.
    fn terms(self) -> (usize, &'static str, u64, u64, u64) {
        match self {
            Kind::Phone => (0, "phone", 8 * HOUR, 0, 0),
            Kind::Ring => (0, "ring", 5 * MINUTE, 0, 0),
            Kind::Camera => (1, "camera", 2 * HOUR, 5 * SECOND, 30 * SECOND),
            Kind::Meeting => (1, "door", 12 * HOUR, 0, 0),
            Kind::Desk => (2, "desk", 12 * HOUR, 0, 0),
        }
    }

    fn is_retained(self) -> bool {
        self != Kind::Ring
    }
}

/// The rules that a user would write for these devices; the meeting comes through the door that needs none.
fn rules() -> Vec<Rule> {
    let rule = |kind: Kind, topic: &str| {
        let pattern = Pattern::parse(topic).unwrap();
        let (signal, _, ttl, delay, hold) = kind.terms();
        Rule {
            name: topic.into(),
            source: None,
            subject: Place::Topic(Template::parse("{who}", &pattern).unwrap()),
            pattern,
            format: Format::Text,
            signal: SIGNALS[signal].0.into(),
            value: Place::Payload,
            on: Words::new(["on"]),
            off: Words::new(["off"]),
            unknown: Words::new(["unknown"]),
            device: None,
            ttl: Duration::from_millis(ttl),
            delay: Duration::from_millis(delay),
            hold: Duration::from_millis(hold),
            accept_retained: true,
        }
    };
    let kinds = KINDS.into_iter().filter(|kind| *kind != Kind::Meeting);
    kinds.map(|kind| rule(kind, &kind.topic("{who}"))).collect()
}

fn plan(people: usize) -> Plan {
    let labels = (0..people).map(|n| (format!("p{n}"), n));
    let who = |(label, n): (String, usize)| PersonPlan {
        tenant: TenantId(0),
        object_id: object_id(n).parse().unwrap(),
        label: label.into(),
    };
    let pairs = [Presence::InACall, Presence::InAConferenceCall, Presence::Available];
    let signals = SIGNALS.into_iter().zip(pairs);
    Plan {
        tenants: vec![ObjectId::default()],
        people: labels.clone().map(who).collect(),
        signals: signals.map(|((name, _), pair)| Signal { name: name.into(), presence: Some(pair) }).collect(),
        rules: Rules::new(rules(), labels, SIGNALS.map(|(name, _)| name.into()).into(), Some("presence-bridge")),
        policy: Policy::default(),
    }
}

fn object_id(person: usize) -> String {
    format!("11111111-1111-4111-8111-{person:012x}")
}

#[derive(Clone, Debug)]
struct Message {
    person: usize,
    kind: Kind,
    payload: String,
    say: Say,
    until: Option<i64>,
}

#[derive(Clone, Debug)]
enum Event {
    /// A device does something.
    Device(usize, Kind),
    /// A message reaches the broker.
    AtBroker(Message),
    /// A message reaches the bridge, on the connection of that number.
    Arrives(u64, Message, bool),
    Replayed(u64),
    Answer(Ticket, Outcome),
    Lands(usize, Write),
    LinkDown,
    LinkUp,
    Deaf,
    Kill,
    Suspend,
    WallStep,
    Phase,
    Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Write(Option<(&'static str, &'static str, Duration)>);

/// What one seed came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub hours: u64,
    pub calls: u64,
    pub throttled: u64,
    /// The longest that somebody was seen with what was not wanted any more, milliseconds.
    pub worst_stuck: u64,
    pub coverage: BTreeMap<&'static str, u64>,
    pub violations: Vec<String>,
}

struct Person {
    id: PersonId,
    /// What each device says at present.
    on: BTreeMap<&'static str, bool>,
    in_flight: Option<u64>,
    /// The content that Graph confirmed last, and when it was asked for; `Err` where that is not known.
    confirmed: Result<Option<Option<&'static str>>, ()>,
    confirmed_at: u64,
    /// When the last write went out whose landing is not known: once that is over, it is written over once.
    ghost: Option<u64>,
    /// The last outcome parks the person.
    parked: bool,
    wanted: Option<usize>,
    wanted_since: u64,
    changes: VecDeque<u64>,
    /// When each thing that can be seen was last wanted.
    last_wanted: BTreeMap<&'static str, u64>,
}

pub struct World {
    rng: fastrand::Rng,
    seed: u64,
    mono: u64,
    wall: i64,
    plan: Arc<Plan>,
    core: Core,
    tenant: Tenant,
    oracle: Oracle,
    people: Vec<Person>,
    events: BTreeMap<(u64, u64), Event>,
    serial: u64,
    // The broker and the link.
    retained: BTreeMap<String, (Message, bool)>,
    backlog: Vec<Message>,
    up: bool,
    deaf: bool,
    connection: u64,
    last_heard: u64,
    lost_at: u64,
    session_kept: bool,
    // Faults.
    hostile: bool,
    healed: bool,
    last_fault: u64,
    gate_shut_until: u64,
    /// Different people refused in a row, by what they were told: three are the application's fault.
    refused: [BTreeSet<usize>; 2],
    /// The next kill waits for a call to be out.
    kill_in_flight: bool,
    end: u64,
    alive: bool,
    report: Report,
    trace: VecDeque<String>,
    keep_trace: bool,
}

impl World {
    pub fn new(seed: u64, people: usize, hours: u64) -> World {
        let plan = Arc::new(plan(people));
        let now = Now { mono: Mono::from_millis(START), wall: Timestamp::from_millis(WALL) };
        let core = Core::new(now, Arc::clone(&plan));
        let ids: Vec<PersonId> = core.people().collect();
        let person = |id| Person {
            id,
            on: BTreeMap::new(),
            in_flight: None,
            confirmed: Ok(Some(None)),
            confirmed_at: 0,
            ghost: None,
            parked: false,
            wanted: None,
            wanted_since: START,
            changes: VecDeque::new(),
            last_wanted: BTreeMap::from([(NOBODY, START)]),
        };
        let mut world = World {
            rng: fastrand::Rng::with_seed(seed),
            seed,
            mono: START,
            wall: WALL,
            plan,
            core,
            tenant: Tenant::new(Settings::for_users((0..people).map(object_id))),
            oracle: Oracle::default(),
            people: ids.into_iter().map(person).collect(),
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
            hostile: false,
            healed: false,
            last_fault: 0,
            gate_shut_until: 0,
            refused: Default::default(),
            kill_in_flight: false,
            end: START + hours * HOUR,
            alive: true,
            report: Report { hours, ..Report::default() },
            trace: VecDeque::new(),
            keep_trace: false,
        };
        world.core.handle_link(now, SourceId(0), Link::Up { session_present: false, expiry: Duration::ZERO });
        world.plan_events(people);
        world
    }

    /// Keeps the last lines of what happened, to print beside a violation.
    pub fn traced(mut self) -> World {
        self.keep_trace = true;
        self
    }

    fn plan_events(&mut self, people: usize) {
        for person in 0..people {
            for kind in KINDS {
                let first = self.rng.u64(0..2 * HOUR);
                self.after(first, Event::Device(person, kind));
            }
        }
        self.after(10 * MINUTE, Event::Phase);
        self.after(20 * SECOND, Event::Tick);
    }

    fn after(&mut self, span: u64, event: Event) {
        self.serial += 1;
        self.events.insert((self.mono + span, self.serial), event);
    }

    fn now(&self) -> Now {
        Now { mono: Mono::from_millis(self.mono), wall: Timestamp::from_millis(self.wall) }
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

    fn violation(&mut self, what: String) {
        if self.report.violations.len() < 3 {
            let mut text = format!("seed {} at {:.3} s: {what}", self.seed, (self.mono - START) as f64 / 1e3);
            let who = what.split(':').next().unwrap_or_default();
            let about = |line: &&String| line.contains("====") || line.contains(&format!(" {who} "));
            for line in self.trace.iter().filter(about).rev().take(60).collect::<Vec<_>>().into_iter().rev() {
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
        let end = self.mono + 40 * MINUTE;
        while self.mono < end {
            self.step();
        }
        self.converged();
        self.report
    }

    fn step(&mut self) {
        let timeout =
            self.core.poll_timeout().filter(|_| self.alive).map_or(u64::MAX, |deadline| self.in_mono(deadline));
        let next = self.events.keys().next().map_or(u64::MAX, |key| key.0);
        let to = timeout.min(next).max(self.mono);
        self.wall += i64::try_from(to - self.mono).unwrap();
        self.mono = to;
        if timeout <= next && self.alive {
            self.core.handle_timeout(self.now());
            self.perform();
        }
        let mut touched = BTreeSet::new();
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= to) {
            let event = entry.remove();
            self.happen(event, &mut touched);
        }
        for person in touched {
            self.look(person);
        }
    }

    fn in_mono(&self, deadline: Deadline) -> u64 {
        let wall = deadline.wall.as_millis();
        let wall = if wall == i64::MAX { u64::MAX } else { self.mono + u64::try_from(wall - self.wall).unwrap_or(0) };
        deadline.mono.as_millis().min(wall)
    }

    fn happen(&mut self, event: Event, touched: &mut BTreeSet<usize>) {
        match event {
            Event::Device(person, kind) => self.device(person, kind),
            Event::AtBroker(message) => self.at_broker(message),
            Event::Arrives(connection, message, retain) => {
                if connection == self.connection && self.up && !self.deaf && self.alive {
                    touched.insert(message.person);
                    self.arrives(message, retain);
                }
            }
            Event::Replayed(connection) if connection == self.connection && self.up && !self.deaf && self.alive => {
                self.oracle.hearing(self.mono, Hearing::Replayed);
                self.last_heard = self.mono;
                self.core.handle_link(self.now(), SourceId(0), Link::Replayed);
                self.perform();
                touched.extend(0..self.people.len());
            }
            Event::Replayed(_) => {}
            Event::Answer(ticket, outcome) => self.answer(ticket, outcome, touched),
            Event::Lands(person, write) => {
                self.land(person, write);
                touched.insert(person);
                if self.people[person].confirmed != Ok(Some(write.0.map(|(_, activity, _)| activity))) {
                    self.cover("a write that landed late over another");
                }
            }
            Event::LinkDown => {
                self.link_down();
                touched.extend(0..self.people.len());
            }
            Event::LinkUp => {
                self.link_up();
                touched.extend(0..self.people.len());
            }
            Event::Deaf => {
                self.go_deaf();
                touched.extend(0..self.people.len());
            }
            Event::Kill => {
                let calls = self.people.iter().any(|person| person.in_flight.is_some());
                if !calls && self.rng.bool() {
                    self.kill_in_flight = true;
                    return;
                }
                self.kill();
                touched.extend(0..self.people.len());
            }
            Event::Suspend => {
                self.suspend();
                touched.extend(0..self.people.len());
            }
            Event::WallStep => {
                self.wall_step();
                touched.extend(0..self.people.len());
            }
            Event::Phase => self.phase(),
            Event::Tick => {
                touched.extend(0..self.people.len());
                self.after(20 * SECOND, Event::Tick);
            }
        }
    }

    // ---- devices -------------------------------------------------------------------------------------------------

    fn device(&mut self, person: usize, kind: Kind) {
        let (_, name, ..) = kind.terms();
        let was_on = self.people[person].on.get(name).copied().unwrap_or(false);
        let roll = self.rng.u32(0..100);
        let (mut payload, mut say, mut until) = match (was_on, roll) {
            (_, 0..4) if matches!(kind, Kind::Phone | Kind::Camera) => ("unknown".to_owned(), Say::Unknown, None),
            (_, 4..8) => (if was_on { "on" } else { "off" }.to_owned(), if was_on { Say::On } else { Say::Off }, None),
            (true, _) => ("off".to_owned(), Say::Off, None),
            (false, _) => ("on".to_owned(), Say::On, None),
        };
        if kind == Kind::Meeting && (say == Say::On || roll < 30) {
            let end = self.wall + i64::try_from(self.rng.u64(0..90 * MINUTE)).unwrap() - 5 * 60_000;
            let text = jiff::Timestamp::from_millisecond(end).unwrap().to_string();
            until = Some(end);
            if roll < 30 && say != Say::On {
                (payload, say) = (format!(r#"{{"until":"{text}"}}"#), Say::Until);
                self.cover("an end on its own");
            } else {
                payload = format!(r#"{{"on":true,"until":"{text}"}}"#);
            }
        }
        match say {
            Say::On | Say::Off => drop(self.people[person].on.insert(name, say == Say::On)),
            _ => {}
        }
        let message = Message { person, kind, payload, say, until };
        let lost = self.hostile && self.rng.u32(0..100) < 5;
        if lost {
            self.cover("a publish that was lost");
        } else {
            let delay = self.rng.u64(1..40);
            self.after(delay, Event::AtBroker(message));
        }
        let mut next = match (kind, say) {
            (Kind::Ring, _) => self.rng.u64(10 * SECOND..30 * MINUTE),
            (_, Say::On) => self.rng.u64(20 * SECOND..70 * MINUTE),
            _ => self.rng.u64(20 * SECOND..2 * HOUR),
        };
        if self.rng.u32(0..100) < 6 && !self.healed {
            next = self.rng.u64(50..2_000); // flapping
            self.cover("a flapping device");
        }
        if self.healed && self.mono > self.end + 20 * MINUTE {
            return; // the last minutes are quiet
        }
        self.after(next, Event::Device(person, kind));
    }

    fn at_broker(&mut self, message: Message) {
        if message.kind.is_retained() {
            self.retained.insert(message.kind.topic(&format!("p{}", message.person)), (message.clone(), false));
        }
        if self.up && !self.deaf && self.alive {
            let connection = self.connection;
            let mut delay = self.rng.u64(1..20);
            if self.hostile && self.rng.u32(0..100) < 10 {
                delay = self.rng.u64(1..3_000);
                self.cover("a message out of order");
            }
            if self.hostile && self.rng.u32(0..100) < 10 {
                let again = delay + self.rng.u64(1..2_000);
                self.after(again, Event::Arrives(connection, message.clone(), false));
                self.cover("a message twice");
            }
            self.after(delay, Event::Arrives(connection, message, false));
        } else if self.session_kept && self.mono < self.lost_at + SESSION_KEPT {
            self.backlog.push(message);
        }
    }

    fn arrives(&mut self, message: Message, retain: bool) {
        let topic = message.kind.topic(&format!("p{}", message.person));
        let (signal, device, ttl, delay, hold) = message.kind.terms();
        self.note(|| format!("p{} {} {} retain={retain}", message.person, topic, message.payload));
        self.last_heard = self.mono;
        self.oracle.deliver(Delivery {
            at: self.at(),
            topic: topic.clone(),
            payload: message.payload.clone(),
            retain,
            person: message.person,
            signal,
            device,
            say: message.say,
            ttl,
            delay,
            hold,
            until: message.until,
        });
        let publish = Publish { topic: topic.as_bytes(), payload: message.payload.as_bytes(), retain, expiry: None };
        let result = self.core.handle_publish(self.now(), SourceId(0), &publish).steps[0].result;
        if retain && result.is_err() {
            self.cover("a replay of what was known");
        }
        self.perform();
    }

    // ---- Graph ---------------------------------------------------------------------------------------------------

    fn perform(&mut self) {
        while let Some(action) = self.core.poll_action() {
            let (ticket, person, write, not_after) = match action {
                Action::SetPresence { ticket, person, presence, expiration, not_after, .. } => {
                    let write = Write(Some((presence.availability(), presence.activity(), expiration)));
                    (ticket, person, write, not_after)
                }
                Action::ClearPresence { ticket, person, not_after, .. } => (ticket, person, Write(None), not_after),
                _ => continue,
            };
            let person = self.people.iter().position(|known| known.id == person).unwrap();
            if not_after.as_millis() < self.mono {
                self.violation(format!("p{person}: a call that may not start any more"));
            }
            self.call(ticket, person, write);
        }
    }

    fn call(&mut self, ticket: Ticket, person: usize, write: Write) {
        self.report.calls += 1;
        let content = write.0.map(|(_, activity, _)| activity);
        self.note(|| format!("p{person} calls {content:?}"));
        if self.people[person].in_flight.replace(self.serial).is_some() {
            self.violation(format!("p{person}: two calls in flight"));
        }
        if std::mem::take(&mut self.kill_in_flight) {
            self.after(10, Event::Kill);
        }
        let wanted = self.want(person).map_or(NOBODY, |signal| SIGNALS[signal].1);
        let asked =
            write.0.map_or(NOBODY.to_owned(), |(availability, activity, _)| format!("{availability}/{activity}"));
        if asked != wanted {
            self.violation(format!("p{person}: asks for {asked}, wanted is {wanted}"));
        }
        let who = &self.people[person];
        let due = self.mono >= who.confirmed_at + 140 * SECOND;
        if who.confirmed == Ok(Some(content)) && !due && who.ghost.is_none() {
            self.violation(format!("p{person}: a call without a change: {content:?}"));
        }
        if self.mono < self.gate_shut_until {
            self.violation(format!("p{person}: called while Graph had said to wait"));
        }
        let quick = self.rng.u64(30..400);
        let roll = if self.hostile { self.rng.u32(0..100) } else { 100 };
        let (outcome, after, applied): (Outcome, u64, Option<u64>) = match roll {
            0..6 => {
                let waits = [None, Some(0), Some(1), Some(2), Some(7), Some(30), Some(128), Some(200)];
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
            30..31 if content.is_some() => (Outcome::NoSuchUser, quick, None),
            31..32 => (Outcome::Refused, quick, None),
            _ => (Outcome::Accepted, quick, Some(quick / 2)),
        };
        if let Some(lands) = applied {
            self.after(lands, Event::Lands(person, write));
        }
        if outcome == Outcome::Ambiguous {
            self.people[person].ghost = Some(self.mono);
        }
        let who = &mut self.people[person];
        if outcome != Outcome::Accepted {
            self.last_fault = self.mono + after;
        }
        match outcome {
            Outcome::Accepted => {
                who.ghost = who.ghost.filter(|&sent| self.mono < sent + 30 * SECOND); // 5 s to start, 25 s to land
                who.confirmed = Ok(Some(content));
                who.confirmed_at = self.mono;
            }
            _ => who.confirmed = Err(()),
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
        self.after(after, Event::Answer(ticket, outcome));
    }

    fn answer(&mut self, ticket: Ticket, outcome: Outcome, touched: &mut BTreeSet<usize>) {
        if !self.alive {
            return;
        }
        if let Outcome::Throttled { retry_after } = outcome {
            self.report.throttled += 1;
            // Whatever else it does, it waits as long as it was told, up to 15 min, and at least for a second.
            let wait = retry_after.unwrap_or_default().clamp(Duration::from_secs(1), Duration::from_secs(900));
            let told = retry_after.map_or(0, |_| u64::try_from(wait.as_millis()).unwrap());
            self.gate_shut_until = self.gate_shut_until.max(self.mono + told);
            self.last_fault = self.last_fault.max(self.gate_shut_until);
        }
        let known = self.people.iter().position(|person| {
            let text = format!("{ticket:?}");
            text.contains(&format!("{:?},", person.id))
        });
        if let Some(person) = known {
            self.people[person].in_flight = None;
            self.people[person].parked = match outcome {
                Outcome::Accepted => false,
                Outcome::Unauthorised | Outcome::Forbidden { .. } | Outcome::NoSuchUser | Outcome::Refused => true,
                _ => self.people[person].parked,
            };
            touched.insert(person);
            self.note(|| format!("p{person} answered {outcome:?}"));
            self.accuse(person, outcome);
        }
        self.core.handle_outcome(self.now(), ticket, outcome);
        self.perform();
    }

    /// Three in a row: the application is asked again after five minutes, and nobody is served meanwhile.
    fn accuse(&mut self, person: usize, outcome: Outcome) {
        let row = match outcome {
            Outcome::Accepted => return self.refused = Default::default(),
            Outcome::Unauthorised | Outcome::Forbidden { .. } => &mut self.refused[0],
            Outcome::NoSuchUser => &mut self.refused[1],
            _ => return,
        };
        row.insert(person);
        if row.len() >= 3 {
            self.cover("the application refused");
            self.last_fault = self.last_fault.max(self.mono + 5 * MINUTE);
        }
    }

    fn land(&mut self, person: usize, write: Write) {
        let (now, user) = (self.mono, object_id(person));
        match write.0 {
            Some((availability, activity, span)) => {
                assert!(self.tenant.set(now, &user, availability, activity, span), "only settable pairs are set");
            }
            None => drop(self.tenant.clear(now, &user)),
        }
    }

    // ---- faults --------------------------------------------------------------------------------------------------

    fn phase(&mut self) {
        if self.healed {
            return;
        }
        self.hostile = !self.hostile;
        self.note(|| "---- phase".to_owned());
        let span = self.rng.u64(10 * MINUTE..50 * MINUTE);
        self.after(span, Event::Phase);
        if !self.hostile {
            if !self.up || self.deaf {
                self.link_up();
            }
            return;
        }
        for event in [Event::LinkDown, Event::Deaf, Event::Kill, Event::Suspend, Event::WallStep] {
            if self.rng.u32(0..100) < 40 {
                let at = self.rng.u64(0..span);
                self.after(at, event);
            }
        }
    }

    fn fault(&mut self, what: &'static str) {
        self.cover(what);
        self.last_fault = self.last_fault.max(self.mono);
        self.note(|| format!("==== {what}"));
    }

    fn link_down(&mut self) {
        if !self.up || self.healed || !self.alive {
            return;
        }
        self.fault("broker lost");
        self.up = false;
        self.deaf = false;
        self.lose(self.mono);
        self.core.handle_link(self.now(), SourceId(0), Link::Down);
        self.perform();
        if self.rng.u32(0..100) < 20 {
            self.fault("broker without its store");
            (self.session_kept, self.retained) = (false, BTreeMap::new());
        }
        let span = self.rng.u64(SECOND..25 * MINUTE);
        self.after(span, Event::LinkUp);
    }

    /// The gap begins, unless one is open already.
    fn lose(&mut self, since: u64) {
        self.lost_at = since;
        self.backlog.clear();
        self.session_kept = true;
        self.oracle.hearing(self.mono, Hearing::Lost { since });
    }

    fn link_up(&mut self) {
        if self.up && !self.deaf || !self.alive {
            return;
        }
        self.last_fault = self.last_fault.max(self.mono);
        self.up = true;
        self.deaf = false;
        self.connection += 1;
        let connection = self.connection;
        let kept = self.session_kept && self.mono < self.lost_at + SESSION_KEPT;
        self.note(|| format!("==== up, session {kept}"));
        self.oracle.hearing(self.mono, Hearing::Up { session: kept.then_some(SESSION_KEPT) });
        let expiry = Duration::from_millis(SESSION_KEPT);
        self.core.handle_link(self.now(), SourceId(0), Link::Up { session_present: kept, expiry });
        let mut delay = 1;
        for message in std::mem::take(&mut self.backlog) {
            if kept {
                self.cover("a backlog");
                delay += 1;
                self.after(delay, Event::Arrives(connection, message, false));
            }
        }
        self.session_kept = true;
        let replays: Vec<Message> = self.retained.values().map(|(message, _)| message.clone()).collect();
        for message in replays {
            delay += 1;
            self.after(delay, Event::Arrives(connection, message, true));
        }
        let canary = delay + self.rng.u64(1..500);
        self.after(canary, Event::Replayed(connection));
        self.perform();
    }

    /// The connection stays, and nothing comes any more; noticed by the canary.
    fn go_deaf(&mut self) {
        if !self.up || self.deaf || self.healed || !self.alive {
            return;
        }
        self.fault("deaf link");
        self.deaf = true;
        let since = self.last_heard;
        self.lose(since);
        // The canary has missed twice by now; what came in between counts for nothing.
        self.core.handle_link(self.now(), SourceId(0), Link::Deaf { since: Mono::from_millis(since) });
        self.perform();
        self.session_kept = false;
        let span = self.rng.u64(SECOND..30 * MINUTE);
        self.after(span, Event::LinkUp);
    }

    /// SIGKILL at any step; the journal is complete up to then. Calls that were out may land.
    fn kill(&mut self) {
        if self.healed || !self.alive {
            return;
        }
        self.fault("killed");
        if self.people.iter().any(|person| person.in_flight.is_some()) {
            self.cover("killed with a call out");
        }
        let json = serde_json::to_string(&self.core.snapshot(self.now())).unwrap();
        if self.up && !self.deaf {
            self.lose(self.mono);
        }
        self.up = false;
        self.deaf = false;
        self.connection += 1;
        let away = self.rng.u64(SECOND..20 * MINUTE);
        // Time goes on without us: writes land, devices talk to the broker.
        self.alive = false;
        let back = self.mono + away;
        while self.mono < back {
            let next = self.events.keys().next().map_or(back, |key| key.0).min(back).max(self.mono);
            self.wall += i64::try_from(next - self.mono).unwrap();
            self.mono = next;
            let mut touched = BTreeSet::new();
            while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= next) {
                let event = entry.remove();
                self.happen(event, &mut touched);
            }
            for person in touched {
                self.look(person);
            }
        }
        self.alive = true;
        let snapshot = serde_json::from_str(&json).unwrap();
        let restart = Restart { same_boot: true, clean: false };
        self.core = Core::restore(self.now(), Arc::clone(&self.plan), snapshot, restart);
        self.events.retain(|_, event| !matches!(event, Event::Answer(..)));
        for person in &mut self.people {
            person.in_flight = None;
            person.confirmed = Err(());
            person.ghost = Some(self.mono);
            person.parked = false;
        }
        self.gate_shut_until = 0; // judged by the stories: a gate survives a restart
        self.last_fault = self.mono;
        self.note(|| "==== back".to_owned());
        self.perform();
        let span = self.rng.u64(10..30 * SECOND);
        self.after(span, Event::LinkUp);
    }

    /// The machine sleeps: nobody is asked, nothing is heard, answers wait.
    fn suspend(&mut self) {
        if self.healed || !self.alive {
            return;
        }
        self.fault("suspended");
        let since = self.last_heard;
        let away = self.rng.u64(MINUTE..3 * HOUR);
        let back = self.mono + away;
        if self.up && !self.deaf {
            self.lose(since);
        }
        (self.up, self.deaf, self.alive) = (false, false, false);
        self.connection += 1;
        let mut answers = Vec::new();
        while self.mono < back {
            let next = self.events.keys().next().map_or(back, |key| key.0).min(back).max(self.mono);
            self.wall += i64::try_from(next - self.mono).unwrap();
            self.mono = next;
            let mut touched = BTreeSet::new();
            while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= next) {
                match entry.remove() {
                    Event::Answer(ticket, _) => answers.push(ticket),
                    event => self.happen(event, &mut touched),
                }
            }
            for person in touched {
                self.look(person);
            }
        }
        self.alive = true;
        self.last_fault = self.mono;
        self.note(|| "==== awake".to_owned());
        self.core.handle_link(self.now(), SourceId(0), Link::Deaf { since: Mono::from_millis(since) });
        self.core.handle_timeout(self.now());
        let mut touched = BTreeSet::new();
        for ticket in answers {
            self.answer(ticket, Outcome::Ambiguous, &mut touched); // the attempt timed out meanwhile
        }
        for person in &mut self.people {
            person.confirmed = Err(());
            person.ghost = Some(self.mono);
        }
        self.perform();
        let span = self.rng.u64(10..30 * SECOND);
        self.after(span, Event::LinkUp);
    }

    fn wall_step(&mut self) {
        if self.healed || !self.alive {
            return;
        }
        self.fault("wall clock stepped");
        self.oracle.step(self.at());
        self.wall += self.rng.i64(-2 * 3_600_000..2 * 3_600_000);
        self.core.handle_timeout(self.now());
        self.perform();
    }

    fn heal(&mut self) {
        self.hostile = false;
        self.healed = true;
        self.note(|| "==== healed".to_owned());
        self.link_up();
    }

    // ---- judging -------------------------------------------------------------------------------------------------

    fn seen(&mut self, person: usize) -> String {
        self.tenant.seen(self.mono, &object_id(person)).to_string()
    }

    /// What the oracle wants now, and since when.
    fn want(&mut self, person: usize) -> Option<usize> {
        let (wanted, now) = (self.oracle.wanted(person, self.at()), self.mono);
        let shown = wanted.map_or(NOBODY, |signal| SIGNALS[signal].1);
        let who = &mut self.people[person];
        if who.wanted != wanted {
            let before = who.wanted.map_or(NOBODY, |signal| SIGNALS[signal].1);
            who.last_wanted.insert(before, now);
            (who.wanted, who.wanted_since) = (wanted, now);
            who.changes.push_back(now);
            if who.changes.len() > 4 {
                who.changes.pop_front();
            }
        }
        who.last_wanted.insert(shown, now);
        wanted
    }

    /// Compares what colleagues see with what is wanted.
    fn look(&mut self, person: usize) {
        let wanted = self.want(person);
        let now = self.mono;
        let core_wants = self.core.view(self.people[person].id).wanted().map(|pair| pair.as_str());
        let shown = wanted.map_or(NOBODY, |signal| SIGNALS[signal].1);
        if self.alive && core_wants.unwrap_or(NOBODY) != shown {
            let id = object_id(person);
            let saved = self.core.snapshot(self.now()).people;
            let shares: Vec<_> = saved.into_iter().filter(|saved| saved.object_id.to_string() == id).collect();
            let text = format!("p{person}: the oracle wants {shown}, the core {core_wants:?}");
            let now = self.now();
            self.note(|| format!("==== at {now:?} the core has: {shares:?}"));
            self.violation(text);
        }
        let who = &mut self.people[person];
        if who.ghost.is_some_and(|sent| now > sent + 20 * MINUTE) {
            who.ghost = None; // the gate opens within 15 minutes
        }
        let flapping = who.changes.len() == 4 && now < who.changes[0] + 30 * SECOND + DAMPED + 10 * SECOND;
        let (since, parked) = (who.wanted_since, who.parked);
        let seen = self.seen(person);
        if seen == shown {
            return;
        }
        let ours = seen != NOBODY && seen != "Available/AvailableInactive" && seen != "Away/Away";
        if ours {
            let last = self.people[person].last_wanted.get(seen.as_str()).copied();
            match last {
                None => self.violation(format!("p{person}: seen {seen}, which was never wanted")),
                Some(last) => {
                    let stuck = now - last;
                    self.report.worst_stuck = self.report.worst_stuck.max(stuck);
                    if stuck > STUCK + if flapping { DAMPED } else { 0 } {
                        self.violation(format!("p{person}: stuck on {seen} for {stuck} ms after it was wanted"));
                    }
                }
            }
        }
        let healthy = now >= self.last_fault + HEALTHY && !self.hostile && self.up && !self.deaf && self.alive;
        if healthy && !parked && !flapping && now > since + ONE_ATTEMPT {
            self.violation(format!("p{person}: seen {seen}, wanted {shown} since {} ms, all healthy", now - since));
        }
    }

    fn converged(&mut self) {
        for person in 0..self.people.len() {
            self.look(person);
            if self.people[person].parked {
                self.cover("parked at the end");
                continue;
            }
            if self.mono < self.people[person].wanted_since + ONE_ATTEMPT {
                continue; // it has just changed
            }
            let wanted = self.oracle.wanted(person, self.at()).map_or(NOBODY, |signal| SIGNALS[signal].1);
            let seen = self.seen(person);
            if seen != wanted {
                self.violation(format!("p{person}: healed for 40 minutes, seen {seen}, wanted {wanted}"));
            }
        }
    }
}
