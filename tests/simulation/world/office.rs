//! Who there is, what they do, and what the configuration makes of it. Policies differ from seed to seed.

use std::time::Duration;

use presence_bridge::presence::rule::{Place, Rule, Template, Words};
use presence_bridge::presence::topic::Pattern;
use presence_bridge::presence::{ObjectId, PersonPlan, Plan, Policy, Presence, Rules, Signal, TenantId};

use super::super::oracle::Say;
use super::{Event, HOUR, MINUTE, NEVER, SECOND, START, World};

/// In order of priority, with what colleagues see.
pub(super) const SIGNALS: [(&str, &str); 3] =
    [("call", "Busy/InACall"), ("meeting", "Busy/InAConferenceCall"), ("desk", AVAILABLE)];
pub(super) const AVAILABLE: &str = "Available/Available";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Phone,
    Ring,
    Camera,
    Meeting,
    Desk,
}

pub(super) const KINDS: [Kind; 5] = [Kind::Phone, Kind::Ring, Kind::Camera, Kind::Meeting, Kind::Desk];

/// What a rule for a device says.
pub(super) struct Terms {
    /// Place in the order of priority.
    pub(super) signal: usize,
    /// Its name for the oracle.
    pub(super) device: &'static str,
    pub(super) ttl: u64,
    pub(super) delay: u64,
    pub(super) hold: u64,
}

impl Kind {
    pub(super) fn topic(self, who: &str) -> String {
        match self {
            Kind::Phone => format!("pbx/{who}"),
            Kind::Ring => format!("ring/{who}"),
            Kind::Camera => format!("cam/{who}"),
            Kind::Meeting => format!("presence-bridge/in/{who}/meeting"),
            Kind::Desk => format!("desk/{who}"),
        }
    }

    pub(super) fn is_retained(self) -> bool {
        self != Kind::Ring
    }
}

/// What a device truly does, and what became of its last message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truth {
    pub(super) on: bool,
    /// The meeting is over then, whatever is said.
    pub(super) until: Option<i64>,
    pub(super) ended: u64,
    /// Numbers of the last message sent and of the last heard.
    pub(super) sent: u64,
    pub(super) heard: u64,
    pub(super) heard_at: u64,
    /// Whoever it is about left the list since: the next time that it is said to somebody listed is the first.
    pub(super) forgotten: bool,
    /// The last message never reached the broker, or an older one was heard after it.
    pub(super) lost: bool,
}

impl Truth {
    pub(super) fn new() -> Truth {
        Truth { on: false, until: None, ended: START, sent: 0, heard: 0, heard_at: 0, forgotten: false, lost: false }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Whose name the topic carries.
    pub(super) subject: usize,
    pub(super) kind: Kind,
    pub(super) payload: String,
    pub(super) say: Say,
    pub(super) until: Option<i64>,
    pub(super) number: u64,
}

impl Message {
    pub(super) fn topic(&self) -> String {
        self.kind.topic(&format!("p{}", self.subject))
    }
}

/// The configuration as it stands.
pub(super) struct Office {
    pub(super) policy: Policy,
    pub(super) listed: Vec<bool>,
    /// Which person each subject leads to.
    pub(super) leads_to: Vec<usize>,
    /// How long the camera's rule holds.
    pub(super) hold: u64,
}

impl Office {
    pub(super) fn open(people: usize, rng: &mut fastrand::Rng) -> Office {
        let mut policy = Policy::default();
        let mut perhaps = |percent| rng.u32(0..100) < percent;
        if perhaps(25) {
            policy.max_stale = Duration::from_secs(600);
        }
        policy.trust_until = perhaps(25);
        policy.replicas = perhaps(20);
        policy.when_free = perhaps(20).then_some(Presence::Available);
        if perhaps(15) {
            // Far too little for ten people: twelve calls a minute would do.
            (policy.rate, policy.burst) = (0.05, 3);
            policy.max_stale_ceiling = perhaps(50).then_some(Duration::from_secs(1_800));
        }
        Office { policy, listed: vec![true; people], leads_to: (0..people).collect(), hold: 30 * SECOND }
    }

