//! Panics, a terminal that is gone, no descriptors left, a second bridge with the same state.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::{CALL, NOBODY, bridge, dir, text};
use crate::binary::{Bridge, PROGRAM, seen};
use crate::support::mosquitto::{Mosquitto, program};
use crate::support::{ALICE, BOB, sandbox, skipped, stays, until};

/// Red: `run` does not call `end_the_process` (a debug build then lives on without the task).
#[tokio::test]
async fn fault_64_a_panic_in_a_task_or_a_thread_ends_the_process_with_a_report() {
    let Some(broker) = Mosquitto::start("fault_64 panic", "").await else { return };
    if !cfg!(debug_assertions) {
        return skipped("fault_64 panic", "the test aid is in debug builds only");
    }
    let sandbox = sandbox(false).await;
    for place in ["task", "thread"] {
        let bridge = Bridge::spawn(dir(), &text(&broker, &sandbox, ""), &[], &[("PRESENCE_BRIDGE_TEST_PANIC", place)]);
        let (code, log) = bridge.ended().await;
        assert_eq!(code, Some(70), "{log}");
        // Other threads may get a word in before the process is gone.
        let last = log.lines().rfind(|line| line.contains("Panic: ")).unwrap_or_else(|| panic!("no report in {log}"));
        for part in ["ERROR", "src/cli/run.rs:", &format!("asked for by a test, in a {place}")] {
            assert!(last.contains(part), "{part} is missing in {last}");
        }
    }
}

/// Whoever read what it says is gone: `run 2>&1 | head`. Nobody notices but the log.
///
/// Red: `say!` is `println!`, or the log's layer is told to report its own errors.
#[tokio::test]
async fn fault_64_closed_outputs_end_nothing() {
    let Some(broker) = Mosquitto::start("fault_64 closed outputs", "").await else { return };
    let sandbox = sandbox(false).await;
    let dir = dir();
    let path = dir.path().join("bridge.toml");
    std::fs::write(&path, text(&broker, &sandbox, "")).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["run", "--sandbox=graph", "-c"])
        .arg(&path)
        .env("STATE_DIRECTORY", dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    let status = || crate::binary::retained(&broker, "presence-bridge/status/bridge-under-test");
    until("it is online", || status().contains("online")).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    let alice = || crate::binary::retained(&broker, "presence-bridge/people/alice");
    until("alice is set", || alice().contains(r#""held":"Busy/InACall""#)).await;
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let mut code = None;
    until("it ends", || {
        code = child.try_wait().unwrap().map(|status| status.code());
        code.is_some()
    })
    .await;
    assert_eq!(code, Some(Some(0)));
}

/// No descriptor is left for a while: nobody is set meanwhile, everybody afterwards, and nothing spins.
///
/// Red: any `?` or unwrap on a socket of the loop; here, that a call which could not connect counts as answered
/// (`Outcome::NotSent` in graph.rs is `Accepted`).
#[tokio::test]
async fn fault_64_without_descriptors_it_lives_and_catches_up() {
    let Some(broker) = Mosquitto::start("fault_64 descriptors", "").await else { return };
    let Some(prlimit) = program("prlimit") else {
        return skipped("fault_64 descriptors", "prlimit of util-linux is not installed");
    };
    let sandbox = sandbox(false).await;
    let mut bridge = bridge(&broker, &sandbox, &[]).await;
    let limit = |id: u32, most: &str| {
        let limited = Command::new(&prlimit).args([format!("--pid={id}"), format!("--nofile={most}:")]).status();
        assert!(limited.unwrap().success());
    };
    limit(bridge.id(), "3");
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    broker.publish("pbx/devstate/PJSIP/1002", "INUSE", false);
    until("a call fails", || bridge.log().contains("A call to Graph failed.") || bridge.log().contains("oken")).await;
    let before = ticks(bridge.id());
    stays("nobody is set", Duration::from_secs(3), || seen(&sandbox, ALICE) == NOBODY).await;
    let spent = ticks(bridge.id()) - before;
    assert!(spent < 100, "{spent} hundredths of a second of work in three seconds");
    assert!(bridge.runs());
    limit(bridge.id(), "1024");
    let caught_up = || seen(&sandbox, ALICE) == CALL && seen(&sandbox, BOB) == CALL;
    // Back-off and the gate have grown meanwhile.
    let soon = async {
        while !caught_up() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), soon).await.is_ok(), "{}", bridge.log());
}

/// Time that a process has used, in hundredths of a second.
fn ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Red: `instance::lock` does not try to lock.
#[tokio::test]
async fn a_second_bridge_with_the_same_state_directory_is_refused_and_says_what_to_do() {
    let Some(broker) = Mosquitto::start("one instance", "").await else { return };
    let sandbox = sandbox(false).await;
    let mut bridge = bridge(&broker, &sandbox, &[]).await;
    let text = std::fs::read_to_string(bridge.path()).unwrap();
    let state = bridge.path().parent().unwrap().display().to_string();
    let second = Bridge::spawn(dir(), &text, &[], &[("STATE_DIRECTORY", &state)]);
    let (code, said) = second.ended().await;
    assert_eq!(code, Some(75), "{said}");
    let owner = format!("another bridge (process {}) runs with the state directory", bridge.id());
    for part in [owner.as_str(), "dir in [state]"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert!(bridge.runs());
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    until("the first goes on", || seen(&sandbox, ALICE) == CALL).await;
    // The lock goes with the process, however that ends: nothing has to be cleared away.
    bridge.signal("KILL");
    until("it is gone", || !bridge.runs()).await;
    let dir = bridge.into_dir();
    let next = Bridge::with(dir, &text, &[], &[]).await;
    assert_eq!(next.terminate().await.0, Some(0));
}
