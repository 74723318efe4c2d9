//! The rules as they stand in the file: their lines, and the words of their lists. Compiled rules compare, and no longer
//! know how their words were written.

use toml::de::{DeTable, DeValue};

/// One `[[rule]]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Written {
    /// From 1.
    pub(super) line: usize,
    pub(super) topic: String,
    /// Lists with their names.
    pub(super) words: Vec<(&'static str, Vec<String>)>,
}

/// In the order of the file.
pub(super) fn written(text: &str) -> Vec<Written> {
    let Ok(root) = DeTable::parse(text) else { return Vec::new() };
    let Some(DeValue::Array(rules)) = root.get_ref().get("rule").map(toml::Spanned::get_ref) else { return Vec::new() };
    let tables = rules.iter().filter_map(|rule| match rule.get_ref() {
        DeValue::Table(table) => Some((rule.span().start, table)),
        _ => None,
    });
    let (mut line, mut at) = (1, 0);
    tables
        .map(|(start, table)| {
            line += text.get(at..start).map_or(0, |between| between.matches('\n').count());
            at = start;
            rule(line, table)
        })
        .collect()
}

fn rule(line: usize, table: &DeTable<'_>) -> Written {
    let word = |key: &str| match table.get(key).map(toml::Spanned::get_ref) {
        Some(DeValue::String(text)) => Some(text.to_string()),
        _ => None,
    };
    let lists = ["on", "pulse", "toggle", "off", "unknown"].into_iter();
    Written {
        line,
        topic: word("topic").unwrap_or_default(),
        words: lists.filter_map(|name| Some((name, words(table.get(name)?.get_ref())))).collect(),
    }
}

fn words(value: &DeValue<'_>) -> Vec<String> {
    match value {
        DeValue::Array(items) => items.iter().flat_map(|item| words(item.get_ref())).collect(),
        DeValue::String(text) => vec![text.to_string()],
        DeValue::Integer(number) => vec![number.as_str().to_owned()],
        DeValue::Float(number) => vec![number.as_str().to_owned()],
        DeValue::Boolean(value) => vec![value.to_string()],
        _ => Vec::new(),
    }
}
