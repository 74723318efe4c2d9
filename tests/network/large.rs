//! Messages that are too large.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::office::{BUSY, NOBODY, Office, graph, sees, sees_within};
use super::{Phones, at};
use crate::support::fake_broker::FakeBroker;
use crate::support::mosquitto::Mosquitto;
use crate::support::stays;

/// Publishes so many bytes, retained.
fn large(broker: &Mosquitto, number: usize, bytes: usize) {
    let file = broker.dir.path().join(format!("{bytes}"));
    std::fs::write(&file, vec![b'x'; bytes]).unwrap();
    let mut command = std::process::Command::new(crate::support::mosquitto::program("mosquitto_pub").unwrap());
    command.args(["-V", "5", "-q", "1", "-r", "-p", &broker.port.to_string(), "-t", &format!("phone/{number}"), "-f"]);
    assert!(command.arg(file).status().unwrap().success());
}

/// 2 MiB is more than we announced and is not sent; 100 kB comes, and is more than rules read. Neither ends the connection,
/// and the others' calls are seen.
///
/// Red when the limit is not announced (`set_max_packet_size(None)` in `v5::new`).
#[tokio::test]
async fn fault_30_large_messages_neither_end_the_connection_nor_hide_others() {
    let Some(broker) = Mosquitto::start("fault_30 network", "").await else { return };
    let graph = graph(2).await;
    let mut phones = Phones::connect(broker.port);
    large(&broker, 1, 2 << 20);
    phones.say(2, "INUSE", true);
    let office = Office::open(&graph, [1, 2], &at(broker.port));
    sees(&graph, 2, BUSY).await;
    large(&broker, 1, 100_000);
    phones.say(2, "NOT_INUSE", true);
    sees(&graph, 2, NOBODY).await;
    assert_eq!(office.total("message", "too_large").await, 1);
    assert_eq!(office.total("mqtt_lost", "").await, 0);
    phones.say(1, "INUSE", true);
    sees(&graph, 1, BUSY).await;
}

/// A broker that declares 256 MiB and sends a little: the connection is given up at once, and the next one is good.
///
/// Red when rumqttc is told a limit that this is under (`set_max_packet_size(Some(u32::MAX))`): it waits for all of it.
#[tokio::test]
async fn fault_30_a_declared_length_of_256_mib_is_not_waited_for() {
    let (broker, graph) = (FakeBroker::start().await, graph(1).await);
    let _office = Office::open(&graph, [1], &at(broker.port));
    let mut peer = broker.welcome(&[]).await;
    peer.writer.write_all(&super::limits::publish("phone/1", 1, "INUSE")).await.unwrap();
    sees(&graph, 1, BUSY).await;
    peer.writer.write_all(&[0x30, 0xff, 0xff, 0xff, 0x7f, 0, 7]).await.unwrap();
    peer.writer.write_all(b"phone/1").await.unwrap();
    let left = tokio::time::timeout(Duration::from_secs(3), async { while peer.reader.packet().await.is_some() {} });
    left.await.expect("given up within three seconds");
    let mut next = broker.welcome(&[]).await;
    stays("nobody is freed by it", Duration::from_millis(300), || {
        graph.seen(&crate::scenarios::world::person(1)) == BUSY
    })
    .await;
    next.writer.write_all(&super::limits::publish("phone/1", 1, "NOT_INUSE")).await.unwrap();
    sees_within(&graph, 1, NOBODY, Duration::from_secs(3)).await;
}
