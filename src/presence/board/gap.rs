//! The time in which a broker could not be heard.

use crate::presence::action::SourceId;
use crate::presence::now::Mono;

/// A time in which a broker could not be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last proof of hearing.
    pub since: Mono,
    /// When it ends the shares that nothing confirms.
    pub ends_shares: Mono,
}

impl Gap {
    /// The broker is heard.
    pub const NONE: Gap = Gap { since: Mono::ZERO, ends_shares: Mono::MAX };
}

/// For each broker the gap that is open.
pub(in crate::presence) type Deafness = [Gap];

pub(in crate::presence) fn deaf(deafness: &Deafness, source: SourceId) -> Gap {
    deafness.get(usize::from(source.0)).copied().unwrap_or(Gap::NONE)
}
