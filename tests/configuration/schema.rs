//! The JSON Schema that `presence-bridge schema` prints: it takes what the reader takes, and has the reader's keys,
//! choices and bounds, no more and no fewer.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use boon::{Compiler, SchemaIndex, Schemas};
use presence_bridge::config::schema::{Kind, SCHEMA, keys};
use serde_json::{Map, Value, json};

use crate::support::rig::{PEOPLE, RULES};

/// Every table that the reader knows; what stands in them does not matter.
const EVERYTHING: &str = r#"
[graph]
[[source]]
[presence]
[log]
[people]
[state]
[home_assistant]
[check]
[admin]
[users]
[devices]
[signals]
[[rule]]
topic = "x/{id}"
format = "json"
subject = { from = "{id}" }
on = { above = 1 }
when = { "/any" = { above = 1 } }
where = { "/any" = { above = 1 } }
window = {}
attach.until = { topic = "y" }
attach.when = { topic = "y", is = { above = 1 } }
attach.unless = { topic = "y", is = { above = 1 } }
availability = { topic = "y", up = { above = 1 }, down = { above = 1 } }
"#;

struct Judge {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Judge {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("presence-bridge.json", serde_json::from_str(SCHEMA).unwrap()).unwrap();
        let index = compiler.compile("presence-bridge.json", &mut schemas).unwrap();
        Judge { schemas, index }
    }

    fn judge(&self, text: &str) -> Result<(), String> {
        let value: Value = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
        self.schemas.validate(&value, self.index).map_err(|error| format!("{error:#}"))
    }
}

#[test]
fn the_files_that_we_give_away_are_taken() {
    let judge = Judge::new();
    let sample = include_str!("../../config/bridge.toml");
    // With every key that it shows commented, but for the brokers in the place of [mqtt].
    let (mut shown, mut brokers) = (String::new(), false);
    for line in sample.lines() {
        brokers = (brokers || line == "#: [[source]]") && line.starts_with("#:");
        shown += if brokers { "" } else { line.strip_prefix("#: ").unwrap_or(line) };
        shown.push('\n');
    }
    for text in [sample, &shown, include_str!("../../config/demo.toml"), &format!("{PEOPLE}{RULES}")] {
        judge.judge(text).unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
    }
}

#[test]
fn the_examples_of_the_documentation_are_taken() {
    let judge = Judge::new();
    let around: Map<String, Value> = toml::from_str(PEOPLE).unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages: Vec<_> = pages.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    let mut examples = 0;
    for page in pages.into_iter().chain([root.join("README.md")]) {
        let text = std::fs::read_to_string(&page).unwrap();
        // Ids that the page leaves to the reader.
        let text = text.replace("\"…\"", "\"aaaaaaaa-0000-4000-8000-000000000001\"");
        for block in text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            // Fragments stand in a whole configuration.
            let mut value: Map<String, Value> =
                toml::from_str(block).unwrap_or_else(|error| panic!("{}: {error}\nin\n{block}", page.display()));
            for (key, usual) in &around {
                if key != "mqtt" || !value.contains_key("source") {
                    let given = value.entry(key.clone()).or_insert_with(|| usual.clone());
                    if let (Value::Object(given), Value::Object(usual), "graph" | "mqtt") = (given, usual, &**key) {
                        for (key, usual) in usual {
                            given.entry(key.clone()).or_insert_with(|| usual.clone());
                        }
                    }
                }
            }
            let value = Value::Object(value);
            let judged = judge.schemas.validate(&value, judge.index);
            judged.unwrap_or_else(|error| panic!("{}: {error:#}\nin\n{block}", page.display()));
            examples += 1;
        }
    }
    assert!(examples > 30, "{examples}");
}

#[test]
fn mistakes_are_found() {
    let judge = Judge::new();
    let good = format!("{PEOPLE}{RULES}");
    judge.judge(&good).unwrap();
    for (from, to) in [
        ("client_id", "clientid"),
        ("[mqtt]", "[mqtt]\nkeepalive = '15s'"),
        ("[mqtt]\nurl = \"mqtt://localhost\"\n", ""),
        ("mqtt://localhost", "http://localhost"),
        ("Busy/InACall", "Busy/InAMeeting"),
        ("ringing =", "pause ="),
        ("11111111-1111-4111-8111-111111111111", "1111"),
        ("[signals]", "[presence]\nwhen_free = 'availabel'\n[signals]"),
        ("[signals]", "[presence]\nrate = 1000\n[signals]"),
        ("[signals]", "[presence]\ngrace = 15\n[signals]"),
        ("[signals]", "[check]\nallow = ['no-tll']\n[signals]"),
        ("on = [\"INUSE\", \"BUSY\"]\n", "onn = ['INUSE']\n"),
        ("on = [\"INUSE\", \"BUSY\"]\n", "on = { abov = 1 }\n"),
        ("on = [\"INUSE\", \"BUSY\"]\n", "on = []\n"),
        ("ttl = \"8h\"", "ttl = 8"),
        ("ttl = \"8h\"", "format = 'xml'"),
        ("ttl = \"8h\"", "attach.untill = { topic = 'y' }"),
        ("ttl = \"8h\"", "availability = 'y'"),
        ("ttl = \"8h\"", "window = { end = '/e' }"),
        ("ringing =", "forget ="),
        ("[signals]", "[[preset]]\nuse = 'yealink2mqt'\n[signals]"),
        ("subject = \"{ext}\"", "subject = { as = 'mac' }"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from}");
        assert!(judge.judge(&bad).is_err(), "{to} is taken");
    }
}