    /// The budget is far too small.
    pub(super) fn is_short(&self) -> bool {
        self.policy.rate < 1.0
    }

    /// How long after all faults everything must be right.
    pub(super) fn settles_within(&self) -> u64 {
        if self.is_short() { 90 * MINUTE } else { 40 * MINUTE }
    }

    pub(super) fn terms(&self, kind: Kind) -> Terms {
        let (signal, device, ttl, delay, hold) = match kind {
            Kind::Phone => (0, "phone", 8 * HOUR, 0, 0),
            Kind::Ring => (0, "ring", 5 * MINUTE, 0, 0),
            Kind::Camera => (1, "camera", 2 * HOUR, 5 * SECOND, self.hold),
            Kind::Meeting => (1, "door", 12 * HOUR, 0, 0),
            Kind::Desk => (2, "desk", 12 * HOUR, 0, 0),
        };
        Terms { signal, device, ttl, delay, hold }
    }

    /// The rules that a user would write for these devices; the meeting comes through the door that needs none.
    fn rules(&self) -> Vec<Rule> {
        let rule = |kind: Kind, topic: &str| {
            let pattern = Pattern::parse(topic).unwrap();
            let terms = self.terms(kind);
            let subject = Place::Topic(Template::parse("{who}", &pattern).unwrap());
            Rule {
                on: Words::new(["on"]),
                off: Words::new(["off"]),
                unknown: Words::new(["unknown"]),
                ttl: Duration::from_millis(terms.ttl),
                delay: Duration::from_millis(terms.delay),
                hold: Duration::from_millis(terms.hold),
                ..Rule::new(pattern, subject, SIGNALS[terms.signal].0)
            }
        };
        let kinds = KINDS.into_iter().filter(|kind| *kind != Kind::Meeting);
        kinds.map(|kind| rule(kind, &kind.topic("{who}"))).collect()
    }

