//! What comes twice.

use std::time::Duration;

use super::office::{BUSY, NOBODY, Office, calls, graph, sees};
use super::{Phones, at};
use crate::scenarios::world::person;
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::{Cut, Faults, Lane, Proxy, Way, packets};
use crate::support::{stays, until};

const PUBACK: u8 = 4;
/// PUBLISH at QoS 1 with DUP, not retained.
const AGAIN: u8 = 0x3a;

fn swallow() -> Faults {
    Faults::on(Way::Up, Lane { swallow: Some((PUBACK, usize::MAX)), ..Lane::default() })
}

/// How many messages came with the mark that they may have come before.
fn again(proxy: &Proxy, connection: usize) -> usize {
    let bytes = &proxy.carried(connection).bytes[Way::Down as usize];
    packets(bytes).into_iter().filter(|&first| first == AGAIN).count()
}

/// No acknowledgement arrives; the connection is lost, and what was heard before comes again: nothing is called for it.
///
/// Red when a repeat is a call: when `Session::need` takes what is held for something else than what is wanted. Red, too,
/// when the MQTT session is not kept (`set_clean_start(true)` in `v5::prepare`): then nothing comes again.
#[tokio::test]
async fn fault_23_what_is_delivered_twice_counts_once() {
    let Some(broker) = Mosquitto::start("fault_23", "").await else { return };
    let (graph, proxy) = (graph(1).await, Proxy::to(broker.port).await);
    proxy.next(swallow());
    let mut phones = Phones::connect(broker.port);
    let office = Office::open(&graph, [1], &at(proxy.port));
    office.is_connected(true, Duration::from_secs(10)).await;
    until("SUBACK", || packets(&proxy.carried(0).bytes[Way::Down as usize]).contains(&0x90)).await;
    phones.say(1, "INUSE", false);
    sees(&graph, 1, BUSY).await;
    proxy.cut(Cut::Reset);
    until("it comes again", || proxy.connections() == 2 && again(&proxy, 1) > 0).await;
    stays("Busy by one call", Duration::from_secs(1), || {
        graph.seen(&person(1)) == BUSY && calls(&graph, 1, "setPresence") == 1
    })
    .await;
    phones.say(1, "NOT_INUSE", false);
    sees(&graph, 1, NOBODY).await;
    assert_eq!(calls(&graph, 1, "clearPresence"), 1);
}

/// A whole call comes again after it has ended: in order, so that at the end nobody is in a call.
///
/// Red when the MQTT session is not kept (`set_clean_start(true)` in `v5::prepare`).
#[tokio::test]
async fn fault_23_a_call_that_is_over_and_comes_again_is_over() {
    let Some(broker) = Mosquitto::start("fault_23 over", "").await else { return };
    let (graph, proxy) = (graph(1).await, Proxy::to(broker.port).await);
    proxy.next(swallow());
    let mut phones = Phones::connect(broker.port);
    let office = Office::open(&graph, [1], &at(proxy.port));
    office.is_connected(true, Duration::from_secs(10)).await;
    until("SUBACK", || packets(&proxy.carried(0).bytes[Way::Down as usize]).contains(&0x90)).await;
    phones.say(1, "INUSE", false);
    sees(&graph, 1, BUSY).await;
    phones.say(1, "NOT_INUSE", false);
    sees(&graph, 1, NOBODY).await;
    proxy.cut(Cut::Reset);
    until("both come again", || proxy.connections() == 2 && again(&proxy, 1) >= 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    sees(&graph, 1, NOBODY).await;
    println!("calls that the repeat cost: {}", calls(&graph, 1, "setPresence") - 1);
}
