//! How messages arrive.

use std::time::Duration;

use super::bare::{Filter, PublishProperties, words};
use super::{At, Case};

pub const CASES: &[Case] = &[
    Case::both("the retain flag tells replay from live", |at| Box::pin(retained(at)), "r:old new"),
    Case::both("each SUBSCRIBE brings the retained again", |at| Box::pin(again(at)), "r:level, r:level, r:level"),
    Case::both("the newest is retained, and an empty one deletes", |at| Box::pin(deleted(at)), "r:b, "),
    Case::both("filters bring what is retained under them", |at| Box::pin(filters(at)), "r:1 r:2, r:1, r:1 r:2 r:3"),
    Case::both("no + matches a topic of the broker's own", |at| Box::pin(own(at)), ""),
    Case::of_5("a retained one comes with what is left of its expiry", |at| Box::pin(remaining(at)), "6 to 8 of 10 s"),
    Case::of_5("one that expired is not retained", |at| Box::pin(expired(at)), ""),
    Case::of_5("user properties are handed on", |at| Box::pin(properties(at)), "mine")
        .but_embedded("mine x-mqtt-client-id", ""),
    Case::both("QoS is the lower of the two", |at| Box::pin(qos(at)), "0 1, 0 0"),
    Case::both("what was not acknowledged comes again, in order", |at| Box::pin(redelivered(at)), "2:d 3:d 4:d 5:d 6"),
];

async fn retained(at: At) -> String {
    let (mut phone, mut bridge) = (at.client("phone").await, at.client("bridge").await);
    phone.retain(&at.topic("a"), "old").await;
    bridge.subscribe(&at.topic("#")).await;
    let mut got = bridge.messages().await;
    phone.retain(&at.topic("a"), "new").await;
    got.extend(bridge.messages().await);
    words(&got)
}

async fn again(at: At) -> String {
    let (mut phone, mut bridge) = (at.client("phone").await, at.client("bridge").await);
    phone.retain(&at.topic("a"), "level").await;
    let mut saw = Vec::new();
    for _ in 0..3 {
        bridge.subscribe(&at.topic("#")).await;
        saw.push(bridge.payloads().await);
    }
    saw.join(", ")
}

async fn deleted(at: At) -> String {
    let mut phone = at.client("phone").await;
    phone.retain(&at.topic("a"), "a").await;
    phone.retain(&at.topic("a"), "b").await;
    let mut first = at.client("first").await;
    first.subscribe(&at.topic("a")).await;
    let before = first.payloads().await;
    phone.retain(&at.topic("a"), "").await;
    let mut second = at.client("second").await;
    second.subscribe(&at.topic("a")).await;
    format!("{before}, {}", second.payloads().await)
}

async fn filters(at: At) -> String {
    let mut phone = at.client("phone").await;
    for (topic, payload) in [("x/a/end", "1"), ("x/b/end", "2"), ("x/b", "3")] {
        phone.retain(&at.topic(topic), payload).await;
    }
    let mut saw = Vec::new();
    for filter in ["x/+/end", "x/a/#", "x/#"] {
        let mut bridge = at.client(&saw.len().to_string()).await;
        bridge.subscribe(&at.topic(filter)).await;
        let mut got = bridge.messages().await;
        got.sort_by(|one, other| one.payload.cmp(&other.payload));
        saw.push(words(&got));
    }
    saw.join(", ")
}

async fn own(at: At) -> String {
    let mut bridge = at.client("bridge").await;
    bridge.subscribe("+/broker/version").await;
    bridge.payloads().await
}

async fn remaining(at: At) -> String {
    let mut phone = at.client("phone").await;
    let expiry = PublishProperties { message_expiry_interval: Some(10), ..PublishProperties::default() };
    phone.put(&at.topic("a"), "level".into(), true, 1, expiry);
    phone.until_quiet(|_| Some(())).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let mut bridge = at.client("bridge").await;
    bridge.subscribe(&at.topic("a")).await;
    match bridge.messages().await.first().and_then(|got| got.expiry) {
        Some(6..=8) => "6 to 8 of 10 s".to_owned(),
        other => format!("{other:?}"),
    }
}

async fn expired(at: At) -> String {
    let mut phone = at.client("phone").await;
    let expiry = PublishProperties { message_expiry_interval: Some(1), ..PublishProperties::default() };
    phone.put(&at.topic("a"), "level".into(), true, 1, expiry);
    phone.until_quiet(|_| Some(())).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let mut bridge = at.client("bridge").await;
    bridge.subscribe(&at.topic("a")).await;
    bridge.payloads().await
}

async fn properties(at: At) -> String {
    let (mut phone, mut bridge) = (at.client("phone").await, at.client("bridge").await);
    bridge.subscribe(&at.topic("a")).await;
    let mine = vec![("mine".to_owned(), "1".to_owned())];
    let mine = PublishProperties { user_properties: mine, ..PublishProperties::default() };
    phone.put(&at.topic("a"), "x".into(), false, 1, mine);
    phone.until_quiet(|_| Some(())).await;
    let got = bridge.messages().await;
    let mut keys: Vec<&str> = got[0].user_properties.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    keys.join(" ")
}

async fn qos(at: At) -> String {
    let mut saw = Vec::new();
    let mut phone = at.client("phone").await;
    for (id, qos) in
        [("one", rumqttc::v5::mqttbytes::QoS::AtLeastOnce), ("none", rumqttc::v5::mqttbytes::QoS::AtMostOnce)]
    {
        let mut bridge = at.client(id).await;
        bridge.subscribe_as(Filter::new(at.topic("a"), qos)).await;
        phone.publish(&at.topic("a"), "0", false, 0).await;
        phone.publish(&at.topic("a"), "1", false, 1).await;
        let mut all: Vec<String> = bridge.messages().await.iter().map(|got| got.qos.to_string()).collect();
        all.sort_unstable(); // of different QoS, they may overtake each other
        saw.push(all.join(" "));
    }
    saw.join(", ")
}

async fn redelivered(at: At) -> String {
    let mut phone = at.client("phone").await;
    let (mut bridge, _) = at.connect(at.kept("bridge")).await;
    bridge.subscribe(&at.topic("a")).await;
    phone.say_all(&at.topic("a"), 5, None).await;
    let got = bridge.unacknowledged().await;
    bridge.ack(&got[0]);
    bridge.until_quiet(|_| Some(())).await;
    drop(bridge);
    tokio::time::sleep(Duration::from_millis(200)).await;
    phone.say(&at.topic("a"), "6").await;
    let (mut bridge, _) = at.connect(at.kept("bridge")).await;
    bridge.payloads().await
}
