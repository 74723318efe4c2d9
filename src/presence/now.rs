//! Time as the core is told it. Plain values: nothing here reads a clock.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds, suspend included, since long before the machine was started: at boot it reads [`Mono::BOOT`] (Linux:
/// `CLOCK_BOOTTIME` and so much more). All durations are measured on it. What an earlier boot left behind thus has a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mono(u64);

impl Mono {
    /// Earlier than every real instant.
    pub const ZERO: Mono = Mono(0);
    /// The moment of boot.
    pub const BOOT: Mono = Mono(1 << 41);
    /// Later than every real instant; "never".
    pub const MAX: Mono = Mono(u64::MAX);

    /// From milliseconds since [`Mono::ZERO`].
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Mono(millis)
    }

    /// Milliseconds since [`Mono::ZERO`].
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to here; zero where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Mono) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;

    /// Saturates at [`Mono::MAX`]; part milliseconds are rounded up, so that a deadline is never early.
    fn add(self, span: Duration) -> Mono {
        let millis = span.as_nanos().div_ceil(1_000_000);
        Mono(self.0.saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Mono {
    type Output = Mono;

    /// Saturates at [`Mono::ZERO`].
    fn sub(self, span: Duration) -> Mono {
        Mono(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Wall-clock time: milliseconds since the Unix epoch, UTC. For calendar times and for showing, never for durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Later than every real instant; "never".
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Time from `earlier` to here; zero where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Timestamp) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(if millis < 0 { 0 } else { millis.unsigned_abs() })
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    /// Saturates at [`Timestamp::MAX`].
    fn add(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// A duration as people write it (`30m`, `1h 30m`, `2d`) or in ISO 8601 (`PT30M`, `P2D`). A day is 24 hours. `None` for
/// anything else, months and negative ones included.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.trim().parse().ok()?;
    let span = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(span).ok()
}

/// One reading of both clocks, taken once for each event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For durations.
    pub mono: Mono,
    /// For calendar times and for people.
    pub wall: Timestamp,
}

/// When the core wants to be woken: at whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// On the clock since boot; [`Mono::MAX`] for never.
    pub mono: Mono,
    /// On the wall clock, to be judged again after each of its steps; [`Timestamp::MAX`] for never.
    pub wall: Timestamp,
}

impl Deadline {
    /// No deadline at all.
    pub const NEVER: Deadline = Deadline { mono: Mono::MAX, wall: Timestamp::MAX };

    /// Whether either clock has reached it.
    #[must_use]
    pub fn reached(self, now: Now) -> bool {
        now.mono >= self.mono || now.wall >= self.wall
    }

    /// The earlier on each clock.
    #[must_use]
    pub fn earlier(self, other: Deadline) -> Deadline {
        Deadline { mono: self.mono.min(other.mono), wall: self.wall.min(other.wall) }
    }

    /// No later than `mono` on the clock since boot.
    #[must_use]
    pub fn at_latest(self, mono: Mono) -> Deadline {
        Deadline { mono: self.mono.min(mono), wall: self.wall }
    }
}
