//! The pure core: what each person should show, what Graph holds, and which call is due. Events and time in, actions
//! out. No IO, no async, no clock, no randomness of its own, and it cannot fail.
//!
//! ```text
//!  publish ─► rule ─► board ─► arbiter ─► session ─► keeper ─► action
//!             what it  the      what to    what to    who goes
//!             means    shares   show       send       next
//! ```

pub mod action;
pub mod arbiter;
pub mod backoff;
pub mod board;
mod budget;
pub mod core;
pub mod forecast;
mod keeper;
mod load;
mod memory;
pub mod now;
pub mod pair;
pub mod partition;
pub mod plan;
mod quick;
pub mod rule;
pub mod session;
pub mod snapshot;
pub mod topic;
pub mod view;

pub use self::core::{Core, Handled, MOST_READ, Step};
pub use action::{Action, Alarm, Cause, Link, OnStop, Outcome, PersonId, Publish, SourceId, TenantId, Ticket};
pub use arbiter::Standing;
pub use board::{Applied, Level};
pub use budget::Rate;
pub use forecast::{Forecast, Habits, Remedy, forecast};
pub use now::{Deadline, Mono, Now, Timestamp, parse_duration};
pub use pair::{NotSettable, Presence};
pub use partition::{PARTITIONS, Partition};
pub use plan::{NotAGuid, ObjectId, PersonPlan, Plan, Policy, RuleId, Signal, SignalId};
pub use rule::{Effect, Reason, Rules, Say};
pub use session::{Held, Waiting};
pub use snapshot::{Changes, Folded, Restart, Snapshot};
pub use view::{ShareView, View};
