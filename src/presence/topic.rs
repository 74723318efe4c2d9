//! Topic patterns: an MQTT filter with names for what the wildcards stand for.
//!
//! `pbx/devstate/{tech}/{ext}` names whole levels, `ha/sensor/{pc}_camera/state` part of one, `z2m/{name...}/state`
//! several. The filter to subscribe is derived, so that nobody has to write it twice.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;

use super::quick::Quick;

/// As many levels as a pattern may have, and a topic that is looked at for several levels in one place. Patterns come from
/// a file, but the index goes down a level with each call, and a configuration must not end the process.
const MOST_LEVELS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Literal(Box<str>),
    /// `+`
    Any,
    /// `{name}`, perhaps with literal text before and after.
    Capture {
        before: Box<str>,
        name: Box<str>,
        after: Box<str>,
    },
    /// `{name...}` or `#`: one level or more; `#` has no name.
    Rest(Box<str>),
}

/// A topic pattern with named captures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    levels: Vec<Level>,
    /// Where the level stands that takes several.
    rest: Option<usize>,
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern(pub String);

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadPattern {}

/// So many captures need no heap.
const FEW: usize = 8;

/// What the captures of a pattern stand for in one topic, in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub struct Captures<'t> {
    few: [&'t str; FEW],
    count: usize,
    /// All of them, where there are more than [`FEW`].
    many: Vec<&'t str>,
}

impl<'t> Captures<'t> {
    fn push(&mut self, text: &'t str) {
        if let Some(room) = self.few.get_mut(self.count) {
            *room = text;
            self.count += 1;
            return;
        }
        if self.many.is_empty() {
            self.many.extend(self.few);
        }
        self.many.push(text);
    }
}

impl<'t> Deref for Captures<'t> {
    type Target = [&'t str];

    fn deref(&self) -> &[&'t str] {
        if self.many.is_empty() { &self.few[..self.count] } else { &self.many }
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Empty, too long, more than 64 levels, braces that do not match, a name used twice, more than one capture of several levels, `#` that is
    /// not last, or `+` and `#` beside other text in a level.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        if text.is_empty() || text.len() > 65_535 || text.contains('\0') {
            return Err(BadPattern("a topic has 1 to 65,535 bytes and no NUL".into()));
        }
        if text.split('/').nth(MOST_LEVELS).is_some() {
            return Err(BadPattern(format!("a pattern has at most {MOST_LEVELS} levels")));
        }
        let levels = text.split('/').map(level).collect::<Result<Vec<_>, _>>()?;
        let is_rest = |level: &Level| matches!(level, Level::Rest(_));
        if levels.iter().filter(|level| is_rest(level)).count() > 1 {
            return Err(BadPattern("only one of {name...} and # is possible in a pattern".into()));
        }
        let rest = levels.iter().position(is_rest);
        if rest.is_some_and(|at| levels[at] == Level::Rest("".into()) && at + 1 != levels.len()) {
            return Err(BadPattern("# must be the last level; use {name...} inside a pattern".into()));
        }
        let pattern = Pattern { text: text.into(), levels, rest };
        let names: Vec<&str> = pattern.names().collect();
        if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return Err(BadPattern(format!("{{{}}} is used twice", twice.1)));
        }
        Ok(pattern)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of the captures, in the order in which they are written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().filter_map(|level| match level {
            Level::Capture { name, .. } => Some(&**name),
            Level::Rest(name) if !name.is_empty() => Some(&**name),
            _ => None,
        })
    }

    /// The MQTT topic filter that delivers what the pattern can match.
    #[must_use]
    pub fn filter(&self) -> String {
        let mut filter = String::new();
        for level in &self.levels {
            if !filter.is_empty() || !std::ptr::eq(level, &raw const self.levels[0]) {
                filter.push('/');
            }
            match level {
                Level::Literal(text) => filter.push_str(text),
                Level::Any | Level::Capture { .. } => filter.push('+'),
                Level::Rest(_) => {
                    filter.push('#');
                    break;
                }
            }
        }
        filter
    }

    /// What the captures stand for in `topic`, if it matches. Letter case counts; a wildcard at the first level does not
    /// match topics that begin with `$` (MQTT 4.7.2).
    #[must_use]
    pub fn captures<'t>(&self, topic: &'t str) -> Option<Captures<'t>> {
        if topic.starts_with('$') && !matches!(self.levels.first(), Some(Level::Literal(_))) {
            return None;
        }
        let mut captures = Captures::default();
        let Some(rest) = self.rest else {
            let mut left = Some(topic);
            for level in &self.levels {
                let (text, below) = cut(left?);
                one(level, text, &mut captures)?;
                left = below;
            }
            return left.is_none().then_some(captures);
        };
        if topic.matches('/').count() >= MOST_LEVELS {
            return None;
        }
        let (front, back) = (&self.levels[..rest], &self.levels[rest + 1..]);
        let mut left = Some(topic);
        for level in front {
            let (text, below) = cut(left?);
            one(level, text, &mut captures)?;
            left = below;
        }
        if self.levels[rest] == Level::Rest("".into()) {
            // It is last, and `a/#` also matches `a` (MQTT 4.7.1.2); a named rest stands for something.
            return Some(captures);
        }
        let left = left?;
        let end = match back.len() {
            0 => left.len(),
            levels => left.rmatch_indices('/').nth(levels - 1)?.0,
        };
        captures.push(&left[..end]);
        for (level, text) in back.iter().zip(left[end..].split('/').skip(1)) {
            one(level, text, &mut captures)?;
        }
        Some(captures)
    }
}

