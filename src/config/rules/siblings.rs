//! `attach` and `availability`: topics beside a rule's own.

use toml::de::DeValue;

use super::super::reader::{At, Section};
use super::conditions::asked;
use super::places::{Places, pattern, reading};
use crate::presence::rule::{Place, Role, Sibling, Words};
use crate::presence::topic::Pattern;

const UP: [&str; 5] = ["online", "true", "1", "connected", "ready"];
const DOWN: [&str; 6] = ["offline", "false", "0", "disconnected", "lost", "unavailable"];

/// `own`: the rule's topic, where it can be read.
pub(super) fn all(section: &Section<'_, '_>, own: Option<&Pattern>) -> Vec<Sibling> {
    let mut siblings = Vec::new();
    if let Some(attach) = section.table("attach") {
        for name in ["until", "when", "unless"] {
            if let Some(table) = attach.table(name) {
                siblings.extend(one(&table, own, |table| match name {
                    "until" => Some(Role::Until),
                    "when" => is(table).map(Role::When),
                    _ => is(table).map(Role::Unless),
                }));
            }
        }
        attach.finish();
    }
    let Some(at) = section.find("availability") else { return siblings };
    let tables: Vec<Section<'_, '_>> = match at.value {
        DeValue::Array(items) => {
            let item = |item: &At<_>| section.as_table(item);
            items
                .iter()
                .filter_map(|value| item(&At { value: value.get_ref(), span: value.span(), key: at.key.clone() }))
                .collect()
        }
        _ => section.as_table(&at).into_iter().collect(),
    };
    if tables.is_empty() {
        section.problem(
            &at,
            "must be a table, or a list of them",
            r#"availability = { topic = "phones/{id}/status" }"#,
        );
    }
    for table in &tables {
        siblings.extend(one(table, own, |table| Some(alive(table))));
    }
    siblings
}

fn one(
    table: &Section<'_, '_>,
    own: Option<&Pattern>,
    role: impl Fn(&Section<'_, '_>) -> Option<Role>,
) -> Option<Sibling> {
    let topic = table.required("topic", "the topic, with captures of the rule's own topic");
    let pattern = topic.as_ref().and_then(|at| pattern(table, at));
    let reading = reading(table);
    let value = match (&pattern, table.has("value")) {
        (Some(pattern), true) => Places { pattern, reading: &reading }.key(table, "value"),
        _ => Some(Place::Payload),
    };
    let role = role(table);
    table.finish();
    let (pattern, topic) = (pattern?, topic?);
    let known: Vec<&str> = own.into_iter().flat_map(Pattern::names).collect();
    if own.is_some()
        && let Some(strange) = pattern.names().find(|name| !known.contains(name))
    {
        let hint = format!("use + where it does not matter; the rule's topic has: {}", known.join(", "));
        table.problem(&topic, format!("no capture {{{strange}}} in the rule's topic"), hint);
        return None;
    }
    Some(Sibling { pattern, format: reading.format, regex: reading.regex, value: value?, role: role? })
}

fn is(table: &Section<'_, '_>) -> Option<Words> {
    if !table.has("is") {
        table.missing("is", r#"what it must say: is = ["true"]"#);
        return None;
    }
    Some(asked(table, "is").1)
}

fn alive(table: &Section<'_, '_>) -> Role {
    let words = |name, default: &[&str]| match table.has(name) {
        true => asked(table, name).1,
        false => Words::new(default.iter().copied()),
    };
    let (up, down) = (words("up", &UP), words("down", &DOWN));
    let keep = table.choice("on_down", false, &[("clear", false), ("keep", true)]);
    Role::Alive { up, down, keep }
}
