//! As much of an MQTT 5 broker as shows the traps that a good broker does not: it accepts everybody, grants every filter,
//! and otherwise does what the test says, byte by byte.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

pub struct FakeBroker {
    listener: TcpListener,
    pub port: u16,
}

/// One connection, after CONNECT was answered.
pub struct Connection {
    reader: Reader,
    writer: Writer,
}

pub struct Reader(OwnedReadHalf);

pub struct Writer(OwnedWriteHalf);

/// What a client sent, as far as anybody asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    Subscribe(u16),
    PubAck(u16),
    Publish,
    PingReq,
    Disconnect,
    Other(u8),
}

impl FakeBroker {
    pub async fn start() -> FakeBroker {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        FakeBroker { listener, port }
    }

    /// The next client: reads CONNECT and answers it.
    pub async fn accept(&self) -> Connection {
        let (stream, _) = self.listener.accept().await.unwrap();
        let (reader, writer) = stream.into_split();
        let mut connection = Connection { reader: Reader(reader), writer: Writer(writer) };
        assert_eq!(connection.read().await.unwrap(), Sent::Other(0x10), "CONNECT");
        connection.write(&[0x20, 3, 0, 0, 0]).await;
        connection
    }
}

impl Writer {
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await
    }
}

impl Reader {
    /// The next packet; `None` at the end of the connection. Answers nothing.
    pub async fn read(&mut self) -> Option<Sent> {
        let kind = self.0.read_u8().await.ok()?;
        let (mut length, mut shift) = (0usize, 0);
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
        Some(match kind & 0xf0 {
            0x80 => Sent::Subscribe(u16::from_be_bytes([body[0], body[1]])),
            0x40 => Sent::PubAck(u16::from_be_bytes([body[0], body[1]])),
            0x30 => Sent::Publish,
            0xc0 => Sent::PingReq,
            0xe0 => Sent::Disconnect,
            other => Sent::Other(other),
        })
    }
}

impl Connection {
    pub fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.writer.write(bytes).await.unwrap();
    }

    /// The next packet; SUBSCRIBE and PINGREQ are answered.
    pub async fn read(&mut self) -> Option<Sent> {
        let sent = self.reader.read().await?;
        match sent {
            Sent::Subscribe(pkid) => {
                let [high, low] = pkid.to_be_bytes();
                self.write(&[0x90, 4, high, low, 0, 1]).await; // one filter, granted QoS 1
            }
            Sent::PingReq => self.write(&[0xd0, 0]).await,
            _ => {}
        }
        Some(sent)
    }

    /// Until the client acknowledges something.
    pub async fn acknowledged(&mut self) -> u16 {
        loop {
            if let Sent::PubAck(pkid) = self.read().await.expect("an acknowledgement before the end") {
                return pkid;
            }
        }
    }
}

/// A PUBLISH at QoS 1 to `in/a`.
pub fn publish(pkid: u16, payload: &str) -> Vec<u8> {
    let mut packet = vec![0x32, u8::try_from(2 + 4 + 2 + 1 + payload.len()).unwrap(), 0, 4];
    packet.extend(b"in/a");
    packet.extend(pkid.to_be_bytes());
    packet.push(0); // no properties
    packet.extend(payload.as_bytes());
    packet
}

/// A PUBLISH at QoS 0 to `in/a`.
pub fn unacknowledged(payload: &str) -> Vec<u8> {
    let mut packet = vec![0x30, u8::try_from(2 + 4 + 1 + payload.len()).unwrap(), 0, 4];
    packet.extend(b"in/a");
    packet.push(0);
    packet.extend(payload.as_bytes());
    packet
}
