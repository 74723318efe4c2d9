//! Texts that rules make and compare. A message that says nothing new must cost next to nothing, so what is put together
//! here lies on the stack unless it is long, and letter case is folded without a copy where that is possible.

use crate::presence::topic::Pattern;

/// Longer texts go to the heap; topics and names in the field are shorter.
const SHORT: usize = 128;

/// Room for a text that is put together for the length of one message.
pub(super) struct Scratch {
    short: [u8; SHORT],
    long: String,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Scratch { short: [0; SHORT], long: String::new() }
    }

    fn join<'a>(&'a mut self, pieces: impl Iterator<Item = &'a str> + Clone) -> &'a str {
        let mut end = 0;
        for piece in pieces.clone() {
            let Some(room) = self.short.get_mut(end..end + piece.len()) else {
                self.long = pieces.collect();
                return &self.long;
            };
            room.copy_from_slice(piece.as_bytes());
            end += piece.len();
        }
        as_text(&self.short[..end])
    }

    /// `text` in lower case.
    pub(super) fn lower<'a>(&'a mut self, text: &'a str) -> &'a str {
        if is_lower(text) {
            return text;
        }
        match self.short.get_mut(..text.len()) {
            Some(room) if text.is_ascii() => {
                room.copy_from_slice(text.as_bytes());
                room.make_ascii_lowercase();
                as_text(room)
            }
            _ => {
                self.long = text.to_lowercase();
                &self.long
            }
        }
    }
}

/// Whole pieces of UTF-8 make UTF-8, so the default is never taken.
fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn is_lower(text: &str) -> bool {
    if text.is_ascii() {
        return !text.bytes().any(|byte| byte.is_ascii_uppercase());
    }
    text.chars().all(|letter| letter.to_lowercase().eq([letter]))
}

/// Whether `text` in lower case is `lower`.
pub(super) fn lower_is(lower: &str, text: &str) -> bool {
    if lower.eq_ignore_ascii_case(text) {
        return true;
    }
    match text {
        _ if text.is_ascii() => false,
        // The one letter whose lower case depends on its place in the word.
        _ if text.contains('Σ') => *lower == text.to_lowercase(),
        _ => text.chars().flat_map(char::to_lowercase).eq(lower.chars()),
    }
}

/// Text with captures in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// By its place in the pattern.
    Capture(usize),
}

impl Template {
    /// Reads `text`, in which `{name}` is a capture of `pattern`.
    ///
    /// # Errors
    /// The name that the pattern does not have, or a brace without its partner.
    pub fn parse(text: &str, pattern: &Pattern) -> Result<Self, String> {
        let names: Vec<&str> = pattern.names().collect();
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').ok_or_else(|| format!("{{ without }} in {text:?}"))? + open;
            let name = rest[open + 1..close].trim_end_matches("...");
            let known = || if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let place = names.iter().position(|known| *known == name);
            let place = place.ok_or_else(|| format!("no capture {{{name}}} in the topic; it has: {}", known()))?;
            if open > 0 {
                parts.push(Part::Text(rest[..open].into()));
            }
            parts.push(Part::Capture(place));
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Template(parts))
    }

    /// Text without captures.
    #[must_use]
    pub fn constant(text: &str) -> Self {
        Template(vec![Part::Text(text.into())])
    }

    /// The topic as `pattern` writes it, with all captures filled in but those that `other` uses: they stay names.
    pub(super) fn topic_without(pattern: &Pattern, other: Option<&Template>) -> Self {
        let mut template = Template::parse(pattern.as_str(), pattern).unwrap_or_else(|_| Template(Vec::new()));
        let names: Vec<&str> = pattern.names().collect();
        for part in &mut template.0 {
            if let Part::Capture(place) = *part
                && other.is_some_and(|other| other.uses(place))
            {
                let single = format!("{{{}}}", names[place]);
                let several = format!("{{{}...}}", names[place]);
                let written = if pattern.as_str().contains(&several) { several } else { single };
                *part = Part::Text(written.into());
            }
        }
        template.merged()
    }

    /// With texts beside each other made one, so that a text without captures is a single part.
    fn merged(self) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for part in self.0 {
            match (parts.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(text)) => *before = format!("{before}{text}").into(),
                (_, part) => parts.push(part),
            }
        }
        Template(parts)
    }

    /// Whether it has a capture.
    #[must_use]
    pub fn has_capture(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Capture(_)))
    }

    /// As somebody would write it for `pattern`.
    pub(super) fn written(&self, pattern: &Pattern) -> String {
        let names: Vec<&str> = pattern.names().collect();
        let part = |part: &Part| match part {
            Part::Text(text) => text.to_string(),
            Part::Capture(place) => format!("{{{}}}", names.get(*place).unwrap_or(&"?")),
        };
        self.0.iter().map(part).collect()
    }

    /// With captures of which some may not be known; `None` if it uses one of those.
    pub(super) fn fill_known(&self, captures: &[Option<&str>]) -> Option<String> {
        let part = |part: &Part| match part {
            Part::Text(text) => Some(text.to_string()),
            Part::Capture(place) => captures.get(*place).copied().flatten().map(str::to_owned),
        };
        self.0.iter().map(part).collect()
    }

    fn uses(&self, capture: usize) -> bool {
        self.0.contains(&Part::Capture(capture))
    }

    pub(super) fn fill<'a>(&'a self, captures: &'a [&'a str], scratch: &'a mut Scratch) -> &'a str {
        match self.0.as_slice() {
            [part] => part.fill(captures),
            parts => scratch.join(parts.iter().map(|part| part.fill(captures))),
        }
    }
}

impl Part {
    fn fill<'a>(&'a self, captures: &'a [&'a str]) -> &'a str {
        match self {
            Part::Text(text) => text,
            Part::Capture(place) => captures.get(*place).copied().unwrap_or_default(),
        }
    }
}
