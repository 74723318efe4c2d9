//! From topics and payloads to effects: patterns, payloads, hostile input.

mod cost;
mod hostile;
mod language;
pub mod messages;
mod mistakes;
pub mod page;
mod strict;
mod times;

use presence_bridge::presence::topic::{Index, Pattern, minimal_filters};
use presence_bridge::presence::{Reason, SourceId};
use proptest::prelude::*;

use crate::support::rig::config;

#[test]
fn patterns_capture_levels_parts_and_several() {
    for (pattern, filter, topic, captures) in [
        ("a/{x}/b", "a/+/b", "a/1/b", Some(vec!["1"])),
        ("a/{x}/b", "a/+/b", "a//b", None),
        ("ha/{dev}_camera/state", "ha/+/state", "ha/alice_mac_camera/state", Some(vec!["alice_mac"])),
        ("z2m/{name...}/state", "z2m/#", "z2m/office/desk 1/state", Some(vec!["office/desk 1"])),
        ("z2m/{name...}", "z2m/#", "z2m/office", Some(vec!["office"])),
        ("z2m/{name...}", "z2m/#", "z2m", None),
        ("a/#", "a/#", "a", Some(vec![])),
        ("a/+/{x}", "a/+/+", "a/b/c", Some(vec!["c"])),
        ("/baresip/event", "/baresip/event", "/baresip/event", Some(vec![])),
        ("{x}/b", "+/b", "$SYS/b", None),
        ("#", "#", "$SYS/b", None),
        ("{a}/{b...}/{c}", "+/#", "1/2/3/4", Some(vec!["1", "2/3", "4"])),
    ] {
        let parsed = Pattern::parse(pattern).unwrap();
        assert_eq!(parsed.filter(), filter, "{pattern}");
        assert_eq!(parsed.captures(topic).as_deref(), captures.as_deref(), "{pattern} on {topic}");
    }
}

#[test]
fn bad_patterns_say_why() {
    for (pattern, part) in [
        ("", "1 to"),
        ("a/{x", "without }"),
        ("a/x}", "without {"),
        ("a/{x}{y}", "one capture"),
        ("a/{}", "has a name"),
        ("{x}/{x}", "twice"),
        ("{x...}/{y...}", "only one"),
        ("a/#/b", "last"),
        ("a/b+", "alone"),
    ] {
        let error = Pattern::parse(pattern).unwrap_err().to_string();
        assert!(error.contains(part), "{pattern}: {error}");
    }
}

#[test]
fn filters_that_others_cover_are_not_subscribed() {
    let filters = |list: &[&str]| minimal_filters(list.iter().map(|filter| (*filter).to_owned()).collect());
    assert_eq!(filters(&["a/b", "a/#", "a/+", "a/b", "c"]), ["a/#", "c"]);
    assert_eq!(filters(&["#", "$SYS/a"]), ["#", "$SYS/a"]);
    assert_eq!(filters(&["+/b", "a/b"]), ["+/b"]);
}

#[test]
fn payloads_are_read_as_devices_write_them() {
    let mut rig = crate::support::rig::Rig::new();
    for payload in ["INUSE", " inuse\n", "\"INUSE\"", "\u{feff}INUSE"] {
        assert_eq!(rig.publish("pbx/devstate/PJSIP/1001", payload), Ok(()), "{payload:?}");
    }
    let other = rig.publish("pbx/devstate/PJSIP/1001", "RINGING");
    assert_eq!(other, Err(Reason::OtherValue));
    assert_eq!(rig.publish("pbx/devstate/PJSIP/9999", "INUSE"), Err(Reason::UnknownSubject));
    assert_eq!(rig.publish("pbx/other/1001", "INUSE"), Err(Reason::NoRule));
    rig.drive(1);
    rig.sees("alice", "Busy/InACall");
    rig.publish("pbx/devstate/PJSIP/1001", "").unwrap(); // withdrawn: grace, then unknown
    rig.drive(20);
    rig.sees("alice", "Offline/Offline");
}

