//! One person's presence session at Graph: what it is known to hold, what is wanted of it, and when to call.
//!
//! ```text
//!                     ┌────────────── wanted == held, nothing due ──────────────┐
//!                     ▼                                                         │
//!   resting ──wanted ≠ held, refresh due, a late write may have landed──► due   │
//!      ▲                                                    ▲  │ budget, gate   │
//!      │ its time                                           │  ▼                │
//!   waiting (back-off, parked) ◄──refused, no answer── in flight ───accepted────┘
//! ```
//!
//! *Held* is what Graph confirmed. Every attempt without a clean answer makes it unknown, and unknown differs from every
//! wish, also from the wish for nothing. A write without an answer may still land for [`LATE`]: until then its content
//! is remembered as a *ghost*, and if something else is held when that time is over, the wish is sent once more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::{Cause, Outcome, Ticket};
use super::backoff::{backoff, fraction};
use super::now::Mono;
use super::pair::Presence;

/// An attempt must have started this long after it was asked for.
pub const START_WITHIN: Duration = Duration::from_secs(5);
/// An attempt is given up after this.
pub const ATTEMPT: Duration = Duration::from_secs(10);
/// The latest that a sent call may still be applied.
pub const LATE: Duration = Duration::from_secs(25);
/// Available fades to AvailableInactive after this, whatever the expiration (Graph: "time out").
pub const FADE: Duration = Duration::from_secs(300);
/// Who would lapse within this is served first.
const LAST_MINUTE: Duration = Duration::from_secs(60);
/// A refresh may go from this part of the time that the session holds; jitter makes that earlier, by a tenth at most.
pub(super) const REFRESH_FROM: f64 = 0.6;
/// With replicas: a failover needs the rest.
pub(super) const REFRESH_FROM_WITH_REPLICAS: f64 = 0.5;
/// A change that becomes less taken has waited long enough after this to stand beside those that become more taken.
const AGED: Duration = Duration::from_secs(30);
/// A change of wanted that follows three others within this is flapping: not yet the call inside a meeting.
const FLAPPING: Duration = Duration::from_secs(30);
/// Then falling waits until the shares were quiet for so long …
const QUIET: Duration = Duration::from_secs(5);
/// … but no longer than this.
const DAMPED_FOR: Duration = Duration::from_secs(60);
/// Graph takes whole seconds, so that a session may end this much after its share.
const ROUNDING: Duration = Duration::from_secs(2);
/// The shortest `expirationDuration` (Graph: PT5M).
pub const SHORTEST: Duration = Duration::from_secs(300);
/// The longest (Graph: PT4H).
pub const LONGEST: Duration = Duration::from_secs(4 * 3600);
const PARK_FIRST: Duration = Duration::from_secs(3600);
const PARK_LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What Graph holds for our application, as far as known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Held {
    /// The last attempt had no clean answer.
    Unknown,
    /// No session.
    #[default]
    Nothing,
    /// This pair.
    Pair {
        /// The pair.
        presence: Presence,
        /// When it was sent.
        sent: Mono,
        /// When it fades or expires, whichever is first.
        lapses: Mono,
        /// When the session ends.
        expires: Mono,
    },
}

impl Held {
    /// The pair held; `None` for nothing, `Err` for unknown.
    fn content(self) -> Result<Option<Presence>, ()> {
        match self {
            Held::Unknown => Err(()),
            Held::Nothing => Ok(None),
            Held::Pair { presence, .. } => Ok(Some(presence)),
        }
    }
}

/// Why nothing is sent although it would be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// After a failure.
    BackOff,
    /// Graph does not know the person.
    NoSuchUser,
    /// Graph refuses the application for this person.
    NotAllowed,
    /// Graph refused this very content.
    Refused,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    why: Waiting,
    until: Mono,
}

/// The call that is out.
#[derive(Clone, Copy, Debug)]
struct Flight {
    ticket: Ticket,
    content: Option<Presence>,
    expiration: Duration,
    asked: Mono,
    not_after: Mono,
}

/// Order of service; lower goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Would lapse within a minute.
    Lapsing,
    /// Became more taken.
    Rising,
    /// Became less taken, or only the activity changed.
    Falling,
    /// A refresh that has time.
    Early,
}

/// What a session needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing before then.
    Rest(Mono),
    /// A call; inside a class the earliest deadline first.
    Call { class: Class, deadline: Mono, cause: Cause },
}

