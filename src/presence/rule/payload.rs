//! A payload, read at most once in each way, and what a rule sees of it.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::json::Json;
use super::pattern::Regex;
use super::text::Scratch;
use super::words::Value;
use super::{Format, Place, Reason};

/// As many fields as a query string may have.
const MOST_FIELDS: usize = 256;

pub(super) struct Payload<'a> {
    pub(super) bytes: &'a [u8],
    json: OnceCell<Result<Json, Reason>>,
    query: OnceCell<Result<Vec<(String, String)>, Reason>>,
}

impl<'a> Payload<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Payload { bytes, json: OnceCell::new(), query: OnceCell::new() }
    }

    pub(super) fn json(&self) -> Result<&Json, Reason> {
        self.json.get_or_init(|| Json::parse(self.bytes)).as_ref().map_err(|reason| *reason)
    }

    fn query(&self) -> Result<&[(String, String)], Reason> {
        let fields = self.query.get_or_init(|| query(self.raw()?));
        fields.as_deref().map_err(|reason| *reason)
    }

    fn raw(&self) -> Result<&'a str, Reason> {
        let text = std::str::from_utf8(self.bytes).map_err(|_| Reason::NotUtf8)?;
        Ok(text.trim_start_matches('\u{feff}').trim())
    }

    fn text(&self) -> Result<Cow<'_, str>, Reason> {
        let text = self.raw()?;
        if text.len() < 2 || !text.starts_with('"') {
            return Ok(text.into());
        }
        if let Ok(word) = serde_json::from_str::<&str>(text) {
            return Ok(word.trim().into()); // without escapes it is there as it stands
        }
        match serde_json::from_str::<String>(text) {
            Ok(word) => Ok(word.trim().to_owned().into()),
            Err(_) => Ok(text.into()),
        }
    }
}

/// What a rule sees of a message.
pub(super) struct Sight<'a> {
    payload: &'a Payload<'a>,
    format: Format,
    captures: &'a [&'a str],
    groups: Option<regex::Captures<'a>>,
    element: Option<&'a Json>,
}

impl<'a> Sight<'a> {
    pub(super) fn new(
        payload: &'a Payload<'a>,
        format: Format,
        captures: &'a [&'a str],
        regex: Option<&Regex>,
    ) -> Result<Self, Reason> {
        let groups = match regex {
            Some(regex) => Some(regex.captures(payload.raw()?).ok_or(Reason::Guard)?),
            None => None,
        };
        Ok(Sight { payload, format, captures, groups, element: None })
    }

    pub(super) fn captures(&self) -> &'a [&'a str] {
        self.captures
    }

    /// The same, with one element of an array in front of the payload.
    pub(super) fn at(&self, element: &'a Json) -> Self {
        Sight { element: Some(element), groups: None, ..*self }
    }

    /// What stands at a pointer of the whole payload, if that is JSON.
    pub(super) fn list(&self, pointer: &str) -> Option<&'a Json> {
        self.payload.json().ok()?.at(pointer)
    }

    /// What stands there; `None` if nothing does.
    pub(super) fn look<'s>(&'s self, place: &'s Place, scratch: &'s mut Scratch) -> Result<Option<Value<'s>>, Reason> {
        match place {
            Place::Topic(template) => Ok(Some(Value::Word(template.fill(self.captures, scratch).into()))),
            Place::Field(name) => self.field(name),
            Place::Payload => match self.format {
                Format::Json => self.field(""),
                Format::Match => Ok(Some(Value::Word(self.payload.raw()?.into()))),
                Format::Text | Format::Query => Ok(Some(Value::Word(self.payload.text()?))),
            },
        }
    }

    fn field<'s>(&'s self, name: &'s str) -> Result<Option<Value<'s>>, Reason> {
        match self.format {
            Format::Json if self.payload.bytes.is_empty() => Ok(Some(Value::Word("".into()))),
            Format::Json => {
                let here = self.element.and_then(|element| element.at(name));
                let found = match here {
                    Some(found) => Some(found),
                    None => self.payload.json()?.at(name),
                };
                Ok(found.map(Value::Json))
            }
            Format::Query => {
                let fields = self.payload.query()?;
                let field = fields.iter().find(|(key, _)| key == name);
                Ok(field.map(|(_, value)| Value::Word(value.trim().into())))
            }
            Format::Match => {
                let group = self.groups.as_ref().and_then(|groups| groups.name(name));
                Ok(group.map(|group| Value::Word(group.as_str().trim().into())))
            }
            Format::Text => Ok(None),
        }
    }
}

/// `a=1&b=2`, percent-encoded, perhaps after the rest of a URL. No name twice: two readers would disagree on which counts.
fn query(text: &str) -> Result<Vec<(String, String)>, Reason> {
    let text = text.split_once('?').map_or(text, |(_, query)| query);
    let text = text.split('#').next().unwrap_or_default();
    let mut fields: Vec<(String, String)> = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()).take(MOST_FIELDS) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Some phones write `server/mac=…`, without a question mark.
        let name = decoded(name.rsplit('/').next().unwrap_or(name))?;
        if fields.iter().any(|(known, _)| *known == name) {
            return Err(Reason::DuplicateKey);
        }
        fields.push((name, decoded(value)?));
    }
    Ok(fields)
}

fn decoded(text: &str) -> Result<String, Reason> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex.filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match (byte, code.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(if *byte == b'+' { b' ' } else { *byte });
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| Reason::NotUtf8)
}
