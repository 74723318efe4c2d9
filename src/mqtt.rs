//! The link to a broker, MQTT 5 or 3.1.1: the only user of rumqttc.
//!
//! rumqttc reconnects when polled, and no more. What it leaves to its user is done here, by name:
//!
//! * it neither waits between attempts nor subscribes again: `link` backs off with jitter and subscribes at every CONNACK;
//! * it yields packets of the old connection after an error and sends acknowledgements of it into the new one: both are
//!   dropped, the latter by an epoch that every connection gets;
//! * its limit for incoming packets is 10 KiB and not announced, so that one larger message is delivered and refused for
//!   ever: the limit is announced, and the broker keeps such messages to itself;
//! * it does whatever CONNACK says, be it to ping without a pause, and dies of a publish that the broker finds too large:
//!   what a broker grants is checked;
//! * `poll` may not be cancelled and its request channel may be full: one task polls and never waits for anybody.
//!
//! Messages at QoS 1 are acknowledged by the reader, in its own time; `receive_maximum` bounds how many the broker sends
//! before. MQTT 3.1.1 has no such bound: there nothing is read from the socket while too much waits. Messages at QoS 0 are
//! dropped, and counted, when the reader does not keep up.
//!
//! Whether the broker delivers at all, `canary` finds out; who has our client id beside us, `loss` and `canary`; which
//! version of MQTT is spoken, `version`; what a session still has subscribed of us, `kept`.

mod canary;
mod connect;
mod failure;
mod kept;
mod link;
mod loss;
mod probe;
mod report;
mod subscriptions;
mod version;
mod wire;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use self::probe::{Obstacle, Probed, probe};
use crate::clock::Clock;
use crate::presence::Link;
use crate::secret::SecretSource;
use crate::telemetry::Telemetry;

/// Publishes of ours that wait for the task.
const OUTBOX: usize = 64;
/// A clean stop takes no longer.
const STOP: Duration = Duration::from_secs(5);
/// Messages at QoS 0 beyond these, unread, are dropped.
const MOST_EVENTS: usize = 10_000;
const MOST_BYTES: usize = 16 << 20;

/// How to reach a broker, and what to ask of it.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the broker is called in logs and alarms.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// With TLS, or in plain text.
    pub tls: Option<TlsConfig>,
    /// Which MQTT is spoken.
    pub protocol: Protocol,
    /// Unique at the broker: a second client of the same id takes the connection over.
    pub client_id: String,
    /// User name, if the broker wants one.
    pub username: Option<String>,
    /// Read again before each attempt to connect.
    pub password: Option<SecretSource>,
    /// At least 5 s. A dead connection is noticed within twice this.
    pub keep_alive: Duration,
    /// What the broker keeps of us.
    pub session: Session,
    /// Larger packets are announced as unwanted, bytes.
    pub max_packet_size: u32,
    /// Messages at QoS 1 that the broker may send before the first is acknowledged.
    pub receive_maximum: u16,
    /// Topic filters, subscribed at QoS 1.
    pub filters: Vec<String>,
    /// Published by the broker when the link dies without a word.
    pub will: Option<Message>,
    /// The topic on which we publish to ourselves, to know that we hear; `None`: we do not know.
    pub canary: Option<String>,
    /// How often we publish to ourselves while all is well; 30 s.
    pub canary_every: Duration,
    /// A file of ours that keeps, over restarts, who we are and what we subscribed; `None`: nothing is kept.
    pub kept: Option<PathBuf>,
}

impl Config {
    /// What `[mqtt]` says where it says nothing else; without canary and will.
    #[must_use]
    pub fn new(address: Address, client_id: impl Into<String>) -> Self {
        Config {
            name: "mqtt".to_owned(),
            address,
            tls: None,
            protocol: Protocol::Newest,
            client_id: client_id.into(),
            username: None,
            password: None,
            keep_alive: Duration::from_secs(15),
            session: Session::Persistent { expiry: Duration::from_secs(300) },
            max_packet_size: 1 << 20,
            receive_maximum: 100,
            filters: Vec::new(),
            will: None,
            canary: None,
            canary_every: Duration::from_secs(30),
            kept: None,
        }
    }
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `mqtt://`, `mqtts://`
    Tcp {
        /// Name or address, an IPv6 address with or without its brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `ws://`, `wss://`
    WebSocket {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// From the first slash on.
        path: String,
    },
    /// `unix:`
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::WebSocket { host, port, path } => write!(f, "{host}:{port}{path}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Which MQTT is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 5, and 3.1.1 with a broker that refuses it.
    Newest,
    /// MQTT 5 only.
    V5,
    /// MQTT 3.1.1 only.
    V311,
}

/// TLS to a broker.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The only certificates to trust, PEM; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate (chain) and its key, PEM, if the broker wants one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// What the broker keeps while we are away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// Subscriptions and messages at QoS 1, for so long.
    Persistent {
        /// MQTT 5 session expiry interval, whole seconds.
        expiry: Duration,
    },
    /// Nothing.
    Clean,
}

/// A message of ours.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// Kept by the broker for those who subscribe later.
    pub retain: bool,
    /// How surely it arrives.
    pub qos: Qos,
}

impl Message {
    /// Not retained, QoS 0.
    #[must_use]
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Message { topic: topic.into(), payload: payload.into(), retain: false, qos: Qos::AtMostOnce }
    }

    /// Kept by the broker.
    #[must_use]
    pub fn retained(self) -> Self {
        Message { retain: true, ..self }
    }

    /// At QoS 1.
    #[must_use]
    pub fn at_least_once(self) -> Self {
        Message { qos: Qos::AtLeastOnce, ..self }
    }
}

