//! `[users]`, `[people]`, `[devices]` and `[signals]`: who, whose, and what is worth showing.

mod file;
mod list;
pub(super) mod names;
mod table;

use self::list::{Complaint, List};
use self::names::Names;
use super::reader::{At, Section};
use super::sections::{Files, is_level};
use super::{PeopleSection, env};
use crate::presence::{PersonPlan, Presence, Signal};

/// Where names are kept if nobody says otherwise, in the systemd unit as everywhere.
const STATE_DIR: &str = "/var/lib/presence-bridge";

/// What stands in the place of a signal at the door, and is none: see `presence::rule::door`.
const TAKEN: [&str; 3] = ["pause", "forget", "error"];

/// What the tables say.
#[derive(Debug, Default)]
pub(super) struct People {
    pub(super) people: Vec<PersonPlan>,
    pub(super) signals: Vec<Signal>,
    /// Devices and labels → people.
    pub(super) subjects: Vec<(String, usize)>,
}

/// `names`: what is known of user names, given the section.
pub(super) fn read(
    root: &Section<'_, '_>,
    files: &Files<'_>,
    names: impl FnOnce(&PeopleSection) -> Names,
) -> (People, PeopleSection) {
    let mut section = people_section(root, files);
    let mut list = List::default();
    let users = root.table("users");
    if let Some(users) = &users {
        self::users(users, section.resolve_names, &mut list);
    }
    if let Some(path) = &section.file
        && files.people
    {
        for problem in file::read(path, section.resolve_names, &mut list) {
            root.reader().add(problem);
        }
    }
    if users.is_none() && section.file.is_none() {
        root.missing("users", r#"who may be set: [users] with lines like alice = "object id", or file in [people]"#);
    }
    if let Some(devices) = root.table("devices") {
        // Names of a people file that is not looked at cannot be known.
        let known = section.file.is_none() || files.people;
        self::devices(&devices, known, &mut list);
    }
    let mut signals = Vec::new();
    match root.table("signals") {
        Some(section) => signals = self::signals(&section),
        None => root.missing("signals", r#"what can be on: [signals] with lines like call = "Busy/InACall""#),
    }
    section.listed = list.len();
    let resolved = list.resolve(&names(&section));
    (section.user_names, section.waiting, section.doubles) = (resolved.user_names, resolved.waiting, resolved.doubles);
    (People { people: resolved.people, signals, subjects: resolved.subjects }, section)
}

fn people_section(root: &Section<'_, '_>, files: &Files<'_>) -> PeopleSection {
    let (state_dir, journal) = state(root, files);
    let mut people = PeopleSection { state_dir, journal, ..PeopleSection::default() };
    if let Some(section) = root.table("people") {
        people.file = section.text("file").map(|at| files.base.join(at.value));
        people.resolve_names = section.flag("resolve_names", false);
        section.finish();
    }
    people
}

fn state(root: &Section<'_, '_>, files: &Files<'_>) -> (std::path::PathBuf, bool) {
    let section = root.table("state");
    let dir = section.as_ref().and_then(|section| section.text("dir"));
    let journal = section.as_ref().is_none_or(|section| section.flag("journal", true));
    if let Some(section) = &section {
        section.finish();
    }
    let dir = dir.map(|at| files.base.join(at.value)).or_else(env::state_directory);
    (dir.unwrap_or_else(|| STATE_DIR.into()), journal)
}

fn users(section: &Section<'_, '_>, resolve_names: bool, list: &mut List) {
    for (label, value) in section.each() {
        if let Err(Complaint { text, hint }) = list::label(label.value) {
            section.problem(&label, text, hint);
        }
        let Some(text) = section.as_text(&value) else { continue };
        let added = list::account(&text.value, resolve_names).and_then(|account| list.add(label.value, account));
        if let Err(Complaint { text, hint }) = added {
            section.problem(&value, text, hint);
        }
    }
}

fn devices(section: &Section<'_, '_>, all_known: bool, list: &mut List) {
    for (device, value) in section.each() {
        let Some(text) = section.as_text(&value) else { continue };
        match list.find(&text.value) {
            Err(_) if !all_known => {}
            Err(Complaint { text, hint }) => section.problem(&value, text, hint),
            Ok(person) => {
                if let Err(Complaint { text, hint }) = list.device(device.value, person) {
                    section.problem(&device, text, hint);
                }
            }
        }
    }
}

fn signals(section: &Section<'_, '_>) -> Vec<Signal> {
    let mut signals = Vec::new();
    for (name, value) in section.each() {
        if !is_level(name.value) || name.value.contains(char::is_whitespace) {
            section.problem(&name, "cannot be a name", "1 to 64 characters without / + # and blanks");
        }
        if TAKEN.contains(&name.value) {
            let text = format!("cannot be a name: in/<label>/{} is a topic of the bridge itself", name.value);
            section.problem(&name, text, "the door would not tell them apart: call the signal something else");
        }
        let Some(text) = section.as_text(&value) else { continue };
        let presence = presence(section, &value, &text.value);
        signals.push(Signal { name: name.value.into(), presence });
    }
    signals
}

fn presence<T>(section: &Section<'_, '_>, at: &At<T>, text: &str) -> Option<Presence> {
    if text == "none" {
        return None;
    }
    match text.parse() {
        Ok(pair) => Some(pair),
        Err(error) => {
            let error: crate::presence::NotSettable = error;
            section.problem(at, error.to_string(), r#"or "none" for a signal that shows nothing"#);
            None
        }
    }
}
