//! The core and the tenant model on virtual time, and who is told what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::found;
use super::line::Message;
use super::tell::{Effect, Event, What, excerpt};
use crate::presence::{
    Action, Applied, Cause, Core, Deadline, Level, Link, Mono, Now, Outcome, PersonId, Plan, Presence, Publish, Reason,
    RuleId, Say, SourceId, TenantId, Ticket, Timestamp,
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
/// The core wants to be woken at an instant so often at most; then time goes on.
const MOST_SPINS: usize = 10_000;
/// So much of a payload is shown, characters.
const SHOWN: usize = 60;

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
    tenant: Tenant,
    now: Now,
    zero: Now,
    users: Vec<User>,
    answers: BTreeMap<(Mono, u64), Ticket>,
    looks: BTreeSet<(Mono, u32)>,
    serial: u64,
}

/// What a rule made of a message, before the core had its say.
struct Found {
    rule: RuleId,
    effect: Effect,
    delay: Duration,
}

type Tell<'a> = &'a mut dyn FnMut(&Event);

impl World {
    /// At `t` = 0 the wall clock reads `start`.
    #[must_use]
    pub fn new(plan: Arc<Plan>, start: Timestamp) -> Self {
        let zero = Now { mono: Mono::BOOT + BEFORE, wall: start };
        let earlier = i64::try_from(BEFORE.as_millis()).unwrap_or(0);
        let now = Now { mono: Mono::BOOT, wall: Timestamp::from_millis(start.as_millis().saturating_sub(earlier)) };
        let mut core = Core::new(now, Arc::clone(&plan));
        core.handle_link(now, SourceId(0), Link::Up { session_present: false, expiry: Duration::ZERO });
        let users: Vec<User> = core.people().map(|id| User::new(core.person(id))).collect();
        let tenant = Tenant::new(Settings::for_users(users.iter().map(|user| user.object_id.clone())));
        let (answers, looks) = (BTreeMap::new(), BTreeSet::new());
        let mut world = World { core, plan, tenant, now, zero, users, answers, looks, serial: 0 };
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

    /// A message comes now.
    pub fn publish(&mut self, message: &Message, tell: Tell<'_>) {
        let found = self.find(message);
        let publish = Publish {
            topic: message.topic.as_bytes(),
            payload: &message.payload,
            retain: message.retain,
            expiry: None,
        };
        let steps = self.core.handle_publish(self.now, SourceId(0), &publish).steps.to_vec();
        let t = self.t();
        if found.is_empty() {
            let reason = steps.first().and_then(|step| step.result.err()).unwrap_or(Reason::NoRule);
            let effect = Effect { effect: refused(reason), reason: Some(reason.as_str()), ..bare(message) };
            tell(&Event { t, what: What::Effect(Box::new(effect)) });
        }
        let mut touched = Vec::new();
        for (place, mut found) in found.into_iter().enumerate() {
            // The core has the last word: what the topic said before may make it a replay of the same.
            let step = steps.get(place).filter(|step| step.rule == Some(found.rule));
            match step.map(|step| step.result) {
                Some(Ok(applied)) => found.effect.again = applied == Applied::Renewed,
                Some(Err(reason)) => {
                    (found.effect.effect, found.effect.reason) = (refused(reason), Some(reason.as_str()));
                }
                None => {}
            }
            tell(&Event { t, what: What::Effect(Box::new(found.effect)) });
            if let Some(id) = step.and_then(|step| step.person) {
                touched.push(id);
                if !found.delay.is_zero() {
                    self.users[place_of(id)].later(self.now.mono + found.delay);
                }
            }
        }
        self.perform(tell);
        for id in touched {
            self.look(id, tell);
        }
    }

    /// Rule by rule, what the rules make of a message.
    fn find(&self, message: &Message) -> Vec<Found> {
        let mut all = Vec::new();
        let rules = &self.plan.rules;
        rules.evaluate(SourceId(0), &message.topic, &message.payload, &mut |id, result| {
            let rule = rules.get(id);
            let value = match rule {
                Some(rule) => found::looked_at(rule, &message.topic, &message.payload),
                None => found::text(&message.payload).map(|text| text.chars().take(SHOWN).collect()),
            };
            let name = rule.map_or("door", |rule| &rule.name).to_owned();
            let mut effect = Effect { rule: Some(name), value, ..bare(message) };
            let mut delay = Duration::ZERO;
            match result {
                Ok(told) => {
                    delay = told.delay;
                    effect.effect = said(told.say);
                    effect.subject = Some(told.subject.to_owned());
                    effect.user = self.label(told.person);
                    effect.signal =
                        self.plan.signals.get(usize::from(told.signal.0)).map(|signal| signal.name.to_string());
                    effect.device = Some(told.device.to_owned());
                    effect.until = told.until;
                    // What is retained is of unknown age, and the core may give it less.
                    effect.ttl = Some(told.ttl).filter(|_| !message.retain);
                }
                Err(reason) => {
                    (effect.effect, effect.reason) = (refused(reason), Some(reason.as_str()));
                    effect.signal = rule.map(|rule| rule.signal.to_string());
                    effect.subject = rule.and_then(|rule| found::subject_at(rule, &message.topic, &message.payload));
                    let person = effect.subject.as_deref().and_then(|subject| rules.resolve(subject));
                    effect.user = person.and_then(|person| self.label(person));
                }
            }
            all.push(Found { rule: id, effect, delay });
        });
        all
    }

    fn label(&self, person: usize) -> Option<Arc<str>> {
        self.plan.people.get(person).map(|who| Arc::from(&*who.label))
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

fn bare(message: &Message) -> Effect {
    let payload =
        excerpt(&String::from_utf8_lossy(message.payload.get(..4 * SHOWN).unwrap_or(&message.payload)), SHOWN);
    Effect { topic: message.topic.clone(), payload, ..Effect::default() }
}

fn said(say: Say) -> &'static str {
    match say {
        Say::On => "on",
        Say::Off => "off",
        Say::Unknown => "unknown",
        Say::Until => "until",
    }
}

/// What is malformed is rejected; what is none of the rule's business is ignored.
fn refused(reason: Reason) -> &'static str {
    match reason {
        Reason::BadTopic
        | Reason::TooLarge
        | Reason::NotUtf8
        | Reason::BadJson
        | Reason::TooDeep
        | Reason::DuplicateKey
        | Reason::TooManyShares => "rejected",
        _ => "ignored",
    }
}
