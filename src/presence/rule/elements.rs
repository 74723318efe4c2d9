//! Arrays are searched, not indexed: what the elements of one say, taken together.

use super::json::Json;
use super::judge::{Each, Said, all_hold, instant};
use super::payload::Sight;
use super::text::Scratch;
use super::words::Value;
use super::{Reason, Rule, Rules, Say, Turn, Window};
use crate::presence::plan::RuleId;

/// So many elements are looked at.
const MOST: usize = 4_096;

/// What an element says, of whom.
pub(super) struct Word<'a> {
    pub(super) element: &'a Json,
    subject: Option<String>,
    said: Said,
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
        if let Some((start, end)) = &rule.window {
            let outside = match rule.no_elements() {
                Ok(said) => said,
                Err(reason) if list.is_none() => return Err(reason),
                Err(_) => (Say::Unknown, Turn::Say),
            };
            let read = |element: &&Json| -> Option<Window> {
                let sight = sight.at(element);
                let start = instant(rule, start, &sight).ok().flatten()?;
                let end = instant(rule, end, &sight).ok().flatten()?;
                (start < end).then_some(Window { start, end })
            };
            let windows: Vec<Window> = chosen.iter().filter_map(read).collect();
            return self.emit(id, sight, outside, Some(&windows), each);
        }
        let words = words(rule, sight, &chosen);
        if words.is_empty() {
            return self.emit(id, sight, rule.no_elements()?, None, each);
        }
        for word in words {
            if let Err(reason) = self.emit(id, &sight.at(word.element), word.said, None, each) {
                each(id, Err(reason)); // that one alone
            }
        }
        Ok(())
    }
}

/// Events one after another; of levels the one that counts most, for each subject.
pub(super) fn words<'a>(rule: &Rule, sight: &Sight<'a>, chosen: &[&'a Json]) -> Vec<Word<'a>> {
    let mut words: Vec<Word<'a>> = Vec::new();
    for &element in chosen {
        let here = sight.at(element);
        let Ok(said) = rule.say(&here) else { continue };
        let mut scratch = Scratch::new();
        let subject = here.look(&rule.subject, &mut scratch).ok().flatten().and_then(Value::into_word);
        let word = Word { element, subject: subject.map(|subject| subject.to_lowercase()), said };
        match words.iter_mut().find(|other| !rule.is_edge() && other.subject == word.subject) {
            Some(other) if rank(other.said.0) >= rank(said.0) => {}
            Some(other) => *other = word,
            None => words.push(word),
        }
    }
    words
}
