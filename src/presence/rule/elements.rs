//! Arrays are searched, not indexed: what the elements of one say, taken together.

use super::json::Json;
use super::judge::{Each, Said, all_hold, instant};
use super::payload::Sight;
use super::reason::Refused;
use super::text::Scratch;
use super::words::Value;
use super::{Missing, Reason, Rule, Rules, Say, Turn, Window};
use crate::presence::now::Timestamp;
use crate::presence::plan::RuleId;

/// So many elements are looked at.
const MOST: usize = 4_096;

/// What an element says, of whom.
pub(super) struct Word<'a> {
    pub(super) element: &'a Json,
    who: Who,
    said: Said,
}

/// Whom an element is about: the subject as it stands there, and what tells several of his apart.
type Who = [Option<String>; 2];

fn who(rule: &Rule, sight: &Sight<'_>) -> Who {
    [Some(&rule.subject), rule.each.as_ref()].map(|place| {
        let mut scratch = Scratch::new();
        let word = sight.look(place?, &mut scratch).ok().flatten().and_then(Value::into_word);
        word.map(|word| word.to_lowercase())
    })
}

pub(super) fn elements(list: Option<&Json>) -> Vec<&Json> {
    match list {
        Some(Json::Array(items)) => items.iter().take(MOST).collect(),
        Some(Json::Object(fields)) => fields.iter().map(|(_, item)| item).take(MOST).collect(),
        _ => Vec::new(),
    }
}

/// On counts more than off, off more than "I do not know".
fn rank(say: Say) -> u8 {
    match say {
        Say::On => 3,
        Say::Off => 2,
        Say::Unknown => 1,
        Say::Until => 0,
    }
}

impl Rules {
    pub(super) fn each_element<'a>(
        &self,
        id: RuleId,
        rule: &Rule,
        sight: &Sight<'a>,
        list: Option<&'a Json>,
        each: &mut Each<'_>,
    ) -> Result<(), Reason> {
        let mut chosen = Vec::new();
        for element in elements(list) {
            if all_hold(&rule.filter, &sight.at(element))? {
                chosen.push(element);
            }
        }
        if rule.window.is_some() {
            let outside = match rule.no_elements() {
                Ok(said) => said,
                Err(reason) if list.is_none() => return Err(reason),
                Err(_) => (Say::Unknown, Turn::Say),
            };
            let calendars = calendars(rule, sight, &chosen);
            if calendars.is_empty() {
                let none = self.emit(id, sight, outside, Some(&[]), each);
                return none.map_err(|reason| empty(rule, list, reason));
            }
            for Calendar { element, windows, .. } in calendars {
                if let Err(reason) = self.emit(id, &sight.at(element), outside, Some(&windows), each) {
                    each(id, Err(Refused::For(reason))); // that one alone
                }
            }
            return Ok(());
        }
        let words = words(rule, sight, &chosen);
        if words.is_empty() {
            let said = rule.no_elements().and_then(|said| self.emit(id, sight, said, None, each));
            return said.map_err(|reason| empty(rule, list, reason));
        }
        for word in words {
            if let Err(reason) = self.emit(id, &sight.at(word.element), word.said, None, each) {
                each(id, Err(Refused::For(reason))); // that one alone
            }
        }
        Ok(())
    }
}

/// The windows of one subject.
pub(super) struct Calendar<'a> {
    /// The first of its elements.
    pub(super) element: &'a Json,
    who: Who,
    windows: Vec<Window>,
}

pub(super) fn calendars<'a>(rule: &Rule, sight: &Sight<'a>, chosen: &[&'a Json]) -> Vec<Calendar<'a>> {
    let mut calendars: Vec<Calendar<'a>> = Vec::new();
    for &element in chosen {
        let here = sight.at(element);
        let (who, window) = (who(rule, &here), window(rule, &here).ok().flatten());
        match calendars.iter_mut().find(|other| other.who == who) {
            Some(calendar) => calendar.windows.extend(window),
            None => calendars.push(Calendar { element, who, windows: window.into_iter().collect() }),
        }
    }
    calendars
}

/// When an element, or a payload, is on.
pub(super) fn window(rule: &Rule, sight: &Sight<'_>) -> Result<Option<Window>, Reason> {
    let Some((start, end)) = &rule.window else { return Ok(None) };
    let Some(start) = instant(rule, start, sight)? else { return Ok(None) };
    let end = end.as_ref().map_or(Ok(Some(Timestamp::MAX)), |end| instant(rule, end, sight))?;
    Ok(end.filter(|&end| start < end).map(|end| Window { start, end }))
}

/// A list that names nobody says so of everybody, where the rule wants to know.
fn empty(rule: &Rule, list: Option<&Json>, reason: Reason) -> Reason {
    let says = rule.absent != Missing::Ignore && list.is_some() && reason == Reason::Missing;
    if says { Reason::EmptyList } else { reason }
}

/// Events one after another; of levels the one that counts most, for each subject and device.
pub(super) fn words<'a>(rule: &Rule, sight: &Sight<'a>, chosen: &[&'a Json]) -> Vec<Word<'a>> {
    let mut words: Vec<Word<'a>> = Vec::new();
    for &element in chosen {
        let here = sight.at(element);
        let Ok(said) = rule.say(&here) else { continue };
        let word = Word { element, who: who(rule, &here), said };
        match words.iter_mut().find(|other| !rule.is_edge() && other.who == word.who) {
            Some(other) if rank(other.said.0) >= rank(said.0) => {}
            Some(other) => *other = word,
            None => words.push(word),
        }
    }
    words
}
