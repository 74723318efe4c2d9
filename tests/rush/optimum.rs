//! How few lapses a gate in the rush leaves possible, worked out without the core: from who was set when, the time the gate
//! opens, and the budget.
//!
//! Each session that was set before the gate is a job of one call, to be sent after its release and before its deadline.
//! The budget is a row of instants at each of which one call may go. Serving at each instant the released job with the
//! earliest deadline, and dropping what is past it, does the most jobs of unit length that any order could: wherever another
//! order serves a later deadline at an instant, the two can be exchanged and nothing becomes late.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::SECOND;

/// Milliseconds, as the office counts them.
pub struct Gate {
    /// When the 429 was received: the bucket is empty then, and the rate falls by 30 %.
    pub told: u64,
    pub opens: u64,
}

impl Gate {
    /// The instants until `end` at which the budget lets a call go: 45 a second and a burst of 60, of which 70 % are left
    /// after a 429 and a twentieth comes back every 30 s without another.
    pub fn instants(&self, end: u64) -> Vec<u64> {
        let mut instants = Vec::new();
        let mut level: f64 = 0.0;
        for ms in self.told + 1..end {
            let steps = (ms - self.told) / (30 * SECOND);
            level += 0.045 * (0.7 + 0.05 * steps as f64).min(1.0);
            if ms < self.opens {
                level = level.min(60.0);
                continue;
            }
            while level >= 1.0 {
                level -= 1.0;
                instants.push(ms);
            }
        }
        instants
    }
}

/// Release and deadline.
pub type Job = (u64, u64);

/// How many of the jobs are late at least, where a call may go at these instants only. All in ascending order.
pub fn fewest_late(jobs: &[Job], instants: impl Iterator<Item = u64>) -> usize {
    let mut coming = jobs.iter().copied().peekable();
    let mut released = BinaryHeap::new();
    let mut done = 0;
    for now in instants {
        while let Some((_, deadline)) = coming.next_if(|&(release, _)| release <= now) {
            released.push(Reverse(deadline));
        }
        while released.peek().is_some_and(|&Reverse(deadline)| deadline <= now) {
            released.pop();
        }
        done += usize::from(released.pop().is_some());
    }
    jobs.len() - done
}

#[test]
fn the_fewest_is_as_by_hand() {
    assert_eq!(fewest_late(&[(0, 2), (0, 2), (0, 2)], 0..9), 1, "three jobs, two instants");
    assert_eq!(fewest_late(&[(0, 9), (3, 4), (3, 5)], 3..9), 0, "the earliest deadline first");
    assert_eq!(fewest_late(&[(0, 3), (5, 6)], [3, 5].into_iter()), 1, "too late is dropped, and costs no call");
    let gate = Gate { told: 0, opens: 60 * SECOND };
    let instants = gate.instants(70 * SECOND);
    // The bucket is full at the opening; then 36 a second.
    assert!((419..=421).contains(&instants.len()), "{}", instants.len());
}
