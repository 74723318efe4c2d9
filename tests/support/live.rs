//! The bridge in this process, between brokers and a Graph, from a configuration on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use presence_bridge::bridge::reload::Source;
use presence_bridge::cli::run;
use presence_bridge::clock::Clock;
use presence_bridge::config::Config;
use presence_bridge::mqtt::{self, Event, Handle, Message, Session};
use presence_bridge::presence::{Link, OnStop};
use presence_bridge::sandbox::broker::Broker;
use presence_bridge::telemetry::Telemetry;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::fake_graph::{CLIENT, TENANT};
use super::until;

/// A bridge before an embedded broker of its own, and a client at that.
pub struct Live {
    pub dir: PathBuf,
    pub hangups: mpsc::Sender<()>,
    desk: Desk,
    running: Running,
    broker: Broker,
    _dir: tempfile::TempDir,
}

/// A bridge of this process.
pub struct Running {
    pub hangups: mpsc::Sender<()>,
    /// While this is true its loop does nothing, as if it were kept busy.
    pub busy: Arc<AtomicBool>,
    stop: oneshot::Sender<OnStop>,
    bridge: JoinHandle<()>,
}

/// A client that publishes for the devices and hears what the bridge says.
pub struct Desk {
    handle: Handle,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    last: BTreeMap<String, String>,
    all: Vec<(String, String)>,
}

/// What every configuration needs; `more` begins with the rest of `[graph]`.
pub fn configuration(port: u16, graph: &str, more: &str) -> String {
    let mqtt = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nclient_id = \"bridge-under-test\"\n");
    configuration_of(&mqtt, graph, more)
}

/// The same with these lines for the brokers.
pub fn configuration_of(brokers: &str, graph: &str, more: &str) -> String {
    format!(
        r#"
[graph]
tenant_id = "{TENANT}"
client_id = "{CLIENT}"
client_secret_file = "secret"
login_url = "{graph}"
graph_url = "{graph}"
{brokers}
[signals]
call = "Busy/InACall"
[[rule]]
topic = "pbx/{{ext}}"
subject = "{{ext}}"
signal = "call"
on = ["INUSE"]
off = ["NOT_INUSE"]
ttl = "12h"
{more}
"#
    )
}

/// Starts a bridge from this text, written into `dir`.
pub fn bridge(clock: Clock, dir: &Path, text: &str) -> Running {
    std::fs::write(dir.join("secret"), "sandbox-secret").unwrap();
    let path = dir.join("bridge.toml");
    // Not the machine's own directory: what one test keeps there, another would find.
    let state = if text.contains("[state]") { "" } else { "[state]\ndir = \"state\"\n" };
    let admin = if text.contains("[admin]") { "" } else { "[admin]\nlisten = \"off\"\nsocket = \"admin.sock\"\n" };
    std::fs::write(&path, format!("{text}{state}{admin}")).unwrap();
    let config = Config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
    let (hangups, told) = mpsc::channel(1);
    let source = Source::new(&path, &config);
    let bridge = run::connect(config, clock, false, Some((source, told))).unwrap();
    let (stop, stopped) = oneshot::channel();
    let busy = Arc::new(AtomicBool::new(false));
    let run = bridge.run(async move { stopped.await.unwrap_or(OnStop::Leave) });
    let bridge = tokio::spawn(unless_busy(Arc::clone(&busy), run));
    Running { hangups, busy, stop, bridge }
}

async fn unless_busy(busy: Arc<AtomicBool>, run: impl Future<Output = ()>) {
    let mut run = pin!(run);
    std::future::poll_fn(move |context| {
        if !busy.load(Ordering::Relaxed) {
            return run.as_mut().poll(context);
        }
        let waker = context.waker().clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            waker.wake();
        });
        Poll::Pending
    })
    .await;
}

impl Running {
    pub async fn stop(self, policy: OnStop) {
        self.stop.send(policy).unwrap();
        self.bridge.await.unwrap();
    }
}

impl Live {
    /// With `more` in its configuration, and these files beside it; waits until it is connected.
    pub async fn start(graph: &str, more: &str, files: &[(&str, &str)]) -> Live {
        Live::on(Clock::live(), graph, more, files).await
    }

