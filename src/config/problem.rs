//! What is wrong with a configuration: everything at once, each with its place and what to do.

use std::fmt;
use std::sync::Arc;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, where it is another than the configuration itself.
    pub file: Option<Arc<str>>,
    /// Line of the file, from 1.
    pub line: usize,
    /// Where in the configuration: `graph.tenant_id`.
    pub key: String,
    /// What was found, as written; empty where nothing was.
    pub found: String,
    /// What is wrong with it.
    pub text: String,
    /// What is allowed, or the next step.
    pub hint: String,
}

/// Everything that is wrong with a file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file.
    pub file: String,
    /// In the order of the file; those of other files come after.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Problem { file, line, key, found, text, hint } in &self.problems {
            write!(f, "{}:{line}: ", file.as_deref().unwrap_or(&self.file))?;
            match (key.is_empty(), found.is_empty()) {
                (true, _) => write!(f, "{text}")?,
                (false, true) => write!(f, "{key}: {text}")?,
                (false, false) => write!(f, "{key} = {found}: {text}")?,
            }
            writeln!(f)?;
            if !hint.is_empty() {
                writeln!(f, "    {hint}")?;
            }
        }
        let count = self.problems.len();
        write!(f, "{count} problem{} in {}", if count == 1 { "" } else { "s" }, self.file)
    }
}

impl std::error::Error for Problems {}

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
