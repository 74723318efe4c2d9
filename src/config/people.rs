//! `[users]`, `[devices]` and `[signals]`: who, whose, and what is worth showing.

use std::collections::HashMap;

use super::problem::nearest;
use super::reader::Section;
use super::sections::is_level;
use crate::presence::{ObjectId, PersonPlan, Presence, Signal, TenantId};

/// What the three tables say.
#[derive(Debug, Default)]
pub(super) struct People {
    pub(super) people: Vec<PersonPlan>,
    pub(super) signals: Vec<Signal>,
    /// Devices and labels → people.
    pub(super) subjects: Vec<(String, usize)>,
}

pub(super) fn read(root: &Section<'_, '_>) -> People {
    let mut people = People::default();
    match root.table("users") {
        Some(section) => users(&section, &mut people),
        None => root.missing("users", r#"who may be set: [users] with lines like alice = "object id""#),
    }
    if let Some(section) = root.table("devices") {
        devices(&section, &mut people);
    }
    match root.table("signals") {
        Some(section) => signals(&section, &mut people),
        None => root.missing("signals", r#"what can be on: [signals] with lines like call = "Busy/InACall""#),
    }
    people
}

fn users(section: &Section<'_, '_>, people: &mut People) {
    let mut ids: HashMap<ObjectId, String> = HashMap::new();
    for (label, value) in section.each() {
        if !is_level(label.value) || label.value.contains(char::is_whitespace) {
            let hint = "1 to 64 characters without / + # and blanks: it becomes part of topics and log lines";
            section.problem(&label, "cannot be a name", hint);
        }
        let Some(text) = section.as_text(&value) else { continue };
        let id: ObjectId = match text.value.parse() {
            Ok(id) => id,
            Err(_) if text.value.contains('@') => {
                let hint = "Graph's presence wants the object id: Entra, Users, the person, Object ID; or \
                            `az ad user show --id NAME@DOMAIN --query id`";
                section.problem(&value, "a user name, not an object id", hint);
                continue;
            }
            Err(error) => {
                section.problem(&value, error.to_string(), "the Object ID of the person in Entra");
                continue;
            }
        };
        if let Some(other) = ids.insert(id, label.value.to_owned()) {
            section.problem(&value, format!("{other} has the same object id"), "one person, one name");
            continue;
        }
        if people.subjects.iter().any(|(subject, _)| subject.eq_ignore_ascii_case(label.value)) {
            section.problem(&label, "differs from another name by letter case only", "names are compared without case");
            continue;
        }
        people.subjects.push((label.value.to_owned(), people.people.len()));
        people.people.push(PersonPlan { tenant: TenantId(0), object_id: id, label: label.value.into() });
    }
}

fn devices(section: &Section<'_, '_>, people: &mut People) {
    let labels: HashMap<&str, usize> = people.people.iter().zip(0..).map(|(who, at)| (&*who.label, at)).collect();
    let mut devices: HashMap<String, (String, usize)> = HashMap::new();
    for (device, value) in section.each() {
        let Some(text) = section.as_text(&value) else { continue };
        let Some(&person) = labels.get(text.value.as_str()) else {
            let hint = match nearest(&text.value, labels.keys().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => "a name from [users]".to_owned(),
            };
            section.problem(&value, "nobody of that name in [users]", hint);
            continue;
        };
        if let Some((other, _)) = devices.insert(device.value.to_lowercase(), (device.value.to_owned(), person)) {
            section.problem(&device, format!("the same device as {other}"), "devices are compared without letter case");
        }
    }
    // Devices win over labels of the same spelling, so they come later.
    people.subjects.extend(devices.into_values());
}

fn signals(section: &Section<'_, '_>, people: &mut People) {
    for (name, value) in section.each() {
        if !is_level(name.value) || name.value.contains(char::is_whitespace) {
            section.problem(&name, "cannot be a name", "1 to 64 characters without / + # and blanks");
        }
        let Some(text) = section.as_text(&value) else { continue };
        let presence = match text.value.as_str() {
            "none" => None,
            pair => match pair.parse::<Presence>() {
                Ok(pair) => Some(pair),
                Err(error) => {
                    section.problem(&value, error.to_string(), r#"or "none" for a signal that shows nothing"#);
                    None
                }
            },
        };
        people.signals.push(Signal { name: name.value.into(), presence });
    }
}
