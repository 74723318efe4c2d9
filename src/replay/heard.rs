//! One message of a recording: what its rules made of it, in the words of the output.

use std::sync::Arc;

use super::line::Message;
use super::tell::{Effect, excerpt};
use crate::presence::rule::trace::{List, Outcome, Told, Trace};
use crate::presence::rule::{Fact, Missing, Rule, Turn};
use crate::presence::{Applied, Level, PersonPlan, Plan, Reason, Say, Timestamp, View};

/// So much of a payload is shown, characters.
const SHOWN: usize = 60;

/// What one rule made of a message: step by step, and as it is told.
#[derive(Clone, Debug)]
pub struct Heard {
    /// How the rule came to it.
    pub trace: Trace,
    /// What it came to.
    pub effect: Arc<Effect>,
}

/// For a message that no rule took.
pub(super) fn bare(message: &Message) -> Effect {
    let start = message.payload.get(..4 * SHOWN).unwrap_or(&message.payload);
    Effect {
        topic: message.topic.clone(),
        payload: excerpt(&String::from_utf8_lossy(start), SHOWN),
        ..Effect::default()
    }
}

/// What a rule makes of somebody whom a list no longer names.
pub(super) fn absent(rule: &Rule, who: &PersonPlan, message: &Message) -> Effect {
    Effect {
        rule: Some(rule.name.to_string()),
        user: Some(Arc::from(&*who.label)),
        signal: Some(rule.signal.to_string()),
        effect: if rule.absent == Missing::Unknown { "unknown" } else { "off" },
        reason: Some("absent"),
        ..bare(message)
    }
}

/// What a rule makes of a message, before the core had its say.
pub(super) fn effect(trace: &Trace, plan: &Plan, message: &Message, now: Timestamp) -> Effect {
    let rule = plan.rules.get(trace.rule);
    let found = |look: &Option<crate::presence::rule::trace::Look>| look.as_ref().and_then(|look| look.found.clone());
    let mut effect = Effect {
        rule: Some(rule.map_or("door", |rule| &rule.name).to_owned()),
        value: found(&trace.value),
        subject: found(&trace.subject),
        user: trace.person.and_then(|person| plan.people.get(person)).map(|who| Arc::from(&*who.label)),
        signal: rule.map(|rule| rule.signal.to_string()),
        ..bare(message)
    };
    match &trace.result {
        Err(reason) => (effect.effect, effect.reason) = (refused(*reason), Some(reason.as_str())),
        Ok(Outcome::Share(told)) => {
            let edge = matches!(trace.list, Some(List::Pulse | List::Toggle));
            effect.effect = match told.say {
                _ if trace.withdrawn => "forget",
                Say::On if edge => "pulse",
                say => said(say),
            };
            effect.signal = plan.signals.get(usize::from(told.signal.0)).map(|signal| signal.name.to_string());
            effect.device = Some(told.device.clone());
            effect.until = told.until;
            effect.ttl = Some(told.ttl);
            in_windows(told, now, &mut effect);
        }
        Ok(Outcome::Beside(fact)) => beside(trace, *fact, &mut effect),
        Ok(Outcome::Pause(pause)) => {
            effect.effect = if pause.on { "on" } else { "off" };
            (effect.signal, effect.until) = (Some("pause".to_owned()), pause.until);
        }
    }
    effect
}

/// A calendar is on while one of its windows is.
fn in_windows(told: &Told, now: Timestamp, effect: &mut Effect) {
    let live = told.windows.iter().flatten().filter(|window| window.start <= now && now < window.end);
    if let Some(end) = live.map(|window| window.end).max() {
        (effect.effect, effect.until) = ("on", Some(end));
    }
}

fn beside(trace: &Trace, fact: Fact, effect: &mut Effect) {
    match fact {
        _ if trace.withdrawn => effect.effect = "forget",
        Fact::Until(until) => (effect.effect, effect.until) = ("until", until),
        Fact::Counts(counts) => (effect.effect, effect.reason) = ("ignored", Some(counting(counts))),
        Fact::Down(down) => effect.effect = if down { "device_down" } else { "device_up" },
    }
    if matches!(fact, Fact::Down(_)) {
        effect.signal = None; // it is about the device, whatever signals hang on it
    }
}

const fn counting(counts: bool) -> &'static str {
    if counts { "counts" } else { "does_not_count" }
}

