//! At which level a topic leaves a pattern.

use std::fmt;

/// Where they part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Levels that agree, from the front.
    pub(super) same: usize,
    /// What the pattern has there; `None`: it is over.
    wants: Option<String>,
    /// What the topic has there; `None`: it is over.
    found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.same + 1;
        match (&self.wants, &self.found) {
            (Some(wants), Some(found)) if wants.eq_ignore_ascii_case(found) => {
                write!(f, "level {level} is {found:?}, not {wants:?}: letter case counts")
            }
            (Some(wants), Some(found)) => write!(f, "level {level} is {found:?}, not {wants:?}"),
            (Some(wants), None) => write!(f, "the topic ends where level {level} should be {wants:?}"),
            (None, Some(found)) => write!(f, "the pattern ends where the topic has level {level}, {found:?}"),
            (None, None) => write!(f, "every level agrees; something else of the rule keeps it away"),
        }
    }
}

/// Compares a pattern that does not match `topic` with it, level by level from the front; behind a capture of several levels
/// from the back.
pub(super) fn difference(pattern: &str, topic: &str) -> Difference {
    let (wants, found): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), topic.split('/').collect());
    let shown = |level: Option<&&str>| level.map(|level| level.chars().take(80).collect());
    let mut same = 0;
    loop {
        match (wants.get(same), found.get(same)) {
            (Some(level), Some(_)) if several(level) => break,
            (Some(level), Some(text)) if one(level, text) => same += 1,
            (wants, found) => return Difference { same, wants: shown(wants), found: shown(found) },
        }
    }
    let behind = &wants[same + 1..];
    for (back, level) in behind.iter().rev().enumerate() {
        let place = found.len().checked_sub(back + 1).filter(|place| *place > same);
        let text = place.map(|place| found[place]);
        if !text.is_some_and(|text| one(level, text)) {
            return Difference {
                same: place.unwrap_or(found.len()),
                wants: shown(Some(level)),
                found: shown(text.as_ref()),
            };
        }
    }
    Difference { same: found.len(), wants: None, found: None }
}

/// `#` or `{name...}`
fn several(level: &str) -> bool {
    level == "#" || level.ends_with("...}")
}

fn one(level: &str, text: &str) -> bool {
    if level == "+" {
        return true;
    }
    let (Some(open), Some(close)) = (level.find('{'), level.rfind('}')) else { return level == text };
    let middle = text.strip_prefix(&level[..open]).and_then(|rest| rest.strip_suffix(level.get(close + 1..)?));
    middle.is_some_and(|middle| !middle.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_that_differs_is_named() {
        for (pattern, topic, same, said) in [
            ("pbx/{ext}", "PBX/1001", 0, "level 1 is \"PBX\", not \"pbx\": letter case counts"),
            ("pbx/devstate/{ext}", "pbx/state/1001", 1, "level 2 is \"state\", not \"devstate\""),
            ("pbx/{ext}", "pbx/a/b", 2, "the pattern ends where the topic has level 3, \"b\""),
            ("pbx/{ext}/state", "pbx/a", 2, "the topic ends where level 3 should be \"state\""),
            ("ha/{pc}_cam/state", "ha/desk/state", 1, "level 2 is \"desk\", not \"{pc}_cam\""),
            ("z2m/{name...}/state", "z2m/a/b/c", 3, "level 4 is \"c\", not \"state\""),
            ("z2m/{name...}/state", "z2m/state", 2, "the topic ends where level 3 should be \"state\""),
        ] {
            let difference = difference(pattern, topic);
            assert_eq!((difference.same, difference.to_string().as_str()), (same, said), "{pattern} {topic}");
        }
    }
}
