//! From a message to effects on shares, or a typed reason why not.
//!
//! A rule is data: a topic pattern, where to find a value, word lists for on, off and unknown, where to find the subject.
//! Nothing in a message is ever expanded, evaluated or passed on; the worst that a payload can do is to match no word.

pub mod door;
mod elements;
mod filters;
mod json;
mod judge;
mod pattern;
mod payload;
mod reason;
mod sibling;
mod subject;
mod subjects;
mod text;
mod times;
pub mod trace;
mod words;
mod zones;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::judge::Each;
pub use self::pattern::Regex;
use self::payload::Payload;
use self::reason::Refused;
pub use self::reason::{Reason, Stranger};
pub use self::sibling::{Fact, Role, Sibling};
pub use self::subject::{Normal, Spelling};
use self::subjects::Subjects;
use self::text::Scratch;
pub use self::text::Template;
pub use self::times::Zone;
pub use self::words::{Test, Words};
use super::action::SourceId;
use super::memory;
use super::now::Timestamp;
use super::plan::{RuleId, SignalId};
use super::topic::{Index, Pattern};

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
    /// What else bears on it than this message.
    pub more: More<'a>,
}

/// What bears on an effect besides what one message says: what was said before, what sibling topics say, the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct More<'a> {
    /// How what was said before bears on it.
    pub turn: Turn,
    /// All windows of a calendar; what `say` says holds outside of them.
    pub windows: Option<&'a [Window]>,
    /// When the payload says that it was made.
    pub made: Option<Timestamp>,
    /// A digest of the field by which one event is told from the next.
    pub event: Option<u64>,
    /// What this message and its sibling topics have in common, one key for each [`Sibling`] of the rule.
    pub links: &'a [u64],
}

/// How what was said before bears on an effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// Not at all.
    #[default]
    Say,
    /// On becomes off, and anything else on.
    Toggle,
    /// A number between the bounds for on and off: what was said last is said again.
    Keep,
}

/// A time in which a calendar's element holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From then on.
    pub start: Timestamp,
    /// Until then; later than `start`. [`Timestamp::MAX`]: a sibling says it, and until then it is not on.
    pub end: Timestamp,
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
            more,
        } = *self;
        matches!(say, Say::On | Say::Off) && until.is_none() && !timed && more == More::default()
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
    /// As the query string of a URL.
    Query,
    /// As a text that a regular expression takes apart.
    Match,
}

/// What it means that there is no value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// That nothing changed.
    #[default]
    Ignore,
    /// Off.
    Off,
    /// That the device does not know.
    Unknown,
}

/// Where a value is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The whole payload.
    #[default]
    Payload,
    /// In the topic, or constant.
    Topic(Template),
    /// In the payload: by JSON Pointer (RFC 6901), by the name of a query's field or of a group.
    Field(Box<str>),
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What it is called in logs.
    pub name: Box<str>,
    /// The broker it listens to; `None` for any.
    pub source: Option<SourceId>,
    /// The topics it takes.
    pub pattern: Pattern,
    /// Those of them that it does not.
    pub except: Vec<Pattern>,
    /// How the payload is read.
    pub format: Format,
    /// What takes it apart, for [`Format::Match`].
    pub regex: Option<Regex>,
    /// What must hold, or the rule is silent.
    pub when: Vec<(Place, Words)>,
    /// The array (or object) whose elements are looked at one by one, by JSON Pointer.
    pub any: Option<Box<str>>,
    /// Which of them count.
    pub filter: Vec<(Place, Words)>,
    /// What it means that somebody, or something of his, is no longer in the list.
    pub absent: Missing,
    /// Where an element, or the payload, has its start and its end: it counts between them. No end: a sibling says it.
    pub window: Option<(Place, Option<Place>)>,
    /// Who it is about, before the table of devices.
    pub subject: Place,
    /// What is done with that before it is looked for in the table.
    pub normal: Normal,
    /// The name of the signal; it must be in the plan.
    pub signal: Box<str>,
    /// What is compared with the words.
    pub value: Place,
    /// What means on.
    pub on: Words,
    /// What means off.
    pub off: Words,
    /// What means "I do not know".
    pub unknown: Words,
    /// What turns on into off and off into on: an event.
    pub toggle: Words,
    /// What means on for the length of `ttl`: an event.
    pub pulse: Words,
    /// What no value means.
    pub missing: Missing,
    /// Where an event has what tells it from the next.
    pub dedupe: Option<Place>,
    /// The device that holds the share; `None`: the topic, without the captures that `value` looks at.
    pub device: Option<Template>,
    /// What tells several of one device apart, such as the id of a call: each holds a share of its own.
    pub each: Option<Place>,
    /// How long a share lasts if nothing more is heard.
    pub ttl: Duration,
    /// Where the payload says how long instead: seconds, or a duration as text.
    pub lasts: Option<Place>,
    /// How long an on must last before it counts.
    pub delay: Duration,
    /// How long it goes on after an off.
    pub hold: Duration,
    /// Where the payload says when an on ends.
    pub until: Option<Place>,
    /// Where the payload says when it was made.
    pub made: Option<Place>,
    /// What was made longer ago is not taken.
    pub max_age: Option<Duration>,
    /// The zone of times that do not say theirs.
    pub zone: Zone,
    /// Whether a retained replay counts.
    pub accept_retained: bool,
    /// Topics beside this one that say more.
    pub siblings: Vec<Sibling>,
}

