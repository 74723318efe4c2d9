//! Learn mode: whom messages name that neither devices nor people know. Lift a handset, and the newest entry says which
//! line is missing in `[devices]`.
//!
//! Strangers write these topics, so there is room for so many and no more, and so much of each. Kept in memory only, and
//! told through the socket alone: who calls whom is nobody else's business.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use serde_json::{Value, json};

use super::{Bridge, links, words};
use crate::presence::rule::Stranger;
use crate::presence::{Plan, Publish, RuleId, SourceId, Timestamp};

/// Entries; who was heard least recently makes room. A PBX with more extensions than that is mapped by a list, not by ear.
const MOST: usize = 1_024;
/// Bytes of a payload, a subject or a rule's name that are kept.
const SHOWN: usize = 128;
/// Bytes of a topic that are kept. With the above an entry takes less than 1 KiB.
const TOPIC: usize = 256;

/// Somebody unknown, as named on one topic.
#[derive(Debug)]
struct Entry {
    /// Place in the order of hearing.
    turn: u64,
    last: Timestamp,
    count: u64,
    source: SourceId,
    topic: Box<str>,
    found: Box<str>,
    /// `None`: the rule took nothing from it that could stand in the table.
    subject: Option<Box<str>>,
    /// There is more of the subject than is kept.
    cut: bool,
    rule: Box<str>,
    payload: Vec<u8>,
    /// Bytes of the whole payload.
    length: usize,
    retained: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Unmapped {
    entries: HashMap<u64, Entry>,
    /// From turns to entries: the first is the one heard least recently.
    order: BTreeMap<u64, u64>,
    turns: u64,
    /// Entries that had to make room.
    forgotten: u64,
    /// Nobody can choose topics that fall together.
    names: RandomState,
}

impl Unmapped {
    /// Somebody was named. What is known already is written over in place.
    fn note(&mut self, now: Timestamp, source: SourceId, publish: &Publish<'_>, rule: &str, stranger: Stranger<'_>) {
        let key = self.names.hash_one((source, publish.topic, rule, stranger.found));
        self.turns += 1;
        if !self.entries.contains_key(&key) {
            self.make_room();
            let topic = std::str::from_utf8(publish.topic).unwrap_or_default(); // no rule takes another
            self.entries.insert(key, Entry::new(source, topic, rule, stranger));
        }
        let Some(entry) = self.entries.get_mut(&key) else { return };
        self.order.remove(&entry.turn);
        self.order.insert(self.turns, key);
        entry.turn = self.turns;
        entry.last = now;
        entry.count += 1;
        entry.retained = publish.retain;
        entry.length = publish.payload.len();
        entry.payload.clear();
        entry.payload.extend(publish.payload.iter().take(SHOWN));
    }

    fn make_room(&mut self) {
        while self.entries.len() >= MOST {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.entries.remove(&oldest);
            self.forgotten += 1;
        }
    }

    /// Who is unknown still under `plan`, the newest first.
    fn of<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a Entry> {
        let rules = (0..).map(RuleId).map_while(|id| plan.rules.get(id));
        let rules: HashSet<&str> = rules.map(|rule| cut(&rule.name, SHOWN)).collect();
        let newest = self.order.values().rev().filter_map(|key| self.entries.get(key));
        let is_known = |entry: &Entry| {
            let subject = entry.subject.as_deref().filter(|_| !entry.cut);
            subject.is_some_and(|subject| plan.rules.resolve(subject).is_some())
        };
        newest.filter(move |entry| rules.contains(&*entry.rule) && !is_known(entry))
    }
}

impl Entry {
    fn new(source: SourceId, topic: &str, rule: &str, stranger: Stranger<'_>) -> Self {
        Entry {
            turn: 0,
            last: Timestamp::default(),
            count: 0,
            source,
            topic: cut(topic, TOPIC).into(),
            found: cut(stranger.found, SHOWN).into(),
            subject: stranger.subject.map(|subject| cut(subject, SHOWN).into()),
            cut: stranger.subject.is_some_and(|subject| subject.len() > SHOWN),
            rule: cut(rule, SHOWN).into(),
            payload: Vec::new(),
            length: 0,
            retained: false,
        }
    }

    /// What to write into `[devices]`; `None` where nothing there would help.
    fn line(&self) -> Option<String> {
        let subject = self.subject.as_deref().filter(|subject| !subject.is_empty() && !self.cut)?;
        Some(format!("\"{}\" = \"NAME\"", in_toml(subject)))
    }

