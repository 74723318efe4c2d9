//! The only reader of clocks. Everything else is handed a [`Now`] or asks here.
//!
//! Durations run on the clock since boot, which on Linux counts suspend: a session at Graph goes on expiring while a
//! laptop sleeps. Against the sandbox, and only there, the clock can run faster than life, so that a day passes in a
//! test; real sockets, attempts and token lifetimes then still take real time ([`Clock::real`]).

mod timer;

use std::sync::Arc;
use std::time::Duration;

pub use self::timer::Timer;
use crate::presence::{Mono, Now, Timestamp};

/// Reads the clocks and sleeps on them. Cheap to clone; all clones agree.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Scale>);

#[derive(Debug)]
struct Scale {
    speed: u32,
    origin: Now,
}

impl Clock {
    /// The clock of life.
    #[must_use]
    pub fn live() -> Self {
        Clock::faster(1)
    }

    /// From now on `speed` times faster than life; 0 counts as 1. For use against the sandbox only.
    #[must_use]
    pub fn faster(speed: u32) -> Self {
        Clock(Arc::new(Scale { speed: speed.max(1), origin: read() }))
    }

    /// As if it had been made by [`Clock::faster`] at that instant of the clock since boot: processes that are told the
    /// same agree, and one that starts again goes on from where it was.
    #[must_use]
    pub fn faster_since(speed: u32, since: Mono) -> Self {
        let now = read();
        let passed = i64::try_from(now.mono.since(since).as_millis()).unwrap_or(i64::MAX);
        let wall = Timestamp::from_millis(now.wall.as_millis().saturating_sub(passed));
        Clock(Arc::new(Scale { speed: speed.max(1), origin: Now { mono: since, wall } }))
    }

    /// When it began to run faster, on the clock since boot.
    #[must_use]
    pub fn since(&self) -> Mono {
        self.0.origin.mono
    }

    /// How much faster than life.
    #[must_use]
    pub fn speed(&self) -> u32 {
        self.0.speed
    }

    /// Both clocks, sped up.
    #[must_use]
    pub fn now(&self) -> Now {
        let real = read();
        let Scale { speed, origin } = *self.0;
        if speed == 1 {
            return real;
        }
        let passed = real.mono.since(origin.mono) * speed;
        Now { mono: origin.mono + passed, wall: origin.wall + passed }
    }

    /// The clock since boot at its true speed: for token lifetimes, attempts and log limits.
    #[must_use]
    pub fn real(&self) -> Mono {
        read().mono
    }

    /// The wall clock at its true speed: for the ends of tokens.
    #[must_use]
    pub fn real_wall(&self) -> Timestamp {
        read().wall
    }

    /// Microseconds of the clock that stands still in a suspend: service managers stamp their signals with it.
    #[must_use]
    pub fn monotonic_micros(&self) -> u64 {
        monotonic_micros()
    }

    /// How long in real life until `then`.
    #[must_use]
    pub fn until(&self, then: Mono) -> Duration {
        then.since(self.now().mono).div_f64(f64::from(self.0.speed))
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that may")]
fn read() -> Now {
    let wall = match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(span) => i64::try_from(span.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    };
    Now { mono: since_boot(), wall: Timestamp::from_millis(wall) }
}

/// Which boot of the machine the clock since boot counts from; `None` where nobody says, and where it counts from the
/// start of the process.
#[must_use]
pub fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| cfg!(target_os = "linux") && !id.is_empty())
}

#[cfg(target_os = "linux")]
fn monotonic_micros() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_nsec / 1_000).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn monotonic_micros() -> u64 {
    0 // there is no such service manager
}

#[cfg(target_os = "linux")]
fn since_boot() -> Mono {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let millis = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
    Mono::BOOT + Duration::from_millis(seconds * 1000 + millis)
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::disallowed_methods, reason = "the one place that may")]
fn since_boot() -> Mono {
    use std::sync::OnceLock;
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    Mono::BOOT + START.get_or_init(std::time::Instant::now).elapsed()
}
