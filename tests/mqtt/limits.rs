//! Less than was asked for: what a broker does not grant is told, kept to, and never a reason to loop.

use presence_bridge::mqtt::{Event, Message};
use presence_bridge::presence::Link;
use std::time::Duration;

use super::traps::{connected, pkid};
use super::{config, next, start};
use crate::support::fake_broker::{FakeBroker, PUBACK, PUBLISH, SUBSCRIBE};
use crate::support::until;

/// QoS 1 in the flags of a last will.
const WILL_QOS_1: u8 = 0x08;

#[tokio::test]
async fn a_broker_of_qos_0_gets_everything_at_qos_0_and_is_asked_for_no_more_than_that() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(config(broker.port, "qos-0"));
    let (mut refused, connect) = broker.accept().await;
    assert_eq!(connect[7] & WILL_QOS_1, WILL_QOS_1);
    refused.connack(0x9b, &[]).await;
    let (mut peer, connect) = broker.accept().await;
    assert_eq!(connect[7] & WILL_QOS_1, 0, "it asks for less");
    let welcomed = async {
        peer.connack(0, &[0x24, 0]).await;
        peer.grant(0).await;
        peer
    };
    let (mut peer, ()) = tokio::join!(welcomed, async {
        super::up(&mut events).await;
    });
    handle.permit().await.unwrap().publish(Message::new("out", "x").at_least_once());
    peer.next(PUBLISH).await; // QoS 1 would be another kind of packet
    assert!(telemetry.total("mqtt_limited", "qos") >= 1, "{:?}", telemetry.totals());
    handle.stop(None).await;
}

#[tokio::test]
async fn a_broker_without_wildcards_is_an_alarm_that_names_the_filters() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(config(broker.port, "no-wildcards"));
    let peer = connected(&broker, &mut events, &[0x28, 0]).await;
    let alarms = telemetry.alarms();
    let alarm = alarms.iter().find(|alarm| alarm.name == "mqtt_no_wildcards").expect("an alarm");
    assert!(alarm.remedy.contains("in/#"), "{}", alarm.remedy);
    drop(peer);
    let _peer = connected(&broker, &mut events, &[]).await;
    until("it ends with a broker that has them", || telemetry.alarms().is_empty()).await;
    handle.stop(None).await;
}

#[tokio::test]
async fn a_session_that_the_broker_keeps_for_a_shorter_time_is_told_as_that() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(config(broker.port, "expiry"));
    let told = async {
        loop {
            if let Event::Link(Link::Up { expiry, .. }) = next(&mut events).await {
                return expiry;
            }
        }
    };
    let (_peer, expiry) = tokio::join!(broker.welcome(&[0x11, 0, 0, 0, 20]), told);
    assert_eq!(expiry, Duration::from_secs(20));
    handle.stop(None).await;
}

#[tokio::test]
async fn no_more_of_ours_is_on_its_way_than_the_broker_takes_and_acknowledgements_go_out_meanwhile() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(config(broker.port, "window"));
    let mut peer = connected(&broker, &mut events, &[0x21, 0, 2]).await;
    for n in 0..5 {
        handle.permit().await.unwrap().publish(Message::new("out", n.to_string()).at_least_once());
    }
    let ids = [peer.next(PUBLISH | 2).await, peer.next(PUBLISH | 2).await].map(|body| [body[5], body[6]]);
    // A third would come before this acknowledgement: it was asked for first.
    peer.publish(Some(77), "ask").await;
    handle.ack(super::says(&mut events, "ask").await.token.unwrap());
    loop {
        let (kind, body) = peer.reader.packet().await.unwrap();
        assert_ne!(kind, PUBLISH | 2, "a third of ours");
        if kind == PUBACK {
            assert_eq!(pkid(&body), 77);
            break;
        }
    }
    for id in ids {
        tokio::io::AsyncWriteExt::write_all(&mut peer.writer, &[0x40, 2, id[0], id[1]]).await.unwrap();
    }
    peer.next(PUBLISH | 2).await;
    handle.stop_soon(peer).await;
}

/// Ends a link whose last words nobody acknowledges.
trait StopSoon {
    async fn stop_soon(self, peer: crate::support::fake_broker::Peer);
}

impl StopSoon for presence_bridge::mqtt::Handle {
    async fn stop_soon(self, peer: crate::support::fake_broker::Peer) {
        drop(peer);
        self.stop(None).await;
    }
}

#[tokio::test]
async fn a_broker_that_closes_when_we_subscribe_is_not_taken_for_another_client_of_our_id() {
    let broker = FakeBroker::start().await;
    let (handle, _events, telemetry) = start(config(broker.port, "no-rights"));
    let alarms = || telemetry.alarms().into_iter().map(|alarm| alarm.name).collect::<Vec<_>>();
    for time in 1..=4 {
        let (mut peer, _) = broker.accept().await;
        peer.connack(0, &[]).await;
        peer.next(SUBSCRIBE).await;
        drop(peer);
        until("it is counted", || telemetry.total("mqtt_lost", "closed_at_subscribe") == time).await;
        let told = if time == 1 { Vec::new() } else { vec!["mqtt_subscriptions_refused"] };
        assert_eq!(alarms(), told, "after {time}");
    }
    assert_eq!(telemetry.total("mqtt_lost", "taken_over"), 0);
    let peer = broker.welcome(&[]).await;
    until("the alarm ends", || alarms().is_empty()).await;
    handle.stop_soon(peer).await;
}
