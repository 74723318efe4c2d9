//! Who is listed, gathered from the configuration and from a people file alike, and what may not stand beside what.

use std::collections::HashMap;

use super::names::{Names, is_user_name};
use crate::config::problem::nearest;
use crate::config::sections::is_level;
use crate::presence::{ObjectId, PersonPlan, TenantId};

/// Names that nobody has are compared with all there are; after so many, the pattern is clear.
const SUGGESTIONS: usize = 20;

/// What is wrong, and what is allowed.
#[derive(Clone, Debug)]
pub(super) struct Complaint {
    pub(super) text: String,
    pub(super) hint: String,
}

fn complaint<T>(text: impl Into<String>, hint: impl Into<String>) -> Result<T, Complaint> {
    Err(Complaint { text: text.into(), hint: hint.into() })
}

/// How the configuration names an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Id(ObjectId),
    /// In lower case.
    UserName(String),
}

/// Everybody.
#[derive(Debug, Default)]
pub(super) struct List {
    people: Vec<(Box<str>, Who)>,
    /// In lower case.
    labels: HashMap<String, usize>,
    accounts: HashMap<Who, usize>,
    /// In lower case → whose.
    devices: HashMap<String, usize>,
    suggested: usize,
}

/// A list whose user names have been looked up.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) people: Vec<PersonPlan>,
    /// Devices and labels → people; devices win over labels of the same spelling, so they come later.
    pub(super) subjects: Vec<(String, usize)>,
    /// All user names.
    pub(super) user_names: Vec<Box<str>>,
    /// Label and user name of those whose id is not known.
    pub(super) waiting: Vec<(Box<str>, Box<str>)>,
    /// Label of somebody left out, and of the one with the same account.
    pub(super) doubles: Vec<(Box<str>, Box<str>)>,
}

/// What `id` stands for.
pub(super) fn account(id: &str, resolve_names: bool) -> Result<Who, Complaint> {
    match id.parse() {
        Ok(id) => Ok(Who::Id(id)),
        Err(_) if is_user_name(id) && resolve_names => Ok(Who::UserName(id.to_lowercase())),
        Err(_) if id.contains('@') && !resolve_names => complaint(
            "a user name, not an object id",
            "Graph's presence wants the object id: Entra, Users, the person, Object ID; or `az ad user show --id NAME@DOMAIN \
             --query id`; or set resolve_names = true in [people], which needs the permission User.Read.All",
        ),
        Err(_) if resolve_names => {
            complaint("neither an object id nor a user name", "the Object ID of the person in Entra, or NAME@DOMAIN")
        }
        Err(error) => complaint(error.to_string(), "the Object ID of the person in Entra"),
    }
}

/// Whether `label` can be one.
pub(super) fn label(label: &str) -> Result<(), Complaint> {
    if is_level(label) && !label.contains(char::is_whitespace) {
        return Ok(());
    }
    let hint = "1 to 64 characters without / + # and blanks: it becomes part of topics and log lines";
    complaint("cannot be a name", hint)
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.people.len()
    }

    /// Room for so many more.
    pub(super) fn reserve(&mut self, people: usize) {
        self.people.reserve(people);
        self.labels.reserve(people);
        self.accounts.reserve(people);
        self.devices.reserve(people);
    }

    /// One more person; their place in the list.
    pub(super) fn add(&mut self, label: &str, who: Who) -> Result<usize, Complaint> {
        let next = self.people.len();
        if let Some(&other) = self.accounts.get(&who) {
            let what = if matches!(who, Who::Id(_)) { "object id" } else { "user name" };
            return complaint(format!("{} has the same {what}", self.people[other].0), "one person, one name");
        }
        let lower = label.to_lowercase();
        if let Some(&other) = self.labels.get(&lower) {
            return match &*self.people[other].0 == label {
                true => complaint(format!("the name {label} is taken"), "two people need two names"),
                false => complaint(
                    format!("the name {label} differs from another by letter case only"),
                    "names are compared without case",
                ),
            };
        }
        self.labels.insert(lower, next);
        self.accounts.insert(who.clone(), next);
        self.people.push((label.into(), who));
        Ok(next)
    }

    /// The place of somebody by name.
    pub(super) fn find(&mut self, name: &str) -> Result<usize, Complaint> {
        if let Some(&place) = self.labels.get(&name.to_lowercase())
            && *self.people[place].0 == *name
        {
            return Ok(place);
        }
        self.suggested += 1;
        let near = match self.suggested {
            ..=SUGGESTIONS => nearest(name, self.people.iter().map(|(label, _)| &**label)),
            _ => None,
        };
        let hint = near.map_or_else(|| "a name from [users]".to_owned(), |near| format!("did you mean {near}?"));
        complaint("nobody of that name in [users]", hint)
    }

    /// What messages call somebody.
    pub(super) fn device(&mut self, device: &str, person: usize) -> Result<(), Complaint> {
        match self.devices.insert(device.to_lowercase(), person) {
            None => Ok(()),
            Some(whose) => {
                let text = format!("{device} is a device of {} already", self.people[whose].0);
                complaint(text, "a device is one person's, once; devices are compared without letter case")
            }
        }
    }

    /// With the ids that are known for user names; whoever has none yet is left out until it is.
    pub(super) fn resolve(self, names: &Names) -> Resolved {
        let mut resolved = Resolved::default();
        // Ids as listed differ; one that a user name turns out to have may be another's.
        let has_names = self.accounts.keys().any(|who| matches!(who, Who::UserName(_)));
        let mut ids: HashMap<ObjectId, usize> = HashMap::new();
        let mut places = Vec::with_capacity(self.people.len());
        for (label, who) in self.people {
            let id = match who {
                Who::Id(id) => Some(id),
                Who::UserName(name) => {
                    let known = names.get(&name);
                    resolved.user_names.push(name.as_str().into());
                    if known.is_none() {
                        resolved.waiting.push((label.clone(), name.into()));
                    }
                    known
                }
            };
            let next = resolved.people.len();
            let of = |id| if has_names { *ids.entry(id).or_insert(next) } else { next };
            places.push(match id.map(of).zip(id) {
                Some((place, object_id)) if place == next => {
                    resolved.people.push(PersonPlan { tenant: TenantId(0), object_id, label });
                    Some(next)
                }
                Some((other, _)) => {
                    resolved.doubles.push((label, resolved.people[other].label.clone()));
                    None
                }
                None => None,
            });
        }
        let subjects = self.labels.into_iter().chain(self.devices);
        let owned = |(subject, person): (String, usize)| Some((subject, places.get(person).copied().flatten()?));
        resolved.subjects = subjects.filter_map(owned).collect();
        resolved
    }
}