#[test]
fn an_edge_rule_ignores_retained() {
    let mut rig = crate::support::rig::Rig::new();
    assert_eq!(rig.replay("yealink/action/off_hook", "{}"), Err(Reason::RetainedIgnored));
}

/// What the rules of `more` make of one message, as `label device subject`.
fn effects(more: &str, topic: &str, payload: &str) -> Vec<String> {
    let text = format!(
        "{}\n{more}",
        crate::support::rig::PEOPLE.replace("alice =", "'Zoë' =").replace("\"alice\"", "\"Zoë\"")
    );
    let plan = presence_bridge::config::Config::parse_trusting(&text, "t", std::path::Path::new(".")).unwrap().plan;
    let mut found = Vec::new();
    plan.rules.evaluate(SourceId(0), topic, payload.as_bytes(), &mut |_, result| {
        found.push(match result {
            Ok(effect) => format!("{} {} {}", plan.people[effect.person].label, effect.device, effect.subject),
            Err(reason) => format!("{reason:?}"),
        });
    });
    found
}

fn rule_on(topic: &str, subject: &str, more: &str) -> String {
    format!(
        "[[rule]]\ntopic = '{topic}'\nsubject = '{subject}'\nsignal = 'call'\non = ['on', 'GESPRÄCH', 'ΟΔΟΣ']\noff = ['off']\n{more}"
    )
}

#[test]
fn letter_case_does_not_matter_beyond_ascii_either() {
    let rule = rule_on("x/{who}", "{who}", "");
    for topic in ["x/zoë", "x/ZOË", "x/Zoë"] {
        let subject = topic.strip_prefix("x/").unwrap();
        assert_eq!(effects(&rule, topic, "ON"), [format!("Zoë {topic} {subject}")]);
    }
    for payload in ["gespräch", "Gespräch", "\"Gespr\\u00c4ch\"", "ΟΔΟΣ", "οδος"] {
        assert_eq!(effects(&rule, "x/BOB", payload), ["bob x/BOB BOB"], "{payload}");
    }
    for payload in ["gesprach", "οδοσ", "\"on"] {
        assert_eq!(effects(&rule, "x/bob", payload), ["OtherValue"], "{payload}");
    }
}

#[test]
fn a_device_is_the_topic_without_what_the_value_looks_at() {
    let rule = rule_on("x/{who}/{rest...}/{event}", "{who}", "value = '{event}'");
    assert_eq!(effects(&rule, "x/bob/a/b/on", ""), ["bob x/bob/a/b/{event} bob"]);
    let rule = rule_on("x/{who}/{event...}", "{who}", "value = '{event}'");
    assert_eq!(effects(&rule, "x/bob/off", ""), ["bob x/bob/{event...} bob"]);
    let rule = rule_on("x/+/{who}", "{who}", "");
    assert_eq!(effects(&rule, "x/1/bob", "on"), ["bob x/+/bob bob"]);
    let rule = rule_on("x/{who}/{line}", "{who}", "device = '{line}-{who}'");
    assert_eq!(effects(&rule, "x/bob/7", "on"), ["bob 7-bob bob"]);
    let rule = rule_on("x/{a}/{b}", "{a}{b}", "device = '=desk'");
    assert_eq!(effects(&rule, "x/B/ob", "on"), ["bob desk Bob"]);
}

#[test]
fn what_is_too_long_for_the_stack_is_the_same() {
    let long = "long".repeat(100);
    let rule = rule_on("x/{who}/{line}", "{who}", "");
    assert_eq!(effects(&rule, &format!("x/bob/{long}"), "on"), [format!("bob x/bob/{long} bob")]);
    assert_eq!(effects(&rule, &format!("x/{}/1", long.to_uppercase()), "on"), ["UnknownSubject"]);
    let levels: Vec<String> = (0..20).map(|n| format!("{{c{n}}}")).collect();
    let texts: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let pattern = Pattern::parse(&levels.join("/")).unwrap();
    let topic = texts.join("/");
    assert!(pattern.captures(&topic).unwrap().iter().eq(&texts));
}

