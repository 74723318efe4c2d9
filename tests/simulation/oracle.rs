//! What each person should show, worked out from everything that was ever delivered, by the plainest code that can stand
//! beside the specification: no index, no timer, nothing remembered but the log. Knows nothing of the core.
//!
//! A share is one device's say on one signal. Its messages are folded from the first; what the fold ends in is compared
//! with the clocks. Slow, and meant to be.

use std::collections::BTreeMap;

/// Milliseconds on both clocks of the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub mono: u64,
    pub wall: i64,
}

const NEVER: u64 = u64::MAX;
const NO_END: i64 = i64::MAX;
pub const GRACE: u64 = 15_000;
pub const BLIND_HOLD: u64 = 900_000;
const FIRST_RETAINED: u64 = 3_600_000;
const REPLAY: u64 = 10_000;
const DEFAULT_TTL: u64 = 12 * 3_600_000;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    On,
    Off,
    Unknown,
    Until,
}

/// A message as it reached the bridge, in terms of the configuration.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub at: At,
    pub topic: String,
    pub payload: String,
    pub retain: bool,
    pub person: usize,
    /// Place in the order of priority.
    pub signal: usize,
    pub device: &'static str,
    pub say: Say,
    pub ttl: u64,
    pub delay: u64,
    pub hold: u64,
    pub until: Option<i64>,
}

/// What happened to the hearing of the bridge.
#[derive(Clone, Copy, Debug)]
pub enum Hearing {
    /// Not heard since then: the link went down, was found deaf, or the process was gone.
    Lost { since: u64 },
    /// Connected again; the MQTT session was kept for so long.
    Up { session: Option<u64> },
    /// Everything retained was said again.
    Replayed,
}

#[derive(Clone, Debug)]
enum Entry {
    Delivery(Delivery),
    Hearing(u64, Hearing),
    /// The wall clock was set; it had come so far.
    Step(At),
}

/// The log.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    log: Vec<Entry>,
}

/// What the messages of one device add up to.
#[derive(Clone, Copy, Debug)]
struct Share {
    said: Say,
    lease: u64,
    until: Option<i64>,
    from: u64,
    end: (u64, i64),
    off: u64,
    heard: u64,
    /// Unconfirmed after a gap: over then.
    blind: u64,
}

impl Share {
    fn is_on(&self, at: At) -> bool {
        at.mono >= self.from && at.mono < self.end.0 && at.wall < self.end.1
    }

    fn ended(&self, at: At) -> bool {
        at.mono >= self.end.0 || at.wall >= self.end.1
    }

    fn set_end(&mut self) {
        self.end = self.until.map_or((self.lease, NO_END), |until| (NEVER, until));
    }

    fn hear(&mut self, delivery: &Delivery, ttl: u64) {
        let at = delivery.at;
        let coming = delivery.until.filter(|&until| until > at.wall);
        match delivery.say {
            Say::On => {
                let pending = self.said == Say::On && !self.ended(at);
                if !pending && !self.is_on(at) {
                    self.from = at.mono + delivery.delay;
                }
                self.lease = at.mono + ttl;
                self.until = delivery.until.or(self.until).filter(|&until| until > at.wall);
                self.set_end();
            }
            Say::Off => {
                let hold = if at.mono >= self.from { delivery.hold } else { 0 };
                self.end.0 = self.end.0.min(at.mono + hold);
                self.off = at.mono + ttl;
                self.lease = self.off;
                self.until = coming;
            }
            Say::Unknown => {
                self.end.0 = self.end.0.min(at.mono + GRACE);
                self.off = self.off.min(at.mono + GRACE);
                self.lease = 0;
                self.until = None;
            }
            Say::Until => {
                let ended = self.ended(at);
                if self.said == Say::On && (!ended || at.mono < self.lease) {
                    if ended && coming.is_some() {
                        self.from = at.mono;
                    }
                    if coming.is_some() || !ended {
                        self.until = coming;
                        self.set_end();
                    }
                } else {
                    if self.said == Say::On {
                        self.said = Say::Unknown;
                        self.end = (0, NO_END);
                    }
                    self.until = coming;
                    self.lease = at.mono + DEFAULT_TTL;
                }
                return;
            }
        }
        self.said = delivery.say;
    }
}

