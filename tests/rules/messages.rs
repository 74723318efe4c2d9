//! Messages of real devices under the configuration that somebody would write who has them: tests/fixtures/rules. The table
//! of what each comes to is the fixture's `says`; what happens over time is in sequences.jsonl.

use std::path::Path;

use presence_bridge::config::Config;
use presence_bridge::presence::rule::{Fact, Turn};
use presence_bridge::presence::{Effect, Plan, Reason, Say, SourceId, Timestamp};
use serde_json::Value;

use crate::support::rig::Rig;

/// 2026-11-24T09:30:00Z.
pub const CLOCK: i64 = 1_795_512_600_000;

pub fn site() -> Plan {
    let text = include_str!("../fixtures/rules/site.toml");
    let config = Config::parse_trusting(text, "site.toml", Path::new("."));
    config.unwrap_or_else(|problems| panic!("{problems}")).plan
}

pub fn utc(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap().to_string()
}

/// One effect in words: `call on`, `meeting on until 2026-11-24T10:30:00Z`, `dnd toggle`.
pub fn words(plan: &Plan, effect: &Effect<'_>) -> String {
    let signal = &plan.signals[usize::from(effect.signal.0)].name;
    let say = match (effect.more.turn, effect.say) {
        (Turn::Toggle, _) => "toggle",
        (Turn::Keep, _) => "as before",
        (Turn::Say, Say::On) => "on",
        (Turn::Say, Say::Off) => "off",
        (Turn::Say, Say::Unknown) => "unknown",
        (Turn::Say, Say::Until) => "until",
    };
    let until = effect.until.map(|until| format!(" until {}", utc(until))).unwrap_or_default();
    format!("{signal} {say}{until}")
}

/// Everything that the rules make of a message.
pub fn said(plan: &Plan, topic: &str, payload: &[u8], retain: bool) -> Vec<String> {
    let mut said = Vec::new();
    plan.rules.evaluate(SourceId(0), topic, payload, &mut |_, result| match result {
        Ok(effect) if retain && !effect.accept_retained => {}
        Ok(effect) => said.push(words(plan, &effect)),
        Err(_) => {}
    });
    plan.rules.beside(SourceId(0), topic, payload, &mut |_, _, fact| {
        let word = match fact {
            Ok(Fact::Until(until)) => format!("until {}", until.map_or("nothing".to_owned(), utc)),
            Ok(Fact::Counts(counts)) => (if counts { "counts" } else { "does not count" }).to_owned(),
            Ok(Fact::Down(down)) => (if down { "down" } else { "up" }).to_owned(),
            Err(_) => return,
        };
        if !said.contains(&word) {
            said.push(word);
        }
    });
    said
}

#[test]
fn messages_of_real_devices_come_to_what_they_mean() {
    let plan = site();
    let mut wrong = Vec::new();
    let rows: Vec<Value> = lines(include_str!("../fixtures/rules/messages.jsonl"));
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        let found = said(&plan, text("topic"), text("payload").as_bytes(), row["retain"] == true);
        let wanted: Vec<&str> = row["says"].as_str().into_iter().collect();
        // What a device says of itself in passing (it is up) does not matter here.
        let found: Vec<&str> =
            found.iter().map(String::as_str).filter(|said| *said != "up" || wanted == ["up"]).collect();
        if found != wanted {
            wrong.push(format!("{}: {found:?}, not {wanted:?}", text("name")));
        }
    }
    println!("messages of real devices: {} of {} as expected", rows.len() - wrong.len(), rows.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A rig under another plan, at the time of the messages.
pub fn rig(plan: Plan) -> Rig {
    let mut rig = Rig::new();
    rig.now.wall = Timestamp::from_millis(CLOCK);
    rig.reload(plan);
    rig.drive(1);
    rig
}

#[test]
fn sequences_of_real_devices_show_what_they_should() {
    play(site);
}

/// Plays sequences.jsonl under a plan in which alice has all these devices.
pub fn play(plan: impl Fn() -> Plan) {
    let rows = lines(include_str!("../fixtures/rules/sequences.jsonl"));
    for row in &rows {
        let mut rig = rig(plan());
        let mut events: Vec<(u64, Option<&Value>, Option<&Value>)> = Vec::new();
        events.extend(
            row["messages"].as_array().unwrap().iter().map(|step| (step[0].as_u64().unwrap(), Some(step), None)),
        );
        events
            .extend(row["shows"].as_array().unwrap().iter().map(|step| (step[0].as_u64().unwrap(), None, Some(step))));
        events.sort_by_key(|(at, _, shows)| (*at, shows.is_some()));
        let mut clock = 0;
        for (at, message, shows) in events {
            rig.drive(at - clock);
            clock = at;
            if let Some(step) = message {
                let (topic, payload) = (step[1].as_str().unwrap(), step[2].as_str().unwrap());
                let heard = if step[3] == true { rig.replay(topic, payload) } else { rig.publish(topic, payload) };
                assert_ne!(heard, Err(Reason::NoRule), "{topic}");
            }
            if let Some(step) = shows {
                let wanted = rig.core.view(rig.id("alice")).wanted().map(|pair| pair.to_string());
                let allowed: Vec<Option<&str>> = match &step[1] {
                    Value::Array(pairs) => pairs.iter().map(Value::as_str).collect(),
                    pair => vec![pair.as_str()],
                };
                assert!(allowed.contains(&wanted.as_deref()), "{} at {at}: {wanted:?}, not {allowed:?}", row["name"]);
            }
        }
        if let Some(most) = row["calls"].as_u64() {
            assert!(rig.calls.len() as u64 <= most, "{}: {:?}", row["name"], rig.calls);
        }
    }
    println!("sequences of real devices: {} of {0} as expected", rows.len());
}
