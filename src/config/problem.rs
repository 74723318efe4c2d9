//! What is wrong with a configuration, or legal and unwise: everything at once, each with its place and what to do.

mod piece;
mod report;

use std::fmt;
use std::sync::Arc;

pub use self::piece::Piece;
pub(super) use self::piece::{blotted, is_secret};
pub use self::report::{Look, count, report};

/// Whether a configuration can be used in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can; the name stands in docs/check.md, and `allow` in `[check]` takes it.
    Warning(&'static str),
}

/// One thing that is wrong, or unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file, where it is another than the configuration itself.
    pub file: Option<Arc<str>>,
    /// Line of the file, from 1; 0: no line in particular.
    pub line: usize,
    /// Where in the configuration: `graph.tenant_id`.
    pub key: String,
    /// What was found, as written; empty where nothing was.
    pub found: String,
    /// What is wrong with it.
    pub text: String,
    /// What is allowed, or the next step.
    pub hint: String,
    /// The line and what of it is meant, where that can be shown.
    pub piece: Option<Piece>,
}

/// Everything that is wrong with a file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file.
    pub file: String,
    /// In the order of the file; those of other files come after.
    pub problems: Vec<Problem>,
}

impl Problem {
    /// An error about a file as a whole.
    #[must_use]
    pub fn of_file(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Problem {
            severity: Severity::Error,
            file: None,
            line: 0,
            key: String::new(),
            found: String::new(),
            text: text.into(),
            hint: hint.into(),
            piece: None,
        }
    }

    /// All of it in one line, for logs, without what is allowed; `file` is the configuration's.
    #[must_use]
    pub fn line(&self, file: &str) -> String {
        let Problem { line, key, found, text, .. } = self;
        let file = self.file.as_deref().unwrap_or(file);
        let what = match (key.is_empty(), found.is_empty()) {
            (true, _) => text.clone(),
            (false, true) => format!("{key}: {text}"),
            (false, false) => format!("{key} = {found}: {text}"),
        };
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        match line {
            0 => format!("{file}: {what}"),
            _ => format!("{file}:{line}: {what}"),
        }
    }

    /// The name of a warning; `None` for an error.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        match self.severity {
            Severity::Error => None,
            Severity::Warning(name) => Some(name),
        }
    }
}

impl fmt::Display for Problems {
    /// In few lines, without the pieces; [`report`] shows them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{}", problem.line(&self.file))?;
            if !problem.hint.is_empty() {
                writeln!(f, "    {}", problem.hint)?;
            }
        }
        f.write_str(&count(&self.file, &self.problems))
    }
}

impl std::error::Error for Problems {}

impl Problems {
    /// As people read them: each with its line, the piece underlined, and what to do.
    #[must_use]
    pub fn report(&self, look: Look) -> String {
        format!("{}{}", report(&self.file, &self.problems, look), count(&self.file, &self.problems))
    }
}

/// The one of `known` that was perhaps meant by `word`: at most a third of its letters differ.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let best = known.into_iter().map(|known| (distance(word, known), known)).min_by_key(|(distance, _)| *distance)?;
    (best.0 <= word.chars().count().max(3) / 3).then_some(best.1)
}

/// Levenshtein's distance, without letter case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = (corner + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}
