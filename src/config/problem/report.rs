//! Problems as rustc shows its own: the line, the piece underlined, what is allowed. Plain text unless somebody is looking.

use annotate_snippets::renderer::DEFAULT_TERM_WIDTH;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str as plain};

use super::{Problem, Severity};
use crate::config::env;

/// A hint of so many characters stands beside the piece; a longer one below it.
const BESIDE: usize = 60;
/// A longer title is what comes before the first pause in it; the rest is a note below the piece.
const TITLE: usize = 100;
/// Narrower terminals break the lines themselves.
const NARROWEST: usize = 60;

/// How a report is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// With colours.
    pub colour: bool,
    /// Columns; longer lines of files are cut around the piece.
    pub width: usize,
}

impl Look {
    /// For files and pipes.
    pub const PLAIN: Look = Look { colour: false, width: DEFAULT_TERM_WIDTH };

    /// For a terminal of so many columns (`None`: it is none), as the environment wants it.
    #[must_use]
    pub fn on(terminal: Option<usize>) -> Self {
        match terminal {
            Some(width) => Look { colour: !env::no_colour(), width },
            None => Look::PLAIN,
        }
    }
}

/// Each problem with its line, the piece underlined, and what to do, and an empty line after it; `file` is the
/// configuration.
#[must_use]
pub fn report(file: &str, problems: &[Problem], look: Look) -> String {
    let renderer = if look.colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(look.width.max(NARROWEST));
    let shown: Vec<String> = problems.iter().map(|problem| renderer.render(&[group(file, problem)])).collect();
    shown.iter().map(|problem| format!("{problem}\n\n")).collect()
}

fn group<'a>(file: &str, problem: &'a Problem) -> Group<'a> {
    let file = plain(problem.file.as_deref().unwrap_or(file));
    let (title, note) = title(problem);
    let title = plain(&title);
    let title = match problem.severity {
        Severity::Error => Level::ERROR.primary_title(title),
        Severity::Warning(name) => Level::WARNING.primary_title(title).id(name),
    };
    let (beside, below) = sides(problem);
    let mut group = match &problem.piece {
        None if problem.line == 0 => title.element(Origin::path(file)),
        None => title.element(Origin::path(file).line(problem.line)),
        Some(piece) => {
            let mark = AnnotationKind::Primary.span(piece.at.clone());
            let mark = if beside.is_empty() { mark } else { mark.label(beside) };
            let snippet = Snippet::source(&*piece.text).line_start(problem.line).annotation(mark);
            match piece.is_whole() {
                true => title.element(snippet.path(file)),
                // The column is not that of what is shown.
                false => {
                    let origin = Origin::path(file).line(problem.line).char_column(piece.column);
                    title.element(origin).element(snippet)
                }
            }
        }
    };
    if !note.is_empty() {
        group = group.element(Level::NOTE.message(plain(&note)));
    }
    if !below.is_empty() {
        group = group.element(Level::HELP.message(below));
    }
    group
}

/// What stands beside the piece, and what below it.
fn sides(problem: &Problem) -> (String, String) {
    let hint = &problem.hint;
    let (beside, below) = match hint.split_once("? ") {
        _ if problem.piece.is_none() => ("", hint.as_str()),
        Some((near, rest)) if near.starts_with("did you mean ") => (&hint[..=near.len()], rest),
        _ if hint.chars().count() <= BESIDE => (hint.as_str(), ""),
        _ => ("", hint.as_str()),
    };
    (plain(beside), plain(below))
}

/// What is wrong, and more about it. The value is in the line that is shown, where there is one.
fn title(problem: &Problem) -> (String, String) {
    let Problem { key, found, text, .. } = problem;
    let pause = [": ", "; ", ". "].iter().filter_map(|pause| text.find(pause)).min();
    let (text, note) = match pause {
        Some(pause) if key.chars().count() + text.chars().count() > TITLE => (&text[..pause], &text[pause + 2..]),
        _ => (text.as_str(), ""),
    };
    let title = match (&**key, text) {
        ("", _) => text.to_owned(),
        (_, "unknown key") => format!("unknown key {key}"),
        (_, "missing") => format!("{key} is missing"),
        _ if problem.piece.is_some() || found.is_empty() => format!("{key}: {text}"),
        _ => format!("{key} = {found}: {text}"),
    };
    (title, note.to_owned())
}

/// "3 problems in bridge.toml", errors and warnings apart.
#[must_use]
pub fn count(file: &str, problems: &[Problem]) -> String {
    let warnings = problems.iter().filter(|problem| problem.name().is_some()).count();
    let say = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (problems.len() - warnings, warnings) {
        (errors, 0) => format!("{} in {file}", say(errors, "problem")),
        (0, warnings) => format!("{} in {file}", say(warnings, "warning")),
        (errors, warnings) => format!("{} and {} in {file}", say(errors, "problem"), say(warnings, "warning")),
    }
}
