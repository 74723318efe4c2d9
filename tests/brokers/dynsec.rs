//! mosquitto's dynamic-security plugin, which Debian's package holds: the one way in which this mosquitto says no to a
//! SUBSCRIBE.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use presence_bridge::secret::SecretSource;

use super::contract::answers_of_both;
use super::expect;
use super::wire::{Access, Client, Connect, Version};
use crate::mqtt::{config, start as link, up};
use crate::support::mosquitto::{Mosquitto, program};
use crate::support::{skipped, until};

/// Where Debian, by architecture, and others put it.
fn plugin() -> Option<PathBuf> {
    let name = "mosquitto_dynamic_security.so";
    let libs = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join(name));
    let known = ["/usr/lib/mosquitto_dynamic_security.so", "/usr/local/lib/mosquitto_dynamic_security.so"];
    libs.chain(known.map(PathBuf::from)).find(|path| path.exists())
}

/// As the admin; the plugin keeps what is said in its file.
fn control(broker: &Mosquitto, arguments: &[&str]) {
    let port = broker.port.to_string();
    let mut command = Command::new(program("mosquitto_ctrl").unwrap());
    command.args(["-h", "127.0.0.1", "-p", &port, "-u", "admin", "-P", "secret", "dynsec"]).args(arguments);
    let done = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && !told.contains("Error"), "{arguments:?}: {told}");
}

/// With a user `bridge` who may do all but touch `secret/…`.
async fn start(test: &str) -> Option<Mosquitto> {
    let (Some(plugin), Some(tool)) = (plugin(), program("mosquitto_ctrl")) else {
        skipped(test, "mosquitto's dynamic-security plugin is not installed");
        return None;
    };
    let with = |port: u16, dir: &Path| {
        let file = dir.join("dynamic-security.json");
        let made = Command::new(&tool).args(["dynsec", "init"]).arg(&file).args(["admin", "secret"]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        super::writable(&file);
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous false\nplugin {}\nplugin_opt_config_file {}\n",
            plugin.display(),
            file.display()
        )
    };
    let broker = Mosquitto::with(test, with).await?;
    control(&broker, &["createClient", "bridge", "-p", "secret"]);
    control(&broker, &["createRole", "bridge"]);
    for kind in ["subscribePattern", "publishClientSend", "publishClientReceive", "unsubscribePattern"] {
        control(&broker, &["addRoleACL", "bridge", kind, "#", "allow", "1"]);
    }
    for kind in ["subscribePattern", "publishClientSend", "publishClientReceive"] {
        control(&broker, &["addRoleACL", "bridge", kind, "secret/#", "deny", "5"]);
    }
    control(&broker, &["addClientRole", "bridge", "bridge", "5"]);
    Some(broker)
}

#[tokio::test]
async fn dynamic_security_answers_so() {
    let Some(broker) = start("dynamic security's answers").await else { return };
    let access = |version| Access { port: broker.port, version, login: Some(("bridge", "secret")) };
    let found = answers_of_both(access, Some("secret/a")).await;
    expect("dynamic security", &found, include_str!("dynsec.txt"));
}

#[tokio::test]
async fn a_subscription_that_dynamic_security_refuses_is_an_alarm_until_it_is_granted() {
    let Some(broker) = start("dynamic security's refusal").await else { return };
    let mut config = config(broker.port, "bridge");
    config.username = Some("bridge".to_owned());
    config.password = Some(SecretSource::Value("secret".to_owned().into()));
    config.filters = vec!["pbx/#".into(), "secret/desks/#".into()];
    let (handle, mut events, telemetry) = link(config);
    up(&mut events).await;
    let alarms = || telemetry.alarms();
    until("an alarm", || alarms().iter().any(|it| it.name == "mqtt_subscriptions_refused")).await;
    let remedy = alarms().iter().map(|it| it.remedy.to_string()).collect::<String>();
    assert!(remedy.contains("secret/desks/#") && !remedy.contains("pbx/#"), "{remedy}");
    control(&broker, &["removeRoleACL", "bridge", "subscribePattern", "secret/#"]);
    // The plugin ends the connections of whom it changes: the bridge comes back and asks again.
    until("it is over", || alarms().is_empty()).await;
    handle.stop(None).await;
}

#[tokio::test]
async fn the_documented_role_suffices() {
    let Some(broker) = start("dynamic security's role").await else { return };
    control(&broker, &["createClient", "office", "-p", "secret"]);
    control(&broker, &["createRole", "office"]);
    for filter in ["pbx/#", "devices/#", "presence-bridge/canary/#", "presence-bridge/in/#"] {
        control(&broker, &["addRoleACL", "office", "subscribePattern", filter, "allow"]);
        control(&broker, &["addRoleACL", "office", "publishClientReceive", filter, "allow"]);
    }
    for topic in ["canary/#", "status/#", "people/#", "in/+/error"] {
        let filter = format!("presence-bridge/{topic}");
        control(&broker, &["addRoleACL", "office", "publishClientSend", &filter, "allow"]);
    }
    control(&broker, &["addClientRole", "office", "office"]);
    let access = Access { port: broker.port, version: Version::V5, login: Some(("office", "secret")) };
    let mut office = Client::welcomed(&access, &Connect::new("office")).await;
    let filters = ["pbx/+/PJSIP/+", "devices/#", "presence-bridge/canary/office", "presence-bridge/in/#"];
    assert_eq!(office.subscribe(&filters).await, Ok(vec![1; 4]));
    for topic in ["canary/office", "status/office", "people/alice", "in/alice/error"] {
        let code = office.publish(&format!("presence-bridge/{topic}"), "x", true).await;
        assert!(matches!(code, Ok(0 | 0x10)), "{topic}: {code:?}");
    }
    assert_eq!(office.messages().await.len(), 2, "canary and error");
    assert_eq!(office.publish("pbx/devstate/PJSIP/1001", "INUSE", false).await, Ok(0x87));
    assert_eq!(office.subscribe(&["other/#", "#"]).await, Ok(vec![0x87, 0x87]));
}