/// How surely a message of ours arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// 0. For state that is said again at every connection.
    AtMostOnce,
    /// 1. For what is said once, and must be.
    AtLeastOnce,
}

/// Something that happened on the link.
#[derive(Debug)]
pub enum Event {
    /// The link itself changed.
    Link(Link),
    /// A message.
    Publish(Incoming),
}

impl Event {
    /// Bytes of a message.
    fn size(&self) -> usize {
        match self {
            Event::Publish(incoming) => incoming.topic.len() + incoming.payload.len(),
            Event::Link(_) => 0,
        }
    }
}

/// A message as delivered.
#[derive(Debug)]
pub struct Incoming {
    /// Not checked to be UTF-8.
    pub topic: Bytes,
    /// Untouched.
    pub payload: Bytes,
    /// A replay after SUBSCRIBE, not a live message.
    pub retain: bool,
    /// What remains of the MQTT 5 message expiry interval.
    pub expiry: Option<Duration>,
    /// To be given back once the message is dealt with; QoS 0 has none.
    pub token: Option<AckToken>,
}

/// The right to acknowledge one message, on the connection that delivered it.
#[derive(Debug)]
pub struct AckToken {
    epoch: u64,
    pkid: u16,
}

/// What can become another while a link runs. The login and the certificates count from the next connection on.
#[derive(Clone, Debug)]
pub struct Change {
    /// Topic filters: the difference is subscribed and unsubscribed.
    pub filters: Vec<String>,
    /// User name, if the broker wants one.
    pub username: Option<String>,
    /// Read again before each attempt to connect.
    pub password: Option<SecretSource>,
    /// With TLS, or in plain text.
    pub tls: Option<TlsConfig>,
}

enum Command {
    Ack(AckToken),
    Change(Box<Change>),
    Slept,
    Stop(Option<Message>),
}

/// Speaks to the task that owns the link.
#[derive(Debug)]
pub struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    outbox: mpsc::Sender<Message>,
    turns: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// Room for one message.
#[derive(Debug)]
pub struct Permit(mpsc::OwnedPermit<Message>);

/// What happens on the link, in order.
#[derive(Debug)]
pub struct Events {
    events: mpsc::UnboundedReceiver<Event>,
    waiting: Arc<Waiting>,
}

/// Events that were told and not yet read.
#[derive(Debug, Default)]
struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    /// A message of this size must wait, or go if it is at QoS 0.
    fn is_full_for(&self, size: usize) -> bool {
        self.events.load(Ordering::Relaxed) >= MOST_EVENTS || self.bytes.load(Ordering::Relaxed) + size > MOST_BYTES
    }

    fn add(&self, event: &Event) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(event.size(), Ordering::Relaxed);
    }

    fn remove(&self, event: &Event) {
        self.events.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(event.size(), Ordering::Relaxed);
    }
}

/// Starts the task that connects, and connects again, until it is stopped.
///
/// # Errors
/// The CA file cannot be used.
pub fn start(config: Config, clock: Clock, telemetry: Telemetry) -> Result<(Handle, Events), String> {
    let (commands, commands_in) = mpsc::unbounded_channel(); // bounded by what the broker may send unacknowledged
    let (outbox, outbox_in) = mpsc::channel(OUTBOX);
    let (events_out, events) = mpsc::unbounded_channel(); // bounded by `Waiting` and the receive maximum
    let waiting = Arc::new(Waiting::default());
    let (link, ear) = link::LinkTask::new(config, clock, telemetry, events_out, Arc::clone(&waiting))?;
    let turns = link.turns();
    let task = tokio::spawn(link.run(ear, commands_in, outbox_in));
    Ok((Handle { commands, outbox, turns, task }, Events { events, waiting }))
}

impl Handle {
    /// Acknowledges a message. Call in the order of arrival. Tokens of an earlier connection are dropped: the broker
    /// delivers those messages again.
    pub fn ack(&self, token: AckToken) {
        drop(self.commands.send(Command::Ack(token))); // the task is gone: so is the connection
    }

    /// Waits for room to publish; `None` after a stop. Safe to cancel.
    pub async fn permit(&self) -> Option<Permit> {
        self.outbox.clone().reserve_owned().await.ok().map(Permit)
    }

    /// Goes on with what has changed in the configuration.
    pub fn change(&self, change: Change) {
        drop(self.commands.send(Command::Change(Box::new(change)))); // the task is gone: so is the connection
    }

    /// The machine slept. A connection that may be dead on the other side is left for a new one at once.
    pub fn slept(&self) {
        drop(self.commands.send(Command::Slept)); // the task is gone: so is the connection
    }

    /// Turns that the task has taken so far: it takes one a second at least, connected or not, unless it hangs.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Says `farewell`, disconnects so that the last will is not published, and ends; within 5 s, connected or not.
    pub async fn stop(mut self, farewell: Option<Message>) {
        drop(self.commands.send(Command::Stop(farewell))); // the task is gone: so is the connection
        if tokio::time::timeout(STOP, &mut self.task).await.is_err() {
            // Stalled on a peer that does not read. Nothing of it may outlive the stop.
            self.task.abort();
            drop(self.task.await);
        }
    }
}

impl Permit {
    /// Publishes. What is published while disconnected is dropped: say it again at the next [`Link::Up`].
    pub fn publish(self, message: Message) {
        drop(self.0.send(message));
    }
}

impl Events {
    /// The next event; `None` once the link is stopped. Safe to cancel.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        self.took(event)
    }

    /// The next event, if it is here already.
    pub fn try_next(&mut self) -> Option<Event> {
        let event = self.events.try_recv().ok();
        self.took(event)
    }

    fn took(&self, event: Option<Event>) -> Option<Event> {
        event.inspect(|event| self.waiting.remove(event))
    }
}
