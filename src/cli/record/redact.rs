//! Stand-ins for what tells who somebody is, so that a recording can be shown to others and still plays.
//!
//! To look for what is secret fails where one did not think of it: a name is a word like others. So it is the other way
//! round. Kept is what rules need and what is known to be harmless: the shape of topics, JSON and query strings with their
//! keys; words of the configuration's rules, and words that devices use for their states; times; short numbers. Every other
//! word, number and address becomes a stand-in of its kind, the same for the same within one recording, whatever its
//! letter case. Stand-ins are counted, not computed: a hash of an extension is found by trying all extensions.

use std::collections::{HashMap, HashSet};

use serde::de::IgnoredAny;
use toml::de::{DeTable, DeValue};

use crate::config::Config;
use crate::presence::rule::{LONGEST_TTL, Rules};
use crate::presence::{PersonPlan, Plan, Timestamp};

/// What devices say of their states, and what is found in payloads of all kinds.
const HARMLESS: &str = "on off true false yes no null none unknown unavailable available online offline open closed idle busy \
    away home not inuse not_inuse ringing ringinuse onhold hold invalid ring inring outring answered ended connect connected \
    connecting disconnect disconnected hangup up down offhook onhook off_hook on_hook incoming outgoing internal external call \
    call_established call_terminated calling dialing active inactive muted unmuted single double long short press release \
    start stop started stopped begin end enter leave sip pjsip iax dahdi mwi tcp udp rtp audio video mic camera webcam motion \
    presence occupancy occupied free tentative meeting event state status type online_state lwt power relay input sensor \
    binary_sensor switch button json text http https urn uuid utc gmt z am pm";
/// Stand-ins that are remembered; beyond, one for all.
const MOST: usize = 100_000;
/// Bytes that are not UTF-8 stay so many bytes that are not UTF-8.
const NOT_UTF8: u8 = 0xff;

/// The stand-ins of one recording.
pub(super) struct Redact {
    kept: HashSet<String>,
    names: HashMap<String, String>,
    numbers: HashMap<String, String>,
    now: Timestamp,
}

impl Redact {
    /// With the configuration as text, whose rules have the words that are kept, and as read, whose people get the first
    /// stand-ins: so they are the same in each recording of one configuration.
    pub(super) fn new(text: &str, config: &Config, now: Timestamp) -> Self {
        let mut redact = Redact {
            kept: HARMLESS.split_whitespace().map(str::to_owned).collect(),
            names: HashMap::new(),
            numbers: HashMap::new(),
            now,
        };
        redact.keep(&config.topic_prefix);
        let (root, _) = DeTable::parse_recoverable(text);
        if let Some(rules) = root.get_ref().get("rule") {
            redact.keep_all(rules.get_ref());
        }
        let Plan { people, signals, rules, .. } = &config.plan;
        for signal in signals {
            redact.keep(&signal.name);
        }
        redact.forget_subjects(rules);
        for PersonPlan { label, .. } in people {
            redact.text(label);
        }
        redact
    }

    /// The words of a rule, but not of its subject, a constant there is somebody.
    fn keep_all(&mut self, value: &DeValue<'_>) {
        match value {
            DeValue::String(text) => self.keep(text),
            DeValue::Array(items) => items.iter().for_each(|item| self.keep_all(item.get_ref())),
            DeValue::Table(table) => {
                for (key, value) in table.iter().filter(|(key, _)| !["subject", "name"].contains(&&**key.get_ref())) {
                    self.keep(key.get_ref());
                    self.keep_all(value.get_ref());
                }
            }
            _ => {}
        }
    }

    fn keep(&mut self, text: &str) {
        for token in tokens(text) {
            if let Token::Word(word) = token {
                self.kept.insert(word.to_lowercase());
            }
        }
    }

    /// A rule for one device has somebody in its topic; that is a subject all the same.
    fn forget_subjects(&mut self, rules: &Rules) {
        self.kept.retain(|word| rules.resolve(word).is_none());
    }

    /// A topic: its levels stay levels.
    pub(super) fn topic(&mut self, topic: &str) -> String {
        self.text(topic)
    }

