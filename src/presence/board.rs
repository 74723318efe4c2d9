//! The shares of one person. A share is one device's say on one signal, over an interval that always ends.
//!
//! Events only move the ends of intervals; what counts at an instant is read off them. So there are no timers here but
//! "when does an interval end next", and a share that nobody renews dies by itself.

use std::time::Duration;

use super::action::SourceId;
use super::now::{Deadline, Mono, Now, Timestamp};
use super::plan::{RuleId, SignalId};
use super::rule::{Effect, Reason, Say};

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
#[derive(Clone, Debug)]
pub struct Share {
    /// The signal.
    pub signal: SignalId,
    /// The broker it came from.
    pub source: SourceId,
    /// The rule that took the message.
    pub rule: RuleId,
    /// The device; with the subject its identity.
    pub device: Box<str>,
    /// The subject as the message named it.
    pub subject: Box<str>,
    /// Since when it has said what it says, for people to read.
    pub since: Timestamp,
    /// On over `[on_from, on_until)`.
    on_from: Mono,
    on_until: Deadline,
    /// Known off until then, where it is not on.
    off_until: Mono,
    /// When it was last confirmed, by a live message or an equal replay.
    heard: Mono,
    /// Ends then at the latest, because its broker could not be heard and the replay did not confirm it.
    blind_until: Mono,
}

impl Share {
    fn new(now: Now, source: SourceId, rule: RuleId, effect: &Effect<'_>) -> Self {
        Share {
            signal: effect.signal,
            source,
            rule,
            device: effect.device.into(),
            subject: effect.subject.into(),
            since: now.wall,
            on_from: Mono::ZERO,
            on_until: Deadline { mono: Mono::ZERO, wall: Timestamp::MAX },
            off_until: Mono::ZERO,
            heard: now.mono,
            blind_until: Mono::MAX,
        }
    }

    fn is(&self, source: SourceId, effect: &Effect<'_>) -> bool {
        self.signal == effect.signal
            && self.source == source
            && *self.device == *effect.device
            && *self.subject == *effect.subject
    }

    /// What it says now, where its broker's deafness ends shares at `deaf`.
    #[must_use]
    pub fn level(&self, now: Now, deaf: Mono) -> Level {
        if now.mono >= self.blind(deaf) {
            Level::Unknown
        } else if now.mono >= self.on_from && !self.on_until.reached(now) {
            Level::On
        } else if now.mono < self.off_until {
            Level::Off
        } else {
            Level::Unknown
        }
    }

    /// Until when it is on, if nothing more is heard.
    #[must_use]
    pub fn on_until(&self, deaf: Mono) -> Deadline {
        self.on_until.at_latest(self.blind(deaf))
    }

    /// A known end on the wall clock needs no hearing to be right.
    fn blind(&self, deaf: Mono) -> Mono {
        if self.on_until.wall == Timestamp::MAX { self.blind_until.min(deaf) } else { Mono::MAX }
    }

    /// When what it says changes next by itself.
    fn next(&self, now: Now, deaf: Mono) -> Deadline {
        let mut next = Deadline::NEVER;
        for mono in [self.on_from, self.on_until.mono, self.off_until, self.blind(deaf)] {
            if mono > now.mono {
                next = next.at_latest(mono);
            }
        }
        if self.on_until.wall > now.wall {
            next.wall = self.on_until.wall;
        }
        next
    }

    /// Whether nothing can bring it back: a share that only deafness ended is kept for the replay that may restore it.
    fn is_over(&self, now: Now) -> bool {
        self.on_until.reached(now) && now.mono >= self.off_until
    }

    fn hear(&mut self, now: Now) {
        self.heard = now.mono;
        self.blind_until = Mono::MAX;
    }

    fn say(&mut self, now: Now, say: Say, ttl: Duration, grace: Duration) {
        match say {
            Say::On => {
                if self.on_until.reached(now) || self.on_from > now.mono {
                    self.on_from = now.mono;
                }
                self.on_until = Deadline { mono: now.mono + ttl, wall: Timestamp::MAX };
                self.off_until = Mono::ZERO;
            }
            Say::Off => {
                self.on_until = Deadline { mono: now.mono.min(self.on_until.mono), wall: Timestamp::MAX };
                self.off_until = now.mono + ttl;
            }
            Say::Unknown => {
                self.on_until = self.on_until.at_latest(now.mono + grace);
                self.off_until = self.off_until.min(now.mono + grace);
            }
        }
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

/// For each broker: when its deafness ends shares; [`Mono::MAX`] while it is heard.
pub(super) type Deafness = [Mono];

pub(super) fn deaf(deafness: &Deafness, source: SourceId) -> Mono {
    deafness.get(usize::from(source.0)).copied().unwrap_or(Mono::MAX)
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

    /// Takes what a message says.
    ///
    /// # Errors
    /// [`Reason::TooManyShares`] where the person already has [`MAX_SHARES`].
    pub(super) fn apply(
        &mut self,
        now: Now,
        source: SourceId,
        rule: RuleId,
        effect: &Effect<'_>,
        grace: Duration,
    ) -> Result<Applied, Reason> {
        let found = self.shares.iter().position(|share| share.is(source, effect));
        let Some(index) = found else {
            if self.shares.len() >= MAX_SHARES {
                return Err(Reason::TooManyShares);
            }
            if effect.say == Say::Unknown {
                return Ok(Applied::Renewed);
            }
            let mut share = Share::new(now, source, rule, effect);
            share.say(now, effect.say, effect.ttl, grace);
            self.shares.push(share);
            return Ok(Applied::Changed);
        };
        let share = &mut self.shares[index];
        let before = share.level(now, Mono::MAX);
        share.hear(now);
        share.rule = rule;
        share.say(now, effect.say, effect.ttl, grace);
        if share.level(now, Mono::MAX) == before {
            return Ok(Applied::Renewed);
        }
        share.since = now.wall;
        Ok(Applied::Changed)
    }

    /// A replay equal to what was last heard: no renewal, no revival, but proof that the broker still says so.
    pub(super) fn confirm(&mut self, now: Now, source: SourceId, effect: &Effect<'_>) {
        if let Some(share) = self.shares.iter_mut().find(|share| share.is(source, effect)) {
            share.hear(now);
        }
    }

    /// The replay after a gap is through: what it did not confirm ends at `end`.
    pub(super) fn blind(&mut self, source: SourceId, gap: Mono, end: Mono) {
        for share in self.shares.iter_mut().filter(|share| share.source == source && share.heard <= gap) {
            share.blind_until = share.blind_until.min(end);
        }
    }

    /// Keeps the shares for which `keep` says so; it may change their rule.
    pub(super) fn retain(&mut self, keep: impl FnMut(&mut Share) -> bool) {
        self.shares.retain_mut(keep);
    }

    /// Forgets what is over.
    pub(super) fn expire(&mut self, now: Now) {
        self.shares.retain(|share| !share.is_over(now));
    }

    /// When any share changes by itself.
    pub(super) fn next(&self, now: Now, deafness: &Deafness) -> Deadline {
        let each = self.shares.iter().map(|share| share.next(now, deaf(deafness, share.source)));
        each.fold(Deadline::NEVER, Deadline::earlier)
    }
}
