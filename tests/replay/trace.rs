//! What `explain` and `replay` are told of a message is what the rules make of it, and what they are shown of the way there
//! leads there.

use presence_bridge::presence::rule::trace::{List, Outcome, Trace};
use presence_bridge::presence::rule::{Say, Turn};
use presence_bridge::presence::{Plan, Reason, RuleId, SourceId};
use proptest::prelude::*;
use serde_json::Value;

fn site() -> Plan {
    let path = super::file("../fixtures/rules/site.toml");
    presence_bridge::config::Config::load_offline(&path).unwrap_or_else(|problems| panic!("{problems}")).plan
}

/// All that the rules make of a message, in the order of the core.
fn evaluated(plan: &Plan, topic: &str, payload: &[u8]) -> Vec<(RuleId, Result<Outcome, Reason>)> {
    let mut all = Vec::new();
    all.extend(plan.rules.pause(topic, payload).map(|said| (RuleId::DOOR, said.map(Outcome::Pause))));
    plan.rules.beside(SourceId(0), topic, payload, &mut |id, _, fact| all.push((id, fact.map(Outcome::Beside))));
    plan.rules.evaluate(SourceId(0), topic, payload, &mut |id, result| {
        all.push((id, result.map(|effect| Outcome::Share(effect.into()))));
    });
    all
}

/// Whether what is shown leads to the result.
fn leads_there(plan: &Plan, trace: &Trace) -> Result<(), String> {
    let is = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {trace:#?}")) };
    let whens = || trace.conditions.iter().filter(|condition| condition.key == "when");
    is(whens().all(|condition| condition.holds) || trace.result.is_err(), "a condition fails, and it has an effect")?;
    let (Some(rule), None, Ok(Outcome::Share(told))) = (plan.rules.get(trace.rule), trace.beside, &trace.result) else {
        return match (&trace.result, whens().all(|condition| condition.holds)) {
            (Err(Reason::Guard), all) if trace.beside.is_none() => {
                let rule = plan.rules.get(trace.rule);
                is(!all || rule.is_some_and(|rule| rule.regex.is_some()), "nothing that is shown keeps it away")
            }
            (Err(Reason::UnknownSubject), _) => is(trace.person.is_none(), "a person is found and not taken"),
            (Err(Reason::OtherValue), _) => is(trace.list.is_none(), "it is in a list"),
            _ => Ok(()),
        };
    };
    is(trace.person == Some(told.person), "another person")?;
    is(trace.key.as_deref() == Some(&*told.subject), "another subject")?;
    let says = (told.say, told.turn);
    match trace.list {
        _ if trace.withdrawn => is(says == (Say::Unknown, Turn::Say), "withdrawn"),
        Some(List::On | List::Pulse) => is(says == (Say::On, Turn::Say), "on"),
        Some(List::Toggle) => is(says == (Say::On, Turn::Toggle), "toggle"),
        Some(List::Off) => is(says == (Say::Off, Turn::Say), "off"),
        Some(List::Unknown) => is(says == (Say::Unknown, Turn::Say), "unknown"),
        None => {
            let empty = trace.value.as_ref().is_none_or(|look| look.found.as_deref().unwrap_or_default().is_empty());
            let missing = says == (rule.missing_say(), Turn::Say);
            is(empty || missing || told.turn == Turn::Keep || told.windows.is_some(), "in no list")
        }
    }
}

trait MissingSay {
    fn missing_say(&self) -> Say;
}

impl MissingSay for presence_bridge::presence::rule::Rule {
    fn missing_say(&self) -> Say {
        match self.missing {
            presence_bridge::presence::rule::Missing::Off => Say::Off,
            _ => Say::Unknown,
        }
    }
}

fn agrees(plan: &Plan, topic: &str, payload: &[u8]) -> Result<(), String> {
    let traces = plan.rules.trace(SourceId(0), topic, payload);
    let told: Vec<_> = traces.iter().map(|trace| (trace.rule, trace.result.clone())).collect();
    let made = evaluated(plan, topic, payload);
    if told != made {
        return Err(format!("{topic} {:?}: told {told:#?}, made {made:#?}", String::from_utf8_lossy(payload)));
    }
    traces.iter().try_for_each(|trace| leads_there(plan, trace))
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn topics() -> Vec<String> {
    let long = format!("zigbee2mqtt/{}_dnd_button", "x".repeat(500));
    let door = ["presence-bridge/in/alice/call", "presence-bridge/in/alice/pause", "presence-bridge/in/bob/fax"];
    let rows = rows(include_str!("../fixtures/rules/messages.jsonl"));
    rows.iter()
        .map(|row| row["topic"].as_str().unwrap().to_owned())
        .chain(door.map(str::to_owned))
        .chain([long])
        .collect()
}

#[test]
fn what_is_shown_of_a_message_is_what_the_rules_make_of_it() {
    let plan = site();
    let messages = rows(include_str!("../fixtures/rules/messages.jsonl"));
    for row in &messages {
        agrees(&plan, row["topic"].as_str().unwrap(), row["payload"].as_str().unwrap().as_bytes()).unwrap();
    }
    let hostile = rows(include_str!("../fixtures/rules/hostile.jsonl"));
    // Every payload at every topic, its own or not.
    for payload in messages.iter().chain(&hostile).filter_map(|row| row["payload"].as_str()) {
        for topic in topics() {
            agrees(&plan, &topic, payload.as_bytes()).unwrap();
        }
    }
    let deep = [b"[".repeat(10_000), b"{\"a\":".repeat(5_000), vec![b'x'; 70_000], vec![0xff; 10]];
    for (topic, payload) in topics().iter().flat_map(|topic| deep.iter().map(move |payload| (topic, payload))) {
        agrees(&plan, topic, payload).unwrap();
    }
}

proptest! {
    #[test]
    fn whatever_a_message_holds(
        topic in prop::sample::select(topics()),
        payload in prop_oneof![
            ".{0,40}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..60),
            r#"\{"(status|calling|state|Power|events|event)":("on"|true|12|null|\[1,\{"event":"S"\}\])\}"#.prop_map(String::into_bytes),
        ],
    ) {
        thread_local!(static PLAN: Plan = site());
        PLAN.with(|plan| agrees(plan, &topic, &payload)).map_err(TestCaseError::fail)?;
    }
}
