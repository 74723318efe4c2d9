//! Whether a broker can be heard. While it cannot, shares from it go on for `blind_hold` and no longer: what happened
//! meanwhile is not known. When it is heard again, its replay of retained messages confirms shares; the rest end when
//! deafness would have ended them. A gap that the MQTT session bridged is none, but what the broker kept for us is as old
//! as the gap.

use std::time::Duration;

use super::super::action::{Link, SourceId};
use super::super::board::Gap;
use super::super::now::{Mono, Now};
use super::restart::AWAITED;
use super::{Core, id_of, source_id};

/// A replay is taken to be through after this, if nobody says so earlier.
const REPLAY: Duration = Duration::from_secs(10);

/// What is known of one broker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Source {
    /// It cannot be heard, or has not yet said everything again.
    pub(super) gap: Option<Gap>,
    /// When its replay is through at the latest.
    replayed_by: Option<Mono>,
    /// Since when messages may have waited at the broker that come now.
    pub(super) backlog: Option<Mono>,
    /// After a restart: until when its first connection is awaited before anybody is set from what was known before.
    pub(super) awaited_until: Option<Mono>,
}

impl Source {
    pub(super) fn wake(&self) -> Mono {
        self.replayed_by.unwrap_or(Mono::MAX).min(self.awaited_until.unwrap_or(Mono::MAX))
    }

    /// Since when it has not been heard in full; a gap that the session bridged lasts until its replay is through.
    pub(super) fn unheard_since(&self) -> Option<Mono> {
        self.gap.map(|gap| gap.since).or(self.backlog)
    }

    /// Until when a share that was last confirmed at `heard` is too old to set anybody from.
    pub(super) fn hearsay(&self, heard: Mono) -> Option<Mono> {
        let gap = self.gap.filter(|gap| heard <= gap.since)?;
        let until = self.replayed_by.or(self.awaited_until)?;
        Some(until.max(gap.since))
    }

    /// Until when a person who was stirred last at `stirred` is left as they are: what comes now may be old, and the newest of
    /// it may not have come yet. A broker that kept the oldest thousand messages says the last state of each topic behind them.
    pub(super) fn unsettled(&self, stirred: Mono) -> Option<Mono> {
        let by = self.replayed_by.filter(|_| self.backlog.is_some())?;
        (stirred >= by - REPLAY).then_some(by)
    }
}

impl Core {
    /// The link to a broker changed.
    pub fn handle_link(&mut self, now: Now, source: SourceId, link: Link) {
        self.tick(now);
        self.unsaved.rest();
        self.stop_renewals();
        let blind_hold = self.plan.policy.blind_hold;
        let state = self.source(source);
        let begins = |since: Mono| Gap { since, ends_shares: since + blind_hold };
        // A gap that the session bridged is over when its replay is through, and goes on where that never came.
        let bridged = state.backlog;
        if !matches!(link, Link::Up { .. }) {
            state.replayed_by = None;
            state.backlog = None;
        }
        match link {
            Link::Down => state.gap = state.gap.or(Some(begins(bridged.unwrap_or(now.mono)))),
            Link::Deaf { since } => state.gap = state.gap.or(Some(begins(bridged.unwrap_or(since).min(since)))),
            Link::Slept { since } => {
                state.gap = state.gap.or(Some(begins(bridged.unwrap_or(since).min(since))));
                state.awaited_until = Some(now.mono + AWAITED);
            }
            Link::Up { session_present, expiry } => {
                state.awaited_until = None;
                if let Some(gap) = state.gap {
                    state.replayed_by = Some(now.mono + REPLAY);
                    if session_present && now.mono.since(gap.since) < expiry {
                        state.gap = None;
                        state.backlog = Some(gap.since);
                    }
                }
            }
            Link::Replayed => return self.replayed(source),
        }
        self.deafness[usize::from(source.0)] = self.sources[usize::from(source.0)].gap.unwrap_or(Gap::NONE);
        self.settle_all();
    }

    /// What is known of a broker; room for it is made.
    pub(super) fn source(&mut self, source: SourceId) -> &mut Source {
        let slot = usize::from(source.0);
        if self.sources.len() <= slot {
            self.sources.resize(slot + 1, Source::default());
            self.deafness.resize(slot + 1, Gap::NONE);
        }
        &mut self.sources[slot]
    }

    /// Replays that took too long are taken to be through; brokers that did not come in time are not awaited any more.
    pub(super) fn hear_out(&mut self) {
        let now = self.now.mono;
        for slot in 0..self.sources.len() {
            if self.sources[slot].replayed_by.is_some_and(|by| now >= by) {
                self.replayed(source_id(slot));
            }
            if self.sources[slot].awaited_until.is_some_and(|until| now >= until) {
                self.sources[slot].awaited_until = None;
                self.settle_all();
            }
        }
    }

    /// The broker has said again all that it retains: what it did not confirm ends when deafness would have ended it.
    fn replayed(&mut self, source: SourceId) {
        let state = self.source(source);
        state.replayed_by = None;
        state.backlog = None;
        if let Some(gap) = state.gap.take() {
            for (slot, person) in self.people.iter_mut().enumerate() {
                if person.board.blind(source, gap.since, gap.ends_shares) {
                    self.unsaved.person(id_of(slot));
                }
            }
        }
        self.unsaved.rest();
        self.deafness[usize::from(source.0)] = Gap::NONE;
        self.settle_all();
    }
}