/// The first level of a topic, and what is below it. Levels are short: a plain loop beats the search of `split_once`.
fn cut(topic: &str) -> (&str, Option<&str>) {
    match topic.bytes().position(|byte| byte == b'/') {
        Some(at) => (&topic[..at], Some(&topic[at + 1..])),
        None => (topic, None),
    }
}

fn level(text: &str) -> Result<Level, BadPattern> {
    if text == "+" {
        return Ok(Level::Any);
    }
    if text == "#" {
        return Ok(Level::Rest("".into()));
    }
    if text.contains(['+', '#']) {
        return Err(BadPattern(format!("+ and # must stand alone in a level, found {text:?}")));
    }
    let Some(open) = text.find('{') else {
        return match text.contains('}') {
            true => Err(BadPattern(format!("}} without {{ in {text:?}"))),
            false => Ok(Level::Literal(text.into())),
        };
    };
    let Some(close) = text[open..].find('}').map(|at| open + at) else {
        return Err(BadPattern(format!("{{ without }} in {text:?}")));
    };
    let (before, name, after) = (&text[..open], &text[open + 1..close], &text[close + 1..]);
    if after.contains(['{', '}']) || before.contains('}') {
        return Err(BadPattern(format!("one capture in a level is possible, found {text:?}")));
    }
    let several = name.strip_suffix("...");
    let plain = several.unwrap_or(name);
    if plain.is_empty() || !plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(BadPattern(format!("a capture has a name of letters, digits and _, found {{{name}}}")));
    }
    match several {
        Some(name) if before.is_empty() && after.is_empty() => Ok(Level::Rest(name.into())),
        Some(_) => Err(BadPattern(format!("{{name...}} must stand alone in a level, found {text:?}"))),
        None => Ok(Level::Capture { before: before.into(), name: name.into(), after: after.into() }),
    }
}

fn one<'t>(level: &Level, text: &'t str, captures: &mut Captures<'t>) -> Option<()> {
    match level {
        Level::Literal(literal) => (**literal == *text).then_some(()),
        Level::Any => Some(()),
        Level::Capture { before, after, .. } => {
            let middle = text.strip_prefix(&**before)?.strip_suffix(&**after)?;
            // A whole level may be empty in MQTT, but stands for nothing.
            (!middle.is_empty()).then(|| captures.push(middle))
        }
        Level::Rest(_) => None,
    }
}

/// Many patterns at once: a trie over levels, so that the cost of a topic does not grow with the number of patterns.
#[derive(Clone, Debug, Default)]
pub struct Index {
    literal: HashMap<Box<str>, Index, Quick>,
    any: Option<Box<Index>>,
    /// Patterns that take several levels from here on.
    rest: Vec<u32>,
    here: Vec<u32>,
}

impl Index {
    /// Adds a pattern under `id`.
    pub fn add(&mut self, pattern: &Pattern, id: u32) {
        let mut node = self;
        for level in &pattern.levels {
            node = match level {
                Level::Literal(text) => node.literal.entry(text.clone()).or_default(),
                Level::Any | Level::Capture { .. } => node.any.get_or_insert_default(),
                Level::Rest(_) => return node.rest.push(id),
            };
        }
        node.here.push(id);
    }

    /// Calls `each` for all patterns that may match; [`Pattern::captures`] has the last word.
    pub fn find(&self, topic: &str, each: &mut dyn FnMut(u32)) {
        for &id in &self.rest {
            each(id);
        }
        let (level, below) = cut(topic);
        for node in [self.literal.get(level), self.any.as_deref()].into_iter().flatten() {
            match below {
                Some(below) => node.find(below, each),
                None => {
                    node.here.iter().for_each(|&id| each(id));
                    node.rest.iter().for_each(|&id| each(id)); // `a/#` matches `a`
                }
            }
        }
    }
}

/// The filters without repeats and without those that another covers: a broker may deliver twice what two filters match.
/// By a tree, since comparing each with each takes seconds at 10,000 rules, and the bridge waits for it at a reload.
#[must_use]
pub fn minimal_filters(mut filters: Vec<String>) -> Vec<String> {
    filters.sort();
    filters.dedup();
    let mut tree = Filters::default();
    filters.iter().for_each(|filter| tree.add(filter));
    let redundant: Vec<bool> = filters.iter().map(|filter| tree.covers(filter)).collect();
    let mut redundant = redundant.into_iter();
    filters.retain(|_| !redundant.next().unwrap_or_default());
    filters
}

/// MQTT filters as a tree over their levels.
#[derive(Default)]
struct Filters<'f> {
    below: HashMap<&'f str, Filters<'f>, Quick>,
    /// One of them ends here.
    here: bool,
}

impl<'f> Filters<'f> {
    fn add(&mut self, filter: &'f str) {
        let end = filter.split('/').fold(self, |node, level| node.below.entry(level).or_default());
        end.here = true;
    }

    /// Whether everything that `filter`, one of them, matches is matched by another one.
    fn covers(&self, filter: &str) -> bool {
        match cut(filter) {
            // A wildcard at the first level does not match topics that begin with `$`.
            (level, below) if level.starts_with('$') => {
                self.below.get(level).is_some_and(|node| node.under(below, true))
            }
            _ => self.under(Some(filter), true),
        }
    }

    /// `same`: the way to here is that of the filter itself, level by level.
    fn under(&self, filter: Option<&str>, same: bool) -> bool {
        if self.below.contains_key("#") && !(same && filter == Some("#")) {
            return true; // `a/#` also matches `a`
        }
        let Some(filter) = filter else { return self.here && !same };
        let (level, below) = cut(filter);
        let next = |level, same| self.below.get(level).is_some_and(|node| node.under(below, same));
        level != "#" && next(level, same) || !matches!(level, "#" | "+") && next("+", false)
    }
}
