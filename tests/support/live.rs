//! The bridge in this process, between the embedded broker and a Graph, from a configuration on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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

pub struct Live {
    pub dir: PathBuf,
    pub hangups: mpsc::Sender<()>,
    desks: Handle,
    retained: Arc<Mutex<BTreeMap<String, String>>>,
    stop: Option<oneshot::Sender<OnStop>>,
    bridge: JoinHandle<()>,
    _broker: Broker,
    _dir: tempfile::TempDir,
}

/// What every configuration needs; `more` begins with the rest of `[graph]`.
pub fn configuration(port: u16, graph: &str, more: &str) -> String {
    format!(
        r#"
[graph]
tenant_id = "{TENANT}"
client_id = "{CLIENT}"
client_secret_file = "secret"
login_url = "{graph}"
graph_url = "{graph}"
[mqtt]
url = "mqtt://127.0.0.1:{port}"
client_id = "bridge-under-test"
[signals]
call = "Busy/InACall"
[[rule]]
topic = "pbx/{{ext}}"
subject = "{{ext}}"
signal = "call"
on = ["INUSE"]
off = ["NOT_INUSE"]
{more}
"#
    )
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
        for (name, text) in [("secret", "sandbox-secret")].iter().chain(files) {
            std::fs::write(dir.join(name), text).unwrap();
        }
        let admin = if more.contains("[admin]") { "" } else { "[admin]\nlisten = \"off\"\nsocket = \"admin.sock\"\n" };
        let path = dir.join("bridge.toml");
        // Not the machine's own directory: what one test keeps there, another would find.
        let state = if more.contains("[state]") { "" } else { "[state]\ndir = \"state\"\n" };
        std::fs::write(&path, configuration(broker.port(), graph, &format!("{admin}{state}{more}"))).unwrap();
        let config = Config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        let (desks, retained) = desks(broker.port()).await;
        let (hangups, told) = mpsc::channel(1);
        let source = Source::new(&path, &config);
        let bridge = run::connect(config, clock, false, Some((source, told))).unwrap();
        let (stop, stopped) = oneshot::channel();
        let bridge = tokio::spawn(bridge.run(async move { stopped.await.unwrap_or(OnStop::Leave) }));
        let live = Live { dir, hangups, desks, retained, stop: Some(stop), bridge, _broker: broker, _dir: temporary };
        until("the bridge is online", || live.status().contains("online")).await;
        live
    }

    /// A live message.
    pub async fn publish(&self, topic: &str, payload: &str) {
        let message = Message::new(topic, payload.to_owned());
        self.desks.permit().await.unwrap().publish(message);
    }

    /// What a dashboard has heard last on a topic of the bridge; `None` where nothing is retained.
    pub fn topic(&self, topic: &str) -> Option<String> {
        let retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
        retained.get(&format!("presence-bridge/{topic}")).filter(|text| !text.is_empty()).cloned()
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

    pub async fn stop(mut self, policy: OnStop) {
        self.stop.take().unwrap().send(policy).unwrap();
        (&mut self.bridge).await.unwrap();
    }
}

fn replace(dir: &Path, name: &str, text: &str) {
    let new = dir.join("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, dir.join(name)).unwrap();
}

/// A client that publishes for the devices and hears what the bridge says.
async fn desks(port: u16) -> (Handle, Arc<Mutex<BTreeMap<String, String>>>) {
    let config = mqtt::Config {
        session: Session::Clean,
        filters: vec!["presence-bridge/people/+".into(), "presence-bridge/status/+".into()],
        ..mqtt::Config::new(mqtt::Address::Tcp { host: "127.0.0.1".into(), port }, "desks")
    };
    let (handle, mut events) = mqtt::start(config, Clock::live(), Telemetry::new(Clock::live())).unwrap();
    while !matches!(events.next().await, Some(Event::Link(Link::Up { .. }))) {}
    let heard = Arc::new(Mutex::new(BTreeMap::new()));
    let kept = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Event::Publish(incoming) = event {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.insert(text(&incoming.topic), text(&incoming.payload));
            }
        }
    });
    (handle, heard)
}
