//! rumqttc without anything around it, of both versions.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5 as five;
use rumqttc::{mqttbytes, v5};

use super::{At, Version};

pub use rumqttc::v5::mqttbytes::v5::{Filter, PublishProperties, RetainForwardRule};

/// How long nothing has to come until it is taken for nothing.
const QUIET: Duration = Duration::from_millis(400);

/// How to connect. Acknowledgements are left to the case.
#[derive(Clone, Debug)]
pub struct Options {
    pub id: String,
    pub clean: bool,
    /// Seconds; MQTT 5.
    pub expiry: Option<u32>,
    /// MQTT 5.
    pub receive_maximum: Option<u16>,
    /// Announced in MQTT 5.
    pub max_packet: Option<u32>,
    pub will: Option<(String, String)>,
}

#[derive(Debug)]
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

impl At {
    pub fn options(&self, id: &str) -> Options {
        let id = format!("{}-{id}", self.own);
        Options { id, clean: true, expiry: None, receive_maximum: None, max_packet: Some(1 << 20), will: None }
    }

    /// With a session that is kept.
    pub fn kept(&self, id: &str) -> Options {
        Options { clean: false, expiry: Some(60), ..self.options(id) }
    }

    pub fn topic(&self, rest: &str) -> String {
        format!("{}/{rest}", self.own)
    }

    /// Connects; and whether the broker has a session.
    pub async fn connect(&self, options: Options) -> (Bare, bool) {
        let mut bare = self.dial(options);
        loop {
            match bare.next().await {
                Came::Connected { session_present, .. } => return (bare, session_present),
                Came::Lost(why) => panic!("not connected: {why}"),
                _ => {}
            }
        }
    }

    pub async fn client(&self, id: &str) -> Bare {
        self.connect(self.options(id)).await.0
    }

    pub fn dial(&self, with: Options) -> Bare {
        match self.version {
            Version::V5 => {
                let mut options = v5::MqttOptions::new(with.id, "127.0.0.1", self.port);
                options.set_keep_alive(Duration::from_secs(30)).set_clean_start(with.clean).set_manual_acks(true);
                options.set_session_expiry_interval(with.expiry).set_receive_maximum(with.receive_maximum);
                options.set_max_packet_size(with.max_packet);
                if let Some((topic, payload)) = with.will {
                    options.set_last_will(five::LastWill::new(topic, payload, v5::mqttbytes::QoS::AtLeastOnce, false, None));
                }
                let (client, events) = v5::AsyncClient::new(options, 20_000);
                Bare::V5(client, Box::new(events))
            }
            Version::V311 => {
                let mut options = rumqttc::MqttOptions::new(with.id, "127.0.0.1", self.port);
                let most = with.max_packet.map_or(10 * 1024, |most| usize::try_from(most).unwrap());
                options.set_keep_alive(Duration::from_secs(30)).set_clean_session(with.clean).set_manual_acks(true);
                options.set_max_packet_size(most, 1 << 20);
                if let Some((topic, payload)) = with.will {
                    options.set_last_will(rumqttc::LastWill::new(topic, payload, rumqttc::QoS::AtLeastOnce, false));
                }
                let (client, events) = rumqttc::AsyncClient::new(options, 20_000);
                Bare::V4(client, Box::new(events))
            }
        }
    }
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
        {}
        // Once more, so that it is flushed.
        let _flushed = tokio::time::timeout(Duration::from_millis(50), self.next()).await;
    }

    /// Why the connection ends, if it does.
    pub async fn end(&mut self) -> String {
        let ended = self.until_quiet(|came| if let Came::Lost(why) = came { Some(why) } else { None }).await;
        ended.into_iter().next().unwrap_or_else(|| "lives".to_owned())
    }
}

/// Payloads in a line; `r` before a retained one, `d` after one sent again.
pub fn words(messages: &[Got]) -> String {
    let word = |got: &Got| {
        format!("{}{}{}", if got.retain { "r:" } else { "" }, got.payload, if got.dup { ":d" } else { "" })
    };
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
