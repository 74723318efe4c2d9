//! Where a value stands: `{capture}`, `=constant`, `/json/pointer`, or the name of a query's field or of a group.

use super::super::reader::{At, Section};
use super::conditions::regex;
use crate::presence::rule::{Format, Place, Regex, Template};
use crate::presence::topic::Pattern;

/// How a topic's payload is read.
pub(super) struct Reading {
    pub(super) format: Format,
    pub(super) regex: Option<Regex>,
}

pub(super) fn reading(section: &Section<'_, '_>) -> Reading {
    let formats = [("text", Format::Text), ("json", Format::Json), ("query", Format::Query), ("match", Format::Match)];
    let format = section.choice("format", Format::Text, &formats);
    let pattern = section.has("pattern");
    let regex = regex(section, "pattern");
    match (format, pattern) {
        (Format::Match, false) => {
            section.missing("pattern", r"what takes the payload apart: pattern = '<User>(?<user>\d+)'")
        }
        (Format::Match, true) | (_, false) => {}
        (_, true) => section.missing("format", r#"a pattern needs format = "match""#),
    }
    Reading { format, regex }
}

/// What the places of a topic may be.
pub(super) struct Places<'a> {
    pub(super) pattern: &'a Pattern,
    pub(super) reading: &'a Reading,
}

impl Places<'_> {
    pub(super) fn key(&self, section: &Section<'_, '_>, name: &'static str) -> Option<Place> {
        section.text(name).and_then(|at| self.read(section, &at))
    }

    pub(super) fn read(&self, section: &Section<'_, '_>, at: &At<String>) -> Option<Place> {
        let text = &*at.value;
        if let Some(constant) = text.strip_prefix('=') {
            return Some(Place::Topic(Template::constant(constant)));
        }
        if text.is_empty() {
            return Some(Place::Payload);
        }
        if !text.contains(['{', '}']) || text.starts_with('/') && self.reading.format == Format::Json {
            return self.field(section, at);
        }
        template(section, at, self.pattern).map(Place::Topic)
    }

    fn field(&self, section: &Section<'_, '_>, at: &At<String>) -> Option<Place> {
        let pointer = at.value.starts_with('/');
        let name = at.value.strip_prefix('/').unwrap_or(&at.value);
        match self.reading.format {
            Format::Json if pointer => return Some(Place::Field(at.value.as_str().into())),
            Format::Query => return Some(Place::Field(name.into())),
            Format::Match => {
                let names: Vec<&str> = self.reading.regex.iter().flat_map(Regex::names).collect();
                if self.reading.regex.is_none() || names.contains(&name) {
                    return Some(Place::Field(name.into()));
                }
                let hint = format!("groups are named in it, like (?<{name}>…); it has: {}", names.join(", "));
                section.problem(at, "no such group in the pattern", hint);
            }
            Format::Text if pointer => {
                section.problem(at, "a field of a payload that is not JSON", r#"add format = "json""#);
            }
            Format::Json | Format::Text => {
                let hint = format!(
                    r#"write "={0}" for the constant {0}, "{{name}}" for a capture, "/name" for a field"#,
                    at.value
                );
                section.problem(at, "neither a capture nor a field", hint);
            }
        }
        None
    }
}

pub(super) fn template(section: &Section<'_, '_>, at: &At<String>, pattern: &Pattern) -> Option<Template> {
    let text = at.value.strip_prefix('=').unwrap_or(&at.value);
    match Template::parse(text, pattern) {
        Ok(template) => Some(template),
        Err(error) => {
            section.problem(at, error, "captures are named in the rule's topic, like {ext}");
            None
        }
    }
}

pub(super) fn pattern(section: &Section<'_, '_>, at: &At<String>) -> Option<Pattern> {
    match Pattern::parse(&at.value) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            section.problem(at, error.to_string(), "");
            None
        }
    }
}
