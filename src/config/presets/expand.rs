//! `[[preset]]`: the preset's rules with what was chosen in the places of `${name}`. They are tables as if they stood in the
//! user's own file, where each value has the place of what it came from: so whatever is wrong with it is told of the
//! line that can be changed.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::PeopleSection;
use super::super::people::People;
use super::super::problem::{Problem, nearest};
use super::super::reader::{At, Reader, Section};
use super::fill::{Given, fill_table, names};
use super::{Parameter, Preset, UsedPreset, find, text_of};
use crate::presence::Signal;

/// Keys of a rule that may be given beside the parameters. They go to the rules of the preset's main signal: what rings for
/// 45 s should not ring for the hours that a call may last.
const OF_THE_SIGNAL: [&str; 4] = ["ttl", "delay", "hold", "retained"];

/// Those that go to all rules.
const OF_ALL: [&str; 3] = ["source", "time_zone", "echo"];

/// The parameter that names the main signal.
const MAIN: &str = "${signal}";

/// One `[[preset]]`, and the rules that it stands for.
pub(in crate::config) struct Expansion<'i> {
    preset: Preset,
    /// Of what is wrong with the rules: keys and places are translated before anybody reads them.
    reader: Reader<'i>,
    /// Where each given key stands; `use` is the first.
    keys: Vec<At<()>>,
    rules: Vec<DeTable<'i>>,
}

/// All of them. `listing` says who else is listed, if that is known.
pub(in crate::config) fn read<'i>(
    root: &Section<'_, 'i>,
    people: &People,
    listing: Option<&PeopleSection>,
) -> Vec<Expansion<'i>> {
    let site = Site { people, listing };
    root.tables("preset").iter().filter_map(|section| expansion(section, &site)).collect()
}

/// What names may stand for.
struct Site<'a> {
    people: &'a People,
    listing: Option<&'a PeopleSection>,
}

fn expansion<'i>(section: &Section<'_, 'i>, site: &Site<'_>) -> Option<Expansion<'i>> {
    let at = section.required("use", "the name of a preset; `presence-bridge presets` lists them")?;
    let preset = preset(section, &at)?;
    let keys = Overrides { of_the_signal: overrides(section, &OF_THE_SIGNAL), of_all: overrides(section, &OF_ALL) };
    let choose = |parameter| given(section, parameter, &at, site);
    let given: Vec<_> = preset.parameters.iter().filter_map(choose).collect();
    section.finish();
    if preset.parameters.iter().any(|parameter| parameter.required() && !section.has(parameter.name)) {
        return None;
    }
    if let Some(chosen) = silent(&preset, &given) {
        let hint = format!("what stands in {chosen} does not tell: who = \"alice\", or a capture that {chosen} has");
        section.missing("who", &hint);
        return None;
    }
    let absent: Vec<_> =
        preset.parameters.iter().filter(|parameter| !given.iter().any(|given| given.name == parameter.name)).collect();
    let asked = |rule: &&DeTable<'static>| !absent.iter().any(|parameter| names(rule, parameter.name));
    let rules = preset.rules.iter().filter(asked).map(|rule| {
        let mut table = fill_table(rule, &given, &at.span);
        keys.put(rule, &mut table);
        let name = text_of(rule, "name").map_or_else(String::new, |name| format!(": {name}"));
        put(&mut table, "name", DeValue::String(format!("{}{name}", preset.name).into()), &at.span);
        table
    });
    let rules = rules.collect();
    let parameters = preset.parameters.iter().map(|parameter| parameter.name);
    let given = parameters.chain(OF_THE_SIGNAL).chain(OF_ALL).filter_map(|name| section.find(name));
    let keys = std::iter::once(at.with(())).chain(given.map(|at| at.with(()))).collect();
    Some(Expansion { preset, reader: section.reader().again(), keys, rules })
}

