//! What one rule makes of one message.

use super::elements::window;
use super::payload::{Payload, Sight};
use super::reason::{Refused, Stranger};
use super::text::Scratch;
use super::times;
use super::words::{Value, Words};
use super::{Effect, LARGEST, LONGEST_TTL, Missing, More, Place, Reason, Rule, Rules, Say, Turn, Window};
use crate::presence::memory;
use crate::presence::now::{Timestamp, parse_duration};
use crate::presence::plan::RuleId;
use std::borrow::Cow;
use std::time::Duration;

/// Who hears what a rule made of a message.
pub(super) type Each<'e> = dyn FnMut(RuleId, Result<Effect<'_>, Refused<'_>>) + 'e;

/// What a value means.
pub(super) type Said = (Say, Turn);

/// Words for "no end is known", as Home Assistant and others write it.
const NO_TIME: [&str; 5] = ["", "null", "none", "unknown", "unavailable"];

impl Missing {
    fn say(self) -> Result<Said, Reason> {
        match self {
            Missing::Ignore => Err(Reason::Missing),
            Missing::Off => Ok((Say::Off, Turn::Say)),
            Missing::Unknown => Ok((Say::Unknown, Turn::Say)),
        }
    }
}

impl Rule {
    /// What the value means that stands where the rule looks.
    pub(super) fn say(&self, sight: &Sight<'_>) -> Result<Said, Reason> {
        let mut scratch = Scratch::new();
        let value = sight.look(&self.value, &mut scratch)?;
        // That there is no value is what `missing` is for, unless it is asked for.
        let holds = |words: &Words| (value.is_some() || words.wants_none()) && words.holds(value.as_ref());
        let say = |say| Ok((say, Turn::Say));
        if holds(&self.on) || holds(&self.pulse) {
            return say(Say::On);
        } else if holds(&self.toggle) {
            return Ok((Say::On, Turn::Toggle));
        } else if holds(&self.off) {
            return say(Say::Off);
        } else if holds(&self.unknown) {
            return say(Say::Unknown);
        }
        let Some(value) = value else { return self.missing.say() };
        if self.has_band() && value.number().is_some() {
            return Ok((Say::On, Turn::Keep));
        }
        match value.word() {
            Some(word) if word.is_empty() && !self.is_edge() => say(Say::Unknown), // withdrawn
            Some(_) => Err(Reason::OtherValue),
            None if self.missing == Missing::Ignore => Err(Reason::OtherValue),
            None => self.missing.say(),
        }
    }

    /// Whether an empty payload withdraws what was said. Where the topic itself is the value, the payload does not matter.
    pub(super) fn is_withdrawn(&self, payload: &Payload<'_>) -> bool {
        payload.bytes.is_empty() && !matches!(self.value, Place::Topic(_))
    }

    pub(super) fn no_elements(&self) -> Result<Said, Reason> {
        self.missing.say()
    }
}

