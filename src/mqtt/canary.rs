//! Whether a broker lets us hear: we publish to ourselves and wait for the echo. A broker can grant every subscription
//! and deliver nothing, and answer every ping meanwhile (Debian's mosquitto under an ACL file does), so that nothing less
//! than a message that comes back is a proof. Pure: time in, actions out.
//!
//! ```text
//!  away ──subscribed──► waiting ──echo──► resting ──30 s──► waiting
//!                        │  ▲                                │
//!                        │  └──────── 10 s, once more ───────┘
//!                        └─ 10 s again ─► deaf: subscribe and try every 3 s until the echo
//! ```
//!
//! The echo of a canary that was published after a subscription also says that the replay of retained messages is
//! through: at QoS 1 it stands behind them in the broker's queue.

use std::time::Duration;

use crate::presence::Mono;

/// An echo that takes longer is missed. Long enough for a link that loses packets.
const PATIENCE: Duration = Duration::from_secs(10);
/// While deaf. What was withheld is heard within five seconds of its return.
const DEAF_EVERY: Duration = Duration::from_secs(3);
/// While we hold back acknowledgements, so that the echo may wait behind our own slowness.
const RECHECK: Duration = Duration::from_secs(1);

/// What the canary asks for, or found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Publish this to our topic.
    Say(String),
    /// Subscribe to everything again.
    Subscribe,
    /// Nothing is heard any more.
    Deaf,
    /// All retained messages of the last subscription are through; whoever was deaf hears again.
    Replayed,
    /// Our own topic was never heard, or other topics are heard and ours is not.
    Unheard,
    /// Our own topic is heard, against the last [`Act::Unheard`].
    Heard,
    /// Another bridge uses our topic, and so our client id.
    Twin,
}

/// The canary of one link.
#[derive(Debug)]
pub(super) struct Canary {
    /// Who we are, over restarts.
    id: String,
    /// `id` is the same after a restart, so that another one is another bridge.
    kept: bool,
    /// Of this process.
    nonce: u64,
    every: Duration,
    serial: u64,
    state: State,
    /// The first canary after the last subscription, as long as its echo is awaited.
    replay: Option<u64>,
    ever_heard: bool,
    unheard: bool,
    deaf: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not connected, or not yet subscribed.
    Away,
    Resting {
        until: Mono,
    },
    Waiting {
        serial: u64,
        by: Mono,
        /// When the first of two was published.
        since: Mono,
        again: bool,
    },
}

