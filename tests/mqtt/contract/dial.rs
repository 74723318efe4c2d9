//! How cases connect.

use std::time::Duration;

use rumqttc::v5;
use rumqttc::v5::mqttbytes::v5 as five;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bare::{Bare, Came};
use super::{At, Version};

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
    pub login: Option<(String, String)>,
}

impl At {
    pub fn options(&self, id: &str) -> Options {
        let id = format!("{}-{id}", self.own);
        Options {
            id,
            clean: true,
            expiry: None,
            receive_maximum: None,
            max_packet: Some(1 << 20),
            will: None,
            login: None,
        }
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

    /// With a login.
    pub async fn connect_as(&self, user: &str, password: &str) -> (Bare, bool) {
        let login = Some((user.to_owned(), password.to_owned()));
        self.connect(Options { login, ..self.options("login") }).await
    }

    pub async fn client(&self, id: &str) -> Bare {
        self.connect(self.options(id)).await.0
    }

    /// A socket that has said CONNECT and read CONNACK.
    pub async fn raw(&self, id: &str) -> TcpStream {
        let id = format!("{}-{id}", self.own);
        let (level, properties) = match self.version {
            Version::V5 => (5, &[0][..]),
            Version::V311 => (4, &[][..]),
        };
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 30];
        body.extend(properties);
        body.extend(u16::try_from(id.len()).unwrap().to_be_bytes());
        body.extend(id.as_bytes());
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        socket.write_all(&[&[0x10, u8::try_from(body.len()).unwrap()], &body[..]].concat()).await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), 0x20);
        let length = socket.read_u8().await.unwrap();
        socket.read_exact(&mut vec![0; usize::from(length)]).await.unwrap();
        socket
    }

    pub fn dial(&self, with: Options) -> Bare {
        match self.version {
            Version::V5 => {
                let mut options = v5::MqttOptions::new(with.id, "127.0.0.1", self.port);
                options.set_keep_alive(Duration::from_secs(30)).set_clean_start(with.clean).set_manual_acks(true);
                options.set_session_expiry_interval(with.expiry).set_receive_maximum(with.receive_maximum);
                options.set_max_packet_size(with.max_packet);
                if let Some((topic, payload)) = with.will {
                    options.set_last_will(five::LastWill::new(
                        topic,
                        payload,
                        v5::mqttbytes::QoS::AtLeastOnce,
                        false,
                        None,
                    ));
                }
                if let Some((user, password)) = with.login {
                    options.set_credentials(user, password);
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
                if let Some((user, password)) = with.login {
                    options.set_credentials(user, password);
                }
                let (client, events) = rumqttc::AsyncClient::new(options, 20_000);
                Bare::V4(client, Box::new(events))
            }
        }
    }
}