impl Oracle {
    pub fn deliver(&mut self, delivery: Delivery) {
        self.log.push(Entry::Delivery(delivery));
    }

    pub fn hearing(&mut self, now: u64, hearing: Hearing) {
        self.log.push(Entry::Hearing(now, hearing));
    }

    /// The wall clock was set after `before`.
    pub fn step(&mut self, before: At) {
        self.log.push(Entry::Step(before));
    }

    /// The signal that a person should show, by its place in the order of priority.
    pub fn wanted(&self, person: usize, at: At) -> Option<usize> {
        let mut shares: BTreeMap<(usize, &'static str), Share> = BTreeMap::new();
        let mut said: BTreeMap<&str, &str> = BTreeMap::new();
        // The gap that is open, when its replay is through at the latest, and since when the broker's backlog may wait.
        let (mut gap, mut replay, mut backlog) = (None, None, None);
        for entry in &self.log {
            let now = match entry {
                Entry::Delivery(delivery) => delivery.at.mono,
                Entry::Hearing(now, _) => *now,
                Entry::Step(at) => at.mono,
            };
            if replay.is_some_and(|by| now >= by) {
                replayed(&mut shares, &mut gap, &mut replay, &mut backlog);
            }
            match entry {
                // What is over on both clocks is forgotten; setting one back does not bring it back.
                Entry::Step(at) => shares.retain(|_, share| !share.ended(*at) || at.mono < share.off.max(share.lease)),
                Entry::Hearing(_, Hearing::Lost { since }) => {
                    gap = gap.or(Some(*since));
                    (replay, backlog) = (None, None);
                }
                Entry::Hearing(now, Hearing::Up { session }) => {
                    if let Some(since) = gap {
                        replay = Some(now + REPLAY);
                        if session.is_some_and(|kept| now - since < kept) {
                            (gap, backlog) = (None, Some(since));
                        }
                    }
                }
                Entry::Hearing(_, Hearing::Replayed) => replayed(&mut shares, &mut gap, &mut replay, &mut backlog),
                Entry::Delivery(delivery) if delivery.person == person => {
                    let before = said.insert(&delivery.topic, &delivery.payload);
                    let key = (delivery.signal, delivery.device);
                    let same = before == Some(delivery.payload.as_str());
                    if delivery.retain && same {
                        if let Some(share) = shares.get_mut(&key) {
                            (share.heard, share.blind) = (delivery.at.mono, NEVER);
                        }
                        continue;
                    }
                    let mut ttl = delivery.ttl;
                    if delivery.retain && before.is_none() {
                        ttl = ttl.min(FIRST_RETAINED);
                    }
                    if let Some(since) = backlog.filter(|_| !delivery.retain) {
                        ttl = ttl.saturating_sub(delivery.at.mono - since);
                    }
                    let share = shares.entry(key).or_insert(Share {
                        said: Say::Unknown,
                        lease: 0,
                        until: None,
                        from: 0,
                        end: (0, NO_END),
                        off: 0,
                        heard: 0,
                        blind: NEVER,
                    });
                    (share.heard, share.blind) = (delivery.at.mono, NEVER);
                    share.hear(delivery, ttl);
                }
                Entry::Delivery(_) => {}
            }
        }
        if replay.is_some_and(|by| at.mono >= by) {
            replayed(&mut shares, &mut gap, &mut replay, &mut backlog);
        }
        let live = |share: &Share| {
            let known_end = share.said == Say::On && share.until.is_some();
            let unheard = gap.is_some_and(|since| share.heard <= since && at.mono >= since + BLIND_HOLD);
            let deaf = unheard || at.mono >= share.blind;
            share.is_on(at) && (known_end || !deaf)
        };
        shares.iter().filter(|(_, share)| live(share)).map(|((signal, _), _)| *signal).min()
    }
}

/// What the replay did not confirm is over when deafness would have ended it.
fn replayed(
    shares: &mut BTreeMap<(usize, &'static str), Share>,
    gap: &mut Option<u64>,
    replay: &mut Option<u64>,
    backlog: &mut Option<u64>,
) {
    if let Some(since) = gap.take() {
        for share in shares.values_mut().filter(|share| share.heard <= since) {
            share.blind = share.blind.min(since + BLIND_HOLD);
        }
    }
    (*replay, *backlog) = (None, None);
}
