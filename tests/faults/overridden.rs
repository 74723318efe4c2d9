//! Graph says yes, and nobody sees it: what somebody chose by hand wins, or the write was lost behind the answer.

use std::time::Duration;

use presence_bridge::sandbox::tenant::{Fault, Match, What};

use crate::support::mosquitto::Mosquitto;
use crate::support::office::{CALL, NOBODY, Office, plain, publish, within};

const MINUTE: Duration = Duration::from_secs(60);

/// A choice by hand is the person's own: told to whoever asks, no alarm, no storm of calls; over, the call is seen again.
///
/// Red: `Readback` asserts again each time it is not seen (`overridden` is never true): calls without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_53_what_somebody_chose_by_hand_wins_is_told_and_costs_no_calls() {
    let Some(broker) = Mosquitto::start("fault_53", "").await else { return };
    let office = Office::new(2, 60).await;
    let program = office.program(&plain(broker.port), "verify = \"1m\"", &[]).await;
    office.prefer(1, Some("Away/Away"));
    publish(broker.port, "phone/1", "INUSE", &[]);
    publish(broker.port, "phone/2", "INUSE", &[]);
    office.see(2, CALL).await;
    within(Duration::from_secs(10), "it is known that it is overridden", || async {
        program.status("/status").await["people"]["overridden"] == 1
    })
    .await;
    let person = program.status("/status/p1").await;
    assert_eq!((&person["held"], &person["seen"]), (&"Busy/InACall".into(), &"Away/Away".into()));
    let why = person["why"].as_str().unwrap();
    assert!(why.contains("Colleagues see Away/Away: a choice or client of the person's own overrides it."), "{why}");
    let before = office.calls(1).len();
    office.pass(20 * MINUTE).await;
    let calls = office.calls(1).len() - before;
    assert!(calls <= 10, "refreshes alone, not one a round: {calls}");
    assert_eq!(program.status("/status").await["alarms"], serde_json::json!([]));
    assert!(!office.story(1).iter().any(|seen| seen == CALL), "{:?}", office.story(1));
    office.prefer(1, None);
    office.see(1, CALL).await; // it was held all the time
    publish(broker.port, "phone/1", "NOT_INUSE", &[]);
    office.see(1, NOBODY).await;
    office.kept_in_call(2);
}

/// A write that Graph confirmed and lost is noticed by the next round, and asserted once more.
///
/// Red: what is not seen is not asserted once more (`core/readback.rs`), and nobody sees the call before the next refresh,
/// which is later than this waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_53_a_write_that_graph_confirmed_and_lost_is_asserted_once_more() {
    let Some(broker) = Mosquitto::start("fault_53 lost", "").await else { return };
    let office = Office::new(1, 60).await;
    let program = office.program(&plain(broker.port), "verify = \"1m\"\nmax_stale = \"4h\"", &[]).await;
    office.fault(Fault { on: Match::Set, times: 1, what: What::NoEffect });
    publish(broker.port, "phone/1", "INUSE", &[]);
    within(Duration::from_secs(10), "it is held", || async {
        program.status("/status/p1").await["held"] == "Busy/InACall"
    })
    .await;
    office.see(1, CALL).await;
    assert_eq!(office.calls(1), ["setPresence", "setPresence"]);
    within(Duration::from_secs(10), "and it is known to be seen", || async {
        program.status("/status/p1").await["seen"] == "Busy/InACall"
    })
    .await;
}
