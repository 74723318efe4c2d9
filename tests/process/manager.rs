//! What a service manager hears, by a datagram socket of the test's own in its place.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use presence_bridge::clock::Clock;

use super::{CALL, bridge, dir, text, time};
use crate::binary::{Bridge, CANARY, seen};
use crate::support::mosquitto::Mosquitto;
use crate::support::{ALICE, sandbox, skipped, until};

struct Manager {
    path: String,
    heard: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

impl Manager {
    fn new() -> Manager {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify").display().to_string();
        let socket = UnixDatagram::bind(&path).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length) = socket.recv(&mut bytes) {
                kept.lock().unwrap().push(String::from_utf8(bytes[..length].to_vec()).unwrap());
            }
        });
        Manager { path, heard, _dir: dir }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    fn count(&self, line: &str) -> usize {
        self.heard().iter().filter(|said| said.lines().any(|said| said == line)).count()
    }

    fn says(&self, part: &str) -> bool {
        self.heard().iter().any(|said| said.contains(part))
    }
}

/// Red, each: `ready`, `reloading`, `stopping` of service.rs say nothing.
#[tokio::test]
async fn the_manager_hears_ready_reloading_ready_again_and_stopping_in_this_order() {
    let Some(broker) = Mosquitto::start("manager", "").await else { return };
    let sandbox = sandbox(false).await;
    let manager = Manager::new();
    let bridge = bridge(&broker, &sandbox, &[("NOTIFY_SOCKET", &manager.path)]).await;
    until("ready", || manager.count("READY=1") == 1).await;
    until("a status", || manager.says("STATUS=mqtt ") && manager.says("of 2 people taken")).await;
    let micros = || Clock::live().monotonic_micros();
    let before = micros();
    bridge.signal("HUP");
    until("ready again", || manager.count("READY=1") == 2).await;
    let heard = manager.heard();
    let at = |line: &str| heard.iter().position(|said| said.starts_with(line)).unwrap();
    let reloading = &heard[at("RELOADING=1")];
    let stamp: u64 = reloading.split("MONOTONIC_USEC=").nth(1).unwrap().parse().unwrap();
    assert!((before..micros()).contains(&stamp), "{stamp} is not on the clock of the manager's signal");
    // A file that is wrong: done, and it says why.
    let path = bridge.path();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\n[nonsense]\n")).unwrap();
    bridge.signal("HUP");
    until("ready again", || manager.count("READY=1") == 3).await;
    assert!(manager.says("STATUS=Configuration on disk refused, the last good one stays: "), "{:?}", manager.heard());
    bridge.signal("TERM");
    until("stopping", || manager.count("STOPPING=1") == 1).await;
    assert_eq!(bridge.ended().await.0, Some(0));
}

/// Red: `Duty::due` is never ready.
#[tokio::test]
async fn the_watchdog_is_fed_while_all_is_well_be_the_broker_there_or_not() {
    let Some(mut broker) = Mosquitto::start("watchdog", "").await else { return };
    let sandbox = sandbox(false).await;
    let manager = Manager::new();
    let environment = [("NOTIFY_SOCKET", manager.path.as_str()), ("WATCHDOG_USEC", "4000000")];
    let _bridge = bridge(&broker, &sandbox, &environment).await;
    until("it is fed", || manager.count("WATCHDOG=1") >= 2).await;
    broker.kill();
    until("the loss is in the status", || manager.says("STATUS=mqtt NOT CONNECTED")).await;
    let before = manager.count("WATCHDOG=1");
    until("it is fed all the same", || manager.count("WATCHDOG=1") >= before + 3).await;
}

/// A thread of the runtime hangs: the task of a link reads its password from a pipe into which nobody writes. SIGTERM and
/// SIGINT end it all the same.
///
/// Red: word of life by a thread of its own in the place of the loop; signals heard by a task of the runtime.
#[tokio::test]
async fn fault_64_the_watchdog_is_not_fed_when_a_part_hangs_and_signals_end_it() {
    let Some(mut broker) = Mosquitto::start("watchdog hanging link", "").await else { return };
    let sandbox = sandbox(false).await;
    let manager = Manager::new();
    let environment = [("NOTIFY_SOCKET", manager.path.as_str()), ("WATCHDOG_USEC", "4000000")];
    let dir = dir();
    std::fs::write(dir.path().join("password"), CANARY).unwrap();
    let mqtt = "[mqtt]\nusername = \"bridge\"\npassword_file = \"password\"";
    let text = text(&broker, &sandbox, "").replace("[mqtt]", mqtt);
    let password = dir.path().join("password");
    let bridge = Bridge::with(dir, &text, &[], &environment).await;
    until("it is fed", || manager.count("WATCHDOG=1") >= 2).await;
    std::fs::remove_file(&password).unwrap();
    assert!(Command::new("mkfifo").arg(&password).status().unwrap().success());
    broker.kill();
    until("the loss is noticed", || bridge.log().contains("MQTT connection lost")).await;
    let fed = || manager.count("WATCHDOG=1");
    // Words of life come every two seconds; the last may be on its way.
    let (mut last, mut since) = (fed(), Clock::live().now().mono);
    until("nothing feeds it any more", || {
        let now = Clock::live().now().mono;
        if fed() != last {
            (last, since) = (fed(), now);
        }
        now.since(since) > Duration::from_secs(5)
    })
    .await;
    bridge.signal("TERM");
    until("SIGTERM is taken", || !pending(bridge.id(), 15)).await;
    bridge.signal("INT");
    let (took, code, log) = time(bridge).await;
    assert_eq!(code, Some(1), "{log}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn what_was_meant_for_another_process_is_not_ours_and_a_socket_that_is_gone_harms_nobody() {
    let Some(broker) = Mosquitto::start("watchdog of another", "").await else { return };
    let sandbox = sandbox(false).await;
    let manager = Manager::new();
    let environment = [("NOTIFY_SOCKET", manager.path.as_str()), ("WATCHDOG_USEC", "4000000"), ("WATCHDOG_PID", "1")];
    let bridge = bridge(&broker, &sandbox, &environment).await;
    until("ready", || manager.count("READY=1") == 1).await;
    std::fs::remove_file(&manager.path).unwrap();
    bridge.signal("HUP");
    until("reloaded", || bridge.log().contains("Configuration taken up.")).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    until("InACall", || seen(&sandbox, ALICE) == CALL).await;
    assert_eq!(bridge.terminate().await.0, Some(0));
}

/// An abstract name, as containers' managers use them.
#[tokio::test]
async fn a_manager_may_have_an_abstract_name() {
    use std::os::linux::net::SocketAddrExt;
    let Some(broker) = Mosquitto::start("abstract manager", "").await else { return };
    let sandbox = sandbox(false).await;
    let name = format!("presence-bridge-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let Ok(socket) = UnixDatagram::bind_addr(&address) else {
        return skipped("abstract manager", "no abstract sockets here");
    };
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _bridge = bridge(&broker, &sandbox, &[("NOTIFY_SOCKET", &format!("@{name}"))]).await;
    let mut bytes = [0; 100];
    let length = socket.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"READY=1");
}

/// Whether a process has been sent a signal that it has not taken yet.
fn pending(id: u32, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).map(str::trim).unwrap();
    u64::from_str_radix(mask, 16).unwrap() >> (signal - 1) & 1 == 1
}
