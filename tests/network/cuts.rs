//! A session that is cut after each of its bytes.

use std::time::Duration;

use presence_bridge::mqtt::{Event, Events, Handle};
use presence_bridge::presence::Link as Told;
use presence_bridge::sandbox::Sandbox;

use super::office::{BUSY, NOBODY, Office, graph, sees};
use super::{Phones, at};
use crate::scenarios::world::person;
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::{Cut, Faults, Lane, Proxy, Way, packets};
use crate::support::until;

/// Numbers of three digits, so that all sessions have the same length.
const FIRST: usize = 101;
/// So many bridges at a time.
const BATCH: usize = 40;

struct Cell {
    number: usize,
    at: (Way, usize),
    proxy: Proxy,
    _office: Office,
}

/// One bridge, whose first connection ends after so many bytes of one direction.
async fn cell(graph: &Sandbox, broker: u16, number: usize, at: (Way, usize), how: Cut) -> Cell {
    let proxy = Proxy::to(broker).await;
    proxy.next(Faults::on(at.0, Lane { cut: Some((at.1, how)), ..Lane::default() }));
    let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"\nclient_id = \"bridge-{number}\"", proxy.port);
    Cell { number, at, _office: Office::open(graph, [number], &mqtt), proxy }
}

async fn all_see(graph: &Sandbox, cells: &[Cell], what: &str) {
    let wrong = || cells.iter().filter(|cell| graph.seen(&person(cell.number)) != what);
    for _ in 0..3_000 {
        if wrong().next().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let wrong: Vec<_> = wrong().map(|cell| (cell.at, cell.proxy.connections())).collect();
    panic!("not seen as {what} after a cut at (and connections since): {wrong:?}");
}

/// Where a session that sees a call come and go can be cut: it is recorded first.
async fn places(graph: &Sandbox, broker: u16, phones: &mut Phones) -> Vec<(Way, usize)> {
    let never = (Way::Up, usize::MAX);
    let cell = cell(graph, broker, FIRST, never, Cut::Fin).await;
    phones.say(FIRST, "INUSE", true);
    sees(graph, FIRST, BUSY).await;
    phones.say(FIRST, "NOT_INUSE", true);
    sees(graph, FIRST, NOBODY).await;
    tokio::time::sleep(Duration::from_millis(100)).await; // and the last acknowledgement
    let [up, down] = cell.proxy.carried(0).bytes;
    let places = |way, bytes: Vec<u8>| (0..bytes.len()).map(move |n| (way, n));
    places(Way::Up, up).chain(places(Way::Down, down)).collect()
}

/// Cuts after each `step`th byte, in each direction.
async fn cut_everywhere(broker: &Mosquitto, step: usize) {
    let mut phones = Phones::connect(broker.port);
    let places = places(&graph(FIRST).await, broker.port, &mut phones).await;
    println!("{} places to cut", places.len());
    assert!(places.len() > 300);
    let numbered: Vec<_> = places.into_iter().step_by(step).enumerate().collect();
    let mut came_back = 0;
    for (round, batch) in numbered.chunks(BATCH).enumerate() {
        // A tenant each: together they would be throttled, which is another test's.
        let graph = graph(FIRST + BATCH).await;
        let ids = || (FIRST + 1..).take(batch.len());
        phones.say_all(ids(), "INUSE", true);
        let mut cells = Vec::new();
        for (number, &(_, at)) in ids().zip(batch) {
            cells.push(cell(&graph, broker.port, number, at, Cut::Reset).await);
        }
        all_see(&graph, &cells, BUSY).await;
        phones.say_all(ids(), "NOT_INUSE", true);
        all_see(&graph, &cells, NOBODY).await;
        let twice = cells.iter().filter(|cell| cell.proxy.connections() > 1).count();
        println!("batch {round}: {twice} of {} were cut", batch.len());
        came_back += twice;
    }
    // Sessions differ by a few bytes, so that the last cuts may find nothing to cut.
    assert!(came_back * 10 >= numbered.len() * 9, "{came_back} of {} were cut", numbered.len());
}

/// Connect, subscribe, a retained message and a live one, and what the bridge says meanwhile: cut by a reset after every
/// twelfth byte, in each direction. The bridge comes back, and its person is seen as the phone says.
///
/// Red when `LinkTask::up` subscribes only where no session is present: one that was cut before SUBSCRIBE is, and is empty.
#[tokio::test]
async fn fault_06_a_reset_leaves_nobody_wrong() {
    let Some(broker) = Mosquitto::start("fault_06", "").await else { return };
    cut_everywhere(&broker, 12).await;
}

#[tokio::test]
#[ignore = "a thousand bridges, forty at a time: one to three minutes"]
async fn fault_06_a_reset_after_every_byte_leaves_nobody_wrong() {
    let Some(broker) = Mosquitto::start("fault_06 every byte", "").await else { return };
    cut_everywhere(&broker, 1).await;
}

/// The adapter alone, behind a proxy of its own.
struct Link {
    proxy: Proxy,
    handle: Handle,
    events: Events,
}

async fn link(broker: u16, name: &str, faults: Faults) -> Link {
    let proxy = Proxy::to(broker).await;
    proxy.next(faults);
    let mut config = crate::mqtt::config(proxy.port, name);
    config.filters = vec!["phone/#".to_owned()];
    let (handle, events, _) = crate::mqtt::start(config);
    Link { proxy, handle, events }
}

impl Link {
    /// Reads until this comes, and acknowledges all of it: only on a connection that has been told.
    async fn hear(mut self, payload: &str) -> Link {
        let mut up = true; // what was told before is not known here
        loop {
            match self.events.next().await.unwrap() {
                Event::Link(told) => up = matches!(told, Told::Up { .. }) || (up && told != Told::Down),
                Event::Publish(said) => {
                    assert!(up, "a message of a connection that is down");
                    said.token.into_iter().for_each(|token| self.handle.ack(token));
                    if said.payload == payload.as_bytes() {
                        return self;
                    }
                }
            }
        }
    }

    async fn hear_in_time(self, at: Faults, payload: &str) -> Link {
        let heard = tokio::time::timeout(Duration::from_secs(15), self.hear(payload)).await;
        heard.unwrap_or_else(|_| panic!("{payload} was not heard in time after {at:?}"))
    }
}

/// Every byte of the adapter's session, each direction, by a reset and by an end of stream: it connects again and hears.
///
/// Red by the same change.
#[tokio::test]
async fn fault_06_a_cut_after_every_byte_is_followed_by_a_connection_that_hears() {
    let Some(broker) = Mosquitto::start("fault_06 at the adapter", "").await else { return };
    let mut phones = Phones::connect(broker.port);
    phones.say(1, "INUSE", true);
    let recorded = link(broker.port, "cut-000", Faults::default()).await.hear("INUSE").await;
    phones.say(1, "NOT_INUSE", true);
    let recorded = recorded.hear("NOT_INUSE").await;
    until("the last is acknowledged", || {
        packets(&recorded.proxy.carried(0).bytes[0]).iter().filter(|&&it| it == 0x40).count() == 2
    })
    .await;
    let lengths = recorded.proxy.carried(0).bytes.map(|bytes| bytes.len());
    println!("{lengths:?} bytes up and down");
    phones.say(1, "INUSE", true);
    let mut links = Vec::new();
    for (way, length) in [(Way::Up, lengths[0]), (Way::Down, lengths[1])] {
        for (n, how) in (0..length).flat_map(|n| [(n, Cut::Fin), (n, Cut::Reset)]) {
            let faults = Faults::on(way, Lane { cut: Some((n, how)), ..Lane::default() });
            let link = link(broker.port, &format!("cut-{:03}", links.len() + 1), faults).await;
            links.push(async move { (faults, link.hear_in_time(faults, "INUSE").await) });
        }
    }
    let heard = all(links).await;
    phones.say(1, "NOT_INUSE", true);
    let heard =
        all(heard.into_iter().map(|(at, link)| async move { (at, link.hear_in_time(at, "NOT_INUSE").await) })).await;
    // The last cuts come behind the last byte that is needed.
    let cut = || heard.iter().filter(|(_, link)| link.proxy.connections() > 1).count();
    until("nine of ten were cut", || cut() * 10 >= heard.len() * 9).await;
}

/// All of these, side by side.
async fn all<T: Send + 'static>(futures: impl IntoIterator<Item: Future<Output = T> + Send + 'static>) -> Vec<T> {
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}

/// A firewall that answers by a reset is a port that refuses; healed, the bridge is back within its short cap.
///
/// Red when the cap while the port refuses, `REFUSED_CAP`, is that of other losses, 30 s.
#[tokio::test]
async fn fault_06_a_port_that_refuses_for_a_while_is_found_again_within_five_seconds() {
    let Some(broker) = Mosquitto::start("fault_06 refused", "").await else { return };
    let (graph, mut proxy) = (graph(1).await, Proxy::to(broker.port).await);
    let mut phones = Phones::connect(broker.port);
    let office = Office::open(&graph, [1], &at(proxy.port));
    phones.say(1, "INUSE", true);
    sees(&graph, 1, BUSY).await;
    proxy.refuse().await;
    proxy.cut(Cut::Reset);
    phones.say(1, "NOT_INUSE", true);
    office.is_refused(5).await;
    assert_eq!(graph.seen(&person(1)), BUSY, "a lost link frees nobody");
    proxy.accept().await;
    super::office::sees_within(&graph, 1, NOBODY, Duration::from_secs(5)).await;
}
