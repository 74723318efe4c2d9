//! From a message to effects on shares, or a typed reason why not.
//!
//! A rule is data: a topic pattern, where to find a value, word lists for on, off and unknown, where to find the subject.
//! Nothing in a message is ever expanded, evaluated or passed on; the worst that a payload can do is to match no word.

pub mod door;
mod json;
mod subjects;
mod text;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::json::Json;
use self::subjects::Subjects;
use self::text::Scratch;
pub use self::text::{Template, Words};
use super::action::SourceId;
use super::memory;
use super::now::Timestamp;
use super::plan::{RuleId, SignalId};
use super::topic::{Index, Pattern, minimal_filters};

/// Payloads beyond this are not looked at.
pub const LARGEST: usize = 64 * 1024;
/// How long a share lasts where its rule says nothing else.
pub const DEFAULT_TTL: Duration = Duration::from_secs(12 * 3600);
/// The longest that a rule or a message may ask for.
pub const LONGEST_TTL: Duration = Duration::from_secs(31 * 24 * 3600);

/// What a device says of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Say {
    /// It is on.
    On,
    /// It is off.
    Off,
    /// The device does not know, or withdrew what it said.
    Unknown,
    /// Nothing but when it ends: a calendar's end time on a topic of its own.
    Until,
}

/// What one rule makes of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect<'a> {
    /// Index into `Plan::people`.
    pub person: usize,
    /// Which signal.
    pub signal: SignalId,
    /// Which device holds the share; with `subject` its identity.
    pub device: &'a str,
    /// The subject as found, before the device table.
    pub subject: &'a str,
    /// On, off or unknown.
    pub say: Say,
    /// How long the share lasts if nothing more is heard.
    pub ttl: Duration,
    /// How long an on must last before it counts.
    pub delay: Duration,
    /// How long it goes on after an off.
    pub hold: Duration,
    /// The end that the message itself knows; it replaces `ttl`. Past ones do not count.
    pub until: Option<Timestamp>,
    /// The message itself says for how long (the door's `for`): it counts from a live message only.
    pub timed: bool,
    /// Whether a retained replay may speak.
    pub accept_retained: bool,
}

impl Effect<'_> {
    /// Whether the same message, as soon as it has had this effect, can do nothing more than renew the share.
    pub(super) fn only_renews(&self) -> bool {
        // All of them by name: a new one has to be thought of here.
        let Effect {
            person: _,
            signal: _,
            device: _,
            subject: _,
            say,
            ttl: _,
            delay: _,
            hold: _,
            until,
            timed,
            accept_retained: _,
        } = *self;
        matches!(say, Say::On | Say::Off) && until.is_none() && !timed
    }
}

/// Why a message had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No rule's topic pattern matches.
    NoRule,
    /// The value is in none of the rule's word lists.
    OtherValue,
    /// The field that the rule looks at is not there.
    Missing,
    /// A retained replay for a rule that ignores those.
    RetainedIgnored,
    /// A retained replay of what was already heard.
    Replay,
    /// The topic is not UTF-8 or not a topic.
    BadTopic,
    /// The payload exceeds what rules look at (64 KiB).
    TooLarge,
    /// The payload is not UTF-8.
    NotUtf8,
    /// The payload is not the JSON that the rule wants.
    BadJson,
    /// JSON nested deeper than 32.
    TooDeep,
    /// A JSON object names a key twice.
    DuplicateKey,
    /// The subject leads to no listed person.
    UnknownSubject,
    /// No such signal (door).
    UnknownSignal,
    /// The person has as many shares as one may have.
    TooManyShares,
}

impl Reason {
    /// Its name in counters and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::NoRule => "no_rule",
            Reason::OtherValue => "other_value",
            Reason::Missing => "missing",
            Reason::RetainedIgnored => "retained_ignored",
            Reason::Replay => "replay",
            Reason::BadTopic => "bad_topic",
            Reason::TooLarge => "too_large",
            Reason::NotUtf8 => "not_utf8",
            Reason::BadJson => "bad_json",
            Reason::TooDeep => "too_deep",
            Reason::DuplicateKey => "duplicate_key",
            Reason::UnknownSubject => "unknown_subject",
            Reason::UnknownSignal => "unknown_signal",
            Reason::TooManyShares => "too_many_shares",
        }
    }
}

/// How a payload is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As one word; a JSON string counts as its content.
    #[default]
    Text,
    /// As JSON.
    Json,
}

