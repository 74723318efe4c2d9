//! Messages and sequences of real devices through the program, with a configuration that somebody would write for them
//! (`tests/fixtures/rules/site.toml`). What comes of each stands in `tests/fixtures/replay/outcome.md`.

use std::fmt::Write;

use serde_json::{Value, json};

use super::binary::{run, text};
use super::file;
use crate::support;

const AT: &str = "2026-11-24T09:30:00Z";

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn site() -> String {
    file("../fixtures/rules/site.toml").display().to_string()
}

/// What the program tells of a recording, a JSON object each.
fn replay(recording: &[Value]) -> Vec<Value> {
    let input: Vec<String> = recording.iter().map(Value::to_string).collect();
    let arguments = ["replay", "-c", &site(), "--at", AT, "--format", "jsonl", "-"];
    let output = run(&arguments, input.join("\n").as_bytes());
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let events = lines(&text(&output.stdout));
    let times: Vec<f64> = events.iter().map(|event| event["t"].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    events
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["kind"] == kind)
}

/// The keys of each kind of line, and nothing else.
fn keys_are_exact(event: &Value) {
    let keys: Vec<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted = match event["kind"].as_str().unwrap() {
        "effect" => {
            vec![
                "t", "kind", "topic", "rule", "subject", "user", "signal", "device", "effect", "value", "until",
                "reason",
            ]
        }
        "wanted" => vec!["t", "kind", "user", "presence", "because"],
        "call" => vec!["t", "kind", "user", "call", "presence", "expirationDuration"],
        "seen" => vec!["t", "kind", "user", "presence"],
        other => panic!("{other}"),
    };
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
}

/// The effect of a message: of several rules the one that it means something to.
fn effect(events: &[Value]) -> Value {
    let refused = |event: &&Value| ["ignored", "rejected"].contains(&event["effect"].as_str().unwrap());
    let told: Vec<&Value> = of_kind(events, "effect").collect();
    let taken: Vec<&&Value> = told.iter().filter(|event| !refused(event)).collect();
    assert!(taken.len() <= 1, "more than one rule takes it: {taken:#?}");
    taken.first().map_or_else(|| told[0].clone(), |event| (**event).clone())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "·".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// How many are as they should be; all of them in a table.
fn messages(table: &mut String, wrong: &mut Vec<String>) -> (usize, usize) {
    let messages = lines(include_str!("../fixtures/rules/messages.jsonl"));
    let expected = lines(include_str!("../fixtures/replay/messages.jsonl"));
    *table += "| message | effect | signal | subject | user | until | value | reason | wanted |\n|---|---|---|---|---|---|---|---|---|\n";
    for (message, expected) in messages.iter().zip(&expected) {
        assert_eq!(message["name"], expected["name"]);
        let line =
            json!({"t": 0, "topic": message["topic"], "payload": message["payload"], "retain": message["retain"]});
        let events = replay(&[line]);
        events.iter().for_each(keys_are_exact);
        let mut found = effect(&events);
        let ignored = found["effect"] == "ignored";
        found["name"] = message["name"].clone();
        found["wanted"] = of_kind(&events, "wanted").next().map_or(Value::Null, |event| event["presence"].clone());
        let keys = ["effect", "signal", "subject", "until", "wanted"];
        let differs = |key: &&str| found[*key] != expected[*key] && !(ignored && ["signal", "subject"].contains(key));
        let value_differs = !expected["value"].is_null() && found["value"] != expected["value"];
        if let Some(key) = keys.iter().find(|key| differs(key)).or(Some(&"value").filter(|_| value_differs)) {
            wrong.push(format!("{}: {key} of {found}, not of {expected}", message["name"]));
        }
        let columns = ["name", "effect", "signal", "subject", "user", "until", "value", "reason", "wanted"];
        let columns: Vec<String> = columns.iter().map(|key| shown(&found[*key])).collect();
        writeln!(table, "| {} |", columns.join(" | ")).unwrap();
    }
    (messages.len() - wrong.len(), messages.len())
}

/// What `kind` says of the person at a time.
fn at(events: &[Value], kind: &str, t: f64) -> Value {
    let before = of_kind(events, kind).filter(|event| event["t"].as_f64().unwrap() <= t);
    before.last().map_or(Value::Null, |event| event["presence"].clone())
}

fn sequences(table: &mut String, all_wrong: &mut Vec<String>) -> (usize, usize) {
    let rows = lines(include_str!("../fixtures/rules/sequences.jsonl"));
    *table += "\n| sequence | at, s | wanted | called |\n|---|---|---|---|\n";
    let mut right = 0;
    for row in &rows {
        let mut wrong = Vec::new();
        let steps = row["messages"].as_array().unwrap().iter();
        let steps = steps.map(|step| json!({"t": step[0], "topic": step[1], "payload": step[2], "retain": step[3]}));
        let events = replay(&steps.collect::<Vec<_>>());
        for show in row["shows"].as_array().unwrap() {
            let t = show[0].as_f64().unwrap();
            let [wanted, called] = ["wanted", "call"].map(|kind| at(&events, kind, t));
            let allowed = match &show[1] {
                Value::Array(pairs) => pairs.clone(),
                pair => vec![pair.clone()],
            };
            if !allowed.contains(&wanted) || !allowed.contains(&called) {
                wrong.push(format!("{} at {t}: {wanted} wanted, {called} called, not {allowed:?}", row["name"]));
            }
            writeln!(table, "| {} | {t} | {} | {} |", shown(&row["name"]), shown(&wanted), shown(&called)).unwrap();
        }
        let calls = of_kind(&events, "call").count() as u64;
        if row["calls"].as_u64().is_some_and(|most| calls > most) {
            wrong.push(format!("{}: {calls} calls", row["name"]));
        }
        right += usize::from(wrong.is_empty());
        all_wrong.extend(wrong);
    }
    (right, rows.len())
}

#[test]
fn messages_of_real_devices_come_through_the_program() {
    let mut table = "What `replay` makes of the messages and sequences of `../rules` with `../rules/site.toml`. Written by the test with BLESS=1.\n\n".to_owned();
    let (mut wrong, mut wrong_sequences) = (Vec::new(), Vec::new());
    let cases = messages(&mut table, &mut wrong);
    let sequences = sequences(&mut table, &mut wrong_sequences);
    support::counted(&format!(
        "public cases through replay: {}/{}, sequences {}/{}",
        cases.0, cases.1, sequences.0, sequences.1
    ));
    assert_eq!([wrong, wrong_sequences].concat(), Vec::<String>::new());
    super::golden("../fixtures/replay/outcome.md", &table);
}
