//! What one tenant allows: a token bucket for the rate, and a gate that shuts for everybody when Graph says stop.
//!
//! Graph counts 1,500 calls of an application in any 30 s. 45/s with a burst of 60 puts at most 45·32 + 60 = 1,500 into
//! any 30 s at Graph even when delays spread by 2 s; so the bucket also starts empty, since a restart inherits what the
//! process before it sent.

use std::time::Duration;

use super::action::{PersonId, Ticket};
use super::backoff::backoff;
use super::now::Mono;

/// Retry-After is honoured up to this, then one call may ask again.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);
/// After this long without a 429 the lowered rate climbs by one step, a twentieth of the full rate.
const QUIET: Duration = Duration::from_secs(30);
/// Failures in a row, from different people, that shut the gate.
const STORM: usize = 5;
/// An application that is refused asks again this often.
const PROBE_EVERY: Duration = Duration::from_secs(300);

/// A rate below this is as good as none: a replica that owns nothing. No quotient of it is out of range.
const SLOWEST: f64 = 1e-6;
const FASTEST: f64 = 1e6;

/// Calls per second, and at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Calls per second.
    pub per_second: f64,
    /// Calls at once.
    pub burst: u32,
}

/// Token bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    full: Rate,
    rate: f64,
    level: f64,
    filled: Mono,
    climbed: Mono,
}

impl Bucket {
    /// Empty at `now`.
    pub(super) fn new(full: Rate, now: Mono) -> Self {
        let full = Rate { per_second: full.per_second.clamp(SLOWEST, FASTEST), ..full };
        Bucket { full, rate: full.per_second, level: 0.0, filled: now, climbed: now }
    }

    pub(super) fn set_rate(&mut self, full: Rate) {
        let full = Rate { per_second: full.per_second.clamp(SLOWEST, FASTEST), ..full };
        let lowered = self.rate / self.full.per_second;
        self.rate = full.per_second * lowered;
        self.full = full;
        self.level = self.level.min(f64::from(full.burst));
    }

    /// Calls per second at present: after a 429 less than the full rate.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    pub(super) fn fill(&mut self, now: Mono) {
        self.level += self.rate * now.since(self.filled).as_secs_f64();
        self.level = self.level.min(f64::from(self.full.burst));
        self.filled = self.filled.max(now);
        while self.rate < self.full.per_second && now.since(self.climbed) >= QUIET {
            self.rate = (self.rate + self.full.per_second * 0.05).min(self.full.per_second);
            self.climbed = self.climbed + QUIET;
        }
    }

    pub(super) fn has_one(&self) -> bool {
        self.level >= 1.0 - 1e-9
    }

    pub(super) fn take(&mut self) {
        self.level = (self.level - 1.0).max(0.0);
    }

    /// When one call is allowed, as of the last [`Bucket::fill`].
    pub(super) fn next(&self) -> Mono {
        self.filled + Duration::from_secs_f64(((1.0 - self.level) / self.rate).max(0.0))
    }

    fn throttle(&mut self, now: Mono) {
        self.level = 0.0;
        self.filled = now;
        self.climbed = now;
        self.rate = (self.rate * 0.7).max(self.full.per_second.min(1.0));
    }
}

/// Whether a tenant is to be called at all.
///
/// ```text
///  open ──429, a storm of failures, application refused──► shut ──its time──► half open: one probe
///   ▲                                                       ▲                      │
///   └──────────── the probe got an answer of Graph's ───────┼──────────────────────┤
///                                                           └── failed, throttled ─┘
/// ```
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    shut_until: Mono,
    half_open: bool,
    probe: Option<Ticket>,
    storms: u32,
    throttles: u32,
    failed: Vec<PersonId>,
}

impl Gate {
    pub(super) fn admits(&self, now: Mono) -> bool {
        now >= self.shut_until && !(self.half_open && self.probe.is_some())
    }

    /// When it could admit; never while a probe is out.
    pub(super) fn next(&self) -> Mono {
        if self.half_open && self.probe.is_some() { Mono::MAX } else { self.shut_until }
    }

    /// Open to everything, not to a probe alone.
    pub(super) fn is_open(&self, now: Mono) -> bool {
        now >= self.shut_until && !self.half_open
    }

    /// When it is open; never while a probe has to show that first.
    pub(super) fn opened(&self) -> Mono {
        if self.half_open { Mono::MAX } else { self.shut_until }
    }

    /// Until when it is shut, if it is.
    pub(super) fn shut(&self, now: Mono) -> Option<Mono> {
        (now < self.shut_until).then_some(self.shut_until)
    }

    pub(super) fn sent(&mut self, ticket: Ticket) {
        if self.half_open {
            self.probe = Some(ticket);
        }
    }

    pub(super) fn shut_until(&mut self, until: Mono) {
        self.shut_until = self.shut_until.max(until);
        self.half_open = true;
        self.probe = None;
    }

    /// Graph answered `ticket`, whatever it said: Graph is there.
    pub(super) fn answered(&mut self, ticket: Ticket) {
        self.failed.clear();
        if self.half_open && self.probe == Some(ticket) {
            self.half_open = false;
            self.probe = None;
            self.storms = 0;
            self.throttles = 0;
        }
    }

    /// A call whose answer nobody waits for any more: was it the probe, another is needed.
    pub(super) fn abandon(&mut self, ticket: Option<Ticket>) {
        if self.probe == ticket {
            self.probe = None;
        }
    }

    pub(super) fn throttled(&mut self, now: Mono, retry_after: Option<Duration>, bucket: &mut Bucket) {
        if self.shut(now).is_none() {
            bucket.throttle(now); // once for all answers to one burst
            self.throttles += 1;
        }
        let guess = backoff(self.throttles, Duration::from_secs(1), Duration::from_secs(60), 0);
        let wait = retry_after.unwrap_or(guess).clamp(Duration::from_secs(1), LONGEST_RETRY_AFTER);
        self.shut_until(now + wait);
    }

    /// A call failed without an answer of Graph's. With fewer than [`STORM`] people due all failures count, else one a person.
    pub(super) fn failed(&mut self, now: Mono, ticket: Ticket, due: usize) {
        if self.half_open {
            if self.probe == Some(ticket) {
                self.storm(now);
            }
            return;
        }
        if due < STORM || !self.failed.contains(&ticket.person) {
            self.failed.push(ticket.person);
        }
        if self.failed.len() >= STORM {
            self.storm(now);
        }
    }

    fn storm(&mut self, now: Mono) {
        self.failed.clear();
        self.storms += 1;
        let wait = backoff(self.storms, Duration::from_secs(1), Duration::from_secs(30), 0);
        self.shut_until(now + wait);
    }

    pub(super) fn application_refused(&mut self, now: Mono) {
        self.shut_until(now + PROBE_EVERY);
    }
}
