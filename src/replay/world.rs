//! The core and the tenant model on virtual time, and who is told what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::heard::{self, Heard, bare, refused};
use super::line::{Message, check_topic};
use super::tell::{Effect, Event, What};
use crate::presence::rule::trace::{self, Trace};
use crate::presence::{
    Action, Cause, Core, Deadline, Level, Link, Mono, Now, Outcome, PersonId, Plan, Presence, Publish, Reason,
    SourceId, TenantId, Ticket, Timestamp,
};
use crate::sandbox::tenant::{Settings, Tenant};

/// A call's way to Graph and back.
const ROUND_TRIP: Duration = Duration::from_millis(100);
/// The core is there a while before the first message, as a bridge that was started before: its budget is not empty.
const BEFORE: Duration = Duration::from_secs(60);
/// When the tenant lets Available fade, since it was set.
const FADES: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(600)];
/// A person's instants at which something may be seen to change; more are not kept.
const MOST_LATER: usize = 4096;
/// So much of a topic that is none is told, characters.
const LONGEST_BAD_TOPIC: usize = 200;
/// The core wants to be woken at an instant so often at most; then time goes on.
const MOST_SPINS: usize = 10_000;

/// What was last told of a person.
struct User {
    label: Arc<str>,
    object_id: String,
    wanted: Option<Presence>,
    seen: String,
    on: Vec<Box<str>>,
    /// When to look again, whatever the core does.
    later: Vec<Mono>,
    look: Mono,
}

/// Where the recording is played.
pub struct World {
    core: Core,
    plan: Arc<Plan>,
    sources: u16,
    tenant: Tenant,
    now: Now,
    zero: Now,
    users: Vec<User>,
    answers: BTreeMap<(Mono, u64), Ticket>,
    looks: BTreeSet<(Mono, u32)>,
    serial: u64,
}

type Tell<'a> = &'a mut dyn FnMut(&Event);

impl World {
    /// At `t` = 0 the wall clock reads `start`; messages come from so many brokers.
    #[must_use]
    pub fn new(plan: Arc<Plan>, sources: u16, start: Timestamp) -> Self {
        let zero = Now { mono: Mono::BOOT + BEFORE, wall: start };
        let earlier = i64::try_from(BEFORE.as_millis()).unwrap_or(0);
        let now = Now { mono: Mono::BOOT, wall: Timestamp::from_millis(start.as_millis().saturating_sub(earlier)) };
        let mut core = Core::new(now, Arc::clone(&plan));
        for source in (0..sources).map(SourceId) {
            core.handle_link(now, source, Link::Up { session_present: false, expiry: Duration::ZERO });
        }
        let users: Vec<User> = core.people().map(|id| User::new(core.person(id))).collect();
        let tenant = Tenant::new(Settings::for_users(users.iter().map(|user| user.object_id.clone())));
        let (answers, looks) = (BTreeMap::new(), BTreeSet::new());
        let mut world = World { core, plan, sources, tenant, now, zero, users, answers, looks, serial: 0 };
        world.run(Duration::ZERO, &mut |_| {});
        world
    }

