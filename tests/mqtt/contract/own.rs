//! What needs a broker of its own: restarts, and rights.

use presence_bridge::sandbox::broker::Broker;

use super::bare::Came;
use super::{At, Version};
use crate::support::mosquitto::Mosquitto;
use crate::support::office::{dynamic_security, readable};

fn at(port: u16, version: Version) -> At {
    At { port, own: format!("own-{version:?}"), version }
}

/// With an ACL that allows nothing, every SUBSCRIBE is granted, and nothing comes.
#[tokio::test]
async fn mosquitto_grants_what_its_acl_file_forbids() {
    let broker = Mosquitto::with("contract: acl_file", |port, dir| {
        readable(dir, "acl", "topic write #\n");
        format!("listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {}/acl\n", dir.display())
    })
    .await;
    let Some(broker) = broker else { return };
    for version in [Version::V5, Version::V311] {
        let at = at(broker.port, version);
        let (mut phone, mut bridge) = (at.client("phone").await, at.client("bridge").await);
        phone.retain(&at.topic("a"), "level").await;
        assert_eq!(bridge.subscribe(&at.topic("a")).await, "Success(AtLeastOnce)");
        phone.say(&at.topic("a"), "live").await;
        assert_eq!(bridge.payloads().await, "", "{version:?}");
        // With the right back, the same link hears again, without SUBSCRIBE.
        readable(broker.dir.path(), "acl", "topic readwrite #\n");
        broker.signal("HUP");
        phone.messages().await;
        phone.say(&at.topic("a"), "again").await;
        assert_eq!(bridge.payloads().await, "again", "{version:?}");
        readable(broker.dir.path(), "acl", "topic write #\n");
        broker.signal("HUP");
        phone.messages().await;
        phone.say(&at.topic("a"), "lost").await;
        assert_eq!(bridge.payloads().await, "", "{version:?}: on a link that lives");
    }
}

#[tokio::test]
async fn mosquitto_with_dynamic_security_refuses_by_code() {
    let Some(broker) = dynamic_security("contract: dynamic security").await else { return };
    for (version, code) in [(Version::V5, "NotAuthorized"), (Version::V311, "Failure")] {
        let at = at(broker.port, version);
        let (mut bridge, _) = at.connect_as("stranger", "secret").await;
        assert_eq!(bridge.subscribe(&at.topic("a")).await, code);
    }
}

/// Retained messages are written every half an hour unless it is told otherwise.
#[tokio::test]
async fn mosquitto_killed_forgets_what_it_retained_and_ended_keeps_it() {
    for (often, signal, kept) in [
        ("", "KILL", ""),
        ("", "TERM", "r:level"),
        ("autosave_interval 1\nautosave_on_changes true", "KILL", "r:level"),
    ] {
        let broker = Mosquitto::with("contract: killed", |port, dir| {
            let dir = dir.display();
            format!("listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\npersistence_location {dir}/\n{often}\n")
        })
        .await;
        let Some(mut broker) = broker else { return };
        let at = at(broker.port, Version::V5);
        at.client("phone").await.retain(&at.topic("a"), "level").await;
        if !often.is_empty() {
            // It writes once a second at most.
            let file = broker.dir.path().join("mosquitto.db");
            crate::support::until("it has written", || file.exists()).await;
        }
        broker.signal(signal);
        let port = broker.port;
        crate::support::until("it is gone", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err()).await;
        broker.kill(); // reaps it
        broker.resume().await;
        let mut bridge = at.client("bridge").await;
        bridge.subscribe(&at.topic("a")).await;
        assert_eq!(bridge.payloads().await, kept, "{signal} {often:?}");
    }
}

/// Connects again and hears nothing, until somebody subscribes: what our link does at every CONNACK.
async fn does_not_subscribe(at: At, restart: impl AsyncFnOnce()) {
    let (mut bridge, _) = at.connect(at.kept("bridge")).await;
    bridge.subscribe(&at.topic("a")).await;
    restart().await;
    while !matches!(bridge.next().await, Came::Connected { session_present: false, .. }) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await; // it does not wait by itself
    }
    let mut phone = at.client("phone").await;
    phone.say(&at.topic("a"), "nobody hears this").await;
    assert_eq!(bridge.payloads().await, "", "{:?}", at.version);
    bridge.subscribe(&at.topic("a")).await;
    phone.say(&at.topic("a"), "x").await;
    assert_eq!(bridge.payloads().await, "x", "{:?}", at.version);
}

#[tokio::test]
async fn after_a_restart_of_either_broker_a_bare_client_is_not_subscribed() {
    for version in [Version::V5, Version::V311] {
        let mut embedded = Some(Broker::start(0).await.unwrap());
        let port = embedded.as_ref().unwrap().port();
        does_not_subscribe(at(port, version), async || {
            embedded.take().unwrap().stop().await;
            embedded = Some(Broker::start(port).await.unwrap());
        })
        .await;
        let Some(mut broker) = Mosquitto::start("contract: restart", "").await else { return };
        does_not_subscribe(at(broker.port, version), async || {
            broker.kill();
            broker.resume().await;
        })
        .await;
    }
}
