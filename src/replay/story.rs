//! A replay for people: a timeline per person, and what was for nobody.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::Played;
use super::tell::{Effect, Event, What, excerpt, iso8601, rfc3339, words};
use crate::presence::{Presence, Timestamp};

/// So many lines are kept, for everybody together; a longer story is for `--format jsonl`.
const MOST_LINES: usize = 30_000;
/// So many kinds of messages for nobody are kept.
const MOST_STRANGERS: usize = 500;
/// So much of a topic or value is shown, characters.
const SHOWN: usize = 80;

/// Collects events until they can be told person by person.
#[derive(Debug, Default)]
pub struct Story {
    people: BTreeMap<Arc<str>, Vec<Line>>,
    /// By topic, rule and reason: how often, and when first.
    strangers: BTreeMap<(String, String), (u64, Duration)>,
    lines: usize,
    left_out: u64,
}

#[derive(Debug)]
enum Line {
    Told(Duration, String),
    /// A refresh, and those right after it.
    Refreshed {
        since: Duration,
        last: Duration,
        presence: Presence,
        count: u64,
    },
}

impl Story {
    /// Takes an event.
    pub fn add(&mut self, event: &Event) {
        let t = event.t;
        match &event.what {
            What::Effect(effect) if effect.aside => {}
            What::Effect(effect) => match &effect.user {
                Some(user) => self.say(user, t, took(effect)),
                None => self.stranger(t, effect),
            },
            What::Wanted { user, presence, because } => {
                let because = because
                    .as_ref()
                    .map_or_else(String::new, |because| format!(", because of {}", excerpt(because, SHOWN)));
                let text = match presence {
                    Some(presence) => format!("wanted: {presence}{because}"),
                    None => "wanted: nothing".to_owned(),
                };
                self.say(user, t, text);
            }
            What::Call { user, set: Some((presence, _)), refresh: true } => self.refresh(user, t, *presence),
            What::Call { user, set, .. } => {
                let text = match set {
                    Some((presence, span)) => format!("→ setPresence {presence} {}", iso8601(*span)),
                    None => "→ clearPresence".to_owned(),
                };
                self.say(user, t, text);
            }
            What::Seen { user, presence } => {
                let nothing = if presence == "Offline/Offline" { " (nothing of ours)" } else { "" };
                self.say(user, t, format!("colleagues see {presence}{nothing}"));
            }
            What::Signal { .. } => {}
        }
    }

    fn room(&mut self) -> bool {
        let room = self.lines < MOST_LINES;
        self.lines += usize::from(room);
        self.left_out += u64::from(!room);
        room
    }

    fn say(&mut self, user: &Arc<str>, t: Duration, text: String) {
        if self.room() {
            self.people.entry(Arc::clone(user)).or_default().push(Line::Told(t, text));
        }
    }

    fn refresh(&mut self, user: &Arc<str>, t: Duration, shown: Presence) {
        if let Some(Line::Refreshed { last, presence, count, .. }) =
            self.people.get_mut(user).and_then(|lines| lines.last_mut())
            && *presence == shown
        {
            (*last, *count) = (t, *count + 1);
        } else if self.room() {
            let line = Line::Refreshed { since: t, last: t, presence: shown, count: 1 };
            self.people.entry(Arc::clone(user)).or_default().push(line);
        }
    }

    fn stranger(&mut self, t: Duration, effect: &Effect) {
        let why = reasons(effect);
        let key = (excerpt(&effect.topic, SHOWN), why);
        if self.strangers.len() >= MOST_STRANGERS && !self.strangers.contains_key(&key) {
            self.left_out += 1;
            return;
        }
        self.strangers.entry(key).or_insert((0, t)).0 += 1;
    }

