//! The whole bridge, again: what it goes on from.

use std::time::Duration;

use presence_bridge::presence::{Held, OnStop};

use super::open;
use crate::support::mosquitto::Mosquitto;
use crate::support::office::{CALL, NOBODY, Office, plain, publish};

/// An MQTT session that survives, and an event that nobody repeats: only the journal can know.
///
/// Red: `Bridge::close_journal` hands over `clean: false`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_clean_restart_who_was_in_a_call_still_is_and_nothing_is_sent_again() {
    let Some(broker) = Mosquitto::start("clean restart", "").await else { return };
    let temporary = tempfile::tempdir().unwrap();
    let office = Office::new(2, 1).await;
    let bridge = office.bridge_keeping(temporary.path(), &plain(broker.port));
    bridge.hears(broker.port).await;
    publish(broker.port, "phone/1", "INUSE", &[]);
    office.see(1, CALL).await;
    bridge.stop().await;
    let found = open(temporary.path()).1.unwrap();
    assert!(found.clean);
    assert!(matches!(found.snapshot.people[0].held, Held::Pair { .. }));
    publish(broker.port, "phone/2", "INUSE", &[]); // waits at the broker
    let bridge = office.bridge_keeping(temporary.path(), &plain(broker.port));
    office.see(2, CALL).await;
    assert!(!open_beside(temporary.path()).clean, "from now on it is not");
    office.pass(Duration::from_secs(12)).await; // longer than a broker is awaited
    office.kept_in_call(1);
    assert_eq!((office.calls(1).len(), office.calls(2).len()), (1, 1), "one call each");
    publish(broker.port, "phone/1", "NOT_INUSE", &[]);
    office.see(1, NOBODY).await;
    bridge.stop().await;
}

fn open_beside(dir: &std::path::Path) -> presence_bridge::store::Found {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir.join("journal"), copy.path().join("journal")).unwrap();
    open(copy.path()).1.unwrap()
}

/// Law 7: what was acknowledged is known after a crash; an end that came before it is not undone.
///
/// Red: `Bridge::event` acknowledges without the journal, and `Bridge::write_journal` does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_a_call_that_had_ended_stays_ended_and_one_that_had_begun_goes_on() {
    let Some(broker) = Mosquitto::start("crash", "").await else { return };
    let temporary = tempfile::tempdir().unwrap();
    let office = Office::new(2, 1).await;
    let bridge = office.bridge_keeping(temporary.path(), &plain(broker.port));
    bridge.hears(broker.port).await;
    publish(broker.port, "phone/1", "INUSE", &[]);
    publish(broker.port, "phone/2", "INUSE", &[]);
    office.see(1, CALL).await;
    office.see(2, CALL).await;
    publish(broker.port, "phone/2", "NOT_INUSE", &[]);
    office.see(2, NOBODY).await;
    bridge.crash().await;
    let bridge = office.bridge_keeping(temporary.path(), &plain(broker.port));
    bridge.connected().await;
    office.pass(Duration::from_secs(12)).await;
    office.kept_in_call(1);
    assert_eq!(office.calls(1).len(), 2, "what Graph holds is not known after a crash: {:?}", office.calls(1));
    assert_eq!(office.story(2), [NOBODY, CALL, NOBODY]);
    bridge.stop().await;
}

/// `clear` clears at Graph, and keeps the shares for the next process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_stop_that_cleared_everybody_the_next_process_sets_them_again() {
    let Some(broker) = Mosquitto::start("clear", "").await else { return };
    let temporary = tempfile::tempdir().unwrap();
    let office = Office::new(1, 1).await;
    let bridge = office.bridge_keeping(temporary.path(), &plain(broker.port));
    bridge.hears(broker.port).await;
    publish(broker.port, "phone/1", "INUSE", &[]);
    office.see(1, CALL).await;
    bridge.stop_with(OnStop::Clear).await;
    office.see(1, NOBODY).await;
    let bridge = office.bridge_keeping(temporary.path(), &plain(broker.port));
    office.see(1, CALL).await;
    bridge.stop().await;
}
