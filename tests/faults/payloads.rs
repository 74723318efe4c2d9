//! Payloads that two readers would read in two ways, or none at all: nobody is set by them, and whoever is in a call stays
//! in it.

use std::time::Duration;

use tokio::net::TcpListener;

use super::odd::Odd;
use crate::support::office::{Bridge, CALL, NOBODY, Office, plain, within};

/// A phone that speaks JSON, a meter with a bound; `phone/2` is the office's own, and tells that all before it was read.
const RULES: &str = r#"
[[rule]]
topic = "json/{ext}"
format = "json"
subject = "{ext}"
signal = "call"
value = "/state"
on = ["INUSE", 9007199254740992]
off = "NOT_INUSE"
[[rule]]
topic = "meter/{ext}"
format = "json"
subject = "{ext}"
signal = "call"
value = "/w"
on = { above = 15 }
off = { below = 10 }
[[rule]]
topic = "id"
format = "json"
subject = "/id"
signal = "call"
value = "/state"
on = "INUSE"
off = "NOT_INUSE"
"#;

async fn open(office: &Office) -> (Odd, Bridge) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let bridge = office.bridge(&plain(listener.local_addr().unwrap().port()), RULES, &[]);
    let broker = Odd::accept(&listener).await;
    bridge.connected().await;
    (broker, bridge)
}

/// Says all of it, then that the second person is in a call: messages are taken in order, so all of it was read by then.
async fn say(broker: &mut Odd, office: &Office, topic: &[u8], payloads: &[&[u8]]) {
    for payload in payloads {
        assert!(broker.publish(topic, payload).await, "the link lives");
    }
    assert!(broker.publish(b"phone/2", b"INUSE").await, "the link lives");
    office.see(2, CALL).await;
    assert!(broker.publish(b"phone/2", b"NOT_INUSE").await, "the link lives");
    office.see(2, NOBODY).await;
}

async fn counted(bridge: &Bridge, reason: &str, times: u64) {
    within(Duration::from_secs(5), reason, || async { bridge.count("message", reason).await >= times }).await;
}

/// Red: `DEEPEST` in `rule/json.rs` is larger, so that the value beside the nest is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_31_deep_nesting_sets_nobody_and_ends_nothing() {
    let office = Office::new(2, 1).await;
    let (mut broker, bridge) = open(&office).await;
    let nested = |levels: usize| format!(r#"{{"state":"INUSE","x":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let [shallow, deep] = [nested(40), nested(120)];
    let [arrays, objects] = ["[".repeat(65_000), "{\"a\":".repeat(12_000)];
    let payloads: [&[u8]; 4] = [shallow.as_bytes(), deep.as_bytes(), arrays.as_bytes(), objects.as_bytes()];
    say(&mut broker, &office, b"json/1", &payloads).await;
    counted(&bridge, "too_deep", 4).await;
    assert_eq!(office.story(1), [NOBODY]);
    say(&mut broker, &office, b"json/1", &[nested(30).as_bytes()]).await;
    office.see(1, CALL).await;
    bridge.stop().await;
}

