//! Each control that SECURITY.md names has a test, and those that fit nowhere else are here.

mod logs;
mod supply;

use std::path::Path;
use std::process::{Command, Stdio};

use presence_bridge::presence::Presence;
use proptest::prelude::*;

use crate::support::mosquitto::{Mosquitto, program};
use crate::support::rig::Rig;
use crate::support::{skipped, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_presence-bridge");

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether `graph/refusals::short_lived_tokens_do_not_storm` is a test in `tests/graph/refusals.rs`, or a script is there.
fn exists(test: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let Some((file, name)) = test.split_once("::") else { return root.join(test).is_file() };
    let Ok(text) = std::fs::read_to_string(root.join(file).with_extension("rs")) else { return false };
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let start = before.rfind("\n\n").unwrap_or_default();
    before[start..].contains("test]") || before[start..].contains("#[tokio::test")
}

/// The controls of SECURITY.md, each with the tests that are named beside it.
fn controls(text: &str) -> Vec<(String, Vec<String>)> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| C"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_end_matches('|').split(" | ").collect();
        let named = cells.last().unwrap().split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (format!("C{}", cells[0].trim()), named)
    })
    .collect()
}

#[test]
fn every_control_names_tests_that_exist() {
    let controls = controls(&read("SECURITY.md"));
    assert!(controls.len() >= 20, "{controls:?}");
    for (control, tests) in &controls {
        assert!(!tests.is_empty(), "{control} names no test");
        for test in tests {
            assert!(exists(test), "{control} names {test}, which is not there");
        }
    }
    assert!(!exists("graph/refusals::no_such_test") && !exists("graph/refusals::start") && !exists("nowhere/run"));
}

#[test]
fn every_threat_has_a_control_that_is_there() {
    let text = read("SECURITY.md");
    let numbers: Vec<String> = controls(&text).into_iter().map(|(number, _)| number).collect();
    let threats: Vec<&str> = text.lines().filter(|line| line.starts_with("| T")).collect();
    assert!(threats.len() >= 12, "{threats:?}");
    for threat in threats {
        let by = threat.trim_end_matches('|').rsplit(" | ").next().unwrap();
        let named: Vec<&str> = by.split([',', ' ']).filter(|word| !word.is_empty()).collect();
        assert!(named.iter().any(|word| numbers.iter().any(|number| number == word)), "{threat}");
        for word in named.iter().filter(|word| word.starts_with('C')) {
            assert!(numbers.iter().any(|number| number == word), "{word} in {threat}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whoever owns the broker chooses topics, payloads and the retain flag. Nobody else is called, and with nothing else.
    #[test]
    fn no_message_sets_somebody_who_is_not_listed_or_another_pair(
        messages in proptest::collection::vec((
            "pbx/devstate/PJSIP/(1001|1002|[0-9]{1,6}|\\PC{0,8})|presence-bridge/in/(alice|bob|\\PC{0,8})/(call|dnd|pause|\\PC{0,6})|\\PC{0,30}",
            "INUSE|NOT_INUSE|on|off|Away/Away|\\{\"on\":true,\"availability\":\"Away\",\"user\":\"mallory\"\\}|\\PC{0,40}",
            any::<bool>(),
        ), 0..30),
    ) {
        let mut rig = Rig::new();
        let listed: Vec<String> = rig.core.people().map(|id| rig.core.person(id).label.to_string()).collect();
        for (topic, payload, retained) in messages {
            let _taken = if retained { rig.replay(&topic, &payload) } else { rig.publish(&topic, &payload) };
            rig.drive(1);
        }
        for (_, call) in &rig.calls {
            let (who, what) = call.split_once(' ').unwrap_or((call, ""));
            prop_assert!(listed.iter().any(|label| label == who), "{call}");
            let pair = what.split_whitespace().find(|word| word.contains('/'));
            prop_assert!(pair.is_none_or(|pair| Presence::ALL.iter().any(|known| known.as_str() == pair)), "{call}");
        }
    }
}

/// Local addresses of the TCP sockets on which a process listens.
fn listeners(pid: u32) -> Vec<String> {
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let columns: Vec<&str> = line.split_whitespace().collect();
            if columns[3] == "0A" && sockets.iter().any(|socket| socket == columns[9]) {
                found.push(columns[1].to_owned());
            }
        }
    }
    found
}

#[tokio::test]
async fn nothing_listens_beyond_loopback_by_default() {
    let Some(broker) = Mosquitto::start("security listeners", "").await else { return };
    let sandbox = crate::support::sandbox(false).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), crate::binary::CANARY).unwrap();
    // [admin] as it is where nobody says anything, but for the port: 9464 may be taken by another test.
    let text = crate::binary::configuration(broker.port, &sandbox.graph_url(), "level = \"info\"")
        .replace("listen = \"off\"\nsocket = \"off\"", "listen = \"localhost:0\"");
    let path = dir.path().join("bridge.toml");
    std::fs::write(&path, text).unwrap();
    let mut child = Command::new(PROGRAM);
    child.args(["run", "-c"]).arg(&path).env("STATE_DIRECTORY", dir.path()).env("RUNTIME_DIRECTORY", dir.path());
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = crate::support::lines_of(child.stderr.take().unwrap());
    until("it subscribes", || log.lock().unwrap().contains("MQTT subscribed.")).await;
    let found = listeners(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(found.len(), 1, "the probes: {found:?}\n{}", log.lock().unwrap());
    assert!(found[0].starts_with("0100007F:"), "127.0.0.1: {found:?}");
    let sample = read("config/bridge.toml");
    assert!(sample.contains("listen = \"127.0.0.1:9464\" # default"));
}

