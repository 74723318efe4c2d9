//! Every kind of effect that a line can tell, one after another: a golden file, so that no word of the format changes
//! unnoticed.

use super::binary::{run, text};
use super::{file, golden};

/// Beside the site's rules, what these do not have.
const MORE: &str = r#"
[[rule]]
name = "Bell"
topic = "bell/{who}"
subject = "{who}"
signal = "ringing"
pulse = "ding"
ttl = "45s"

[[rule]]
name = "Calendar"
topic = "teams/calendar"
format = "json"
subject = "=alice"
signal = "meeting"
any = "/value"
window = { start = "/start", end = "/end" }
missing = "off"
"#;

#[test]
fn every_kind_of_effect() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("bridge.toml");
    let site = std::fs::read_to_string(file("../fixtures/rules/site.toml")).unwrap();
    std::fs::write(&config, site + MORE).unwrap();
    let recording = file("kinds.jsonl").display().to_string();
    let played = |format: &str| {
        let config = config.display().to_string();
        let arguments = ["replay", "-c", &config, "--at", "2026-11-24T09:30:00Z", "--format", format, &recording];
        let output = run(&arguments, b"");
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
        text(&output.stdout)
    };
    let events = played("jsonl");
    for effect in
        ["on", "off", "unknown", "pulse", "until", "forget", "device_down", "device_up", "ignored", "rejected"]
    {
        assert!(events.contains(&format!(r#""effect":"{effect}""#)), "{effect} does not occur");
    }
    golden("kinds.events.jsonl", &events);
    golden("kinds.txt", &played("text"));
}
