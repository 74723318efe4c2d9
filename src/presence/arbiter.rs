//! From the shares of a person to what the person should show, and because of which share.

use super::board::{Board, Deafness, Level, deaf};
use super::now::Now;
use super::pair::Presence;
use super::plan::Plan;

/// What the shares add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Some live share is on with a pair.
    Taken,
    /// None such, and at least one says off.
    Free,
    /// Nobody says anything: a dead sensor is not a free person.
    #[default]
    Unknown,
}

/// The decision for one person at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The pair to show; `None` for no session of ours.
    pub wanted: Option<Presence>,
    /// The share that decided, by its place on the board.
    pub because: Option<u8>,
    /// Taken, free or unknown.
    pub standing: Standing,
}

/// The first live signal in the order of priority decides; within a signal the share that is there longest.
pub(super) fn decide(plan: &Plan, board: &Board, now: Now, deafness: &Deafness) -> Verdict {
    let mut best: Option<(u16, u8, Presence)> = None;
    let mut free = false;
    for (index, share) in (0..).zip(board.shares()) {
        let pair = plan.signals.get(usize::from(share.signal.0)).and_then(|signal| signal.presence);
        match (share.level(now, deaf(deafness, share.source)), pair) {
            (Level::On, Some(pair)) if best.is_none_or(|(signal, ..)| share.signal.0 < signal) => {
                best = Some((share.signal.0, index, pair));
            }
            (Level::Off, _) => free = true,
            _ => {}
        }
    }
    match best {
        Some((_, index, pair)) => Verdict { wanted: Some(pair), because: Some(index), standing: Standing::Taken },
        None if free => Verdict { wanted: plan.policy.when_free, because: None, standing: Standing::Free },
        None => Verdict::default(),
    }
}
