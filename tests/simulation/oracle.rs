//! What each person should show, worked out from everything that was ever delivered, by the plainest code that can stand
//! beside the specification: no timer, nothing remembered but the log. Knows nothing of the core.
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

/// An end on either clock, whichever comes first.
#[derive(Clone, Copy, Debug)]
struct End {
    mono: u64,
    wall: i64,
}

impl End {
    const LONG_AGO: End = End { mono: 0, wall: i64::MAX };

    fn after(at: At, span: u64) -> End {
        End { mono: at.mono + span, wall: i64::MAX }
    }

    fn has_passed(self, at: At) -> bool {
        at.mono >= self.mono || at.wall >= self.wall
    }

    fn no_later_than(&mut self, mono: u64) {
        self.mono = self.mono.min(mono);
    }
}

const NEVER: u64 = u64::MAX;
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
    pub payload: String,
    pub retain: bool,
    pub person: usize,
    /// Place in the order of priority.
    pub signal: usize,
    pub device: &'static str,
    /// Whose name the topic carries.
    pub subject: usize,
    pub say: Say,
    pub ttl: u64,
    pub delay: u64,
    pub hold: u64,
    pub until: Option<i64>,
}

/// What somebody's live shares add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Shows the signal of this place in the order of priority.
    Taken(usize),
    /// Known to do nothing.
    Free,
    Unknown,
}

/// Whose shares a new configuration ends.
#[derive(Clone, Copy, Debug)]
pub enum Gone {
    /// No longer listed, or looked up under another name.
    Person(usize),
    /// The rule of that device says something else now.
    Device(&'static str),
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
    /// The process went on after another boot: its last entry, and its first look at the clocks.
    Boot(At, At),
    Gone(u64, Gone),
}

/// The log. For each person it is read on from where the last question left off, which comes to the same as reading it
/// from its beginning; now and then it is, to see that it does.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    log: Vec<Entry>,
    read: BTreeMap<usize, (usize, State)>,
    questions: u32,
}

/// What the messages of one device add up to.
#[derive(Clone, Copy, Debug)]
struct Share {
    said: Say,
    lease: End,
    until: Option<i64>,
    from: u64,
    end: End,
    off: End,
    heard: u64,
    /// Unconfirmed after a gap: over then.
    blind: u64,
    /// The clock cannot be right: nothing counts until it is said again.
    doubtful: bool,
}

impl Share {
    fn is_on(&self, at: At) -> bool {
        at.mono >= self.from && !self.end.has_passed(at)
    }

    fn set_end(&mut self) {
        self.end = self.until.map_or(self.lease, |wall| End { mono: NEVER, wall });
    }

    /// What has ended has, also for a wall clock that is set back later.
    fn ends_by(&mut self, at: At, span: u64) {
        match self.end.has_passed(at) {
            true => self.end = End::LONG_AGO,
            false => self.end.no_later_than(at.mono + span),
        }
    }

    fn confirm(&mut self, at: At) {
        (self.heard, self.blind, self.doubtful) = (at.mono, NEVER, false);
    }

    fn hear(&mut self, delivery: &Delivery, ttl: u64) {
        let at = delivery.at;
        let coming = delivery.until.filter(|&until| until > at.wall);
        match delivery.say {
            Say::On => {
                let pending = self.said == Say::On && !self.end.has_passed(at);
                if !pending && !self.is_on(at) {
                    self.from = at.mono + delivery.delay;
                }
                self.off.no_later_than(self.from); // it is not off any more, also when the lease ends
                self.lease = End::after(at, ttl);
                self.until = delivery.until.or(self.until.filter(|&until| until > at.wall));
                self.set_end();
            }
            Say::Off => {
                let hold = if at.mono >= self.from { delivery.hold } else { 0 };
                self.ends_by(at, hold);
                self.off = End::after(at, ttl);
                self.lease = self.off;
                self.until = coming;
            }
            Say::Unknown => {
                self.ends_by(at, GRACE);
                self.off.no_later_than(at.mono + GRACE);
                self.lease = self.end;
                self.until = None;
            }
            Say::Until => {
                let ended = self.end.has_passed(at);
                if self.said == Say::On && (!ended || !self.lease.has_passed(at)) {
                    if ended && coming.is_some() {
                        self.from = at.mono;
                    }
                    if delivery.until.is_some() || !ended {
                        self.until = delivery.until;
                        self.set_end();
                    }
                } else {
                    if self.said == Say::On {
                        self.said = Say::Unknown;
                        self.end = End::LONG_AGO;
                    }
                    self.until = coming;
                    self.lease = End::after(at, DEFAULT_TTL);
                }
                return;
            }
        }
        self.said = delivery.say;
    }

