//! Which MQTT to try next. Pure: it is handed what happened.

use super::Protocol;
use super::failure::Cause;
use super::wire::Version;

/// So many connections in a row that the peer closes between CONNECT and CONNACK mean that it does not know the protocol.
const CLOSED: u32 = 2;

/// What is spoken, and whether that may change.
#[derive(Debug)]
pub(super) struct Versions {
    pub(super) current: Version,
    /// Nothing has worked yet, and the configuration leaves it to us.
    open: bool,
    closed: u32,
    changes: u32,
}

/// The other version is to be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Both were not tried yet: no wait is needed.
    pub(super) first: bool,
}

impl Versions {
    pub(super) fn new(protocol: Protocol) -> Self {
        let current = if protocol == Protocol::V311 { Version::V311 } else { Version::V5 };
        Versions { current, open: protocol == Protocol::Newest, closed: 0, changes: 0 }
    }

    /// A broker said CONNACK: what works is kept.
    pub(super) fn worked(&mut self) {
        self.open = false;
    }

    /// A connection without CONNACK ended.
    pub(super) fn failed(&mut self, cause: Cause) -> Option<Change> {
        self.closed = if cause == Cause::PeerClosed { self.closed + 1 } else { 0 };
        if !self.open || !(cause == Cause::Unsupported || self.closed >= CLOSED) {
            return None;
        }
        self.closed = 0;
        self.current = self.current.other();
        self.changes = self.changes.saturating_add(1);
        Some(Change { first: self.changes == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_changes_at_once_and_a_silent_end_after_two_in_a_row() {
        let mut versions = Versions::new(Protocol::Newest);
        assert_eq!(versions.failed(Cause::Unsupported), Some(Change { first: true }));
        assert_eq!(versions.current, Version::V311);
        assert_eq!(versions.failed(Cause::PeerClosed), None);
        assert_eq!(versions.failed(Cause::PortRefuses), None, "the row is broken");
        assert_eq!(versions.failed(Cause::PeerClosed), None);
        assert_eq!(versions.failed(Cause::PeerClosed), Some(Change { first: false }));
        assert_eq!(versions.current, Version::V5);
    }

    #[test]
    fn what_worked_and_what_is_configured_stays() {
        for (protocol, version) in [(Protocol::V5, Version::V5), (Protocol::V311, Version::V311)] {
            let mut versions = Versions::new(protocol);
            assert_eq!(versions.failed(Cause::Unsupported), None);
            assert_eq!(versions.current, version);
        }
        let mut versions = Versions::new(Protocol::Newest);
        versions.worked();
        assert_eq!(versions.failed(Cause::Unsupported), None);
    }
}