    fn json(&self, source: Option<&str>) -> Value {
        json!({
            "last": words::rfc3339(self.last), "count": self.count, "source": source, "topic": self.topic,
            "found": self.found, "subject": self.subject, "rule": self.rule,
            "payload": escaped(&self.payload), "payload_bytes": self.length, "payload_cut": self.length > SHOWN, "retained": self.retained,
            "line": self.line(),
        })
    }
}

impl Bridge {
    /// A message named somebody whom its rules do not find.
    pub(super) fn note_strangers(&mut self, now: Timestamp, place: usize, publish: &Publish<'_>) {
        let Ok(topic) = std::str::from_utf8(publish.topic) else { return };
        let (plan, unmapped, source) = (self.core.plan(), &mut self.unmapped, links::source_id(place));
        plan.rules.strangers(source, topic, publish.payload, &mut |id, stranger| {
            let rule = plan.rules.get(id).map_or("", |rule| &*rule.name);
            unmapped.note(now, source, publish, rule, stranger);
        });
    }

    /// So many are unknown.
    pub(super) fn count_unmapped(&self) -> usize {
        self.unmapped.of(self.core.plan()).count()
    }

    /// Who is unknown.
    pub(super) fn tell_unmapped(&self) -> Value {
        let name = |source: SourceId| self.links.get(usize::from(source.0)).map(|link| &*link.name);
        let all = self.unmapped.of(self.core.plan());
        json!({
            "unmapped": all.map(|entry| entry.json(name(entry.source))).collect::<Vec<_>>(),
            "most": MOST,
            "forgotten": self.unmapped.forgotten,
        })
    }
}

/// The beginning of `text`, whole characters.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

fn in_toml(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if is_plain(c) => c.to_string(),
        c => format!("\\U{:08X}", u32::from(c)),
    };
    text.chars().map(escaped).collect()
}

/// Whether a terminal shows it as what it is.
fn is_plain(c: char) -> bool {
    matches!(c, '"' | '\'') || c.escape_debug().count() == 1
}

/// As a terminal may show it: what strangers wrote moves no cursor and hides nothing. Quotes stay, for JSON's sake.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match is_plain(c) {
                true => shown.push(c),
                false => shown.extend(c.escape_debug()),
            }
        }
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(unmapped: &mut Unmapped, topic: &str, payload: &[u8]) {
        let publish = Publish { topic: topic.as_bytes(), payload, retain: false, expiry: None };
        let found = topic.rsplit('/').next().unwrap_or_default();
        let stranger = Stranger { found, subject: Some(found) };
        unmapped.note(Timestamp::default(), SourceId(0), &publish, "rule", stranger);
    }

    #[test]
    fn the_least_recently_heard_makes_room_and_nothing_grows() {
        let mut unmapped = Unmapped::default();
        for number in 0..MOST {
            note(&mut unmapped, &format!("a/{number}"), b"on");
        }
        note(&mut unmapped, "a/0", &[0xff; 100_000]);
        for number in 0..MOST - 1 {
            note(&mut unmapped, &format!("b/{number}"), b"on");
        }
        assert_eq!((unmapped.entries.len(), unmapped.order.len()), (MOST, MOST));
        assert_eq!(unmapped.forgotten, MOST as u64 - 1);
        let kept: Vec<&Entry> = unmapped.entries.values().filter(|entry| entry.topic.starts_with("a/")).collect();
        let [kept] = kept[..] else { panic!("{kept:?}") };
        assert_eq!((&*kept.topic, kept.count, kept.length, kept.payload.len()), ("a/0", 2, 100_000, SHOWN));
    }

    #[test]
    fn what_is_long_is_cut_at_a_character_and_gives_no_line() {
        let mut unmapped = Unmapped::default();
        note(&mut unmapped, &format!("a/{}", "ü".repeat(30_000)), b"on");
        let entry = unmapped.entries.values().next().unwrap();
        assert_eq!((entry.topic.len(), entry.found.chars().count(), entry.line()), (256, 64, None));
    }

    #[test]
    fn a_line_is_toml_whatever_a_stranger_is_called() {
        for name in ["1003", "a\"b", "a\\b", "it's", "a\nb = 1", "ü \u{7f}", "\u{202e}1"] {
            let stranger = Stranger { found: name, subject: Some(name) };
            let line = Entry::new(SourceId(0), "t", "rule", stranger).line().unwrap();
            let table: toml::Table = line.parse().unwrap();
            assert!(line.chars().all(|c| c == '\\' || is_plain(c)), "{line}");
            assert_eq!(table.get(name).and_then(|name| name.as_str()), Some("NAME"), "{line}");
        }
    }

    #[test]
    fn nothing_that_is_shown_moves_a_cursor() {
        assert_eq!(escaped(b"{\"a\": 'b'}"), "{\"a\": 'b'}");
        assert_eq!(escaped(b"\x1b[2J\n\xff\xc3"), "\\u{1b}[2J\\n\\xff\\xc3");
        assert_eq!(escaped("\u{202e}1".as_bytes()), "\\u{202e}1");
    }
}
