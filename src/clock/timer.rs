//! Sleeps until a deadline on either clock. The runtime's own timer counts neither suspend nor a step of the wall clock:
//! a laptop that slept for an hour would refresh an hour late, and a meeting would end when the wrong clock said so.
//!
//! On Linux two kernel timers do it: one on the clock since boot, which fires on resume, and one on the wall clock, which
//! fires as well when somebody sets that clock. Elsewhere, or where the kernel refuses them, [`LOOK`] bounds the error.

use std::future::pending;
use std::time::Duration;

use super::Clock;
use crate::presence::{Deadline, Mono, Timestamp};

/// Without kernel timers: look at the clocks at least this often.
const LOOK: Duration = Duration::from_secs(5);

/// One sleeper's timer. Setting it costs a system call only where the deadline is another one than last time.
#[derive(Debug)]
pub struct Timer {
    clock: Clock,
    #[cfg(target_os = "linux")]
    kernel: Option<linux::Timers>,
}

impl Timer {
    pub(super) fn new(clock: Clock) -> Self {
        #[cfg(target_os = "linux")]
        let kernel = linux::Timers::new().inspect_err(|error| tracing::warn!(%error, "No kernel timers.")).ok();
        Timer {
            clock,
            #[cfg(target_os = "linux")]
            kernel,
        }
    }

    /// Returns at the deadline, after a step of the wall clock, or earlier: the caller reads the clocks and judges. Safe to
    /// cancel.
    pub async fn until(&mut self, deadline: Deadline) {
        #[cfg(target_os = "linux")]
        if let Some(timers) = &mut self.kernel {
            match timers.until(self.clock.in_life(deadline)).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "Kernel timers fail; looking at the clocks every 5 s instead."),
            }
            self.kernel = None;
        }
        if deadline == Deadline::NEVER {
            return pending().await;
        }
        let life = self.clock.in_life(deadline);
        let now = super::read();
        let mut span = life.mono.since(now.mono).min(LOOK);
        if life.wall != Timestamp::MAX {
            span = span.min(life.wall.since(now.wall));
        }
        tokio::time::sleep(span).await;
    }
}

impl Clock {
    /// A timer on this clock.
    #[must_use]
    pub fn timer(&self) -> Timer {
        Timer::new(self.clone())
    }

    /// A deadline of this clock on the clocks of life. A clock that runs faster has no wall clock of its own to be set,
    /// so there everything becomes a deadline on the clock since boot.
    fn in_life(&self, deadline: Deadline) -> Deadline {
        let super::Scale { speed, origin } = *self.0;
        if speed == 1 {
            return deadline;
        }
        let mut mono = Mono::MAX;
        if deadline.mono != Mono::MAX {
            mono = origin.mono + deadline.mono.since(origin.mono) / speed;
        }
        if deadline.wall != Timestamp::MAX {
            mono = mono.min(origin.mono + deadline.wall.since(origin.wall) / speed);
        }
        Deadline { mono, wall: Timestamp::MAX }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    //! `timerfd_create(2)`.

    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
    use tokio::io::unix::AsyncFd;

    use crate::presence::{Deadline, Mono};

    /// The year 2200.
    const FAR_AWAY: i64 = 7_258_118_400_000;

    #[derive(Debug)]
    pub(super) struct Timers {
        boot: AsyncFd<OwnedFd>,
        wall: AsyncFd<OwnedFd>,
        /// What they are set to; `None` after they fired.
        set: Option<Deadline>,
    }

    impl Timers {
        #[allow(deprecated, reason = "what is unsound about it cannot happen with an OwnedFd; its successor is unsafe")]
        pub(super) fn new() -> io::Result<Timers> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = |clock| AsyncFd::new(rustix::time::timerfd_create(clock, flags)?);
            Ok(Timers { boot: timer(TimerfdClockId::Boottime)?, wall: timer(TimerfdClockId::Realtime)?, set: None })
        }

        pub(super) async fn until(&mut self, deadline: Deadline) -> io::Result<()> {
            if self.set != Some(deadline) {
                self.arm(deadline)?;
            }
            tokio::select! {
                fired = fired(&self.boot) => fired?,
                fired = fired(&self.wall) => fired?,
            }
            self.set = None;
            Ok(())
        }

        fn arm(&mut self, deadline: Deadline) -> io::Result<()> {
            self.set = None;
            let since_boot = deadline.mono.since(Mono::BOOT).as_millis();
            let boot = (deadline.mono != Mono::MAX).then(|| i64::try_from(since_boot).unwrap_or(i64::MAX));
            settime(&self.boot, TimerfdTimerFlags::ABSTIME, boot)?;
            // Always set, since only a timer that is set is cancelled by a step.
            let wall = deadline.wall.as_millis().min(FAR_AWAY);
            settime(&self.wall, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, Some(wall))?;
            self.set = Some(deadline);
            Ok(())
        }
    }

    /// `None` disarms. All zeros would, too, so that a deadline long past is the first nanosecond instead.
    fn settime(timer: &AsyncFd<OwnedFd>, flags: TimerfdTimerFlags, millis: Option<i64>) -> io::Result<()> {
        let it_value = millis.map_or(Timespec { tv_sec: 0, tv_nsec: 0 }, |millis| {
            let millis = millis.max(0);
            let tv_nsec = millis % 1000 * 1_000_000;
            Timespec { tv_sec: millis / 1000, tv_nsec: if millis == 0 { 1 } else { tv_nsec } }
        });
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        rustix::time::timerfd_settime(timer, flags, &once)?;
        Ok(())
    }

    async fn fired(timer: &AsyncFd<OwnedFd>) -> io::Result<()> {
        loop {
            let mut ready = timer.readable().await?;
            let mut count = [0; 8];
            match rustix::io::read(timer, &mut count) {
                // Cancelled: the wall clock was set.
                Ok(_) | Err(rustix::io::Errno::CANCELED) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(clock: &Clock, millis: u64) -> Deadline {
        Deadline { mono: clock.now().mono + Duration::from_millis(millis), wall: Timestamp::MAX }
    }

    #[tokio::test]
    async fn it_fires_at_the_deadline_on_either_clock_and_not_before() {
        let clock = Clock::live();
        let mut timer = clock.timer();
        for wall in [false, true] {
            let start = clock.now();
            let span = Duration::from_millis(30);
            let deadline = match wall {
                false => at(&clock, 30),
                true => Deadline { mono: Mono::MAX, wall: start.wall + span },
            };
            timer.until(deadline).await;
            assert!(deadline.reached(clock.now()), "too early");
        }
    }

    #[tokio::test]
    async fn what_is_past_fires_at_once_and_an_earlier_deadline_replaces_a_later_one() {
        let clock = Clock::live();
        let mut timer = clock.timer();
        timer.until(Deadline { mono: Mono::ZERO, wall: Timestamp::MAX }).await;
        timer.until(Deadline { mono: Mono::MAX, wall: Timestamp::from_millis(-1) }).await;
        let hour = at(&clock, 3_600_000);
        assert!(tokio::time::timeout(Duration::from_millis(20), timer.until(hour)).await.is_err());
        timer.until(at(&clock, 20)).await;
    }

    #[tokio::test]
    async fn a_faster_clock_sleeps_less() {
        let clock = Clock::faster(1000);
        let start = clock.real();
        clock.timer().until(at(&clock, 60_000)).await; // a minute is 60 ms
        assert!(clock.real().since(start) < Duration::from_secs(30));
    }
}
