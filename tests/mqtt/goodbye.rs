//! A clean stop: what is said last has arrived before the connection ends.

use std::time::Duration;

use presence_bridge::mqtt::{Message, Protocol};
use tokio::io::AsyncWriteExt;

use super::protocols::{speaking, welcome_311};
use super::traps::connected;
use super::{config, start, up};
use crate::support::fake_broker::{DISCONNECT, FakeBroker, PUBLISH, Peer};

fn farewell() -> Option<Message> {
    Some(Message::new("out", "bye").retained().at_least_once())
}

/// The id of the farewell, at QoS 1, retained.
async fn bye(peer: &mut Peer) -> [u8; 2] {
    let body = peer.next(PUBLISH | 3).await;
    [body[5], body[6]]
}

async fn nothing_yet(peer: &mut Peer) {
    let early = tokio::time::timeout(Duration::from_millis(300), peer.reader.packet()).await;
    assert!(early.is_err(), "before the PUBACK: {early:?}");
}

#[tokio::test]
async fn the_farewell_is_acknowledged_before_disconnect_in_both_versions() {
    for protocol in [Protocol::V5, Protocol::V311] {
        let broker = FakeBroker::start().await;
        let (handle, mut events, _) = start(speaking(protocol, config(broker.port, "bye")));
        let mut peer = if protocol == Protocol::V5 {
            connected(&broker, &mut events, &[]).await
        } else {
            let (mut peer, _) = broker.accept().await;
            tokio::join!(welcome_311(&mut peer), up(&mut events));
            peer
        };
        let stop = tokio::spawn(handle.stop(farewell()));
        let [high, low] = bye(&mut peer).await;
        nothing_yet(&mut peer).await;
        peer.writer.write_all(&[0x40, 2, high, low]).await.unwrap();
        peer.next(DISCONNECT).await;
        stop.await.unwrap();
    }
}

#[tokio::test]
async fn a_farewell_that_nobody_acknowledges_does_not_hold_up_the_stop() {
    let broker = FakeBroker::start().await;
    let (handle, mut events, _) = start(config(broker.port, "unheard-bye"));
    let mut peer = connected(&broker, &mut events, &[]).await;
    let stop = tokio::spawn(handle.stop(farewell()));
    bye(&mut peer).await;
    tokio::time::timeout(Duration::from_secs(7), stop).await.expect("within its bound").unwrap();
}