    /// A payload, in the form it has.
    pub(super) fn payload(&mut self, payload: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(payload) else { return vec![NOT_UTF8; payload.len().min(64)] };
        let is_json = serde_json::from_str::<IgnoredAny>(text.trim_start_matches('\u{feff}')).is_ok();
        if is_json { self.json(text) } else { self.text(text) }.into_bytes()
    }

    /// Valid JSON, string by string: keys, order and blanks stay, so that pointers still lead where they led.
    fn json(&mut self, json: &str) -> String {
        let mut out = String::with_capacity(json.len());
        let mut rest = json;
        while let Some(first) = rest.chars().next() {
            let end = match first {
                '"' => string_end(rest),
                '-' | '0'..='9' => {
                    rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(rest.len())
                }
                _ => first.len_utf8(),
            };
            let (piece, after) = rest.split_at(end);
            match first {
                '"' if after.trim_start().starts_with(':') => out += &self.key(piece),
                '"' => {
                    let text: String = serde_json::from_str(piece).unwrap_or_default();
                    out += &serde_json::Value::from(self.text(&text)).to_string();
                }
                '-' | '0'..='9' if piece.len() >= 3 && piece.bytes().all(|byte| byte.is_ascii_digit()) => {
                    out += &self.number(piece);
                }
                '-' | '0'..='9' => out += rounded(piece),
                _ => out += piece,
            }
            rest = after;
        }
        out
    }

    /// A key is a name of the format, unless it is somebody's number or address.
    fn key(&mut self, quoted: &str) -> String {
        let key: String = serde_json::from_str(quoted).unwrap_or_default();
        let plain = key.len() <= 64 && !key.contains('@') && !key.starts_with(|c: char| c.is_ascii_digit());
        let known = self.names.contains_key(&key.to_lowercase());
        if plain && !known { quoted.to_owned() } else { serde_json::Value::from(self.text(&key)).to_string() }
    }

    fn text(&mut self, text: &str) -> String {
        tokens(text)
            .map(|token| match token {
                Token::Kept(text) => text.to_owned(),
                Token::Number(number) => self.number(number),
                Token::Address(_) if self.names.len() >= MOST => "someone@example.invalid".to_owned(),
                Token::Address(address) => format!("{}@example.invalid", self.name(address)),
                Token::Word(word) if self.kept.contains(&word.to_lowercase()) => word.to_owned(),
                Token::Word(word) => self.name(word),
            })
            .collect()
    }

    fn name(&mut self, word: &str) -> String {
        let count = self.names.len() + 1;
        if count > MOST {
            return "someone".to_owned();
        }
        self.names.entry(word.to_lowercase()).or_insert_with(|| format!("name{count}")).clone()
    }

    /// As many digits as it had, if the count does not need more; never a zero in front, which JSON would refuse.
    fn number(&mut self, number: &str) -> String {
        if is_time(number, self.now) {
            return number.to_owned();
        }
        let count = self.numbers.len() + 1;
        if count > MOST {
            return "9".repeat(number.len());
        }
        let stand_in = || {
            let rest = number.len() - 1;
            format!("9{count:0rest$}")
        };
        self.numbers.entry(number.to_owned()).or_insert_with(stand_in).clone()
    }
}

/// A number with one place behind its point: enough for sensors, too little to find a house by.
fn rounded(number: &str) -> &str {
    match number.find('.') {
        Some(point) if !number.contains(['e', 'E']) => &number[..number.len().min(point + 2)],
        _ => number,
    }
}

