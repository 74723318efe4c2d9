//! What bears on an effect besides what one message says: what its device said before, what sibling topics say, and the
//! clock. Everything here ends in the same plain effects on shares.

use std::sync::Arc;
use std::time::Duration;

use super::super::board::{Applied, Gap, Level};
use super::super::memory::notes::Member;
use super::super::memory::{self, Recall, Renewal};
use super::super::now::Timestamp;
use super::super::plan::RuleId;
use super::super::rule::{Effect, Fact, More, Reason, Role, Say, Turn, Window};
use super::super::snapshot::Tag;
use super::messages::{FIRST_RETAINED, Message};
use super::{Core, Step, index};

/// So many windows of a calendar are kept at a time, the earliest: days for anybody, and each takes a share of its person.
const MOST_WINDOWS: usize = 24;

impl Core {
    /// What a rule makes of a message, with what else bears on it.
    pub(super) fn weigh_in(
        &mut self,
        message: Message<'_>,
        rule: RuleId,
        effect: Effect<'_>,
    ) -> (Step, Option<Renewal>) {
        let id = self.slots[effect.person];
        let windows = effect.more.windows;
        let plain = effect.more == More::default() && !self.has_band(rule);
        if plain {
            return self.take(message, rule, effect);
        }
        match self.settled(message, rule, effect) {
            Err(reason) => (Step { rule: Some(rule), person: Some(id), result: Err(reason) }, None),
            Ok(effect) => match windows {
                Some(windows) => {
                    let windows = self.covered(rule, effect.more.links, windows);
                    (self.take_windows(message, rule, effect, &windows), None)
                }
                None => self.take(message, rule, effect),
            },
        }
    }

    fn has_band(&self, rule: RuleId) -> bool {
        self.plan.rules.get(rule).is_some_and(super::super::rule::Rule::has_band)
    }

    /// The effect that it comes to.
    fn settled<'a>(&mut self, message: Message<'_>, id: RuleId, mut effect: Effect<'a>) -> Result<Effect<'a>, Reason> {
        let plan = Arc::clone(&self.plan);
        let Some(rule) = plan.rules.get(id) else { return Ok(effect) };
        let now = self.now;
        let retained = message.publish.retain;
        let device = self.device_key(id, &effect);
        let about = (device, self.tag(self.slots[effect.person]));
        if rule.is_edge() && matches!(effect.say, Say::On | Say::Off) {
            let event = match (effect.more.event, effect.more.turn) {
                (Some(event), _) => Some((event, true)),
                (None, Turn::Toggle) => Some((memory::digest(message.publish.payload), false)),
                (None, _) => None,
            };
            let fresh = event.is_none_or(|(event, named)| self.is_new(about, event, named));
            if retained && !rule.accept_retained {
                return Err(Reason::RetainedIgnored); // and what it said is known from here on
            }
            if !fresh {
                return Err(Reason::Duplicate);
            }
        } else if let Some(event) = effect.more.event
            && !self.is_new(about, event, true)
            && !retained
        {
            return Err(Reason::Duplicate);
        }
        if let Some(made) = effect.more.made {
            let age = now.wall.since(made);
            let lapsed = age >= effect.ttl && effect.until.is_none();
            if rule.max_age.is_some_and(|most| age > most) || lapsed {
                return Err(Reason::TooOld);
            }
            effect.ttl = effect.ttl.saturating_sub(age);
        }
        match effect.more.turn {
            Turn::Say if rule.has_band() => self.memory.notes.note_side(about, effect.say),
            Turn::Say => {}
            Turn::Toggle => {
                let on = self.level_of(message, &effect) == Some(Level::On);
                effect.say = if on { Say::Off } else { Say::On };
                effect.until = effect.until.filter(|_| !on);
            }
            Turn::Keep => {
                let known = self.level_of(message, &effect).is_some_and(|level| level != Level::Unknown);
                effect.say = self.memory.notes.side(device).filter(|_| known).ok_or(Reason::OtherValue)?;
            }
        }
        if effect.more.links.is_empty() { Ok(effect) } else { self.joined(message, id, device, effect) }
    }

    /// Whether it is another event than a device's last, which it then is.
    fn is_new(&mut self, about: (u64, Tag), event: u64, named: bool) -> bool {
        let fresh = self.memory.notes.is_new(self.now.mono, about, event, named);
        if fresh {
            self.unsaved.event(about.0);
        }
        fresh
    }

