//! The same brokers through our adapter.

use std::time::Duration;

use presence_bridge::mqtt::{Config, Event, Events, Handle, Protocol};

use super::{At, Case, Version};
use crate::mqtt::{config, start, up};

const QUIET: Duration = Duration::from_millis(400);

pub const CASES: &[Case] = &[
    Case::both("adapter: replay and live", |at| Box::pin(retained(at)), "r:old new"),
    Case::both("adapter: after a loss it has subscribed again", |at| Box::pin(again(at)), "r:level, r:level"),
    Case::of_5("adapter: what is left of an expiry", |at| Box::pin(expiry(at)), "9 or 10 s"),
    Case::both("adapter: a message over the limit costs nothing but itself", |at| Box::pin(too_large(at)), "small"),
    Case::of_5("adapter: what the session kept while it was away", |at| Box::pin(kept(at)), "true: 1 2"),
];

fn wanted(at: &At) -> Config {
    let protocol = match at.version {
        Version::V5 => Protocol::V5,
        Version::V311 => Protocol::V311,
    };
    let id = format!("{}-adapter", at.own);
    Config { protocol, filters: vec![at.topic("#")], will: None, ..config(at.port, &id) }
}

/// What comes until it is quiet, acknowledged.
async fn payloads(handle: &Handle, events: &mut Events) -> String {
    let mut words = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(QUIET, events.next()).await {
        let Event::Publish(incoming) = event else { continue };
        let payload = String::from_utf8_lossy(&incoming.payload).into_owned();
        words.push(format!("{}{payload}", if incoming.retain { "r:" } else { "" }));
        if let Some(token) = incoming.token {
            handle.ack(token);
        }
    }
    words.join(" ")
}

async fn retained(at: At) -> String {
    let mut phone = at.client("phone").await;
    phone.retain(&at.topic("a"), "old").await;
    let (handle, mut events, _) = start(wanted(&at));
    up(&mut events).await;
    let replay = payloads(&handle, &mut events).await;
    phone.retain(&at.topic("a"), "new").await;
    format!("{replay} {}", payloads(&handle, &mut events).await)
}

async fn again(at: At) -> String {
    let mut phone = at.client("phone").await;
    phone.retain(&at.topic("a"), "level").await;
    let (handle, mut events, _) = start(wanted(&at));
    up(&mut events).await;
    let first = payloads(&handle, &mut events).await;
    drop(at.client("adapter").await); // takes its connection over, and leaves
    up(&mut events).await;
    format!("{first}, {}", payloads(&handle, &mut events).await)
}

async fn expiry(at: At) -> String {
    let mut phone = at.client("phone").await;
    let (_handle, mut events, _) = start(wanted(&at));
    up(&mut events).await;
    tokio::time::sleep(QUIET).await; // it is subscribed
    phone.say_all(&at.topic("a"), 1, Some(10)).await;
    loop {
        if let Some(Event::Publish(incoming)) = events.next().await {
            return match incoming.expiry.map(|left| left.as_secs()) {
                Some(9 | 10) => "9 or 10 s".to_owned(),
                other => format!("{other:?}"),
            };
        }
    }
}

async fn too_large(at: At) -> String {
    let mut phone = at.client("phone").await;
    let (handle, mut events, _) = start(wanted(&at)); // 64 KiB in MQTT 5; 4 MiB in 3.1.1, where nothing can be announced
    up(&mut events).await;
    tokio::time::sleep(QUIET).await;
    if at.version == Version::V5 {
        phone.say(&at.topic("a"), &"x".repeat(100_000)).await;
    }
    phone.say(&at.topic("a"), "small").await;
    payloads(&handle, &mut events).await
}

async fn kept(at: At) -> String {
    let mut phone = at.client("phone").await;
    let (handle, mut events, _) = start(wanted(&at));
    up(&mut events).await;
    payloads(&handle, &mut events).await;
    handle.stop(None).await;
    phone.say(&at.topic("a"), "1").await;
    phone.say(&at.topic("a"), "2").await;
    let (handle, mut events, _) = start(wanted(&at));
    let present = up(&mut events).await;
    format!("{present}: {}", payloads(&handle, &mut events).await)
}
