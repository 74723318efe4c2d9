//! `[[rule]]`: how messages become signals.

mod conditions;
mod halves;
mod places;
mod siblings;

use std::ops::Range;
use std::time::Duration;

use toml::de::DeValue;

use self::conditions::{Asked, asked};
use self::places::{Places, pattern, reading, template};
use super::PeopleSection;
use super::mqtt::Brokers;
use super::people::People;
use super::presets::{self, UsedPreset};
use super::problem::nearest;
use super::reader::{At, Section};
use crate::presence::rule::{DEFAULT_TTL, Format, LONGEST_TTL, Missing, Normal, Place, Rule, Rules, Spelling, Zone};
use crate::presence::topic::Pattern;
use crate::presence::{Plan, Policy, SourceId};

/// The longest delay or hold: what lasts longer is a lease, and `ttl` says so.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How long a pulse is, where the rule does not say.
const PULSE: Duration = Duration::from_secs(30);

/// What all rules of a file share.
struct Site<'a> {
    people: &'a People,
    /// Names of the brokers, in their order.
    sources: &'a [String],
    zone: Zone,
    /// Topics on which presence itself is published.
    echoes: Vec<String>,
}

/// The plan, and which presets it is made of; their rules come after those of `[[rule]]`. `listing`: who else is listed, if that
/// is known.
pub(super) fn plan(
    root: &Section<'_, '_>,
    people: People,
    listing: Option<&PeopleSection>,
    policy: Policy,
    brokers: &Brokers,
) -> (Plan, Vec<UsedPreset>) {
    let prefix = &brokers.prefix;
    let echoes = vec![
        "teams/status".to_owned(), // teams-for-linux says there what Teams shows
        format!("{prefix}/people/x"),
        format!("{prefix}/status/x"),
    ];
    let site = Site { people: &people, sources: &brokers.names, zone: zone(root).unwrap_or_default(), echoes };
    let sections = root.tables("rule");
    let expansions = presets::read(root, &people, listing);
    let expanded: Vec<Vec<Section<'_, '_>>> = expansions.iter().map(presets::Expansion::sections).collect();
    let mut rules = Vec::new();
    read_all(&sections, &site, &mut rules);
    let ranges: Vec<_> = expanded.iter().map(|sections| read_all(sections, &site, &mut rules)).collect();
    halves::refuse(&rules, &people);
    let rules = rules.into_iter().map(|(_, rule)| rule).collect();
    drop(expanded);
    let used = expansions.into_iter().zip(ranges).map(|(expansion, rules)| expansion.finish(rules, root.reader()));
    let used = used.collect();
    let names = people.signals.iter().map(|signal| signal.name.clone()).collect();
    let rules = Rules::new(rules, people.subjects, names, Some(prefix));
    (Plan { tenants: Vec::new(), people: people.people, signals: people.signals, rules, policy }, used)
}

/// Reads some rules behind those that there are; where they lie then.
fn read_all<'s, 'r, 'i>(
    sections: &'s [Section<'r, 'i>],
    site: &Site<'_>,
    rules: &mut Vec<(&'s Section<'r, 'i>, Rule)>,
) -> Range<usize> {
    let first = rules.len();
    for section in sections {
        if let Some(rule) = rule(section, site) {
            rules.push((section, rule));
        }
        section.finish();
    }
    first..rules.len()
}

fn zone(section: &Section<'_, '_>) -> Option<Zone> {
    let at = section.text("time_zone")?;
    let zone = Zone::named(&at.value);
    if zone.is_none() {
        let hint = r#"for example "Europe/Berlin", "W. Europe Standard Time", "UTC" or "+01:00""#;
        section.problem(&at, "no such time zone", hint);
    }
    zone
}

