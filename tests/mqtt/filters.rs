//! What is subscribed: what a session keeps and nobody wants any more, and what a broker refuses.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use presence_bridge::mqtt::{Config, Protocol};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::protocols::speaking;
use super::{config, says, start, up};
use crate::support::fake_broker::{FakeBroker, SUBSCRIBE};
use crate::support::mosquitto::Mosquitto;
use crate::support::until;

fn kept(port: u16, filter: &str, path: &Path) -> Config {
    Config { filters: vec![filter.into()], kept: Some(path.to_owned()), ..config(port, "filters") }
}

#[tokio::test]
async fn a_session_that_goes_on_is_rid_of_the_filters_that_nobody_wants_any_more() {
    let Some(broker) = Mosquitto::start("mqtt kept filters", "").await else { return };
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("mqtt.json");
    let (handle, mut events, telemetry) = start(kept(broker.port, "old/#", &path));
    up(&mut events).await;
    let is_kept = |name: &str| std::fs::read_to_string(&path).is_ok_and(|text| text.contains(name));
    until("it is kept", || is_kept("old/#")).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    broker.publish("old/a", "heard", false);
    handle.ack(says(&mut events, "heard").await.token.unwrap());
    handle.stop(None).await;
    let (handle, mut events, _) = start(kept(broker.port, "new/#", &path));
    assert!(up(&mut events).await, "the session was kept");
    until("and the change", || is_kept("new/#") && !is_kept("old/#")).await;
    broker.publish("old/a", "unwanted", false);
    broker.publish("new/a", "wanted", false);
    says(&mut events, "wanted").await;
    assert_eq!(telemetry.total("mqtt_unkept", "file"), 0);
    handle.stop(None).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_a_warning_and_not_an_end() {
    let Some(broker) = Mosquitto::start("mqtt damaged file", "").await else { return };
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("mqtt.json");
    std::fs::write(&path, "{ half a").unwrap();
    let (handle, mut events, telemetry) = start(kept(broker.port, "in/#", &path));
    up(&mut events).await;
    broker.publish("in/a", "heard", false);
    says(&mut events, "heard").await;
    assert!(telemetry.total("mqtt_unkept", "file") >= 1, "{:?}", telemetry.totals());
    handle.stop(None).await;
}

#[tokio::test]
async fn refused_filters_are_an_alarm_that_names_them_until_they_are_granted_in_both_versions() {
    for protocol in [Protocol::V5, Protocol::V311] {
        let broker = FakeBroker::start().await;
        let (handle, mut events, telemetry) = start(speaking(protocol, config(broker.port, "refused")));
        for (code, alarmed) in [(0x80, true), (1, false)] {
            let (mut peer, _) = broker.accept().await;
            let (connack, properties): (&[u8], &[u8]) =
                if protocol == Protocol::V5 { (&[0x20, 3, 0, 0, 0], &[0]) } else { (&[0x20, 2, 0, 0], &[]) };
            peer.writer.write_all(connack).await.unwrap();
            let body = peer.next(SUBSCRIBE).await;
            let length = u8::try_from(3 + properties.len()).unwrap();
            let suback = [&[0x90, length, body[0], body[1]], properties, &[code]].concat();
            peer.writer.write_all(&suback).await.unwrap();
            up(&mut events).await;
            let named = || {
                let alarms = telemetry.alarms();
                let alarm = alarms.iter().find(|alarm| alarm.name == "mqtt_subscriptions_refused");
                alarm.is_some_and(|alarm| alarm.remedy.contains("in/#"))
            };
            until("the alarm is as it should be", || named() == alarmed).await;
        }
        handle.stop(None).await;
    }
}
