//! From topics and payloads to effects: patterns, payloads, hostile input.

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
        assert_eq!(parsed.captures(topic), captures, "{pattern} on {topic}");
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
    fn no_message_panics(topic in "\\PC{0,40}|presence-bridge/in/\\PC{0,20}/call|ha/alice/state", payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let plan = config("").plan;
        plan.rules.evaluate(SourceId(0), &topic, &payload, &mut |_, _| {});
        let braced = [b"{\"on\":".as_slice(), &payload, b"}"].concat();
        plan.rules.evaluate(SourceId(0), "presence-bridge/in/alice/call", &braced, &mut |_, _| {});
    }
}
