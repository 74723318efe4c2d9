//! The pure core: what each person should show, what Graph holds, and which call is due. Events and time in, actions
//! out. No IO, no async, no clock, no randomness of its own, and it cannot fail.

pub mod action;
pub mod now;
pub mod pair;
pub mod plan;
pub mod rule;

pub use action::{Action, Alarm, Cause, Link, Outcome, PersonId, Publish, SourceId, TenantId, Ticket};
pub use now::{Deadline, Mono, Now, Timestamp};
pub use pair::{NotSettable, Presence};
pub use plan::{ObjectId, PersonPlan, Plan, Policy, RuleId, Signal, SignalId};
pub use rule::{Effect, Reason, Rules, Say};
