//! The program as the system has it: signals, service manager, panics, descriptors, one instance for a state directory.
//! By the real binary between mosquitto and the tenant model; each fault says which change of one line turns it red.

mod commands;
mod ends;
mod manager;
mod reload;
mod trouble;

use std::time::Duration;

use presence_bridge::clock::Clock;
use presence_bridge::sandbox::Sandbox;

use crate::binary::{Bridge, CANARY, configuration};
use crate::support::mosquitto::Mosquitto;

const NOBODY: &str = "Offline/Offline";
const CALL: &str = "Busy/InACall";

/// Its directory, with what a configuration needs.
fn dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), format!("{CANARY}\n")).unwrap();
    dir
}

/// With these lines at the end of the configuration.
fn text(broker: &Mosquitto, sandbox: &Sandbox, more: &str) -> String {
    configuration(broker.port, &sandbox.graph_url(), "level = \"info\"") + more
}

async fn bridge(broker: &Mosquitto, sandbox: &Sandbox, environment: &[(&str, &str)]) -> Bridge {
    Bridge::with(dir(), &text(broker, sandbox, ""), &[], environment).await
}

/// How long it took to end, how it ended, what it said.
async fn time(bridge: Bridge) -> (Duration, Option<i32>, String) {
    let before = Clock::live().real();
    let (code, log) = bridge.ended().await;
    (Clock::live().real().since(before), code, log)
}