#[test]
fn plain_text_to_a_broker_elsewhere_is_refused_with_the_line_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "x").unwrap();
    let path = dir.path().join("bridge.toml");
    let check = |url: &str| {
        let text = crate::binary::configuration(1, "http://127.0.0.1:1", "level = \"info\"");
        std::fs::write(&path, text.replace("url = \"mqtt://127.0.0.1:1\"", url)).unwrap();
        let output = Command::new(PROGRAM).args(["check", "-c"]).arg(&path).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for url in ["mqtt://10.0.0.5", "ws://broker.example/mqtt", "mqtt://localhost.example", "mqtt://[fd00::1]"] {
        let (code, said) = check(&format!("url = \"{url}\""));
        assert_eq!(code, Some(78), "{url}: {said}");
        for part in ["bridge.toml:", "mqtt.url", "plain text over a network", "s://", "allow_plaintext = true"] {
            assert!(said.contains(part), "{url}: {part} is missing in:\n{said}");
        }
    }
    for url in [
        "mqtts://10.0.0.5",
        "wss://broker.example/mqtt",
        "mqtt://localhost",
        "mqtt://127.0.0.2",
        "mqtt://[::1]",
        "unix:/run/mosquitto/mqtt.sock",
        "mqtt://10.0.0.5\"\nallow_plaintext = true\n#",
    ] {
        let (code, said) = check(&format!("url = \"{url}\""));
        assert_eq!(code, Some(0), "{url}: {said}");
    }
}

#[tokio::test]
async fn who_is_somebody_elses_phone_is_nobody_by_either_version_of_mqtt() {
    let Some(tool) = program("mosquitto_passwd") else {
        return skipped("security spoofing", "mosquitto_passwd is not installed");
    };
    let broker = Mosquitto::with("security spoofing", |port, dir| {
        use std::os::unix::fs::PermissionsExt;
        let here = dir.display().to_string();
        for (flag, user) in [("-c", "bridge"), ("-b", "phone1"), ("-b", "+"), ("-b", "#")] {
            let flags = if flag == "-c" { &["-c", "-b"][..] } else { &["-b"] };
            let made = Command::new(&tool).args(flags).arg(dir.join("passwd")).args([user, "secret"]).status();
            assert!(made.unwrap().success());
        }
        std::fs::write(dir.join("acl"), read("deploy/mosquitto/acl")).unwrap();
        for path in ["passwd", "acl"] {
            std::fs::set_permissions(dir.join(path), std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o777)).unwrap();
        read("deploy/mosquitto/mosquitto.conf")
            .replace("\nlistener 1883 ", &format!("\nlistener {port} "))
            .replace("/etc/mosquitto", &here)
            .replace("#persistence_location /var/lib/mosquitto/", &format!("persistence_location {here}/"))
    });
    let Some(broker) = broker.await else { return };
    let port = broker.port.to_string();
    let mut bridge = Command::new(program("mosquitto_sub").unwrap())
        .args([
            "-p",
            &port,
            "-u",
            "bridge",
            "-P",
            "secret",
            "-v",
            "-q",
            "1",
            "-t",
            "devices/#",
            "-t",
            "presence-bridge/in/#",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let heard = crate::support::lines_of(bridge.stdout.take().unwrap());
    let publish = |version: &str, user: &str, topic: &str, payload: &str| {
        let mut command = Command::new(program("mosquitto_pub").unwrap());
        command.args(["-V", version, "-p", &port, "-u", user, "-P", "secret", "-q", "1", "-t", topic, "-m", payload]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    let ready =
        || publish("5", "phone1", "devices/phone1/ready", "x") && heard.lock().unwrap().contains("phone1/ready");
    until("the bridge hears", ready).await;
    for version in ["5", "311"] {
        for topic in [
            "devices/phone2/state",
            "devices/+/state",
            "presence-bridge/in/alice/call",
            "devices/phone1/../phone2/state",
        ] {
            publish(version, "phone1", topic, "forged");
        }
        // A login that is a wildcard would match everybody's topics.
        for user in ["+", "#"] {
            publish(version, user, "devices/phone2/state", "forged");
            publish(version, user, &format!("devices/{user}/state"), "forged");
        }
    }
    // Too large for the broker: dropped there, and the sender lives.
    publish("5", "phone1", "devices/phone1/large", &"x".repeat(65_537));
    assert!(publish("311", "phone1", "devices/phone1/last", "mine"));
    until("what is its own arrives", || heard.lock().unwrap().contains("devices/phone1/last mine")).await;
    bridge.kill().unwrap();
    bridge.wait().unwrap();
    let heard = heard.lock().unwrap().clone();
    assert!(!heard.contains("devices/phone1/large"), "the limit of 64 KiB");
    // Dots are nothing to MQTT: what looks like a way out of its own topics is one of them.
    let strange: Vec<&str> = heard.lines().filter(|line| !line.starts_with("devices/phone1/")).collect();
    assert!(strange.is_empty(), "{strange:?}");
}
