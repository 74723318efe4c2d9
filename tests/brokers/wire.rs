//! A client of MQTT 3.1.1 and 5, so bare that it shows what a broker really says: the adapter would hide it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;
const DISCONNECT: u8 = 14;
/// A broker that has not answered by then does not.
const PATIENCE: Duration = Duration::from_secs(5);
/// After its last word, before it counts as silent.
const SILENCE: Duration = Duration::from_millis(250);

/// The level in CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V311 = 4,
    V5 = 5,
}

/// Where, how, and as whom.
#[derive(Clone, Debug)]
pub struct Access {
    pub port: u16,
    pub version: Version,
    pub login: Option<(&'static str, &'static str)>,
}

/// What CONNECT asks for.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    pub id: String,
    /// Keep the session, for so many seconds (which 3.1.1 cannot say).
    pub keep: Option<u32>,
    pub keep_alive: u16,
    /// Retained, QoS 1.
    pub will: Option<(String, String)>,
    pub receive_maximum: Option<u16>,
    pub max_packet_size: Option<u32>,
}

/// What CONNACK says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Welcome {
    pub code: u8,
    pub session_present: bool,
    /// MQTT 5: numbers by their identifiers.
    pub properties: BTreeMap<u8, u32>,
}

/// A message as delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub qos: u8,
    pub retain: bool,
    pub dup: bool,
    pub pkid: u16,
}

/// The connection ended; with the reason of a DISCONNECT, if there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed(pub Option<u8>);

pub struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    version: Version,
    pkid: u16,
    inbox: VecDeque<Message>,
    /// Acknowledge messages as they come.
    pub acks: bool,
}

enum Heard {
    Packet(u8, Vec<u8>),
    Silence,
    Closed(Closed),
}

fn text(into: &mut Vec<u8>, text: &str) {
    into.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    into.extend(text.as_bytes());
}

fn number(into: &mut Vec<u8>, mut number: usize) {
    loop {
        let byte = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        into.push(if number > 0 { byte | 0x80 } else { byte });
        if number == 0 {
            return;
        }
    }
}

fn taken(body: &mut &[u8], count: usize) -> Vec<u8> {
    let (head, tail) = body.split_at(count);
    *body = tail;
    head.to_vec()
}