/// Whether all of these hold.
pub(super) fn all_hold(tests: &[(Place, Words)], sight: &Sight<'_>) -> Result<bool, Reason> {
    for (place, words) in tests {
        let mut scratch = Scratch::new();
        if !words.holds(sight.look(place, &mut scratch)?.as_ref()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A time that stands there, if one does.
pub(super) fn instant(rule: &Rule, place: &Place, sight: &Sight<'_>) -> Result<Option<Timestamp>, Reason> {
    let mut scratch = Scratch::new();
    let Some(value) = sight.look(place, &mut scratch)? else { return Ok(None) };
    read_time(&value, &rule.zone)
}

pub(super) fn read_time(value: &Value<'_>, zone: &super::Zone) -> Result<Option<Timestamp>, Reason> {
    if value.word().is_some_and(|word| NO_TIME.iter().any(|none| none.eq_ignore_ascii_case(word.trim()))) {
        return Ok(None);
    }
    let time = match value {
        Value::Json(json) => times::json(json, zone),
        Value::Word(word) => times::text(word, zone),
    };
    time.map(Some).ok_or(Reason::BadTime)
}

/// How long the payload says that it lasts: seconds, or a duration as text; zero and nothing say nothing.
fn lasts(place: &Place, sight: &Sight<'_>) -> Result<Option<Duration>, Reason> {
    let mut scratch = Scratch::new();
    let Some(value) = sight.look(place, &mut scratch)? else { return Ok(None) };
    let span = match value.number() {
        Some(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| Reason::BadTime)?,
        None => match value.word() {
            Some(word) if NO_TIME.contains(&&*word) => return Ok(None),
            Some(word) => parse_duration(&word).ok_or(Reason::BadTime)?,
            None => return Err(Reason::BadTime),
        },
    };
    Ok((!span.is_zero()).then(|| span.clamp(Duration::from_secs(1), LONGEST_TTL)))
}

impl Rules {
    /// Calls `each` with what a rule makes of a message that its topic pattern takes: mostly once; for events in an array
    /// and for several subjects in one, once for each.
    pub(super) fn judge(&self, id: RuleId, captures: &[&str], payload: &Payload<'_>, each: &mut Each<'_>) {
        let rule = &self.rules[id.0 as usize];
        let result = match payload.bytes.len() {
            0..=LARGEST => self.look_at(id, rule, captures, payload, each),
            _ => Err(Reason::TooLarge),
        };
        if let Err(reason) = result {
            each(id, Err(Refused::For(reason)));
        }
    }

    fn look_at(
        &self,
        id: RuleId,
        rule: &Rule,
        captures: &[&str],
        payload: &Payload<'_>,
        each: &mut Each<'_>,
    ) -> Result<(), Reason> {
        if rule.is_withdrawn(payload) && rule.absent != Missing::Ignore {
            return Err(Reason::EmptyList); // the list itself is withdrawn
        }
        if rule.is_withdrawn(payload) {
            let sight = Sight::new(payload, rule.format, captures, None)?;
            return match rule.is_edge() {
                true => Err(Reason::OtherValue),
                false => self.emit(id, &sight, (Say::Unknown, Turn::Say), rule.window.as_ref().map(|_| &[][..]), each),
            };
        }
        let sight = Sight::new(payload, rule.format, captures, rule.regex.as_ref())?;
        if !all_hold(&rule.when, &sight)? {
            return Err(Reason::Guard);
        }
        match &rule.any {
            Some(pointer) => self.each_element(id, rule, &sight, payload.json()?.at(pointer), each),
            None if rule.window.is_some() => {
                let windows: Vec<Window> = window(rule, &sight)?.into_iter().collect();
                let outside = rule.no_elements().unwrap_or((Say::Unknown, Turn::Say));
                self.emit(id, &sight, outside, Some(&windows), each)
            }
            None => self.emit(id, &sight, rule.say(&sight)?, None, each),
        }
    }

    /// When a list says that it was made, where its rule wants to know how old it is.
    pub(in crate::presence) fn list_made(&self, id: RuleId, topic: &str, payload: &[u8]) -> Option<Timestamp> {
        let rule = self.get(id)?;
        let place = rule.made.as_ref().filter(|_| rule.max_age.is_some())?;
        let (captures, payload) = (rule.pattern.captures(topic)?, Payload::new(payload));
        let sight = Sight::new(&payload, rule.format, &captures, rule.regex.as_ref()).ok()?;
        instant(rule, place, &sight).ok().flatten()
    }

    /// Tells `each` what was said, and of whom.
    pub(super) fn emit(
        &self,
        id: RuleId,
        sight: &Sight<'_>,
        (say, turn): Said,
        windows: Option<&[Window]>,
        each: &mut Each<'_>,
    ) -> Result<(), Reason> {
        let (rule, prepared) = (&self.rules[id.0 as usize], &self.prepared[id.0 as usize]);
        let [mut subject, mut device] = std::array::from_fn(|_| Scratch::new());
        let found = sight.look(&rule.subject, &mut subject)?.and_then(Value::into_word).ok_or(Reason::Missing)?;
        let subject = rule.normal.of(&found);
        let person = subject.as_deref().and_then(|subject| self.resolve(subject));
        let (Some(person), Some(signal), Some(subject)) = (person, prepared.signal, &subject) else {
            let stranger = Stranger { found: &found, subject: subject.as_deref() };
            each(id, Err(Refused::Stranger(stranger)));
            return Ok(());
        };
        let at = |place: &Option<Place>| place.as_ref().map_or(Ok(None), |place| instant(rule, place, sight));
        let until = if say == Say::On { at(&rule.until)? } else { None };
        let ttl = rule.lasts.as_ref().map_or(Ok(None), |place| lasts(place, sight))?;
        let links = self.links(id, sight.captures());
        let more = More { turn, windows, made: at(&rule.made)?, event: event(rule, sight)?, links: links.as_slice() };
        let mut device = Cow::Borrowed(prepared.device.fill(sight.captures(), &mut device));
        if let Some(place) = &rule.each {
            let mut scratch = Scratch::new();
            let id = sight.look(place, &mut scratch)?.and_then(Value::into_word).ok_or(Reason::Missing)?;
            device = format!("{device} {id}").into();
        }
        let effect = Effect {
            person,
            signal,
            device: &device,
            subject,
            say,
            ttl: ttl.unwrap_or(rule.ttl),
            delay: rule.delay,
            hold: rule.hold,
            until,
            timed: false,
            accept_retained: rule.accept_retained,
            more,
        };
        each(id, Ok(effect));
        Ok(())
    }
}

fn event(rule: &Rule, sight: &Sight<'_>) -> Result<Option<u64>, Reason> {
    let Some(place) = &rule.dedupe else { return Ok(None) };
    let mut scratch = Scratch::new();
    let value = sight.look(place, &mut scratch)?;
    Ok(value.and_then(|value| value.word().map(|word| memory::digest(word.as_bytes()))))
}
