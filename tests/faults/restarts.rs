//! The broker stops, dies, freezes, forgets.

use std::time::Duration;

use crate::support::mosquitto::Mosquitto;
use crate::support::office::{CALL, NOBODY, Office, plain, publish};

/// One that forgets nothing, and keeps it where a test can reach it.
async fn that_keeps(test: &str) -> Option<Mosquitto> {
    Mosquitto::with(test, |port, dir| {
        let dir = dir.display();
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\npersistence_location {dir}/\nautosave_interval 1\nautosave_on_changes true\n"
        )
    })
    .await
}

/// SIGTERM, and gone.
async fn end(broker: &mut Mosquitto) {
    broker.signal("TERM");
    let port = broker.port;
    crate::support::until("mosquitto is gone", || std::net::TcpStream::connect(("127.0.0.1", port)).is_err()).await;
    broker.kill(); // reaps it
}

/// Killed, and back with nothing of what it retained.
///
/// Red: `LinkTask::up` subscribes at the first connection only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_01_a_broker_killed_and_back_with_nothing_is_heard_again_and_nobody_is_cleared() {
    let Some(mut broker) = Mosquitto::start("fault_01 office", "").await else { return };
    let office = Office::new(2, 20).await;
    let bridge = office.open(broker.port).await;
    publish(broker.port, "phone/1", "INUSE", &["-r"]);
    office.see(1, CALL).await;
    broker.kill();
    bridge.disconnected().await;
    broker.resume().await;
    publish(broker.port, "phone/2", "INUSE", &["-r"]); // whether the bridge is back already or not
    office.see_within(Duration::from_secs(5), 2, CALL).await;
    // Longer than a replay takes: that it says nothing of a phone does not mean on-hook.
    office.pass(Duration::from_secs(60)).await;
    office.kept_in_call(1);
    publish(broker.port, "phone/1", "NOT_INUSE", &[]);
    office.see(1, NOBODY).await;
    office.kept_in_call(2);
    bridge.stop().await;
}

/// One phone alone, and its message was the last before the loss: it is as old as the gap, as others are.
///
/// Red: in `hearing.rs`, `ends_shares` is a thousand times `blind_hold` later; or the link says that it heard last before
/// the core handled that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_01_what_was_heard_last_before_the_broker_died_is_let_go_as_all_the_rest() {
    let Some(mut broker) = Mosquitto::start("fault_01 last", "").await else { return };
    let office = Office::new(1, 20).await;
    let bridge = office.bridge(&plain(broker.port), "blind_hold = \"1m\"", &[]);
    bridge.connected().await;
    publish(broker.port, "phone/1", "INUSE", &["-r"]);
    office.see(1, CALL).await;
    broker.kill();
    bridge.disconnected().await;
    office.see(1, NOBODY).await; // at three seconds of life
    bridge.stop().await;
}

/// Stopped in good order, and back with everything.
///
/// Red: `loss::FIRST_WAIT` is half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_02_a_broker_restarted_in_good_order_is_back_in_five_seconds_and_costs_no_call() {
    let Some(mut broker) = that_keeps("fault_02").await else { return };
    let office = Office::new(2, 1).await;
    let bridge = office.open(broker.port).await;
    publish(broker.port, "phone/1", "INUSE", &["-r"]);
    office.see(1, CALL).await;
    end(&mut broker).await;
    bridge.disconnected().await;
    broker.resume().await;
    publish(broker.port, "phone/2", "INUSE", &[]);
    office.see_within(Duration::from_secs(5), 2, CALL).await;
    office.kept_in_call(1);
    assert_eq!((office.calls(1).len(), office.calls(2).len()), (1, 1), "one call each");
    bridge.stop().await;
}

