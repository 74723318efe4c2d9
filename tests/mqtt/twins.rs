//! Two bridges with one client id.

use std::time::Duration;

use tempfile::TempDir;

use super::canary::{deliver, echo, welcome, with_canary};
use super::{config, start, up};
use crate::support::fake_broker::{DISCONNECT, FakeBroker, PUBLISH};
use crate::support::mosquitto::Mosquitto;
use crate::support::{stays, until};

/// A canary of somebody else, under an id of the broker's.
fn foreign(body: &[u8]) -> Vec<u8> {
    let at = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
    [&body[..at + 3], b"somebody 0000000000000001 1"].concat()
}

#[tokio::test]
async fn another_bridges_canary_is_a_take_over_we_go_and_stay_away() {
    let dir = TempDir::new().unwrap();
    let broker = FakeBroker::start().await;
    let mut config = with_canary(config(broker.port, "twin-canary"));
    config.kept = Some(dir.path().join("mqtt.json"));
    let (handle, mut events, telemetry) = start(config);
    let (mut peer, _) = tokio::join!(welcome(&broker, 2), up(&mut events));
    let canary = peer.next(PUBLISH | 2).await;
    // What the session kept of a predecessor comes before our own echo, and is nobody's.
    deliver(&mut peer, &foreign(&canary)).await;
    echo(&mut peer, &canary, 4).await;
    stays("no take-over", Duration::from_millis(200), || telemetry.total("mqtt_lost", "twin") == 0).await;
    deliver(&mut peer, &foreign(&canary)).await;
    peer.next(DISCONNECT).await;
    until("it is told", || telemetry.total("mqtt_lost", "twin") == 1).await;
    let alarms = telemetry.alarms();
    let alarm = alarms.iter().find(|alarm| alarm.name == "mqtt_taken_over").expect("an alarm");
    assert!(alarm.remedy.contains("twin-canary"), "{}", alarm.remedy);
    let back = tokio::time::timeout(Duration::from_secs(3), broker.accept()).await;
    assert!(back.is_err(), "30 s at the least");
    handle.stop(None).await;
}

#[tokio::test]
async fn without_an_id_that_lasts_another_canary_may_be_our_own_from_before_a_restart() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(with_canary(config(broker.port, "forgetful")));
    let (mut peer, _) = tokio::join!(welcome(&broker, 2), up(&mut events));
    let canary = peer.next(PUBLISH | 2).await;
    echo(&mut peer, &foreign(&canary), 3).await;
    echo(&mut peer, &canary, 4).await;
    stays("no take-over", Duration::from_millis(500), || telemetry.total("mqtt_lost", "twin") == 0).await;
    assert!(telemetry.alarms().is_empty());
    drop(peer);
    handle.stop(None).await;
}

/// Ten minutes of it are played on virtual time, beside `Losses`.
#[tokio::test]
async fn fault_17_a_minute_of_two_bridges_with_one_client_id_is_a_handful_of_take_overs() {
    let Some(broker) = Mosquitto::start("fault_17 for a minute", "").await else { return };
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let bridges = dirs.each_ref().map(|dir| {
        let mut config = with_canary(config(broker.port, "twins"));
        config.kept = Some(dir.path().join("mqtt.json"));
        start(config)
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    let fought: u64 = bridges
        .iter()
        .flat_map(|(_, _, telemetry)| telemetry.totals())
        .filter(|(event, reason, _)| *event == "mqtt_lost" && ["peer_closed", "twin"].contains(reason))
        .map(|(.., total)| total)
        .sum();
    assert!((3..=12).contains(&fought), "{fought}");
    let told = bridges.iter().flat_map(|(_, _, telemetry)| telemetry.alarms());
    assert!(told.filter(|alarm| alarm.name == "mqtt_taken_over").count() >= 1);
    for (handle, ..) in bridges {
        handle.stop(None).await;
    }
}
