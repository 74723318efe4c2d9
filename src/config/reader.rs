//! Reads TOML key by key. Each key is asked for once, with what it may be; whatever is wrong is noted with its place, and
//! reading goes on. What nobody asked for is unknown, and said so with the nearest key that exists.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::bounds::MOST_PROBLEMS;
use super::problem::{Problem, nearest};
use crate::presence::parse_duration;

/// The file and what was found wrong with it so far.
pub(super) struct Reader<'i> {
    text: &'i str,
    problems: RefCell<Vec<Problem>>,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
    pub(super) key: String,
}

/// One table.
pub(super) struct Section<'r, 'i> {
    reader: &'r Reader<'i>,
    path: String,
    span: Range<usize>,
    /// In the order of the file.
    entries: Vec<(&'r str, Range<usize>, &'r DeValue<'i>, Range<usize>)>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'i> Reader<'i> {
    pub(super) fn new(text: &'i str) -> Self {
        Reader { text, problems: RefCell::default() }
    }

    pub(super) fn problem(&self, span: &Range<usize>, key: &str, text: impl Into<String>, hint: impl Into<String>) {
        if self.problems.borrow().len() >= MOST_PROBLEMS {
            return; // each costs a look through the file, and nobody reads more
        }
        let line = self.text[..span.start.min(self.text.len())].matches('\n').count() + 1;
        let found = if key.is_empty() { "" } else { self.text.get(span.clone()).unwrap_or_default() };
        let found = found.lines().next().unwrap_or_default().chars().take(80).collect::<String>();
        let found = if found.starts_with('[') { String::new() } else { found };
        self.add(Problem { file: None, line, key: key.to_owned(), found, text: text.into(), hint: hint.into() });
    }

    /// One of another file.
    pub(super) fn add(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// In the order of the file; those of other files come after.
    pub(super) fn finish(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.file.clone(), problem.line));
        problems
    }

    pub(super) fn section<'r>(&'r self, path: &str, table: &'r DeTable<'i>, span: Range<usize>) -> Section<'r, 'i> {
        let mut entries: Vec<_> =
            table.iter().map(|(key, value)| (&**key.get_ref(), key.span(), value.get_ref(), value.span())).collect();
        entries.sort_by_key(|(_, span, ..)| span.start);
        Section { reader: self, path: path.to_owned(), span, entries, asked: RefCell::default() }
    }
}

impl<T> At<T> {
    pub(super) fn with<U>(&self, value: U) -> At<U> {
        At { value, span: self.span.clone(), key: self.key.clone() }
    }
}

