//! The shares of one person. A share is one device's say on one signal, over an interval that always ends.
//!
//! Events only move the ends of intervals; what counts at an instant is read off them. So there are no timers here but
//! "when does an interval end next", and a share that nobody renews dies by itself.

mod gap;

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::gap::Gap;
pub(super) use self::gap::{Deafness, deaf};
use super::action::SourceId;
use super::memory::{Memory, TopicKey};
use super::now::{Deadline, Mono, Now, Timestamp};
use super::plan::{RuleId, SignalId};
use super::rule::{DEFAULT_TTL, Effect, LONGEST_TTL, Reason, Say};

/// As many shares as one person may have: far more than devices on a desk, few enough to read at every event.
pub const MAX_SHARES: usize = 64;

/// What a share says at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The signal is on.
    On,
    /// The signal is known to be off.
    Off,
    /// Nothing is known: never told, withdrawn, or the lease ended.
    Unknown,
}

/// One device's say on one signal of one person.
///
/// ```text
///            delay          lease, or until         hold, after an off
///  on ─────►├──────┤████████████████████████├──────►├▒▒▒▒┤·· off, while its lease lasts ··┤ unknown
///        on_from                        on_until                                     off_until
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The signal.
    pub signal: SignalId,
    /// The broker it came from.
    pub source: SourceId,
    /// The rule that took the message.
    pub rule: RuleId,
    /// The device; with signal, source and subject its identity.
    pub device: Box<str>,
    /// The subject as the message named it.
    pub subject: Box<str>,
    /// Since when it has said what it says, for people to read.
    pub since: Timestamp,
    /// What the device said last, whether or not that still counts: a later `until` may wake it.
    said: Say,
    /// Until when what was said would count if nothing more were known: its `ttl`.
    lease: Deadline,
    /// The end that a calendar gave, also while the share is not on: facts of one device arrive in any order.
    until: Option<Timestamp>,
    /// On over `[on_from, on_until)`.
    on_from: Mono,
    on_until: Deadline,
    /// Known off until then, where it is not on.
    off_until: Deadline,
    /// When it was last confirmed, by a live message or an equal replay.
    heard: Mono,
    /// Ends then at the latest, because its broker could not be heard and the replay did not confirm it.
    blind_until: Mono,
    /// The topic in whose [`Memory`] it is renewed: later than `heard` says, if so.
    #[serde(skip)]
    renewed_by: Option<TopicKey>,
    /// As in [`Origin`].
    #[serde(skip)]
    names: u64,
}

/// Which share a message is about. Texts lie far away in memory, and comparing them costs more than the rest of finding a
/// share; so device and subject are one number, by a hash whose key nobody knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    signal: SignalId,
    source: SourceId,
    names: u64,
}

impl Origin {
    pub(super) fn new(source: SourceId, effect: &Effect<'_>, names: &RandomState) -> Self {
        Origin { signal: effect.signal, source, names: names.hash_one((effect.device, effect.subject)) }
    }
}

/// In place of a time when blindness ends a share: nothing counts, not even a known end, until it is said again.
const SUSPENDED: Mono = Mono::ZERO;

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Long past.
const OVER: Deadline = Deadline { mono: Mono::ZERO, wall: Timestamp::MAX };

impl Share {
    /// Whether its device said on last.
    pub(super) fn says_on(&self) -> bool {
        self.said == Say::On
    }

    fn new(now: Now, origin: Origin, rule: RuleId, effect: &Effect<'_>) -> Self {
        Share {
            signal: origin.signal,
            source: origin.source,
            rule,
            device: effect.device.into(),
            subject: effect.subject.into(),
            since: now.wall,
            said: Say::Unknown,
            lease: OVER,
            until: None,
            on_from: Mono::ZERO,
            on_until: OVER,
            off_until: OVER,
            heard: now.mono,
            blind_until: Mono::MAX,
            renewed_by: None,
            names: origin.names,
        }
    }

    fn is(&self, origin: Origin) -> bool {
        (self.signal, self.source, self.names) == (origin.signal, origin.source, origin.names)
    }

    /// What it says now, where its broker cannot be heard over `gap`.
    #[must_use]
    pub fn level(&self, now: Now, gap: Gap) -> Level {
        if now.mono >= self.blind(gap) {
            Level::Unknown
        } else if now.mono >= self.on_from && !self.on_until.reached(now) {
            Level::On
        } else if !self.off_until.reached(now) {
            Level::Off
        } else {
            Level::Unknown
        }
    }