/// Where a value is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The whole payload.
    #[default]
    Payload,
    /// In the topic, or constant.
    Topic(Template),
    /// In a JSON payload, by JSON Pointer (RFC 6901).
    Field(Box<str>),
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is called in logs.
    pub name: Box<str>,
    /// The broker it listens to; `None` for any.
    pub source: Option<SourceId>,
    /// The topics it takes.
    pub pattern: Pattern,
    /// How the payload is read.
    pub format: Format,
    /// Who it is about, before the table of devices.
    pub subject: Place,
    /// The name of the signal; it must be in the plan.
    pub signal: Box<str>,
    /// What is compared with the words.
    pub value: Place,
    /// Words for on.
    pub on: Words,
    /// Words for off.
    pub off: Words,
    /// Words for "I do not know".
    pub unknown: Words,
    /// The device that holds the share; `None`: the topic, without the captures that `value` looks at.
    pub device: Option<Template>,
    /// How long a share lasts if nothing more is heard.
    pub ttl: Duration,
    /// How long an on must last before it counts.
    pub delay: Duration,
    /// How long it goes on after an off.
    pub hold: Duration,
    /// Whether a retained replay counts.
    pub accept_retained: bool,
}

impl Rule {
    fn say(&self, word: &str) -> Result<Say, Reason> {
        if self.on.has(word) {
            Ok(Say::On)
        } else if self.off.has(word) {
            Ok(Say::Off)
        } else if self.unknown.has(word) || word.is_empty() {
            Ok(Say::Unknown) // an empty payload withdraws what was retained
        } else {
            Err(Reason::OtherValue)
        }
    }
}

/// A payload, read at most once in each way.
struct Payload<'a> {
    bytes: &'a [u8],
    json: OnceCell<Result<Json, Reason>>,
}

impl Payload<'_> {
    fn json(&self) -> Result<&Json, Reason> {
        self.json.get_or_init(|| Json::parse(self.bytes)).as_ref().map_err(|reason| *reason)
    }

    fn text(&self) -> Result<Cow<'_, str>, Reason> {
        let text = std::str::from_utf8(self.bytes).map_err(|_| Reason::NotUtf8)?;
        let text = text.trim_start_matches('\u{feff}').trim();
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

    fn find<'a>(
        &'a self,
        place: &'a Place,
        format: Format,
        captures: &'a [&'a str],
        scratch: &'a mut Scratch,
    ) -> Result<Cow<'a, str>, Reason> {
        match place {
            Place::Topic(template) => Ok(template.fill(captures, scratch).into()),
            Place::Field(pointer) => self.field(pointer),
            Place::Payload if format == Format::Text => self.text(),
            Place::Payload => self.field(""),
        }
    }

    fn field(&self, pointer: &str) -> Result<Cow<'_, str>, Reason> {
        if self.bytes.is_empty() {
            return Ok("".into());
        }
        self.json()?.at(pointer).and_then(Json::word).ok_or(Reason::Missing)
    }
}

/// What is known of a rule before any message.
#[derive(Debug)]
struct Prepared {
    device: Template,
    signal: Option<SignalId>,
    /// What the rule says, in a number that survives its moving to another place.
    fingerprint: u64,
}

impl Prepared {
    fn new(rule: &Rule, signals: &[Box<str>]) -> Self {
        let looked_at = match &rule.value {
            Place::Topic(template) => Some(template),
            _ => None,
        };
        let device = rule.device.clone().unwrap_or_else(|| Template::topic_without(&rule.pattern, looked_at));
        let fingerprint = memory::digest(format!("{rule:?}").as_bytes());
        Prepared { device, signal: signal(signals, &rule.signal), fingerprint }
    }
}

fn signal(signals: &[Box<str>], name: &str) -> Option<SignalId> {
    let place = signals.iter().position(|signal| **signal == *name)?;
    u16::try_from(place).ok().map(SignalId)
}

/// All rules of a configuration and the table of devices.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    /// In the order of `rules`.
    prepared: Vec<Prepared>,
    index: Index,
    /// Names of the signals, in order of priority.
    signals: Vec<Box<str>>,
    /// Lower-case subjects and labels → people of the plan.
    subjects: Subjects,
    /// First levels of the door's topics, with the slash that follows.
    door: Option<Box<str>>,
}

impl Rules {
    /// Compiles `rules`. `subjects` leads from devices and labels to people of the plan, `signals` are the plan's, `prefix`
    /// opens the door `<prefix>/in/<label>/<signal>`.
    #[must_use]
    pub fn new(
        rules: Vec<Rule>,
        subjects: impl IntoIterator<Item = (String, usize)>,
        signals: Vec<Box<str>>,
        prefix: Option<&str>,
    ) -> Self {
        let mut index = Index::default();
        for (rule, id) in rules.iter().zip(0..) {
            index.add(&rule.pattern, id);
        }
        let subjects = subjects.into_iter().map(|(subject, person)| (subject.to_lowercase(), person)).collect();
        let door = prefix.map(|prefix| format!("{prefix}/in/").into());
        let prepared = rules.iter().map(|rule| Prepared::new(rule, &signals)).collect();
        Rules { rules, prepared, index, signals, subjects, door }
    }

