//! Links that are dead without a word: half open, black-holed one way or both, a broker that is frozen. With a keep-alive
//! of 5 s each must be noticed within 10 s. What lies between is the bridge's: it answers questions while it waits.
//!
//! What waits for a loss turns red when `connect::keep_alive` is a minute, whatever the configuration says.

use std::time::Duration;

use super::office::{BUSY, NOBODY, Office, calls, graph, sees, sees_within};
use super::{Phones, at};
use crate::scenarios::world::person;
use crate::support::mosquitto::Mosquitto;
use crate::support::netns::{Network, Rule};
use crate::support::proxy::{Proxy, Way};
use crate::support::{stays, until};

/// Twice the keep-alive, and what a busy machine takes to answer.
const NOTICED: Duration = Duration::from_secs(11);
/// From the heal on, until a colleague sees what is true.
const RIGHT: Duration = Duration::from_secs(5);

fn beside(network: &Network) -> String {
    format!("url = \"{}\"\nallow_plaintext = true\nclient_id = \"bridge-under-test\"", network.url())
}

/// A bridge beside a network that it can lose packets in, its person in a call.
async fn in_a_call(network: &Network, graph: &presence_bridge::sandbox::Sandbox) -> Office {
    let office = Office::open(graph, [1], &beside(network));
    network.publish("phone/1", "INUSE", true);
    sees(graph, 1, BUSY).await;
    office
}

/// Nothing passes any more, as behind a NAT that forgot: noticed in time, nobody is freed by it, right after the heal.
#[tokio::test]
async fn fault_04_a_black_hole_is_noticed_within_two_keep_alives() {
    let Some(network) = Network::with_broker("fault_04", "").await else { return };
    let graph = graph(1).await;
    let office = in_a_call(&network, &graph).await;
    network.suffer(Rule::DropBoth);
    network.publish("phone/1", "NOT_INUSE", true);
    let noticed = office.is_connected(false, NOTICED).await;
    println!("noticed after {noticed:?}");
    assert_eq!(graph.seen(&person(1)), BUSY, "a lost link frees nobody");
    network.heal();
    sees_within(&graph, 1, NOBODY, RIGHT).await;
    assert_eq!((calls(&graph, 1, "setPresence"), calls(&graph, 1, "clearPresence")), (1, 1));
}

/// The same without root: the old connection carries nothing, a new one does.
#[tokio::test]
async fn fault_04_a_half_open_connection_is_replaced() {
    let Some(broker) = Mosquitto::start("fault_04 half open", "").await else { return };
    let (graph, proxy) = (graph(1).await, Proxy::to(broker.port).await);
    let mut phones = Phones::connect(broker.port);
    let _office = Office::open(&graph, [1], &at(proxy.port));
    phones.say(1, "INUSE", true);
    sees(&graph, 1, BUSY).await;
    proxy.hold(Way::Up);
    proxy.hold(Way::Down);
    phones.say(1, "NOT_INUSE", true);
    let right = sees_within(&graph, 1, NOBODY, NOTICED + RIGHT).await;
    println!("right after {right:?}");
    // Its end does not pass either, until the hole is gone.
    assert_eq!((proxy.connections(), proxy.open()), (2, 2));
    proxy.release();
    until("the old one ends", || (proxy.connections(), proxy.open()) == (2, 1)).await;
}

/// A hole that is shorter than the keep-alive is a delay: what was held arrives, and the connection stays. No one line of
/// src was found that turns this red: it shows that the black hole above is one because it lasts.
#[tokio::test]
async fn fault_04_a_short_hole_is_a_delay() {
    let Some(broker) = Mosquitto::start("fault_04 short", "").await else { return };
    let (graph, proxy) = (graph(1).await, Proxy::to(broker.port).await);
    let mut phones = Phones::connect(broker.port);
    let _office = Office::open(&graph, [1], &at(proxy.port));
    phones.say(1, "INUSE", true);
    sees(&graph, 1, BUSY).await;
    proxy.hold(Way::Up);
    proxy.hold(Way::Down);
    phones.say(1, "NOT_INUSE", true);
    stays("nothing is heard", Duration::from_secs(3), || graph.seen(&person(1)) == BUSY).await;
    proxy.release();
    sees_within(&graph, 1, NOBODY, Duration::from_secs(1)).await;
    assert_eq!(proxy.connections(), 1);
}

