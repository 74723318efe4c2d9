//! Whether a broker can be heard. While it cannot, shares from it go on for `blind_hold` and no longer: what happened
//! meanwhile is not known. When it is heard again, its replay of retained messages confirms shares; the rest end when
//! deafness would have ended them. A gap that the MQTT session bridged is none.

use std::time::Duration;

use super::super::action::{Link, SourceId};
use super::super::now::{Mono, Now};
use super::Core;

/// A replay is taken to be through after this, if nobody says so earlier.
const REPLAY: Duration = Duration::from_secs(10);

/// What is known of one broker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Source {
    /// Since when it cannot be heard, or has not yet said everything again.
    gap: Option<Mono>,
    /// When its replay is through at the latest.
    pub(super) replayed_by: Option<Mono>,
}

impl Core {
    /// The link to a broker changed.
    pub fn handle_link(&mut self, now: Now, source: SourceId, link: Link) {
        self.now = now;
        let slot = usize::from(source.0);
        if self.sources.len() <= slot {
            self.sources.resize(slot + 1, Source::default());
            self.deafness.resize(slot + 1, Mono::MAX);
        }
        let state = &mut self.sources[slot];
        match link {
            Link::Down => state.gap = state.gap.or(Some(now.mono)),
            Link::Deaf { since } => state.gap = state.gap.or(Some(since)),
            Link::Up { session_present, expiry } => match state.gap {
                Some(gap) if session_present && now.mono.since(gap) < expiry => state.gap = None,
                Some(_) => state.replayed_by = Some(now.mono + REPLAY),
                None => {}
            },
            Link::Replayed => return self.replayed(source),
        }
        if !matches!(link, Link::Up { .. }) {
            state.replayed_by = None;
        }
        self.deafness[slot] = self.sources[slot].gap.map_or(Mono::MAX, |gap| gap + self.plan.policy.blind_hold);
        self.settle_all();
    }

    /// The broker has said again all that it retains: what it did not confirm ends when deafness would have ended it.
    pub(super) fn replayed(&mut self, source: SourceId) {
        let slot = usize::from(source.0);
        self.sources[slot].replayed_by = None;
        if let Some(gap) = self.sources[slot].gap.take() {
            let end = gap + self.plan.policy.blind_hold;
            for person in &mut self.people {
                person.board.blind(source, gap, end);
            }
        }
        self.deafness[slot] = Mono::MAX;
        self.settle_all();
    }
}
