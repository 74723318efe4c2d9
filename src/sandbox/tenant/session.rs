//! The presence sessions of one person, and what they add up to.
//!
//! ```text
//!  none ──set──► live ──5 min, Available only──► AvailableInactive ──5 min──► Away ──┐
//!    ▲            │ ▲                                                                │
//!    │            │ └──────────────────────── set ◄──────────────────────────────────┤
//!    └── clear, or its expiration passed ◄───────────────────────────────────────────┘
//! ```
//!
//! Each application has a session of its own, and so has each Teams client. Nothing happens while nobody looks: what is
//! shown follows from what was set, and when.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::assumptions as known;
use super::settings::Times;

/// What is shown of a person.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Shown {
    /// Graph's availability.
    pub availability: String,
    /// Graph's activity.
    pub activity: String,
}

impl Shown {
    pub(super) fn new(availability: &str, activity: &str) -> Self {
        Shown { availability: availability.to_owned(), activity: activity.to_owned() }
    }

    pub(super) fn of((availability, activity): (&str, &str)) -> Self {
        Shown::new(availability, activity)
    }

    pub(super) fn offline() -> Self {
        Shown::of(known::OFFLINE)
    }

    /// The strongest is highest; odd numbers are for what has faded.
    fn rank(&self) -> usize {
        let availability = match self.availability.as_str() {
            "BeRightBack" => known::RANK_OF_BE_RIGHT_BACK,
            other => other,
        };
        let Some(place) = known::RANKS.iter().position(|rank| *rank == availability) else { return 0 };
        let faded = known::FADED_BELOW_FRESH && self.activity == known::FADED.1;
        2 * (known::RANKS.len() - place) - usize::from(faded)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.availability, self.activity)
    }
}

/// The pair as Graph spells it, if it is one of these.
pub(super) fn parse_pair(pairs: &[(&str, &str)], availability: &str, activity: &str) -> Option<Shown> {
    let same = |a: &str, b: &str| if known::CASE_MATTERS { a == b } else { a.eq_ignore_ascii_case(b) };
    pairs.iter().find(|(a, b)| same(a, availability) && same(b, activity)).map(|pair| Shown::of(*pair))
}

/// Whose session it is: the place of the session id among all that were ever used, the first application's being 0.
pub(super) type Key = u32;

#[derive(Clone, Debug)]
struct Live {
    key: Key,
    pair: Shown,
    set_ms: u64,
    expires_ms: u64,
}

impl Live {
    fn is_over(&self, now_ms: u64) -> bool {
        if known::HALF_OPEN { now_ms >= self.expires_ms } else { now_ms > self.expires_ms }
    }

    fn shown(&self, now_ms: u64, times: &Times) -> Shown {
        if self.pair.availability != "Available" {
            return self.pair.clone();
        }
        match now_ms.saturating_sub(self.set_ms) {
            age if age >= times.away_ms => Shown::new("Away", "Away"),
            age if age >= times.fade_ms => Shown::of(known::FADED),
            _ => self.pair.clone(),
        }
    }
}

#[derive(Clone, Debug)]
struct Client {
    name: String,
    pair: Shown,
    set_ms: u64,
}

/// A session as evidence shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Evidence {
    pub(super) key: Key,
    pub(super) pair: Shown,
    pub(super) set_ms: u64,
    pub(super) expires_ms: u64,
}

/// All sessions of one person, and what they chose.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    apps: Vec<Live>,
    clients: Vec<Client>,
    preferred: Option<(Shown, u64)>,
    pub(super) out_of_office: bool,
    /// As it was set, and the wall time at which it ends.
    pub(super) status_message: Option<(Value, Option<i64>)>,
}

impl Sessions {
    /// The pair that was live until now in this session, and since when.
    pub(super) fn set(&mut self, now_ms: u64, key: Key, pair: Shown, expires_in_ms: u64) -> Option<(Shown, u64)> {
        let live = Live { key, pair, set_ms: now_ms, expires_ms: now_ms.saturating_add(expires_in_ms) };
        match self.apps.iter_mut().find(|live| live.key == key) {
            Some(place) => {
                let before = std::mem::replace(place, live);
                (!before.is_over(now_ms)).then_some((before.pair, before.set_ms))
            }
            None => {
                self.apps.retain(|other| !other.is_over(now_ms));
                self.apps.push(live);
                None
            }
        }
    }

    /// `false`: there was none.
    pub(super) fn clear(&mut self, now_ms: u64, key: Key) -> bool {
        let Some(place) = self.apps.iter().position(|live| live.key == key) else { return false };
        let live = self.apps.swap_remove(place);
        !(known::EXPIRED_IS_NONE && live.is_over(now_ms))
    }

    pub(super) fn client(&mut self, now_ms: u64, name: &str, pair: Option<Shown>) {
        self.clients.retain(|client| client.name != name);
        self.clients.extend(pair.map(|pair| Client { name: name.to_owned(), pair, set_ms: now_ms }));
    }

    pub(super) fn prefer(&mut self, pair: Option<Shown>, until_ms: u64) {
        self.preferred = pair.map(|pair| (pair, until_ms));
    }

    pub(super) fn of(&self, now_ms: u64, key: Key) -> Option<(Shown, u64)> {
        let live = self.apps.iter().find(|live| live.key == key && !live.is_over(now_ms));
        live.map(|live| (live.pair.clone(), live.expires_ms))
    }

    pub(super) fn evidence(&self, now_ms: u64) -> Vec<Evidence> {
        let live = self.apps.iter().filter(|live| !live.is_over(now_ms));
        live.map(|Live { key, pair, set_ms, expires_ms }| Evidence {
            key: *key,
            pair: pair.clone(),
            set_ms: *set_ms,
            expires_ms: *expires_ms,
        })
        .collect()
    }

    /// What the person chose by hand, while it holds.
    pub(super) fn preferred(&self, now_ms: u64) -> Option<&Shown> {
        self.preferred.as_ref().filter(|(_, until_ms)| now_ms < *until_ms).map(|(pair, _)| pair)
    }

    pub(super) fn seen(&self, now_ms: u64, times: &Times) -> Shown {
        // What has both faded and expired is over: expiry is asked first.
        let apps = self.apps.iter().filter(|live| !live.is_over(now_ms));
        let apps = apps.map(|live| (live.shown(now_ms, times), live.set_ms));
        let clients = self.clients.iter().map(|client| (client.pair.clone(), client.set_ms));
        let newest = |set_ms: u64| if known::NEWEST_OF_EQUALS { set_ms } else { 0 };
        let strongest = apps.chain(clients).max_by_key(|(pair, set_ms)| (pair.rank(), newest(*set_ms)));
        let shown = match (strongest, self.preferred(now_ms)) {
            (None, _) => Shown::offline(), // also when a preferred presence exists
            (Some(_), Some(preferred)) => preferred.clone(),
            (Some((strongest, _)), None) => strongest,
        };
        if self.out_of_office && shown == Shown::of(known::OUT_OF_OFFICE_OVER) {
            return Shown::new(&shown.availability, known::OUT_OF_OFFICE);
        }
        shown
    }
}
