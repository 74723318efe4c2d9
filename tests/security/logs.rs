//! A line of the log is one line, of a bounded length, whatever strangers say.

use std::process::{Command, Stdio};

use presence_bridge::cli::logs::guard::{LONGEST, one_line};
use presence_bridge::config::LogFormat;
use proptest::prelude::*;

use super::PROGRAM;
use crate::support::mosquitto::Mosquitto;
use crate::support::{sandbox, until};

/// What begins another line, takes one back, or speaks to a terminal.
const EVIL: &str = "a\nERROR forged \x1b[2J\r\x1b]0;title\x07\u{9b}31m\u{202e}\u{2028}b";

#[test]
fn an_event_is_one_line_and_colours_pass() {
    let text = |event: &str| one_line(event.as_bytes(), LogFormat::Text).into_owned();
    assert_eq!(text("INFO plain ü\n"), "INFO plain ü\n");
    assert_eq!(text("\x1b[32m INFO\x1b[0m x\n"), "\x1b[32m INFO\x1b[0m x\n");
    assert_eq!(text("a\nb\r\u{2028}c\n"), "a\\nb\\r\\u{2028}c\n");
    assert_eq!(text("a\tb"), "a\tb");
    assert!(one_line(b"\xff\xfe\n", LogFormat::Text).ends_with('\n'));
}

#[test]
fn a_line_that_is_too_long_is_cut_and_json_stays_json() {
    let long = format!("{}\n", "ü\n".repeat(LONGEST));
    let text = one_line(long.as_bytes(), LogFormat::Text);
    assert!(text.len() < LONGEST + 64 && text.matches('\n').count() == 1, "{}", text.len());
    assert!(text.ends_with(&format!("… ({} bytes)\n", long.len() - 1)));
    let json = one_line(long.as_bytes(), LogFormat::Json);
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((read["bytes"].as_u64(), json.matches('\n').count()), (Some(long.len() as u64 - 1), 1));
    let fits = format!("{}\n", "x".repeat(LONGEST));
    assert_eq!(one_line(fits.as_bytes(), LogFormat::Text), fits);
}

proptest! {
    #[test]
    fn whatever_an_event_holds_it_is_one_bounded_line(event in proptest::collection::vec(any::<u8>(), 0..400), times in 1_usize..100) {
        for format in [LogFormat::Text, LogFormat::Json] {
            let event = event.repeat(times);
            let line = one_line(&event, format);
            let inner = line.strip_suffix('\n').unwrap_or(&line);
            let breaks = inner.contains(['\n', '\r', '\u{2028}', '\u{85}']);
            prop_assert!(!breaks && line.len() < LONGEST + 64, "{} bytes, {breaks}", line.len());
        }
    }
}

/// What a bridge logs at TRACE while somebody says such things on every topic that it hears.
async fn lines(format: &str) -> Option<Vec<String>> {
    let broker = Mosquitto::start("security log lines", "").await?;
    let sandbox = sandbox(false).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), crate::binary::CANARY).unwrap();
    let text = crate::binary::configuration(
        broker.port,
        &sandbox.graph_url(),
        &format!("level = \"trace\"\nformat = \"{format}\""),
    );
    let path = dir.path().join("bridge.toml");
    std::fs::write(&path, text).unwrap();
    let mut child = Command::new(PROGRAM);
    child.args(["run", "-c"]).arg(&path).env("STATE_DIRECTORY", dir.path());
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = crate::support::lines_of(child.stderr.take().unwrap());
    let said = || log.lock().unwrap().clone();
    until("it subscribes", || said().contains("MQTT subscribed.")).await;
    // Control characters are no topic to mosquitto, others are; embedded ones come from brokers that are not.
    let long = "x".repeat(20_000);
    for topic in
        ["pbx/devstate/PJSIP/\u{202e}1001", &format!("pbx/devstate/PJSIP/{long}"), "presence-bridge/in/\u{202e}/call"]
    {
        broker.publish(topic, EVIL, false);
    }
    for topic in ["pbx/devstate/PJSIP/1001", "presence-bridge/in/alice/call", "presence-bridge/in/alice/forged"] {
        broker.publish(topic, EVIL, false);
    }
    until("they are refused", || said().matches("Message").count() >= 3).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    until("it goes on", || said().contains("Presence set.")).await;
    child.kill().unwrap();
    child.wait().unwrap();
    Some(said().lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn strangers_write_neither_lines_nor_escapes_into_the_log() {
    let Some(text) = lines("text").await else { return };
    for line in &text {
        assert!(line.starts_with("20") && line.len() < 1_000, "a line begins with its time: {line:?}");
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
    }
    let Some(json) = lines("json").await else { return };
    for line in &json {
        let read: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(read["timestamp"].is_string() && line.len() < 1_200, "{line}");
    }
}
