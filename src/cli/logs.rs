//! Where log lines go: standard error, as text or JSON. Other people's code never logs below INFO, whatever is asked for:
//! what a dependency prints at TRACE is not ours to vouch for.

pub mod guard;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogSection};

/// Starts logging for the process; a second call changes nothing.
pub(super) fn start(log: &LogSection) {
    let filter = Targets::new()
        .with_default(log.level.min(LevelFilter::INFO))
        .with_target("presence_bridge", log.level)
        .with_target("mqtt5", LevelFilter::ERROR.min(log.level));
    let registry = tracing_subscriber::registry().with(filter);
    let format = log.format;
    let layer = tracing_subscriber::fmt::layer().with_writer(move || guard::Guarded(format));
    // An error means that logging was started before: keep that.
    let _started = match log.format {
        LogFormat::Json => registry.with(layer.json()).try_init(),
        LogFormat::Text => registry.with(layer.with_ansi(super::look().colour)).try_init(),
    };
}
