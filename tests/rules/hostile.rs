//! Payloads and topics that nobody should send: nothing panics, nothing takes long, nobody is set who is not meant.

use std::time::{Duration, Instant};

use presence_bridge::presence::rule::Regex;
use presence_bridge::presence::topic::Pattern;
use presence_bridge::presence::{Reason, SourceId};
use proptest::prelude::*;
use serde_json::Value;

use super::language::plan;
use super::messages::{lines, rig, said, site};

#[allow(clippy::disallowed_methods, reason = "it is the machine's time that is measured")]
fn now() -> Instant {
    Instant::now()
}

pub fn took(work: impl FnOnce()) -> Duration {
    let before = now();
    work();
    before.elapsed()
}

fn payload(row: &Value) -> Vec<u8> {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    if let Some(hex) = row["hex"].as_str() {
        return (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    }
    let count = usize::try_from(row["count"].as_u64().unwrap_or_default()).unwrap();
    let grown = format!("{}{}{}", text("prefix"), text("repeat").repeat(count), text("suffix"));
    if row["count"].is_null() { text("payload").as_bytes().to_vec() } else { grown.into_bytes() }
}

/// Topics of all rules of the site, and of all siblings.
fn topics() -> Vec<String> {
    let rows = lines(include_str!("../fixtures/rules/messages.jsonl"));
    let mut topics: Vec<String> = rows.iter().map(|row| row["topic"].as_str().unwrap().to_owned()).collect();
    topics.sort();
    topics.dedup();
    topics
}

#[test]
fn the_corpus_of_nasty_payloads_does_nothing_bad() {
    let plan = site();
    let rows = lines(include_str!("../fixtures/rules/hostile.jsonl"));
    let topics = topics();
    let mut slowest = (Duration::ZERO, String::new());
    for row in &rows {
        let payload = payload(row);
        for topic in &topics {
            let before = now();
            let found = said(&plan, topic, &payload, false);
            let took = before.elapsed();
            slowest = slowest.max((took, format!("{} on {topic}", row["name"])));
            // What the topic itself says is not the payload's doing; some are what they look like.
            let by_topic = topic.starts_with("yealink/action/");
            let on = found.iter().any(|said| said.contains(" on"));
            let meant =
                ["the last year", "an hour that is skipped", "many spaces"].contains(&row["name"].as_str().unwrap());
            assert!(!on || by_topic || meant, "{}: {topic}: {found:?}", row["name"]);
        }
    }
    println!("{} nasty payloads on {} topics; the slowest: {slowest:?}", rows.len(), topics.len());
    assert!(slowest.0 < Duration::from_secs(5), "{slowest:?}");
}

#[test]
fn the_corpus_goes_through_the_whole_core() {
    let mut rig = rig(site());
    for row in lines(include_str!("../fixtures/rules/hostile.jsonl")) {
        for topic in topics() {
            let publish = presence_bridge::presence::Publish {
                topic: topic.as_bytes(),
                payload: &payload(&row),
                retain: false,
                expiry: None,
            };
            rig.core.handle_publish(rig.now, SourceId(0), &publish);
        }
        rig.drive(1);
    }
    rig.drive(100_000);
    assert!(rig.core.view(rig.id("alice")).wanted().is_none(), "everything ends");
}

#[test]
fn refusals_have_their_reasons() {
    let rules = "[[rule]]\ntopic = 'j'\nformat = 'json'\nsubject = '=alice'\nsignal = 'call'\nvalue = '/v'\non = 'on'\n\
                 [[rule]]\ntopic = 'q'\nformat = 'query'\nsubject = '=alice'\nsignal = 'call'\nvalue = 'v'\non = 'on'\n";
    let mut rig = rig(plan(rules));
    for (topic, payload, reason) in [
        ("j", r#"{"v":"on","v":"off"}"#.to_owned(), Reason::DuplicateKey),
        ("j", format!("{}1{}", "[".repeat(33), "]".repeat(33)), Reason::TooDeep),
        ("j", "[".repeat(60_000), Reason::TooDeep),
        ("j", "x".repeat(65_537), Reason::TooLarge),
        ("j", r#"{"v":1e400}"#.to_owned(), Reason::BadJson),
        ("j", r#"{"v":"on"} x"#.to_owned(), Reason::BadJson),
        ("j", r#"{"v":"maybe"}"#.to_owned(), Reason::OtherValue),
        ("j", "{}".to_owned(), Reason::Missing),
        ("q", "v=on&v=off".to_owned(), Reason::DuplicateKey),
        ("q", "v=%ff".to_owned(), Reason::NotUtf8),
    ] {
        assert_eq!(rig.publish(topic, &payload), Err(reason), "{:.40}", payload);
    }
}

#[test]
fn a_regular_expression_is_linear_and_small_or_refused() {
    for text in [r"(a", r"(?=a)", r"(a)\1", r"\p{Nonsense}", r"(((\w{1,500}){1,500}){1,500})"] {
        assert!(Regex::parse(text).is_err(), "{text}");
    }
    assert!(Regex::parse(&"a".repeat(1_001)).is_err());
    let rule = "[[rule]]\ntopic = 'x'\nformat = 'match'\npattern = '(a+)+(?<v>b)$'\nsubject = '=alice'\nsignal = 'call'\nvalue = 'v'\non = 'b'\n";
    let plan = plan(rule);
    let evil = "a".repeat(60_000);
    let before = now();
    assert!(said(&plan, "x", evil.as_bytes(), false).is_empty());
    assert!(before.elapsed() < Duration::from_secs(5), "a backtracking matcher would take for ever");
}

#[test]
fn a_flood_of_sibling_topics_stays_bounded_and_finds_its_device_afterwards() {
    let rule = "[[rule]]\ntopic = 'd/{id}'\nsubject = '=alice'\nsignal = 'call'\non = 'on'\navailability = { topic = 'd/{id}/lwt' }\n";
    let mut rig = rig(plan(rule));
    for n in 0..1_000 {
        rig.publish(&format!("d/{n}/lwt"), "offline").unwrap();
    }
    let refused = (0..100).filter(|n| rig.publish(&format!("d/{n}"), "on") == Err(Reason::TooManyShares)).count();
    assert_eq!(refused, 36);
}

fn topic() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,60}",
        "(yealink|pbx|teams|ha|fritz|zigbee2mqtt|tele|stat|shellies|owntracks|homeassistant)(/\\PC{0,12}){0,6}",
        proptest::sample::select(topics()),
    ]
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<f64>().prop_map(|number| number.to_string()),
        "\\PC{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        "20[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{0,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?"
            .prop_map(|text| format!("\"{text}\"")),
    ];
    let key = prop_oneof![
        "[a-z]{1,4}",
        proptest::sample::select(vec![
            "status",
            "state",
            "calling",
            "extension",
            "id",
            "params",
            "events",
            "component",
            "event",
            "method",
            "_type",
            "inregions",
            "event_type",
            "event_data",
            "new_state",
            "attributes",
            "last_updated",
            "ENERGY",
            "Power",
            "Time",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| {
                let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_message_panics_whatever_the_rule(
        topic in topic(),
        payload in prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), json().prop_map(String::into_bytes)],
    ) {
        thread_local!(static SITE: presence_bridge::presence::Plan = site());
        SITE.with(|site| said(site, &topic, &payload, false));
    }

    #[test]
    fn a_pattern_matches_what_its_filter_delivers_and_never_more(text in "\\PC{0,30}|([ab+]|\\{x\\}|\\{y\\.\\.\\.\\}|b\\{z\\}a)(/([ab+]|\\{v\\})){0,3}", topic in "\\PC{0,30}|[ab]{1,3}(/[ab]{0,3}){0,4}") {
        if let Ok(pattern) = Pattern::parse(&text)
            && pattern.captures(&topic).is_some()
        {
            let filter = Pattern::parse(&pattern.filter()).unwrap();
            prop_assert!(filter.captures(&topic).is_some(), "{} does not deliver {topic}", pattern.filter());
        }
    }

    #[test]
    fn no_regular_expression_panics(text in "\\PC{0,40}") {
        prop_assert!(Regex::parse(&text).is_ok_and(|_| true) || !text.is_empty());
    }
}
