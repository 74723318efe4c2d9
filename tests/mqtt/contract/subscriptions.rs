//! What is granted, and how often something comes.

use rumqttc::v5::mqttbytes::QoS;

use super::bare::{Filter, RetainForwardRule};
use super::{At, Case};

pub const CASES: &[Case] = &[
    Case::both("a subscription is granted as asked", |at| Box::pin(granted(at)), "Success(AtLeastOnce)"),
    Case::both("overlapping filters", |at| Box::pin(overlapping(at)), "x x").but_mosquitto_311("x"),
    Case::of_5("retain handling 1: for a new subscription only", |at| Box::pin(when_new(at)), "r:level, "),
    Case::of_5("retain handling 2: never", |at| Box::pin(never(at)), ", "),
    Case::of_5("retain as published: a live one is flagged too", |at| Box::pin(as_published(at)), "r:old r:new"),
    Case::of_5("no local: nothing of one's own", |at| Box::pin(no_local(at)), ""),
    Case::both("a client hears itself, as a canary does", |at| Box::pin(canary(at)), "level r:level mine"),
    Case::both("a shared subscription splits one person over its members", |at| Box::pin(shared(at)), "10 + 10"),
];

async fn granted(at: At) -> String {
    at.client("bridge").await.subscribe(&at.topic("a")).await
}

async fn overlapping(at: At) -> String {
    let (mut phone, mut bridge) = (at.client("phone").await, at.client("bridge").await);
    bridge.subscribe(&at.topic("#")).await;
    bridge.subscribe(&at.topic("a")).await;
    phone.say(&at.topic("a"), "x").await;
    bridge.payloads().await
}

async fn twice(at: At, rule: RetainForwardRule) -> String {
    let (mut phone, mut bridge) = (at.client("phone").await, at.client("bridge").await);
    phone.retain(&at.topic("a"), "level").await;
    let mut saw = Vec::new();
    for _ in 0..2 {
        let mut filter = Filter::new(at.topic("a"), QoS::AtLeastOnce);
        filter.retain_forward_rule = rule.clone();
        bridge.subscribe_as(filter).await;
        saw.push(bridge.payloads().await);
    }
    saw.join(", ")
}

async fn when_new(at: At) -> String {
    twice(at, RetainForwardRule::OnNewSubscribe).await
}

async fn never(at: At) -> String {
    twice(at, RetainForwardRule::Never).await
}

async fn as_published(at: At) -> String {
    let (mut phone, mut bridge) = (at.client("phone").await, at.client("bridge").await);
    phone.retain(&at.topic("a"), "old").await;
    let mut filter = Filter::new(at.topic("a"), QoS::AtLeastOnce);
    filter.preserve_retain = true;
    bridge.subscribe_as(filter).await;
    let mut got = bridge.messages().await;
    phone.retain(&at.topic("a"), "new").await;
    got.extend(bridge.messages().await);
    super::bare::words(&got)
}

async fn no_local(at: At) -> String {
    let mut bridge = at.client("bridge").await;
    let mut filter = Filter::new(at.topic("a"), QoS::AtLeastOnce);
    filter.nolocal = true;
    bridge.subscribe_as(filter).await;
    bridge.say(&at.topic("a"), "mine").await;
    bridge.payloads().await
}

/// Published at QoS 1 after a SUBSCRIBE, it comes behind the retained messages that the SUBSCRIBE brings.
async fn canary(at: At) -> String {
    let (mut phone, mut bridge) = (at.client("phone").await, at.client("bridge").await);
    bridge.subscribe(&at.topic("#")).await;
    phone.retain(&at.topic("level"), "level").await;
    let mut got = bridge.messages().await;
    bridge.subscribe(&at.topic("#")).await;
    bridge.put(&at.topic("canary"), "mine".into(), false, 1, super::bare::PublishProperties::default());
    got.extend(bridge.messages().await);
    super::bare::words(&got)
}

async fn shared(at: At) -> String {
    let mut phone = at.client("phone").await;
    let (mut one, mut two) = (at.client("one").await, at.client("two").await);
    for member in [&mut one, &mut two] {
        member.subscribe(&format!("$share/{}/{}", at.own, at.topic("alice"))).await;
    }
    phone.say_all(&at.topic("alice"), 20, None).await;
    format!("{} + {}", one.messages().await.len(), two.messages().await.len())
}
