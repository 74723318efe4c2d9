//! From what a message names to what the table of devices may hold: cut, matched, and in one spelling.

use std::borrow::Cow;

use super::pattern::Regex;

/// The spelling that a subject is brought into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    /// As it is; letter case never matters.
    #[default]
    AsIs,
    /// A MAC address: `aa:bb:cc:11:22:33`, however it is separated.
    Mac,
    /// A telephone number or SIP address: its digits, with `+` for an international one.
    Phone,
}

/// What is done with a subject before it is looked for in the table of devices, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Normal {
    /// The part that counts: the group `subject`, the first group, or what matches; nothing else is taken.
    pub matches: Option<Regex>,
    /// The first of these that it begins with is taken off.
    pub strip_prefix: Vec<Box<str>>,
    /// The first of these that it ends with is taken off.
    pub strip_suffix: Vec<Box<str>>,
    /// How it is spelt then.
    pub spelling: Spelling,
}

impl Normal {
    fn is_plain(&self) -> bool {
        self.matches.is_none()
            && self.strip_prefix.is_empty()
            && self.strip_suffix.is_empty()
            && self.spelling == Spelling::AsIs
    }

    /// `None` if it does not match, or is nothing of that spelling.
    pub(super) fn of<'a>(&self, found: &'a str) -> Option<Cow<'a, str>> {
        if self.is_plain() {
            return Some(found.into());
        }
        let mut text = found;
        if let Some(regex) = &self.matches {
            let groups = regex.captures(text)?;
            text = groups.name("subject").or_else(|| groups.get(1)).or_else(|| groups.get(0))?.as_str();
        }
        text = self.strip_prefix.iter().find_map(|cut| text.strip_prefix(&**cut)).unwrap_or(text);
        text = self.strip_suffix.iter().find_map(|cut| text.strip_suffix(&**cut)).unwrap_or(text);
        self.spelling.spell(text.trim()).map(Cow::Owned)
    }
}

impl Spelling {
    /// `text` in this spelling; `None` if it cannot be.
    pub(super) fn spell(self, text: &str) -> Option<String> {
        match self {
            Spelling::AsIs => Some(text.to_owned()),
            Spelling::Mac => mac(text),
            Spelling::Phone => phone(text),
        }
    }
}

/// The spellings that any of these brings subjects into.
pub(super) fn spellings<'a>(all: impl Iterator<Item = &'a Normal>) -> Vec<Spelling> {
    let mut spellings: Vec<Spelling> = Vec::new();
    for normal in all {
        if normal.spelling != Spelling::AsIs && !spellings.contains(&normal.spelling) {
            spellings.push(normal.spelling);
        }
    }
    spellings
}

fn mac(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.' | ' ')).collect();
    if digits.len() != 12 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.to_ascii_lowercase();
    let pairs: Vec<&str> = (0..6).filter_map(|pair| digits.get(2 * pair..2 * pair + 2)).collect();
    Some(pairs.join(":"))
}

fn phone(text: &str) -> Option<String> {
    let text = match (text.rfind('<'), text.ends_with('>')) {
        (Some(at), true) => &text[at + 1..text.len() - 1], // "Alice" <sip:1001@pbx>
        _ => text,
    };
    let schemes = ["sip:", "sips:", "tel:"];
    let scheme = |scheme: &&str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let text = schemes.iter().find(|it| scheme(it)).and_then(|scheme| text.get(scheme.len()..)).unwrap_or(text);
    let text = text.split(['@', ';', '?']).next()?;
    let mut number: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '/' | '(' | ')')).collect();
    if let Some(rest) = number.strip_prefix("00") {
        number = format!("+{rest}");
    }
    let digits = number.strip_prefix('+').unwrap_or(&number);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}
