//! The presence sessions of one person, and what they add up to.
//!
//! ```text
//!  none ──set──► live ──5 min, Available only──► AvailableInactive ──5 min──► Away ──┐
//!    ▲            │ ▲                                                                │
//!    │            │ └──────────────────────── set ◄──────────────────────────────────┤
//!    └── clear, or its expiration passed ◄───────────────────────────────────────────┘
//! ```

use std::fmt;

/// Available fades to AvailableInactive after this, and to Away after twice this (D).
const FADE_MS: u64 = 300_000;

/// The pairs that an application may set (D).
const PAIRS: [(&str, &str); 5] = [
    ("Available", "Available"),
    ("Busy", "InACall"),
    ("Busy", "InAConferenceCall"),
    ("Away", "Away"),
    ("DoNotDisturb", "Presenting"),
];

/// What is shown of a person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

    pub(super) fn offline() -> Self {
        Shown::new("Offline", "Offline")
    }

    /// DoNotDisturb > Busy > Available > Away (D); fresh Available above inactive (A).
    fn rank(&self) -> u8 {
        match (self.availability.as_str(), self.activity.as_str()) {
            ("DoNotDisturb", _) => 5,
            ("Busy", _) => 4,
            ("Available", "AvailableInactive") => 2,
            ("Available", _) => 3,
            ("Away" | "BeRightBack", _) => 1,
            _ => 0,
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.availability, self.activity)
    }
}

/// The pair as Graph spells it, if it can be set; letter case does not matter (A).
pub(super) fn parse_pair(availability: &str, activity: &str) -> Option<Shown> {
    let same = |(a, b): &&(&str, &str)| a.eq_ignore_ascii_case(availability) && b.eq_ignore_ascii_case(activity);
    PAIRS.iter().find(same).map(|(a, b)| Shown::new(a, b))
}

#[derive(Clone, Debug)]
struct Live {
    pair: Shown,
    set_ms: u64,
    expires_ms: u64,
}

impl Live {
    fn shown(&self, now_ms: u64) -> Shown {
        if self.pair.availability != "Available" {
            return self.pair.clone();
        }
        match now_ms.saturating_sub(self.set_ms) {
            age if age >= 2 * FADE_MS => Shown::new("Away", "Away"),
            age if age >= FADE_MS => Shown::new("Available", "AvailableInactive"),
            _ => self.pair.clone(),
        }
    }
}

/// All sessions of one person.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    ours: Option<Live>,
    client: Option<Shown>,
    preferred: Option<Shown>,
}

impl Sessions {
    pub(super) fn set(&mut self, now_ms: u64, pair: Shown, expires_in_ms: u64) {
        self.ours = Some(Live { pair, set_ms: now_ms, expires_ms: now_ms.saturating_add(expires_in_ms) });
    }

    /// `false`: there was none; an expired one counts as none (A).
    pub(super) fn clear(&mut self, now_ms: u64) -> bool {
        self.ours.take().is_some_and(|live| now_ms < live.expires_ms)
    }

    pub(super) fn client(&mut self, pair: Option<Shown>) {
        self.client = pair;
    }

    pub(super) fn prefer(&mut self, pair: Option<Shown>) {
        self.preferred = pair;
    }

    pub(super) fn ours(&self, now_ms: u64) -> Option<(Shown, u64)> {
        self.ours.as_ref().filter(|live| now_ms < live.expires_ms).map(|live| (live.pair.clone(), live.expires_ms))
    }

    pub(super) fn seen(&self, now_ms: u64) -> Shown {
        let ours = self.ours.as_ref().filter(|live| now_ms < live.expires_ms).map(|live| live.shown(now_ms));
        let strongest = [ours, self.client.clone()].into_iter().flatten().max_by_key(Shown::rank);
        match (strongest, &self.preferred) {
            (None, _) => Shown::offline(), // also when a preferred presence exists (D)
            (Some(_), Some(preferred)) => preferred.clone(),
            (Some(strongest), None) => strongest,
        }
    }
}
