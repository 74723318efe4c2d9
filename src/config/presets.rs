//! Presets: rules for devices that many people have, written once, in config/presets. They are part of the program, so that
//! using one takes its name and no file; and each is a file that can be read, since it is its own documentation.

mod expand;
mod files;
mod fill;

use std::borrow::Cow;

use toml::de::{DeArray, DeTable, DeValue};

use self::files::FILES;
use super::problem::nearest;

pub(super) use self::expand::{Expansion, read};

/// One file of config/presets.
#[derive(Clone, Debug)]
pub struct Preset {
    /// What `use` calls it.
    pub name: &'static str,
    /// The file, as it is.
    pub text: &'static str,
    /// What it is for, in a line.
    pub about: String,
    /// It tells of meetings that stand in a calendar, which Teams may know already.
    pub calendar: bool,
    /// What can be chosen, in the order of the file.
    pub parameters: Vec<Parameter>,
    rules: Vec<DeTable<'static>>,
}

/// What can be chosen where a preset is used.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The key in `[[preset]]`.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: String,
    /// Rules that name it are left out where it is not given.
    pub optional: bool,
    /// It is the name of a signal, which usually shows this.
    pub shows: Option<String>,
    default: Option<DeValue<'static>>,
}

/// A `[[preset]]` of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedPreset {
    /// The preset's name.
    pub name: &'static str,
    /// Where the configuration uses it: line, from 1.
    pub line: usize,
    /// It tells of meetings that stand in a calendar.
    pub calendar: bool,
    /// Its rules among those of the plan, by [`RuleId`](crate::presence::RuleId).
    pub rules: std::ops::Range<usize>,
}

/// All presets, by name.
#[must_use]
pub fn all() -> Vec<Preset> {
    FILES.iter().map(|&(name, text)| Preset::read(name, text)).collect()
}

/// The preset of this name; else the name that was perhaps meant.
///
/// # Errors
/// There is none.
pub fn find(name: &str) -> Result<Preset, Option<&'static str>> {
    match FILES.iter().find(|(known, _)| *known == name) {
        Some(&(name, text)) => Ok(Preset::read(name, text)),
        None => Err(near(name)),
    }
}

/// Names have parts, and whoever knows one of them should find the rest.
fn near(name: &str) -> Option<&'static str> {
    let names = || FILES.iter().map(|&(known, _)| known);
    let lower = name.to_lowercase();
    let part = || names().find(|known| lower.len() > 2 && known.starts_with(&lower) || lower.starts_with(known));
    nearest(name, names()).or_else(part)
}

impl Preset {
    /// What is wrong with a file of ours is for the tests to find: here, what is not there is left out.
    fn read(name: &'static str, text: &'static str) -> Preset {
        let (root, _) = DeTable::parse_recoverable(text);
        let root = root.into_inner();
        let parameters = root.get("parameters").and_then(|value| value.get_ref().as_table());
        let mut parameters: Vec<_> = parameters.into_iter().flat_map(DeTable::iter).collect();
        parameters.sort_by_key(|(key, _)| key.span().start);
        let parameters = parameters.into_iter().filter_map(|(key, value)| match key.get_ref() {
            Cow::Borrowed(name) => Some(Parameter::read(name, value.get_ref().as_table()?)),
            Cow::Owned(_) => None,
        });
        let tables = |array: &DeArray<'static>| {
            array.iter().filter_map(|item| item.get_ref().as_table().cloned()).collect::<Vec<_>>()
        };
        Preset {
            name,
            text,
            about: text_of(&root, "about").unwrap_or_default(),
            calendar: flag(&root, "calendar"),
            parameters: parameters.collect(),
            rules: root.get("rule").and_then(|value| value.get_ref().as_array()).map(tables).unwrap_or_default(),
        }
    }
}

impl Parameter {
    fn read(name: &'static str, table: &DeTable<'static>) -> Parameter {
        Parameter {
            name,
            about: text_of(table, "about").unwrap_or_default(),
            optional: flag(table, "optional"),
            shows: text_of(table, "shows"),
            default: table.get("default").map(|value| value.get_ref().clone()),
        }
    }

    /// Whether it has to be given.
    #[must_use]
    pub fn required(&self) -> bool {
        self.default.is_none() && !self.optional
    }

    /// What counts where it is not given, if that can be said in a word.
    #[must_use]
    pub fn default(&self) -> Option<&str> {
        match self.default.as_ref()? {
            DeValue::String(text) => Some(text),
            DeValue::Integer(number) => Some(number.as_str()),
            DeValue::Float(number) => Some(number.as_str()),
            _ => None,
        }
    }
}

fn text_of(table: &DeTable<'_>, key: &str) -> Option<String> {
    table.get(key).and_then(|value| value.get_ref().as_str()).map(str::to_owned)
}

fn flag(table: &DeTable<'_>, key: &str) -> bool {
    table.get(key).and_then(|value| value.get_ref().as_bool()).unwrap_or_default()
}
