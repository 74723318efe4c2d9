//! What single rules do that their authors may not have meant.

use super::super::reader::Section;
use super::{CALENDAR_IN_TEAMS, NO_TTL, RETAINED_EDGE, Read};
use crate::presence::rule::{Role, Rule};
use crate::presence::{Presence, RuleId};

pub(super) fn find(sections: &[Section<'_, '_>], read: &Read<'_>) {
    for (section, rule) in pairs(sections, read) {
        let shows = shows(rule, read);
        if shows.is_some() && !has_an_end(section, rule) {
            no_ttl(section, rule);
        }
        if rule.is_edge() && rule.accept_retained {
            retained_edge(section);
        }
        if is_calendar(rule) {
            calendar(section, "topic", shows);
        }
    }
}

/// Presets say of themselves that they take a calendar.
pub(super) fn presets(sections: &[Section<'_, '_>], read: &Read<'_>) {
    for (section, used) in sections.iter().zip(read.presets).filter(|(_, used)| used.calendar) {
        let mut rules = used.rules.clone().filter_map(|id| read.plan.rules.get(RuleId(u32::try_from(id).ok()?)));
        if let Some(rule) = rules.next() {
            calendar(section, "use", shows(rule, read));
        }
    }
}

/// What a rule shows of whom it is on.
fn shows(rule: &Rule, read: &Read<'_>) -> Option<Presence> {
    read.plan.signals.iter().find(|signal| signal.name == rule.signal)?.presence
}

/// The tables of the file, each with the rule that was made of it. Rules that are not written out, as those of presets, are
/// nobody's to mend.
pub(super) fn pairs<'s, 'r, 'i, 'p>(
    sections: &'s [Section<'r, 'i>],
    read: &Read<'p>,
) -> Vec<(&'s Section<'r, 'i>, &'p Rule)> {
    let rules = (0..).map(RuleId).map_while(|id| read.plan.rules.get(id)).collect::<Vec<_>>();
    let named = |section: &Section<'_, '_>| section.text("name").or_else(|| section.text("topic")).map(|at| at.value);
    let pairs = sections.iter().zip(rules).filter(|(section, rule)| named(section).as_deref() == Some(&*rule.name));
    pairs.collect()
}

/// Whether anything ends what the rule turns on, even if its device is never heard again.
fn has_an_end(section: &Section<'_, '_>, rule: &Rule) -> bool {
    let turns_on = !rule.on.is_empty() || !rule.toggle.is_empty();
    let watched = |role: &Role| matches!(role, Role::Alive { .. } | Role::Until);
    !turns_on
        || section.has("ttl")
        || rule.window.is_some()
        || rule.until.is_some()
        || !rule.pulse.is_empty()
        || rule.siblings.iter().any(|sibling| watched(&sibling.role))
}

fn no_ttl(section: &Section<'_, '_>, rule: &Rule) {
    let text = format!(
        "no ttl and no availability: if the device or the gateway before it dies while {} is on, it stays on for 12 hours",
        rule.signal
    );
    let hint = "say how long it lasts at most: ttl = \"8h\"; or follow the last will of the gateway: availability = { topic = \"…\" }";
    section.warn_at(NO_TTL, Some(section.place()), "ttl", text, hint);
}

fn retained_edge(section: &Section<'_, '_>) {
    if let Some(at) = section.find("retained") {
        let text =
            "a press that the broker kept happens again: after a start, and whenever the bridge has forgotten it";
        let hint =
            "leave retained away, toggle and pulse ignore what was kept; and let the button publish without retain";
        section.warn(RETAINED_EDGE, &at, text, hint);
    }
}

/// A list of times, or a topic that says so.
fn is_calendar(rule: &Rule) -> bool {
    rule.window.is_some() || rule.pattern.as_str().to_ascii_lowercase().contains("calendar")
}

fn calendar(section: &Section<'_, '_>, key: &'static str, shows: Option<Presence>) {
    let Some(shows @ (Presence::InACall | Presence::InAConferenceCall)) = shows else { return };
    let text = format!(
        "a calendar that Exchange has shows in Teams by itself, as \"In a meeting\": for such a one this rule only changes the words \
         to those of {shows}"
    );
    let hint = "leave it out for calendars in Exchange; for others (Google, CalDAV, rooms) it is right: allow = [\"calendar-in-teams\"] \
                in [check]";
    match section.text(key) {
        Some(at) => section.warn(CALENDAR_IN_TEAMS, &at, text, hint),
        None => section.warn_at(CALENDAR_IN_TEAMS, None, key, text, hint),
    }
}
