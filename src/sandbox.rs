//! A stand-in for the tenant: for the demo, for trials, for other software, and as the judge in tests.
//!
//! [`tenant`] is a pure model of what Graph documents about presence, on a virtual clock; it knows nothing of the bridge.
//! Around it, behind the feature `sandbox`: an HTTP server for it, and an embedded MQTT broker.

#[cfg(feature = "sandbox")]
mod body;
#[cfg(feature = "sandbox")]
pub mod broker;
#[cfg(feature = "sandbox")]
mod certificate;
#[cfg(feature = "sandbox")]
mod http;
pub mod tenant;
#[cfg(feature = "sandbox")]
mod time;

#[cfg(feature = "sandbox")]
pub use self::http::{Listen, Options, Sandbox};