    /// The MQTT filters to subscribe, of all brokers together.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        self.filters_where(|_| true, true)
    }

    /// The MQTT filters to subscribe at one broker; `door`: it has the door, too.
    #[must_use]
    pub fn filters_of(&self, source: SourceId, door: bool) -> Vec<String> {
        self.filters_where(|rule| rule.source.is_none_or(|only| only == source), door)
    }

    fn filters_where(&self, wanted: impl Fn(&Rule) -> bool, door: bool) -> Vec<String> {
        let door = self.door.iter().filter(|_| door).map(|door| format!("{door}+/+"));
        let rules = self.rules.iter().filter(|rule| wanted(rule));
        minimal_filters(rules.map(|rule| rule.pattern.filter()).chain(door).collect())
    }

    /// A rule, for logs.
    #[must_use]
    pub fn get(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.0 as usize)
    }

    /// What a rule says, in a number for snapshots; `None` for the door.
    pub(super) fn fingerprint(&self, id: RuleId) -> Option<u64> {
        self.prepared.get(id.0 as usize).map(|prepared| prepared.fingerprint)
    }

    /// The rule with this fingerprint, if there is one.
    pub(super) fn find(&self, fingerprint: Option<u64>) -> Option<RuleId> {
        let Some(fingerprint) = fingerprint else { return Some(RuleId::DOOR) };
        let place = self.prepared.iter().position(|prepared| prepared.fingerprint == fingerprint)?;
        u32::try_from(place).ok().map(RuleId)
    }

    /// The rule of `new` that says the same as rule `id` of these, if there is one.
    #[must_use]
    pub fn successor(&self, id: RuleId, new: &Rules) -> Option<RuleId> {
        if id == RuleId::DOOR {
            return (self.door == new.door).then_some(id);
        }
        let old = self.get(id)?;
        let place = new.rules.iter().position(|rule| rule == old)?;
        u32::try_from(place).ok().map(RuleId)
    }

    /// Where a subject leads: an index into `Plan::people`. Letter case does not matter.
    #[must_use]
    pub fn resolve(&self, subject: &str) -> Option<usize> {
        self.subjects.get(Scratch::new().lower(subject))
    }

    /// Calls `each` once for every rule whose topic pattern matches, with what it makes of the message. Does not call it
    /// at all if none matches. Allocates nothing, except for JSON, for a device, value or subject that is put together and
    /// longer than 128 bytes, and for letters beyond ASCII in upper case.
    pub fn evaluate(
        &self,
        source: SourceId,
        topic: &str,
        payload: &[u8],
        each: &mut dyn FnMut(RuleId, Result<Effect<'_>, Reason>),
    ) {
        if let Some(rest) = self.door.as_deref().and_then(|door| topic.strip_prefix(door)) {
            self.enter(rest, payload, each);
        }
        let payload = Payload { bytes: payload, json: OnceCell::new() };
        self.index.find(topic, &mut |id| {
            let rule = &self.rules[id as usize];
            if rule.source.is_some_and(|only| only != source) {
                return;
            }
            if let Some(captures) = rule.pattern.captures(topic) {
                self.apply(RuleId(id), rule, &captures, &payload, each);
            }
        });
    }

    fn apply(
        &self,
        id: RuleId,
        rule: &Rule,
        captures: &[&str],
        payload: &Payload<'_>,
        each: &mut dyn FnMut(RuleId, Result<Effect<'_>, Reason>),
    ) {
        if payload.bytes.len() > LARGEST {
            return each(id, Err(Reason::TooLarge));
        }
        let [mut value, mut subject, mut device] = std::array::from_fn(|_| Scratch::new());
        let said = payload.find(&rule.value, rule.format, captures, &mut value).and_then(|word| rule.say(&word));
        let found = said.and_then(|say| Ok((say, payload.find(&rule.subject, rule.format, captures, &mut subject)?)));
        let (say, subject) = match found {
            Ok(found) => found,
            Err(reason) => return each(id, Err(reason)),
        };
        let prepared = &self.prepared[id.0 as usize];
        let (Some(person), Some(signal)) = (self.resolve(&subject), prepared.signal) else {
            return each(id, Err(Reason::UnknownSubject));
        };
        let effect = Effect {
            person,
            signal,
            device: prepared.device.fill(captures, &mut device),
            subject: &subject,
            say,
            ttl: rule.ttl,
            delay: rule.delay,
            hold: rule.hold,
            until: None,
            timed: false,
            accept_retained: rule.accept_retained,
        };
        each(id, Ok(effect));
    }
}
