//! What is replaced, what is kept, and that it still plays.

use super::*;

const CONFIG: &str = r#"
[graph]
tenant_id = "aaaaaaaa-0000-4000-8000-000000000001"
client_id = "bbbbbbbb-0000-4000-8000-000000000002"
client_secret_file = "unused"
[mqtt]
url = "mqtt://localhost"
[users]
alice = "11111111-1111-4111-8111-111111111111"
[devices]
"1001" = "alice"
[signals]
call = "Busy/InACall"
[[rule]]
topic = "pbx/devstate/PJSIP/{ext}"
subject = "{ext}"
signal = "call"
on = ["INUSE"]
off = ["Gone Fishing"]
[[rule]]
topic = "phone/alice/line"
subject = "=alice"
signal = "call"
on = ["INUSE"]
"#;

fn redact() -> Redact {
    let config = Config::parse_trusting(CONFIG, "x.toml", std::path::Path::new("."));
    Redact::new(
        CONFIG,
        &config.unwrap_or_else(|problems| panic!("{problems}")),
        Timestamp::from_millis(1_795_512_600_000),
    )
}

fn payload(redact: &mut Redact, text: &str) -> String {
    String::from_utf8(redact.payload(text.as_bytes())).unwrap()
}

#[test]
fn who_and_which_number_become_stand_ins_and_the_rest_stays() {
    let mut redact = redact();
    assert_eq!(redact.topic("pbx/devstate/PJSIP/1001"), "pbx/devstate/PJSIP/9001");
    assert_eq!(redact.topic("phone/Alice/line"), "phone/name1/line", "a subject in a rule's topic is somebody");
    for (before, after) in [
        ("INUSE", "INUSE"),
        ("gone fishing", "gone fishing"),
        ("Bob Miller", "name2 name3"),
        ("ALICE", "name1"),
        ("+49 171 2345678", "+49 902 9000003"),
        ("alice.smith@corp.example", "name4@example.invalid"),
        ("2026-11-24T09:30:00.5Z", "2026-11-24T09:30:00.5Z"),
        ("1795512600", "1795512600"),
        ("1795512600123", "1795512600123"),
        ("1712345678", "9000000004"), // no time of these months: a phone number, it may be
        ("42", "42"),
        (
            "event=connected&active_user=1001&remote=sip%3A1001%40pbx",
            "event=connected&active_user=9001&remote=sip%3A9001%40pbx",
        ),
        ("<Name>Bob</Name>", "<Name>name2</Name>"),
        ("00:04:13:11:22:33", "name5"),
        ("at 192.168.1.20.", "name6 name7."),
        ("", ""),
    ] {
        assert_eq!(payload(&mut redact, before), after, "{before}");
    }
}

#[test]
fn json_keeps_keys_order_and_form() {
    let mut redact = redact();
    let json = r#"{ "number":"1001", "name": "Bob \"B\" Miller", "id":1001, "t":1795512600, "v":231.4, "lat":52.52003, "on":true, "bob@x.example": [null, -5] }"#;
    let after = payload(&mut redact, json);
    let expected = r#"{ "number":"9001", "name": "name2 \"B\" name3", "id":9001, "t":1795512600, "v":231.4, "lat":52.5, "on":true, "name4@example.invalid": [null, -5] }"#;
    assert_eq!(after, expected);
    assert!(serde_json::from_str::<serde_json::Value>(&after).is_ok());
}

#[test]
fn nothing_of_a_name_is_left_whatever_is_around_it() {
    let mut redact = redact();
    for around in [
        "{}",
        "\"{}\"",
        "[\"{}\"]",
        "a {} b",
        "x=\"{}\"",
        "sip:{}",
        "({})",
        "{}@pbx.example",
        "%20{}",
        "PC-{}",
        "<a>{}</a>",
        "{}",
    ] {
        for name in ["Zwiebelfisch", "ÄRGER", "4917112345", "zwiebel.fisch"] {
            let text = around.replace("{}", name);
            let after = payload(&mut redact, &text).to_lowercase();
            for part in name.to_lowercase().split('.') {
                assert!(!after.contains(part), "{text} became {after}");
            }
        }
    }
}

#[test]
fn what_is_not_utf8_stays_so_and_says_nothing() {
    assert_eq!(redact().payload(b"\xffAlice"), [0xff; 6]);
}

#[test]
fn another_recording_of_one_configuration_has_the_same_people() {
    let (mut one, mut other) = (redact(), redact());
    assert_eq!(one.topic("x1/alice"), "name2/name1");
    assert_eq!(other.topic("y1/Alice"), "name2/name1");
}