/// The parameter that was chosen without the capture that `who` is by default: then nothing tells who it is about.
fn silent(preset: &Preset, given: &[Given<'_>]) -> Option<&'static str> {
    let own = |name: &str| given.iter().find(|given| given.name == name && given.own);
    let who = preset.parameters.iter().find(|parameter| parameter.name == "who" && own("who").is_none())?;
    let name = who.default()?.strip_prefix('{')?.strip_suffix('}')?;
    let tells = |text: &str| text.contains(&format!("{{{name}}}")) || text.contains(&format!("{{{name}..."));
    let others = preset.parameters.iter().filter(|other| other.name != "who" && other.default().is_some_and(tells));
    let mut chosen = others.filter_map(|other| own(other.name));
    chosen.find(|own| own.value.as_str().is_some_and(|text| !tells(text))).map(|own| own.name)
}

fn preset(section: &Section<'_, '_>, at: &At<String>) -> Option<Preset> {
    match find(&at.value) {
        Ok(preset) => Some(preset),
        Err(near) => {
            let hint = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
            section.problem(at, "no such preset", hint + "`presence-bridge presets` lists them");
            None
        }
    }
}

/// Keys of a rule that were given, with their values.
struct Overrides<'r, 'i> {
    of_the_signal: Vec<(&'static str, At<&'r DeValue<'i>>)>,
    of_all: Vec<(&'static str, At<&'r DeValue<'i>>)>,
}

fn overrides<'r, 'i>(section: &Section<'r, 'i>, names: &[&'static str]) -> Vec<(&'static str, At<&'r DeValue<'i>>)> {
    names.iter().filter_map(|name| Some((*name, section.find(name)?))).collect()
}

impl<'i> Overrides<'_, 'i> {
    /// Puts them into a table that was made of `rule`.
    fn put(&self, rule: &DeTable<'static>, table: &mut DeTable<'i>) {
        let main = rule.get("signal").is_some_and(|value| value.get_ref().as_str() == Some(MAIN));
        for (key, at) in self.of_the_signal.iter().filter(|_| main).chain(&self.of_all) {
            put(table, key, at.value.clone(), &at.span);
        }
    }
}

fn put<'i>(table: &mut DeTable<'i>, key: &'static str, value: DeValue<'i>, span: &Range<usize>) {
    let key = Spanned::new(span.clone(), Cow::Borrowed(key));
    table.remove(&key); // else the old key stays, and with it its place
    table.insert(key, Spanned::new(span.clone(), value));
}

/// What stands for a parameter; `None` where it is not given, and nothing stands for it.
fn given<'i>(
    section: &Section<'_, 'i>,
    parameter: &Parameter,
    user: &At<String>,
    site: &Site<'_>,
) -> Option<Given<'i>> {
    let own = section.find(parameter.name);
    let (value, at) = match (&own, &parameter.default) {
        (Some(at), _) => (at.value.clone(), at.with(())),
        (None, Some(default)) => (default.clone(), user.with(())),
        (None, None) if parameter.optional => return None,
        (None, None) => {
            section.missing(parameter.name, &parameter.about);
            return None;
        }
    };
    let value = match (parameter.name, value) {
        (_, DeValue::String(text)) if parameter.shows.is_some() => {
            DeValue::String(signal(section, parameter, text, &at, own.is_some(), &site.people.signals))
        }
        ("who", DeValue::String(text)) => DeValue::String(who(section, text, &at, site)),
        ("base", DeValue::String(text)) if text.ends_with('/') => {
            section.problem(&at, "ends with a /, and one follows", "leave the last / out");
            DeValue::String(text)
        }
        (_, value) => value,
    };
    Some(Given { name: parameter.name, value, span: at.span, own: own.is_some() })
}

/// The signal of that name. One that is not there is told of once, and another stands in for it, so that all problems
/// come at once.
fn signal<'i>(
    section: &Section<'_, 'i>,
    parameter: &Parameter,
    name: Cow<'i, str>,
    at: &At<()>,
    own: bool,
    signals: &[Signal],
) -> Cow<'i, str> {
    let names = || signals.iter().map(|signal| &*signal.name);
    let Some(first) = names().next() else { return name };
    if names().any(|known| known == name) {
        return name;
    }
    let shows = parameter.shows.as_deref().unwrap_or_default();
    let mut hint = match nearest(&name, names()) {
        Some(near) if own => format!("did you mean {near}? Or add "),
        _ => "add ".to_owned(),
    };
    hint += &format!(r#"{name} = "{shows}" to [signals]"#);
    if !own {
        hint += &format!(r#", or name one of yours here: {} = "…"; known: "#, parameter.name);
        hint += &names().collect::<Vec<_>>().join(", ");
    }
    section.problem(at, format!("turns the signal {name} on, and there is none of that name in [signals]"), hint);
    Cow::Owned(first.to_owned())
}

/// A name alone is somebody's; the rest is a place, as in a rule.
fn who<'i>(section: &Section<'_, 'i>, text: Cow<'i, str>, at: &At<()>, site: &Site<'_>) -> Cow<'i, str> {
    if text.contains(['{', '}']) || text.starts_with(['=', '/']) || text.is_empty() {
        return text;
    }
    if let Some(listing) = site.listing
        && let Err(near) = site.knows(listing, &text.to_lowercase())
    {
        let hint = near.map_or_else(|| "a name from [users]".to_owned(), |near| format!("did you mean {near}?"));
        section.problem(at, "nobody of that name in [users] or [devices]", hint);
    }
    Cow::Owned(format!("={text}"))
}

impl Site<'_> {
    /// Whether somebody has this name; else the name that was perhaps meant. `name` is in lower case, as subjects are.
    fn knows<'s>(&'s self, listing: &'s PeopleSection, name: &str) -> Result<(), Option<&'s str>> {
        let subjects = self.people.subjects.iter().map(|(subject, _)| &**subject);
        let others = listing.waiting.iter().chain(&listing.doubles).map(|(label, _)| &**label);
        let mut known = subjects.clone().chain(others.clone());
        if known.any(|known| known.to_lowercase() == name) {
            Ok(())
        } else {
            Err(nearest(name, subjects.chain(others)))
        }
    }
}

