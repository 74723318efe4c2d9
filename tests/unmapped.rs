//! Learn mode through the real program: a handset is lifted at mosquitto, and `unmapped` says which line is missing.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use presence_bridge::admin::{Address, ask};
use presence_bridge::sandbox::Sandbox;
use serde_json::Value;

use crate::binary::{Bridge, configuration};
use crate::support::mosquitto::{Mosquitto, program};
use crate::support::office::publish;
use crate::support::{BOB, lines_of, sandbox, skipped, until};

const MORE: &str = r#"
[[rule]]
name = "access points"
topic = "wifi/{id}/#"
subject = { from = "{id}", as = "mac" }
signal = "call"
on = "here"
off = "gone"
[[rule]]
topic = "list"
format = "json"
any = "/calls"
subject = "/ext"
signal = "call"
value = "/state"
on = "up"
"#;

struct Site {
    broker: Mosquitto,
    sandbox: Sandbox,
    bridge: Bridge,
    /// Beside the program's own directory, which goes with it.
    dir: std::path::PathBuf,
}

impl Site {
    async fn open(test: &str) -> Option<Site> {
        if program("mosquitto_pub").is_none() {
            skipped(test, "mosquitto-clients is not installed");
            return None;
        }
        let broker = Mosquitto::start(test, "").await?;
        let sandbox = sandbox(false).await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "sandbox-secret").unwrap();
        let path = dir.path().to_owned();
        let text = configuration(broker.port, &sandbox.graph_url(), "level = \"info\"") + MORE;
        let text = text.replace("socket = \"off\"", "socket = \"admin.sock\"");
        let bridge = Bridge::with(dir, &text, &[], &[]).await;
        Some(Site { broker, sandbox, bridge, dir: path })
    }

    fn say(&self, topic: &str, payload: &str) {
        publish(self.broker.port, topic, payload, &[]);
    }

    async fn asked(&self, path: &str) -> String {
        ask(&Address::Unix(self.dir.join("admin.sock")), path).await.unwrap().1
    }

    async fn status(&self) -> Value {
        serde_json::from_str(&self.asked("/status").await).unwrap()
    }

    /// Waits until so many are unmapped.
    async fn unmapped(&self, count: usize) {
        for _ in 0..500 {
            if self.status().await["unmapped"] == count {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("not {count} but {}", self.asked("/unmapped").await);
    }
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_presence-bridge"));
    command.arg("unmapped").arg("-c").arg(dir.join("bridge.toml")).args(arguments).stdin(Stdio::null());
    command
}

fn run(dir: &Path, arguments: &[&str]) -> String {
    let output = command(dir, arguments).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

/// `unmapped --watch` as a child, and what it prints.
struct Watch {
    child: Child,
    text: Arc<Mutex<String>>,
}

impl Watch {
    async fn start(dir: &Path) -> Watch {
        let mut child = command(dir, &["--watch"]).stdout(Stdio::piped()).spawn().unwrap();
        let text = lines_of(child.stdout.take().unwrap());
        let watch = Watch { child, text };
        until("it watches", || watch.text().contains("Lift a handset")).await;
        watch
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lifted_handset_shows_the_line_to_write_and_the_line_maps_it() {
    let Some(site) = Site::open("a_lifted_handset_shows_the_line_to_write_and_the_line_maps_it").await else { return };
    assert!(run(&site.dir, &[]).contains("nobody: whoever messages named"), "nothing was said yet");
    let watch = Watch::start(&site.dir).await;
    // A mapped phone, a topic of no rule, a word of no list, a stranger at the door: none of them lacks a line.
    for (topic, payload) in [
        ("pbx/devstate/PJSIP/1001", "INUSE"),
        ("pbx/other", "INUSE"),
        ("pbx/devstate/PJSIP/1004", "SOMETHING"),
        ("presence-bridge/in/mallory/call", "on"),
    ] {
        site.say(topic, payload);
    }
    site.say("pbx/devstate/PJSIP/1003", "INUSE");
    until("the handset is shown", || watch.text().contains("\"1003\" = \"NAME\"")).await;
    site.say("pbx/devstate/PJSIP/1003", "NOT_INUSE");
    until("and put down", || watch.text().contains("payload  NOT_INUSE")).await;
    site.unmapped(1).await;
    let text = run(&site.dir, &[]);
    for part in [
        "2 times",
        "topic    pbx/devstate/PJSIP/1003",
        "payload  NOT_INUSE",
        "rule     pbx/devstate/PJSIP/{ext}",
        "subject  1003",
        "1 unmapped",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    for other in ["1001", "1004", "mallory", "pbx/other"] {
        assert!(!text.contains(other) && !watch.text().contains(other), "{other} in\n{text}");
    }
    for page in ["/metrics", "/status"] {
        assert!(!site.asked(page).await.contains("1003"), "{page} names nobody");
    }
    // As it is told: the line goes into [devices], with a name.
    let path = site.dir.join("bridge.toml");
    let old = std::fs::read_to_string(&path).unwrap();
    let shown = text.lines().find_map(|line| line.strip_prefix("write    ")?.split("    ").next()).unwrap().to_owned();
    let new = old.replace("[devices]\n", &format!("[devices]\n{}\n", shown.replace("NAME", "bob")));
    std::fs::write(&path, new).unwrap();
    site.unmapped(0).await;
    site.say("pbx/devstate/PJSIP/1003", "INUSE");
    until("colleagues see bob in a call", || site.sandbox.seen(BOB) == "Busy/InACall").await;
    site.unmapped(0).await;
    drop(watch);
    assert_eq!(site.bridge.terminate().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_looked_for_is_told_beside_what_was_found() {
    let Some(site) = Site::open("what_is_looked_for_is_told_beside_what_was_found").await else { return };
    let long = format!(
        "{{\"calls\": [{{\"ext\": \"2001\", \"state\": \"up\"}}, {{\"ext\": 1001, \"state\": \"up\"}}, {{\"ext\": 2002, \"state\": \"up\"}}], \"pad\": \"{}\"}}",
        "x".repeat(200)
    );
    site.say("wifi/AABB-CC11-2233/ap1", "here");
    site.say("wifi/nobody/ap1", "here");
    site.say("list", &long);
    publish(site.broker.port, "pbx/devstate/PJSIP/\u{202e}9", "INUSE", &["-r"]);
    site.unmapped(5).await;
    let answer: Value = serde_json::from_str(&run(&site.dir, &["--json"])).unwrap();
    let all = answer["unmapped"].as_array().unwrap();
    let of =
        |found: &str| all.iter().find(|entry| entry["found"] == found).unwrap_or_else(|| panic!("{found}: {answer:#}"));
    let mac = of("AABB-CC11-2233");
    assert_eq!(mac["subject"], "aa:bb:cc:11:22:33");
    assert_eq!(mac["line"], "\"aa:bb:cc:11:22:33\" = \"NAME\"");
    assert_eq!((&mac["rule"], &mac["topic"]), (&"access points".into(), &"wifi/AABB-CC11-2233/ap1".into()));
    let none = of("nobody");
    assert!(none["subject"].is_null() && none["line"].is_null(), "no MAC address, no line: {none}");
    for ext in ["2001", "2002"] {
        let entry = of(ext);
        assert_eq!(entry["payload_cut"], true);
        assert_eq!(entry["payload"].as_str().unwrap(), &long[..128]);
    }
    let text = run(&site.dir, &[]);
    assert!(text.contains("AABB-CC11-2233, looked for as aa:bb:cc:11:22:33"), "{text}");
    assert!(text.contains("nobody, of which the rule's match or as takes nothing"), "{text}");
    assert!(!text.contains('\u{202e}') && text.contains("\\u{202e}9"), "nothing turns a terminal round: {text}");
    // Kept by the broker, and live all the same: whoever is subscribed already hears it without the flag.
    let last = all.first().unwrap();
    assert_eq!((&last["retained"], &last["count"]), (&false.into(), &1.into()));
    assert_eq!(site.bridge.terminate().await.0, Some(0));
}

#[tokio::test]
async fn nobody_to_ask_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bridge.toml"), "[admin]\nlisten = \"off\"\nsocket = \"admin.sock\"\n").unwrap();
    let output = command(dir.path(), &[]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("no bridge answers") && text.contains("sudo"), "{text}");
}
