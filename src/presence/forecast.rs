//! What a configuration will cost at Graph, before anybody runs it: calls per second, the lag when everybody changes at
//! once, and how many people the budget carries.
//!
//! Changes are few; refreshes are what fills a budget. A held pair is refreshed in the window in which [`super::session`]
//! lets it go, so its cost is one call a period. A stay that ends within a period needs none: stays are taken to be
//! memoryless, and one of mean length `m` then has 1 / (e^(period / m) − 1) refreshes. Where the budget has no room, refreshes
//! slide towards the last minute; what that latest pace costs decides whether people fit.

use std::time::Duration;

use super::pair::Presence;
use super::plan::Policy;
use super::session::{FADE, REFRESH_FROM, REFRESH_FROM_WITH_REPLICAS};

/// In which the changes of a day happen: nights would flatter the average.
pub const WORKING_DAY: Duration = Duration::from_secs(8 * 3600);
/// Jitter brings a refresh forward by up to a tenth, so half of that on average.
const MEAN_JITTER: f64 = 0.05;
/// By this long before the end a refresh has left, if the budget carries everybody.
const LAST_MINUTE: Duration = Duration::from_secs(60);
/// The rest is for retries and for days that are busier than the average.
const USABLE: f64 = 0.9;
/// Refreshes of people about to lapse take this part of the rate at most, so that changes go on.
const LAPSING_SHARE: f64 = 0.5;
/// What [`Remedy`] offers for `max_stale`; each step doubles or so how long a dead bridge leaves people stuck.
const STEPS: [u64; 6] = [10, 15, 30, 60, 120, 240];

/// What people do, as far as it costs calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habits {
    /// Changes of presence per person and [`WORKING_DAY`]; a call is two, its begin and its end.
    pub changes_per_day: f64,
    /// The part of the people who are taken at a time, 0 to 1.
    pub taken: f64,
}

impl Default for Habits {
    /// Ten calls or meetings a day that fill 30 % of it: a busy office. Guesses on the high side, so that what fits on
    /// paper fits.
    fn default() -> Self {
        Habits { changes_per_day: 20.0, taken: 0.3 }
    }
}

/// The settings that would make too many people fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// A longer `max_stale`.
    pub max_stale: Option<Duration>,
    /// `when_free` off: free people are left to their Teams clients.
    pub when_free_off: bool,
}

/// What to expect at one tenant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Refreshes per second in steady state.
    pub refreshes: f64,
    /// Calls per second in steady state, changes included; never more than the rate.
    pub calls: f64,
    /// The part of the rate that those take, 0 to 1.
    pub used: f64,
    /// How long the last one waits when everybody changes at once.
    pub peak_lag: Duration,
    /// How many people the budget carries with these settings.
    pub largest: usize,
    /// Whether that is enough.
    pub fits: bool,
    /// What would make it enough, where it is not and something would.
    pub remedy: Option<Remedy>,
}

/// Calls per second and person.
#[derive(Clone, Copy)]
struct Pace {
    changes: f64,
    refreshes: f64,
}

impl Pace {
    fn calls(self) -> f64 {
        self.changes + self.refreshes
    }
}

/// When refreshes leave.
#[derive(Clone, Copy)]
enum When {
    /// As soon as their window opens.
    Early { replicas: bool },
    /// In the last moment that is still safe.
    Late,
}

impl When {
    /// Seconds from one refresh to the next.
    fn period(self, presence: Presence, max_stale: Duration) -> f64 {
        let available = presence == Presence::Available;
        let holds = if available { max_stale.min(FADE) } else { max_stale };
        match self {
            // Available has little time anyway: replicas change nothing.
            When::Early { replicas: true } if !available => {
                (REFRESH_FROM_WITH_REPLICAS - MEAN_JITTER) * holds.as_secs_f64()
            }
            When::Early { .. } => (REFRESH_FROM - MEAN_JITTER) * holds.as_secs_f64(),
            When::Late => holds.saturating_sub(LAST_MINUTE).as_secs_f64(),
        }
    }
}

/// What `people` with these `habits` will cost under `policy`.
#[must_use]
pub fn forecast(people: usize, habits: Habits, policy: &Policy) -> Forecast {
    let count = float(people);
    let early = pace(habits, policy, When::Early { replicas: policy.replicas });
    let late = pace(habits, policy, When::Late);
    let changes = count * early.changes;
    let calls = (count * early.calls()).min(policy.rate);
    let largest = largest(late, policy);
    let fits = people <= largest;
    Forecast {
        refreshes: (calls - changes).max(0.0),
        calls,
        used: calls / policy.rate,
        peak_lag: peak_lag(count, late, policy),
        largest,
        fits,
        remedy: if fits { None } else { remedy(people, habits, policy) },
    }
}

fn pace(habits: Habits, policy: &Policy, when: When) -> Pace {
    let changes = habits.changes_per_day.max(0.0) / WORKING_DAY.as_secs_f64();
    let taken = habits.taken.clamp(0.0, 1.0);
    // What is shown while taken is Busy, Away or DoNotDisturb: all hold for `max_stale`.
    let busy = kept(taken, changes, when.period(Presence::InACall, policy.max_stale));
    let free =
        policy.when_free.map_or(0.0, |presence| kept(1.0 - taken, changes, when.period(presence, policy.max_stale)));
    Pace { changes, refreshes: busy + free }
}

/// Refreshes per second of somebody who spends `part` of the time in a state, with `changes` per second into or out of it.
fn kept(part: f64, changes: f64, period: f64) -> f64 {
    if part <= 0.0 {
        return 0.0;
    }
    let stays = changes / 2.0;
    if stays <= 0.0 {
        return part / period;
    }
    stays / (period * stays / part).exp_m1()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and `as` saturates")]
fn largest(late: Pace, policy: &Policy) -> usize {
    (USABLE * policy.rate / late.calls()) as usize
}

/// Whose change has been sent needs no refresh before `longest` is over, and whose change waits needs none either: so a
/// rush has the whole rate at first, and then what the refreshes of the served leave.
fn peak_lag(people: f64, late: Pace, policy: &Policy) -> Duration {
    let waiting = (people - f64::from(policy.burst)).max(0.0);
    let quiet = When::Late.period(policy.when_free.unwrap_or(Presence::InACall), policy.max_stale);
    let at_once = waiting.min(policy.rate * quiet);
    let left = policy.rate - (people * late.refreshes).min(policy.rate * LAPSING_SHARE);
    Duration::try_from_secs_f64(at_once / policy.rate + (waiting - at_once) / left).unwrap_or(Duration::MAX)
}

/// The first that fits: a longer `max_stale` alone, then `when_free` off, then both.
fn remedy(people: usize, habits: Habits, policy: &Policy) -> Option<Remedy> {
    let longer =
        || STEPS.iter().map(|&minutes| Duration::from_secs(60 * minutes)).filter(|&span| span > policy.max_stale);
    let alone = longer().map(|span| Remedy { max_stale: Some(span), when_free_off: false });
    let off = std::iter::once(None).chain(longer().map(Some));
    let off = off.map(|max_stale| Remedy { max_stale, when_free_off: true }).filter(|_| policy.when_free.is_some());
    alone.chain(off).find(|remedy| {
        let mut policy = policy.clone();
        policy.max_stale = remedy.max_stale.unwrap_or(policy.max_stale);
        policy.when_free = policy.when_free.filter(|_| !remedy.when_free_off);
        people <= largest(pace(habits, &policy, When::Late), &policy)
    })
}

#[allow(clippy::cast_precision_loss, reason = "people are fewer than 2^53")]
fn float(people: usize) -> f64 {
    people as f64
}
