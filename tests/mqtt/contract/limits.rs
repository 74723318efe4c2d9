//! What is too much, for a client or for the broker.

use std::time::Duration;

use super::bare::Came;
use super::dial::Options;
use super::{At, Case};

pub const CASES: &[Case] = &[
    Case::of_5("the client's receive maximum holds", |at| Box::pin(receive_maximum(at)), "2, then 5"),
    Case::of_5("the receive maximum in CONNACK", |at| Box::pin(told(at)), "Some(20)").but_embedded("None", ""),
    Case::both("in flight at once without a limit of the client", |at| Box::pin(in_flight(at)), "20")
        .but_embedded("64", "64"),
    Case::of_5("what is larger than announced is not sent, and the link lives", |at| Box::pin(announced(at)), "small"),
    Case::both(
        "what is larger than the client takes, unannounced, comes again and again",
        |at| Box::pin(poison(at)),
        "lost 3 times",
    ),
    Case::both("of 1,500 that wait for a reader, so many come", |at| Box::pin(slow(at)), "1020")
        .but_embedded("1500", "1500"),
    Case::of_5("a socket that says nothing", |at| Box::pin(silent(at)), "open").but_embedded("closed", ""),
];

async fn receive_maximum(at: At) -> String {
    let mut phone = at.client("phone").await;
    let options = Options { receive_maximum: Some(2), ..at.options("bridge") };
    let (mut bridge, _) = at.connect(options).await;
    bridge.subscribe(&at.topic("a")).await;
    phone.say_all(&at.topic("a"), 5, None).await;
    let first = bridge.unacknowledged().await;
    for got in &first {
        bridge.ack(got);
    }
    format!("{}, then {}", first.len(), first.len() + bridge.messages().await.len())
}

async fn told(at: At) -> String {
    let mut bridge = at.dial(at.options("bridge"));
    loop {
        if let Came::Connected { receive_maximum, .. } = bridge.next().await {
            return format!("{receive_maximum:?}");
        }
    }
}

async fn in_flight(at: At) -> String {
    let (mut phone, mut bridge) = (at.client("phone").await, at.client("bridge").await);
    bridge.subscribe(&at.topic("a")).await;
    phone.say_all(&at.topic("a"), 100, None).await;
    bridge.unacknowledged().await.len().to_string()
}

async fn announced(at: At) -> String {
    let mut phone = at.client("phone").await;
    let options = Options { max_packet: Some(4_096), ..at.options("bridge") };
    let (mut bridge, _) = at.connect(options).await;
    bridge.subscribe(&at.topic("a")).await;
    phone.say(&at.topic("a"), &"x".repeat(20_000)).await;
    phone.say(&at.topic("a"), "small").await;
    bridge.payloads().await
}

async fn poison(at: At) -> String {
    let mut phone = at.client("phone").await;
    let options = Options { max_packet: None, ..at.kept("bridge") };
    let (mut bridge, _) = at.connect(options).await;
    bridge.subscribe(&at.topic("a")).await;
    phone.say(&at.topic("a"), &"x".repeat(20_000)).await;
    let mut lost = 0;
    while lost < 3 {
        match tokio::time::timeout(Duration::from_secs(2), bridge.next()).await {
            Ok(Came::Lost(_)) => lost += 1,
            Ok(Came::Message(got)) => return format!("{} bytes", got.payload.len()),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    format!("lost {lost} times")
}

async fn slow(at: At) -> String {
    let (mut phone, mut bridge) = (at.client("phone").await, at.client("bridge").await);
    bridge.subscribe(&at.topic("a")).await;
    phone.say_all(&at.topic("a"), 1_500, None).await;
    bridge.messages().await.len().to_string()
}

async fn silent(at: At) -> String {
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", at.port)).await.unwrap();
    let read = tokio::io::AsyncReadExt::read_u8(&mut socket);
    let closed = tokio::time::timeout(Duration::from_secs(12), read).await.is_ok();
    if closed { "closed".to_owned() } else { "open".to_owned() }
}
