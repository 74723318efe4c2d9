//! Where subjects lead. There may be several for each of 100,000 people, and every message asks for one: so a name lies in
//! the table itself, where finding it fetches one place in memory, and not two.

use std::collections::HashMap;

use crate::presence::quick::Quick;

/// Longer names lie on the heap. An extension, a MAC address, a label is shorter.
const SHORT: usize = 23;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Short([u8; SHORT], u8);

impl Short {
    fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; SHORT];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Short(bytes, u8::try_from(name.len()).ok()?))
    }
}

/// Names in lower case → people of the plan.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    short: HashMap<Short, u32, Quick>,
    long: HashMap<Box<str>, u32, Quick>,
}

impl Subjects {
    pub(super) fn get(&self, name: &str) -> Option<usize> {
        let person = match Short::new(name) {
            Some(short) => self.short.get(&short),
            None => self.long.get(name),
        };
        person.map(|&person| person as usize)
    }
}

impl FromIterator<(String, usize)> for Subjects {
    fn from_iter<T: IntoIterator<Item = (String, usize)>>(names: T) -> Self {
        let mut subjects = Subjects::default();
        for (name, person) in names {
            let person = u32::try_from(person).unwrap_or(u32::MAX);
            match Short::new(&name) {
                Some(short) => subjects.short.insert(short, person),
                None => subjects.long.insert(name.into(), person),
            };
        }
        subjects
    }
}
