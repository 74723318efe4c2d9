//! A broker that does exactly what a test says: a socket, and just enough bytes of MQTT 5.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

// The kinds of packets, with their flags.
pub const CONNECT: u8 = 0x10;
pub const PUBLISH: u8 = 0x30;
pub const PUBACK: u8 = 0x40;
pub const SUBSCRIBE: u8 = 0x82;
pub const PINGREQ: u8 = 0xc0;
pub const DISCONNECT: u8 = 0xe0;

pub struct FakeBroker {
    listener: TcpListener,
    pub port: u16,
}

/// One connection of a client.
pub struct Peer {
    pub reader: Reader,
    pub writer: OwnedWriteHalf,
}

pub struct Reader(BufReader<OwnedReadHalf>);

impl FakeBroker {
    pub async fn start() -> FakeBroker {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        FakeBroker { listener, port }
    }

    /// One whose connections have room for little that is not read.
    pub async fn narrow() -> FakeBroker {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(16).unwrap();
        let port = listener.local_addr().unwrap().port();
        FakeBroker { listener, port }
    }

    /// Takes the next connection up to its CONNECT, whose body is returned.
    pub async fn accept(&self) -> (Peer, Vec<u8>) {
        let accepted = tokio::time::timeout(Duration::from_secs(10), self.listener.accept());
        let (reader, writer) = accepted.await.expect("a connection within ten seconds").unwrap().0.into_split();
        let mut peer = Peer { reader: Reader(BufReader::new(reader)), writer };
        let (kind, body) = peer.reader.packet().await.unwrap();
        assert_eq!(kind, CONNECT);
        (peer, body)
    }

    /// Takes the next connection, says CONNACK with these properties and grants the subscription.
    pub async fn welcome(&self, properties: &[u8]) -> Peer {
        let (mut peer, _) = self.accept().await;
        peer.connack(0, properties).await;
        peer.grant(1).await;
        peer
    }
}

impl Peer {
    pub async fn connack(&mut self, code: u8, properties: &[u8]) {
        let mut body = vec![0, code, u8::try_from(properties.len()).unwrap()];
        body.extend(properties);
        self.send(0x20, &body).await;
    }

    /// Answers SUBSCRIBE of one filter.
    pub async fn grant(&mut self, code: u8) {
        let body = self.next(SUBSCRIBE).await;
        self.send(0x90, &[body[0], body[1], 0, code]).await;
    }

    /// QoS 1 with a packet id, else QoS 0.
    pub async fn publish(&mut self, pkid: Option<u16>, payload: &str) {
        self.writer.write_all(&publish(pkid, payload.as_bytes())).await.unwrap();
    }

    /// The next packet of this kind; pings in between are answered, others skipped.
    pub async fn next(&mut self, wanted: u8) -> Vec<u8> {
        let found = tokio::time::timeout(Duration::from_secs(10), self.find(wanted));
        found.await.unwrap_or_else(|_| panic!("no packet {wanted:#x} within ten seconds"))
    }

    async fn find(&mut self, wanted: u8) -> Vec<u8> {
        loop {
            let (kind, body) = self.reader.packet().await.expect("the client closed the connection");
            if kind == PINGREQ {
                self.send(0xd0, &[]).await;
            }
            if kind == wanted {
                return body;
            }
        }
    }

    async fn send(&mut self, kind: u8, body: &[u8]) {
        self.writer.write_all(&framed(kind, body)).await.unwrap();
    }
}

impl Reader {
    /// `None` at the end of the stream.
    pub async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        tokio::time::timeout(Duration::from_secs(10), self.read()).await.expect("a packet within ten seconds")
    }

    async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let kind = self.0.read_u8().await.ok()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.0.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.ok()?;
        Some((kind, body))
    }
}

/// PUBLISH to `in/a`.
pub fn publish(pkid: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 4];
    body.extend(b"in/a");
    body.extend(pkid.map(u16::to_be_bytes).into_iter().flatten());
    body.push(0);
    body.extend(payload);
    framed(if pkid.is_some() { PUBLISH | 2 } else { PUBLISH }, &body)
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
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
