//! An office: the whole bridge, in this process, between a broker and the sandbox's Graph, and what colleagues see over time.
//!
//! People are numbered from 1 and have a phone each: `phone/1` says INUSE, NOT_INUSE or UNAVAILABLE.

mod broker;
mod program;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use presence_bridge::admin::{Address, ask};
use presence_bridge::bridge::reload::Source;
use presence_bridge::cli::run;
use presence_bridge::clock::Clock;
use presence_bridge::config::Config;
use presence_bridge::presence::{Deadline, OnStop, Timestamp};
use presence_bridge::sandbox::tenant::{Entry, Settings};
use presence_bridge::sandbox::{Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use self::broker::{dynamic_security, dynsec, publish, publish_all, readable};
pub use self::program::Program;

pub const NOBODY: &str = "Offline/Offline";
pub const CALL: &str = "Busy/InACall";
/// How long a colleague looks before it is a fault.
const PATIENCE: Duration = Duration::from_secs(15);

/// A tenant, and everybody who looks at it.
pub struct Office {
    sandbox: Arc<Sandbox>,
    clock: Clock,
    people: usize,
    stories: Arc<Mutex<Vec<Vec<String>>>>,
    watcher: JoinHandle<()>,
}

/// A running bridge of an office.
pub struct Bridge {
    pub dir: TempDir,
    _hangups: mpsc::Sender<()>,
    stop: oneshot::Sender<OnStop>,
    task: JoinHandle<()>,
}

/// The object id of the person with this number.
fn person(number: usize) -> String {
    format!("11111111-1111-4111-8111-{number:012}")
}

/// `[mqtt]` of a broker on this port of the loopback, in plain text.
pub fn plain(port: u16) -> String {
    format!("url = \"mqtt://127.0.0.1:{port}\"\n")
}

/// Waits until `is` holds. `what` is for people.
pub async fn within<F: Future<Output = bool>>(span: Duration, what: &str, mut is: impl FnMut() -> F) {
    let waited = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(span, waited).await.is_ok(), "waited {span:?} in vain: {what}");
}

impl Office {
    /// So many people, on a clock so many times faster than life. MQTT keeps to life.
    pub async fn new(people: usize, speed: u32) -> Office {
        let clock = Clock::faster(speed);
        let settings = Settings::for_users((1..=people).map(person));
        let options = Options { clock: clock.clone(), settings, tls: false };
        let sandbox = Arc::new(Sandbox::start(options).await.unwrap());
        let stories = Arc::new(Mutex::new(vec![vec![NOBODY.to_owned()]; people]));
        let watcher = tokio::spawn(watch(Arc::clone(&sandbox), Arc::clone(&stories)));
        Office { sandbox, clock, people, stories, watcher }
    }

    fn configuration(&self, mqtt: &str, presence: &str, state: &str) -> String {
        let url = self.sandbox.graph_url();
        let users: String = (1..=self.people).map(|n| format!("p{n} = \"{}\"\n", person(n))).collect();
        let devices: String = (1..=self.people).map(|n| format!("\"{n}\" = \"p{n}\"\n")).collect();
        let client_id = if mqtt.contains("client_id") { "" } else { "client_id = \"bridge\"\n" };
        format!(
            r#"
[graph]
tenant_id = "aaaaaaaa-0000-4000-8000-000000000001"
client_id = "bbbbbbbb-0000-4000-8000-000000000002"
client_secret_file = "secret"
login_url = "{url}"
graph_url = "{url}"
[mqtt]
{client_id}{mqtt}
[presence]
{presence}
[admin]
listen = "off"
socket = "admin.sock"
[state]
dir = "{state}"
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
unknown = ["UNAVAILABLE"]
ttl = "24h"
[[rule]]
topic = "ring/{{ext}}"
subject = "{{ext}}"
signal = "call"
on = ["INUSE"]
off = ["NOT_INUSE"]
ttl = "5m"
"#
        )
    }

    /// A bridge with these lines in `[mqtt]` and `[presence]`, and these files beside its configuration.
    pub fn bridge(&self, mqtt: &str, presence: &str, files: &[(&str, &str)]) -> Bridge {
        self.bridge_in("state", mqtt, presence, files)
    }

    /// One that keeps its state where it outlives it.
    pub fn bridge_keeping(&self, state: &Path, mqtt: &str) -> Bridge {
        self.bridge_in(&state.display().to_string(), mqtt, "", &[])
    }