    pub async fn on(clock: Clock, graph: &str, more: &str, files: &[(&str, &str)]) -> Live {
        let broker = Broker::start(0).await.unwrap();
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().to_owned();
        for (name, text) in files {
            std::fs::write(dir.join(name), text).unwrap();
        }
        let desk = Desk::at(broker.port()).await;
        let running = bridge(clock, &dir, &configuration(broker.port(), graph, more));
        let hangups = running.hangups.clone();
        let live = Live { dir, hangups, desk, running, broker, _dir: temporary };
        until("the bridge is online", || live.status().contains("online")).await;
        live
    }

    /// A live message.
    pub async fn publish(&self, topic: &str, payload: &str) {
        self.desk.publish(topic, payload).await;
    }

    /// What a dashboard has heard last on a topic of the bridge; `None` where nothing is retained.
    pub fn topic(&self, topic: &str) -> Option<String> {
        self.desk.topic(topic)
    }

    /// Everything that was said on a topic of the bridge.
    pub fn all(&self, topic: &str) -> Vec<String> {
        self.desk.all(topic)
    }

    /// Of its broker.
    pub fn port(&self) -> u16 {
        self.broker.port()
    }

    pub fn status(&self) -> String {
        self.topic("status/bridge-under-test").unwrap_or_default()
    }

    pub fn config(&self) -> PathBuf {
        self.dir.join("bridge.toml")
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("admin.sock")
    }

    /// Replaces a file as an editor does: a new one under the old name.
    pub fn replace(&self, name: &str, text: &str) {
        replace(&self.dir, name, text);
    }

    pub async fn stop(self, policy: OnStop) {
        self.running.stop(policy).await;
    }
}

pub fn replace(dir: &Path, name: &str, text: &str) {
    let new = dir.join("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, dir.join(name)).unwrap();
}

impl Desk {
    /// Connected to the broker on this port of the loopback.
    pub async fn at(port: u16) -> Desk {
        let filters = ["people/+", "status/+", "in/+/error"].map(|levels| format!("presence-bridge/{levels}"));
        Desk::hearing(port, filters.into()).await
    }

    pub async fn hearing(port: u16, filters: Vec<String>) -> Desk {
        static DESKS: AtomicUsize = AtomicUsize::new(0);
        let client_id = format!("desk-{}", DESKS.fetch_add(1, Ordering::Relaxed));
        let address = mqtt::Address::Tcp { host: "127.0.0.1".into(), port };
        let config = mqtt::Config { session: Session::Clean, filters, ..mqtt::Config::new(address, client_id) };
        let (handle, mut events) = mqtt::start(config, Clock::live(), Telemetry::new(Clock::live())).unwrap();
        while !matches!(events.next().await, Some(Event::Link(Link::Up { .. }))) {}
        let heard = Arc::new(Mutex::new(Heard::default()));
        let kept = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Event::Publish(incoming) = event {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    let (topic, payload) = (text(&incoming.topic), text(&incoming.payload));
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.last.insert(topic.clone(), payload.clone());
                    kept.all.push((topic, payload));
                }
            }
        });
        Desk { handle, heard }
    }

    /// A live message.
    pub async fn publish(&self, topic: &str, payload: &str) {
        self.say(Message::new(topic, payload.to_owned())).await;
    }

    pub async fn retain(&self, topic: &str, payload: &str) {
        self.say(Message::new(topic, payload.to_owned()).retained()).await;
    }

    async fn say(&self, message: Message) {
        self.handle.permit().await.unwrap().publish(message);
    }

    /// What was heard last on a topic of the bridge, if it was not deleted.
    pub fn topic(&self, topic: &str) -> Option<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.last.get(&format!("presence-bridge/{topic}")).filter(|text| !text.is_empty()).cloned()
    }

    /// What was heard last on a topic of the bridge.
    pub fn json(&self, topic: &str) -> serde_json::Value {
        self.topic(topic).map_or(serde_json::Value::Null, |text| serde_json::from_str(&text).unwrap())
    }

    pub fn all(&self, topic: &str) -> Vec<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let topic = format!("presence-bridge/{topic}");
        heard.all.iter().filter(|(heard, _)| *heard == topic).map(|(_, text)| text.clone()).collect()
    }

    /// How often anything was heard.
    pub fn count(&self) -> usize {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).all.len()
    }

    /// All topics on which something was heard.
    pub fn topics(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.last.keys().cloned().collect()
    }
}
