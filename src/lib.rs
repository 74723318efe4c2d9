//! Keeps people's presence at Microsoft Graph in step with what their devices and calendars say over MQTT.
#[cfg(feature = "bridge")]
pub mod clock;
#[cfg(feature = "bridge")]
pub mod graph;
#[cfg(feature = "bridge")]
pub mod mqtt;
pub mod presence;
pub mod sandbox;
#[cfg(feature = "bridge")]
pub mod secret;
#[cfg(feature = "bridge")]
pub mod telemetry;
#[cfg(feature = "bridge")]
pub mod tls;
