//! How long to wait after the n-th failure in a row: doubling, capped, with jitter that is a function of its inputs.

use std::time::Duration;

/// `first` · 2ⁿ⁻¹ up to `cap` for the n-th failure, of which the last quarter is jitter drawn from `seed`.
#[must_use]
pub fn backoff(failures: u32, first: Duration, cap: Duration, seed: u64) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(cap);
    doubled.mul_f64(0.75 + 0.25 * fraction(seed ^ u64::from(failures)))
}

/// A fraction in `[0, 1)` that looks random and depends on `seed` alone (the finaliser of SplitMix64).
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "53 bits are all that a fraction needs")]
pub fn fraction(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
