//! Two bridges with one client id.

use std::time::Duration;

use crate::support::mosquitto::Mosquitto;
use crate::support::office::{CALL, NOBODY, Office, plain, publish, within};

/// A replica that somebody started by copying the configuration.
///
/// Red: `loss::Losses::is_taken_over` is never true: the war goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_17_of_two_bridges_with_one_client_id_one_gives_way_and_the_other_keeps_people_right() {
    let Some(broker) = Mosquitto::start("fault_17 office", "").await else { return };
    let office = Office::new(2, 1).await;
    let mqtt = format!("{}client_id = \"twin\"\n", plain(broker.port));
    let bridges = [office.bridge(&mqtt, "", &[]), office.bridge(&mqtt, "", &[])];
    publish(broker.port, "phone/1", "INUSE", &["-r"]);
    office.see(1, CALL).await; // the war has begun, and takes nobody from a call
    let gave_way = || async {
        let [one, two] = [&bridges[0], &bridges[1]].map(|bridge| bridge.count("mqtt_lost", "taken_over"));
        one.await + two.await > 0
    };
    within(Duration::from_secs(20), "one gives way", gave_way).await;
    let alarms = || async {
        let (one, two) = (bridges[0].alarms().await, bridges[1].alarms().await);
        one.into_iter().chain(two).filter(|(name, _)| name == "mqtt_taken_over").collect::<Vec<_>>()
    };
    within(Duration::from_secs(5), "an alarm says so", || async { !alarms().await.is_empty() }).await;
    let told = alarms().await;
    assert!(told.iter().any(|(_, remedy)| remedy.contains("twin") && remedy.contains("client_id")), "{told:?}");
    within(Duration::from_secs(10), "one stays", || async {
        bridges[0].is_connected().await != bridges[1].is_connected().await
    })
    .await;
    office.kept_in_call(1);
    publish(broker.port, "phone/1", "NOT_INUSE", &["-r"]);
    publish(broker.port, "phone/2", "INUSE", &["-r"]);
    office.see_within(Duration::from_secs(5), 1, NOBODY).await;
    office.see_within(Duration::from_secs(5), 2, CALL).await;
    let [one, two] = bridges;
    one.stop().await;
    two.stop().await;
}
