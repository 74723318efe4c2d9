//! Half levels: a rule that can only turn on and another that can only turn off the same signal make one level only if they
//! speak of one device; else the signal would stay on until its lease ends.

use super::super::people::People;
use super::super::reader::Section;
use crate::presence::rule::{Missing, Rule};

/// Refuses a half whose other half is of another device.
pub(super) fn refuse(rules: &[(&Section<'_, '_>, Rule)], people: &People) {
    for (section, on) in rules.iter().filter(|(_, rule)| only_on(rule)) {
        let others = rules.iter().filter(|(_, rule)| only_off(rule) && rule.signal == on.signal);
        let mut others = others.filter(|(other, _)| may_be_one_person(section, other, people));
        let Some((_, off)) = others.find(|other| !is_one_device((section, on), (other.0, &other.1))) else { continue };
        match section.text("device") {
            Some(device) => {
                let text =
                    format!("another device than that of \"{}\", the rule that turns {} off", off.name, on.signal);
                section.problem(&device, text, "what a device turned on, it alone turns off: write the same device, and no other source, in both rules");
            }
            None => {
                let hint =
                    format!("give this rule and \"{}\" the same device, for example device = \"{{mac}}\"", off.name);
                section.missing("device", &hint);
            }
        }
    }
}

fn only_on(rule: &Rule) -> bool {
    rule.off.is_empty()
        && rule.unknown.is_empty()
        && !rule.is_edge()
        && rule.window.is_none()
        && rule.missing == Missing::Ignore
}

fn only_off(rule: &Rule) -> bool {
    rule.on.is_empty() && !rule.is_edge() && rule.window.is_none()
}

/// Two constants that lead to two people are no halves of anything.
fn may_be_one_person(one: &Section<'_, '_>, other: &Section<'_, '_>, people: &People) -> bool {
    let whose = |section: &Section<'_, '_>| {
        let subject = text(section, "subject")?.strip_prefix('=')?.to_lowercase();
        people.subjects.iter().find(|(name, _)| *name == subject).map(|(_, person)| *person)
    };
    match (whose(one), whose(other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}

/// Whether both write the same device, or neither and the topic makes them one. What captures are called does not matter.
fn is_one_device((one, on): (&Section<'_, '_>, &Rule), (other, off): (&Section<'_, '_>, &Rule)) -> bool {
    if on.source.is_some() && off.source.is_some() && on.source != off.source {
        return false; // a device is at one broker
    }
    match (text(one, "device"), text(other, "device")) {
        (Some(one), Some(other)) => shape(&one) == shape(&other),
        (None, None) => {
            let value = |section| text(section, "value").filter(|value| value.contains('{'));
            text(one, "topic") == text(other, "topic") && value(one) == value(other)
        }
        _ => false,
    }
}

/// A key that is text; what else it is, is no concern here.
fn text(section: &Section<'_, '_>, key: &'static str) -> Option<String> {
    section.find(key)?.value.as_str().map(str::to_owned)
}

/// A template without the names in it.
fn shape(template: &str) -> String {
    let mut shape = String::new();
    for (place, part) in template.trim_start_matches('=').split('{').enumerate() {
        let part = if place == 0 { part } else { part.split_once('}').map_or("", |(_, after)| after) };
        shape += if place == 0 { "" } else { "{}" };
        shape += part;
    }
    shape
}
