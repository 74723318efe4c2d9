//! Secrets and certificates end, and nobody remembers when.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::presence::Timestamp;

/// What to do before one ends.
pub const REPLACE: &str =
    "make a new one in the app registration and put it in the place of the old one; no restart is needed";

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Days before the end at which it is told.
const STAGES: [u32; 4] = [0, 1, 7, 30];

/// How far gone a credential is that ends at `ends`: 30, 7 or 1 for "in so many days or less", 0 for "over"; `None` while
/// there is time.
#[must_use]
pub fn expiry_stage(ends: Timestamp, now: Timestamp) -> Option<u32> {
    if now >= ends {
        return Some(0);
    }
    STAGES.into_iter().skip(1).find(|&days| ends.since(now) <= DAY * days)
}

/// Which credential was read last and when it ends, where one can know. Cheap to clone; all clones agree.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends(Arc<watch::Sender<Option<(&'static str, Timestamp)>>>);

impl Ends {
    pub(super) fn note(&self, credential: &'static str, ends: Option<Timestamp>) {
        self.0.send_replace(ends.map(|ends| (credential, ends)));
    }

    pub(super) fn get(&self) -> Option<(&'static str, Timestamp)> {
        *self.0.borrow()
    }
}

/// Remembers what was told, so that each stage is told once.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    ends: Option<Timestamp>,
    told: Option<u32>,
}

impl Expiry {
    /// The stage to tell now. Another end is another credential.
    pub(super) fn judge(&mut self, ends: Timestamp, now: Timestamp) -> Option<u32> {
        if self.ends.replace(ends) != Some(ends) {
            self.told = None;
        }
        let stage = expiry_stage(ends, now)?;
        let news = self.told.is_none_or(|told| stage < told);
        news.then(|| *self.told.insert(stage))
    }
}
