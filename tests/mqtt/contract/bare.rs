//! rumqttc without anything around it, of both versions.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5 as five;
use rumqttc::{mqttbytes, v5};

pub use rumqttc::v5::mqttbytes::v5::{Filter, PublishProperties, RetainForwardRule};

/// How long nothing has to come until it is taken for nothing.
const QUIET: Duration = Duration::from_millis(400);

pub enum Bare {
    V5(v5::AsyncClient, Box<v5::EventLoop>),
    V4(rumqttc::AsyncClient, Box<rumqttc::EventLoop>),
}

/// A message as delivered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Got {
    pub topic: String,
    pub payload: String,
    pub retain: bool,
    pub dup: bool,
    pub qos: u8,
    pub pkid: u16,
    pub expiry: Option<u32>,
    pub user_properties: Vec<(String, String)>,
}

/// What came, in the words that cases need.
#[derive(Debug)]
pub enum Came {
    Connected { session_present: bool, receive_maximum: Option<u16> },
    Granted(String),
    Message(Got),
    Acknowledged,
    Else,
    Lost(String),
}

impl Bare {
    /// The next thing that comes.
    pub async fn next(&mut self) -> Came {
        match self {
            Bare::V5(_, events) => match events.poll().await {
                Ok(v5::Event::Incoming(packet)) => of_5(packet),
                Ok(v5::Event::Outgoing(_)) => Came::Else,
                Err(error) => Came::Lost(error.to_string()),
            },
            Bare::V4(_, events) => match events.poll().await {
                Ok(rumqttc::Event::Incoming(packet)) => of_311(packet),
                Ok(rumqttc::Event::Outgoing(_)) => Came::Else,
                Err(error) => Came::Lost(error.to_string()),
            },
        }
    }

    /// What comes before it is quiet, of one kind.
    pub async fn until_quiet<T>(&mut self, mut pick: impl FnMut(Came) -> Option<T>) -> Vec<T> {
        let mut picked = Vec::new();
        while let Ok(came) = tokio::time::timeout(QUIET, self.next()).await {
            let lost = matches!(came, Came::Lost(_));
            picked.extend(pick(came));
            if lost {
                break;
            }
        }
        picked
    }

    /// Every message that comes before it is quiet; acknowledged.
    pub async fn messages(&mut self) -> Vec<Got> {
        let mut all = Vec::new();
        while let Ok(came) = tokio::time::timeout(QUIET, self.next()).await {
            match came {
                Came::Message(got) => {
                    self.ack(&got);
                    all.push(got);
                }
                Came::Lost(_) => break,
                _ => {}
            }
        }
        all
    }

    /// Their payloads, in a line.
    pub async fn payloads(&mut self) -> String {
        words(&self.messages().await)
    }

    /// Without acknowledging any.
    pub async fn unacknowledged(&mut self) -> Vec<Got> {
        self.until_quiet(|came| if let Came::Message(got) = came { Some(got) } else { None }).await
    }

    pub fn ack(&self, got: &Got) {
        if got.qos != 1 {
            return;
        }
        match self {
            Bare::V5(client, _) => {
                let mut publish = five::Publish::new("", v5::mqttbytes::QoS::AtLeastOnce, "", None);
                publish.pkid = got.pkid;
                client.try_ack(&publish).unwrap();
            }
            Bare::V4(client, _) => {
                let mut publish = rumqttc::Publish::new("", rumqttc::QoS::AtLeastOnce, "");
                publish.pkid = got.pkid;
                client.try_ack(&publish).unwrap();
            }
        }
    }

    /// At QoS 1; the broker's answer.
    pub async fn subscribe(&mut self, filter: &str) -> String {
        self.subscribe_as(Filter::new(filter, v5::mqttbytes::QoS::AtLeastOnce)).await
    }

    /// 3.1.1 knows path and QoS only.
    pub async fn subscribe_as(&mut self, filter: Filter) -> String {
        match self {
            Bare::V5(client, _) => client.try_subscribe_many([filter]).unwrap(),
            Bare::V4(client, _) => client.try_subscribe(filter.path, older(filter.qos)).unwrap(),
        }
        loop {
            match self.next().await {
                Came::Granted(code) => return code,
                Came::Lost(_) => return "closed".to_owned(),
                Came::Message(got) => panic!("a message before SUBACK: {got:?}"),
                _ => {}
            }
        }
    }

    /// Queued only.
    pub fn put_subscribe(&self, filter: &str) {
        match self {
            Bare::V5(client, _) => client.try_subscribe(filter, v5::mqttbytes::QoS::AtLeastOnce).unwrap(),
            Bare::V4(client, _) => client.try_subscribe(filter, rumqttc::QoS::AtLeastOnce).unwrap(),
        }
    }

