//! MQTT 5 and 3.1.1: which is spoken, and that what holds for one holds for the other.

use std::time::Duration;

use presence_bridge::mqtt::{Config, Event, Message, Protocol};
use presence_bridge::presence::Link;
use presence_bridge::sandbox::broker::Broker;
use tokio::io::AsyncWriteExt;

use super::traps::pkid;
use super::{config, down, message, next, says, start, up};
use crate::support::fake_broker::{FakeBroker, PUBACK, Peer, SUBSCRIBE};
use crate::support::mosquitto::Mosquitto;
use crate::support::{stays, until};

/// Of a CONNECT's body: 5, or 4 for 3.1.1.
fn level(connect: &[u8]) -> u8 {
    connect[6]
}

pub fn speaking(protocol: Protocol, config: Config) -> Config {
    Config { protocol, ..config }
}

/// CONNACK and SUBACK of 3.1.1, which have no properties.
pub async fn welcome_311(peer: &mut Peer) {
    peer.writer.write_all(&[0x20, 2, 0, 0]).await.unwrap();
    let body = peer.next(SUBSCRIBE).await;
    peer.writer.write_all(&[0x90, 3, body[0], body[1], 1]).await.unwrap();
}

/// PUBLISH at QoS 1 to `in/a`, as 3.1.1 writes it.
fn publish_311(pkid: u16, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(8 + payload.len()).unwrap();
    [&[0x32, length, 0, 4], &b"in/a"[..], &pkid.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn a_broker_that_refuses_mqtt_5_gets_3_1_1_at_once_and_for_good() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(config(broker.port, "refused-5"));
    let (mut peer, connect) = broker.accept().await;
    assert_eq!(level(&connect), 5);
    peer.connack(0x84, &[]).await;
    let (mut peer, connect) = tokio::time::timeout(Duration::from_secs(1), broker.accept()).await.expect("at once");
    assert_eq!(level(&connect), 4);
    tokio::join!(welcome_311(&mut peer), up(&mut events));
    assert_eq!(telemetry.total("mqtt_lost", "unsupported_protocol"), 1);
    assert!(telemetry.alarms().is_empty(), "{:?}", telemetry.alarms());
    drop(peer);
    for _ in 0..3 {
        assert_eq!(level(&broker.accept().await.1), 4, "what worked is kept, whatever ends without a word");
    }
    handle.stop(None).await;
}

#[tokio::test]
async fn a_broker_that_goes_away_at_the_sight_of_mqtt_5_gets_3_1_1_after_two_ends_and_5_again_after_two_more() {
    // The second is 3.1.1's own refusal: unreadable for MQTT 5, and plain for 3.1.1, which is left at once.
    for (refusal, levels) in [(&[][..], [5, 5, 4, 4, 5]), (&[0x20, 2, 0, 1], [5, 5, 4, 5, 5])] {
        let broker = FakeBroker::start().await;
        let (handle, _events, _) = start(config(broker.port, "silent-5"));
        for expected in levels {
            let (mut peer, connect) = broker.accept().await;
            assert_eq!(level(&connect), expected, "after {refusal:?}");
            peer.writer.write_all(refusal).await.unwrap(); // 3.1.1 says its refusal without properties
        }
        handle.stop(None).await;
    }
}

#[tokio::test]
async fn what_is_configured_is_spoken_and_nothing_else() {
    for (protocol, wanted, code) in [(Protocol::V5, 5, 0x84), (Protocol::V311, 4, 1)] {
        let broker = FakeBroker::start().await;
        let (handle, _events, telemetry) = start(speaking(protocol, config(broker.port, "configured")));
        for _ in 0..3 {
            let (mut peer, connect) = broker.accept().await;
            assert_eq!(level(&connect), wanted);
            let refusal: &[u8] = if wanted == 5 { &[0x20, 3, 0, code, 0] } else { &[0x20, 2, 0, code] };
            peer.writer.write_all(refusal).await.unwrap();
        }
        until("an alarm", || telemetry.alarms().iter().any(|alarm| alarm.name == "mqtt_protocol")).await;
        handle.stop(None).await;
    }
}

#[tokio::test]
async fn messages_pass_in_both_versions_through_both_brokers() {
    let embedded = Broker::start(0).await.unwrap();
    let mosquitto = Mosquitto::start("mqtt versions", "").await;
    let ports = std::iter::once(embedded.port()).chain(mosquitto.iter().map(|broker| broker.port));
    for (port, protocol) in ports.flat_map(|port| [(port, Protocol::V5), (port, Protocol::V311)]) {
        let (handle, mut events, _) = start(speaking(protocol, config(port, "passes")));
        assert!(!up(&mut events).await);
        for payload in ["one", "two"] {
            let message = Message::new("in/a", payload).at_least_once();
            handle.permit().await.unwrap().publish(message);
            let incoming = says(&mut events, payload).await;
            assert!(!incoming.retain);
            handle.ack(incoming.token.expect("at QoS 1"));
        }
        handle.stop(None).await;
    }
}

#[tokio::test]
async fn late_acknowledgements_of_an_old_connection_never_reach_the_new_one_in_3_1_1() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(speaking(Protocol::V311, config(broker.port, "late-311")));
    let (mut old, _) = broker.accept().await;
    tokio::join!(welcome_311(&mut old), up(&mut events));
    old.writer.write_all(&publish_311(1, b"old")).await.unwrap();
    let token = says(&mut events, "old").await.token.unwrap();
    drop(old);
    down(&mut events).await;
    let (mut new, connect) = broker.accept().await;
    assert_eq!(connect[7] & 2, 2, "always a clean session");
    tokio::join!(welcome_311(&mut new), up(&mut events));
    handle.ack(token);
    new.writer.write_all(&publish_311(9, b"new")).await.unwrap();
    handle.ack(says(&mut events, "new").await.token.unwrap());
    assert_eq!(pkid(&new.next(PUBACK).await), 9, "the first that the new connection sees");
    handle.stop(None).await;
}

