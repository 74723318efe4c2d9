//! What a tenant's people cost just now, and whether the budget suffices for it.
//!
//! Counted as if nothing were stretched: each session refreshed at 80 % of `max_stale` (Available: of the five minutes
//! after which it fades), and the changes of the last minute. So stretching does not undo its own reason.

use std::time::Duration;

use super::now::Mono;
use super::pair::Presence;
use super::plan::Policy;
use super::session::FADE;

/// Refreshes are counted at this part of the time that a session holds.
const REFRESHED_AT: f64 = 0.8;
/// From this part of the rate on the budget does not suffice …
const SHORT: f64 = 0.9;
/// … until it is down to this.
const ENOUGH: f64 = 0.8;
const SLOT: Duration = Duration::from_secs(10);
const SLOTS: usize = 6;

/// One tenant's load.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    /// Sessions that last for `max_stale`, and those that fade before.
    lasting: u32,
    fading: u32,
    /// Changes sent in each ten seconds of the last minute.
    changes: [u32; SLOTS],
    slot_began: Mono,
    short: bool,
}

impl Load {
    /// What is held for one person is another now.
    pub(super) fn hold(&mut self, before: Option<Presence>, after: Option<Presence>) {
        if let Some(before) = before {
            let count = self.count(before);
            *count = count.saturating_sub(1);
        }
        if let Some(after) = after {
            *self.count(after) += 1;
        }
    }

    fn count(&mut self, presence: Presence) -> &mut u32 {
        if presence == Presence::Available { &mut self.fading } else { &mut self.lasting }
    }

    pub(super) fn changed(&mut self, now: Mono) {
        self.turn(now);
        self.changes[0] += 1;
    }

    fn turn(&mut self, now: Mono) {
        for _ in 0..SLOTS {
            if now.since(self.slot_began) < SLOT {
                return;
            }
            self.changes.rotate_right(1);
            self.changes[0] = 0;
            self.slot_began = self.slot_began + SLOT;
        }
        self.slot_began = now;
    }

    /// Whether the budget did not suffice when it was last asked.
    pub(super) fn was_short(&self) -> bool {
        self.short
    }

    /// Whether the budget does not suffice, at `rate` calls per second; never where nobody would stretch (`can_stretch`).
    pub(super) fn is_short(&mut self, now: Mono, policy: &Policy, rate: f64, can_stretch: bool) -> bool {
        self.turn(now);
        let each = |holds: Duration| 1.0 / (REFRESHED_AT * holds.as_secs_f64());
        let refreshes = f64::from(self.lasting) * each(policy.max_stale)
            + f64::from(self.fading) * each(policy.max_stale.min(FADE));
        let changes = f64::from(self.changes.iter().sum::<u32>()) / (SLOT.as_secs_f64() * 6.0);
        let limit = rate * if self.short { ENOUGH } else { SHORT };
        self.short = can_stretch && refreshes + changes >= limit && refreshes + changes > 0.0;
        self.short
    }
}
