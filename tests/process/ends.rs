//! SIGTERM, once and twice; SIGINT before there is anything to end; SIGHUP when it is too late.

use std::process::{Command, Stdio};
use std::time::Duration;

use presence_bridge::sandbox::tenant::{Fault, Match, What};

use super::{CALL, NOBODY, bridge, dir, text, time};
use crate::binary::{Bridge, PROGRAM, retained, seen};
use crate::support::mosquitto::Mosquitto;
use crate::support::{ALICE, BOB, sandbox, until};

/// No call is answered: whoever waits for the last ones waits as long as a stop may take.
async fn that_hangs(broker: &Mosquitto, sandbox: &presence_bridge::sandbox::Sandbox) -> Bridge {
    let bridge = bridge(broker, sandbox, &[]).await;
    sandbox.tenant().lock().unwrap().fault(Fault {
        on: Match::Set,
        times: 9,
        what: What::Delay(Duration::from_secs(60)),
    });
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    until("the call is out", || sandbox.tenant().lock().unwrap().log().iter().any(|entry| entry.what == "setPresence"))
        .await;
    bridge
}

/// What is seen stays, what changed last still goes, and the farewell is said.
///
/// Red: `Bridge::stop` does not wait for `drain`.
#[tokio::test]
async fn fault_64_sigterm_says_what_changed_last_and_leaves_the_rest() {
    let Some(broker) = Mosquitto::start("fault_64 drain", "").await else { return };
    let sandbox = sandbox(false).await;
    let bridge = bridge(&broker, &sandbox, &[]).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    broker.publish("pbx/devstate/PJSIP/1002", "INUSE", false);
    until("both are seen", || seen(&sandbox, ALICE) == CALL && seen(&sandbox, BOB) == CALL).await;
    let what = What::Delay(Duration::from_secs(1));
    sandbox.tenant().lock().unwrap().fault(Fault { on: Match::Clear, times: 1, what });
    broker.publish("pbx/devstate/PJSIP/1002", "NOT_INUSE", false);
    until("the clear is out", || {
        sandbox.tenant().lock().unwrap().log().iter().any(|entry| entry.what == "clearPresence")
    })
    .await;
    bridge.signal("TERM");
    let (took, code, log) = time(bridge).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(log.contains("from=\"Busy/InACall\" to=\"none\""), "its answer was awaited: {log}");
    assert_eq!((seen(&sandbox, ALICE).as_str(), seen(&sandbox, BOB).as_str()), (CALL, NOBODY));
    assert!(retained(&broker, "presence-bridge/status/bridge-under-test").contains("offline"));
}

/// Red: `DRAIN` in bridge.rs is a minute (then the last resort of `signals.rs` ends it, with another exit code).
#[tokio::test]
async fn fault_64_a_drain_takes_five_seconds_whatever_hangs_and_a_reload_then_is_refused() {
    let Some(broker) = Mosquitto::start("fault_64 hanging drain", "").await else { return };
    let sandbox = sandbox(false).await;
    let bridge = that_hangs(&broker, &sandbox).await;
    bridge.signal("TERM");
    until("it drains", || bridge.log().contains("Stopping.")).await;
    bridge.signal("HUP");
    until("SIGHUP is answered", || bridge.log().contains("SIGHUP changes nothing: the bridge is stopping.")).await;
    let (took, code, log) = time(bridge).await;
    assert!(took < Duration::from_secs(7), "{took:?}");
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("Configuration taken up."), "{log}");
    assert!(log.contains("Stopped before everything was answered"), "{log}");
}

/// Red: `at_once` in signals.rs does not end the process.
#[tokio::test]
async fn fault_64_a_second_sigterm_ends_at_once() {
    let Some(broker) = Mosquitto::start("fault_64 twice", "").await else { return };
    let sandbox = sandbox(false).await;
    for second in ["TERM", "INT"] {
        let bridge = that_hangs(&broker, &sandbox).await;
        bridge.signal("TERM");
        until("it drains", || bridge.log().contains("Stopping.")).await;
        bridge.signal(second);
        let (took, code, log) = time(bridge).await;
        assert_eq!(code, Some(1), "{log}");
        assert!(took < Duration::from_secs(2), "{second}: {took:?}");
        assert!(log.contains(&format!("A second SIG{second}: ended at once")), "{log}");
    }
}

/// Red: `start` in run.rs reads the configuration before it listens to signals (SIGHUP ends the process).
#[tokio::test]
async fn fault_64_signals_in_start_up_end_it_or_do_no_harm() {
    let Some(broker) = Mosquitto::start("fault_64 start-up", "").await else { return };
    let sandbox = sandbox(false).await;
    // A configuration that takes as long to read as one likes: nobody writes into it.
    let dir = dir();
    let path = dir.path().join("bridge.toml");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    for (signals, code) in [(&["INT"][..], 0), (&["HUP", "TERM"], 0)] {
        let mut child = Command::new(PROGRAM)
            .args(["run", "-c"])
            .arg(&path)
            .env("STATE_DIRECTORY", dir.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("it listens to signals", || caught(child.id())).await;
        for name in signals {
            assert!(
                Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap().success()
            );
        }
        let mut ended = None;
        until("it ends", || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        assert_eq!(ended.unwrap().code(), Some(code), "{signals:?}");
    }
    // SIGHUP while it is read, and it starts all the same.
    let text = text(&broker, &sandbox, "");
    let bridge = {
        let dir = super::dir();
        std::fs::write(dir.path().join("bridge.toml"), &text).unwrap();
        Bridge::spawn(dir, &text, &[], &[])
    };
    until("it listens to signals", || caught(bridge.id())).await;
    bridge.signal("HUP");
    until("it subscribes", || bridge.log().contains("MQTT subscribed.")).await;
    assert_eq!(bridge.terminate().await.0, Some(0));
}

/// Whether a process has taken SIGHUP, SIGINT and SIGTERM into its own hands.
fn caught(id: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
    let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
    [1, 2, 15].iter().all(|signal| mask >> (signal - 1) & 1 == 1)
}
