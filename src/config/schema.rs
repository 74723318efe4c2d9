//! The JSON Schema of the configuration file, for editors.
//!
//! It is written by hand, since what it says of a key is for people. That it says no other keys, choices and bounds than
//! the reader has is a test's to see, which has the reader note what it is asked for: [`keys`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use super::{Check, Config};

/// JSON Schema, draft 2020-12.
pub const SCHEMA: &str = include_str!("../../config/schema.json");

/// How a key is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// In a way of its own: tables, words, places.
    Any,
    /// As text.
    Text,
    /// As true or false.
    Flag,
    /// As a number, from the one to the other.
    Number(f64, f64),
    /// As a duration in these bounds, as `check` writes them.
    Span(String),
    /// As one of these words.
    Choice(Vec<String>),
}

impl Kind {
    /// A key is asked for in several ways; the one that says most is how it is read.
    fn rank(&self) -> u8 {
        match self {
            Kind::Any => 0,
            Kind::Text => 1,
            Kind::Flag | Kind::Number(..) | Kind::Span(_) | Kind::Choice(_) => 2,
        }
    }
}

/// Which keys a reader was asked for.
#[derive(Debug, Default)]
pub(super) struct Trace(RefCell<BTreeMap<(String, String), Kind>>);

impl Trace {
    pub(super) fn note(&self, table: &str, key: &str, kind: Kind) {
        let (first, rest) = table.split_once('.').map_or((table, None), |(first, rest)| (first, Some(rest)));
        // `rule 3` is one of many alike.
        let first = first.split(' ').next().unwrap_or_default();
        let table = rest.map_or_else(|| first.to_owned(), |rest| format!("{first}.{rest}"));
        let mut keys = self.0.borrow_mut();
        let known = keys.entry((table, key.to_owned())).or_insert(Kind::Any);
        if kind.rank() >= known.rank() {
            *known = kind;
        }
    }
}

/// Which keys are looked for in the tables of a text, and how each is read: table (`rule.window`; empty for the file itself),
/// key (`*`: any), kind. Tables that the text does not have are not looked into.
#[must_use]
pub fn keys(text: &str) -> Vec<(String, String, Kind)> {
    let trace = Trace::default();
    let check = Check { secrets: false, people: false };
    let _whatever_is_wrong = Config::read_traced(text, "", Path::new("."), check, None, Some(&trace));
    trace.0.into_inner().into_iter().map(|((table, key), kind)| (table, key, kind)).collect()
}
