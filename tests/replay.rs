//! `replay`: golden files for each form of its output, what it does with bad lines, and that no bytes make it fail. With
//! BLESS=1 in the environment the golden files are written anew, to be looked at before they are committed.

mod binary;
mod explain;
mod hostile;
mod kinds;
mod page;
mod public;
mod record;
mod trace;

use std::path::{Path, PathBuf};
use std::time::Duration;

use presence_bridge::config::Config;
use presence_bridge::presence::{Plan, Timestamp};
use presence_bridge::replay::picture::Picture;
use presence_bridge::replay::story::Story;
use presence_bridge::replay::{Event, Played, Player, Span, What};
use proptest::prelude::*;

pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay").join(name)
}

fn plan() -> Plan {
    Config::load_offline(&file("office.toml")).unwrap_or_else(|problems| panic!("{problems}")).plan
}

/// 2026-11-24T09:30:00Z
const START: Timestamp = Timestamp::from_millis(1_795_512_600_000);
const SPAN: Span = Span { at: None, otherwise: START, until: None };

/// Plays a text; with what was refused, by line.
fn play(text: &[u8], span: Span) -> (Vec<Event>, Vec<(usize, String)>, Played) {
    let mut player = Player::new(plan(), vec!["office".to_owned()], span);
    let (mut events, mut bad) = (Vec::new(), Vec::new());
    for (line, number) in text.split(|&byte| byte == b'\n').zip(1..) {
        if let Err(error) = player.line(line, &mut |event| events.push(event.clone())) {
            bad.push((number, error));
        }
    }
    let played = player.finish(&mut |event| events.push(event.clone()));
    (events, bad, played)
}

fn lines(events: &[Event]) -> Vec<String> {
    events.iter().filter_map(Event::json).collect()
}

/// Compares with a file that somebody has looked at.
pub fn golden(name: &str, text: &str) {
    #[allow(clippy::disallowed_methods, reason = "a switch for whoever changes the output")]
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file(name), text).unwrap();
    }
    let expected = std::fs::read_to_string(file(name)).unwrap_or_default();
    assert_eq!(text, expected, "{name}; if it is right so, BLESS=1 writes it anew");
}

fn day() -> (Vec<Event>, Played) {
    let (events, bad, played) = play(&std::fs::read(file("day.jsonl")).unwrap(), SPAN);
    assert_eq!(bad, []);
    (events, played)
}

#[test]
fn a_day_as_json_lines() {
    golden("day.events.jsonl", &(lines(&day().0).join("\n") + "\n"));
}

#[test]
fn a_day_for_people() {
    let (events, played) = day();
    let mut story = Story::default();
    events.iter().for_each(|event| story.add(event));
    golden("day.txt", &story.tell(&played));
}

#[test]
fn a_day_as_a_picture() {
    let (events, played) = day();
    let mut picture = Picture::of(&plan());
    events.iter().for_each(|event| picture.add(event));
    let svg = picture.draw(&played);
    well_formed(&svg);
    golden("day.svg", &svg);
}

/// Every element is closed in its turn, and text holds no markup: enough XML to notice what a browser would refuse.
fn well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a bare > in {:?}", &rest[..start]);
        let end = rest[start..].find('>').expect("an element ends") + start;
        let tag = &rest[start + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
        rest = &rest[end + 1..];
    }
    assert_eq!(open, Vec::<&str>::new());
    for (at, _) in svg.match_indices('&') {
        let entity = ["&amp;", "&lt;", "&gt;", "&quot;"].into_iter().any(|entity| svg[at..].starts_with(entity));
        assert!(entity, "a bare & at {at}");
    }
    assert!(!svg.chars().any(|c| c.is_control() && c != '\n'), "control characters");
}

#[test]
fn names_in_a_picture_cannot_be_markup() {
    let what = |presence: &str| What::Seen { user: "<b>&\"\u{1}'".into(), presence: presence.to_owned() };
    let mut picture = Picture::default();
    picture.add(&Event { t: Duration::ZERO, what: what("Busy/</title><script>") });
    well_formed(&picture.draw(&Played { span: Duration::from_secs(60), start: START, ..Played::default() }));
}

#[test]
fn events_come_in_the_order_of_their_time() {
    let (events, _) = day();
    assert!(events.windows(2).all(|pair| pair[0].t <= pair[1].t));
    assert!(events.len() > 30, "{}", events.len());
}