    /// All of it, with times of day in UTC.
    #[must_use]
    pub fn tell(&self, played: &Played) -> String {
        let mut text = String::new();
        let clock = Clock { start: played.start };
        // Writing into a String cannot fail.
        let _told = writeln!(
            text,
            "{} messages from {} on, for {} (times are UTC)",
            played.messages,
            rfc3339(played.start),
            words(played.span)
        );
        for (user, lines) in &self.people {
            text += &format!("\n{user}\n");
            let mut day = clock.day(Duration::ZERO);
            for line in lines {
                let (Line::Told(t, _) | Line::Refreshed { since: t, .. }) = line;
                if clock.day(*t) != day {
                    day = clock.day(*t);
                    text += &format!("  {day}\n");
                }
                text += &format!("  {}  {}\n", clock.time(*t), line.words(&clock));
            }
        }
        self.nobody(&clock, &mut text);
        if self.left_out > 0 {
            text += &format!("\n{} more events are left out here; --format jsonl has them all.\n", self.left_out);
        }
        text
    }

    fn nobody(&self, clock: &Clock, text: &mut String) {
        if !self.strangers.is_empty() {
            *text += "\nFor nobody\n";
        }
        for ((topic, why), (count, first)) in &self.strangers {
            let times = if *count == 1 { String::new() } else { format!(", {count} times") };
            *text += &format!("  {}  {}: {why}{times}\n", clock.time(*first), excerpt(topic, SHOWN));
        }
    }
}

impl Line {
    fn words(&self, clock: &Clock) -> String {
        match self {
            Line::Told(_, text) => text.clone(),
            Line::Refreshed { presence, count: 1, .. } => format!("→ refreshed {presence}"),
            Line::Refreshed { presence, count, last, .. } => {
                format!("→ refreshed {presence} {count} times, until {}", clock.time(*last))
            }
        }
    }
}

fn took(effect: &Effect) -> String {
    let message = format!("{} {:?}", excerpt(&effect.topic, SHOWN), effect.payload);
    let signal = effect.signal.as_deref().unwrap_or("?");
    let what = match effect.effect {
        "ignored" | "rejected" => {
            return format!("{message}: {} {}", effect.signal.as_deref().unwrap_or("a device is"), reasons(effect));
        }
        "device_down" => "its device is away".to_owned(),
        "device_up" => "its device is there".to_owned(),
        "forget" => format!("{signal} withdrawn"),
        "until" if effect.until.is_none() => format!("{signal} has no known end"),
        "until" => format!("{signal} goes on"),
        other => format!("{signal} {other}"),
    };
    let note = match effect.reason {
        Some("toggled_on") => " turns it on",
        Some("toggled_off") => " turns it off",
        Some("does_not_count") => ", by what is attached to it",
        _ => "",
    };
    let again = if effect.again && effect.device.is_some() { " again" } else { "" };
    let end = match (effect.until, effect.ttl) {
        (Some(until), _) => format!(", until {}", rfc3339(until)),
        (None, Some(ttl)) if ["on", "pulse"].contains(&effect.effect) && effect.reason != Some("toggled_off") => {
            format!(", for {} at most", words(ttl))
        }
        _ => String::new(),
    };
    format!("{message}: {what}{again}{note}{end}")
}

fn reasons(effect: &Effect) -> String {
    let rule = effect.rule.as_ref().map_or_else(String::new, |rule| format!(" by rule {:?}", excerpt(rule, SHOWN)));
    let reason = effect.reason.unwrap_or_default();
    let found = match reason {
        "other_value" => effect.value.as_deref(),
        "unknown_subject" => effect.subject.as_deref(),
        _ => None,
    };
    let found = found.map_or_else(String::new, |found| format!(" {:?}", excerpt(found, SHOWN)));
    match effect.rule {
        None => format!("no rule takes it ({reason})"),
        Some(_) => format!("{}{rule}: {reason}{found}", effect.effect),
    }
}

struct Clock {
    start: Timestamp,
}

impl Clock {
    fn at(&self, t: Duration) -> String {
        rfc3339(self.start + t)
    }

    fn day(&self, t: Duration) -> String {
        self.at(t).split('T').next().unwrap_or_default().to_owned()
    }

    fn time(&self, t: Duration) -> String {
        let at = self.at(t);
        let time = at.split('T').nth(1).unwrap_or_default();
        time.trim_end_matches('Z').split('.').next().unwrap_or_default().to_owned()
    }
}
