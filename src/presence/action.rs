//! What the core is told, and what it asks for: the words between the core and everybody else.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::now::Mono;
use super::pair::Presence;

/// A person in the core: an index, stable while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(pub(crate) u32);

/// One tenant at Graph, by its place in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u16);

/// One broker, by its place in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId(pub u16);

/// One call to Graph. An outcome is believed only for the ticket that is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(crate) person: PersonId,
    pub(crate) serial: u64,
}

/// A message as a broker delivered it.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// The topic, as bytes: MQTT demands UTF-8, brokers and clients do not all check it.
    pub topic: &'a [u8],
    /// The payload, untouched.
    pub payload: &'a [u8],
    /// The retain flag as delivered: a replay after SUBSCRIBE, not a live message (retain-as-published is 0).
    pub retain: bool,
    /// MQTT 5 message expiry interval that remains, if any.
    pub expiry: Option<Duration>,
}

/// What the link to a broker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The connection is gone.
    Down,
    /// Connected and subscribed.
    Up {
        /// The broker kept our MQTT session: what was published at QoS 1 meanwhile is coming.
        session_present: bool,
        /// For how long the broker keeps it after a loss.
        expiry: Duration,
    },
    /// All retained messages of the last subscription have been delivered.
    Replayed,
    /// Connected, but nothing is heard since then.
    Deaf {
        /// The last proof of hearing.
        since: Mono,
    },
    /// The machine slept: as deaf, whatever the link was; and as after a restart, nobody is set anew from what was known
    /// before until the broker has come back, for a moment at most.
    Slept {
        /// The last proof of hearing.
        since: Mono,
    },
}

/// How a call to Graph ended, as far as one can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx by Graph, or 404 for a clear: it is as asked.
    Accepted,
    /// 429. May have been applied all the same.
    Throttled {
        /// From the Retry-After header, where there was one that made sense.
        retry_after: Option<Duration>,
    },
    /// Nothing left this machine: no token, no address, refused connection, or past `not_after`.
    NotSent,
    /// Sent, and no answer that is Graph's, or a 5xx: perhaps applied, perhaps later.
    Ambiguous,
    /// 401 by Graph.
    Unauthorised,
    /// 403 by Graph.
    Forbidden {
        /// The token says itself that it has no `Presence.ReadWrite.All`.
        role_missing: bool,
    },
    /// 404 by Graph for a set.
    NoSuchUser,
    /// 400 or another 4xx by Graph: the same body will never be taken.
    Refused,
}

/// Why a call is made, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Wanted differs from what Graph holds, or from what is known of it.
    Change,
    /// The session would time out or expire.
    Refresh,
}

/// What becomes of the sessions at Graph when the bridge stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// They stay until they expire: the bridge will be back in a moment.
    Leave,
    /// They are cleared.
    Clear,
}

/// What the core asks to have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Call `setPresence`.
    SetPresence {
        /// Give it back with the outcome.
        ticket: Ticket,
        /// At this tenant.
        tenant: TenantId,
        /// For this person.
        person: PersonId,
        /// To this pair.
        presence: Presence,
        /// `expirationDuration`, PT5M…PT4H.
        expiration: Duration,
        /// No first byte after this; then it counts as [`Outcome::NotSent`].
        not_after: Mono,
        /// Why.
        cause: Cause,
    },
    /// Call `clearPresence`.
    ClearPresence {
        /// Give it back with the outcome.
        ticket: Ticket,
        /// At this tenant.
        tenant: TenantId,
        /// For this person.
        person: PersonId,
        /// No first byte after this; then it counts as [`Outcome::NotSent`].
        not_after: Mono,
    },
    /// Read what colleagues see of [`super::Core::reading`], and say it to [`super::Core::handle_read`].
    Read {
        /// At this tenant.
        tenant: TenantId,
        /// Give it back with what was read.
        serial: u64,
        /// No first byte after this.
        not_after: Mono,
    },
    /// What `view` shows of the person changed.
    Changed {
        /// Whose.
        person: PersonId,
    },
    /// An alarm begins or ends.
    Alarm {
        /// Which.
        alarm: Alarm,
        /// Begins, or ends.
        on: bool,
    },
}

/// A state that somebody has to do something about. Open until the core says that it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alarm {
    /// Graph refuses the application itself (401 or 403 for everybody).
    ApplicationRefused(TenantId),
    /// Graph knows nobody: wrong cloud, route or tenant.
    NobodyKnown(TenantId),
    /// Graph does not know this person (404).
    NoSuchUser(PersonId),
    /// Graph refused what was asked for this person (400): a bug, or Graph changed.
    RequestRefused(PersonId),
    /// Graph refuses this person only (401 or 403), others go through.
    PersonRefused(PersonId),
    /// The budget does not suffice for refreshes and changes: sessions stretch up to `max_stale_ceiling`.
    BudgetShort(TenantId),
    /// Graph does not let the application read presence, which `verify` needs.
    ReadRefused(TenantId),
}
