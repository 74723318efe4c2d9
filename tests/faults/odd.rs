//! Topics and texts that no broker in its right mind delivers, from one that does.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::support::office::{CALL, NOBODY, Office, plain, within};

/// A broker that grants everything, and delivers what it is told to.
pub(super) struct Odd {
    writer: OwnedWriteHalf,
}

pub(super) async fn packet(reader: &mut OwnedReadHalf) -> Option<(u8, Vec<u8>)> {
    let kind = reader.read_u8().await.ok()?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = reader.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.ok()?;
    Some((kind, body))
}

pub(super) fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut left = body.len();
    loop {
        let byte = u8::try_from(left & 0x7f).unwrap();
        left >>= 7;
        packet.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// As many grants as there are filters.
pub(super) fn suback(body: &[u8]) -> Vec<u8> {
    let mut answer = vec![body[0], body[1], 0];
    let mut at = 3 + usize::from(body[2]); // the properties are few
    while at + 2 < body.len() {
        at += 2 + usize::from(u16::from_be_bytes([body[at], body[at + 1]])) + 1;
        answer.push(1);
    }
    framed(0x90, &answer)
}

impl Odd {
    /// Serves the next connection, until it is dropped: what a client says is answered, its publishes are sent back to it.
    pub(super) async fn accept(listener: &TcpListener) -> Odd {
        let (mut reader, writer) = listener.accept().await.unwrap().0.into_split();
        let mut odd = Odd { writer };
        loop {
            let Some((kind, body)) = packet(&mut reader).await else { panic!("the bridge closed the connection") };
            match kind & 0xf0 {
                0x10 => odd.writer.write_all(&[0x20, 3, 0, 0, 0]).await.unwrap(),
                0x80 => {
                    odd.writer.write_all(&suback(&body)).await.unwrap();
                    break;
                }
                _ => {}
            }
        }
        tokio::spawn(async move { while packet(&mut reader).await.is_some() {} });
        odd
    }

    /// At QoS 0; whether the connection still takes it.
    pub(super) async fn publish(&mut self, topic: &[u8], payload: &[u8]) -> bool {
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend(topic);
        body.push(0);
        body.extend(payload);
        self.writer.write_all(&framed(0x30, &body)).await.is_ok()
    }
}

/// Red: `Core::handle_publish` does not ask whether a topic is one (`bad_topic`); or a panic where a topic is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_29_odd_topics_and_texts_set_nobody_and_end_nothing() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let office = Office::new(2, 1).await;
    let bridge = office.bridge(&plain(listener.local_addr().unwrap().port()), "", &[]);
    let mut broker = Odd::accept(&listener).await;
    bridge.connected().await;
    let longest = [b"phone/".to_vec(), vec![b'1'; 65_529]].concat();
    let odd: [&[u8]; 22] = [
        b"",
        b"/",
        b"phone",
        b"phone/",
        b"phone//1",
        b"/phone/1",
        b"phone/1/",
        b"phone/1/x",
        b"phone/+",
        b"phone/#",
        b"#",
        b"+/1",
        b"phone/\x00",
        b"phone/1\x00",
        b"phone/\xff\xfe",
        b"\xc3\x28/1",
        b"phone/\xed\xa0\x80",
        b"$SYS/phone/1",
        b"PHONE/1",
        "phone/\u{ff11}".as_bytes(),
        b"phone/1\n",
        &longest,
    ];
    for topic in odd {
        assert!(broker.publish(topic, b"INUSE").await, "the link lives");
    }
    let texts: [&[u8]; 7] = [b"", b"\xff", b"INUSE\x00", b"{\"a\":1", b"null", &[b'['; 60_000], &[0x1f, 0x8b, 8, 0]];
    for text in texts {
        assert!(broker.publish(b"phone/1", text).await, "the link lives");
    }
    assert!(broker.publish(b"phone/2", b"INUSE").await, "the link lives");
    office.see(2, CALL).await;
    assert_eq!(office.story(1), [NOBODY]);
    assert!(bridge.is_connected().await);
    for reason in ["bad_topic", "no_rule", "unknown_subject"] {
        within(Duration::from_secs(5), reason, || async { bridge.count("message", reason).await > 0 }).await;
    }
    bridge.stop().await;
}