/// Red: `visit_map` in `rule/json.rs` does not ask whether a key was there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_32_a_key_twice_says_nothing() {
    let office = Office::new(2, 1).await;
    let (mut broker, bridge) = open(&office).await;
    let twice: [&[u8]; 5] = [
        br#"{"state":"INUSE","state":"NOT_INUSE"}"#,
        br#"{"state":"NOT_INUSE","state":"INUSE"}"#,
        br#"{"state":"INUSE","st\u0061te":"INUSE"}"#,
        br#"{"state":"INUSE","x":[{"y":{"z":1,"z":1}}]}"#,
        br#"{"":1,"state":"INUSE","":1}"#,
    ];
    say(&mut broker, &office, b"json/1", &twice).await;
    assert_eq!(office.story(1), [NOBODY]);
    assert!(broker.publish(b"json/1", br#"{"state":"INUSE"}"#).await);
    office.see(1, CALL).await;
    say(&mut broker, &office, b"json/1", &twice).await;
    counted(&bridge, "duplicate_key", 10).await;
    office.kept_in_call(1);
    bridge.stop().await;
}

/// Red: `is_finite` in `rule/words.rs` is left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_33_numbers_that_are_none_set_nobody() {
    let office = Office::new(2, 1).await;
    let (mut broker, bridge) = open(&office).await;
    // What could turn it on comes last, and nothing after it turns it off.
    let numbers: [&[u8]; 12] = [
        br#"{"w":-0}"#,
        br#"{"w":-0.0}"#,
        br#"{"w":NaN}"#,
        br#"{"w":"NaN"}"#,
        br#"{"w":Infinity}"#,
        br#"{"w":1e999}"#,
        br#"{"w":0x20}"#,
        br#"{"w":+20}"#,
        br#"{"w":020}"#,
        br#"{"w":"inf"}"#,
        br#"{"w":"infinity"}"#,
        br#"{"w":"1e999"}"#,
    ];
    say(&mut broker, &office, b"meter/1", &numbers).await;
    counted(&bridge, "bad_json", 6).await;
    assert_eq!(office.story(1), [NOBODY]);
    bridge.stop().await;
}

/// None of these says INUSE, or 2^53.
const TEXTS: [&[u8]; 10] = [
    br#"{"state":"INUSE\ud800"}"#,
    br#"{"state":9007199254740993}"#,
    br#"{"state":9007199254740991}"#,
    br#"{"state":"INUSE\u0000"}"#,
    b"{\"state\":\"IN\xffUSE\"}",
    b"\xff\xfe{\0\"\0s\0t\0a\0t\0e\0\"\0:\0\"\0I\0N\0U\0S\0E\0\"\0}\0",
    b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xabV*.I,IU\xb2R\xf2\xf4\x0bu\x0eU\xaa\x05\0",
    b"\xa1\x65state\x65INUSE",
    b"{'state':'INUSE'}",
    b"{\"state\":\"INUSE\"}{}",
];

/// Lone surrogates, NUL, numbers that are no double, other encodings, gzip, CBOR.
///
/// Red: `WHOLE` in `rule/words.rs` is infinite, so that 9007199254740993 is 9007199254740992.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_33_texts_that_are_none_set_nobody_and_end_no_call() {
    let office = Office::new(2, 1).await;
    let (mut broker, bridge) = open(&office).await;
    say(&mut broker, &office, b"json/1", &TEXTS).await;
    counted(&bridge, "not_utf8", 4).await;
    counted(&bridge, "bad_json", 3).await;
    assert_eq!(office.story(1), [NOBODY]);
    assert!(broker.publish(b"json/1", b"{\"state\":\"INUSE \"}").await);
    office.see(1, CALL).await;
    say(&mut broker, &office, b"json/1", &TEXTS).await;
    office.kept_in_call(1);
    bridge.stop().await;
}

/// Red: `Json::parse` in `rule/json.rs` leaves the mark in front.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_33_a_byte_order_mark_is_no_part_of_the_payload() {
    let office = Office::new(1, 1).await;
    let (mut broker, bridge) = open(&office).await;
    assert!(broker.publish(b"json/1", b"\xef\xbb\xbf{\"state\":\"INUSE\"}").await);
    office.see(1, CALL).await;
    bridge.stop().await;
}

/// Red: `is_withdrawn` in `rule/judge.rs` is false, and so is what `Rule::say` asks of an empty word: either alone suffices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_33_an_empty_payload_withdraws_what_was_said() {
    let office = Office::new(1, 30).await; // the grace is half a second
    let (mut broker, bridge) = open(&office).await;
    assert!(broker.publish(b"json/1", b"{\"state\":\"INUSE\"}").await);
    office.see(1, CALL).await;
    assert!(broker.publish(b"json/1", b"").await);
    office.see(1, NOBODY).await;
    bridge.stop().await;
}