    /// Whether it was on at any time in the last `span`.
    pub(super) fn was_on_within(&self, now: Now, span: Duration) -> bool {
        let then = Now { mono: now.mono - span, wall: Timestamp::from_millis(now.wall.as_millis() - millis(span)) };
        let began = self.on_from <= now.mono && self.on_from < self.on_until.mono; // a delay may never have been over
        began && (self.said == Say::On || !self.on_until.reached(then))
    }

    /// When it was last confirmed by its broker.
    #[must_use]
    pub fn heard(&self) -> Mono {
        self.heard
    }

    /// Until when it is on, if nothing more is heard.
    #[must_use]
    pub fn on_until(&self, gap: Gap) -> Deadline {
        self.on_until.at_latest(self.blind(gap))
    }

    /// The end that is known beforehand, if it is on until one.
    pub(super) fn known_end(&self) -> Option<Timestamp> {
        self.until.filter(|_| self.said == Say::On)
    }

    /// When not being heard of ends it. A known end needs no hearing to be right, and what was heard since the gap began
    /// is not older than it.
    fn blind(&self, gap: Gap) -> Mono {
        match self.known_end() {
            _ if self.blind_until == SUSPENDED => SUSPENDED,
            Some(_) => Mono::MAX,
            None if self.heard <= gap.since => self.blind_until.min(gap.ends_shares),
            None => self.blind_until,
        }
    }

    /// When what it says changes next by itself.
    fn next(&self, now: Now, gap: Gap) -> Deadline {
        let mut next = Deadline::NEVER;
        for mono in [self.on_from, self.on_until.mono, self.off_until.mono, self.lease.mono, self.blind(gap)] {
            if mono > now.mono {
                next = next.at_latest(mono);
            }
        }
        // An end that nothing began is forgotten when it passes, before a clock that is set back could bring it near again.
        let alone = self.until.filter(|_| self.said == Say::Unknown).unwrap_or(Timestamp::MAX);
        for wall in [self.on_until.wall, self.off_until.wall, self.lease.wall, alone] {
            if wall > now.wall {
                next.wall = next.wall.min(wall);
            }
        }
        next
    }

    /// Whether nothing can bring it back. A share that only deafness ended waits for the replay that may restore it; one
    /// that its `until` ended waits for a later one, as long as its lease would have lasted.
    fn is_over(&self, now: Now) -> bool {
        let said_enough = self.said == Say::Unknown && self.until.is_none_or(|until| until <= now.wall);
        let over = self.on_until.reached(now) && self.off_until.reached(now);
        over && (said_enough || self.lease.reached(now))
    }

    fn hear(&mut self, now: Now) {
        self.heard = now.mono;
        self.blind_until = Mono::MAX;
    }

    /// Leaves its renewal to the memory of the topic that has just spoken, if the same message again could only renew it:
    /// nothing but the lease ends what was said. Returns the lease in milliseconds.
    pub(super) fn let_renew(&mut self, now: Now, topic: TopicKey) -> Option<u32> {
        let plain = match self.said {
            Say::On => true,
            Say::Off => self.on_until == OVER, // while it holds, a repeat has more to say
            Say::Unknown | Say::Until => false,
        };
        if self.until.is_some() || !plain {
            return None;
        }
        let ttl = u32::try_from(self.lease.mono.since(now.mono).as_millis()).ok()?;
        self.renewed_by = Some(topic);
        Some(ttl)
    }

    /// It was said again then.
    fn renew(&mut self, at: Mono) {
        if at <= self.heard {
            return;
        }
        let lease = Deadline { mono: at + self.lease.mono.since(self.heard), wall: Timestamp::MAX };
        self.lease = lease;
        *(if self.said == Say::On { &mut self.on_until } else { &mut self.off_until }) = lease;
        self.heard = at;
    }

    fn catch_up(&mut self, memory: &Memory) {
        if let Some(at) = self.renewed_by.and_then(|topic| memory.renewed(topic)) {
            self.renew(at);
        }
    }

    /// Itself, with what the memory knows of it.
    pub(super) fn up_to_date(&self, memory: &Memory) -> Share {
        let mut share = self.clone();
        share.catch_up(memory);
        share
    }

    /// Something else than its topic's repeats touches it.
    fn stop_renewal(&mut self, memory: &mut Memory) {
        if let Some((_, at)) = self.renewed_by.take().and_then(|topic| memory.stop(topic)) {
            self.renew(at);
        }
    }

