//! What tests of an office do to its broker.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};

use super::super::mosquitto::{Mosquitto, program};

const PLUGIN: &str = "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so";
const ADMIN: [&str; 4] = ["-u", "admin", "-P", "admin"];

/// `mosquitto_pub` at QoS 1; `more` are arguments of it: who logs in, what expires, which CA.
pub fn publish(port: u16, topic: &str, payload: &str, more: &[&str]) {
    let mut command = Command::new(program("mosquitto_pub").unwrap());
    command.args(["-V", "5", "-q", "1", "-p", &port.to_string(), "-t", topic, "-m", payload]).args(more);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "mosquitto_pub {topic}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Very many retained messages at QoS 1, in order; ends when the broker has them all.
pub async fn publish_all(port: u16, messages: Vec<(String, String)>) {
    let mut options = MqttOptions::new("phones", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 100);
    let total = messages.len();
    let saying = tokio::spawn(async move {
        for (topic, payload) in messages {
            client.publish(topic, QoS::AtLeastOnce, true, payload).await.unwrap();
        }
        client
    });
    let mut taken = 0;
    while taken < total {
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.unwrap() {
            taken += 1;
        }
    }
    let client = saying.await.unwrap();
    client.try_disconnect().unwrap();
    while events.poll().await.is_ok_and(|event| event != Event::Outgoing(rumqttc::Outgoing::Disconnect)) {}
    drop(events.poll().await); // flushes; it would connect again after that
}

/// mosquitto drops its rights and reads as a user of its own.
pub fn readable(dir: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// mosquitto's dynamic security, asked by its own tool.
pub fn dynsec(port: u16, command: &[&str]) {
    let tool = Command::new(program("mosquitto_ctrl").unwrap())
        .args(ADMIN)
        .args(["-p", &port.to_string(), "dynsec"])
        .args(command)
        .output()
        .unwrap();
    assert!(tool.status.success() && !String::from_utf8_lossy(&tool.stderr).contains("rror"), "{command:?}: {tool:?}");
}

/// One that knows bridge and phones, password "secret", who may do everything, and a stranger who may do
/// nothing.
pub async fn dynamic_security(test: &str) -> Option<Mosquitto> {
    if program("mosquitto_ctrl").is_none() || !Path::new(PLUGIN).exists() {
        super::super::skipped(test, "mosquitto's dynamic security plugin is not installed");
        return None;
    }
    let broker = Mosquitto::with(test, |port, dir| {
        let file = dir.join("dynsec.json");
        let mut tool = Command::new(program("mosquitto_ctrl").unwrap());
        let made = tool.args(["dynsec", "init"]).arg(&file).args(["admin", "admin"]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let file = file.display();
        format!("user root\nlistener {port} 127.0.0.1\nplugin {PLUGIN}\nplugin_opt_config_file {file}\nallow_anonymous false\n")
    })
    .await?;
    let port = broker.port;
    dynsec(port, &["createClient", "stranger", "-p", "secret"]);
    for user in ["bridge", "phones"] {
        dynsec(port, &["createRole", user]);
        dynsec(port, &["createClient", user, "-p", "secret"]);
        dynsec(port, &["addClientRole", user, user]);
        for right in ["publishClientSend", "publishClientReceive", "subscribePattern"] {
            dynsec(port, &["addRoleACL", user, right, "#", "allow", "0"]);
        }
    }
    Some(broker)
}