/// The core has the last word: what was said before bears on it.
pub(super) fn judged(
    effect: &mut Effect,
    trace: &Trace,
    plan: &Plan,
    result: Result<Applied, Reason>,
    view: Option<&View<'_>>,
) {
    let applied = match result {
        Ok(applied) => applied,
        Err(reason) => {
            (effect.effect, effect.reason) = (refused(reason), Some(reason.as_str()));
            return;
        }
    };
    effect.again = applied == Applied::Renewed;
    match &trace.result {
        Ok(Outcome::Share(told)) => of_share(effect, trace, plan, told, view),
        Ok(Outcome::Beside(Fact::Counts(counts))) if applied == Applied::Changed => {
            effect.effect = if *counts { "on" } else { "off" };
        }
        _ => {}
    }
}

/// Where a message alone does not say what it comes to, the share does.
fn of_share(effect: &mut Effect, trace: &Trace, plan: &Plan, told: &Told, view: Option<&View<'_>>) {
    let siblings = plan.rules.get(trace.rule).map_or(&[][..], |rule| &rule.siblings);
    if told.turn == Turn::Say && siblings.is_empty() {
        return;
    }
    let signal = plan.signals.get(usize::from(told.signal.0)).map(|signal| &*signal.name);
    let same = |share: &crate::presence::ShareView<'_>| {
        Some(share.signal) == signal && share.device == told.device && share.subject == told.subject
    };
    let Some(share) = view.and_then(|view| view.shares().find(same)) else { return };
    match (told.turn, share.level) {
        (Turn::Toggle, Level::On) => effect.reason = Some("toggled_on"),
        (Turn::Toggle, _) => effect.reason = Some("toggled_off"),
        (Turn::Keep, Level::On) => effect.effect = "on",
        (Turn::Keep, Level::Off) => effect.effect = "off",
        (Turn::Keep, Level::Unknown) => effect.effect = "unknown",
        (Turn::Say, Level::Off) if effect.effect == "on" && told.delay.is_zero() => {
            (effect.effect, effect.reason) = ("off", Some(counting(false)));
        }
        (Turn::Say, Level::On) if effect.effect == "on" && share.until.wall != Timestamp::MAX => {
            effect.until = Some(share.until.wall); // an attached topic knows the end
        }
        (Turn::Say, _) => {}
    }
}

/// Whether it need not be told, since another topic of the same rule, which happens to be the same, tells more: that a device
/// is there when it speaks, that its last will is no level.
pub(super) fn in_passing(heard: &Heard, all: &[Heard]) -> bool {
    let Heard { trace, effect } = heard;
    let mut others = all.iter().filter(|other| other.trace.rule == trace.rule && other.trace.beside != trace.beside);
    match effect.effect {
        "device_up" if effect.again => others.any(|other| other.trace.beside.is_none()),
        "ignored" if effect.aside => others.any(|other| !is_refused(other)),
        "ignored" if trace.beside.is_some() => others.any(|other| other.trace.beside.is_none()),
        _ => false,
    }
}

fn is_refused(heard: &Heard) -> bool {
    ["ignored", "rejected"].contains(&heard.effect.effect)
}

/// Marks what rules make of a message that is meant for another of them.
pub(super) fn set_aside(all: &mut [Heard]) {
    if all.iter().all(is_refused) {
        return;
    }
    for heard in all.iter_mut().filter(|heard| is_refused(heard)) {
        let other = [Reason::OtherValue, Reason::Guard, Reason::Missing].map(|reason| Some(reason.as_str()));
        if other.contains(&heard.effect.reason) {
            Arc::make_mut(&mut heard.effect).aside = true;
        }
    }
}

fn said(say: Say) -> &'static str {
    match say {
        Say::On => "on",
        Say::Off => "off",
        Say::Unknown => "unknown",
        Say::Until => "until",
    }
}

/// What is malformed is rejected; what is none of the rule's business is ignored.
pub(super) fn refused(reason: Reason) -> &'static str {
    match reason {
        Reason::BadTopic
        | Reason::TooLarge
        | Reason::NotUtf8
        | Reason::BadJson
        | Reason::TooDeep
        | Reason::DuplicateKey
        | Reason::BadTime
        | Reason::TooManyShares => "rejected",
        _ => "ignored",
    }
}