    /// Onto the clocks of another boot: what was measured since the old one becomes a time of day, to be judged again at
    /// each step of the wall clock until a message renews it. `suspend`: the clock cannot be right, so nothing counts
    /// until the broker says it again.
    pub(super) fn rebase(&mut self, saved: Now, suspend: bool, mono: impl Fn(Mono) -> Mono) {
        for end in [&mut self.on_until, &mut self.off_until, &mut self.lease] {
            if end.mono != Mono::MAX && end.mono > saved.mono {
                end.wall = end.wall.min(saved.wall + end.mono.since(saved.mono));
                end.mono = Mono::MAX;
            } else if end.mono != Mono::MAX {
                *end = OVER;
            }
        }
        self.on_from = mono(self.on_from);
        self.heard = mono(self.heard);
        if suspend {
            self.blind_until = SUSPENDED;
        } else if self.blind_until != SUSPENDED {
            self.blind_until = mono(self.blind_until);
        }
    }

    fn is_on_or_will_be(&self, now: Now) -> bool {
        self.said == Say::On && !self.on_until.reached(now)
    }

    fn say(&mut self, now: Now, effect: &Effect<'_>, grace: Duration) {
        let lease = Deadline { mono: now.mono + effect.ttl, wall: Timestamp::MAX };
        match effect.say {
            Say::On => {
                if !self.is_on_or_will_be(now) && self.level(now, Gap::NONE) != Level::On {
                    self.on_from = now.mono + effect.delay;
                }
                self.off_until = self.off_until.at_latest(self.on_from); // when this ends, nothing is known
                self.lease = lease;
                // An end that this very message gives counts also where it has passed: a meeting that was over before it was
                // heard of. Of what an earlier one gave, only what is to come.
                self.until = effect.until.or(self.until.filter(|&until| until > now.wall));
                self.on_until = self.end(now, lease);
            }
            Say::Off => {
                let held = if now.mono >= self.on_from { now.mono + effect.hold } else { now.mono };
                self.on_until = self.ends_by(now, held);
                self.off_until = lease;
                self.lease = lease;
                self.until = effect.until.filter(|&until| until > now.wall);
            }
            Say::Unknown => {
                self.on_until = self.ends_by(now, now.mono + grace);
                self.off_until = self.off_until.at_latest(now.mono + grace);
                self.lease = self.on_until;
                self.until = None;
            }
            Say::Until => return self.attach(now, effect.until),
        }
        self.said = effect.say;
    }

    /// Another end for what was said: earlier, later, or none any more. Wakes a share whose end had passed.
    fn attach(&mut self, now: Now, until: Option<Timestamp>) {
        let coming = until.filter(|&until| until > now.wall);
        let ended = self.on_until.reached(now);
        if self.said == Say::On && !(ended && self.lease.reached(now)) {
            if ended && coming.is_some() {
                self.on_from = now.mono;
            }
            // An end that has passed ends it. No end known any more: the lease counts again, but not for what was over.
            if until.is_some() || !ended {
                self.until = until;
                self.on_until = self.end(now, self.lease);
            }
        } else {
            if self.said == Say::On {
                // Said too long ago to be woken, by this end, a later one, or a wall clock that is set back.
                self.said = Say::Unknown;
                self.on_until = OVER;
            }
            self.until = coming;
            self.lease = Deadline { mono: now.mono + DEFAULT_TTL, wall: Timestamp::MAX };
        }
    }

    /// An end of now or soon. What has ended has, also for a wall clock that is set back later.
    fn ends_by(&self, now: Now, end: Mono) -> Deadline {
        if self.on_until.reached(now) { OVER } else { self.on_until.at_latest(end) }
    }

    /// A known end replaces the lease. It lasts no longer than any lease may: the clock that named it can be wrong by years.
    fn end(&self, now: Now, lease: Deadline) -> Deadline {
        self.until.map_or(lease, |wall| Deadline { mono: now.mono + LONGEST_TTL, wall })
    }
}

/// What a message did to a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It says something else now.
    Changed,
    /// It says the same for longer, or again.
    Renewed,
}

/// All shares of one person.
#[derive(Clone, Debug, Default)]
pub struct Board {
    shares: Vec<Share>,
}

impl Board {
    /// The shares, in the order in which they first appeared.
    #[must_use]
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// A share by its place.
    pub(super) fn share(&self, place: u8) -> Option<&Share> {
        self.shares.get(usize::from(place))
    }

