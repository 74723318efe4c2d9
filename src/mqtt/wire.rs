//! rumqttc is two clients, for MQTT 5 and for 3.1.1, of different types. Here they speak one small vocabulary, so that
//! everything about links is said once. The voice asks and never waits; the ear polls, and is the only one that does.

mod v4;
mod v5;

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{Outgoing, Transport};

use super::failure::Failure;
use super::{Config, Message};

/// An attempt to connect, from the first byte to CONNACK, whatever lies between.
const CONNECT_SECONDS: u64 = 10;
/// Publishes of ours at QoS 1 that are on their way; rumqttc allocates for this many.
const IN_FLIGHT: u16 = 16;
/// MQTT 3.1.1 cannot announce a limit, so that it is a generous one, bytes.
const LARGEST_311: usize = 4 << 20;

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V5,
    V311,
}

impl Version {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Version::V5 => "5",
            Version::V311 => "3.1.1",
        }
    }

    pub(super) const fn other(self) -> Version {
        match self {
            Version::V5 => Version::V311,
            Version::V311 => Version::V5,
        }
    }
}

/// What a CONNECT asks for. A broker that refuses one of these is asked for less the next time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) retains: bool,
    pub(super) qos1: bool,
}

/// What the broker grants in CONNACK.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) session_present: bool,
    pub(super) session_expiry: Option<u32>,
    pub(super) keep_alive: Option<u16>,
    pub(super) largest: Option<u32>,
    pub(super) receive_maximum: Option<u16>,
    pub(super) retains: bool,
    pub(super) wildcards: bool,
    pub(super) qos1: bool,
}

/// A message as it came.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    pub(super) retain: bool,
    pub(super) expiry: Option<u32>,
    /// At QoS 1.
    pub(super) pkid: Option<u16>,
}

/// One event of a link.
#[derive(Debug)]
pub(super) enum Polled {
    Connected(Granted),
    /// SUBACK: for each filter of that request, granted, or why not.
    Subscribed(u16, Vec<Result<(), String>>),
    Heard(Heard),
    /// PUBACK for one of ours.
    Acknowledged,
    /// Our own went out: a publish (packet id 0 at QoS 0), a subscription, DISCONNECT.
    Sent(Outgoing),
    Nothing,
}

/// Asks; `false` where there is no room now.
#[derive(Debug)]
pub(super) enum Voice {
    V5(rumqttc::v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

/// Polls. Never to be cancelled.
pub(super) enum Ear {
    V5(Box<rumqttc::v5::EventLoop>),
    V311(Box<rumqttc::EventLoop>),
}

/// Bytes that a publish of ours takes, MQTT 5.
pub(super) fn size(message: &Message) -> usize {
    v5::size(message)
}

/// A client that is not connected yet.
pub(super) fn new(config: &Config, version: Version) -> (Voice, Ear) {
    let room = usize::from(config.receive_maximum) + 256;
    match version {
        Version::V5 => {
            let (voice, ear) = v5::new(config, room);
            (Voice::V5(voice), Ear::V5(Box::new(ear)))
        }
        Version::V311 => {
            let (voice, ear) = v4::new(config, room);
            (Voice::V311(voice), Ear::V311(Box::new(ear)))
        }
    }
}

impl Granted {
    /// Messages of ours at QoS 1 that may be on their way. Under a receive maximum of 0, which MQTT forbids, rumqttc would
    /// not even subscribe.
    pub(super) fn window(&self) -> u16 {
        self.receive_maximum.map_or(IN_FLIGHT, |most| most.clamp(1, IN_FLIGHT))
    }
}

impl Voice {
    pub(super) fn ack(&self, pkid: u16) -> bool {
        match self {
            Voice::V5(client) => v5::ack(client, pkid),
            Voice::V311(client) => v4::ack(client, pkid),
        }
    }

    pub(super) fn publish(&self, message: &Message) -> bool {
        match self {
            Voice::V5(client) => v5::publish(client, message),
            Voice::V311(client) => v4::publish(client, message),
        }
    }

    /// At QoS 1.
    pub(super) fn subscribe(&self, filters: &[String]) -> bool {
        match self {
            Voice::V5(client) => v5::subscribe(client, filters),
            Voice::V311(client) => v4::subscribe(client, filters),
        }
    }

    pub(super) fn unsubscribe(&self, filter: &str) -> bool {
        match self {
            Voice::V5(client) => client.try_unsubscribe(filter).is_ok(),
            Voice::V311(client) => client.try_unsubscribe(filter).is_ok(),
        }
    }

    pub(super) fn disconnect(&self) -> bool {
        match self {
            Voice::V5(client) => client.try_disconnect().is_ok(),
            Voice::V311(client) => client.try_disconnect().is_ok(),
        }
    }
}

impl Ear {
    /// Before each attempt: rumqttc overwrites its own options by what the broker said in the last CONNACK.
    pub(super) fn prepare(
        &mut self,
        config: &Config,
        asked: Asked,
        transport: Option<Transport>,
        login: Option<(&str, &str)>,
    ) {
        match self {
            Ear::V5(ear) => v5::prepare(&mut ear.options, config, asked, transport, login),
            Ear::V311(ear) => v4::prepare(&mut ear.mqtt_options, config, asked, transport, login),
        }
    }

    pub(super) async fn poll(&mut self) -> Result<Polled, Failure> {
        match self {
            Ear::V5(ear) => ear.poll().await.map(v5::polled).map_err(|error| v5::failure(&error)),
            Ear::V311(ear) => ear.poll().await.map(v4::polled).map_err(|error| v4::failure(&error)),
        }
    }

    /// What was read together with the last event, without another look at the socket.
    pub(super) fn read_already(&mut self) -> Option<Polled> {
        match self {
            Ear::V5(ear) => ear.state.events.pop_front().map(v5::polled),
            Ear::V311(ear) => ear.state.events.pop_front().map(v4::polled),
        }
    }

    /// A connection ended: what belonged to it must not reach the next one.
    pub(super) fn forget(&mut self) {
        self.begin(IN_FLIGHT);
    }

    /// As [`Ear::forget`]; of ours, `window` may be in flight at QoS 1.
    pub(super) fn begin(&mut self, window: u16) {
        match self {
            Ear::V5(ear) => {
                ear.state = rumqttc::v5::MqttState::new(window, true);
                ear.pending.clear();
            }
            Ear::V311(ear) => {
                ear.state = rumqttc::MqttState::new(window, true);
                ear.pending.clear();
            }
        }
    }

    /// For this connection.
    pub(super) fn keep_alive(&mut self, span: Duration) {
        match self {
            Ear::V5(ear) => {
                ear.options.set_keep_alive(span);
            }
            Ear::V311(ear) => {
                ear.mqtt_options.set_keep_alive(span);
            }
        }
    }
}
