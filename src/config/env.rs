//! The only reader of the environment.
#![allow(clippy::disallowed_methods, reason = "the one place that may")]

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

/// A secret from the environment variable `name`.
pub(super) fn secret(name: &str) -> Option<SecretString> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(SecretString::from)
}

/// What is no secret, from the environment variable `name`.
pub(super) fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether somebody wants no colours (no-color.org), or their terminal has none.
pub(super) fn no_colour() -> bool {
    text("NO_COLOR").is_some() || text("TERM").is_some_and(|terminal| terminal == "dumb")
}

/// Where a service manager wants state to be kept (systemd: `StateDirectory=`).
pub(super) fn state_directory() -> Option<PathBuf> {
    first_path("STATE_DIRECTORY")
}

/// Where a service manager wants sockets to be (systemd: `RuntimeDirectory=`).
pub(super) fn runtime_directory() -> Option<PathBuf> {
    first_path("RUNTIME_DIRECTORY")
}

/// Where the sockets of somebody who is logged in are.
pub(super) fn user_runtime_directory() -> Option<PathBuf> {
    first_path("XDG_RUNTIME_DIR")
}

/// Where a service manager wants to be told how it goes, and how long it waits for a word of life (systemd: `Type=notify`,
/// `WatchdogSec=`).
pub(super) fn service_manager() -> (Option<String>, Option<Duration>) {
    let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    // What was meant for the process that started us is none of ours.
    let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let watchdog = number("WATCHDOG_USEC").filter(|&micros| ours && micros > 0).map(Duration::from_micros);
    (text("NOTIFY_SOCKET"), watchdog)
}

/// A test aid: where to panic, once the bridge runs. Not in a release.
#[cfg(debug_assertions)]
pub(super) fn panics_in() -> Option<String> {
    text("PRESENCE_BRIDGE_TEST_PANIC")
}

/// systemd parts several by colons.
fn first_path(name: &str) -> Option<PathBuf> {
    let value = text(name)?;
    value.split(':').next().filter(|path| path.starts_with('/')).map(PathBuf::from)
}