/// What else bears on a call, from outside the session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// Spreads refreshes, the same way for a person each time.
    pub(super) seed: u64,
    /// A refresh may go from this part of the time that the session holds.
    pub(super) refresh_from: f64,
    /// When a share of the person last changed.
    pub(super) stirred: Mono,
    /// Nobody is newly set before: the broker has not yet said again what it knows.
    pub(super) hearsay_until: Option<Mono>,
    /// Nothing changes before: a backlog is coming in, and what is wanted may be old.
    pub(super) backlog_until: Option<Mono>,
    /// The known end of what is wanted, where the expiration is to follow it.
    pub(super) end: Option<Mono>,
    /// Somebody asked for the end of it, so that no fall is put off: a stop, a pause, a list without the person.
    pub(super) at_once: bool,
}

/// One person's presence session.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    held: Held,
    wanted: Option<Presence>,
    wanted_since: Mono,
    flight: Option<Flight>,
    wait: Option<Wait>,
    failures: u32,
    parkings: u32,
    fresh_token_tried: bool,
    /// Contents (as [`bit`]s) that may still be applied, until `ghosts_until`.
    ghosts: u8,
    ghosts_until: Mono,
    /// When the first of them would end, were it the one that counts.
    ghosts_lapse: Mono,
    /// When the last of them would end, landed as late as may be.
    ghosts_end: Mono,
    /// Until then one of them may keep what is held alive, whatever was asked for last.
    outlives: Mono,
    /// The last four changes of wanted, oldest first.
    changes: [Mono; 4],
    /// Since when falling has been put off.
    damped_since: Option<Mono>,
}

/// Where a content stands in the set of ghosts.
fn bit(content: Option<Presence>) -> u8 {
    match content {
        None => 1,
        Some(pair) => 2 << (pair as u8),
    }
}

fn rank(content: Option<Presence>) -> u8 {
    content.map_or(0, Presence::rank)
}

impl Session {
    pub(super) fn held(&self) -> Held {
        self.held
    }

    pub(super) fn waiting(&self, now: Mono) -> Option<(Waiting, Mono)> {
        self.wait.filter(|wait| now < wait.until).map(|wait| (wait.why, wait.until))
    }

    pub(super) fn in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether Graph can show nothing of ours for this person.
    pub(super) fn is_clean(&self) -> bool {
        self.held == Held::Nothing && self.flight.is_none() && self.ghosts == 0
    }

    pub(super) fn want(&mut self, now: Mono, wanted: Option<Presence>) {
        if wanted == self.wanted {
            return;
        }
        // Rising is never delayed by a person's own limit; a refusal of other content says nothing about this one.
        let lifted = match self.wait.map(|wait| wait.why) {
            Some(Waiting::BackOff) => rank(wanted) > rank(self.wanted),
            Some(Waiting::Refused) => true,
            _ => false,
        };
        if lifted {
            self.wait = None;
        }
        self.wanted = wanted;
        self.wanted_since = now;
        self.changes.rotate_left(1);
        self.changes[3] = now;
        if self.damped(now) && self.falls() {
            self.damped_since.get_or_insert(now);
        }
    }

    /// Whether wanted changed three times and once more in short order.
    fn damped(&self, now: Mono) -> bool {
        let [first, .., last] = self.changes;
        first != Mono::ZERO && last.since(first) <= FLAPPING && now.since(last) <= DAMPED_FOR
    }

    /// Whether the wish is less taken than what is held.
    fn falls(&self) -> bool {
        !self.held.content().map_or(self.wanted.is_some(), |held| rank(self.wanted) > rank(held))
    }

    /// Whether anything was wanted within the longest expiration, or may be held: an owner before us may have set it.
    pub(super) fn may_hold(&self, now: Mono) -> bool {
        self.held != Held::Nothing
            || self.wanted.is_some()
            || self.wanted_since != Mono::ZERO && now.since(self.wanted_since) <= LONGEST
    }

    /// Whether what is held has been wanted for so long.
    pub(super) fn is_settled(&self, now: Mono, span: Duration) -> bool {
        self.flight.is_none()
            && self.wanted.is_some()
            && self.held.content() == Ok(self.wanted)
            && self.wanted_since + span <= now
    }

    /// How long the last call asked Graph to keep what it holds.
    pub(super) fn span(&self) -> Option<Duration> {
        match self.held {
            Held::Pair { sent, expires, .. } => Some(expires.since(sent)),
            _ => None,
        }
    }

    /// Forgets what is held: colleagues see something else.
    pub(super) fn doubt(&mut self) {
        self.held = Held::Unknown;
    }

    /// Another process may have called, and what it sent may still land until then: any content.
    pub(super) fn follow(&mut self, now: Mono, until: Mono) {
        self.held = Held::Unknown;
        if now < until {
            self.ghosts = !0;
            self.ghosts_until = self.ghosts_until.max(until);
            self.ghosts_lapse = Mono::MAX;
        }
    }