#[test]
fn what_ends_by_itself_ends_an_hour_after_the_last_message_or_when_told() {
    let text = br#"{"t":5,"topic":"yealink/action/off_hook","payload":""}"#; // five minutes at most
    let (events, _, played) = play(text, SPAN);
    let wanted = |events: &[Event]| -> Vec<String> {
        lines(events).into_iter().filter(|line| line.contains(r#""wanted""#)).collect()
    };
    let on = r#"{"t":5,"kind":"wanted","user":"alice","presence":"Busy/InACall","because":"call@1001"}"#;
    let off = r#"{"t":305,"kind":"wanted","user":"alice","presence":null,"because":null}"#;
    assert_eq!(wanted(&events), [on, off]);
    assert_eq!(played.span, Duration::from_secs(3605));
    let (events, _, _) = play(text, Span { until: Some(Duration::from_secs(304)), ..SPAN });
    assert_eq!(wanted(&events), [on]);
    let (events, _, played) = play(text, Span { until: Some(Duration::from_secs(4)), ..SPAN });
    assert_eq!((events.len(), played.beyond, played.messages), (0, 1, 0));
}

#[test]
fn a_session_is_refreshed_and_never_seen_to_lapse() {
    let text = br#"{"t":0,"topic":"desk/bob","payload":"on"}"#; // Available fades at Graph after five minutes
    let (events, ..) = play(text, SPAN);
    let seen: Vec<String> = lines(&events).into_iter().filter(|line| line.contains(r#""seen""#)).collect();
    let expected = [("0", "Available/Available"), ("1200", "Offline/Offline")];
    let expected = expected.map(|(t, pair)| format!(r#"{{"t":{t},"kind":"seen","user":"bob","presence":"{pair}"}}"#));
    assert_eq!(seen, expected);
    let calls = events.iter().filter(|event| matches!(event.what, What::Call { .. })).count();
    assert!((6..=10).contains(&calls), "{calls} calls: a set, a refresh every few minutes, a clear");
}

#[test]
fn bad_lines_are_named_and_the_rest_is_played() {
    let text = br#"
not json
{"t":1,"topic":"pbx/devstate/PJSIP/1001","payload":"INUSE"}
{"t":0,"topic":"a","payload":""}
{"t":2,"topic":"a/+","payload":""}
{"t":2,"topic":"a"}
{"t":2,"payload":"x"}
{"t":2,"topic":"a","payload":"x","payload_b64":"eA=="}
{"t":2,"topic":"a","payload_b64":"%%"}
{"t":-1,"topic":"a","payload":""}
{"t":1795512600,"topic":"a","payload":""}
{"t":2,"topic":"a","payload":{"on":1}}
{"t":2,"topic":"a","payload":"","retain":2}
{"t":2,"t":3,"topic":"a","payload":""}
{"start":"2026-11-24T09:30:00Z"}
{"t":2,"topic":"pbx/devstate/PJSIP/1001","payload":"NOT_INUSE","retain":0,"qos":1}
"#;
    let (events, bad, played) = play(text, SPAN);
    let numbers: Vec<usize> = bad.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [2, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], "{bad:#?}");
    assert_eq!(played.messages, 3);
    let wildcard = lines(&events).into_iter().find(|line| line.contains(r#""topic":"a/+""#)).unwrap();
    assert!(wildcard.contains(r#""effect":"rejected""#) && wildcard.contains(r#""reason":"bad_topic""#), "{wildcard}");
    let said = |line: usize, words: &str| {
        let error = &bad.iter().find(|(number, _)| *number == line).unwrap().1;
        assert!(error.contains(words), "line {line}: {error}");
    };
    said(4, "sort the lines by t");
    said(11, "--at");
    said(12, "column");
    said(14, "duplicate");
    assert!(lines(&events).iter().any(|line| line.contains("clearPresence")));
}

#[test]
fn the_recording_says_when_it_began_unless_somebody_knows_better() {
    let text = b"{\"start\":\"2026-11-24T08:00:00+01:00\"}\n{\"topic\":\"a\",\"payload\":\"\"}";
    let at = |at| play(text, Span { at, ..SPAN }).2.start;
    assert_eq!(at(None), Timestamp::from_millis(START.as_millis() - 9_000_000));
    assert_eq!(at(Some(START)), START);
    assert_eq!(play(b"", SPAN).2.start, START);
}

fn message() -> impl Strategy<Value = String> {
    let topic = prop_oneof![
        Just("pbx/devstate/PJSIP/1001".to_owned()),
        Just("cam/bob".to_owned()),
        Just("presence-bridge/in/bob/call".to_owned()),
        Just("desk/alice".to_owned()),
        ".{1,20}",
    ];
    let payload = prop_oneof![
        Just("INUSE".to_owned()),
        Just("on".to_owned()),
        Just(r#"{"active":true}"#.to_owned()),
        Just(r#"{"on":true,"for":"30d"}"#.to_owned()),
        Just(r#"{"on":true,"until":"9999-12-30T00:00:00Z"}"#.to_owned()),
        ".{0,20}",
    ];
    (prop::option::of(0.0..100_000.0f64), topic, payload, any::<bool>()).prop_map(|(t, topic, payload, retain)| {
        serde_json::json!({ "t": t, "topic": topic, "payload": payload, "retain": retain }).to_string()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        play(&bytes, SPAN);
    }

    #[test]
    fn no_messages_make_it_fail(lines in prop::collection::vec(message(), 0..12), cut in 0..400usize) {
        let text = lines.join("\n");
        let (events, _, played) = play(text.as_bytes(), SPAN);
        prop_assert!(events.windows(2).all(|pair| pair[0].t <= pair[1].t));
        let (mut story, mut picture) = (Story::default(), Picture::default());
        for event in &events {
            story.add(event);
            picture.add(event);
        }
        well_formed(&picture.draw(&played));
        prop_assert!(!story.tell(&played).is_empty());
        play(&text.as_bytes()[..cut.min(text.len())], SPAN);
    }
}
