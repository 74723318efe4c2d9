//! What happened, once: the log line and the counter of an event are written together, so that they cannot drift.
//!
//! An event that others can cause at will (a bad message, a lost connection) is counted every time and logged at a
//! bounded rate: the first of its kind at once, then at most one line a minute that says how many there were.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::presence::Mono;

const QUIET: Duration = Duration::from_secs(60);

/// Counters of the process. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Telemetry {
    clock: Clock,
    counts: Arc<Mutex<BTreeMap<(&'static str, &'static str), Count>>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    total: u64,
    unlogged: u64,
    logged: Option<Mono>,
}

impl Telemetry {
    /// Everything at zero.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Telemetry { clock, counts: Arc::default() }
    }

    /// Counts one `event` under `reason`. `Some(n)` if a line about it is due now: it happened `n` times since the last.
    pub fn count(&self, event: &'static str, reason: &'static str) -> Option<u64> {
        let now = self.clock.real();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry((event, reason)).or_default();
        count.total += 1;
        count.unlogged += 1;
        if count.logged.is_some_and(|last| now.since(last) < QUIET) {
            return None;
        }
        count.logged = Some(now);
        Some(std::mem::take(&mut count.unlogged))
    }

    /// How often `event` happened under `reason`.
    #[must_use]
    pub fn total(&self, event: &'static str, reason: &'static str) -> u64 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&(event, reason)).map_or(0, |count| count.total)
    }

    /// All counters: (event, reason, total), in order of name.
    #[must_use]
    pub fn totals(&self) -> Vec<(&'static str, &'static str, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(&(event, reason), count)| (event, reason, count.total)).collect()
    }
}
