//! The real program between the embedded broker and the sandbox, all on one clock that may run faster than life.

use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use presence_bridge::clock::Clock;
use presence_bridge::mqtt::{Event, Events, Handle, Message};
use presence_bridge::presence::{Deadline, Timestamp};
use presence_bridge::sandbox::broker::Broker;
use presence_bridge::sandbox::tenant::{Settings, Tenant};
use presence_bridge::sandbox::{Listen, Sandbox};

use crate::support::until;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_presence-bridge");
pub const SECRET: &str = "sandbox-secret";

/// The object id of the person with this number.
pub fn person(number: usize) -> String {
    format!("11111111-1111-4111-8111-{number:012}")
}

pub struct World {
    pub sandbox: Sandbox,
    pub clock: Clock,
    broker: Broker,
    phones: Handle,
    heard: tokio::sync::Mutex<Events>,
    people: usize,
    pub dir: tempfile::TempDir,
}

impl World {
    /// With so many people, `p1` to `pN`, on a clock this many times faster than life.
    pub async fn new(people: usize, speed: u32) -> World {
        World::with(people, speed, false, |_| {}).await
    }

    pub async fn with(people: usize, speed: u32, tls: bool, change: impl FnOnce(&mut Settings)) -> World {
        let clock = Clock::faster(speed);
        let mut settings = Settings::for_users((1..=people).map(person));
        change(&mut settings);
        let anywhere = Some(([127, 0, 0, 1], 0).into());
        let (https, http) = if tls { (anywhere, None) } else { (None, anywhere) };
        let sandbox =
            Sandbox::listen(clock.clone(), settings, Listen { https, http, names: Vec::new() }).await.unwrap();
        let broker = Broker::start(0).await.unwrap();
        let mut config = crate::mqtt::config(broker.port(), "phones");
        config.filters = vec!["presence-bridge/status/#".to_owned()];
        let (phones, mut heard, _) = crate::mqtt::start(config);
        crate::mqtt::up(&mut heard).await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), SECRET).unwrap();
        if let Some(pem) = sandbox.ca_pem() {
            std::fs::write(dir.path().join("ca.pem"), pem).unwrap();
        }
        World { sandbox, clock, broker, phones, heard: tokio::sync::Mutex::new(heard), people, dir }
    }

    /// The configuration, with these lines in `[presence]`.
    pub fn configuration(&self, presence: &str) -> String {
        let url = self.sandbox.graph_url().replace("https://127.0.0.1", "https://localhost");
        let ca = self.sandbox.ca_pem().map_or("", |_| "ca_file = \"ca.pem\"");
        let users: String = (1..=self.people).map(|n| format!("p{n} = \"{}\"\n", person(n))).collect();
        let devices: String = (1..=self.people).map(|n| format!("\"{}\" = \"p{n}\"\n", 1000 + n)).collect();
        format!(
            r#"
[graph]
tenant_id = "aaaaaaaa-0000-4000-8000-000000000001"
client_id = "bbbbbbbb-0000-4000-8000-000000000002"
client_secret_file = "secret"
login_url = "{url}"
graph_url = "{url}"
{ca}
[mqtt]
url = "mqtt://127.0.0.1:{}"
client_id = "bridge-under-test"
[presence]
{presence}
[admin]
listen = "off"
[log]
level = "debug"
[users]
{users}
[devices]
{devices}
[signals]
call = "Busy/InACall"
desk = "Available/Available"
away = "Away/Away"
[[rule]]
topic = "phone/{{ext}}"
subject = "{{ext}}"
signal = "call"
on = ["INUSE"]
off = ["NOT_INUSE"]
ttl = "24h"
"#,
            self.broker.port()
        )
    }

    /// Starts the program and waits until it is subscribed.
    pub async fn bridge(&self, presence: &str) -> Bridge {
        let path = self.dir.path().join("bridge.toml");
        std::fs::write(&path, self.configuration(presence)).unwrap();
        let clock = format!("{}@{}", self.clock.speed(), self.clock.since().as_millis());
        let mut child = Command::new(PROGRAM)
            .args(["run", "--clock", &clock, "-c"])
            .arg(&path)
            .env("STATE_DIRECTORY", self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = crate::support::lines_of(child.stderr.take().unwrap());
        let bridge = Bridge { child, log };
        let online = tokio::time::timeout(Duration::from_secs(20), self.online()).await;
        assert!(online.is_ok(), "the bridge is not online in time");
        bridge
    }

    /// Waits until the bridge says so, which it does after it has subscribed.
    async fn online(&self) {
        let mut heard = self.heard.lock().await;
        loop {
            let Some(Event::Publish(said)) = heard.next().await else { continue };
            if let Some(token) = said.token {
                self.phones.ack(token);
            }
            if !said.retain && String::from_utf8_lossy(&said.payload).contains("\"online\"") {
                return;
            }
        }
    }

    /// What `check` says of a configuration.
    pub fn check(&self, configuration: &str) -> Output {
        let path = self.dir.path().join("checked.toml");
        std::fs::write(&path, configuration).unwrap();
        Command::new(PROGRAM).args(["check", "-c"]).arg(&path).output().unwrap()
    }

    pub async fn publish(&self, topic: &str, payload: &str) {
        self.say(topic, payload, false).await;
    }

    pub async fn retain(&self, topic: &str, payload: &str) {
        self.say(topic, payload, true).await;
    }

    async fn say(&self, topic: &str, payload: &str, retain: bool) {
        let permit = self.phones.permit().await.unwrap();
        permit.publish(Message { retain, ..Message::new(topic, payload.to_owned()) });
    }

    pub fn seen(&self, number: usize) -> String {
        self.sandbox.seen(&person(number))
    }

    pub async fn see(&self, number: usize, what: &str) {
        until(&format!("p{number} is seen as {what}"), || self.seen(number) == what).await;
    }

    pub fn tenant(&self) -> MutexGuard<'_, Tenant> {
        self.sandbox.tenant().lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now_ms(&self) -> u64 {
        self.sandbox.at().virtual_ms
    }

    /// Waits for this time on the shared clock to pass.
    pub async fn pass(&self, span: Duration) {
        let deadline = Deadline { mono: self.clock.now().mono + span, wall: Timestamp::MAX };
        while self.clock.now().mono < deadline.mono {
            self.clock.timer().until(deadline).await;
        }
    }

    /// Status and time of each call of this kind for somebody.
    pub fn calls(&self, number: usize, what: &str) -> Vec<(u16, u64)> {
        self.tenant().calls(&person(number), what).iter().map(|entry| (entry.status, entry.at_ms)).collect()
    }
}

pub struct Bridge {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Bridge {
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Without a word.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
        if std::thread::panicking() {
            println!("The bridge said:\n{}", self.log());
        }
    }
}
