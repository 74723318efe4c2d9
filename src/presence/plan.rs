//! What the core works to: people, signals, rules and policy, compiled from the configuration.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::TenantId;
use super::pair::Presence;
use super::rule::Rules;

/// Everything the configuration says that decides presence.
#[derive(Debug, Default)]
pub struct Plan {
    /// Tenant ids (GUIDs), by [`TenantId`].
    pub tenants: Vec<ObjectId>,
    /// The only people who are ever set.
    pub people: Vec<PersonPlan>,
    /// In order of priority, the first wins.
    pub signals: Vec<Signal>,
    /// How messages become effects.
    pub rules: Rules,
    /// Durations and rates.
    pub policy: Policy,
}

/// One listed person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonPlan {
    /// Where Graph keeps the presence.
    pub tenant: TenantId,
    /// Graph's id of the user.
    pub object_id: ObjectId,
    /// The name that logs and topics show.
    pub label: Box<str>,
}

/// A fact about a person that devices can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// What it shows while on, if anything.
    pub presence: Option<Presence>,
}

/// A signal by its place in the order of priority: 0 wins over 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SignalId(pub u16);

/// A rule by its place in the configuration; the built-in door `in/<label>/<signal>` is [`RuleId::DOOR`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleId(pub u32);

impl RuleId {
    /// The door that needs no rule.
    pub const DOOR: RuleId = RuleId(u32::MAX);
}

/// Durations and rates of a tenant's people.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// `expirationDuration` of each call, PT5M…PT4H: how long a session outlives a bridge that died.
    pub max_stale: Duration,
    /// What somebody shows who is known to be free: `None` clears the session, which leaves it to their Teams clients.
    pub when_free: Option<Presence>,
    /// How long a share goes on after its device said "unknown" or went away.
    pub grace: Duration,
    /// How long shares go on while the bridge cannot hear their broker.
    pub blind_hold: Duration,
    /// Whether the expiration follows the known end of what is wanted, within PT5M…PT4H, instead of `max_stale`.
    pub trust_until: bool,
    /// How far the expiration of sessions that are only refreshed may stretch, each time to twice what it was, while the
    /// budget does not suffice; then they outlive a bridge that died by so much.
    pub max_stale_ceiling: Option<Duration>,
    /// How often what Graph holds is compared with what colleagues see; `None` for never.
    pub verify: Option<Duration>,
    /// Several replicas share the work: refreshes begin at 50 % of the expiration instead of 60 %.
    pub replicas: bool,
    /// Calls per second to one tenant. Graph: 1,500 in 30 s for an application in a tenant.
    pub rate: f64,
    /// Calls at once after a pause.
    pub burst: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            max_stale: Duration::from_secs(300),
            when_free: None,
            grace: Duration::from_secs(15),
            blind_hold: Duration::from_secs(900),
            trust_until: false,
            max_stale_ceiling: None,
            verify: None,
            replicas: false,
            rate: 45.0,
            burst: 60,
        }
    }
}

/// A GUID as Entra and Graph use them for tenants, applications and users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId(u128);

impl TryFrom<String> for ObjectId {
    type Error = NotAGuid;

    fn try_from(text: String) -> Result<Self, NotAGuid> {
        text.parse()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> String {
        id.to_string()
    }
}

impl fmt::Display for ObjectId {
    /// Lower case with hyphens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// Not eight, four, four, four and twelve hexadecimal digits with hyphens between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAGuid;

impl fmt::Display for NotAGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a GUID like 11111111-2222-3333-4444-555555555555")
    }
}

impl std::error::Error for NotAGuid {}

impl FromStr for ObjectId {
    type Err = NotAGuid;

    fn from_str(text: &str) -> Result<Self, NotAGuid> {
        let lengths = text.split('-').map(str::len);
        if !lengths.eq([8, 4, 4, 4, 12]) || !text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()) {
            return Err(NotAGuid);
        }
        let hex: String = text.chars().filter(|&c| c != '-').collect();
        u128::from_str_radix(&hex, 16).map(ObjectId).map_err(|_| NotAGuid)
    }
}
