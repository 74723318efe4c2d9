//! Whether we hear: against brokers that grant everything and then say nothing.

use std::path::Path;
use std::time::Duration;

use presence_bridge::clock::Clock;
use presence_bridge::mqtt::{Config, Event, Events, Message, Protocol};
use presence_bridge::presence::{Link, Mono};
use presence_bridge::sandbox::broker::Broker;
use presence_bridge::telemetry::Telemetry;
use tokio::io::AsyncWriteExt;

use super::protocols::speaking;
use super::traps::pkid;
use super::{config, message, readable, start, up};
use crate::support::fake_broker::{FakeBroker, PUBACK, PUBLISH, Peer, SUBSCRIBE};
use crate::support::mosquitto::Mosquitto;

/// Two echoes missed take 20 s, and the one before them its turn.
const DEAF: Duration = Duration::from_secs(40);

pub fn with_canary(config: Config) -> Config {
    Config { canary: Some("own/canary".into()), canary_every: Duration::from_secs(1), ..config }
}

/// The next event of the link itself that `wanted` takes; no canary may come before it.
pub async fn link_event<T>(events: &mut Events, within: Duration, wanted: impl Fn(Link) -> Option<T>) -> T {
    let wait = async {
        loop {
            match events.next().await.unwrap() {
                Event::Link(link) => {
                    if let Some(found) = wanted(link) {
                        return found;
                    }
                }
                Event::Publish(incoming) => assert_ne!(incoming.topic, "own/canary", "a canary is told"),
            }
        }
    };
    tokio::time::timeout(within, wait).await.expect("in time")
}

async fn replayed(events: &mut Events, within: Duration) {
    link_event(events, within, |link| matches!(link, Link::Replayed).then_some(())).await;
}

fn has(telemetry: &Telemetry, name: &str) -> bool {
    telemetry.alarms().iter().any(|alarm| alarm.name == name)
}

/// CONNACK, and the grant of everything that is asked for at once.
pub async fn welcome(broker: &FakeBroker, filters: u8) -> Peer {
    let (mut peer, _) = broker.accept().await;
    peer.connack(0, &[]).await;
    let body = peer.next(SUBSCRIBE).await;
    let answer = [vec![0x90, 3 + filters, body[0], body[1], 0], vec![1; filters.into()]].concat();
    peer.writer.write_all(&answer).await.unwrap();
    peer
}

/// A PUBLISH of ours sent back under an id of the broker's, once acknowledged.
pub async fn echo(peer: &mut Peer, body: &[u8], pkid: u16) {
    let at = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
    let mut back = body.to_vec();
    back[at..at + 2].copy_from_slice(&pkid.to_be_bytes());
    peer.writer.write_all(&[0x40, 2, body[at], body[at + 1]]).await.unwrap();
    deliver(peer, &back).await;
}

/// A publish as it is, with its packet id.
pub async fn deliver(peer: &mut Peer, body: &[u8]) {
    let packet = [&[0x32, u8::try_from(body.len()).unwrap()][..], body].concat();
    peer.writer.write_all(&packet).await.unwrap();
}

#[tokio::test]
async fn an_acl_taken_away_under_a_live_link_is_noticed_and_its_return_heals_it() {
    taken_away(Duration::from_secs(1), DEAF, &[Protocol::V5, Protocol::V311]).await;
}

#[tokio::test]
#[ignore = "a minute and a half at the intervals of life"]
async fn an_acl_taken_away_is_noticed_within_70_s() {
    taken_away(Duration::from_secs(30), Duration::from_secs(70), &[Protocol::V5]).await;
}

async fn taken_away(every: Duration, within: Duration, protocols: &[Protocol]) {
    for &protocol in protocols {
        let acl = |dir: &Path, text: &str| {
            std::fs::write(dir.join("acl"), text).unwrap();
            readable(&dir.join("acl"));
        };
        let broker = Mosquitto::with("mqtt silent ACL", |port, dir| {
            acl(dir, "topic readwrite #\n");
            format!("listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {}/acl\n", dir.display())
        })
        .await;
        let Some(broker) = broker else { return };
        broker.publish("in/level", "on", true);
        let config = Config { canary_every: every, ..with_canary(config(broker.port, "acl")) };
        let (handle, mut events, telemetry) = start(speaking(protocol, config));
        replayed(&mut events, Duration::from_secs(5)).await;
        let before = Clock::live().now().mono;
        acl(broker.dir.path(), "topic readwrite nothing/at/all\n");
        broker.signal("HUP");
        let deaf = |link| if let Link::Deaf { since } = link { Some(since) } else { None };
        let since: Mono = link_event(&mut events, within, deaf).await;
        assert!(since.since(before) < every + Duration::from_secs(2), "from the last proof of hearing on");
        assert!(has(&telemetry, "mqtt_deaf"), "{:?}", telemetry.alarms());
        acl(broker.dir.path(), "topic readwrite #\n");
        broker.signal("HUP");
        let mut level = false;
        let healed = async {
            loop {
                match events.next().await.unwrap() {
                    Event::Publish(incoming) => level |= incoming.retain && incoming.payload == "on",
                    Event::Link(Link::Replayed) => return level,
                    Event::Link(_) => {}
                }
            }
        };
        let healed = tokio::time::timeout(Duration::from_secs(5), healed).await.expect("healed within 5 s");
        assert!(healed, "the levels were said again, before the replay was told to be through");
        assert!(!has(&telemetry, "mqtt_deaf"));
        handle.stop(None).await;
    }
}