impl Rule {
    /// A rule that nothing turns on yet: text, the whole payload, the default lease.
    #[must_use]
    pub fn new(pattern: Pattern, subject: Place, signal: &str) -> Self {
        Rule {
            name: pattern.as_str().into(),
            source: None,
            pattern,
            except: Vec::new(),
            format: Format::Text,
            regex: None,
            when: Vec::new(),
            any: None,
            filter: Vec::new(),
            absent: Missing::Ignore,
            window: None,
            subject,
            normal: Normal::default(),
            signal: signal.into(),
            value: Place::Payload,
            on: Words::default(),
            off: Words::default(),
            unknown: Words::default(),
            toggle: Words::default(),
            pulse: Words::default(),
            missing: Missing::Ignore,
            dedupe: None,
            device: None,
            each: None,
            ttl: DEFAULT_TTL,
            lasts: None,
            delay: Duration::ZERO,
            hold: Duration::ZERO,
            until: None,
            made: None,
            max_age: None,
            zone: Zone::default(),
            accept_retained: true,
            siblings: Vec::new(),
        }
    }

    /// Whether it takes events instead of levels.
    #[must_use]
    pub fn is_edge(&self) -> bool {
        !self.toggle.is_empty() || !self.pulse.is_empty()
    }

    /// Whether numbers between those for on and those for off leave things as they are.
    pub(super) fn has_band(&self) -> bool {
        self.on.is_bound() && self.off.is_bound()
    }
}

/// What is known of a rule before any message.
#[derive(Debug)]
struct Prepared {
    device: Template,
    signal: Option<SignalId>,
    /// What the rule says, in a number that survives its moving to another place.
    fingerprint: u64,
    /// For each sibling, which captures of the rule its own are, in its order.
    links: Vec<Vec<usize>>,
}

impl Prepared {
    fn new(rule: &Rule, signals: &[Box<str>]) -> Self {
        let looked_at = match &rule.value {
            Place::Topic(template) => Some(template),
            _ => None,
        };
        let device = rule.device.clone().unwrap_or_else(|| Template::topic_without(&rule.pattern, looked_at));
        let fingerprint = memory::digest(format!("{rule:?}").as_bytes());
        let links = rule.siblings.iter().map(|sibling| sibling.links(&rule.pattern)).collect();
        Prepared { device, signal: signal(signals, &rule.signal), fingerprint, links }
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
    /// Whether absence from a list says something under any of them.
    lists: bool,
    index: Index,
    /// The topics of siblings, by their place in `beside`.
    sibling_index: Index,
    beside: Vec<(RuleId, usize)>,
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
        let (mut sibling_index, mut beside) = (Index::default(), Vec::new());
        for (rule, id) in rules.iter().zip(0..) {
            for (place, sibling) in rule.siblings.iter().enumerate() {
                sibling_index.add(&sibling.pattern, u32::try_from(beside.len()).unwrap_or(u32::MAX));
                beside.push((RuleId(id), place));
            }
        }
        let spellings = subject::spellings(rules.iter().map(|rule| &rule.normal));
        let subjects = subjects.into_iter().flat_map(|(subject, person)| {
            let spelt = spellings.iter().filter_map(|spelling| spelling.spell(&subject)).collect::<Vec<_>>();
            spelt.into_iter().chain([subject.to_lowercase()]).map(move |subject| (subject, person))
        });
        let subjects = subjects.collect();
        let door = prefix.map(|prefix| format!("{prefix}/in/").into());
        let prepared = rules.iter().map(|rule| Prepared::new(rule, &signals)).collect();
        let lists = rules.iter().any(|rule| rule.absent != Missing::Ignore);
        Rules { lists, rules, prepared, index, sibling_index, beside, signals, subjects, door }
    }

    /// A rule, for logs.
    #[must_use]
    pub fn get(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.0 as usize)
    }

    /// Whether absence from a list says something under any rule.
    pub(super) fn have_lists(&self) -> bool {
        self.lists
    }

    /// The device that a list on a topic stands for, where absence from it says something; and what it says.
    pub(super) fn list(&self, id: RuleId, topic: &str) -> Option<(String, Say)> {
        let rule = self.get(id)?;
        let say = match rule.absent {
            Missing::Ignore => return None,
            Missing::Off => Say::Off,
            Missing::Unknown => Say::Unknown,
        };
        let captures = rule.pattern.captures(topic)?;
        Some((self.prepared[id.0 as usize].device.fill(&captures, &mut Scratch::new()).to_owned(), say))
    }

    /// The signal of a rule.
    pub(super) fn signal(&self, id: RuleId) -> Option<SignalId> {
        self.prepared.get(id.0 as usize)?.signal
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
    /// at all if none matches. Allocates nothing, except for payloads that are not plain text, for rules with siblings, for a device, value or subject that is
    /// put together and longer than 128 bytes, and for letters beyond ASCII in upper case.
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
        self.take(source, topic, payload, &mut |rule, result| each(rule, result.map_err(Refused::reason)));
    }

    /// Whom a message is about and who is neither a device nor a person here, for each rule that takes it: for showing
    /// which line is missing. Reads the message again, so ask only where a rule found somebody unknown.
    pub fn strangers(&self, source: SourceId, topic: &str, payload: &[u8], each: &mut dyn FnMut(RuleId, Stranger<'_>)) {
        self.take(source, topic, payload, &mut |rule, result| {
            if let Err(Refused::Stranger(stranger)) = result {
                each(rule, stranger);
            }
        });
    }

    fn take(&self, source: SourceId, topic: &str, payload: &[u8], each: &mut Each<'_>) {
        let payload = Payload::new(payload);
        self.index.find(topic, &mut |id| {
            let rule = &self.rules[id as usize];
            if rule.source.is_some_and(|only| only != source) {
                return;
            }
            if let Some(captures) = rule.pattern.captures(topic)
                && !rule.except.iter().any(|except| except.captures(topic).is_some())
            {
                self.judge(RuleId(id), &captures, &payload, each);
            }
        });
    }
}
