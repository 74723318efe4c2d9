//! Payloads as JSON, read strictly: no key twice (two readers would disagree on which counts), bounded depth.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Reason;

/// Deeper nesting is refused.
const DEEPEST: usize = 32;
/// Keys of an object that are compared with each other one by one.
const FEW: usize = 16;
/// Whole numbers from 2^64 on are kept as doubles, which do not have all of their digits.
const LOST: f64 = 18_446_744_073_709_551_616.0;
const TOO_DEEP: &str = "nested too deep";
const TWICE: &str = "key twice";

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(super) fn parse(bytes: &[u8]) -> Result<Json, Reason> {
        let text = std::str::from_utf8(bytes).map_err(|_| Reason::NotUtf8)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = Depth(0).deserialize(&mut deserializer).map_err(|error| reason(&error))?;
        deserializer.end().map_err(|error| reason(&error))?;
        Ok(value)
    }

    /// By JSON Pointer (RFC 6901).
    pub(super) fn at(&self, pointer: &str) -> Option<&Json> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match value {
                Json::Object(fields) => fields.iter().find(|(key, _)| *key == token).map(|(_, value)| value),
                Json::Array(items) => items.get(token.parse::<usize>().ok()?),
                _ => None,
            }
        })
    }

    /// A scalar as a word. Arrays and objects have none, and no number whose digits a double has lost: two ids would be one.
    pub(super) fn word(&self) -> Option<Cow<'_, str>> {
        match self {
            Json::Number(value) if value.is_f64() && value.as_f64().is_none_or(|size| size.abs() >= LOST) => None,
            Json::Null => Some("null".into()),
            Json::Bool(true) => Some("true".into()),
            Json::Bool(false) => Some("false".into()),
            Json::Number(value) => Some(value.to_string().into()),
            Json::Text(value) => Some(value.trim().into()),
            Json::Array(_) | Json::Object(_) => None,
        }
    }
}

fn reason(error: &serde_json::Error) -> Reason {
    let text = error.to_string();
    if text.starts_with(TOO_DEEP) || text.starts_with("recursion limit") {
        Reason::TooDeep
    } else if text.starts_with(TWICE) {
        Reason::DuplicateKey
    } else {
        Reason::BadJson
    }
}

struct Depth(usize);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
        serde_json::Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let depth = deeper(self.0)?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Depth(depth))? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let depth = deeper(self.0)?;
        let mut fields: Vec<(String, Json)> = Vec::new();
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            // Most objects are small: looking at all keys costs less than a set of copies.
            if fields.len() == FEW {
                keys.extend(fields.iter().map(|(known, _)| known.clone()));
            }
            let twice = match fields.len() {
                ..FEW => fields.iter().any(|(known, _)| *known == key),
                _ => !keys.insert(key.clone()),
            };
            if twice {
                return Err(de::Error::custom(TWICE));
            }
            fields.push((key, map.next_value_seed(Depth(depth))?));
        }
        Ok(Json::Object(fields))
    }
}

fn deeper<E: de::Error>(depth: usize) -> Result<usize, E> {
    if depth >= DEEPEST { Err(E::custom(TOO_DEEP)) } else { Ok(depth + 1) }
}
