//! What a broker keeps of a client that is away.

use std::time::Duration;

use super::{At, Case};

/// More than either broker queues for one client.
const MANY: usize = 10_250;
const AWAY: Duration = Duration::from_millis(200);

pub const CASES: &[Case] = &[
    Case::both(
        "what a session queued comes as if it were live, and QoS 0 is not queued",
        |at| Box::pin(queued(at)),
        "true: 1 2 3",
    ),
    Case::both("a clean start wipes the session", |at| Box::pin(wiped(at)), "true false false"),
    Case::of_5("a session without an expiry ends with the connection", |at| Box::pin(no_expiry(at)), "false"),
    Case::of_5("a session expires", |at| Box::pin(expires(at)), "false"),
    Case::both("a session keeps the filters of before", |at| Box::pin(old_filters(at)), "new old"),
    Case::both("a session that was taken over goes on without SUBSCRIBE", |at| Box::pin(goes_on(at)), "true: x"),
    Case::both("who is taken over is told", |at| Box::pin(taken_over(at)), "closed")
        .but_embedded("[e0, 01, 8e]", "[e0, 01, 8e]"),
    Case::both("a will is published at a cut, not after DISCONNECT", |at| Box::pin(will(at)), "gone, "),
    Case::both("a full queue keeps the oldest", |at| Box::pin(full(at)), "1000: 1 to 1000")
        .but_embedded("10000: 251 to 10250", "10000: 251 to 10250"),
    Case::of_5("19 expired in a queue block nothing", |at| Box::pin(expired(at, 19)), "10 of 10"),
    Case::of_5("20 expired in a queue block those behind", |at| Box::pin(expired(at, 20)), "0 of 10")
        .but_embedded("10 of 10", ""),
    Case::of_5("and SUBSCRIBE with something retained frees them", |at| Box::pin(freed(at)), "10 of 10"),
];

async fn queued(at: At) -> String {
    let mut phone = at.client("phone").await;
    let (mut bridge, _) = at.connect(at.kept("bridge")).await;
    bridge.subscribe(&at.topic("#")).await;
    drop(bridge);
    tokio::time::sleep(AWAY).await;
    phone.say(&at.topic("a"), "1").await;
    phone.publish(&at.topic("a"), "at QoS 0", false, 0).await;
    phone.retain(&at.topic("a"), "2").await;
    phone.say(&at.topic("b"), "3").await;
    let (mut bridge, present) = at.connect(at.kept("bridge")).await;
    format!("{present}: {}", bridge.payloads().await)
}

async fn wiped(at: At) -> String {
    let mut saw = Vec::new();
    drop(at.connect(at.kept("bridge")).await);
    for options in [at.kept("bridge"), at.options("bridge"), at.kept("bridge")] {
        tokio::time::sleep(AWAY).await;
        saw.push(at.connect(options).await.1.to_string());
    }
    saw.join(" ")
}

async fn no_expiry(at: At) -> String {
    let options = || super::dial::Options { expiry: None, ..at.kept("bridge") };
    drop(at.connect(options()).await);
    tokio::time::sleep(AWAY).await;
    at.connect(options()).await.1.to_string()
}

async fn expires(at: At) -> String {
    let options = || super::dial::Options { expiry: Some(1), ..at.kept("bridge") };
    drop(at.connect(options()).await);
    tokio::time::sleep(Duration::from_secs(4)).await;
    at.connect(options()).await.1.to_string()
}

async fn old_filters(at: At) -> String {
    let mut phone = at.client("phone").await;
    let (mut bridge, _) = at.connect(at.kept("bridge")).await;
    bridge.subscribe(&at.topic("old/#")).await;
    bridge.leave().await;
    let (mut bridge, _) = at.connect(at.kept("bridge")).await;
    bridge.subscribe(&at.topic("new/#")).await;
    phone.say(&at.topic("new/a"), "new").await;
    phone.say(&at.topic("old/a"), "old").await;
    bridge.payloads().await
}

async fn goes_on(at: At) -> String {
    let mut phone = at.client("phone").await;
    let (mut first, _) = at.connect(at.kept("bridge")).await;
    first.subscribe(&at.topic("a")).await;
    let (mut second, present) = at.connect(at.kept("bridge")).await;
    phone.say(&at.topic("a"), "x").await;
    format!("{present}: {}", second.payloads().await)
}

/// By bytes: rumqttc 0.25.1 waits for more of a DISCONNECT that ends with its reason code, until the stream ends.
async fn taken_over(at: At) -> String {
    let (mut first, _second) = (at.raw("bridge").await, at.raw("bridge").await);
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut first, &mut rest);
    match tokio::time::timeout(Duration::from_secs(2), read).await {
        Err(_) => "lives".to_owned(),
        Ok(_) if rest.is_empty() => "closed".to_owned(),
        Ok(_) => format!("{rest:02x?}"),
    }
}

async fn will(at: At) -> String {
    let mut watch = at.client("watch").await;
    watch.subscribe(&at.topic("will")).await;
    let options = || super::dial::Options { will: Some((at.topic("will"), "gone".to_owned())), ..at.options("phone") };
    drop(at.connect(options()).await);
    let cut = watch.payloads().await;
    at.connect(options()).await.0.leave().await;
    format!("{cut}, {}", watch.payloads().await)
}

async fn full(at: At) -> String {
    let mut phone = at.client("phone").await;
    let (mut bridge, _) = at.connect(at.kept("bridge")).await;
    bridge.subscribe(&at.topic("a")).await;
    bridge.leave().await;
    phone.say_all(&at.topic("a"), MANY, None).await;
    let (mut bridge, _) = at.connect(at.kept("bridge")).await;
    let got = bridge.messages().await;
    let ends = [got.first(), got.last()].map(|got| got.map_or("", |got| got.payload.as_str()));
    format!("{}: {} to {}", got.len(), ends[0], ends[1])
}

/// Away, with so many that expire, and ten behind them.
async fn away(at: &At, expired: usize) {
    let mut phone = at.client("phone").await;
    let (mut bridge, _) = at.connect(at.kept("bridge")).await;
    bridge.subscribe(&at.topic("#")).await;
    bridge.leave().await;
    phone.say_all(&at.topic("expires"), expired, Some(1)).await;
    phone.say_all(&at.topic("lives"), 10, None).await;
    phone.retain(&at.topic("level"), "level").await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
}

async fn expired(at: At, expired: usize) -> String {
    away(&at, expired).await;
    let (mut bridge, _) = at.connect(at.kept("bridge")).await;
    let got = bridge.messages().await;
    format!("{} of 10", got.iter().filter(|got| got.topic.ends_with("lives")).count())
}

async fn freed(at: At) -> String {
    away(&at, 20).await;
    let (mut bridge, _) = at.connect(at.kept("bridge")).await;
    bridge.put_subscribe(&at.topic("#"));
    let got = bridge.messages().await;
    format!("{} of 10", got.iter().filter(|got| got.topic.ends_with("lives")).count())
}