/// What a pattern of plain levels, whole-level captures and perhaps one `{name...}` captures, the long way.
fn plain_captures<'t>(pattern: &[&str], topic: &'t str) -> Option<Vec<&'t str>> {
    let levels: Vec<&str> = topic.split('/').collect();
    let several = pattern.iter().any(|level| level.contains("..."));
    let spare = (levels.len() + 1).checked_sub(pattern.len())?;
    if spare == 0 || !several && spare != 1 {
        return None;
    }
    let (mut at, mut start, mut found) = (0, 0, Vec::new());
    for level in pattern {
        let taken = if level.contains("...") { spare } else { 1 };
        let text = &levels[at..at + taken];
        let length = text.iter().map(|level| level.len() + 1).sum::<usize>() - 1;
        match *level {
            level if level.contains("...") => found.push(&topic[start..start + length]),
            level if level.starts_with('{') => {
                found.push((!text[0].is_empty()).then_some(text[0])?);
            }
            level => (level == text[0]).then_some(())?,
        }
        at += taken;
        start += length + 1;
    }
    Some(found)
}

/// The plainest matcher there is.
fn naive(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        ([], []) => true,
        (["#"], _) => true,
        (["+", filter @ ..], [_, topic @ ..]) => naive(filter, topic),
        ([a, filter @ ..], [b, topic @ ..]) => a == b && naive(filter, topic),
        _ => false,
    }
}

proptest! {
    #[test]
    fn the_index_finds_what_the_naive_matcher_finds(
        filters in proptest::collection::vec("[ab+](/[ab+]){0,3}(/#)?", 1..8),
        topic in "[ab](/[ab]){0,4}",
    ) {
        let patterns: Vec<Pattern> = filters.iter().map(|filter| Pattern::parse(filter).unwrap()).collect();
        let mut index = Index::default();
        for (pattern, id) in patterns.iter().zip(0..) {
            index.add(pattern, id);
        }
        let mut found = Vec::new();
        index.find(&topic, &mut |id| {
            if patterns[id as usize].captures(&topic).is_some() {
                found.push(id);
            }
        });
        found.sort_unstable();
        let levels: Vec<&str> = topic.split('/').collect();
        let expected: Vec<u32> = (0..).zip(&filters)
            .filter(|(_, filter)| naive(&filter.split('/').collect::<Vec<_>>(), &levels))
            .map(|(id, _)| id)
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn captures_are_found_as_the_long_way_finds_them(
        front in proptest::collection::vec("[ab]|\\{[xy]\\}", 0..3),
        several in any::<bool>(),
        back in proptest::collection::vec("[ab]|\\{[vw]\\}", 0..3),
        topic in "[ab]{0,2}(/[ab]{0,2}){0,5}",
    ) {
        let mut levels: Vec<&str> = front.iter().map(String::as_str).collect();
        levels.extend(several.then_some("{z...}"));
        levels.extend(back.iter().map(String::as_str));
        if let Ok(pattern) = Pattern::parse(&levels.join("/")) {
            let found = pattern.captures(&topic).map(|captures| captures.to_vec());
            prop_assert_eq!(found, plain_captures(&levels, &topic), "{:?}", levels);
        }
    }

    #[test]
    fn no_message_panics(topic in "\\PC{0,40}|presence-bridge/in/\\PC{0,20}/call|ha/alice/state", payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let plan = config("").plan;
        plan.rules.evaluate(SourceId(0), &topic, &payload, &mut |_, _| {});
        let braced = [b"{\"on\":".as_slice(), &payload, b"}"].concat();
        plan.rules.evaluate(SourceId(0), "presence-bridge/in/alice/call", &braced, &mut |_, _| {});
    }
}
