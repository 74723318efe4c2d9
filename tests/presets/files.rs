//! The files themselves.

use presence_bridge::config::presets::{self, Preset};
use presence_bridge::presence::SourceId;
use presence_bridge::presence::rule::Missing;
use toml::{Table, Value};

use super::{config, told};

fn table(preset: &Preset) -> Table {
    preset.text.parse().unwrap_or_else(|error| panic!("{}: {error}", preset.name))
}

fn text<'t>(table: &'t Table, key: &str) -> &'t str {
    table.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn every_file_is_in_the_program_and_in_order() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/config/presets");
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<String> = files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    files.sort();
    let known: Vec<&str> = presets::all().iter().map(|preset| preset.name).collect();
    assert!(known.is_sorted(), "by name, as people look them up: {known:?}");
    assert!(known.len() >= 15, "{known:?}");
    assert_eq!(known, files, "src/config/presets/files.rs lists config/presets");
}

#[test]
fn every_file_says_what_it_needs_and_nothing_else() {
    for preset in presets::all() {
        let (name, table) = (preset.name, table(&preset));
        for key in table.keys() {
            let known = ["about", "calendar", "usage", "parameters", "rule", "example"];
            assert!(known.contains(&key.as_str()), "{name}: {key}");
        }
        assert!((10..90).contains(&preset.about.len()), "{name}: {:?}", preset.about);
        assert!(preset.text.contains("# What it really sends:"), "{name} does not say what the device sends");
        assert_eq!(table["parameters"].as_table().unwrap().len(), preset.parameters.len(), "{name}");
        for parameter in &preset.parameters {
            let kinds = [parameter.required(), parameter.optional, parameter.default().is_some()];
            assert!(kinds.iter().filter(|kind| **kind).count() <= 1, "{name}: {}", parameter.name);
            assert!(!parameter.about.is_empty(), "{name}: {}", parameter.name);
            let placeholder = format!("${{{}}}", parameter.name);
            assert!(preset.text.contains(&placeholder), "{name}: no rule names {placeholder}");
            let taken = ["use", "ttl", "delay", "hold", "retained", "source", "time_zone", "echo"];
            assert!(!taken.contains(&parameter.name), "{name}: {} is a key of all presets", parameter.name);
            if let Some(shows) = &parameter.shows {
                assert!(shows == "none" || shows.contains('/'), "{name}: {shows}");
            }
        }
        let signal = preset.parameters.iter().find(|parameter| parameter.name == "signal").unwrap();
        assert!(signal.default().is_some() && signal.shows.is_some(), "{name}: `signal` is what it turns on");
        for (key, value) in placeholders(&table["rule"]) {
            let known = preset.parameters.iter().any(|parameter| parameter.name == value);
            assert!(known, "{name}: {key}: no parameter {value}");
        }
    }
}

/// Every `${name}` in a value, with the key it stands at; keys have none.
fn placeholders(value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Array(items) => items.iter().flat_map(placeholders).collect(),
        Value::Table(table) => {
            let each = table.iter().flat_map(|(key, value)| {
                assert!(!key.contains("${"), "{key}");
                placeholders(value).into_iter().map(move |(_, name)| (key.clone(), name))
            });
            each.collect()
        }
        Value::String(text) => {
            let parts = text.split("${").skip(1);
            parts.map(|part| (String::new(), part.split_once('}').unwrap().0.to_owned())).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn the_messages_of_each_file_come_to_what_it_says() {
    let (mut messages, mut wrong) = (0, Vec::new());
    for preset in presets::all() {
        let table = table(&preset);
        let config = config(text(&table, "usage")).unwrap_or_else(|problems| panic!("{}: {problems}", preset.name));
        let rules = table["rule"].as_array().unwrap().len();
        let used = &config.presets[0];
        assert_eq!((used.name, used.rules.len()), (preset.name, rules), "its usage shows the whole preset");
        let mut means = Vec::new();
        for example in table["example"].as_array().unwrap() {
            let example = example.as_table().unwrap();
            let unknown = example.keys().find(|key| !["topic", "payload", "retain", "means"].contains(&key.as_str()));
            assert_eq!(unknown, None, "{}", preset.name);
            let (topic, payload) = (text(example, "topic"), text(example, "payload"));
            let retain = example.get("retain").and_then(Value::as_bool).unwrap_or_default();
            let found = told(&config.plan, topic, payload, retain);
            messages += 1;
            if found != text(example, "means") {
                wrong.push(format!("{}: {topic} {payload}: {found}, not {}", preset.name, text(example, "means")));
            }
            means.push(found);
        }
        // Each signal is turned on, and off or by itself; and something is left alone.
        for parameter in preset.parameters.iter().filter(|parameter| parameter.shows.is_some()) {
            let signal = format!(": {} ", used_signal(&config, &table, parameter.name));
            assert!(means.iter().any(|told| told.contains(&signal)), "{}: no example of{signal}", preset.name);
        }
        assert!(means.iter().any(|told| told == "nothing"), "{}: no message that means nothing", preset.name);
    }
    println!("presets: {} of {messages} messages as their files say", messages - wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The signal that stands for a parameter where the file shows its use.
fn used_signal(config: &presence_bridge::config::Config, table: &Table, parameter: &str) -> String {
    let usage: Table = text(table, "usage").parse().unwrap();
    let own = usage["preset"][0].get(parameter).and_then(Value::as_str);
    let default = || table["parameters"][parameter]["default"].as_str().unwrap();
    let name = own.unwrap_or_else(default).to_owned();
    assert!(config.plan.signals.iter().any(|signal| *signal.name == *name), "{name}");
    name
}

#[test]
fn no_preset_is_half_a_level() {
    for preset in presets::all() {
        let config = config(text(&table(&preset), "usage")).unwrap();
        for id in config.presets[0].rules.clone() {
            let rule = config.plan.rules.get(presence_bridge::presence::RuleId(u32::try_from(id).unwrap())).unwrap();
            let ends = !rule.off.is_empty() || rule.missing == Missing::Off || rule.is_edge() || rule.window.is_some();
            let begins = !rule.on.is_empty() || rule.is_edge() || rule.window.is_some();
            assert!(begins && ends, "{} ends or begins elsewhere", rule.name);
            assert!(rule.name.starts_with(preset.name), "{} in {}", rule.name, preset.name);
        }
    }
}

#[test]
fn two_topics_of_one_device_hold_one_share() {
    for (usage, one, other) in [
        (
            "use = 'tasmota-switch'\nname = '{x}'\nwho = '{x}'",
            ("stat/alice/POWER", "ON"),
            ("tele/alice/STATE", "{\"POWER\":\"OFF\"}"),
        ),
        (
            "use = 'owntracks'\nregion = 'Office'",
            ("owntracks/alice/phone", "{\"_type\":\"location\"}"),
            ("owntracks/alice/phone/event", "{\"_type\":\"transition\",\"desc\":\"Office\",\"event\":\"enter\"}"),
        ),
    ] {
        let plan = config(&format!("[[preset]]\n{usage}")).unwrap().plan;
        let device = |(topic, payload): (&str, &str)| {
            let mut devices = Vec::new();
            plan.rules.evaluate(SourceId(0), topic, payload.as_bytes(), &mut |_, result| {
                devices.push(result.unwrap().device.to_owned());
            });
            devices
        };
        let devices = device(one);
        assert_eq!(devices.len(), 1);
        assert_eq!(devices, device(other), "{usage}");
    }
}