/// Every object that the schema allows at a table: `rule.window`, `rule.when.*`.
fn objects(schema: &Value, path: &str) -> Vec<Value> {
    let mut found = vec![schema.clone()];
    let parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
    for part in parts {
        let next = found.iter().flat_map(|object| match part {
            "*" => object.get("additionalProperties").filter(|more| more.is_object()),
            part => object.get("properties").and_then(|all| all.get(part)),
        });
        found = next.flat_map(|node| alternatives(schema, node)).collect();
    }
    found
}

/// What a node may be, without references and lists.
fn alternatives(schema: &Value, node: &Value) -> Vec<Value> {
    let mut all = vec![node.clone()];
    if let Some(name) = node.get("$ref").and_then(Value::as_str) {
        all.extend(alternatives(schema, schema.pointer(name.strip_prefix('#').unwrap()).unwrap()));
    }
    for one in node.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        all.extend(alternatives(schema, one));
    }
    if let Some(items) = node.get("items") {
        all.extend(alternatives(schema, items));
    }
    all
}

/// Keys by table, as the reader is asked for them.
fn read() -> BTreeMap<String, BTreeMap<String, Kind>> {
    let mut tables: BTreeMap<String, BTreeMap<String, Kind>> = BTreeMap::new();
    let long = keys(EVERYTHING);
    let short = keys(&EVERYTHING.replace("[[source]]", "[mqtt]"));
    for (table, key, kind) in long.into_iter().chain(short) {
        tables.entry(table.replace("./any", ".*")).or_default().insert(key, kind);
    }
    tables
}

#[test]
fn schema_and_reader_know_the_same_keys() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let tables = read();
    for (table, keys) in &tables {
        let objects = objects(&schema, table);
        let properties = || objects.iter().filter_map(|object| object.get("properties")?.as_object());
        let known: BTreeSet<&str> = properties().flat_map(Map::keys).map(String::as_str).collect();
        let any = objects.iter().any(|object| object.get("additionalProperties").is_some_and(Value::is_object));
        let asked: BTreeSet<&str> = keys.keys().map(String::as_str).filter(|key| *key != "*").collect();
        assert_eq!(asked, known, "[{table}]");
        assert_eq!(keys.contains_key("*"), any, "[{table}] has keys of the user's own");
        for (key, kind) in keys.iter().filter(|(key, _)| *key != "*") {
            let nodes: Vec<Value> =
                properties().filter_map(|all| all.get(key)).flat_map(|node| alternatives(&schema, node)).collect();
            same_kind(&format!("{table}.{key}"), kind, &nodes);
        }
    }
    // And each table of the schema is one that was looked into.
    for table in
        ["graph", "mqtt", "source", "check", "rule", "rule.subject", "rule.on", "rule.when.*", "rule.attach.until"]
    {
        assert!(tables.contains_key(table), "{table}");
    }
    for key in tables[""].keys().filter(|key| *key != "time_zone" && *key != "preset") {
        assert!(tables.contains_key(key), "[{key}] is not in EVERYTHING");
    }
}

fn same_kind(key: &str, kind: &Kind, nodes: &[Value]) {
    let has = |name: &str, value: Value| nodes.iter().any(|node| node.get(name) == Some(&value));
    let number = |name: &str| nodes.iter().find_map(|node| node.get(name)?.as_f64());
    match kind {
        Kind::Any => {}
        Kind::Text => {
            let text = nodes.iter().any(|node| {
                node.get("type") == Some(&json!("string")) || node.get("enum").is_some() || node.get("not").is_some()
            });
            assert!(text, "{key} is text");
        }
        Kind::Flag => assert!(has("type", json!("boolean")), "{key} is true or false"),
        Kind::Number(least, most) => {
            assert!(has("type", json!("number")), "{key} is a number");
            assert_eq!((number("minimum"), number("maximum")), (Some(*least), Some(*most)), "{key}");
        }
        Kind::Span(bounds) => {
            assert!(has("$ref", json!("#/$defs/duration")), "{key} is a duration");
            let said = |node: &Value| {
                node.get("description").and_then(Value::as_str).is_some_and(|text| text.contains(bounds))
            };
            // Its lower bound is another key's value.
            assert!(nodes.iter().any(said) || key == "presence.max_stale_ceiling", "{key} does not say {bounds}");
        }
        Kind::Choice(words) => {
            let choices = nodes.iter().find_map(|node| node.get("enum")?.as_array());
            let choices: Vec<&str> = choices.into_iter().flatten().filter_map(Value::as_str).collect();
            assert_eq!(&choices, words, "{key}");
        }
    }
}

#[test]
fn the_presets_are_those_that_there_are() {
    // Their other keys are each preset's own.
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let names = schema.pointer("/properties/preset/items/properties/use/enum").unwrap().as_array().unwrap();
    let names: BTreeSet<&str> = names.iter().filter_map(Value::as_str).collect();
    let known = presence_bridge::config::presets::all();
    assert_eq!(names, known.iter().map(|preset| preset.name).collect());
}

#[test]
fn the_program_prints_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_presence-bridge")).arg("schema").output().unwrap();
    assert!(output.status.success());
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, serde_json::from_str::<Value>(SCHEMA).unwrap());
    let warnings = printed.pointer("/$defs/warning/enum").unwrap().as_array().unwrap();
    let known: Vec<&str> = presence_bridge::config::warnings::WARNINGS.iter().map(|(name, _)| *name).collect();
    assert_eq!(warnings.iter().filter_map(Value::as_str).collect::<Vec<_>>(), known);
}
