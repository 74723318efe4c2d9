//! What a value is compared with: `["on", "open"]`, or `{ above = 2.0 }` and its like.

use toml::de::DeValue;

use super::super::reader::{At, Section};
use super::places::Places;
use crate::presence::rule::{Place, Regex, Test, Words};

/// The words of a key, for what must not be said twice; and what is asked for.
pub(super) type Asked = (Vec<String>, Words);

/// Bounds beyond this are mistakes.
const FAR: f64 = 1e15;

/// One key of a rule.
pub(super) fn asked(section: &Section<'_, '_>, name: &'static str) -> Asked {
    section.find(name).map_or_else(Asked::default, |at| read(section, &at))
}

pub(super) fn read<'r, 'i>(section: &Section<'r, 'i>, at: &At<&'r DeValue<'i>>) -> Asked {
    let Some(table) = section.as_table(at) else {
        let words = section.as_words(at);
        if words.is_empty() {
            section.problem(at, "asks for nothing", r#"for example ["on", "open"], or { above = 2.0 }"#);
        }
        let asked = new(&words);
        return (words, asked);
    };
    let words = table.words("in");
    let bound = |name| table.has(name).then(|| table.number(name, 0.0, -FAR..FAR));
    let test = Test {
        not: new(&table.words("not")),
        above: bound("above"),
        below: bound("below"),
        contains: table.words("contains").iter().map(|word| word.trim().to_lowercase().into()).collect(),
        exists: table.has("exists").then(|| table.flag("exists", true)),
        matches: regex(&table, "match"),
    };
    table.finish();
    if words.is_empty() && test == Test::default() {
        section.problem(at, "asks for nothing", "known here: in, not, above, below, contains, exists, match");
    }
    if let (Some(above), Some(below)) = (test.above, test.below)
        && above >= below
    {
        section.problem(at, "no number is both above and below these", "swap them");
    }
    let asked = new(&words).with(test);
    (words, asked)
}

fn new(words: &[String]) -> Words {
    Words::new(words.iter().map(String::as_str))
}

pub(super) fn regex(section: &Section<'_, '_>, name: &'static str) -> Option<Regex> {
    let at = section.text(name)?;
    match Regex::parse(&at.value) {
        Ok(regex) => Some(regex),
        Err(error) => {
            section.problem(
                &at,
                format!("not a regular expression that can be used: {error}"),
                "in single quotes nothing in it needs a second backslash",
            );
            None
        }
    }
}

/// `when` and `where`: place → what must stand there.
pub(super) fn all(section: &Section<'_, '_>, name: &'static str, places: &Places<'_>) -> Vec<(Place, Words)> {
    let Some(table) = section.table(name) else { return Vec::new() };
    let each = table.each().filter_map(|(key, value)| {
        let place = places.read(&table, &key.with(key.value.to_owned()))?;
        Some((place, read(&table, &value).1))
    });
    each.collect()
}