impl Canary {
    pub(super) fn new(id: String, kept: bool, nonce: u64, every: Duration) -> Self {
        Canary {
            id,
            kept,
            nonce,
            every,
            serial: 0,
            state: State::Away,
            replay: None,
            ever_heard: false,
            unheard: false,
            deaf: false,
        }
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// When [`Canary::timeout`] has something to do.
    pub(super) fn wake(&self) -> Mono {
        match self.state {
            State::Away => Mono::MAX,
            State::Resting { until } => until,
            State::Waiting { by, .. } => by,
        }
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) {
        self.state = State::Away;
        self.replay = None;
        self.deaf = false;
    }

    /// Everything is subscribed.
    pub(super) fn subscribed(&mut self, now: Mono) -> Vec<Act> {
        self.replay = Some(self.serial + 1);
        vec![self.say(now, now, false)]
    }

    fn say(&mut self, now: Mono, since: Mono, again: bool) -> Act {
        self.serial += 1;
        let by = now + if self.deaf { DEAF_EVERY } else { PATIENCE };
        self.state = State::Waiting { serial: self.serial, by, since, again };
        Act::Say(format!("{} {:016x} {}", self.id, self.nonce, self.serial))
    }

    /// `held_back`: messages that wait for our acknowledgement fill the window. `heard`: when any message came last.
    pub(super) fn timeout(&mut self, now: Mono, held_back: bool, heard: Mono) -> Vec<Act> {
        match self.state {
            State::Resting { until } if now >= until => vec![self.say(now, now, false)],
            State::Waiting { serial, by, since, again } if now >= by => {
                if held_back {
                    self.state = State::Waiting { serial, by: now + RECHECK, since, again };
                    return Vec::new();
                }
                if self.deaf {
                    self.state = State::Waiting { serial, by: now + DEAF_EVERY, since, again };
                    return vec![Act::Subscribe];
                }
                if !again {
                    return vec![self.say(now, since, true)];
                }
                self.missed(now, since, heard)
            }
            _ => Vec::new(),
        }
    }

    fn missed(&mut self, now: Mono, since: Mono, heard: Mono) -> Vec<Act> {
        if self.ever_heard && heard < since {
            self.deaf = true;
            self.state = State::Waiting { serial: self.serial, by: now + DEAF_EVERY, since, again: true };
            return vec![Act::Deaf, Act::Subscribe];
        }
        // Our topic is withheld, which says nothing of the others.
        self.state = State::Resting { until: now + self.every };
        self.replay = None;
        if std::mem::replace(&mut self.unheard, true) { Vec::new() } else { vec![Act::Unheard] }
    }

    /// A message on our topic.
    pub(super) fn heard(&mut self, now: Mono, payload: &[u8]) -> Vec<Act> {
        let Some((id, nonce, serial)) = read(payload) else { return Vec::new() };
        if id != self.id {
            // Without a kept id it may be ours, from before a restart. And before our own first echo it may be what the MQTT
            // session kept of one who went: a bridge whose state directory is new.
            return if self.kept && self.ever_heard { vec![Act::Twin] } else { Vec::new() };
        }
        if nonce != self.nonce || serial > self.serial {
            return Vec::new();
        }
        self.ever_heard = true;
        let mut acts = Vec::new();
        if std::mem::take(&mut self.unheard) {
            acts.push(Act::Heard);
        }
        if self.replay.is_some_and(|first| serial >= first) {
            self.replay = None;
            self.deaf = false;
            acts.push(Act::Replayed);
        }
        if matches!(self.state, State::Waiting { serial: awaited, .. } if awaited == serial) && !self.deaf {
            self.state = State::Resting { until: now + self.every };
        }
        acts
    }
}

fn read(payload: &[u8]) -> Option<(&str, u64, u64)> {
    let text = std::str::from_utf8(payload).ok()?;
    let mut words = text.split(' ');
    let (id, nonce, serial) = (words.next()?, words.next()?, words.next()?);
    Some((id, u64::from_str_radix(nonce, 16).ok()?, serial.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(30);

    fn canary() -> Canary {
        Canary::new("us".to_owned(), true, 7, EVERY)
    }

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(1_000_000 + seconds * 1_000)
    }

    /// Publishes, and gives the payload.
    fn said(acts: &[Act]) -> Vec<u8> {
        let [Act::Say(payload)] = acts else { panic!("not one canary: {acts:?}") };
        payload.clone().into_bytes()
    }

    #[test]
    fn an_echo_after_a_subscription_is_the_end_of_the_replay_and_the_next_is_nothing() {
        let mut canary = canary();
        let payload = said(&canary.subscribed(at(0)));
        assert_eq!(canary.heard(at(1), &payload), [Act::Replayed]);
        assert_eq!(canary.wake(), at(31));
        let payload = said(&canary.timeout(at(31), false, at(1)));
        assert_eq!(canary.heard(at(31), &payload), []);
        assert_eq!(canary.wake(), at(61));
    }

    #[test]
    fn two_echoes_missed_are_deafness_and_it_is_tried_every_three_seconds_until_one_comes() {
        let mut canary = canary();
        let payload = said(&canary.subscribed(at(0)));
        canary.heard(at(0), &payload);
        said(&canary.timeout(at(30), false, at(0)));
        said(&canary.timeout(at(40), false, at(0)));
        assert_eq!(canary.timeout(at(49), false, at(0)), []);
        assert_eq!(canary.timeout(at(50), false, at(0)), [Act::Deaf, Act::Subscribe]);
        assert!(canary.is_deaf());
        let late = said(&canary.subscribed(at(50)));
        assert_eq!(canary.timeout(at(53), false, at(0)), [Act::Subscribe]);
        assert_eq!(canary.wake(), at(56), "also if no SUBACK comes");
        let payload = said(&canary.subscribed(at(54)));
        assert_eq!(canary.heard(at(54), &late), [], "said before the last subscription");
        assert_eq!(canary.heard(at(55), &payload), [Act::Replayed]);
        assert!(!canary.is_deaf());
        assert_eq!(canary.wake(), at(85));
    }

    #[test]
    fn the_second_of_two_makes_up_for_the_first() {
        let mut canary = canary();
        let first = said(&canary.subscribed(at(0)));
        let second = said(&canary.timeout(at(10), false, at(0)));
        assert_eq!(canary.heard(at(11), &first), [Act::Replayed], "late, and heard all the same");
        assert_eq!(canary.wake(), at(20), "the second is still awaited");
        assert_eq!(canary.heard(at(12), &second), []);
        assert_eq!(canary.wake(), at(42));
    }

    #[test]
    fn a_topic_never_heard_is_told_once_and_is_no_deafness() {
        let mut canary = canary();
        said(&canary.subscribed(at(0)));
        said(&canary.timeout(at(10), false, Mono::ZERO));
        assert_eq!(canary.timeout(at(20), false, Mono::ZERO), [Act::Unheard]);
        assert!(!canary.is_deaf());
        said(&canary.timeout(at(50), false, Mono::ZERO));
        let payload = said(&canary.timeout(at(60), false, Mono::ZERO));
        assert_eq!(canary.timeout(at(70), false, Mono::ZERO), [], "told already");
        assert_eq!(canary.heard(at(71), &payload), [Act::Heard]);
    }

    #[test]
    fn while_others_are_heard_the_link_is_not_deaf() {
        let mut canary = canary();
        let payload = said(&canary.subscribed(at(0)));
        canary.heard(at(0), &payload);
        said(&canary.timeout(at(30), false, at(29)));
        said(&canary.timeout(at(40), false, at(35)));
        assert_eq!(canary.timeout(at(50), false, at(35)), [Act::Unheard]);
    }

    #[test]
    fn an_echo_may_wait_behind_what_we_have_not_acknowledged() {
        let mut canary = canary();
        let payload = said(&canary.subscribed(at(0)));
        for second in 10..100 {
            assert_eq!(canary.timeout(at(second), true, Mono::ZERO), []);
        }
        assert_eq!(canary.heard(at(100), &payload), [Act::Replayed]);
    }

    #[test]
    fn another_bridge_is_told_from_our_own_past() {
        let mut canary = canary();
        canary.subscribed(at(0));
        assert_eq!(canary.heard(at(0), b"them 0000000000000001 5"), [], "of one who went, kept by the session");
        assert_eq!(canary.heard(at(0), b"us 0000000000000007 1"), [Act::Replayed]);
        assert_eq!(canary.heard(at(0), b"them 0000000000000001 5"), [Act::Twin]);
        assert_eq!(canary.heard(at(0), b"us 0000000000000001 5"), [], "before a restart");
        assert_eq!(canary.heard(at(0), b"us 0000000000000007 99"), [], "not yet said");
        assert_eq!(canary.heard(at(0), b"\xff garbage"), []);
        let mut unkept = Canary::new("new".to_owned(), false, 7, EVERY);
        assert_eq!(unkept.heard(at(0), b"old 0000000000000001 5"), []);
    }
}