    /// What the wall clock read at `t` = 0.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        self.zero.wall
    }

    /// What a person should show now, and because of what, as `signal@subject`; by the label.
    #[must_use]
    pub fn wanted(&self, label: &str) -> Option<(Presence, Option<String>)> {
        let id = self.core.people().find(|&id| *self.core.person(id).label == *label)?;
        let view = self.core.view(id);
        Some((view.wanted()?, because(&view)))
    }

    /// A message comes now. Says what each rule made of it.
    pub fn publish(&mut self, message: &Message, tell: Tell<'_>) -> Vec<Heard> {
        if check_topic(&message.topic).is_err() {
            let topic = message.topic.chars().take(LONGEST_BAD_TOPIC).collect();
            tell(&self.none(Effect { topic, ..bare(message) }, Reason::BadTopic)); // no broker delivers it
            return Vec::new();
        }
        let source = message.source.unwrap_or_else(|| self.source_of(&message.topic));
        let traces = self.plan.rules.trace(source, &message.topic, &message.payload);
        let publish = Publish {
            topic: message.topic.as_bytes(),
            payload: &message.payload,
            retain: message.retain,
            expiry: None,
        };
        let steps = self.core.handle_publish(self.now, source, &publish).steps.to_vec();
        let t = self.t();
        if traces.is_empty() {
            let reason = steps.first().and_then(|step| step.result.err()).unwrap_or(Reason::NoRule);
            tell(&self.none(bare(message), reason));
        }
        let mut touched = Vec::new();
        let mut all = Vec::new();
        let absent = steps.get(traces.len()..).unwrap_or_default();
        for (place, trace) in traces.into_iter().enumerate() {
            let mut effect = heard::effect(&trace, &self.plan, message, self.now.wall);
            // What is retained is of unknown age, and the core may give it less.
            effect.ttl = effect.ttl.filter(|_| !message.retain);
            let step = steps.get(place).filter(|step| step.rule == Some(trace.rule));
            if let Some(step) = step {
                let view = step.person.map(|person| self.core.view(person));
                heard::judged(&mut effect, &trace, &self.plan, step.result, view.as_ref());
                touched.extend(step.person.map(|id| (id, delay(&trace))));
            }
            all.push(Heard { trace, effect: Arc::new(effect) });
        }
        heard::set_aside(&mut all);
        for heard in all.iter().filter(|heard| !heard::in_passing(heard, &all)) {
            tell(&Event { t, what: What::Effect(Arc::clone(&heard.effect)) });
        }
        for step in absent {
            if let (Some(rule), Some(id)) = (step.rule.and_then(|rule| self.plan.rules.get(rule)), step.person) {
                let effect = heard::absent(rule, self.core.person(id), message);
                tell(&Event { t, what: What::Effect(Arc::new(effect)) });
                touched.push((id, Duration::ZERO));
            }
        }
        self.perform(tell);
        for (id, delay) in touched {
            if !delay.is_zero() {
                self.users[place_of(id)].later(self.now.mono + delay);
            }
            self.look(id, tell);
        }
        all
    }

    /// No rule took it.
    fn none(&self, effect: Effect, reason: Reason) -> Event {
        let effect = Effect { effect: refused(reason), reason: Some(reason.as_str()), ..effect };
        Event { t: self.t(), what: What::Effect(Arc::new(effect)) }
    }

    /// Where a recording does not say which broker it was: one that a rule for the topic listens to.
    #[must_use]
    pub fn source_of(&self, topic: &str) -> SourceId {
        let rules = &self.plan.rules;
        let mut sources = (0..self.sources).map(SourceId);
        sources.find(|&source| rules.takes(source, topic)).unwrap_or(SourceId(0))
    }

    /// Lets time pass up to `t`, with everything that happens meanwhile.
    pub fn run(&mut self, t: Duration, tell: Tell<'_>) {
        let end = self.zero.mono + t;
        self.perform(tell);
        let mut spins = 0;
        loop {
            let timeout = self.core.poll_timeout().map_or(Mono::MAX, |deadline| self.mono(deadline));
            let answer = self.answers.keys().next().map_or(Mono::MAX, |key| key.0);
            let look = self.looks.first().map_or(Mono::MAX, |key| key.0);
            let mut next = timeout.min(answer).min(look).max(self.now.mono);
            spins = if next == self.now.mono { spins + 1 } else { 0 };
            if spins > MOST_SPINS {
                next = next + Duration::from_millis(1);
            }
            if next > end {
                return self.advance(end);
            }
            self.advance(next);
            while let Some(entry) = self.answers.first_entry().filter(|entry| entry.key().0 <= next) {
                let ticket = entry.remove();
                self.core.handle_outcome(self.now, ticket, Outcome::Accepted);
            }
            self.core.handle_timeout(self.now);
            self.perform(tell);
            while let Some(&(at, place)) = self.looks.first().filter(|key| key.0 <= next) {
                self.looks.remove(&(at, place));
                self.users[place as usize].look = Mono::MAX;
                self.look(PersonId(place), tell);
            }
        }
    }

    fn t(&self) -> Duration {
        self.now.mono.since(self.zero.mono)
    }

    fn advance(&mut self, to: Mono) {
        let span = to.since(self.now.mono);
        self.now = Now { mono: self.now.mono + span, wall: self.now.wall + span };
    }

    /// A deadline on the clock that durations are measured on.
    fn mono(&self, deadline: Deadline) -> Mono {
        match deadline.wall {
            Timestamp::MAX => deadline.mono,
            wall => deadline.mono.min(self.now.mono + wall.since(self.now.wall)),
        }
    }

    fn perform(&mut self, tell: Tell<'_>) {
        while let Some(action) = self.core.poll_action() {
            match action {
                Action::SetPresence { ticket, person, presence, expiration, cause, .. } => {
                    self.call(ticket, person, Some((presence, expiration)), cause == Cause::Refresh, tell);
                }
                Action::ClearPresence { ticket, person, .. } => self.call(ticket, person, None, false, tell),
                Action::Read { tenant, serial, .. } => self.read(tenant, serial),
                Action::Changed { person } => self.changed(person, tell),
                Action::Alarm { .. } => {}
            }
        }
    }

    fn changed(&mut self, id: PersonId, tell: Tell<'_>) {
        let t = self.t();
        let view = self.core.view(id);
        let (wanted, because) = (view.wanted(), because(&view));
        let user = &mut self.users[place_of(id)];
        if user.wanted != wanted {
            user.wanted = wanted;
            let what = What::Wanted { user: Arc::clone(&user.label), presence: wanted, because };
            tell(&Event { t, what });
        }
        self.look(id, tell);
    }

    /// A call is applied as it leaves, and answered a moment later.
    fn call(&mut self, ticket: Ticket, id: PersonId, set: Option<(Presence, Duration)>, refresh: bool, tell: Tell<'_>) {
        let (t, at, user) = (self.t(), self.now.mono, &mut self.users[place_of(id)]);
        tell(&Event { t, what: What::Call { user: Arc::clone(&user.label), set, refresh } });
        match set {
            Some((presence, span)) => {
                let pair = (presence.availability(), presence.activity());
                self.tenant.set(at.as_millis(), &user.object_id, pair.0, pair.1, span);
                for after in FADES.into_iter().chain([span]) {
                    user.later(at + after);
                }
            }
            None => {
                self.tenant.clear(at.as_millis(), &user.object_id);
            }
        }
        self.serial += 1;
        self.answers.insert((at + ROUND_TRIP, self.serial), ticket);
        self.look(id, tell);
    }

    /// What colleagues see, read back at once.
    fn read(&mut self, tenant: TenantId, serial: u64) {
        let at = self.now.mono.as_millis();
        let people = self.core.reading(tenant).to_vec();
        let seen = people.into_iter().map(|id| (id, self.tenant.seen(at, &self.users[place_of(id)].object_id)));
        let seen: Vec<_> = seen.collect();
        let seen: Vec<_> = seen.iter().map(|(id, seen)| (*id, &*seen.availability, &*seen.activity)).collect();
        self.core.handle_read(self.now, tenant, serial, Ok(&seen));
    }

    /// Tells which signals began or ended and what colleagues see now, and notes when to look again.
    fn look(&mut self, id: PersonId, tell: Tell<'_>) {
        let (t, now) = (self.t(), self.now.mono);
        let mut next = Mono::MAX;
        let mut on: Vec<Box<str>> = Vec::new();
        for share in self.core.view(id).shares().filter(|share| share.level == Level::On) {
            next = next.min(self.mono(share.until));
            if !on.iter().any(|signal| **signal == *share.signal) {
                on.push(share.signal.into());
            }
        }
        let user = &mut self.users[place_of(id)];
        let ended = user.on.iter().filter(|signal| !on.contains(signal)).map(|signal| (signal, false));
        let began = on.iter().filter(|signal| !user.on.contains(signal)).map(|signal| (signal, true));
        for (signal, on) in ended.chain(began) {
            let what = What::Signal { user: Arc::clone(&user.label), signal: signal.clone(), on };
            tell(&Event { t, what });
        }
        user.on = on;
        let seen = self.tenant.seen(now.as_millis(), &user.object_id).to_string();
        if user.seen != seen {
            tell(&Event { t, what: What::Seen { user: Arc::clone(&user.label), presence: seen.clone() } });
            user.seen = seen;
        }
        user.later.retain(|&at| at > now);
        let next = user.later.iter().copied().fold(next, Mono::min);
        if next > now && next < user.look {
            self.looks.remove(&(user.look, id.0));
            self.looks.insert((next, id.0));
            user.look = next;
        }
    }
}

impl User {
    fn new(who: &crate::presence::PersonPlan) -> Self {
        User {
            label: Arc::from(&*who.label),
            object_id: who.object_id.to_string(),
            wanted: None,
            seen: "Offline/Offline".to_owned(),
            on: Vec::new(),
            later: Vec::new(),
            look: Mono::MAX,
        }
    }

    fn later(&mut self, at: Mono) {
        if self.later.len() < MOST_LATER && !self.later.contains(&at) {
            self.later.push(at);
        }
    }
}

fn because(view: &crate::presence::View<'_>) -> Option<String> {
    let share = view.because()?;
    let by = if share.subject.is_empty() { share.device } else { share.subject };
    Some(format!("{}@{by}", share.signal))
}

fn place_of(id: PersonId) -> usize {
    id.0 as usize
}

/// How long the message's on waits before it counts.
fn delay(trace: &Trace) -> Duration {
    match &trace.result {
        Ok(trace::Outcome::Share(told)) => told.delay,
        _ => Duration::ZERO,
    }
}