    fn bridge_in(&self, state: &str, mqtt: &str, presence: &str, files: &[(&str, &str)]) -> Bridge {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        for (name, text) in [("secret", "sandbox-secret")].iter().chain(files) {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let path = dir.path().join("bridge.toml");
        std::fs::write(&path, self.configuration(mqtt, presence, state)).unwrap();
        let config = Config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        let (hangups, told) = mpsc::channel(1);
        let source = Source::new(&path, &config);
        let bridge = run::connect(config, self.clock.clone(), false, Some((source, told))).unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(bridge.run(async move { stopped.await.unwrap_or(OnStop::Leave) }));
        Bridge { dir, _hangups: hangups, stop, task }
    }

    /// A bridge before a broker on this port, connected.
    pub async fn open(&self, port: u16) -> Bridge {
        let bridge = self.bridge(&plain(port), "", &[]);
        bridge.connected().await;
        bridge
    }

    /// What a colleague sees now.
    pub fn seen(&self, number: usize) -> String {
        self.sandbox.seen(&person(number))
    }

    /// Waits until a colleague sees it.
    pub async fn see(&self, number: usize, what: &str) {
        self.see_within(PATIENCE, number, what).await;
    }

    pub async fn see_within(&self, span: Duration, number: usize, what: &str) {
        let told = format!("p{number} is seen as {what}; so far {:?}", self.story(number));
        within(span, &told, || async { self.story(number).last().is_some_and(|last| last == what) }).await;
    }

    /// Everything that a colleague who looks all the time has seen, in order.
    pub fn story(&self, number: usize) -> Vec<String> {
        lock(&self.stories)[number - 1].clone()
    }

    /// A call was seen to begin and nothing else: no flicker, no end.
    #[track_caller]
    pub fn kept_in_call(&self, number: usize) {
        assert_eq!(self.story(number), [NOBODY, CALL], "p{number}");
    }

    /// Calls to Graph about somebody, in order: `setPresence`, `clearPresence`.
    pub fn calls(&self, number: usize) -> Vec<String> {
        let user = person(number);
        self.of_log(|entry| entry.user == user)
    }

    /// Calls to Graph about anybody.
    pub fn all_calls(&self) -> usize {
        self.of_log(|entry| !entry.user.is_empty()).len()
    }

    fn of_log(&self, which: impl Fn(&Entry) -> bool) -> Vec<String> {
        let tenant = lock(self.sandbox.tenant());
        tenant.log().iter().filter(|entry| which(entry)).map(|entry| entry.what.clone()).collect()
    }

    /// Lets so much time pass on the office's clock.
    pub async fn pass(&self, span: Duration) {
        let deadline = Deadline { mono: self.clock.now().mono + span, wall: Timestamp::MAX };
        while self.clock.now().mono < deadline.mono {
            self.clock.timer().until(deadline).await;
        }
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.watcher.abort();
        if std::thread::panicking() {
            for number in 1..=self.people.min(5) {
                println!("p{number} was seen as {:?}; calls {:?}", self.story(number), self.calls(number));
            }
        }
    }
}

/// Looks a hundred times a second.
async fn watch(sandbox: Arc<Sandbox>, stories: Arc<Mutex<Vec<Vec<String>>>>) {
    loop {
        for (story, number) in lock(&stories).iter_mut().zip(1..) {
            let seen = sandbox.seen(&person(number));
            if story.last() != Some(&seen) {
                story.push(seen);
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Bridge {
    async fn ask(&self, path: &str) -> (u16, String) {
        let socket: PathBuf = self.dir.path().join("admin.sock");
        ask(&Address::Unix(socket), path).await.unwrap_or_default() // it has not begun to listen
    }

    pub async fn is_connected(&self) -> bool {
        let (_, page) = self.ask("/metrics").await;
        page.lines().any(|line| line.starts_with("presence_bridge_broker_connected") && line.ends_with(" 1"))
    }

    pub async fn connected(&self) {
        within(PATIENCE, "the bridge is connected", || self.is_connected()).await;
    }

    /// Waits until it is subscribed as well, at a broker on this port.
    pub async fn hears(&self, port: u16) {
        within(PATIENCE, "the bridge hears", || async {
            publish(port, "phone/nobody", "INUSE", &[]);
            self.count("message", "unknown_subject").await > 0
        })
        .await;
    }

    pub async fn disconnected(&self) {
        within(PATIENCE, "the bridge noticed that it is not connected", || async { !self.is_connected().await }).await;
    }

    pub async fn is_ready(&self) -> bool {
        self.ask("/ready").await.0 == 200
    }

    /// How often an event was counted under a reason.
    pub async fn count(&self, event: &str, reason: &str) -> u64 {
        let name = format!("presence_bridge_{event}_total{{reason=\"{reason}\"}} ");
        let (_, page) = self.ask("/metrics").await;
        page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
    }

    /// Open alarms: name, and what to do.
    pub async fn alarms(&self) -> Vec<(String, String)> {
        let (_, status) = self.ask("/status").await;
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        let text = |alarm: &Value, key: &str| alarm[key].as_str().unwrap_or_default().to_owned();
        let alarms = status["alarms"].as_array().cloned().unwrap_or_default();
        alarms.iter().map(|alarm| (text(alarm, "alarm"), text(alarm, "remedy"))).collect()
    }

    /// Waits for an alarm of this name; what there is to do about it.
    pub async fn alarm(&self, span: Duration, name: &str) -> String {
        let is_open = || async { self.alarms().await.iter().any(|(open, _)| open == name) };
        within(span, &format!("alarm {name}"), is_open).await;
        self.alarms().await.into_iter().find(|(open, _)| open == name).map_or_else(String::new, |(_, remedy)| remedy)
    }

    pub async fn no_alarm(&self) {
        within(PATIENCE, "every alarm ends", || async { self.alarms().await.is_empty() }).await;
    }

    pub async fn stop(self) {
        self.stop_with(OnStop::Leave).await;
    }

    pub async fn stop_with(self, policy: OnStop) {
        self.stop.send(policy).unwrap();
        self.task.await.unwrap();
    }

    /// It is gone, without a last word.
    pub async fn crash(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
