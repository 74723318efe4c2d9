//! What was chosen, in the places of `${name}`.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A value that stands in the place of a parameter.
pub(super) struct Given<'i> {
    pub(super) name: &'static str,
    pub(super) value: DeValue<'i>,
    pub(super) span: Range<usize>,
    /// It is the user's, and no default.
    pub(super) own: bool,
}

/// Whether a rule names this parameter.
pub(super) fn names(table: &DeTable<'_>, parameter: &str) -> bool {
    let placeholder = format!("${{{parameter}}}");
    table.values().any(|value| holds(value.get_ref(), &placeholder))
}

fn holds(value: &DeValue<'_>, part: &str) -> bool {
    match value {
        DeValue::String(text) => text.contains(part),
        DeValue::Array(items) => items.iter().any(|item| holds(item.get_ref(), part)),
        DeValue::Table(table) => table.values().any(|value| holds(value.get_ref(), part)),
        _ => false,
    }
}

/// A rule of a preset with what was chosen in it. What is the preset's own has the place where the preset is used.
pub(super) fn fill_table<'i>(table: &DeTable<'static>, given: &[Given<'i>], user: &Range<usize>) -> DeTable<'i> {
    let filled = table.iter().map(|(key, value)| {
        let key = Spanned::new(user.clone(), key.get_ref().clone());
        (key, fill(value.get_ref(), given, user))
    });
    filled.collect()
}

fn fill<'i>(value: &DeValue<'static>, given: &[Given<'i>], user: &Range<usize>) -> Spanned<DeValue<'i>> {
    // What is told of a list or table as a whole is told of what was chosen in it.
    let around = |inner: Option<Range<usize>>| inner.unwrap_or_else(|| user.clone());
    match value {
        DeValue::String(text) if text.contains("${") => fill_text(text, given, user),
        DeValue::Array(items) => {
            let mut array = DeArray::new();
            items.iter().for_each(|item| array.push(fill(item.get_ref(), given, user)));
            let span = array.iter().map(Spanned::span).find(|span| span != user);
            Spanned::new(around(span), DeValue::Array(array))
        }
        DeValue::Table(table) => {
            let table = fill_table(table, given, user);
            let span = table.values().map(Spanned::span).find(|span| span != user);
            Spanned::new(around(span), DeValue::Table(table))
        }
        value => Spanned::new(user.clone(), value.clone()),
    }
}

/// A placeholder alone may stand for any value, one within a text for text. What was filled in is not looked at again.
fn fill_text<'i>(text: &str, given: &[Given<'i>], user: &Range<usize>) -> Spanned<DeValue<'i>> {
    let (mut filled, mut rest, mut span) = (String::new(), text, None);
    while let Some((before, name, after)) = placeholder(rest) {
        filled += before;
        rest = after;
        let Some(given) = given.iter().find(|given| given.name == name) else { continue };
        match &given.value {
            value if before.is_empty() && after.is_empty() && filled.is_empty() => {
                return Spanned::new(given.span.clone(), value.clone());
            }
            DeValue::String(text) => filled += text,
            // Not text: it stands for all of it, and is found wrong there.
            value => return Spanned::new(given.span.clone(), value.clone()),
        }
        // Of several that were chosen, one with something of a pattern in it is the likelier to be wrong.
        let odd = given.value.as_str().is_some_and(|text| text.contains(['{', '}', '#', '+', '\0']));
        if given.own && (odd || span.is_none()) {
            span = Some(given.span.clone());
        }
    }
    Spanned::new(span.unwrap_or_else(|| user.clone()), DeValue::String(Cow::Owned(filled + rest)))
}

/// The first `${name}`, with what stands before and after it.
fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${")?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}