fn rule(section: &Section<'_, '_>, site: &Site<'_>) -> Option<Rule> {
    let topic = section.required("topic", r#"for example topic = "pbx/devstate/PJSIP/{ext}""#);
    let own = topic.as_ref().and_then(|at| pattern(section, at));
    let name = section.text("name").map(|at| at.value);
    let reading = reading(section);
    let signal = section.required("signal", "a name from [signals]");
    let signal = signal.filter(|at| is_signal(section, at, site.people));
    let source = section.text("source").map(|at| source(section, &at, site.sources));
    // What needs the topic is read against a stand-in where that is wrong, so that all problems come at once.
    let stand_in = Pattern::parse("#").ok()?;
    let pattern = own.as_ref().unwrap_or(&stand_in);
    let quiet = own.is_none();
    let places = Places { pattern, reading: &reading };
    let place = |name| if quiet { ignore(section, name) } else { places.key(section, name) };
    let words = ["on", "off", "unknown", "toggle", "pulse"].map(|name| asked(section, name));
    let any = any(section);
    let window = window(section, &places);
    senses(section, &words, window.is_some());
    let [on, off, unknown, toggle, pulse] = words;
    let edge = !toggle.1.is_empty() || !pulse.1.is_empty();
    let (ttl, lasts) = lease(section, &places, if pulse.1.is_empty() { DEFAULT_TTL } else { PULSE });
    let delay = section.span("delay", Duration::ZERO, Duration::ZERO..LONGEST_WAIT);
    let hold = section.span("hold", Duration::ZERO, Duration::ZERO..LONGEST_WAIT);
    let accept_retained = section.choice("retained", !edge, &[("accept", true), ("ignore", false)]);
    let missing = [("ignore", Missing::Ignore), ("off", Missing::Off), ("unknown", Missing::Unknown)];
    let missing = section.choice("missing", Missing::Ignore, &missing);
    let absent = [("ignore", Missing::Ignore), ("off", Missing::Off), ("unknown", Missing::Unknown)];
    let absent = section.choice("absent", Missing::Ignore, &absent);
    let max_age =
        section.has("max_age").then(|| section.span("max_age", DEFAULT_TTL, Duration::from_secs(1)..LONGEST_TTL));
    if max_age.is_some() && !section.has("time") {
        section.missing("time", r#"max_age needs to know when a message was made: time = "/timestamp""#);
    }
    if any.is_some() && reading.format != Format::Json {
        section.missing("format", r#"any searches an array: format = "json""#);
    }
    if any.is_none() && section.has("absent") {
        section.missing("any", r#"absent is about who is no longer in a list: any = "/people""#);
    }
    if any.is_none() && section.has("where") {
        section.missing("any", r#"where looks at the elements of an array: any = "/events""#);
    }
    let value = if section.has("value") { place("value") } else { Some(Place::Payload) };
    let subject = subject(section, &places, quiet);
    let optional = |name| if section.has(name) { place(name).map(Some) } else { Some(None) };
    let (until, made, dedupe) = (optional("until"), optional("time"), optional("dedupe"));
    let when = conditions::all(section, "when", &places);
    let filter = conditions::all(section, "where", &places);
    let siblings = siblings::all(section, own.as_ref());
    let (device, each) = match section.text("device") {
        Some(at) if at.value.starts_with('/') => (None, Some(if quiet { None } else { places.read(section, &at) })),
        at => (at.map(|at| if quiet { None } else { template(section, &at, pattern) }), None),
    };
    let except = except(section);
    let zone = zone(section).unwrap_or_else(|| site.zone.clone());
    let echo = section.choice("echo", false, &[("refuse", false), ("allow", true)]);
    let pattern = own?;
    if !echo {
        refuse_echo(section, site, topic.as_ref()?, &pattern, &except);
    }
    let (subject, normal) = subject?;
    let mut rule = Rule::new(pattern, subject, &signal?.value);
    rule.name = name.or_else(|| topic.map(|at| at.value))?.into();
    Some(Rule {
        source: match source {
            Some(source) => Some(source?),
            None => None,
        },
        except,
        format: reading.format,
        regex: reading.regex,
        when,
        any,
        filter,
        absent,
        window,
        normal,
        value: value?,
        on: on.1,
        off: off.1,
        unknown: unknown.1,
        toggle: toggle.1,
        pulse: pulse.1,
        missing,
        dedupe: dedupe?,
        device: match device {
            Some(device) => Some(device?),
            None => None,
        },
        each: match each {
            Some(each) => Some(each?),
            None => None,
        },
        ttl,
        lasts,
        delay,
        hold,
        until: until?,
        made: made?,
        max_age,
        zone,
        accept_retained,
        siblings,
        ..rule
    })
}

/// A key that cannot be judged without the topic.
fn ignore(section: &Section<'_, '_>, name: &'static str) -> Option<Place> {
    section.has(name).then_some(Place::Payload)
}

/// Whether anything turns the signal on or off, and nothing does both.
fn senses(section: &Section<'_, '_>, [on, off, unknown, toggle, pulse]: &[Asked; 5], window: bool) {
    let known = [on, off, toggle, pulse];
    if known.iter().all(|asked| asked.1.is_empty()) && !window && !section.has("on") {
        section.missing("on", r#"which values mean on: on = ["INUSE", "BUSY"]"#);
    }
    if window && known.iter().any(|asked| !asked.1.is_empty()) {
        section.missing(
            "window",
            "a window is on by itself: say with where which elements count, and leave on and off away",
        );
    }
    for (word, list) in off.0.iter().map(|word| (word, "off")).chain(unknown.0.iter().map(|word| (word, "unknown"))) {
        if on.0.iter().any(|other| other.eq_ignore_ascii_case(word)) {
            section.missing(list, &format!("{word:?} cannot mean on and {list}"));
        }
    }
}

/// `ttl`: a duration, or where the payload has one.
fn lease(section: &Section<'_, '_>, places: &Places<'_>, default: Duration) -> (Duration, Option<Place>) {
    let second = Duration::from_secs(1);
    match section.find("ttl").map(|at| at.value) {
        Some(DeValue::String(text)) if text.starts_with('/') => (default, places.key(section, "ttl")),
        _ => (section.span("ttl", default, second..LONGEST_TTL), None),
    }
}

/// The array that is searched, by JSON Pointer.
fn any(section: &Section<'_, '_>) -> Option<Box<str>> {
    let at = section.text("any")?;
    if !at.value.is_empty() && !at.value.starts_with('/') {
        let hint = format!(r#"any = "/{}" for the field, "" for the whole payload"#, at.value);
        section.problem(&at, "not a JSON Pointer", hint);
    }
    Some(at.value.into_boxed_str())
}

/// Start and end; the end may be said by a sibling.
fn window(section: &Section<'_, '_>, places: &Places<'_>) -> Option<(Place, Option<Place>)> {
    let table = section.table("window")?;
    let ends_elsewhere = section.table("attach").is_some_and(|attach| attach.has("until"));
    for (name, elsewhere) in [("start", false), ("end", ends_elsewhere)] {
        if !elsewhere && !table.has(name) {
            table.missing(name, r#"window = { start = "/start", end = "/end" }; or attach.until says the end"#);
        }
    }
    let end = table.has("end").then(|| places.key(&table, "end"));
    let start = places.key(&table, "start");
    table.finish();
    match end {
        Some(end) => Some((start?, Some(end?))),
        None => Some((start?, None)),
    }
}

/// Text, or a table that says what is done with it.
fn subject(section: &Section<'_, '_>, places: &Places<'_>, quiet: bool) -> Option<(Place, Normal)> {
    const HINT: &str = r#"who it is about: "{capture}", "=constant" or "/field""#;
    let Some(at) = section.find("subject") else {
        section.missing("subject", HINT);
        return None;
    };
    let read = |section: &Section<'_, '_>, at: &At<String>| match quiet {
        true => None,
        false => places.read(section, at),
    };
    let Some(table) = section.as_table(&at) else {
        return Some((read(section, &section.as_text(&at)?)?, Normal::default()));
    };
    let place = table.required("from", HINT).and_then(|at| read(&table, &at));
    let cuts = |name| table.words(name).into_iter().map(String::into_boxed_str).collect();
    let spellings = [("text", Spelling::AsIs), ("mac", Spelling::Mac), ("phone", Spelling::Phone)];
    let normal = Normal {
        matches: conditions::regex(&table, "match"),
        strip_prefix: cuts("strip_prefix"),
        strip_suffix: cuts("strip_suffix"),
        spelling: table.choice("as", Spelling::AsIs, &spellings),
    };
    table.finish();
    Some((place?, normal))
}

fn except(section: &Section<'_, '_>) -> Vec<Pattern> {
    let Some(at) = section.find("except") else { return Vec::new() };
    let topics = section.as_words(&at);
    topics.into_iter().filter_map(|topic| pattern(section, &at.with(topic))).collect()
}

/// What Teams shows must not decide what Teams shows.
fn refuse_echo(section: &Section<'_, '_>, site: &Site<'_>, at: &At<String>, pattern: &Pattern, except: &[Pattern]) {
    let takes = |pattern: &Pattern, topic: &str| pattern.captures(topic).is_some();
    for echo in &site.echoes {
        if takes(pattern, echo) && !except.iter().any(|except| takes(except, echo)) {
            let text =
                format!("takes {echo}, where presence itself is published: what is shown would decide what is shown");
            section.problem(
                at,
                text,
                r#"leave it out with except = [...], or write echo = "allow" if you know better"#,
            );
            return;
        }
    }
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
