//! `deploy/mosquitto` as it is shipped: who may what, who can end whose connection, what a crash leaves.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::wire::{Access, Client, Connect, Message, Version};
use super::writable;
use crate::support::mosquitto::{Mosquitto, program};
use crate::support::{skipped, until};

/// With `bridge`, `phone1` and `phone2`, everybody's password `secret`; the rest of a directory like Debian's around it.
async fn start(test: &str) -> Option<Mosquitto> {
    let Some(tool) = program("mosquitto_passwd") else {
        skipped(test, "mosquitto_passwd is not installed");
        return None;
    };
    Mosquitto::with(test, |port, dir| {
        let file = |name: &str| dir.join(name);
        let passwd = file("passwd");
        for (flags, user) in [(&["-c", "-b"][..], "bridge"), (&["-b"], "phone1"), (&["-b"], "phone2")] {
            let made = Command::new(&tool).args(flags).arg(&passwd).args([user, "secret"]).status();
            assert!(made.unwrap().success());
        }
        std::fs::create_dir(file("lib")).unwrap();
        std::fs::create_dir(file("conf.d")).unwrap();
        std::fs::write(file("acl"), include_str!("../../deploy/mosquitto/acl")).unwrap();
        let here = dir.display().to_string();
        let ours = include_str!("../../deploy/mosquitto/mosquitto.conf")
            .replace("\nlistener 1883 ", &format!("\nlistener {port} "))
            .replace("/etc/mosquitto", &here);
        std::fs::write(file("conf.d/presence.conf"), ours).unwrap();
        for path in ["passwd", "acl", "lib"] {
            writable(&file(path));
        }
        // What Debian's own mosquitto.conf says.
        format!("persistence true\npersistence_location {here}/lib/\ninclude_dir {here}/conf.d\n")
    })
    .await
}

async fn client(broker: &Mosquitto, user: &'static str, id: &str) -> Client {
    let access = Access { port: broker.port, version: Version::V5, login: Some((user, "secret")) };
    Client::welcomed(&access, &Connect::new(id)).await
}

fn topics(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.topic.as_str()).collect()
}

#[tokio::test]
async fn nobody_comes_in_without_a_login() {
    let Some(broker) = start("deploy/mosquitto login").await else { return };
    for login in [None, Some(("bridge", "wrong")), Some(("stranger", "secret"))] {
        let access = Access { port: broker.port, version: Version::V5, login };
        let refused = Client::connect(&access, &Connect::new("x")).await.map(|_| ()).unwrap_err();
        assert_eq!(refused, "CONNACK 0x87", "{login:?}"); // not authorized
    }
}

#[tokio::test]
async fn the_bridge_may_do_what_it_needs() {
    let Some(broker) = start("deploy/mosquitto bridge").await else { return };
    let mut bridge = client(&broker, "bridge", "presence-bridge-1").await;
    bridge.subscribe(&["presence-bridge/canary/presence-bridge-1", "presence-bridge/in/#"]).await.unwrap();
    bridge.subscribe(&["pbx/#", "devices/#", "homeassistant/status"]).await.unwrap();
    // 0: granted; 0x10: granted, nobody listens; 0x87: not authorized.
    for topic in [
        "presence-bridge/canary/presence-bridge-1",
        "presence-bridge/status/presence-bridge-1",
        "presence-bridge/people/alice",
        "presence-bridge/in/alice/error",
        "homeassistant/device/presence-bridge/config",
    ] {
        let code = bridge.publish(topic, "x", false).await.unwrap();
        assert!(matches!(code, 0 | 0x10), "{topic}: {code:#x}");
    }
    assert_eq!(
        topics(&bridge.messages().await),
        ["presence-bridge/canary/presence-bridge-1", "presence-bridge/in/alice/error"]
    );
    // And nothing else: whoever gets its password does not move phones or open the door.
    for topic in ["pbx/devstate/PJSIP/1001", "devices/phone1/state", "presence-bridge/in/alice/call", "other"] {
        assert_eq!(bridge.publish(topic, "x", false).await.unwrap(), 0x87, "{topic}");
    }
}

#[tokio::test]
async fn a_device_speaks_below_its_own_name_only_and_hears_nothing() {
    let Some(broker) = start("deploy/mosquitto device").await else { return };
    let mut bridge = client(&broker, "bridge", "bridge").await;
    bridge.subscribe(&["presence-bridge/canary/#", "presence-bridge/in/#", "devices/#"]).await.unwrap();
    let mut phone = client(&broker, "phone1", "phone1").await;
    phone.subscribe(&["#"]).await.unwrap();
    for topic in [
        "presence-bridge/canary/bridge",
        "presence-bridge/status/bridge",
        "presence-bridge/people/alice",
        "presence-bridge/in/alice/call",
        "devices/phone2/state",
    ] {
        assert_eq!(phone.publish(topic, "forged", true).await.unwrap(), 0x87, "{topic}");
    }
    assert!(matches!(phone.publish("devices/phone1/state", "mine", false).await, Ok(0)));
    assert_eq!(topics(&bridge.messages().await), ["devices/phone1/state"]);
    bridge.publish("presence-bridge/people/alice", "{}", true).await.unwrap();
    assert_eq!(phone.messages().await, [], "phones cannot watch colleagues");
}

#[tokio::test]
async fn fault_17_a_device_that_calls_itself_bridge_does_not_end_the_connection_of_the_bridge() {
    let Some(broker) = start("deploy/mosquitto take-over").await else { return };
    let mut bridge = client(&broker, "bridge", "bridge").await;
    bridge.subscribe(&["devices/#"]).await.unwrap();
    let mut phone = client(&broker, "phone1", "bridge").await;
    phone.publish("devices/phone1/state", "INUSE", false).await.unwrap();
    assert_eq!(topics(&bridge.messages().await), ["devices/phone1/state"]);
    assert_eq!(bridge.end(Duration::from_millis(250)).await, None, "the bridge stays");
    // One login twice is what still does: the id that the client says no longer tells them apart.
    let _again = client(&broker, "phone1", "another").await;
    assert!(phone.end(Duration::from_secs(5)).await.is_some(), "the same login takes over");
}

#[tokio::test]
async fn what_was_retained_survives_a_sigkill() {
    let Some(mut broker) = start("deploy/mosquitto SIGKILL").await else { return };
    let mut phone = client(&broker, "phone1", "phone1").await;
    phone.publish("devices/phone1/state", "INUSE-before-the-crash", true).await.unwrap();
    let file = broker.dir.path().join("lib/mosquitto.db");
    until("it is saved", || holds(&file, b"INUSE-before-the-crash")).await;
    broker.kill();
    broker.resume().await;
    let mut bridge = client(&broker, "bridge", "bridge").await;
    bridge.subscribe(&["devices/#"]).await.unwrap();
    let found = bridge.messages().await;
    assert_eq!(topics(&found), ["devices/phone1/state"]);
    assert!(found[0].retain);
}

fn holds(file: &Path, wanted: &[u8]) -> bool {
    std::fs::read(file).is_ok_and(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted))
}