/// Frozen for longer than an expiration lasts.
///
/// Red: `connect::keep_alive` is ten minutes; or the core refreshes nobody whose source is down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_03_while_the_broker_is_frozen_people_stay_and_afterwards_they_are_right() {
    let Some(broker) = Mosquitto::start("fault_03 office", "").await else { return };
    let office = Office::new(2, 30).await; // an expiration is ten seconds
    let mqtt = format!("{}keep_alive = \"5s\"\n", plain(broker.port));
    let bridge = office.bridge(&mqtt, "blind_hold = \"2h\"", &[]);
    bridge.connected().await;
    publish(broker.port, "phone/1", "INUSE", &["-r"]);
    office.see(1, CALL).await;
    broker.signal("STOP");
    let noticed = async {
        while bridge.is_connected().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(11), noticed).await.expect("noticed within twice the keep-alive");
    office.pass(Duration::from_secs(90)).await;
    office.kept_in_call(1);
    assert!(office.calls(1).len() >= 2, "refreshed meanwhile: {:?}", office.calls(1));
    broker.signal("CONT");
    publish(broker.port, "phone/1", "NOT_INUSE", &["-r"]);
    publish(broker.port, "phone/2", "INUSE", &["-r"]);
    office.see_within(Duration::from_secs(5), 1, NOBODY).await;
    office.see(2, CALL).await;
    bridge.stop().await;
}

/// The broker lost its database while it was down: session and retained messages. Whoever is not confirmed is let go
/// when the deafness allows no more, and not before.
///
/// Red: in `hearing.rs`, `ends_shares` is `since`, or a thousand times `blind_hold` later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_19_of_a_lost_session_people_keep_what_they_had_until_they_are_said_again_or_blind_hold_ends() {
    let Some(mut broker) = that_keeps("fault_19").await else { return };
    let office = Office::new(2, 20).await;
    let bridge = office.bridge(&plain(broker.port), "blind_hold = \"3m\"", &[]);
    bridge.connected().await;
    publish(broker.port, "phone/1", "INUSE", &["-r"]);
    publish(broker.port, "phone/2", "INUSE", &["-r"]);
    office.see(1, CALL).await;
    office.see(2, CALL).await;
    end(&mut broker).await;
    std::fs::remove_file(broker.dir.path().join("mosquitto.db")).unwrap();
    bridge.disconnected().await;
    broker.resume().await;
    bridge.connected().await;
    publish(broker.port, "phone/1", "INUSE", &["-r"]); // the PBX says its states anew
    office.pass(Duration::from_secs(40)).await; // the replay is long through
    office.kept_in_call(1);
    office.kept_in_call(2);
    office.see(2, NOBODY).await; // at nine seconds of life
    office.pass(Duration::from_secs(60)).await;
    office.kept_in_call(1);
    bridge.stop().await;
}

/// The machine sleeps in a call, broker and all, longer than a presence lasts; the call ends meanwhile. On waking the bridge does
/// not say of anybody what it knew before, until it has heard what is true now. Both processes are stopped: time goes on, and
/// they do not.
///
/// Red: `notice_sleep` returns at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_57_after_a_sleep_nobody_is_set_from_what_was_known_before_it() {
    let Some(broker) = Mosquitto::start("fault_57 sleep", "").await else { return };
    let office = Office::new(2, 20).await;
    let program = office.program(&plain(broker.port), "", &[]).await;
    publish(broker.port, "phone/1", "INUSE", &[]);
    office.see(1, CALL).await;
    broker.signal("STOP");
    program.signal("STOP");
    let port = broker.port;
    let hang_up = std::thread::spawn(move || publish(port, "phone/1", "NOT_INUSE", &["-r"]));
    office.pass(Duration::from_secs(6 * 60)).await;
    office.see(1, NOBODY).await; // it ran out
    program.signal("CONT");
    office.pass(Duration::from_secs(4)).await;
    broker.signal("CONT");
    hang_up.join().unwrap();
    publish(broker.port, "phone/2", "INUSE", &["-r"]);
    office.see(2, CALL).await;
    assert_eq!(office.story(1), [NOBODY, CALL, NOBODY]);
    assert!(program.log().contains("The machine slept"), "{}", program.log());
}
