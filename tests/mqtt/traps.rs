//! What rumqttc and brokers get wrong, one by one, against a broker of bytes.

use std::time::Duration;

use presence_bridge::mqtt::{Event, Events, Handle, Message};
use presence_bridge::presence::Link;
use tokio::io::AsyncWriteExt;

use super::{config, message, next, says, start, up};
use crate::support::fake_broker::{DISCONNECT, FakeBroker, PUBACK, PUBLISH, Peer, publish};
use crate::support::until;

pub fn pkid(body: &[u8]) -> u16 {
    u16::from_be_bytes([body[0], body[1]])
}

pub async fn say(handle: &Handle, payload: &str) {
    let permit = handle.permit().await.unwrap();
    permit.publish(Message::new("out", payload.to_owned()).retained());
}

pub async fn connected(broker: &FakeBroker, events: &mut Events, properties: &[u8]) -> Peer {
    let (peer, _) = tokio::join!(broker.welcome(properties), up(events));
    peer
}

#[tokio::test]
async fn late_acknowledgements_of_an_old_connection_never_reach_the_new_one() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(config(broker.port, "late"));
    let mut old = connected(&broker, &mut events, &[]).await;
    let mut tokens = Vec::new();
    for id in 1..=5 {
        old.publish(Some(id), &id.to_string()).await;
        tokens.push(message(&mut events).await.token.unwrap());
    }
    drop(old);
    let mut new = connected(&broker, &mut events, &[]).await;
    for token in tokens {
        handle.ack(token); // all ids that the new connection uses, too
    }
    for id in [9, 1] {
        new.publish(Some(id), "new").await;
        let token = says(&mut events, "new").await.token.unwrap();
        handle.ack(token);
    }
    // In order, so nothing of the old came before.
    assert_eq!(pkid(&new.next(PUBACK).await), 9);
    assert_eq!(pkid(&new.next(PUBACK).await), 1);
    let stop = tokio::spawn(handle.stop(None));
    while let Some((kind, _)) = new.reader.packet().await {
        assert_ne!(kind, PUBACK);
    }
    stop.await.unwrap();
}

#[tokio::test]
async fn acknowledgements_that_wait_when_the_connection_ends_are_dropped() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(config(broker.port, "lost-acks"));
    let mut old = connected(&broker, &mut events, &[]).await;
    for id in 1..=20 {
        old.publish(Some(id), "old").await;
    }
    let mut tokens = Vec::new();
    for _ in 1..=20 {
        tokens.push(says(&mut events, "old").await.token.unwrap());
    }
    drop(old); // and in the same breath:
    for token in tokens {
        handle.ack(token);
    }
    let mut new = connected(&broker, &mut events, &[]).await;
    new.publish(Some(30), "new").await;
    handle.ack(says(&mut events, "new").await.token.unwrap());
    assert_eq!(pkid(&new.next(PUBACK).await), 30, "the first that the new connection sees");
    handle.stop(None).await;
}

#[tokio::test]
async fn nothing_of_the_old_connection_is_handed_over_after_down() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(config(broker.port, "stale"));
    for round in 0..3 {
        let (mut peer, first) = tokio::join!(broker.welcome(&[]), next(&mut events));
        assert!(matches!(first, Event::Link(Link::Up { .. })), "a message after Down");
        peer.publish(Some(1), "new").await;
        handle.ack(says(&mut events, "new").await.token.unwrap());
        assert_eq!(pkid(&peer.next(PUBACK).await), 1);
        // One write, so that one read finds messages and what kills the connection: rumqttc yields the error first.
        let mut bytes = Vec::new();
        for id in 1..=5 + round {
            bytes.extend(publish(Some(id), b"old"));
        }
        bytes.extend([0xf0, 0]); // AUTH, which rumqttc does not expect
        peer.writer.write_all(&bytes).await.unwrap();
        while !matches!(next(&mut events).await, Event::Link(Link::Down)) {}
    }
    handle.stop(None).await;
}

#[tokio::test]
async fn acknowledgements_go_out_in_the_order_of_arrival() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(config(broker.port, "order"));
    let mut peer = connected(&broker, &mut events, &[]).await;
    let ids: Vec<u16> = (1..=60).map(|n| 7 * n % 61).collect();
    for &id in &ids {
        peer.publish(Some(id), "x").await;
    }
    for &id in &ids {
        handle.ack(message(&mut events).await.token.unwrap());
        if id % 9 == 0 {
            say(&handle, "between").await;
        }
    }
    for id in ids {
        assert_eq!(pkid(&peer.next(PUBACK).await), id);
    }
    handle.stop(None).await;
}

#[tokio::test]
async fn a_flood_keeps_neither_acknowledgements_nor_publishes_nor_a_stop_waiting() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(config(broker.port, "flood"));
    let Peer { mut reader, mut writer } = connected(&broker, &mut events, &[]).await;
    let flood: Vec<u8> = (1..=100).flat_map(|n| publish((n % 10 == 0).then_some(n), &[b'x'; 200])).collect();
    let flood = tokio::spawn(async move { while writer.write_all(&flood).await.is_ok() {} });
    let mut sent = 0;
    let reading = tokio::spawn(async move {
        let (mut acks, mut publishes, mut said_bye) = (0, 0, false);
        while let Some((kind, _)) = reader.packet().await {
            acks += usize::from(kind == PUBACK);
            publishes += usize::from(kind & 0xf0 == PUBLISH);
            said_bye |= kind == DISCONNECT;
        }
        (acks, publishes, said_bye)
    });
    let flooded = async {
        for n in 0.. {
            if let Event::Publish(incoming) = next(&mut events).await
                && let Some(token) = incoming.token
            {
                handle.ack(token);
                sent += 1;
            }
            if n % 100 == 0 {
                say(&handle, "here").await;
            }
            if sent == 300 {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), flooded).await.expect("progress in the flood");
    tokio::time::timeout(Duration::from_secs(3), handle.stop(None)).await.expect("a stop in the flood");
    flood.await.unwrap();
    let (acks, publishes, said_bye) = reading.await.unwrap();
    assert_eq!(acks, 300);
    assert!(publishes >= 10, "{publishes}");
    assert!(said_bye);
}

#[tokio::test]
async fn unread_messages_at_qos_0_are_bounded_in_bytes_and_number_and_the_dropped_counted() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(config(broker.port, "bound"));
    let mut peer = connected(&broker, &mut events, &[]).await;
    let large = "x".repeat(60_000);
    for _ in 0..300 {
        peer.publish(None, &large).await; // 18 MB
    }
    peer.publish(Some(1), "at QoS 1, never dropped").await;
    let fit = (16 << 20) / (large.len() + "in/a".len());
    let dropped = || telemetry.total("mqtt_dropped", "queue_full");
    until("the rest is dropped", || dropped() == 300 - u64::try_from(fit).unwrap()).await;
    for _ in 0..fit {
        says(&mut events, &large).await;
    }
    handle.ack(says(&mut events, "at QoS 1, never dropped").await.token.unwrap());
    // What was read makes room.
    for _ in 0..10_100 {
        peer.publish(None, "small").await;
    }
    until("the rest is dropped", || dropped() == 400 - u64::try_from(fit).unwrap()).await;
    for _ in 0..10_000 {
        says(&mut events, "small").await;
    }
    handle.stop(None).await;
}