/// The bridge cannot send. It still hears, and acts on what it hears, until no answer to its ping comes.
#[tokio::test]
async fn fault_05_a_bridge_that_hears_and_cannot_send_acts_and_connects_again() {
    let Some(network) = Network::with_broker("fault_05 up", "").await else { return };
    let graph = graph(1).await;
    let office = in_a_call(&network, &graph).await;
    network.suffer(Rule::DropToBroker);
    network.publish("phone/1", "NOT_INUSE", true);
    sees_within(&graph, 1, NOBODY, Duration::from_secs(2)).await;
    office.is_connected(false, NOTICED).await;
    network.publish("phone/1", "INUSE", true);
    network.heal();
    sees_within(&graph, 1, BUSY, RIGHT).await;
    // The end of the call was never acknowledged and came again: it changed nothing that a colleague could see.
    assert_eq!((calls(&graph, 1, "setPresence"), calls(&graph, 1, "clearPresence")), (2, 1));
}

/// The broker cannot send: deaf, and noticed by the same means.
#[tokio::test]
async fn fault_05_a_bridge_that_sends_and_cannot_hear_connects_again() {
    let Some(network) = Network::with_broker("fault_05 down", "").await else { return };
    let graph = graph(1).await;
    let office = in_a_call(&network, &graph).await;
    network.suffer(Rule::DropFromBroker);
    network.publish("phone/1", "NOT_INUSE", true);
    office.is_connected(false, NOTICED).await;
    assert_eq!(graph.seen(&person(1)), BUSY, "a lost link frees nobody");
    network.heal();
    sees_within(&graph, 1, NOBODY, RIGHT).await;
}

/// A firewall that comes up answers the live connection and each attempt by a reset; when it goes, the bridge is soon back.
///
/// Red when the cap while the port refuses, `REFUSED_CAP`, is that of other losses, 30 s.
#[tokio::test]
async fn fault_06_a_firewall_that_resets_is_survived() {
    let Some(network) = Network::with_broker("fault_06 firewall", "").await else { return };
    let graph = graph(1).await;
    let office = in_a_call(&network, &graph).await;
    network.suffer(Rule::Reject);
    office.is_connected(false, NOTICED).await; // by its next ping
    network.publish("phone/1", "NOT_INUSE", true);
    office.is_refused(5).await;
    assert_eq!(graph.seen(&person(1)), BUSY, "a lost link frees nobody");
    network.heal();
    sees_within(&graph, 1, NOBODY, RIGHT).await;
}

/// One packet in five is lost, each way: slower, and nothing is said twice to Graph.
///
/// Red when a repeat is a call: when `Session::need` takes what is held for something else than what is wanted.
#[tokio::test]
async fn fault_08_lost_packets_make_it_slower_and_nothing_else() {
    let Some(network) = Network::with_broker("fault_08", "").await else { return };
    let graph = graph(1).await;
    network.suffer(Rule::Lose(20));
    let _office = Office::open(&graph, [1], &beside(&network));
    for _ in 0..3 {
        for (payload, seen) in [("INUSE", BUSY), ("NOT_INUSE", NOBODY)] {
            network.publish("phone/1", payload, true);
            network.publish("phone/1", payload, true); // phones repeat themselves
            sees_within(&graph, 1, seen, Duration::from_secs(30)).await;
        }
    }
    assert_eq!((calls(&graph, 1, "setPresence"), calls(&graph, 1, "clearPresence")), (3, 3));
}

/// SIGSTOP: the kernel goes on acknowledging for the broker, and accepts connections for it.
#[tokio::test]
async fn fault_03_a_frozen_broker_is_noticed_within_two_keep_alives_and_heard_within_five_seconds() {
    let Some(broker) = Mosquitto::start("fault_03 frozen", "").await else { return };
    let graph = graph(1).await;
    let mut phones = Phones::connect(broker.port);
    let office = Office::open(&graph, [1], &at(broker.port));
    phones.say(1, "INUSE", true);
    sees(&graph, 1, BUSY).await;
    broker.signal("STOP");
    let noticed = office.is_connected(false, NOTICED).await;
    println!("noticed after {noticed:?}");
    assert_eq!(graph.seen(&person(1)), BUSY, "a frozen broker frees nobody");
    broker.signal("CONT");
    phones.say(1, "NOT_INUSE", true);
    sees_within(&graph, 1, NOBODY, RIGHT).await;
}