    fn device_key(&self, rule: RuleId, effect: &Effect<'_>) -> u64 {
        let rule = self.plan.rules.fingerprint(rule).unwrap_or_default();
        memory::digest(format!("{rule:x} {}\0{}", effect.device, effect.subject).as_bytes())
    }

    /// What the share says that an effect is about, if there is one.
    fn level_of(&self, message: Message<'_>, effect: &Effect<'_>) -> Option<Level> {
        let shares = self.people[index(self.slots[effect.person])].board.shares();
        let same = |share: &&super::super::board::Share| {
            share.signal == effect.signal
                && share.source == message.source
                && *share.device == *effect.device
                && *share.subject == *effect.subject
        };
        shares.iter().find(same).map(|share| share.up_to_date(&self.memory).level(self.now, Gap::NONE))
    }

    /// An effect with what its siblings said; they will find it.
    fn joined<'a>(
        &mut self,
        message: Message<'_>,
        id: RuleId,
        key: u64,
        mut effect: Effect<'a>,
    ) -> Result<Effect<'a>, Reason> {
        let Message { source, publish, recall, .. } = message;
        let plan = Arc::clone(&self.plan);
        let links = effect.more.links;
        if !publish.retain {
            // It speaks, so it is there, whatever was said of it.
            for &link in links {
                if self.memory.notes.fact(link) == Some(Fact::Down(true)) {
                    self.memory.notes.hear(link, Fact::Down(false));
                }
            }
        }
        let first = if publish.retain && recall != Recall::Other { FIRST_RETAINED } else { Duration::MAX };
        if !(publish.retain && recall == Recall::Same && self.memory.notes.member(key).is_some()) {
            let member = Member {
                person: self.slots[effect.person],
                source,
                device: effect.device.into(),
                subject: effect.subject.into(),
                say: effect.say,
                until: effect.until,
                windows: effect.more.windows.map(Box::from),
                lease: self.now.mono + effect.ttl.min(first),
                delay: effect.delay,
                hold: effect.hold,
                links: links.into(),
                gone: None,
            };
            self.memory.notes.join(key, member);
        }
        let roles = plan.rules.get(id).map(|rule| &*rule.siblings).unwrap_or_default();
        let facts: Vec<_> = links.iter().map(|&link| self.memory.notes.fact(link)).collect();
        if facts.contains(&Some(Fact::Down(true))) {
            return Err(Reason::DeviceDown);
        }
        if effect.say == Say::On && !counts(roles.iter().map(|sibling| &sibling.role).zip(facts.iter().copied())) {
            effect.say = Say::Off;
            effect.hold = Duration::ZERO;
        }
        if effect.say == Say::On {
            effect.until = effect.until.or(until(&facts).filter(|&until| until > self.now.wall));
        }
        Ok(effect)
    }

    /// A sibling speaks: of a device that spoke before, or one that will.
    pub(super) fn hear_beside(&mut self, message: Message<'_>, rule: RuleId, link: u64, fact: Fact) -> Step {
        let mut step = Step { rule: Some(rule), person: None, result: Ok(Applied::Renewed) };
        if message.publish.retain && message.recall == Recall::Same {
            step.result = Err(Reason::Replay); // a will of last week takes nobody down again
            if self.memory.notes.fact(link).is_none() && !matches!(fact, Fact::Down(_)) {
                self.memory.notes.hear(link, fact); // after a restart; the shares were judged by it before
            }
            return step;
        }
        let (before, members) = self.memory.notes.hear(link, fact);
        if before == Some(fact) {
            return step;
        }
        for key in members {
            let told = self.tell(message, rule, key, link, fact);
            if let Some(told) = told {
                step.person = told.person;
                if told.result != Ok(Applied::Renewed) {
                    step.result = told.result;
                }
            }
        }
        step
    }

    /// Says again what a device said, as it is with a sibling's new fact.
    fn tell(&mut self, message: Message<'_>, id: RuleId, key: u64, link: u64, fact: Fact) -> Option<Step> {
        let plan = Arc::clone(&self.plan);
        let now = self.now;
        let grace = plan.policy.grace;
        let member = self.memory.notes.member(key)?;
        let rule = plan.rules.get(id)?; // the key is the rule's, wherever it stands since a reload
        let role = |at: u64| member.links.iter().position(|&link| link == at).and_then(|at| rule.siblings.get(at));
        let role = &role(link)?.role;
        match (fact, role) {
            (Fact::Down(_), Role::Alive { keep: true, .. }) => return None,
            (Fact::Down(true), _) => member.gone = Some(now.mono),
            (Fact::Down(false), _) => {
                let gone = member.gone.take()?;
                if now.mono.since(gone) > grace {
                    member.say = Say::Unknown; // it has to speak
                    return None;
                }
            }
            _ if member.gone.is_some() => return None,
            _ => {}
        }
        let member = member.clone();
        let person = plan.rules.resolve(&member.subject)?;
        if self.slots.get(person) != Some(&member.person) || member.lease <= now.mono {
            return None;
        }
        if let Some(windows) = member.windows.as_deref().filter(|_| !matches!(fact, Fact::Down(_))) {
            let windows = self.covered(id, &member.links, windows);
            let effect = self.said_by(&member, id, person)?;
            let message = Message { source: member.source, recall: Recall::Other, ..message };
            return Some(self.take_windows(message, id, effect, &windows));
        }
        let facts: Vec<_> = member.links.iter().map(|&link| self.memory.notes.fact(link)).collect();
        let roles = rule.siblings.iter().map(|sibling| &sibling.role);
        let mut effect = self.said_by(&member, id, person)?;
        if fact == Fact::Down(true) {
            effect.say = Say::Unknown;
        } else if member.say == Say::On && !counts(roles.zip(facts.iter().copied())) {
            (effect.say, effect.hold) = (Say::Off, Duration::ZERO);
        } else if member.say == Say::On {
            effect.until = match fact {
                Fact::Until(until) => until.or(member.until), // a past one ends it
                _ => member.until.or(until(&facts).filter(|&until| until > now.wall)),
            };
            if matches!(fact, Fact::Until(None)) && effect.until.is_none() {
                effect.say = Say::Until; // no end is known any more
            }
        } else if !matches!(fact, Fact::Down(_)) {
            return None;
        }
        let message = Message { source: member.source, recall: Recall::Other, ..message };
        Some(self.take(message, id, effect).0)
    }

    /// What a device said, as if it said it now.
    fn said_by<'a>(&self, member: &'a Member, rule: RuleId, person: usize) -> Option<Effect<'a>> {
        Some(Effect {
            person,
            signal: self.plan.rules.signal(rule)?,
            device: &member.device,
            subject: &member.subject,
            say: member.say,
            ttl: member.lease.since(self.now.mono),
            delay: member.delay,
            hold: member.hold,
            until: member.until,
            timed: false,
            accept_retained: true,
            more: More::default(),
        })
    }

    /// The windows that count, by what siblings said: with the end that one of them gives.
    fn covered(&self, rule: RuleId, links: &[u64], windows: &[Window]) -> Vec<Window> {
        let facts: Vec<_> = links.iter().map(|&link| self.memory.notes.fact(link)).collect();
        let roles = self.plan.rules.get(rule).map(|rule| &*rule.siblings).unwrap_or_default();
        if !counts(roles.iter().map(|sibling| &sibling.role).zip(facts.iter().copied())) {
            return Vec::new();
        }
        let open = until(&facts);
        let end = |window: &Window| if window.end == Timestamp::MAX { open } else { Some(window.end) };
        let known = windows.iter().filter_map(|window| Some(Window { start: window.start, end: end(window)? }));
        known.filter(|window| window.start < window.end).collect()
    }

    /// Of whom a list no longer says anything, though it did: what its rule makes of that. `named`: whom it names, by rule and
    /// device. Returns whether there was anybody.
    pub(super) fn sweep(&mut self, message: Message<'_>, topic: &str, named: &[(RuleId, usize, String)]) -> bool {
        let plan = Arc::clone(&self.plan);
        let mut lists: Vec<RuleId> =
            self.steps.iter().filter(|step| is_list(step)).filter_map(|step| step.rule).collect();
        lists.dedup();
        let mut any = false;
        for id in lists {
            let Some((list, say)) = plan.rules.list(id, topic) else { continue };
            let Some(rule) = plan.rules.get(id) else { continue };
            // An element has its age judged as it is heard; a list that names nobody, here.
            let empty =
                self.steps.iter_mut().find(|step| (step.rule, step.result) == (Some(id), Err(Reason::EmptyList)));
            if let (Some(step), Some(most)) = (empty, rule.max_age)
                && let Some(made) = plan.rules.list_made(id, topic, message.publish.payload)
                && self.now.wall.since(made) > most
            {
                step.result = Err(Reason::TooOld);
                continue;
            }
            for person in 0..self.slots.len() {
                let slot = self.slots[person];
                let here = |device: &str| {
                    named.iter().any(|(rule, who, name)| (*rule, *who) == (id, person) && within(device, name))
                };
                let shares = self.people[index(slot)].board.shares().iter();
                let gone = shares.filter(|share| {
                    (share.rule, share.source) == (id, message.source)
                        && share.says_on()
                        && within(&share.device, &list)
                        && !here(&share.device)
                });
                let gone: Vec<_> =
                    gone.map(|share| (share.signal, share.device.clone(), share.subject.clone())).collect();
                for (signal, device, subject) in gone {
                    let effect = Effect {
                        person,
                        signal,
                        device: &device,
                        subject: &subject,
                        say,
                        ttl: rule.ttl,
                        delay: rule.delay,
                        hold: rule.hold,
                        until: None,
                        timed: false,
                        accept_retained: rule.accept_retained,
                        more: More::default(),
                    };
                    let step = self.take(message, id, effect).0;
                    self.steps.push(step);
                    any = true;
                }
            }
        }
        any
    }

    /// A calendar's windows, each a share of its own, and what holds outside of them.
    fn take_windows(&mut self, message: Message<'_>, rule: RuleId, effect: Effect<'_>, windows: &[Window]) -> Step {
        let now = self.now;
        let mut coming: Vec<Window> = windows.iter().filter(|window| window.end > now.wall).copied().collect();
        coming.sort_by_key(|window| (window.start, std::cmp::Reverse(window.end)));
        coming.dedup_by_key(|window| window.start);
        coming.truncate(MOST_WINDOWS);
        let name = |window: &Window| format!("{}@{}", effect.device, shown(window.start));
        let names: Vec<String> = coming.iter().map(name).collect();
        let prefix = format!("{}@", effect.device);
        let board = &self.people[index(self.slots[effect.person])].board;
        let gone = board.shares().iter().filter(|share| {
            (share.signal, share.source) == (effect.signal, message.source)
                && *share.subject == *effect.subject
                && share.device.starts_with(&prefix)
                && !names.iter().any(|name| **name == *share.device)
        });
        let gone: Vec<Box<str>> = gone.map(|share| share.device.clone()).collect();
        let plain = Effect { more: More::default(), ..effect };
        let mut step = self.take(message, rule, plain).0;
        let mut also = |core: &mut Core, effect: Effect<'_>| {
            let said = core.take(message, rule, effect).0;
            if step.result != Ok(Applied::Changed) {
                step.result = said.result;
            }
        };
        for (window, name) in coming.iter().zip(&names) {
            let delay = window.start.since(now.wall);
            also(self, Effect { device: name, say: Say::On, until: Some(window.end), delay, ..plain });
        }
        for device in &gone {
            let (ttl, hold) = (Duration::ZERO, Duration::ZERO);
            also(self, Effect { device, say: Say::Off, until: None, ttl, hold, ..plain });
        }
        step
    }
}

/// Whether a rule could read the list.
fn is_list(step: &Step) -> bool {
    matches!(
        step.result,
        Ok(_) | Err(Reason::EmptyList | Reason::UnknownSubject | Reason::TooManyShares | Reason::Duplicate)
    )
}

/// Whether a device is another's, or one of several of its: calls by their ids, windows by their starts.
fn within(device: &str, whole: &str) -> bool {
    device.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '@']))
}

/// Whether an on counts, by what its siblings said.
fn counts<'a>(said: impl Iterator<Item = (&'a Role, Option<Fact>)>) -> bool {
    let mut said = said;
    said.all(|(role, fact)| match (role, fact) {
        (Role::When(_) | Role::Unless(_), Some(Fact::Counts(counts))) => counts,
        (Role::When(_), _) => false, // nobody has said so
        _ => true,
    })
}

fn until(facts: &[Option<Fact>]) -> Option<Timestamp> {
    facts.iter().find_map(|fact| match fact {
        Some(Fact::Until(until)) => *until,
        _ => None,
    })
}

fn shown(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(|_| at.as_millis().to_string(), |at| at.to_string())
}
