//! What CONNACK may say, against a broker of bytes.

use std::time::Duration;

use presence_bridge::mqtt::{Events, Handle};

use super::traps::{connected, pkid, say};
use super::{config, next, says, start, up};
use crate::support::fake_broker::{FakeBroker, PINGREQ, PUBACK, PUBLISH, Peer};
use crate::support::until;

async fn works(peer: &mut Peer, handle: &Handle, events: &mut Events) {
    peer.publish(Some(1), "ask").await;
    handle.ack(says(events, "ask").await.token.unwrap());
    assert_eq!(pkid(&peer.next(PUBACK).await), 1);
}

/// Flags and keep-alive, seconds, in the body of CONNECT.
fn flags_and_keep_alive(connect: &[u8]) -> (u8, u16) {
    (connect[7], u16::from_be_bytes([connect[8], connect[9]]))
}

const WILL_RETAIN: u8 = 0x20;

#[tokio::test]
async fn a_server_keep_alive_of_0_neither_floods_nor_ends_the_connection() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(config(broker.port, "keep-alive-0"));
    let mut peer = connected(&broker, &mut events, &[0x13, 0, 0]).await;
    works(&mut peer, &handle, &mut events).await;
    let mut pings = 0;
    let counting = async {
        while let Some((kind, _)) = peer.reader.packet().await {
            pings += u32::from(kind == PINGREQ); // unanswered: a second one would end the connection
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(1), counting).await.is_err(), "the connection lives");
    assert!(pings <= 1, "{pings}");
    assert_eq!(telemetry.totals(), []);
    drop(peer);
    let (_peer, connect) = broker.accept().await;
    assert_eq!(flags_and_keep_alive(&connect).1, 5, "what is configured, not what the broker said before");
    handle.stop(None).await;
}

#[tokio::test]
async fn a_short_server_keep_alive_is_kept() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(config(broker.port, "keep-alive-1"));
    let mut peer = connected(&broker, &mut events, &[0x13, 0, 1]).await;
    let pings = async {
        peer.next(PINGREQ).await;
        peer.next(PINGREQ).await;
    };
    tokio::time::timeout(Duration::from_secs(4), pings).await.expect("two pings, one second apart");
    works(&mut peer, &handle, &mut events).await;
    assert_eq!(telemetry.totals(), []);
    drop(peer);
    let (_peer, connect) = broker.accept().await;
    assert_eq!(flags_and_keep_alive(&connect).1, 5);
    handle.stop(None).await;
}

#[tokio::test]
async fn a_publish_larger_than_the_broker_takes_is_dropped_and_the_connection_lives() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(config(broker.port, "packet-size"));
    let mut peer = connected(&broker, &mut events, &[0x27, 0, 0, 1, 0]).await; // 256
    // Kind and length 3, topic 5, no properties 1: the largest that fits, and one byte more.
    let fits = "x".repeat(256 - 9);
    say(&handle, &format!("{fits}x")).await;
    say(&handle, &fits).await;
    assert_eq!(peer.next(PUBLISH | 1).await.len(), 256 - 3);
    until("it is counted", || telemetry.total("mqtt_dropped", "too_large") == 1).await;
    works(&mut peer, &handle, &mut events).await;
    assert_eq!(telemetry.totals(), [("mqtt_dropped", "too_large", 1)]);
    // The next connection has its own limit.
    drop(peer);
    let mut peer = connected(&broker, &mut events, &[]).await;
    say(&handle, &format!("{fits}x")).await;
    assert_eq!(peer.next(PUBLISH | 1).await.len(), 256 - 2);
    handle.stop(None).await;
}

#[tokio::test]
async fn a_broker_that_retains_nothing_gets_nothing_to_retain() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(config(broker.port, "no-retain"));
    // MQTT wants it to refuse a retained last will.
    let (mut refused, connect) = broker.accept().await;
    assert_eq!(flags_and_keep_alive(&connect).0 & WILL_RETAIN, WILL_RETAIN);
    refused.connack(0x9a, &[]).await;
    let (mut peer, connect) = broker.accept().await;
    assert_eq!(flags_and_keep_alive(&connect).0 & WILL_RETAIN, 0);
    peer.connack(0, &[0x25, 0]).await;
    peer.grant(1).await;
    up(&mut events).await;
    say(&handle, "unretained").await;
    peer.next(PUBLISH).await;
    assert_eq!(telemetry.total("mqtt_limited", "retain"), 2, "the second without a line");
    // Another broker behind the same name may retain.
    drop(peer);
    let mut peer = connected(&broker, &mut events, &[]).await;
    say(&handle, "retained").await;
    peer.next(PUBLISH | 1).await;
    handle.stop(None).await;
}

#[tokio::test]
async fn a_receive_maximum_of_0_stops_nothing() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(config(broker.port, "receive-maximum-0"));
    let mut peer = connected(&broker, &mut events, &[0x21, 0, 0]).await;
    works(&mut peer, &handle, &mut events).await;
    say(&handle, "hello").await;
    peer.next(PUBLISH | 1).await;
    assert_eq!(telemetry.totals(), []);
    drop(peer);
    assert!(matches!(next(&mut events).await, presence_bridge::mqtt::Event::Link(_)));
    handle.stop(None).await;
}
