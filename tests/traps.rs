//! Traps of MQTT and of rumqttc, each by itself, on a broker that plays them; what a real broker shows is in `mqtt`.

use std::time::Duration;

use presence_bridge::mqtt::{Event, Incoming, Message};
use presence_bridge::presence::Link;

use crate::mqtt::{config, start, up};
use crate::support::fake_broker::{FakeBroker, Sent, publish};
use crate::support::mosquitto::{Mosquitto, free_port};

async fn message(events: &mut presence_bridge::mqtt::Events) -> Incoming {
    loop {
        let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await.expect("an event").unwrap();
        if let Event::Publish(incoming) = event {
            return incoming;
        }
    }
}

#[tokio::test]
async fn an_acknowledgement_of_an_old_connection_never_reaches_the_new_one() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(config(broker.port, "epochs"));
    let mut old = broker.accept().await;
    old.write(&[publish(7, "old"), publish(8, "older")].concat()).await;
    let (first, second) = (message(&mut events).await, message(&mut events).await);
    drop(old);
    let mut new = broker.accept().await;
    up(&mut events).await;
    // The new session has messages of these very numbers, which nobody has handled.
    handle.ack(first.token.unwrap());
    handle.ack(second.token.unwrap());
    new.write(&publish(1, "new")).await;
    let fresh = message(&mut events).await;
    handle.ack(fresh.token.unwrap());
    assert_eq!(new.acknowledged().await, 1);
    handle.stop(None).await;
}

#[tokio::test]
async fn nothing_of_the_old_connection_is_heard_after_it_is_down() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(config(broker.port, "stale"));
    for round in 0..2u16 {
        let mut connection = broker.accept().await;
        // Two early ends; a third would be taken for a take-over. More than one read takes, and the end right behind it.
        let burst: Vec<u8> = (1..=40).flat_map(|pkid| publish(pkid, &round.to_string())).collect();
        connection.write(&burst).await;
        drop(connection);
        let mut is_up = false;
        loop {
            match tokio::time::timeout(Duration::from_secs(10), events.next()).await.expect("an event").unwrap() {
                Event::Link(Link::Up { .. }) => is_up = true,
                Event::Link(Link::Down) => break,
                Event::Publish(incoming) => {
                    assert!(is_up, "a message while down");
                    assert_eq!(incoming.payload, round.to_string(), "a message of an earlier connection");
                }
                Event::Link(_) => {}
            }
        }
    }
    handle.stop(None).await;
}

#[tokio::test]
async fn acknowledgements_go_out_in_order_of_arrival() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(config(broker.port, "order"));
    let mut connection = broker.accept().await;
    let numbers: Vec<u16> = (1..=60).map(|n| n * 7 % 61 + 1).collect();
    for pkid in &numbers {
        connection.write(&publish(*pkid, "x")).await;
    }
    for _ in &numbers {
        let incoming = message(&mut events).await;
        handle.ack(incoming.token.unwrap());
    }
    let mut acknowledged = Vec::new();
    while acknowledged.len() < numbers.len() {
        acknowledged.push(connection.acknowledged().await);
    }
    assert_eq!(acknowledged, numbers);
    handle.stop(None).await;
}

#[tokio::test]
async fn a_flood_keeps_neither_acknowledgements_nor_publishes_nor_a_stop_waiting() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(config(broker.port, "flood"));
    let connection = broker.accept().await;
    let (mut reader, mut writer) = connection.split();
    let flood = tokio::spawn(async move {
        let packets: Vec<u8> =
            std::iter::repeat_n(crate::support::fake_broker::unacknowledged("x"), 500).flatten().collect();
        while writer.write(&packets).await.is_ok() {}
    });
    let incoming = message(&mut events).await; // the flood is on
    assert!(incoming.token.is_none());
    let permit = handle.permit().await.unwrap();
    permit.publish(Message { topic: "out".into(), payload: "y".into(), retain: false });
    let drain = tokio::spawn(async move { while events.next().await.is_some() {} });
    let stop = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await; // behind the publish
        handle.stop(None).await;
    });
    let mut sent = Vec::new();
    while let Some(packet) = reader.read().await {
        sent.push(packet);
    }
    assert!(sent.contains(&Sent::Publish) && sent.contains(&Sent::Disconnect), "{sent:?}");
    tokio::time::timeout(Duration::from_secs(4), stop).await.expect("a stop in time").unwrap();
    flood.abort();
    drain.await.unwrap();
}

#[tokio::test]
async fn an_ipv6_broker_is_reached() {
    let port = free_port();
    let lines = format!("listener {port} ::1");
    if tokio::net::TcpListener::bind("[::1]:0").await.is_err() {
        return crate::support::skipped("an_ipv6_broker_is_reached", "no IPv6 loopback");
    }
    let Some(_broker) = Mosquitto::start("an_ipv6_broker_is_reached", &lines).await else { return };
    let mut config = config(port, "six");
    config.host = "::1".into();
    let (handle, mut events, _) = start(config);
    up(&mut events).await;
    handle.stop(None).await;
}