impl<'i> Expansion<'i> {
    /// Its rules, to be read as those of `[[rule]]` are.
    pub(in crate::config) fn sections(&self) -> Vec<Section<'_, 'i>> {
        let head = self.keys.first().map_or(0..0, |at| at.span.clone());
        let numbered = self.rules.iter().zip(1..);
        numbered.map(|(rule, number)| self.reader.section(&format!("rule {number}"), rule, head.clone())).collect()
    }

    /// Tells what is wrong with the rules: of the lines where it is, and the keys that the user knows.
    pub(in crate::config) fn finish(self, rules: Range<usize>, to: &Reader<'i>) -> UsedPreset {
        let places: Vec<Problem> = self.keys.iter().flat_map(|at| place(to, at)).collect();
        let mut told: Vec<&str> = Vec::new();
        for problem in self.reader.finish() {
            let Some(place) = key(&places, &problem) else { continue };
            let key = problem.key.split_once('.').map_or(&*problem.key, |(_, key)| key);
            let text = match place.ends_with(&format!(".{key}")) {
                true => problem.text,
                false => format!("{}, as {key} of a rule of the preset", problem.text),
            };
            // One value that is wrong is wrong in several places of several rules.
            if !told.contains(&place) {
                told.push(place);
                to.add(Problem { key: place.to_owned(), text, ..problem });
            }
        }
        let line = places.first().map_or(0, |place| place.line);
        UsedPreset { name: self.preset.name, line, calendar: self.preset.calendar, rules }
    }
}

/// The key where a problem is: the value itself, or the last that begins above a part of it.
fn key<'p>(places: &'p [Problem], problem: &Problem) -> Option<&'p str> {
    let here = places.iter().find(|place| (place.line, &place.found) == (problem.line, &problem.found));
    let above = || places.iter().filter(|place| place.line <= problem.line).max_by_key(|place| place.line);
    here.or_else(above).map(|place| &*place.key)
}

/// A problem with nothing but its place.
fn place(reader: &Reader<'_>, at: &At<()>) -> Vec<Problem> {
    let scratch = reader.again();
    scratch.problem(&at.span, &at.key, "", "");
    scratch.finish()
}