    /// Takes what a message says; returns what that did, and to which share, if there is one.
    ///
    /// # Errors
    /// [`Reason::TooManyShares`] where the person already has [`MAX_SHARES`].
    pub(super) fn apply(
        &mut self,
        now: Now,
        origin: Origin,
        rule: RuleId,
        effect: &Effect<'_>,
        grace: Duration,
        memory: &mut Memory,
    ) -> Result<(Applied, Option<&mut Share>), Reason> {
        let found = self.shares.iter().position(|share| share.is(origin));
        let Some(index) = found else {
            if self.shares.len() >= MAX_SHARES {
                return Err(Reason::TooManyShares);
            }
            if effect.say == Say::Unknown {
                return Ok((Applied::Renewed, None));
            }
            let mut share = Share::new(now, origin, rule, effect);
            share.say(now, effect, grace);
            self.shares.reserve_exact(1); // most people have one or two
            self.shares.push(share);
            return Ok((Applied::Changed, self.shares.last_mut()));
        };
        let share = &mut self.shares[index];
        share.stop_renewal(memory);
        let before = (share.level(now, Gap::NONE), share.said, share.until);
        share.hear(now);
        share.rule = rule;
        share.say(now, effect, grace);
        if (share.level(now, Gap::NONE), share.said, share.until) == before {
            return Ok((Applied::Renewed, Some(share)));
        }
        share.since = now.wall;
        Ok((Applied::Changed, Some(share)))
    }

    /// Whether a share counts for nothing until it is said again.
    pub(super) fn doubts(&self, now: Now, origin: Origin) -> bool {
        self.shares.iter().any(|share| share.is(origin) && share.blind_until == SUSPENDED && !share.is_over(now))
    }

    /// Whether deafness has set an end to a share.
    pub(super) fn is_blinded(&self, origin: Origin) -> bool {
        self.shares.iter().any(|share| share.is(origin) && share.blind_until != Mono::MAX)
    }

    /// A replay equal to what was last heard: no renewal, no revival, but proof that the broker still says so. Returns
    /// whether that lifts an end that deafness had set.
    pub(super) fn confirm(&mut self, now: Now, origin: Origin, memory: &mut Memory) -> bool {
        let Some(share) = self.shares.iter_mut().find(|share| share.is(origin)) else { return false };
        share.stop_renewal(memory);
        let lifted = share.blind_until != Mono::MAX;
        share.hear(now);
        lifted
    }

    /// The replay after a gap is through: what it did not confirm ends at `end`. Returns whether there is any.
    pub(super) fn blind(&mut self, source: SourceId, gap: Mono, end: Mono) -> bool {
        let mut any = false;
        for share in self.shares.iter_mut().filter(|share| share.source == source && share.heard <= gap) {
            any |= share.blind_until > end;
            share.blind_until = share.blind_until.min(end);
        }
        any
    }

    /// Takes a share up that an earlier process had, or another one; what is known already is known better.
    pub(super) fn adopt(&mut self, mut share: Share, names: &RandomState) {
        share.names = names.hash_one((&*share.device, &*share.subject));
        let origin = Origin { signal: share.signal, source: share.source, names: share.names };
        if self.shares.len() < MAX_SHARES && !self.shares.iter().any(|known| known.is(origin)) {
            self.shares.push(share);
        }
    }

    /// Keeps the shares for which `keep` says so; it may change their rule.
    pub(super) fn retain(&mut self, keep: impl FnMut(&mut Share) -> bool) {
        self.shares.retain_mut(keep);
    }

    /// Forgets what is over.
    pub(super) fn expire(&mut self, now: Now, memory: &Memory) {
        for share in self.shares.iter_mut().filter(|share| share.lease.reached(now)) {
            share.catch_up(memory);
        }
        self.shares.retain(|share| !share.is_over(now));
    }

    /// The share that `topic` renewed was last renewed then, and is no more.
    pub(super) fn stop_renewal(&mut self, topic: TopicKey, at: Mono) {
        for share in self.shares.iter_mut().filter(|share| share.renewed_by == Some(topic)) {
            share.renew(at);
            share.renewed_by = None;
        }
    }

    /// No share is renewed by the memory any more.
    pub(super) fn stop_renewals(&mut self, memory: &Memory) {
        for share in &mut self.shares {
            share.catch_up(memory);
            share.renewed_by = None;
        }
    }

    /// When any share changes by itself.
    pub(super) fn next(&self, now: Now, deafness: &Deafness) -> Deadline {
        let each = self.shares.iter().map(|share| share.next(now, deaf(deafness, share.source)));
        each.fold(Deadline::NEVER, Deadline::earlier)
    }
}
