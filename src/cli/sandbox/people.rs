//! The people of a sandbox: from a file, or made up.

use std::path::Path;

use crate::sandbox::tenant::{Kind, Person};

/// Object ids, and what is known about them.
pub(super) type People = Vec<(String, Person)>;
/// What is wrong, by line.
type Problems = Vec<(usize, String)>;

/// `person1@sandbox.example` and so on, always the same.
pub(super) fn made_up(count: u32) -> People {
    let person = |number: u32| {
        let upn = format!("person{number}@sandbox.example");
        let person = Person { kind: Kind::Normal, upn, name: format!("Person {number}") };
        (format!("11111111-1111-4111-8111-{number:012}"), person)
    };
    (1..=count).map(person).collect()
}

/// # Errors
/// The file cannot be read; every line that is wrong.
pub(super) fn read(path: &Path) -> Result<People, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    parse(&text).map_err(|problems| {
        let lines: Vec<String> = problems.into_iter().map(|(line, text)| format!("{shown}:{line}: {text}")).collect();
        lines.join("\n")
    })
}

fn parse(text: &str) -> Result<People, Problems> {
    let (mut people, mut problems) = (Vec::new(), Vec::new());
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match person(line) {
            Ok(person) => people.push(person),
            Err(problem) => problems.push((number, problem)),
        }
    }
    if problems.is_empty() { Ok(people) } else { Err(problems) }
}

fn person(line: &str) -> Result<(String, Person), String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let (id, rest) = fields.split_first().unwrap_or((&"", &[]));
    if id.parse::<uuid::Uuid>().is_err() || id.len() != 36 {
        return Err(format!("{id:?} is not an object id: 8-4-4-4-12 hexadecimal digits"));
    }
    let kind = match rest.get(2).copied() {
        None | Some("" | "normal") => Kind::Normal,
        Some("no_teams") => Kind::NoTeams,
        Some("guest") => Kind::Guest,
        Some(other) => return Err(format!("{other:?} is no kind of person: normal, no_teams, guest")),
    };
    if rest.len() > 3 {
        return Err("more than OBJECT-ID,UPN,NAME,KIND".to_owned());
    }
    let text = |place: usize| rest.get(place).map_or_else(String::new, |text| (*text).to_owned());
    Ok((id.to_lowercase(), Person { kind, upn: text(0), name: text(1) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_read_line_by_line_and_all_problems_are_told() {
        let text = "# us\n\n11111111-1111-4111-8111-11111111111A, alice@example.com, Alice\n\
                    22222222-2222-4222-8222-222222222222,,,guest\n";
        let people = parse(text).unwrap();
        assert_eq!(people[0].0, "11111111-1111-4111-8111-11111111111a");
        assert_eq!((people[0].1.upn.as_str(), people[1].1.kind), ("alice@example.com", Kind::Guest));
        let wrong = "alice\n11111111-1111-4111-8111-111111111111,,,robot\n11111111111141118111111111111111";
        let lines: Vec<usize> = parse(wrong).unwrap_err().into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 2, 3]);
    }
}
