//! What a broker grants in CONNACK is less than we asked for.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

use super::at;
use super::office::{BUSY, NOBODY, Office, graph, now, sees};
use crate::support::fake_broker::{FakeBroker, Peer};

const LARGEST: usize = 150;

/// PUBLISH at QoS 1, its body under 128 bytes.
pub fn publish(topic: &str, pkid: u8, payload: &str) -> Vec<u8> {
    let mut packet = vec![0x32, u8::try_from(2 + topic.len() + 3 + payload.len()).unwrap(), 0];
    packet.push(u8::try_from(topic.len()).unwrap());
    packet.extend(topic.bytes().chain([0, pkid, 0]).chain(payload.bytes()));
    packet
}

/// Bytes of a packet with a body of this length, by MQTT's variable length.
fn whole(body: usize) -> usize {
    body + 1 + if body < 128 { 1 } else { 2 }
}

/// Keep-alive 2 s in place of 60, one message in flight, packets of 150 bytes, no topic aliases: all of it is kept, and
/// people are right.
///
/// Red when `LinkTask::heed` never sets `largest`: rumqttc ends the connection for a packet that is larger. Red, too, when it
/// takes our own keep-alive in place of a shorter one.
#[tokio::test]
async fn fault_18_what_the_broker_grants_is_kept() {
    let (broker, graph) = (FakeBroker::start().await, graph(1).await);
    let _office = Office::open(&graph, [1], &at(broker.port).replace("client_id", "session = \"clean\"\nclient_id"));
    let granted = [0x13, 0, 2, 0x21, 0, 1, 0x27, 0, 0, 0, u8::try_from(LARGEST).unwrap(), 0x22, 0, 0];
    let Peer { mut reader, writer } = broker.welcome(&granted).await;
    let (start, writer, mut pings, mut unanswered) = (now(), Mutex::new(writer), Vec::new(), BTreeSet::new());
    let say = async |packet: &[u8]| writer.lock().await.write_all(packet).await.unwrap();
    let phone = async {
        say(&publish("phone/1", 1, "INUSE")).await;
        sees(&graph, 1, BUSY).await;
        say(&publish("phone/1", 2, "NOT_INUSE")).await;
        sees(&graph, 1, NOBODY).await;
        tokio::time::sleep(Duration::from_millis(7_000).saturating_sub(now().since(start))).await;
    };
    let listening = async {
        while let Some((kind, body)) = reader.packet().await {
            assert!(whole(body.len()) <= LARGEST, "{} bytes of packet {kind:#x}", whole(body.len()));
            match kind >> 4 {
                3 => {
                    let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                    assert!(topic > 0, "a topic alias");
                    if kind & 6 == 2 {
                        unanswered.insert([body[2 + topic], body[3 + topic]]);
                        assert!(unanswered.len() <= 1, "more than one in flight"); // nobody acknowledges here
                    }
                }
                12 => {
                    pings.push(now().since(start));
                    say(&[0xd0, 0]).await;
                }
                _ => {}
            }
        }
    };
    tokio::select! {
        () = phone => {}
        () = listening => panic!("the bridge ended the connection"),
    }
    let late = |&(n, at): &(usize, Duration)| at > Duration::from_millis(2_000 * n as u64 + 3_000);
    assert!(pings.len() >= 3, "pings at {pings:?}, not every two seconds");
    assert_eq!(pings.iter().copied().enumerate().find(late), None, "pings at {pings:?}");
}