    pub(super) fn plan(&self) -> Plan {
        let listed: Vec<usize> = (0..self.listed.len()).filter(|&person| self.listed[person]).collect();
        let who = |&person: &usize| PersonPlan {
            tenant: TenantId(0),
            object_id: object_id(person).parse().unwrap(),
            label: format!("p{person}").into(),
        };
        let place = |person| listed.iter().position(|&known| known == person);
        let subjects = self.leads_to.iter().enumerate();
        let subjects = subjects.filter_map(|(subject, &person)| Some((format!("p{subject}"), place(person)?)));
        let pairs = [Presence::InACall, Presence::InAConferenceCall, Presence::Available];
        let signals = SIGNALS.into_iter().zip(pairs);
        Plan {
            tenants: vec![ObjectId::default()],
            people: listed.iter().map(who).collect(),
            signals: signals.map(|((name, _), pair)| Signal { name: name.into(), presence: Some(pair) }).collect(),
            rules: Rules::new(
                self.rules(),
                subjects,
                SIGNALS.map(|(name, _)| name.into()).into(),
                Some("presence-bridge"),
            ),
            policy: self.policy.clone(),
        }
    }
}

pub(super) fn object_id(person: usize) -> String {
    format!("11111111-1111-4111-8111-{person:012x}")
}

impl World {
    pub(super) fn device(&mut self, subject: usize, kind: Kind) {
        let was_on = self.people[subject].truth[&kind].on;
        let roll = self.rng.u32(0..100);
        let (mut payload, mut say, mut until) = match (was_on, roll) {
            (_, 0..4) if matches!(kind, Kind::Phone | Kind::Camera) => ("unknown".to_owned(), Say::Unknown, None),
            (_, 4..8) => (if was_on { "on" } else { "off" }.to_owned(), if was_on { Say::On } else { Say::Off }, None),
            (true, _) => ("off".to_owned(), Say::Off, None),
            (false, _) => ("on".to_owned(), Say::On, None),
        };
        if kind == Kind::Meeting && (say == Say::On || roll < 30) {
            let span = self.rng.u64(0..90 * MINUTE);
            let end = self.wall + i64::try_from(span).unwrap() - 5 * 60_000;
            until = Some(end);
            if roll < 30 && say != Say::On {
                (payload, say) = (format!(r#"{{"until":"{}"}}"#, rfc3339(end)), Say::Until);
                self.cover("an end on its own");
            } else {
                payload = format!(r#"{{"on":true,"until":"{}"}}"#, rfc3339(end));
                if self.rng.u32(0..100) < 30 && end > self.wall + 60_000 {
                    let about_the_end = (span - 5 * MINUTE).saturating_sub(2 * SECOND) + self.rng.u64(0..4 * SECOND);
                    self.after(about_the_end, Event::Extension(subject));
                }
            }
        }
        self.publish(subject, kind, payload, say, until);
        if self.healed && self.mono > self.end + 20 * MINUTE {
            return; // the last minutes are quiet
        }
        let mut next = match (kind, say) {
            (Kind::Ring, _) => self.rng.u64(10 * SECOND..30 * MINUTE),
            (_, Say::On) => self.rng.u64(20 * SECOND..70 * MINUTE),
            _ => self.rng.u64(20 * SECOND..2 * HOUR),
        };
        if !self.healed {
            match self.rng.u32(0..100) {
                0..6 => {
                    next = self.rng.u64(50..2_000);
                    self.cover("a flapping device");
                }
                6..8 => {
                    next = self.rng.u64(3 * HOUR..14 * HOUR);
                    let now = self.mono;
                    let truth = self.truth(subject, kind);
                    truth.lost = true; // whatever it does meanwhile, it does not say so
                    if std::mem::take(&mut truth.on) {
                        truth.ended = now;
                    }
                    self.cover("a device that died");
                }
                _ => {}
            }
        }
        self.after(next, Event::Device(subject, kind));
    }

    /// The meeting goes on: its end moves just before, or just after it has come.
    pub(super) fn extend(&mut self, subject: usize) {
        let truth = self.people[subject].truth[&Kind::Meeting];
        if self.healed || truth.until.is_none() {
            return;
        }
        let end = self.wall + self.rng.i64(5 * 60_000..40 * 60_000);
        let payload = format!(r#"{{"until":"{}"}}"#, rfc3339(end));
        self.publish(subject, Kind::Meeting, payload, Say::Until, Some(end));
    }

    fn publish(&mut self, subject: usize, kind: Kind, payload: String, say: Say, until: Option<i64>) {
        let (now, wall) = (self.mono, self.wall);
        let truth = self.truth(subject, kind);
        truth.sent += 1;
        let number = truth.sent;
        match say {
            Say::On => (truth.on, truth.until) = (true, until.or(truth.until.filter(|&until| until > wall))),
            Say::Off if std::mem::take(&mut truth.on) => truth.ended = now,
            Say::Until if truth.on || truth.until.is_some() => (truth.on, truth.until) = (true, until),
            _ => {}
        }
        let lost = self.mood.is_hostile() && self.rng.u32(0..100) < 5;
        self.truth(subject, kind).lost = lost;
        if lost {
            self.cover("a publish that was lost");
            return;
        }
        let delay = self.rng.u64(1..40);
        self.after(delay, Event::AtBroker(Message { subject, kind, payload, say, until, number }));
    }

    pub(super) fn truth(&mut self, subject: usize, kind: Kind) -> &mut Truth {
        self.people[subject].truth.get_mut(&kind).unwrap()
    }

    /// Meetings end by themselves.
    pub(super) fn let_meetings_end(&mut self, subject: usize) {
        let (now, wall) = (self.mono, self.wall);
        let truth = self.truth(subject, Kind::Meeting);
        if truth.on && truth.until.is_some_and(|until| until <= wall) {
            let ago = u64::try_from(wall - truth.until.unwrap()).unwrap();
            (truth.on, truth.ended) = (false, truth.ended.max(now.saturating_sub(ago)));
        }
    }
}

fn rfc3339(wall: i64) -> String {
    jiff::Timestamp::from_millisecond(wall).unwrap().to_string()
}

pub(super) const FOR_GOOD: u64 = NEVER;
