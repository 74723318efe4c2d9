//! Keeps people's presence at Microsoft Graph in step with what their devices and calendars say over MQTT.
//!
//! The theory: a device never *sets* a presence. It holds a *share*, a lease on one signal of one person ("alice is on a
//! call, says phone 1001, for the next eight hours at most"). What a person should show is recomputed from the live shares
//! at every event and every deadline; what Graph was last heard to hold is compared with it; the difference, and nothing
//! else, is sent. So nobody is stuck because a message was lost, and nothing is sent because a message was repeated.
//!
//! The house, from the inside out:
//!
//! * [`presence`]: the pure core. Events and time in, actions out; no IO, no clock, cannot fail.
//! * `bridge`: the loop where core and adapters meet. `clock`: the only reader of clocks.
//! * `mqtt`, `graph`, `store`, `admin`: adapters, each the only user of its library; they do not know each other.
//! * `service`: what a service manager is told.
//! * `config`: from TOML to what the program needs, with all problems at once. `cli`: one file a command.
//! * `replay`: a recording through the core and the tenant model, on virtual time.
//! * [`sandbox`]: a stand-in for the tenant. Its heart, [`sandbox::tenant`], is a pure model of Graph presence and shares
//!   no code with [`presence`], so that it can judge it.

#[cfg(feature = "bridge")]
pub mod admin;
#[cfg(feature = "bridge")]
pub mod bridge;
#[cfg(feature = "bridge")]
pub mod cli;
#[cfg(feature = "bridge")]
pub mod clock;
#[cfg(feature = "bridge")]
pub mod config;
#[cfg(feature = "bridge")]
pub mod graph;
#[cfg(feature = "bridge")]
pub mod mqtt;
pub mod presence;
#[cfg(feature = "bridge")]
pub mod replay;
pub mod sandbox;
#[cfg(feature = "bridge")]
pub mod secret;
#[cfg(feature = "bridge")]
pub mod service;
#[cfg(feature = "bridge")]
pub mod store;
#[cfg(feature = "bridge")]
pub mod telemetry;
#[cfg(feature = "bridge")]
pub mod tls;
