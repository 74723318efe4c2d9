//! What is legal and unwise. Each warning has a name that stays; docs/check.md says what is behind it, and
//! `allow` in `[check]` takes the names of those that are meant so.
//!
//! They are looked for only in a configuration that can be run: whoever has errors to mend needs no advice beside them.

mod names;
mod presence;
mod rules;
mod shadow;

use super::presets::UsedPreset;
use super::problem::nearest;
use super::reader::Section;
use super::{PeopleSection, SourceSection};
use crate::presence::Plan;

/// Every warning, and what is unwise about it, in a few words.
pub const WARNINGS: [(&str, &str); 8] = [
    (
        AVAILABLE_MASKS,
        "something shows Available, which hides a real Away and has to be said again every three minutes",
    ),
    (AWAY_IS_WEAK, "a signal shows Away, which any Teams client of the person overrules"),
    (CALENDAR_IN_TEAMS, "a rule takes a calendar that Teams may show by itself"),
    (DOTS_IN_NAMES, "a name that stands in topics has a dot, a star or a space"),
    (NO_TTL, "nothing but the device itself ends what a rule turns on, for twelve hours"),
    (RETAINED_EDGE, "a rule takes old presses of a button from the broker"),
    (SHADOWED_RULE, "another rule says the same of every message that a rule takes"),
    (TOO_MANY_PEOPLE, "the calls that Graph allows do not suffice for the people listed"),
];

pub(super) const AVAILABLE_MASKS: &str = "available-masks";
pub(super) const AWAY_IS_WEAK: &str = "away-is-weak";
pub(super) const CALENDAR_IN_TEAMS: &str = "calendar-in-teams";
pub(super) const DOTS_IN_NAMES: &str = "dots-in-names";
pub(super) const NO_TTL: &str = "no-ttl";
pub(super) const RETAINED_EDGE: &str = "retained-edge";
pub(super) const SHADOWED_RULE: &str = "shadowed-rule";
/// It depends on what people do, so `check` looks for it, see `Config::allowed`.
pub const TOO_MANY_PEOPLE: &str = "too-many-people";

/// What a configuration came to.
pub(super) struct Read<'a> {
    pub(super) plan: &'a Plan,
    pub(super) presets: &'a [UsedPreset],
    pub(super) people: &'a PeopleSection,
    pub(super) sources: &'a [SourceSection],
    pub(super) topic_prefix: &'a str,
}

/// `[check]`: the names of warnings that are not given.
pub(super) fn allowed(root: &Section<'_, '_>) -> Vec<String> {
    let Some(section) = root.table("check") else { return Vec::new() };
    let allowed = section.words("allow");
    let names = || WARNINGS.iter().map(|(name, _)| *name);
    for name in allowed.iter().filter(|name| !names().any(|known| known == **name)) {
        if let Some(at) = section.find("allow") {
            let hint = match nearest(name, names()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known: {}", names().collect::<Vec<_>>().join(", ")),
            };
            section.problem(&at, format!("there is no warning {name}"), hint);
        }
    }
    section.finish();
    allowed
}

/// Looks for all of them; what is found goes to the reader.
pub(super) fn find(root: &Section<'_, '_>, read: &Read<'_>) {
    presence::find(root, read);
    names::find(root, read);
    let sections = root.tables("rule");
    rules::find(&sections, read);
    rules::presets(&root.tables("preset"), read);
    shadow::find(&sections, read);
}
