//! Links that work, and slowly.

use std::time::Duration;

use super::office::{BUSY, NOBODY, Office, calls, graph, now, sees, sees_within};
use super::{Phones, at};
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::{Faults, Lane, Proxy, Way};

/// A broker whose CONNACK drips has ten seconds for all of it, not for each byte: then the next attempt, which works.
///
/// mosquitto's CONNACK has about 11 bytes; at one in 1.5 s it would be through after 16 s. Red when `CONNECT_SECONDS` is 20.
#[tokio::test]
async fn fault_07_a_dripping_connack_is_given_up_after_ten_seconds_in_total() {
    let Some(broker) = Mosquitto::start("fault_07", "").await else { return };
    let (graph, proxy) = (graph(1).await, Proxy::to(broker.port).await);
    let mut phones = Phones::connect(broker.port);
    phones.say(1, "INUSE", true);
    let drip = Some(Duration::from_millis(1_500));
    proxy.next(Faults::on(Way::Down, Lane { drip, ..Lane::default() }));
    let start = now();
    let _office = Office::open(&graph, [1], &at(proxy.port));
    let seen = sees_within(&graph, 1, BUSY, Duration::from_secs(13)).await;
    assert!(seen > Duration::from_secs(9), "a slow link is not a dead one: {seen:?}");
    assert_eq!(proxy.connections(), 2, "after {:?}", now().since(start));
    let dripped = proxy.carried(0).bytes[Way::Down as usize].len();
    assert!((5..=7).contains(&dripped), "{dripped} bytes came before it was given up");
}

/// Two seconds, one more or less, there and back: late, in order, and the connection stays.
///
/// Red when a connection must stand within a second (`CONNECT_SECONDS`).
#[tokio::test]
async fn fault_09_latency_and_jitter_make_it_late_and_nothing_else() {
    let Some(broker) = Mosquitto::start("fault_09", "").await else { return };
    let (graph, proxy) = (graph(1).await, Proxy::to(broker.port).await);
    let delay = Some((Duration::from_millis(500), Duration::from_secs(1)));
    let lane = Lane { delay, ..Lane::default() };
    proxy.each(Faults { up: lane, down: lane });
    let mut phones = Phones::connect(broker.port);
    let office = Office::open(&graph, [1], &at(proxy.port));
    office.is_connected(true, Duration::from_secs(10)).await;
    for payload in ["INUSE", "NOT_INUSE", "INUSE", "NOT_INUSE", "INUSE"] {
        phones.say(1, payload, true);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    sees_within(&graph, 1, BUSY, Duration::from_secs(8)).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await; // whatever else is on the wire has arrived
    sees(&graph, 1, BUSY).await;
    phones.say(1, "NOT_INUSE", true);
    // Three rises and falls within 30 s: the third fall may wait five seconds for quiet.
    sees_within(&graph, 1, NOBODY, Duration::from_secs(9)).await;
    assert!(calls(&graph, 1, "setPresence") <= 3 && calls(&graph, 1, "clearPresence") <= 3);
    assert_eq!(proxy.connections(), 1, "the connection stayed");
}
