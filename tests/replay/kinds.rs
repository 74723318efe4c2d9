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

/// Who is no longer in a list is told by name, though no element is about them.
#[test]
fn who_is_no_longer_in_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("bridge.toml");
    let site = std::fs::read_to_string(file("../fixtures/rules/site.toml")).unwrap();
    let list = r#"
[[rule]]
name = "Queue"
topic = "queue/busy"
format = "json"
any = ""
subject = ""
signal = "call"
value = ""
on = { exists = true }
absent = "off"
"#;
    std::fs::write(&config, site + list).unwrap();
    let config = config.display().to_string();
    let lines =
        [r#"{"t":0,"topic":"queue/busy","payload":"[\"alice\"]"}"#, r#"{"t":5,"topic":"queue/busy","payload":"[]"}"#];
    let output = run(&["replay", "-c", &config, "--format", "jsonl", "-"], lines.join("\n").as_bytes());
    let said = text(&output.stdout);
    let gone = said.lines().find(|line| line.contains(r#""reason":"absent""#)).unwrap_or_else(|| panic!("{said}"));
    assert!(gone.starts_with(r#"{"t":5,"kind":"effect","topic":"queue/busy","rule":"Queue""#), "{gone}");
    assert!(gone.contains(r#""user":"alice""#) && gone.contains(r#""effect":"off""#), "{gone}");
    assert!(said.contains(r#"{"t":5,"kind":"wanted","user":"alice","presence":null"#), "{said}");
}

/// What somebody wrote with docs/rules.md alone at hand, for devices without a preset.
#[test]
fn a_new_users_rules_do_what_the_owners_of_the_devices_say() {
    let (config, recording) = (file("trial.toml").display().to_string(), file("trial.jsonl").display().to_string());
    let output = run(&["replay", "-c", &config, "--at", "2026-11-24T09:30:00Z", "--format", "jsonl", &recording], b"");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let wanted: String = text(&output.stdout)
        .lines()
        .filter(|line| line.contains(r#""kind":"wanted""#))
        .map(|line| format!("{line}\n"))
        .collect();
    golden("trial.wanted.jsonl", &wanted);
}