impl<'r, 'i> Section<'r, 'i> {
    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn asked(&self, name: &'static str) {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&name) {
            asked.push(name);
        }
    }

    pub(super) fn find(&self, name: &'static str) -> Option<At<&'r DeValue<'i>>> {
        self.asked(name);
        let (_, _, value, span) = self.entries.iter().find(|(key, ..)| *key == name)?;
        Some(At { value: *value, span: span.clone(), key: self.key(name) })
    }

    /// Whether the key is there, whatever it holds.
    pub(super) fn has(&self, name: &'static str) -> bool {
        self.asked(name);
        self.entries.iter().any(|(key, ..)| *key == name)
    }

    pub(super) fn problem<T>(&self, at: &At<T>, text: impl Into<String>, hint: impl Into<String>) {
        self.reader.problem(&at.span, &at.key, text, hint);
    }

    pub(super) fn reader(&self) -> &'r Reader<'i> {
        self.reader
    }

    pub(super) fn missing(&self, name: &str, hint: &str) {
        let head = self.span.start..self.span.start;
        self.reader.problem(&head, &self.key(name), "missing", hint);
    }

    /// The table itself is wrong.
    pub(super) fn wrong(&self, text: impl Into<String>, hint: impl Into<String>) {
        self.reader.problem(&(self.span.start..self.span.start), &self.path, text, hint);
    }

    /// What nobody asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for (name, span, ..) in &self.entries {
            if asked.contains(name) {
                continue;
            }
            if self.reader.problems.borrow().len() >= MOST_PROBLEMS {
                break;
            }
            let hint = match nearest(name, asked.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known here: {}", asked.join(", ")),
            };
            self.reader.problem(&(span.start..span.start), &self.key(name), "unknown key", hint);
        }
    }

    /// All entries, for tables whose keys are the user's own.
    pub(super) fn each(&self) -> impl Iterator<Item = (At<&'r str>, At<&'r DeValue<'i>>)> {
        self.entries.iter().map(|(name, key_span, value, span)| {
            let key = self.key(name);
            (
                At { value: *name, span: key_span.clone(), key: key.clone() },
                At { value: *value, span: span.clone(), key },
            )
        })
    }

    /// A value that is a table, as one.
    pub(super) fn as_table(&self, at: &At<&'r DeValue<'i>>) -> Option<Section<'r, 'i>> {
        match at.value {
            DeValue::Table(table) => Some(self.reader.section(&at.key, table, at.span.clone())),
            _ => None,
        }
    }

    pub(super) fn table(&self, name: &'static str) -> Option<Section<'r, 'i>> {
        let at = self.find(name)?;
        match at.value {
            DeValue::Table(table) => Some(self.reader.section(&at.key, table, at.span)),
            _ => {
                self.problem(&at, "must be a table", format!("write [{}] on a line of its own", at.key));
                None
            }
        }
    }

    pub(super) fn tables(&self, name: &'static str) -> Vec<Section<'r, 'i>> {
        let Some(at) = self.find(name) else { return Vec::new() };
        let DeValue::Array(items) = at.value else {
            self.problem(&at, "must be a list of tables", format!("write [[{}]] on a line of its own", at.key));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (item, number) in items.iter().zip(1..) {
            match item.get_ref() {
                DeValue::Table(table) => {
                    sections.push(self.reader.section(&format!("{name} {number}"), table, item.span()));
                }
                _ => self.problem(&at, "must be a list of tables", format!("write [[{}]]", at.key)),
            }
        }
        sections
    }

    pub(super) fn text(&self, name: &'static str) -> Option<At<String>> {
        let at = self.find(name)?;
        self.as_text(&at)
    }

    pub(super) fn as_text(&self, at: &At<&DeValue<'_>>) -> Option<At<String>> {
        match at.value {
            DeValue::String(text) => Some(at.with(text.to_string())),
            _ => {
                self.problem(at, "must be text", "put it in double quotes");
                None
            }
        }
    }

    pub(super) fn required(&self, name: &'static str, hint: &str) -> Option<At<String>> {
        if !self.has(name) {
            self.missing(name, hint);
            return None;
        }
        self.text(name)
    }

    pub(super) fn words(&self, name: &'static str) -> Vec<String> {
        self.find(name).map_or(Vec::new(), |at| self.as_words(&at))
    }

    pub(super) fn as_words(&self, at: &At<&DeValue<'_>>) -> Vec<String> {
        let scalar = |value: &DeValue<'_>| match value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) => Some(number.as_str().to_owned()),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            DeValue::Boolean(value) => Some(value.to_string()),
            _ => None,
        };
        let words: Option<Vec<String>> = match at.value {
            DeValue::Array(items) => items.iter().map(|item| scalar(item.get_ref())).collect(),
            value => scalar(value).map(|word| vec![word]),
        };
        words.unwrap_or_else(|| {
            self.problem(at, "must be a list of words", r#"for example ["on", "open"]"#);
            Vec::new()
        })
    }

    pub(super) fn flag(&self, name: &'static str, default: bool) -> bool {
        match self.find(name) {
            None => default,
            Some(At { value: DeValue::Boolean(value), .. }) => *value,
            Some(at) => {
                self.problem(&at, "must be true or false", "");
                default
            }
        }
    }

    pub(super) fn number(&self, name: &'static str, default: f64, allowed: Range<f64>) -> f64 {
        let Some(at) = self.find(name) else { return default };
        let number = match at.value {
            DeValue::Integer(number) => number.as_str().replace('_', "").parse().ok(),
            DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if number >= allowed.start && number <= allowed.end => number,
            _ => {
                self.problem(&at, "not a number in range", format!("allowed: {} to {}", allowed.start, allowed.end));
                default
            }
        }
    }

    /// A duration: `30s`, `5m`, `1h 30m`, `PT5M`.
    pub(super) fn span(&self, name: &'static str, default: Duration, allowed: Range<Duration>) -> Duration {
        self.span_by(name, default, allowed, "")
    }

    /// A duration whose range is somebody else's.
    pub(super) fn span_by(
        &self,
        name: &'static str,
        default: Duration,
        allowed: Range<Duration>,
        by: &str,
    ) -> Duration {
        let Some(at) = self.text(name) else { return default };
        let span = parse_duration(&at.value);
        let say = |span: Duration| format!("{:#}", jiff::SignedDuration::try_from(span).unwrap_or_default());
        let range = format!("allowed: {} to {}{by}", say(allowed.start), say(allowed.end));
        match span {
            Some(span) if span >= allowed.start && span <= allowed.end => span,
            Some(_) => {
                self.problem(&at, "out of range", range);
                default
            }
            None => {
                self.problem(&at, "not a duration", format!(r#"write "30s", "5m", "1h 30m", "2d" or "PT5M"; {range}"#));
                default
            }
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, name: &'static str, default: T, choices: &[(&str, T)]) -> T {
        let Some(at) = self.text(name) else { return default };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == at.value) {
            return *choice;
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.problem(&at, "not one of the choices", format!("allowed: {}", words.join(", ")));
        default
    }
}
