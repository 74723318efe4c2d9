//! How far this machine's clock is from Microsoft's, by the `Date` of their answers. A wrong clock is a common reason why
//! tokens and signed assertions are refused, and the refusal does not say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use reqwest::header::{DATE, HeaderMap};

use super::retry_after::date;
use crate::presence::Timestamp;

/// Entra allows a difference of five minutes.
pub(super) const ALLOWED_MS: i64 = 5 * 60 * 1000;
/// Nothing heard yet.
const UNKNOWN: i64 = i64::MIN;

/// The last difference seen. Cheap to clone; all clones agree.
#[derive(Clone, Debug)]
pub(super) struct Skew(Arc<AtomicI64>);

impl Default for Skew {
    fn default() -> Self {
        Skew(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl Skew {
    /// An answer with these headers arrived at `now`.
    pub(super) fn note(&self, headers: &HeaderMap, now: Timestamp) {
        if let Some(theirs) = headers.get(DATE).and_then(|text| text.to_str().ok()).and_then(date) {
            self.0.store(theirs.as_millis().saturating_sub(now.as_millis()), Ordering::Relaxed);
        }
    }

    /// Milliseconds by which this machine's clock is behind theirs, negative where it is ahead; good to a second or two.
    pub(super) fn millis(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&millis| millis != UNKNOWN)
    }

    /// In words, if it is more than Entra allows.
    pub(super) fn too_large(&self) -> Option<String> {
        let millis = self.millis().filter(|millis| millis.abs() > ALLOWED_MS)?;
        let side = if millis > 0 { "behind" } else { "ahead" };
        Some(format!("this machine's clock is {} s {side}", millis.abs() / 1000))
    }
}
