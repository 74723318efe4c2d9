//! Why a connection ended, and how long to wait before the next attempt. Pure: it is handed what happened.

use std::time::Duration;

use super::failure::Cause;

const FIRST_WAIT: Duration = Duration::from_millis(200);
/// While the port refuses: the broker is restarting, and people wait.
const REFUSED_CAP: Duration = Duration::from_secs(4);
const CAP: Duration = Duration::from_secs(30);
/// A connection that lasted so long worked. One that ends sooner is no success: a broker that accepts and drops at once
/// must not be hammered, and a take-over looks like this too.
const LASTED: Duration = Duration::from_secs(10);
/// So many connections closed early by the peer, with nothing else between, are a take-over: mosquitto 2.0.11 does not say
/// so. A broker that restarts refuses its port in between.
const SUSPECT: u32 = 3;
const TAKEN_OVER_FIRST: Duration = Duration::from_secs(30);
const TAKEN_OVER_CAP: Duration = Duration::from_secs(600);
/// After a connection of this length the other client is gone.
pub(super) const AT_PEACE: Duration = Duration::from_secs(300);

/// What follows from a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) wait: Duration,
    /// Another client uses our client id.
    pub(super) taken_over: bool,
}

/// The losses so far.
#[derive(Debug, Default)]
pub(super) struct Losses {
    failures: u32,
    suspects: u32,
    take_overs: u32,
}

impl Losses {
    /// Another client uses our client id, as far as is known.
    pub(super) fn at_war(&self) -> bool {
        self.take_overs > 0
    }

    /// A connection has lasted long enough. `true`: that ends a war.
    pub(super) fn peace(&mut self) -> bool {
        std::mem::take(&mut self.take_overs) > 0
    }

    /// Judges a loss after a connection that `lasted`, or none. `jitter` is from 0 to 1.
    pub(super) fn judge(&mut self, cause: Cause, lasted: Option<Duration>, jitter: f64) -> Verdict {
        if lasted.is_some_and(|lasted| lasted >= LASTED) {
            self.failures = 0;
        }
        if lasted.is_some_and(|lasted| lasted >= AT_PEACE) {
            self.take_overs = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let taken_over = self.is_taken_over(cause, lasted);
        let longest = if taken_over {
            self.take_overs = self.take_overs.saturating_add(1);
            doubled(TAKEN_OVER_FIRST, self.take_overs - 1).min(TAKEN_OVER_CAP)
        } else {
            let cap = if cause == Cause::PortRefuses { REFUSED_CAP } else { CAP };
            doubled(FIRST_WAIT, self.failures).min(cap)
        };
        // A take-over only gets longer by jitter: two bridges must not fall into step, and 30 s is the least.
        let wait = if taken_over { longest.mul_f64(1.0 + jitter / 10.0) } else { longest.mul_f64(0.5 + jitter / 2.0) };
        Verdict { wait: wait.min(TAKEN_OVER_CAP), taken_over }
    }

    fn is_taken_over(&mut self, cause: Cause, lasted: Option<Duration>) -> bool {
        let closed = lasted.filter(|_| cause == Cause::PeerClosed);
        self.suspects = if closed.is_some_and(|lasted| lasted < LASTED) { self.suspects + 1 } else { 0 };
        let known = self.take_overs > 0 && closed.is_some_and(|lasted| lasted < AT_PEACE);
        let told = matches!(cause, Cause::TakenOver | Cause::Twin);
        let taken_over = told || known || self.suspects >= SUSPECT;
        if taken_over {
            self.suspects = 0;
        }
        taken_over
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(12))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Option<Duration> = Some(Duration::from_secs(1));

    #[test]
    fn three_early_ends_by_the_peer_are_a_take_over_and_nothing_may_lie_between() {
        let mut losses = Losses::default();
        for (cause, taken_over) in [
            (Cause::PeerClosed, false),
            (Cause::PeerClosed, false),
            (Cause::Other, false),
            (Cause::PeerClosed, false),
            (Cause::PeerClosed, false),
            (Cause::PeerClosed, true),
        ] {
            assert_eq!(losses.judge(cause, SHORT, 0.0).taken_over, taken_over);
        }
        let mut restarts = Losses::default();
        for _ in 0..20 {
            assert!(!restarts.judge(Cause::PeerClosed, SHORT, 0.0).taken_over);
            assert!(!restarts.judge(Cause::PortRefuses, None, 0.0).taken_over);
        }
        assert!(!Losses::default().judge(Cause::PeerClosed, None, 0.0).taken_over, "no CONNACK, no take-over");
    }

    #[test]
    fn fault_17_take_overs_wait_from_30_s_to_10_min_until_a_connection_lasted_5_min() {
        let mut losses = Losses::default();
        let waits: Vec<u64> = (0..6).map(|_| losses.judge(Cause::TakenOver, SHORT, 0.0).wait.as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 600]);
        let minute = Some(Duration::from_secs(60));
        assert_eq!(losses.judge(Cause::PeerClosed, minute, 1.0).wait.as_secs(), 600, "the war goes on");
        assert!(!losses.judge(Cause::PeerClosed, Some(AT_PEACE), 0.0).taken_over);
        assert_eq!(losses.judge(Cause::TakenOver, SHORT, 0.0).wait.as_secs(), 30);
    }

    /// Two bridges with one client id: whoever connects ends the other's connection. How often, in each ten minutes.
    fn war(mut jitter: impl FnMut() -> f64) -> [u32; 2] {
        let mut bridges = [Losses::default(), Losses::default()];
        let mut due = [0_u64, 37]; // milliseconds
        let mut connected: Option<(usize, u64)> = None;
        let mut fought = [0; 2];
        loop {
            let next = usize::from(due[1] < due[0]);
            let now = due[next];
            let Some(window) = fought.get_mut(usize::try_from(now / 600_000).unwrap()) else { return fought };
            due[next] = u64::MAX;
            if let Some((other, since)) = connected.replace((next, now)) {
                *window += 1;
                let lasted = Duration::from_millis(now - since);
                let verdict = bridges[other].judge(Cause::PeerClosed, Some(lasted), jitter());
                due[other] = now + u64::try_from(verdict.wait.as_millis()).unwrap();
            }
        }
    }

    #[test]
    fn fault_17_two_bridges_with_one_client_id_fight_fifteen_times_in_ten_minutes_and_twice_in_the_next() {
        let mut random = fastrand::Rng::with_seed(17);
        for _ in 0..500 {
            let [first, second] = war(|| random.f64());
            assert!(first <= 15 && second <= 2, "{first} and {second}");
            assert!(first >= 3, "they fight at all");
        }
    }

    #[test]
    fn a_broker_that_accepts_and_drops_is_not_hammered() {
        let mut losses = Losses::default();
        let waits: Vec<u128> = (0..9).map(|_| losses.judge(Cause::Other, SHORT, 1.0).wait.as_millis()).collect();
        assert_eq!(waits, [400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(losses.judge(Cause::Other, Some(LASTED), 1.0).wait.as_millis(), 400);
        let refused = (0..20).map(|_| losses.judge(Cause::PortRefuses, None, 1.0).wait).max();
        assert_eq!(refused, Some(REFUSED_CAP));
    }
}
