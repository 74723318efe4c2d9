//! `record` with the real program, against mosquitto and the embedded broker; what it writes is what `replay` plays.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use presence_bridge::clock::Clock;
use presence_bridge::mqtt::{self, Event, Message, Session};
use presence_bridge::presence::Link;
use presence_bridge::sandbox::broker::Broker;
use presence_bridge::telemetry::Telemetry;
use serde_json::{Value, json};

use super::binary::{PROGRAM, run, text};
use super::file;
use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::{lines_of, until};

struct Recording {
    child: Child,
    said: Arc<Mutex<String>>,
}

/// The office's configuration with this broker.
fn configuration(dir: &Path, port: u16) -> String {
    let office = std::fs::read_to_string(file("office.toml")).unwrap();
    let path = dir.join("bridge.toml");
    std::fs::write(&path, office.replace("mqtt://localhost", &format!("mqtt://127.0.0.1:{port}"))).unwrap();
    path.display().to_string()
}

impl Recording {
    fn start(config: &str, arguments: &[&str]) -> Recording {
        let mut child = Command::new(PROGRAM)
            .args(["record", "-c", config])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = lines_of(child.stderr.take().unwrap());
        Recording { child, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn records(&self) {
        until("it records", || self.said().contains("Recording;")).await;
    }

    fn interrupt(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    async fn ends(&mut self) -> Option<i32> {
        let mut code = None;
        until("it ends", || {
            code = self.child.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        })
        .await;
        until("it says how it was", || self.said().contains("ecorded")).await;
        code.unwrap()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn what_mosquitto_delivers_is_recorded_and_plays() {
    let name = "what_mosquitto_delivers_is_recorded_and_plays";
    let Some(broker) = Mosquitto::start(name, "").await else { return };
    broker.publish("ha/calendar/alice/state", "on", true);
    let config = configuration(broker.dir.path(), broker.port);
    let out = broker.dir.path().join("day.jsonl");
    let out_text = out.display().to_string();
    let mut recording = Recording::start(&config, &["--limit", "3", "--out", &out_text]);
    recording.records().await;
    until("the retained message is there", || lines(&out).len() == 2).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", true);
    broker.publish("elsewhere", "not of any rule", false);
    broker.publish("cam/bob", r#"{"active": true}"#, false);
    assert_eq!(recording.ends().await, Some(0), "{}", recording.said());
    assert!(recording.said().contains("Recorded 3 messages, 1 of them retained"), "{}", recording.said());
    let recorded = lines(&out);
    assert!(recorded[0]["start"].is_string());
    let without_time: Vec<Value> =
        recorded[1..].iter().map(|line| json!([line["topic"], line["payload"], line["retain"]])).collect();
    assert_eq!(
        without_time,
        [
            json!(["ha/calendar/alice/state", "on", true]),
            json!(["pbx/devstate/PJSIP/1001", "INUSE", false]),
            json!(["cam/bob", r#"{"active": true}"#, false]),
        ]
    );
    assert_eq!(recorded[1]["t"], 0);
    let before = std::fs::read(&out).unwrap();
    let again = run(&["record", "-c", &config, "--out", &out_text], b"");
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("not overwritten"), "{}", text(&again.stderr));
    assert_eq!(std::fs::read(&out).unwrap(), before);
    let played = run(&["replay", "-c", &config, "--format", "jsonl", &out_text], b"");
    assert_eq!(played.status.code(), Some(0), "{}", text(&played.stderr));
    let wanted = text(&played.stdout).lines().filter(|line| line.contains(r#""wanted""#)).count();
    assert!(wanted >= 3, "{}", text(&played.stdout));
}

#[tokio::test]
async fn a_redacted_recording_from_chosen_filters_ends_with_ctrl_c() {
    let broker = Broker::start(0).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), broker.port());
    let out = dir.path().join("day.jsonl");
    let mut recording =
        Recording::start(&config, &["-f", "phones/#", "-f", "raw/+", "--redact", "--out", out.to_str().unwrap()]);
    recording.records().await;
    let address = mqtt::Address::Tcp { host: "127.0.0.1".into(), port: broker.port() };
    let desks = mqtt::Config { session: Session::Clean, ..mqtt::Config::new(address, "desks") };
    let clock = Clock::live();
    let (desks, mut events) = mqtt::start(desks, clock.clone(), Telemetry::new(clock)).unwrap();
    while !matches!(events.next().await, Some(Event::Link(Link::Up { .. }))) {}
    for (topic, payload) in [
        ("phones/1001", &br#"{"caller":"Zoe Zimmer","number":"+49171555123","on":true}"#[..]),
        ("other/1001", b"not asked for"),
        ("raw/1001", b"\xff\x00Zimmer"),
    ] {
        desks.permit().await.unwrap().publish(Message::new(topic, payload.to_vec()));
    }
    until("both are written", || lines(&out).len() == 3).await;
    recording.interrupt();
    assert_eq!(recording.ends().await, Some(0), "{}", recording.said());
    assert!(recording.said().contains("Recorded 2 messages, 0 of them retained"), "{}", recording.said());
    let recorded = lines(&out);
    assert_eq!(recorded[0]["redacted"], true);
    let payload: Value = serde_json::from_str(recorded[1]["payload"].as_str().unwrap()).unwrap();
    assert_eq!(payload["on"], true);
    assert!(recorded[2]["payload_b64"].is_string());
    let whole = std::fs::read_to_string(&out).unwrap();
    for secret in ["1001", "Zoe", "Zimmer", "49171555123"] {
        assert!(!whole.contains(secret), "{secret} in {whole}");
    }
    desks.stop(None).await;
}

#[tokio::test]
async fn a_recording_ends_with_its_time_heard_or_not() {
    let broker = Broker::start(0).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), broker.port());
    let mut recording = Recording::start(&config, &["--for", "1s"]);
    assert_eq!(recording.ends().await, Some(0), "{}", recording.said());
    assert!(recording.said().contains("Recorded 0 messages"), "{}", recording.said());
    let config = configuration(dir.path(), free_port());
    let mut deaf = Recording::start(&config, &["--for", "1s"]);
    assert_eq!(deaf.ends().await, Some(1));
    assert!(deaf.said().contains("no connection to the broker"), "{}", deaf.said());
}

#[tokio::test]
async fn what_several_brokers_deliver_plays_at_the_rules_of_each() {
    let name = "what_several_brokers_deliver_plays_at_the_rules_of_each";
    let Some(home) = Mosquitto::start(name, "").await else { return };
    let Some(pbx) = Mosquitto::start(name, "").await else { return };
    let office = std::fs::read_to_string(file("office.toml")).unwrap();
    let (mqtt, rest) = (office.find("[mqtt]").unwrap(), office.find("[admin]").unwrap());
    let source = |name: &str, port: u16| format!("[[source]]\nname = '{name}'\nurl = 'mqtt://127.0.0.1:{port}'\n");
    let sources = source("home", home.port) + &source("pbx", pbx.port);
    let office = format!("{}{sources}{}", &office[..mqtt], &office[rest..]);
    let config = home.dir.path().join("bridge.toml");
    std::fs::write(&config, office.replacen("name = \"pbx\"\n", "name = \"pbx\"\nsource = \"pbx\"\n", 1)).unwrap();
    let config = config.display().to_string();
    let out = home.dir.path().join("day.jsonl");
    let mut recording = Recording::start(&config, &["--limit", "2", "--out", out.to_str().unwrap()]);
    for source in ["home", "pbx"] {
        until("it records both", || recording.said().contains(&format!("Recording at {source}"))).await;
    }
    home.publish("cam/bob", r#"{"active":true}"#, false);
    until("the first is there", || std::fs::read_to_string(&out).unwrap().lines().count() == 2).await;
    pbx.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    assert_eq!(recording.ends().await, Some(0), "{}", recording.said());
    let recorded = lines(&out);
    assert_eq!((&recorded[1]["source"], &recorded[2]["source"]), (&json!("home"), &json!("pbx")));
    let effects = |recording: &str| {
        let played = run(&["replay", "-c", &config, "--format", "jsonl", "-"], recording.as_bytes());
        assert_eq!(played.status.code(), Some(0), "{}", text(&played.stderr));
        let events: Vec<Value> = text(&played.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let effects = events.into_iter().filter(|event| event["kind"] == "effect");
        effects.map(|event| event["effect"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let recording = std::fs::read_to_string(&out).unwrap();
    assert_eq!(effects(&recording), ["on", "on"]);
    assert_eq!(effects(&recording.replace(r#""source":"pbx""#, r#""source":"home""#)), ["on", "ignored"]);
    // Where a recording does not say it, any broker that a rule for the topic listens to.
    assert_eq!(effects(&recording.replace(r#","source":"pbx""#, "")), ["on", "on"]);
    let unknown = run(&["replay", "-c", &config, "-"], recording.replace("\"pbx\"}", "\"attic\"}").as_bytes());
    assert_eq!(unknown.status.code(), Some(65));
    assert!(text(&unknown.stderr).contains("it has: home, pbx"), "{}", text(&unknown.stderr));
}

#[test]
fn usage_of_record_is_checked() {
    for arguments in [&["-f", "a/#/b"][..], &["-f", "a+"], &["--limit", "0"], &["--for", "soon"], &["--for", "0s"]] {
        let all: Vec<&str> = ["record"].iter().chain(arguments).copied().collect();
        assert_eq!(run(&all, b"").status.code(), Some(64), "{arguments:?}");
    }
}
