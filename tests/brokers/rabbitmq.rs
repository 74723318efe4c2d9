//! Debian's RabbitMQ with its MQTT plugin, run by hand in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::contract::answers;
use super::wire::{Access, Client, Connect, Version};
use super::{Server, expect, hears_itself};
use crate::support::mosquitto::free_port;
use crate::support::skipped;

const SCRIPT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// The user `bridge`, who may do everything but touch `secret/…`, and `office` with the rights of `docs/brokers.md`. The hash
/// is salt and SHA-256 of it and the password `secret`, as RabbitMQ keeps it.
const DEFINITIONS: &str = r#"{
  "users": [
    {"name": "bridge", "password_hash": "AAECAygv0e1JvWmb/yuFkkS4o6/ym7l2VIDl94ohKiVGBwMk", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ""},
    {"name": "office", "password_hash": "AAECAygv0e1JvWmb/yuFkkS4o6/ym7l2VIDl94ohKiVGBwMk", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ""}
  ],
  "vhosts": [{"name": "/"}],
  "permissions": [
    {"user": "bridge", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "office", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
  ],
  "topic_permissions": [
    {"user": "bridge", "vhost": "/", "exchange": "amq.topic", "write": "^(?!secret).*", "read": "^(?!secret).*"},
    {"user": "office", "vhost": "/", "exchange": "amq.topic",
     "write": "^(presence-bridge|homeassistant)\\.", "read": "^(pbx|devices|homeassistant|presence-bridge)\\."}
  ]
}"#;

/// Ends the emulator and what it started: its name server, its watchdogs.
struct RabbitMq {
    _epmd: Server,
    server: Server,
    pid_file: PathBuf,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // The script's child is the emulator, which knows its own id; asked to end, it takes its helpers along.
        let pid = std::fs::read_to_string(&self.pid_file).unwrap_or_default();
        if !pid.trim().is_empty() && Command::new("kill").arg(pid.trim()).status().is_ok_and(|it| it.success()) {
            let _ended = self.server.0.wait();
        }
    }
}

async fn start(test: &str) -> Option<RabbitMq> {
    let epmd = ["/usr/bin/epmd", "/usr/local/bin/epmd"].into_iter().find(|it| Path::new(it).exists());
    let (true, Some(epmd)) = (Path::new(SCRIPT).exists(), epmd) else {
        skipped(test, "rabbitmq-server is not installed");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (port, amqp, distribution, names) = (free_port(), free_port(), free_port(), free_port());
    let config = format!(
        "listeners.tcp.1 = 127.0.0.1:{amqp}\nmqtt.listeners.tcp.1 = 127.0.0.1:{port}\nmqtt.allow_anonymous = false\n\
         load_definitions = {}\n",
        path("definitions.json").display()
    );
    std::fs::write(path("definitions.json"), DEFINITIONS).unwrap();
    std::fs::write(path("rabbitmq.conf"), config).unwrap();
    std::fs::write(path("enabled_plugins"), "[rabbitmq_mqtt].").unwrap();
    let log = || std::fs::File::options().create(true).append(true).open(path("log")).unwrap();
    // Erlang's name server, in our hands: RabbitMQ would leave one behind.
    let epmd = Command::new(epmd).args(["-address", "127.0.0.1", "-port", &names.to_string()]).spawn().unwrap();
    let server = Command::new(SCRIPT)
        .env("HOME", dir.path())
        .env("RABBITMQ_MNESIA_BASE", path("db"))
        .env("RABBITMQ_LOG_BASE", path("logs"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
        .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
        .env("RABBITMQ_CONF_ENV_FILE", path("none"))
        .env("RABBITMQ_PID_FILE", path("pid"))
        .env("RABBITMQ_NODENAME", format!("test{names}@localhost"))
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("ERL_EPMD_PORT", names.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .stdin(Stdio::null())
        .stdout(log())
        .stderr(log())
        .spawn()
        .unwrap();
    let broker = RabbitMq { _epmd: Server(epmd), server: Server(server), pid_file: path("pid"), port, _dir: dir };
    for _ in 0..240 {
        if Client::connect(&broker.access(Version::V311), &Connect::new("ready")).await.is_ok() {
            return Some(broker);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!(
        "RabbitMQ did not start within a minute:\n{}",
        std::fs::read_to_string(broker._dir.path().join("log")).unwrap()
    );
}

impl RabbitMq {
    fn access(&self, version: Version) -> Access {
        Access { port: self.port, version, login: Some(("bridge", "secret")) }
    }
}

#[tokio::test]
#[ignore = "needs rabbitmq-server, half a minute"]
async fn rabbitmq_answers_so() {
    let Some(broker) = start("RabbitMQ's answers").await else { return };
    let new = Client::connect(&broker.access(Version::V5), &Connect::new("five")).await.map(|(_, welcome)| welcome);
    expect("RabbitMQ, 5", &format!("{new:?}"), r#"Err("closed")"#);
    hears_itself(broker.port).await;
    let found = answers(&broker.access(Version::V311), Some("secret/a")).await;
    expect("RabbitMQ", &found, include_str!("rabbitmq.txt"));
    rights(&Access { login: Some(("office", "secret")), ..broker.access(Version::V311) }).await;
}

/// Those that the documentation gives suffice, and end there.
async fn rights(access: &Access) {
    let mut office = Client::welcomed(access, &Connect::new("office")).await;
    let filters =
        ["pbx/+/PJSIP/+", "devices/#", "homeassistant/status", "presence-bridge/canary/office", "presence-bridge/in/#"];
    assert_eq!(office.subscribe(&filters).await, Ok(vec![1; 5]));
    for topic in ["canary/office", "status/office", "people/alice", "in/alice/error"] {
        assert_eq!(office.publish(&format!("presence-bridge/{topic}"), "x", true).await, Ok(0), "{topic}");
    }
    assert_eq!(office.messages().await.len(), 2, "canary and error");
    assert!(office.publish("pbx/devstate/PJSIP/1001", "INUSE", false).await.is_err(), "RabbitMQ closes");
    let mut office = Client::welcomed(access, &Connect::new("office")).await;
    assert!(office.subscribe(&["other/#"]).await.is_err(), "RabbitMQ closes");
}