#[tokio::test]
async fn the_end_of_a_replay_of_a_thousand_messages_is_told_behind_them() {
    let embedded = Broker::start(0).await.unwrap();
    let mosquitto = Mosquitto::start("mqtt replay", "max_queued_messages 0").await;
    let ports = std::iter::once(embedded.port()).chain(mosquitto.iter().map(|broker| broker.port));
    for (port, protocol) in ports.flat_map(|port| [(port, Protocol::V5), (port, Protocol::V311)]) {
        let mut publisher = config(port, "publisher");
        publisher.filters = vec!["nothing".into()];
        let (publisher, mut told, _) = start(publisher);
        up(&mut told).await;
        for n in 0..1_000 {
            let retained = Message::new(format!("in/{n}"), "on").retained().at_least_once();
            publisher.permit().await.unwrap().publish(retained);
        }
        publisher.stop(None).await;
        let (handle, mut events, _) = start(speaking(protocol, with_canary(config(port, "replay"))));
        let (mut before, mut acknowledged) = (0, 0);
        let through = async {
            loop {
                match events.next().await.unwrap() {
                    Event::Link(Link::Replayed) => break,
                    Event::Link(_) => {}
                    Event::Publish(incoming) => {
                        before += 1;
                        if let Some(token) = incoming.token {
                            acknowledged += 1;
                            handle.ack(token);
                        }
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(9), through).await.expect("before the canary is tried again");
        assert_eq!((before, acknowledged), (1_000, 1_000), "port {port}, {protocol:?}");
        handle.stop(None).await;
    }
}

#[tokio::test]
async fn a_broker_that_never_lets_us_hear_ourselves_is_an_alarm_and_no_deafness() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(with_canary(config(broker.port, "unheard")));
    let (mut peer, _) = tokio::join!(welcome(&broker, 2), up(&mut events));
    // Everything is acknowledged, nothing comes back.
    let silent = tokio::spawn(async move {
        while let Some((kind, body)) = peer.reader.packet().await {
            let at = 2 + usize::from(u16::from_be_bytes([*body.first().unwrap_or(&0), *body.get(1).unwrap_or(&0)]));
            let answer = match kind {
                0x32 => vec![0x40, 2, body[at], body[at + 1]],
                0xc0 => vec![0xd0, 0],
                _ => continue,
            };
            peer.writer.write_all(&answer).await.unwrap();
        }
    });
    let alarm = async {
        while !has(&telemetry, "mqtt_canary") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEAF, alarm).await.expect("an alarm");
    assert!(!has(&telemetry, "mqtt_deaf"));
    assert!(events.try_next().is_none(), "nothing is told to the core");
    silent.abort();
    handle.stop(None).await;
}

#[tokio::test]
async fn an_echo_is_acknowledged_behind_what_came_before_it() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(with_canary(config(broker.port, "order")));
    let (mut peer, _) = tokio::join!(welcome(&broker, 2), up(&mut events));
    let canary = peer.next(PUBLISH | 2).await;
    peer.publish(Some(40), "held").await;
    echo(&mut peer, &canary, 41).await;
    let held = message(&mut events).await;
    replayed(&mut events, Duration::from_secs(5)).await;
    let early = tokio::time::timeout(Duration::from_millis(300), peer.reader.packet()).await;
    assert!(early.is_err(), "{early:?}");
    handle.ack(held.token.unwrap());
    assert_eq!(pkid(&peer.next(PUBACK).await), 40);
    assert_eq!(pkid(&peer.next(PUBACK).await), 41);
    drop(peer);
    handle.stop(None).await;
}

#[tokio::test]
async fn a_loss_is_told_from_the_last_proof_of_hearing_on() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(with_canary(config(broker.port, "since")));
    let (mut peer, _) = tokio::join!(welcome(&broker, 2), up(&mut events));
    peer.publish(None, "last").await;
    message(&mut events).await;
    let heard = Clock::live().now().mono;
    tokio::time::sleep(Duration::from_millis(600)).await; // silence that is not known to be any
    drop(peer);
    let deaf = |link| if let Link::Deaf { since } = link { Some(since) } else { None };
    let since: Mono = link_event(&mut events, Duration::from_secs(5), deaf).await;
    assert!(since <= heard, "{since:?} {heard:?}");
    assert!(matches!(events.next().await, Some(Event::Link(Link::Down))));
    handle.stop(None).await;
}

#[tokio::test]
async fn a_topic_that_is_none_is_left_out_and_the_link_works() {
    let broker = FakeBroker::start().await;
    let mut config = config(broker.port, "bridge#1");
    config.canary = Some("own/canary/bridge#1".into());
    let (handle, mut events, _) = start(config);
    let (mut peer, _) = tokio::join!(welcome(&broker, 1), up(&mut events));
    peer.publish(Some(7), "works").await;
    handle.ack(message(&mut events).await.token.unwrap());
    assert_eq!(pkid(&peer.next(PUBACK).await), 7);
    handle.stop(None).await;
}