#[tokio::test]
async fn a_packet_over_4_mib_in_3_1_1_is_a_cause_of_its_own_with_an_alarm_and_a_pause() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(speaking(Protocol::V311, config(broker.port, "large-311")));
    for n in 1..=2 {
        let (mut peer, _) = broker.accept().await;
        tokio::join!(welcome_311(&mut peer), up(&mut events));
        peer.writer.write_all(&[0x30, 0x80, 0x80, 0xc0, 0x02]).await.unwrap(); // 5 MiB to come
        until("it is told", || telemetry.total("mqtt_lost", "too_large") == n).await;
    }
    let alarms = telemetry.alarms();
    assert!(alarms.iter().any(|alarm| alarm.name == "mqtt_message_too_large"), "{alarms:?}");
    handle.stop(None).await;
}

#[tokio::test]
async fn what_3_1_1_sends_without_bound_waits_at_the_broker_and_nothing_at_qos_1_is_dropped() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(speaking(Protocol::V311, config(broker.port, "window-311")));
    let (mut peer, _) = broker.accept().await;
    tokio::join!(welcome_311(&mut peer), up(&mut events));
    let Peer { mut writer, reader } = peer;
    let (many, size) = (30_000_u16, 100);
    let flood: Vec<u8> = (1..=many).flat_map(|id| publish_311(id, &vec![b'x'; size])).collect();
    // Read by nobody, it must come to a stand: what is unread is bounded.
    let sending = tokio::spawn(async move {
        writer.write_all(&flood).await.unwrap();
        writer
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    for n in 1..=many {
        let incoming = message(&mut events).await;
        assert_eq!(incoming.payload.len(), size, "{n}");
        handle.ack(incoming.token.unwrap());
    }
    let _writer = sending.await.unwrap();
    assert_eq!(telemetry.total("mqtt_dropped", "queue_full"), 0);
    drop(reader);
    handle.stop(None).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_back_a_3_1_1_broker() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(speaking(Protocol::V311, config(broker.port, "held-311")));
    let (mut peer, _) = broker.accept().await;
    tokio::join!(welcome_311(&mut peer), up(&mut events));
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&sent);
    let sending = tokio::spawn(async move {
        let chunk: Vec<u8> = (1..=1_000).flat_map(|id| publish_311(id, &[b'x'; 100])).collect();
        while peer.writer.write_all(&chunk).await.is_ok() {
            count.fetch_add(1_000, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let so_far = || sent.load(std::sync::atomic::Ordering::Relaxed);
    until("more than may wait is sent", || so_far() >= 10_000).await;
    tokio::time::sleep(Duration::from_millis(500)).await; // socket buffers fill
    let stood = so_far();
    stays("it stands", Duration::from_millis(500), || so_far() == stood).await;
    message(&mut events).await;
    assert!(!matches!(next(&mut events).await, Event::Link(Link::Down)));
    sending.abort();
    handle.stop(None).await;
}
