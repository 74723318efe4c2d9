//! The real bridge in this process, between a broker that a test names and the Graph sandbox: what a colleague sees.

use std::time::Duration;

use presence_bridge::admin::{Address, ask};
use presence_bridge::bridge::Bridge;
use presence_bridge::cli::run;
use presence_bridge::clock::Clock;
use presence_bridge::config::Config;
use presence_bridge::presence::{Mono, OnStop};
use presence_bridge::sandbox::tenant::Settings;
use presence_bridge::sandbox::{Options, Sandbox};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::scenarios::world::{SECRET, person};
use crate::support::until;

pub const BUSY: &str = "Busy/InACall";
pub const NOBODY: &str = "Offline/Offline";

/// Graph, with so many people.
pub async fn graph(people: usize) -> Sandbox {
    let settings = Settings::for_users((1..=people).map(person));
    Sandbox::start(Options { clock: Clock::live(), settings, tls: false }).await.unwrap()
}

/// How many calls of this kind there were for somebody.
pub fn calls(graph: &Sandbox, number: usize, what: &str) -> usize {
    graph.tenant().lock().unwrap().calls(&person(number), what).len()
}

pub async fn sees(graph: &Sandbox, number: usize, what: &str) {
    until(&format!("p{number} is seen as {what}"), || graph.seen(&person(number)) == what).await;
}

/// As [`sees`], and how long it took.
pub async fn sees_within(graph: &Sandbox, number: usize, what: &str, bound: Duration) -> Duration {
    let start = now();
    let seen = async {
        while graph.seen(&person(number)) != what {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(bound, seen).await;
    assert!(in_time.is_ok(), "p{number} is not seen as {what} within {bound:?}, but {}", graph.seen(&person(number)));
    now().since(start)
}

pub fn now() -> Mono {
    Clock::live().real()
}

/// A bridge that knows one or more people.
pub struct Office {
    pub dir: tempfile::TempDir,
    /// Dropped, it is a stop.
    _stop: oneshot::Sender<OnStop>,
    bridge: JoinHandle<()>,
}

/// People `p1` to `pN` with a phone each: `phone/1` to `phone/N`; `mqtt` goes into `[mqtt]`.
pub fn configuration(graph: &Sandbox, people: impl IntoIterator<Item = usize> + Clone, mqtt: &str) -> String {
    let url = graph.graph_url();
    let users: String = people.clone().into_iter().map(|n| format!("p{n} = \"{}\"\n", person(n))).collect();
    let devices: String = people.into_iter().map(|n| format!("\"{n}\" = \"p{n}\"\n")).collect();
    format!(
        r#"
[graph]
tenant_id = "aaaaaaaa-0000-4000-8000-000000000001"
client_id = "bbbbbbbb-0000-4000-8000-000000000002"
client_secret_file = "secret"
login_url = "{url}"
graph_url = "{url}"
[mqtt]
keep_alive = "5s"
{mqtt}
[admin]
listen = "off"
socket = "admin.sock"
[state]
dir = "state"
[users]
{users}
[devices]
{devices}
[signals]
call = "Busy/InACall"
[[rule]]
topic = "phone/{{ext}}"
subject = "{{ext}}"
signal = "call"
on = ["INUSE"]
off = ["NOT_INUSE"]
ttl = "8h"
"#
    )
}

impl Office {
    /// Starts it; it may not be connected yet.
    pub fn open(graph: &Sandbox, people: impl IntoIterator<Item = usize> + Clone, mqtt: &str) -> Office {
        let dir = tempfile::tempdir().unwrap();
        Office::with(dir, &configuration(graph, people, mqtt))
    }

    /// With this configuration, and the files of `dir`.
    pub fn with(dir: tempfile::TempDir, configuration: &str) -> Office {
        std::fs::write(dir.path().join("secret"), SECRET).unwrap();
        let path = dir.path().join("bridge.toml");
        std::fs::write(&path, configuration).unwrap();
        let config = Config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        let bridge: Bridge = run::connect(config, Clock::live(), false, None).unwrap();
        let (stop, stopped) = oneshot::channel();
        let bridge = tokio::spawn(bridge.run(async move { stopped.await.unwrap_or(OnStop::Leave) }));
        Office { dir, _stop: stop, bridge }
    }

    async fn ask(&self, path: &str) -> String {
        ask(&Address::Unix(self.dir.path().join("admin.sock")), path).await.map(|(_, text)| text).unwrap_or_default()
    }

    /// A counter; 0 also where it never counted.
    pub async fn total(&self, event: &str, reason: &str) -> u64 {
        let page = self.ask("/metrics").await;
        let name = format!("presence_bridge_{event}");
        let lines = page.lines().filter(|line| line.starts_with(&name));
        let mut of_reason = lines.filter(|line| reason.is_empty() || line.contains(&format!("\"{reason}\"")));
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        of_reason.by_ref().filter_map(value).map(|value| value as u64).sum()
    }

    /// Whether the bridge has a connection to its broker.
    pub async fn connected(&self) -> bool {
        self.total("broker_connected", "").await == 1
    }

    /// Waits until it has, or has not, and says how long that took.
    pub async fn is_connected(&self, wanted: bool, bound: Duration) -> Duration {
        let start = now();
        let waiting = async {
            while self.connected().await != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(bound, waiting).await;
        assert!(in_time.is_ok(), "connected = {wanted} did not come within {bound:?}");
        now().since(start)
    }

    /// Waits until the port refused so many times: after five, 0.4 to 4 s lie between attempts.
    pub async fn is_refused(&self, times: u64) {
        let waiting = async {
            while self.total("mqtt_lost", "port_refuses").await < times {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("refusals within 20 seconds");
    }

    /// Names and texts of the alarms that stand.
    pub async fn alarms(&self) -> String {
        let status: serde_json::Value = serde_json::from_str(&self.ask("/status").await).unwrap_or_default();
        status["alarms"].to_string()
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.bridge.abort();
    }
}