/// The end of the string that `json` begins with.
fn string_end(json: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

/// A piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// Blanks, punctuation, keys, times, short numbers.
    Kept(&'a str),
    Word(&'a str),
    Number(&'a str),
    Address(&'a str),
}

fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    let mut before = None;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let (token, length) = token(rest, first, before);
        before = rest[..length].chars().last();
        rest = &rest[length..];
        Some(token)
    })
}

fn token(rest: &str, first: char, before: Option<char>) -> (Token<'_>, usize) {
    let percent = first == '%' && rest.len() >= 3 && rest.as_bytes()[1..3].iter().all(u8::is_ascii_hexdigit);
    if percent {
        return (Token::Kept(&rest[..3]), 3);
    }
    if !is_letter(first) {
        return (Token::Kept(&rest[..first.len_utf8()]), first.len_utf8());
    }
    if let Some(length) = hardware(rest).or_else(|| internet(rest)) {
        return (Token::Word(&rest[..length]), length);
    }
    if let Some(length) = date_and_time(rest) {
        return (Token::Kept(&rest[..length]), length);
    }
    let end = rest.find(|c| !is_letter(c)).unwrap_or(rest.len());
    if let Some(length) = address(rest) {
        return (Token::Address(&rest[..length]), length);
    }
    let (word, after) = rest.split_at(end);
    let is_key = after.starts_with('=') || before == Some('<') || before == Some('/') && after.starts_with('>');
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let token = match word {
        _ if is_key && !digits => Token::Kept(word),
        _ if digits && word.len() < 3 => Token::Kept(word),
        _ if digits => Token::Number(word),
        _ if word.chars().nth(1).is_none() => Token::Kept(word), // a letter names nobody, and may be a button's event
        _ => Token::Word(word),
    };
    (token, end)
}

fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `name@host`, also with its parts percent-encoded elsewhere: the length.
fn address(text: &str) -> Option<usize> {
    let within = |c: char| is_letter(c) || matches!(c, '.' | '-' | '+');
    let at = text.find(|c| !within(c)).filter(|&at| text[at..].starts_with('@'))?;
    let host = &text[at + 1..];
    let length = host.find(|c| !within(c)).unwrap_or(host.len());
    (length > 0).then_some(at + 1 + length)
}

/// `00:04:13:aa:bb:cc`, also with hyphens: the length. Such an address is one word, lest pairs of digits be kept.
fn hardware(text: &str) -> Option<usize> {
    let bytes = text.as_bytes().get(..17)?;
    let parted = |(at, byte): (usize, &u8)| match at % 3 {
        2 => *byte == bytes[2] && matches!(byte, b':' | b'-'),
        _ => byte.is_ascii_hexdigit(),
    };
    let whole = bytes.iter().enumerate().all(parted) && !text[17..].starts_with(is_letter);
    whole.then_some(17)
}

/// `192.168.1.20`: the length.
fn internet(text: &str) -> Option<usize> {
    let length = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let parts = text[..length].trim_end_matches('.').split('.');
    let good = parts.clone().count() == 4 && parts.clone().all(|part| part.parse::<u8>().is_ok());
    let length = text[..length].trim_end_matches('.').len();
    (good && !text[length..].starts_with(is_letter)).then_some(length)
}

/// Whether it is seconds or milliseconds since 1970, near `now`. Phone numbers of that form exist, so near is as near as
/// rules need: nothing lasts longer.
fn is_time(digits: &str, now: Timestamp) -> bool {
    let millis = match digits.len() {
        10 => digits.parse::<i64>().ok().map(|seconds| seconds * 1000),
        13 => digits.parse::<i64>().ok(),
        _ => None,
    };
    let near = i64::try_from(LONGEST_TTL.as_millis()).unwrap_or(i64::MAX);
    millis.is_some_and(|millis| millis.abs_diff(now.as_millis()) <= near.unsigned_abs())
}

/// `2026-11-24`, `2026-11-24T09:30:00Z`, `20261124T093000Z`, `09:30:00`: the length.
fn date_and_time(text: &str) -> Option<usize> {
    const SHAPES: [&str; 7] = [
        "0000-00-00T00:00:00",
        "0000-00-00 00:00:00",
        "0000-00-00T00:00",
        "0000-00-00",
        "00000000T000000",
        "00:00:00",
        "00:00",
    ];
    let fits = |shape: &&&str| {
        let bytes = text.as_bytes().get(..shape.len());
        bytes.is_some_and(|bytes| {
            bytes.iter().zip(shape.bytes()).all(|(found, wants)| match wants {
                b'0' => found.is_ascii_digit(),
                other => *found == other,
            })
        })
    };
    let mut length = SHAPES.iter().find(fits)?.len();
    if length > 10 {
        let tail = &text[length..];
        let fraction = tail
            .strip_prefix('.')
            .map_or(0, |digits| 1 + digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
        length += fraction + usize::from(tail[fraction..].starts_with(['Z', 'z']));
    }
    // In the middle of something longer it is no time: 12:34:56:78:9A:BC is an address of hardware.
    let rest = &text[length..];
    let goes_on = rest.starts_with(is_letter) || rest.starts_with(':');
    (!goes_on).then_some(length)
}

#[cfg(test)]
mod tests;