    /// At this QoS; for QoS 1 until the broker has it.
    pub async fn publish(&mut self, topic: &str, payload: impl Into<Bytes>, retain: bool, qos: u8) {
        self.put(topic, payload.into(), retain, qos, PublishProperties::default());
        if qos == 1 {
            while !matches!(self.next().await, Came::Acknowledged) {}
        } else {
            while !matches!(self.next().await, Came::Else) {} // it went out
        }
    }

    /// Retained, at QoS 1.
    pub async fn retain(&mut self, topic: &str, payload: &str) {
        self.publish(topic, payload.to_owned(), true, 1).await;
    }

    /// Live, at QoS 1.
    pub async fn say(&mut self, topic: &str, payload: &str) {
        self.publish(topic, payload.to_owned(), false, 1).await;
    }

    /// Queued only.
    pub fn put(&mut self, topic: &str, payload: Bytes, retain: bool, qos: u8, properties: PublishProperties) {
        match self {
            Bare::V5(client, _) => {
                let qos = v5::mqttbytes::qos(qos).unwrap();
                client.try_publish_with_properties(topic, qos, retain, payload, properties).unwrap();
            }
            Bare::V4(client, _) => {
                client.try_publish(topic, mqttbytes::qos(qos).unwrap(), retain, payload).unwrap();
            }
        }
    }

    /// So many messages at QoS 1, numbered from 1.
    pub async fn say_all(&mut self, topic: &str, count: usize, expiry: Option<u32>) {
        for n in 1..=count {
            let properties = PublishProperties { message_expiry_interval: expiry, ..PublishProperties::default() };
            self.put(topic, n.to_string().into(), false, 1, properties);
        }
        let mut taken = 0;
        while taken < count {
            match self.next().await {
                Came::Acknowledged => taken += 1,
                Came::Lost(why) => panic!("{why}"),
                _ => {}
            }
        }
    }

    /// With DISCONNECT.
    pub async fn leave(mut self) {
        match &self {
            Bare::V5(client, _) => client.try_disconnect().unwrap(),
            Bare::V4(client, _) => client.try_disconnect().unwrap(),
        }
        while let Bare::V5(_, events) = &mut self
            && !matches!(events.poll().await, Ok(v5::Event::Outgoing(rumqttc::Outgoing::Disconnect)) | Err(_))
        {}
        while let Bare::V4(_, events) = &mut self
            && !matches!(events.poll().await, Ok(rumqttc::Event::Outgoing(rumqttc::Outgoing::Disconnect)) | Err(_))
        {
        }
        // Once more, so that it is flushed.
        let _flushed = tokio::time::timeout(Duration::from_millis(50), self.next()).await;
    }
}

/// Payloads in a line; `r` before a retained one, `d` after one sent again.
pub fn words(messages: &[Got]) -> String {
    let word =
        |got: &Got| format!("{}{}{}", if got.retain { "r:" } else { "" }, got.payload, if got.dup { ":d" } else { "" });
    messages.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn older(qos: v5::mqttbytes::QoS) -> rumqttc::QoS {
    mqttbytes::qos(qos as u8).unwrap()
}

fn of_5(packet: v5::Incoming) -> Came {
    match packet {
        five::Packet::ConnAck(ack) => Came::Connected {
            session_present: ack.session_present,
            receive_maximum: ack.properties.and_then(|properties| properties.receive_max),
        },
        five::Packet::SubAck(ack) => Came::Granted(format!("{:?}", ack.return_codes[0])),
        five::Packet::PubAck(_) => Came::Acknowledged,
        five::Packet::Publish(publish) => {
            let properties = publish.properties.unwrap_or_default();
            Came::Message(Got {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                payload: String::from_utf8_lossy(&publish.payload).into_owned(),
                retain: publish.retain,
                dup: publish.dup,
                qos: publish.qos as u8,
                pkid: publish.pkid,
                expiry: properties.message_expiry_interval,
                user_properties: properties.user_properties,
            })
        }
        _ => Came::Else,
    }
}

fn of_311(packet: rumqttc::Incoming) -> Came {
    match packet {
        rumqttc::Packet::ConnAck(ack) => {
            Came::Connected { session_present: ack.session_present, receive_maximum: None }
        }
        rumqttc::Packet::SubAck(ack) => Came::Granted(format!("{:?}", ack.return_codes[0])),
        rumqttc::Packet::PubAck(_) => Came::Acknowledged,
        rumqttc::Packet::Publish(publish) => Came::Message(Got {
            topic: publish.topic,
            payload: String::from_utf8_lossy(&publish.payload).into_owned(),
            retain: publish.retain,
            dup: publish.dup,
            qos: publish.qos as u8,
            pkid: publish.pkid,
            ..Got::default()
        }),
        _ => Came::Else,
    }
}
