//! Reads TOML key by key. Each key is asked for once, with what it may be; whatever is wrong is noted with its place, and
//! reading goes on. What nobody asked for is unknown, and said so with the nearest key that exists.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::bounds::MOST_PROBLEMS;
use super::problem::{Piece, Problem, Severity, blotted, nearest};
use super::schema::{Kind, Trace};
use crate::presence::parse_duration;

/// The file and what was found wrong with it so far.
pub(super) struct Reader<'i> {
    text: &'i str,
    problems: RefCell<Vec<Problem>>,
    /// Names of warnings that are not given.
    allowed: RefCell<Vec<String>>,
    /// Which keys are asked for, and how, where somebody wants to know.
    trace: Option<&'i Trace>,
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
        Reader { text, problems: RefCell::default(), allowed: RefCell::default(), trace: None }
    }

    /// One that notes what it is asked for.
    pub(super) fn traced(text: &'i str, trace: Option<&'i Trace>) -> Self {
        Reader { trace, ..Reader::new(text) }
    }

    /// Another of the same file, with problems of its own.
    pub(super) fn again(&self) -> Reader<'i> {
        Reader::new(self.text)
    }

    pub(super) fn problem(&self, span: &Range<usize>, key: &str, text: impl Into<String>, hint: impl Into<String>) {
        let found = if key.is_empty() { "" } else { self.text.get(span.clone()).unwrap_or_default() };
        let found = found.lines().next().unwrap_or_default().chars().take(80).collect::<String>();
        let found = if found.starts_with('[') { String::new() } else { blotted(&found) };
        self.put(Severity::Error, span, key, found, (text.into(), hint.into()));
    }

    /// One that has no value to show, only a place.
    fn lack(&self, span: &Range<usize>, key: &str, text: impl Into<String>, hint: impl Into<String>) {
        self.put(Severity::Error, span, key, String::new(), (text.into(), hint.into()));
    }

    /// What is legal and unwise, unless it is allowed.
    fn warn(&self, name: &'static str, span: Option<&Range<usize>>, key: &str, text: String, hint: String) {
        if self.allowed.borrow().iter().any(|allowed| *allowed == name) {
            return;
        }
        match span {
            Some(span) => self.put(Severity::Warning(name), span, key, String::new(), (text, hint)),
            None => {
                let (severity, key) = (Severity::Warning(name), key.to_owned());
                self.add(Problem { severity, key, ..Problem::of_file(text, hint) });
            }
        }
    }

    /// Warnings of these names are not given.
    pub(super) fn allow(&self, names: &[String]) {
        self.allowed.borrow_mut().extend_from_slice(names);
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    fn put(&self, severity: Severity, span: &Range<usize>, key: &str, found: String, (text, hint): (String, String)) {
        if self.problems.borrow().len() >= MOST_PROBLEMS {
            return; // each costs a look through the file, and nobody reads more
        }
        let (line, piece) = Piece::of(self.text, span);
        // The whole file is no piece of it.
        let piece = Some(piece).filter(|_| *span != self.whole());
        self.add(Problem { severity, file: None, line, key: key.to_owned(), found, text, hint, piece });
    }

    fn whole(&self) -> Range<usize> {
        0..self.text.len()
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

    /// That a key is read so.
    fn note(&self, name: &str, kind: impl FnOnce() -> Kind) {
        if let Some(trace) = self.reader.trace {
            trace.note(&self.path, name, kind());
        }
    }

    fn asked(&self, name: &'static str) {
        self.note(name, || Kind::Any);
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
        self.reader.lack(&self.span, &self.key(name), "missing", hint);
    }

    /// The table itself is wrong.
    pub(super) fn wrong(&self, text: impl Into<String>, hint: impl Into<String>) {
        self.reader.lack(&self.span, &self.path, text, hint);
    }

    /// What is legal and unwise, about a value.
    pub(super) fn warn<T>(&self, name: &'static str, at: &At<T>, text: impl Into<String>, hint: &str) {
        self.reader.warn(name, Some(&at.span), &at.key, text.into(), hint.to_owned());
    }

    /// The same about some other place, or none in particular.
    pub(super) fn warn_at(
        &self,
        name: &'static str,
        place: Option<Range<usize>>,
        key: &str,
        text: impl Into<String>,
        hint: &str,
    ) {
        let key = if key.is_empty() { self.path.clone() } else { self.key(key) };
        self.reader.warn(name, place.as_ref(), &key, text.into(), hint.to_owned());
    }

    /// Where the table begins.
    pub(super) fn place(&self) -> Range<usize> {
        self.span.clone()
    }

    /// What is written in it, whether anybody asked for it or not.
    pub(super) fn values(&self) -> impl Iterator<Item = (&'r str, &'r DeValue<'i>)> {
        self.entries.iter().map(|(name, _, value, _)| (*name, *value))
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
            self.reader.lack(span, &self.key(name), "unknown key", hint);
        }
    }

    /// All entries, for tables whose keys are the user's own.
    pub(super) fn each(&self) -> impl Iterator<Item = (At<&'r str>, At<&'r DeValue<'i>>)> {
        self.note("*", || Kind::Any);
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
        self.note(name, || Kind::Text);
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
        self.note(name, || Kind::Flag);
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
        self.note(name, || Kind::Number(allowed.start, allowed.end));
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
        let say = |span: Duration| format!("{:#}", jiff::SignedDuration::try_from(span).unwrap_or_default());
        let bounds = format!("{} to {}", say(allowed.start), say(allowed.end));
        self.note(name, || Kind::Span(bounds.clone()));
        let Some(at) = self.text(name) else { return default };
        let span = parse_duration(&at.value);
        let range = format!("allowed: {bounds}{by}");
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
        self.note(name, || Kind::Choice(choices.iter().map(|(word, _)| (*word).to_owned()).collect()));
        let Some(at) = self.text(name) else { return default };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == at.value) {
            return *choice;
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let near = Some(&at.value).filter(|word| word.len() > 2).and_then(|word| nearest(word, words.iter().copied()));
        let near = near.map(|near| format!("did you mean {near}? "));
        let hint = format!("{}allowed: {}", near.unwrap_or_default(), words.join(", "));
        self.problem(&at, "not one of the choices", hint);
        default
    }
}
