//! Debian's NATS server with JetStream and its MQTT listener.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::contract::answers;
use super::wire::{Access, Client, Connect, Version};
use super::{Server, expect, hears_itself};
use crate::support::mosquitto::{free_port, program};
use crate::support::skipped;

struct Nats {
    _server: Server,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Nats {
    fn access(&self, version: Version) -> Access {
        Access { port: self.port, version, login: Some(("bridge", "secret")) }
    }
}

async fn start(test: &str) -> Option<Nats> {
    let Some(program) = program("nats-server") else {
        skipped(test, "nats-server is not installed");
        return None;
    };
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let config = format!(
        r#"
server_name: test
host: "127.0.0.1"
port: -1
jetstream {{ store_dir: "{}/store" }}
mqtt {{ host: "127.0.0.1", port: {port}, ack_wait: "2s" }}
authorization {{ users: [ {{
  user: bridge, password: secret
  permissions: {{ publish: {{ deny: ["secret.>"] }}, subscribe: {{ deny: ["secret.>"] }} }}
}} ] }}
"#,
        dir.path().display()
    );
    std::fs::write(dir.path().join("nats.conf"), config).unwrap();
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let child = Command::new(program)
        .arg("-c")
        .arg(dir.path().join("nats.conf"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let broker = Nats { _server: Server(child), port, _dir: dir };
    for _ in 0..40 {
        if Client::connect(&broker.access(Version::V311), &Connect::new("ready")).await.is_ok() {
            return Some(broker);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!(
        "NATS did not start within ten seconds:\n{}",
        std::fs::read_to_string(broker._dir.path().join("log")).unwrap()
    );
}

#[tokio::test]
#[ignore = "needs nats-server, half a minute"]
async fn nats_answers_so() {
    let Some(broker) = start("NATS' answers").await else { return };
    let new = Client::connect(&broker.access(Version::V5), &Connect::new("five")).await.map(|(_, welcome)| welcome);
    expect("NATS, 5", &format!("{new:?}"), r#"Err("CONNACK 0x01")"#);
    hears_itself(broker.port).await;
    let found = answers(&broker.access(Version::V311), Some("secret/a")).await;
    expect("NATS", &found, include_str!("nats.txt"));
}
