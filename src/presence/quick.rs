//! A quick hash for tables whose keys are all from the configuration. std's resists keys that are chosen to collide;
//! nobody who sends messages can put a key into these tables, so that would be paid for at every level of every topic
//! for nothing. Tables with keys from messages keep std's.

use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// For `HashMap<_, _, Quick>`.
pub(super) type Quick = BuildHasherDefault<QuickHasher>;

/// Odd, with its bits well mixed (the golden ratio).
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Eight bytes at a time, each folded in by one multiplication.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuickHasher(u64);

impl QuickHasher {
    fn fold(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.fold(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.fold(u64::from(byte));
    }

    /// A table takes its slots from the low bits, which a multiplication mixes least.
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// For tables whose keys are digests of what strangers send: the digest has mixed the bits, but anybody can compute it, so
/// that a key of our own decides the place in the table.
#[derive(Clone, Debug)]
pub(super) struct Keyed(u64);

impl Default for Keyed {
    fn default() -> Self {
        Keyed(RandomState::new().hash_one(0))
    }
}

impl BuildHasher for Keyed {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded(self.0)
    }
}

/// One multiplication, of which all bits count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folded(u64);

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(FACTOR);
        #[allow(clippy::cast_possible_truncation, reason = "both halves are wanted")]
        let (low, high) = (product as u64, (product >> 64) as u64);
        self.0 = low ^ high;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