    /// Until when something of this process may still land, if anything may.
    pub(super) fn may_land_until(&self) -> Option<Mono> {
        let flight = self.flight.map(|flight| flight.not_after + LATE);
        flight.max((self.ghosts != 0).then_some(self.ghosts_until))
    }

    /// What a later process may rely on: with a call out, or one that may still land, nothing.
    pub(super) fn as_saved(&self) -> Held {
        if self.flight.is_some() || self.ghosts != 0 { Held::Unknown } else { self.held }
    }

    /// What an earlier process left at Graph.
    pub(super) fn restore(&mut self, held: Held) {
        self.held = held;
    }

    /// Lets time pass: what expired is nothing, and when a ghost may have landed nothing is certain. Returns whether nothing
    /// may land any more, which only time tells.
    pub(super) fn age(&mut self, now: Mono) -> bool {
        if let Held::Pair { expires, .. } = self.held
            && now >= expires.max(self.outlives)
        {
            self.held = Held::Nothing;
        }
        let landed = self.ghosts != 0 && now >= self.ghosts_until && self.flight.is_none();
        if landed {
            let certain = self.held.content().is_ok_and(|content| self.ghosts & !bit(content) == 0);
            if !certain {
                self.held = Held::Unknown;
            }
            self.ghosts = 0;
        }
        if self.wait.is_some_and(|wait| now >= wait.until) {
            self.wait = None;
        }
        landed
    }

    /// What it needs now. After [`Session::age`].
    pub(super) fn need(&self, now: Mono, around: &Circumstances) -> Need {
        if self.flight.is_some() {
            return Need::Rest(Mono::MAX);
        }
        let ghosts = if self.ghosts == 0 { Mono::MAX } else { self.ghosts_until };
        let content = self.held.content();
        if content != Ok(self.wanted) {
            if let Some(wait) = self.wait {
                return Need::Rest(wait.until.min(self.expires()));
            }
            let falls = self.falls();
            let hearsay_until = around.hearsay_until.filter(|_| self.wanted.is_some());
            let backlog_until = around.backlog_until.filter(|_| !around.at_once);
            if let Some(until) = hearsay_until.max(backlog_until)
                && now < until
            {
                return Need::Rest(until.min(self.expires()));
            }
            if falls && self.damped(now) && !around.at_once {
                let latest = self.damped_since.unwrap_or(self.wanted_since) + DAMPED_FOR;
                let until = latest.min(around.stirred + QUIET);
                if now < until {
                    return Need::Rest(until.min(self.expires()));
                }
            }
            let class = if falls && now < self.wanted_since + AGED { Class::Falling } else { Class::Rising };
            return Need::Call { class, deadline: self.wanted_since, cause: Cause::Change };
        }
        let Held::Pair { presence, sent, lapses, expires } = self.held else {
            return Need::Rest(ghosts);
        };
        // Available has little time anyway: replicas change nothing there.
        let from = if presence == Presence::Available { REFRESH_FROM } else { around.refresh_from };
        let mut due = sent + lapses.since(sent).mul_f64(from - 0.1 * fraction(around.seed));
        if let Some(end) = around.end {
            if expires > end.max(now + SHORTEST) + ROUNDING {
                due = now; // the end moved: the session must not outlive it by more than it has to
            } else if end <= lapses {
                due = Mono::MAX; // what is wanted ends first
            }
        }
        let due = due.max(self.wait.map_or(Mono::ZERO, |wait| wait.until));
        let urgent = lapses - LAST_MINUTE;
        if now < due {
            return Need::Rest(due.min(ghosts).min(self.expires()));
        }
        let class = if now >= urgent { Class::Lapsing } else { Class::Early };
        Need::Call { class, deadline: lapses, cause: Cause::Refresh }
    }

    /// When a call that waits for the budget next changes its place in the order of service: a refresh becomes urgent, and
    /// once the session has expired it is a change; a change that waits for long moves up.
    pub(super) fn moves(&self, now: Mono) -> Mono {
        let steps = match self.held {
            Held::Pair { presence, lapses, expires, .. } if Some(presence) == self.wanted => {
                [lapses - LAST_MINUTE, expires]
            }
            _ => [self.wanted_since + AGED, self.expires()],
        };
        steps.into_iter().filter(|&step| step > now).min().unwrap_or(Mono::MAX)
    }

    pub(super) fn expires(&self) -> Mono {
        match self.held {
            Held::Pair { expires, .. } => expires.max(self.outlives),
            _ => Mono::MAX,
        }
    }

