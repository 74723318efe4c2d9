//! Which replica looks after a person: the people are cut into partitions by a format that all replicas share.

use sha2::{Digest, Sha256};

use super::plan::ObjectId;

/// Partitions that replicas share out among themselves.
pub const PARTITIONS: usize = 64;

/// A part of the people, owned by one replica at a time: below [`PARTITIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub u8);

impl Partition {
    /// Of a person: the first byte of SHA-256(tenant id, 0, object id in lower case), modulo 64. A format, not a choice.
    #[must_use]
    pub fn of(tenant: ObjectId, object_id: ObjectId) -> Self {
        let mut hash = Sha256::new();
        hash.update(tenant.to_string());
        hash.update([0]);
        hash.update(object_id.to_string());
        Partition(hash.finalize()[0] % 64)
    }
}
