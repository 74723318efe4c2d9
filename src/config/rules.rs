//! `[[rule]]`: how messages become signals.

use std::time::Duration;

use super::mqtt::Brokers;
use super::people::People;
use super::problem::nearest;
use super::reader::{At, Section};
use crate::presence::rule::{DEFAULT_TTL, Format, LONGEST_TTL, Place, Rule, Rules, Template, Words};
use crate::presence::topic::Pattern;
use crate::presence::{Plan, Policy, SourceId};

/// The longest delay or hold: what lasts longer is a lease, and `ttl` says so.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

pub(super) fn plan(root: &Section<'_, '_>, people: People, policy: Policy, brokers: &Brokers) -> Plan {
    let mut rules = Vec::new();
    let sections = root.tables("rule");
    for section in &sections {
        if let Some(rule) = rule(section, &people, &brokers.names) {
            rules.push((section, rule));
        }
        section.finish();
    }
    halves(&rules);
    let names = people.signals.iter().map(|signal| signal.name.clone()).collect();
    let rules =
        Rules::new(rules.into_iter().map(|(_, rule)| rule).collect(), people.subjects, names, Some(&brokers.prefix));
    Plan { tenants: Vec::new(), people: people.people, signals: people.signals, rules, policy }
}

fn rule(section: &Section<'_, '_>, people: &People, sources: &[String]) -> Option<Rule> {
    let topic = section.required("topic", r#"for example topic = "pbx/devstate/PJSIP/{ext}""#);
    let pattern = topic.as_ref().and_then(|at| match Pattern::parse(&at.value) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            section.problem(at, error.to_string(), "");
            None
        }
    });
    let name = section.text("name").map_or_else(|| topic.as_ref().map(|at| at.value.clone()), |at| Some(at.value));
    let format = section.choice("format", Format::Text, &[("text", Format::Text), ("json", Format::Json)]);
    let subject = section.required("subject", r#"who it is about: "{capture}", "=constant" or "/field""#);
    let value = section.text("value");
    let device = section.text("device");
    let signal = section.required("signal", "a name from [signals]");
    let source = section.text("source").map(|at| source(section, &at, sources));
    let [on, off, unknown] = ["on", "off", "unknown"].map(|name| section.words(name));
    if on.is_empty() && off.is_empty() {
        section.missing("on", r#"which values mean on: on = ["INUSE", "BUSY"]"#);
    }
    for (word, list) in off.iter().map(|word| (word, "off")).chain(unknown.iter().map(|word| (word, "unknown"))) {
        if on.iter().any(|other| other.eq_ignore_ascii_case(word)) {
            section.missing(list, &format!("{word:?} cannot mean on and {list}"));
        }
    }
    let ttl = section.span("ttl", DEFAULT_TTL, Duration::from_secs(1)..LONGEST_TTL);
    let delay = section.span("delay", Duration::ZERO, Duration::ZERO..LONGEST_WAIT);
    let hold = section.span("hold", Duration::ZERO, Duration::ZERO..LONGEST_WAIT);
    let accept_retained = section.choice("retained", true, &[("accept", true), ("ignore", false)]);
    let signal = signal.filter(|at| is_signal(section, at, people));
    let pattern = pattern?;
    let subject = subject.and_then(|at| place(section, &at, &pattern, format));
    let value = match value {
        Some(at) => place(section, &at, &pattern, format),
        None => Some(Place::Payload),
    };
    let device = device.map(|at| template(section, &at, &pattern));
    let words = |list: &[String]| Words::new(list.iter().map(String::as_str));
    Some(Rule {
        name: name?.into(),
        source: match source {
            Some(source) => Some(source?),
            None => None,
        },
        pattern,
        format,
        subject: subject?,
        signal: signal?.value.into(),
        value: value?,
        on: words(&on),
        off: words(&off),
        unknown: words(&unknown),
        device: match device {
            Some(device) => Some(device?),
            None => None,
        },
        ttl,
        delay,
        hold,
        accept_retained,
    })
}

fn is_signal(section: &Section<'_, '_>, at: &At<String>, people: &People) -> bool {
    let names = || people.signals.iter().map(|signal| &*signal.name);
    let known = names().any(|name| name == at.value);
    if !known {
        let hint = match nearest(&at.value, names()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("known: {}", names().collect::<Vec<_>>().join(", ")),
        };
        section.problem(at, "no such signal in [signals]", hint);
    }
    known
}

/// The broker that a rule listens to, by its name.
fn source(section: &Section<'_, '_>, at: &At<String>, sources: &[String]) -> Option<SourceId> {
    let place = sources.iter().position(|name| *name == at.value).and_then(|place| u16::try_from(place).ok());
    if place.is_none() {
        let names = || sources.iter().map(String::as_str).filter(|name| !name.is_empty());
        let hint = match nearest(&at.value, names()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("known: {}; [mqtt] is called mqtt", names().collect::<Vec<_>>().join(", ")),
        };
        section.problem(at, "no [[source]] of that name", hint);
    }
    place.map(SourceId)
}

/// `=constant`, `/json/pointer` or a template with captures.
fn place(section: &Section<'_, '_>, at: &At<String>, pattern: &Pattern, format: Format) -> Option<Place> {
    if let Some(constant) = at.value.strip_prefix('=') {
        return Some(Place::Topic(Template::constant(constant)));
    }
    if at.value.starts_with('/') {
        if format != Format::Json {
            section.problem(at, "a field of a payload that is not JSON", r#"add format = "json""#);
        }
        return Some(Place::Field(at.value.as_str().into()));
    }
    let template = template(section, at, pattern)?;
    if !template.has_capture() {
        let hint =
            format!(r#"write "={0}" for the constant {0}, "{{name}}" for a capture, "/name" for a field"#, at.value);
        section.problem(at, "neither a capture nor a field", hint);
        return None;
    }
    Some(Place::Topic(template))
}

fn template(section: &Section<'_, '_>, at: &At<String>, pattern: &Pattern) -> Option<Template> {
    let text = at.value.strip_prefix('=').unwrap_or(&at.value);
    match Template::parse(text, pattern) {
        Ok(template) => Some(template),
        Err(error) => {
            section.problem(at, error, "captures are named in the rule's topic, like {ext}");
            None
        }
    }
}

/// A rule that can only turn on and another that can only turn off the same signal make one level only if they speak of
/// one device; else the signal would stay on until its lease ends.
fn halves(rules: &[(&Section<'_, '_>, Rule)]) {
    for (section, on) in rules.iter().filter(|(_, rule)| rule.off.is_empty() && rule.unknown.is_empty()) {
        let only_off = |rule: &Rule| rule.on.is_empty() && rule.signal == on.signal;
        let apart = |rule: &Rule| rule.device.is_none() || on.device.is_none();
        if let Some((_, off)) = rules.iter().find(|(_, rule)| only_off(rule) && apart(rule)) {
            let hint = format!("give this rule and \"{}\" the same device, for example device = \"{{mac}}\"", off.name);
            section.missing("device", &hint);
        }
    }
}