fn short(body: &mut &[u8]) -> u16 {
    let bytes = taken(body, 2);
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn length(body: &mut &[u8]) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = taken(body, 1)[0];
        value |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

/// The numbers among MQTT 5 properties; texts are skipped.
fn properties(body: &mut &[u8]) -> BTreeMap<u8, u32> {
    let count = length(body);
    let all = taken(body, count);
    let (mut rest, mut found) = (all.as_slice(), BTreeMap::new());
    while !rest.is_empty() {
        let id = taken(&mut rest, 1)[0];
        let bytes = match id {
            0x11 | 0x27 | 0x02 => 4,
            0x13 | 0x21 | 0x22 | 0x23 => 2,
            0x24 | 0x25 | 0x28..=0x2a | 0x01 | 0x17 | 0x19 => 1,
            0x26 => {
                for _ in 0..2 {
                    let count = short(&mut rest);
                    taken(&mut rest, count.into());
                }
                continue;
            }
            _ => {
                let count = short(&mut rest);
                taken(&mut rest, count.into());
                continue;
            }
        };
        let value = taken(&mut rest, bytes).iter().fold(0, |value, &byte| value << 8 | u32::from(byte));
        found.insert(id, value);
    }
    found
}

impl Connect {
    pub fn new(id: &str) -> Connect {
        Connect { id: id.to_owned(), keep_alive: 60, ..Connect::default() }
    }

    fn body(&self, access: &Access) -> Vec<u8> {
        let five = access.version == Version::V5;
        let will = if self.will.is_some() { 0x2c } else { 0 };
        let login = if access.login.is_some() { 0xc0 } else { 0 };
        let clean = if self.keep.is_none() { 2 } else { 0 };
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        body.extend([access.version as u8, will | login | clean]);
        body.extend(self.keep_alive.to_be_bytes());
        if five {
            let mut said = Vec::new();
            said.extend(self.keep.iter().flat_map(|it| [&[0x11], it.to_be_bytes().as_slice()].concat()));
            said.extend(self.receive_maximum.iter().flat_map(|it| [&[0x21], it.to_be_bytes().as_slice()].concat()));
            said.extend(self.max_packet_size.iter().flat_map(|it| [&[0x27], it.to_be_bytes().as_slice()].concat()));
            number(&mut body, said.len());
            body.extend(said);
        }
        text(&mut body, &self.id);
        if let Some((topic, payload)) = &self.will {
            body.extend(five.then_some(0));
            text(&mut body, topic);
            text(&mut body, payload);
        }
        if let Some((user, password)) = access.login {
            text(&mut body, user);
            text(&mut body, password);
        }
        body
    }
}

impl Client {
    /// Connected, or what the broker said instead.
    pub async fn connect(access: &Access, connect: &Connect) -> Result<(Client, Welcome), String> {
        let stream = TcpStream::connect(("127.0.0.1", access.port)).await.map_err(|error| error.to_string())?;
        let (reader, writer) = stream.into_split();
        let (version, reader) = (access.version, BufReader::new(reader));
        let mut client = Client { reader, writer, version, pkid: 0, inbox: VecDeque::new(), acks: true };
        client.send(0x10, &connect.body(access)).await;
        match client.heard(PATIENCE).await {
            Heard::Packet(_, body) => {
                let mut rest = &body[2..];
                let properties = if rest.is_empty() { BTreeMap::new() } else { properties(&mut rest) };
                let welcome = Welcome { code: body[1], session_present: body[0] & 1 == 1, properties };
                if welcome.code == 0 { Ok((client, welcome)) } else { Err(format!("CONNACK {:#04x}", welcome.code)) }
            }
            Heard::Silence => Err("silence".to_owned()),
            Heard::Closed(_) => Err("closed".to_owned()),
        }
    }

    pub async fn welcomed(access: &Access, connect: &Connect) -> Client {
        Client::connect(access, connect).await.unwrap_or_else(|error| panic!("{connect:?}: {error}")).0
    }

    async fn send(&mut self, kind: u8, body: &[u8]) {
        let mut packet = vec![kind];
        number(&mut packet, body.len());
        packet.extend(body);
        drop(self.writer.write_all(&packet).await); // a closed connection is found by reading
    }

    async fn heard(&mut self, within: Duration) -> Heard {
        match tokio::time::timeout(within, self.packet()).await {
            Ok(Some((kind, body))) if kind >> 4 == DISCONNECT => {
                Heard::Closed(Closed(Some(body.first().copied().unwrap_or(0))))
            }
            Ok(Some((kind, body))) => Heard::Packet(kind, body),
            Ok(None) => Heard::Closed(Closed(None)),
            Err(_) => Heard::Silence,
        }
    }

    async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let kind = self.reader.read_u8().await.ok()?;
        let mut head = Vec::new();
        while head.last().is_none_or(|byte| byte & 0x80 != 0) {
            head.push(self.reader.read_u8().await.ok()?);
        }
        let mut body = vec![0; length(&mut head.as_slice())];
        self.reader.read_exact(&mut body).await.ok()?;
        Some((kind, body))
    }

    fn message(&self, kind: u8, body: &[u8]) -> Message {
        let mut rest = body;
        let count = short(&mut rest);
        let topic = String::from_utf8(taken(&mut rest, count.into())).unwrap();
        let qos = kind >> 1 & 3;
        let pkid = if qos > 0 { short(&mut rest) } else { 0 };
        if self.version == Version::V5 {
            properties(&mut rest);
        }
        let payload = String::from_utf8(rest.to_vec()).unwrap();
        Message { topic, payload, qos, retain: kind & 1 == 1, dup: kind & 8 == 8, pkid }
    }

    /// Reads until a packet of this kind; messages go to the inbox. `Ok(None)`: the broker is silent.
    async fn find(&mut self, wanted: u8, within: Duration) -> Result<Option<Vec<u8>>, Closed> {
        loop {
            match self.heard(within).await {
                Heard::Closed(closed) => return Err(closed),
                Heard::Silence => return Ok(None),
                Heard::Packet(kind, body) if kind >> 4 == PUBLISH => {
                    let message = self.message(kind, &body);
                    if self.acks && message.qos == 1 {
                        self.ack(message.pkid).await;
                    }
                    self.inbox.push_back(message);
                    if wanted == PUBLISH {
                        return Ok(Some(Vec::new()));
                    }
                }
                Heard::Packet(kind, body) if kind >> 4 == wanted => return Ok(Some(body)),
                Heard::Packet(..) => {}
            }
        }
    }

    pub async fn ack(&mut self, pkid: u16) {
        self.send(0x40, &pkid.to_be_bytes()).await;
    }

    /// At QoS 1; the codes of SUBACK.
    pub async fn subscribe(&mut self, filters: &[&str]) -> Result<Vec<u8>, Closed> {
        self.pkid += 1;
        let mut body = self.pkid.to_be_bytes().to_vec();
        body.extend((self.version == Version::V5).then_some(0));
        for filter in filters {
            text(&mut body, filter);
            body.push(1);
        }
        self.send(0x82, &body).await;
        let answer = self.find(SUBACK, PATIENCE).await?.expect("SUBACK");
        let mut rest = &answer[2..];
        if self.version == Version::V5 {
            properties(&mut rest);
        }
        Ok(rest.to_vec())
    }

    /// At QoS 1; the code of PUBACK.
    pub async fn publish(&mut self, topic: &str, payload: &str, retain: bool) -> Result<u8, Closed> {
        self.pkid += 1;
        let mut body = Vec::new();
        text(&mut body, topic);
        body.extend(self.pkid.to_be_bytes());
        body.extend((self.version == Version::V5).then_some(0));
        body.extend(payload.as_bytes());
        self.send(if retain { 0x33 } else { 0x32 }, &body).await;
        let answer = self.find(PUBACK, PATIENCE).await?.expect("PUBACK");
        Ok(answer.get(2).copied().unwrap_or(0))
    }

    /// What comes until the broker is silent.
    pub async fn messages(&mut self) -> Vec<Message> {
        while let Ok(Some(_)) = self.find(PUBLISH, SILENCE).await {}
        self.inbox.drain(..).collect()
    }

    /// The next message, waited for.
    pub async fn message_within(&mut self, within: Duration) -> Option<Message> {
        if self.inbox.is_empty() {
            self.find(PUBLISH, within).await.ok()?;
        }
        self.inbox.pop_front()
    }

    /// How the connection ends, if it does.
    pub async fn end(&mut self, within: Duration) -> Option<Closed> {
        let ends = async {
            loop {
                if let Err(closed) = self.find(PUBLISH, within).await {
                    return closed;
                }
            }
        };
        tokio::time::timeout(within, ends).await.ok()
    }

    /// A clean end: no last will.
    pub async fn leave(mut self) {
        self.send(0xe0, &[]).await;
        self.end(SILENCE).await;
    }
}
