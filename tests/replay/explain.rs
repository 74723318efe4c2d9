//! `explain`: what it says of messages that a rule takes, nearly takes, or does not take.

use super::binary::{run, text};
use super::file;

fn explain(arguments: &[&str]) -> String {
    let config = file("office.toml").display().to_string();
    let mut all = vec!["explain", "-c", &config, "--at", "2026-11-24T09:30:00Z"];
    all.extend(arguments);
    let output = run(&all, b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).replace(&config, "office.toml")
}

fn says(arguments: &[&str], words: &[&str]) {
    let said = explain(arguments);
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in\n{said}");
    }
}

#[test]
fn a_message_that_is_taken_is_followed_to_what_is_wanted() {
    super::golden("explain.txt", &explain(&["--topic", "pbx/devstate/PJSIP/1001", "--payload", "INUSE"]));
}

#[test]
fn the_condition_that_failed_is_named() {
    let pbx = "pbx/devstate/PJSIP/1001";
    says(
        &["-t", pbx, "-p", "RINGING"],
        &[
            r#""RINGING", in none of on = ["INUSE", "BUSY"], off = ["NOT_INUSE"], unknown = ["UNAVAILABLE"]"#,
            "other_value",
            "Nobody would be wanted anything",
        ],
    );
    says(&["-t", "pbx/devstate/PJSIP/1009", "-p", "INUSE"], &[r#""1009", leads to nobody"#, "add it to [devices]"]);
    says(&["-t", "cam/bob", "-p", "{}"], &[r#"at "/active": not found"#, "missing"]);
    says(&["-t", "cam/bob", "-p", "{"], &["bad_json"]);
    says(&["-t", "yealink/action/off_hook", "-p", "", "--retain"], &["retained_ignored"]);
    says(&["-t", "presence-bridge/in/bob/fax", "-p", "on"], &["The door", "unknown_signal"]);
}

#[test]
fn the_level_at_which_a_topic_parts_is_named() {
    says(
        &["-t", "pbx/devstate/SIP/1001", "-p", "INUSE"],
        &["No rule takes this topic", r#"level 3 is "SIP", not "PJSIP""#, "and 1 more"],
    );
    says(&["-t", "PBX/devstate/PJSIP/1001", "-p", "INUSE"], &["letter case counts"]);
}

/// With the configuration of many devices.
fn of_site(topic: &str, payload: &str, words: &[&str]) {
    let site = file("../fixtures/rules/site.toml").display().to_string();
    let arguments = ["explain", "-c", &site, "--at", "2026-11-24T09:30:00Z", "-t", topic, "-p", payload];
    let output = run(&arguments, b"");
    let said = text(&output.stdout);
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in\n{said}");
    }
}

#[test]
fn conditions_elements_and_spellings_are_told() {
    of_site(
        "ha/events",
        r#"{"event_type":"call_service"}"#,
        &[r#"when     at "/event_type": "call_service"; "state_changed" does not hold"#, "(guard)"],
    );
    of_site(
        "shellyplus1-a8032abc7158/events/rpc",
        r#"{"method":"NotifyEvent","params":{"events":[{"component":"input:1"},{"component":"switch:0"}]}}"#,
        &[
            r#"when     at "/method": "NotifyEvent"; "notifyevent" holds"#,
            r#"any      at "/params/events": 2 elements, 0 of them count"#,
            r#"where    at "/component": "input:1"; "input:0" does not hold"#,
            "(missing)",
        ],
    );
    of_site(
        "polycom/telnotify",
        "<OffHookEvent><MACAddress>0004f214b89e</MACAddress>",
        &[
            r#"subject  "0004f214b89e", that is "00:04:f2:14:b8:9e", leads to alice"#,
            r#"at "event": "OffHook", in on = "#,
        ],
    );
    of_site(
        "tele/alice_monitor/SENSOR",
        r#"{"Time":"2026-11-24T10:29:30","ENERGY":{"Power":12}}"#,
        &[r#"at "/ENERGY/Power": "12", in none of on = { above = 15 }, off = { below = 10 }"#],
    );
}

#[test]
fn attached_topics_exceptions_and_the_door_are_told() {
    of_site(
        "homeassistant/calendar/alice/all_day",
        "true",
        &["the topic of its attach.unless matches", "from here on an on of the rule does not count"],
    );
    of_site("teams/connected", "false", &["the topic of its availability matches", "the device is away"]);
    of_site("pbx/devstate/MWI/1001", "INUSE", &[r##"but except = "pbx/devstate/MWI/#" does too"##]);
    of_site("presence-bridge/in/alice/pause", "on", &["The door", "pause of alice: on"]);
}

#[test]
fn what_a_delay_holds_back_is_told() {
    says(&["-t", "cam/bob", "-p", r#"{"active":true}"#], &["bob would be wanted Busy/InAConferenceCall after 5s"]);
}

#[test]
fn a_payload_may_come_from_a_file_and_be_anything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("payload");
    std::fs::write(&path, b"\xff\xfe").unwrap();
    says(&["-t", "cam/bob", "--payload-file", path.to_str().unwrap()], &["2 bytes that are not UTF-8", "not_utf8"]);
    std::fs::write(&path, vec![b'['; 1 << 20]).unwrap();
    says(&["-t", "cam/bob", "--payload-file", path.to_str().unwrap()], &["too_large"]);
}

#[test]
fn usage_is_checked() {
    let config = file("office.toml").display().to_string();
    let code = |arguments: &[&str]| {
        let all: Vec<&str> = ["explain", "-c", &config].iter().chain(arguments).copied().collect();
        run(&all, b"").status.code()
    };
    assert_eq!(code(&["-t", "a"]), Some(64));
    assert_eq!(code(&["-p", "a"]), Some(64));
    assert_eq!(code(&["-t", "a/+", "-p", ""]), Some(64));
    assert_eq!(code(&["-t", "a", "-p", "", "--payload-file", "x"]), Some(64));
    assert_eq!(code(&["-t", "a", "--payload-file", "/not/there"]), Some(1));
}