    /// The wish leaves; returns its content.
    pub(super) fn start(
        &mut self,
        now: Mono,
        ticket: Ticket,
        expiration: Duration,
        not_after: Mono,
    ) -> Option<Presence> {
        if now >= self.ghosts_until {
            self.ghosts = 0; // whatever landed late is written over by this very call
        }
        self.flight = Some(Flight { ticket, content: self.wanted, expiration, asked: now, not_after });
        self.wanted
    }

    /// The outcome of the call that is out; `false` for any other ticket.
    pub(super) fn finish(&mut self, now: Mono, ticket: Ticket, outcome: Outcome, seed: u64) -> bool {
        let Some(flight) = self.flight.take_if(|flight| flight.ticket == ticket) else {
            return false;
        };
        match outcome {
            Outcome::Accepted => self.accepted(flight),
            Outcome::Throttled { .. } => self.held = Held::Unknown, // the tenant's gate makes it wait
            Outcome::NotSent => self.back_off(now, seed),
            Outcome::Ambiguous => {
                self.haunt(flight);
                self.back_off(now, seed);
            }
            Outcome::Unauthorised | Outcome::Forbidden { .. } if !self.fresh_token_tried => {
                self.fresh_token_tried = true; // once more, at once, with a fresh token
            }
            Outcome::Unauthorised | Outcome::Forbidden { .. } => self.park(now, Waiting::NotAllowed),
            Outcome::NoSuchUser => self.park(now, Waiting::NoSuchUser),
            Outcome::Refused if flight.content == self.wanted => self.park(now, Waiting::Refused),
            Outcome::Refused => {}
        }
        true
    }

    /// The call that is out, if one is, will never be heard of: it may be applied, or not.
    pub(super) fn abandon(&mut self) -> Option<Ticket> {
        let flight = self.flight.take()?;
        self.haunt(flight);
        Some(flight.ticket)
    }

    fn accepted(&mut self, flight: Flight) {
        let held = self.held.content();
        let rises = held.is_ok_and(|held| rank(flight.content) > rank(held));
        if held != Ok(flight.content) && !rises {
            self.damped_since = None; // the next fall that is put off begins a minute of its own
        }
        self.wait = None;
        self.failures = 0;
        self.parkings = 0;
        self.fresh_token_tried = false;
        self.outlives = if self.ghosts == 0 { Mono::ZERO } else { self.ghosts_end };
        self.held = match flight.content {
            None => Held::Nothing,
            Some(presence) => {
                let expires = flight.asked + flight.expiration;
                let fades = if presence == Presence::Available { flight.asked + FADE } else { Mono::MAX };
                // One of them may land after this, and with less time to live.
                let ghosts = if self.ghosts == 0 { Mono::MAX } else { self.ghosts_lapse };
                Held::Pair { presence, sent: flight.asked, lapses: expires.min(fades).min(ghosts), expires }
            }
        };
    }

    fn haunt(&mut self, flight: Flight) {
        self.held = Held::Unknown;
        if self.ghosts == 0 {
            (self.ghosts_lapse, self.ghosts_end) = (Mono::MAX, Mono::ZERO);
        }
        self.ghosts_lapse = self.ghosts_lapse.min(flight.asked + flight.expiration);
        self.ghosts_end = self.ghosts_end.max(flight.not_after + LATE + flight.expiration);
        self.ghosts |= bit(flight.content);
        self.ghosts_until = flight.not_after + LATE;
    }

    fn back_off(&mut self, now: Mono, seed: u64) {
        self.failures += 1;
        let wait = backoff(self.failures, Duration::from_secs(1), Duration::from_secs(30), seed);
        self.wait = Some(Wait { why: Waiting::BackOff, until: now + wait });
    }

    fn park(&mut self, now: Mono, why: Waiting) {
        self.parkings += 1;
        self.fresh_token_tried = false;
        let doubled = PARK_FIRST.saturating_mul(1 << (self.parkings - 1).min(10));
        self.wait = Some(Wait { why, until: now + doubled.min(PARK_LONGEST) });
    }

    /// Nothing is held against the person any more: off the list, perhaps on it again.
    pub(super) fn forgive(&mut self) {
        self.wait = None;
        self.parkings = 0;
        self.fresh_token_tried = false;
    }

    /// The fault was the application's, not the person's: free to be tried again, behind the others.
    pub(super) fn unpark(&mut self, now: Mono) -> bool {
        let parked = self.wait.is_some_and(|wait| matches!(wait.why, Waiting::NotAllowed | Waiting::NoSuchUser));
        if parked {
            self.wait = None;
            self.parkings = 0;
            self.wanted_since = now;
        }
        parked
    }
}