    /// Over on both clocks, and nothing could bring it back.
    fn is_forgotten(&self, at: At) -> bool {
        let nothing_said = self.said == Say::Unknown && self.until.is_none_or(|until| until <= at.wall);
        self.end.has_passed(at) && self.off.has_passed(at) && (nothing_said || self.lease.has_passed(at))
    }

    /// On another boot what was measured since the old one is judged by the wall clock.
    fn move_to_wall(&mut self, saved: At) {
        for end in [&mut self.end, &mut self.off, &mut self.lease] {
            if end.mono == NEVER {
                continue;
            }
            if end.mono > saved.mono {
                let left = i64::try_from(end.mono - saved.mono).unwrap();
                *end = End { mono: NEVER, wall: end.wall.min(saved.wall + left) };
            } else {
                *end = End::LONG_AGO;
            }
        }
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

    /// The process went on after another boot: its last entry, and its first look at the clocks.
    pub fn boot(&mut self, saved: At, now: At) {
        self.log.push(Entry::Boot(saved, now));
    }

    /// A new configuration.
    pub fn gone(&mut self, now: u64, gone: Gone) {
        self.log.push(Entry::Gone(now, gone));
    }

    /// The shares of a person as of the last question, to be printed beside a violation.
    pub fn shares(&self, person: usize) -> String {
        self.read.get(&person).map_or_else(String::new, |(_, state)| format!("{:?}, gap {:?}", state.shares, state.gap))
    }

    /// What a person's live shares add up to.
    pub fn standing(&mut self, person: usize, at: At) -> Standing {
        let (place, state) = self.read.entry(person).or_default();
        for entry in &self.log[*place..] {
            state.take(person, entry);
        }
        *place = self.log.len();
        state.hear_out(at.mono);
        let standing = state.standing(at);
        self.questions += 1;
        if self.questions.is_multiple_of(1_000) {
            let mut state = State::default();
            self.log.iter().for_each(|entry| state.take(person, entry));
            state.hear_out(at.mono);
            assert_eq!(standing, state.standing(at), "the oracle contradicts itself");
        }
        standing
    }
}

/// A topic has one kind of device, and a subject in its name.
type Topic = (&'static str, usize);

/// The device of a share: signal, kind of device, and the subject that it names.
type Key = (usize, &'static str, usize);

/// Where the fold of the log has come to.
#[derive(Clone, Debug, Default)]
struct State {
    shares: BTreeMap<Key, Share>,
    /// The last message of each topic: of all, since one may lead to somebody else tomorrow.
    said: BTreeMap<Topic, String>,
    /// Since when nothing was heard.
    gap: Option<u64>,
    /// When its replay is through at the latest.
    replay: Option<u64>,
    /// Since when the broker's backlog may wait.
    backlog: Option<u64>,
}

impl State {
    fn take(&mut self, person: usize, entry: &Entry) {
        self.hear_out(match entry {
            Entry::Delivery(delivery) => delivery.at.mono,
            Entry::Hearing(now, _) | Entry::Gone(now, _) => *now,
            Entry::Step(at) | Entry::Boot(_, at) => at.mono,
        });
        match entry {
            // What is over on both clocks is forgotten; setting one back does not bring it back.
            Entry::Step(at) => self.shares.retain(|_, share| !share.is_forgotten(*at)),
            Entry::Boot(saved, now) => self.boot(*saved, *now),
            Entry::Hearing(_, Hearing::Lost { since }) => {
                // One that the session bridged goes on where its replay never came.
                self.gap = self.gap.or(Some(self.backlog.map_or(*since, |bridged| bridged.min(*since))));
                (self.replay, self.backlog) = (None, None);
            }
            Entry::Hearing(now, Hearing::Up { session }) => {
                if let Some(since) = self.gap {
                    self.replay = Some(now + REPLAY);
                    if session.is_some_and(|kept| now - since < kept) {
                        (self.gap, self.backlog) = (None, Some(since));
                    }
                }
            }
            Entry::Hearing(_, Hearing::Replayed) => self.replayed(),
            Entry::Gone(_, Gone::Device(name)) => self.shares.retain(|key, _| key.1 != *name),
            Entry::Gone(_, Gone::Person(who)) if *who == person => self.shares.clear(),
            Entry::Gone(..) => {}
            Entry::Delivery(delivery) => {
                let before = self.said.insert((delivery.device, delivery.subject), delivery.payload.clone());
                if delivery.person == person {
                    self.deliver(delivery, before.as_deref());
                }
            }
        }
    }

    fn deliver(&mut self, delivery: &Delivery, before: Option<&str>) {
        let key = (delivery.signal, delivery.device, delivery.subject);
        self.shares.retain(|_, share| !share.is_forgotten(delivery.at));
        let doubtful = self.shares.get(&key).is_some_and(|share| share.doubtful);
        if delivery.retain && before == Some(&delivery.payload) && !doubtful {
            if let Some(share) = self.shares.get_mut(&key) {
                share.confirm(delivery.at);
            }
            return;
        }
        let mut ttl = delivery.ttl;
        if delivery.retain && (before.is_none() || doubtful) {
            ttl = ttl.min(FIRST_RETAINED);
        }
        if let Some(since) = self.backlog.filter(|_| !delivery.retain) {
            ttl = ttl.saturating_sub(delivery.at.mono - since);
        }
        let share = self.shares.entry(key).or_insert(Share {
            said: Say::Unknown,
            lease: End::LONG_AGO,
            until: None,
            from: 0,
            end: End::LONG_AGO,
            off: End::LONG_AGO,
            heard: 0,
            blind: NEVER,
            doubtful: false,
        });
        share.confirm(delivery.at);
        share.hear(delivery, ttl);
    }

    fn boot(&mut self, saved: At, now: At) {
        // How long the process believes it was away. The old boot's instants are as far back as that makes them.
        let away = u64::try_from(now.wall - saved.wall).unwrap_or(0);
        let shift =
            |then: u64| if then == NEVER { NEVER } else { (then + (now.mono - saved.mono)).saturating_sub(away) };
        self.shares.retain(|_, share| !share.is_forgotten(saved));
        for share in self.shares.values_mut() {
            share.move_to_wall(saved);
            (share.from, share.heard, share.blind) = (shift(share.from), shift(share.heard), shift(share.blind));
            share.doubtful |= now.wall < saved.wall;
        }
        self.gap = self.gap.map(shift);
        self.shares.retain(|_, share| !share.is_forgotten(now));
    }

    fn hear_out(&mut self, now: u64) {
        if self.replay.is_some_and(|by| now >= by) {
            self.replayed();
        }
    }

    /// What the replay did not confirm is over when deafness would have ended it.
    fn replayed(&mut self) {
        if let Some(since) = self.gap.take() {
            for share in self.shares.values_mut().filter(|share| share.heard <= since) {
                share.blind = share.blind.min(since + BLIND_HOLD);
            }
        }
        (self.replay, self.backlog) = (None, None);
    }

    fn standing(&self, at: At) -> Standing {
        let mut standing = Standing::Unknown;
        for ((signal, ..), share) in &self.shares {
            let known_end = share.said == Say::On && share.until.is_some();
            let unheard = self.gap.is_some_and(|since| share.heard <= since && at.mono >= since + BLIND_HOLD);
            if share.doubtful || !known_end && (unheard || at.mono >= share.blind) {
                continue;
            }
            if share.is_on(at) {
                return Standing::Taken(*signal); // they come in order of priority
            }
            if !share.off.has_passed(at) {
                standing = Standing::Free;
            }
        }
        standing
    }
}
