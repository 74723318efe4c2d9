//! What is announced to Home Assistant, by what was learnt from the real one, and when it is taken back. The real one
//! itself is asked by `tests/home_assistant/run`.

use std::collections::BTreeSet;

use presence_bridge::bridge::discovery::{Announcement, Discovery};
use presence_bridge::clock::Clock;
use presence_bridge::config::Config;
use presence_bridge::presence::OnStop;
use presence_bridge::sandbox::broker::Broker;
use serde_json::Value;

use crate::support::live::{Desk, bridge, configuration, replace};
use crate::support::rig::{PEOPLE, RULES};
use crate::support::{ALICE, BOB, sandbox, until};

const DISCOVERY: Discovery<'_> = Discovery { prefix: "homeassistant", own: "presence-bridge", instance: "office" };
/// Names that would meet in one id, or break one, if they were only cut to the letters that ids may have.
const HOSTILE: &[&str] = &[
    "alice",
    "Alice",
    "a_b",
    "a__b",
    "a.b",
    "a-b",
    "a b",
    "ab",
    "a_5fb",
    "a@b",
    "é",
    "e\u{301}",
    "王",
    "~",
    "_",
    "__",
    "x{{7*7}}",
    "\"'\\",
    "people",
    "status",
    "people__alice",
    "alice__busy",
];

fn signals(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|&name| name.into()).collect()
}

fn json(announcement: &Announcement) -> Value {
    serde_json::from_str(&announcement.payload).unwrap()
}

/// Everything that a bridge of hostile people announces.
fn hostile() -> Vec<Announcement> {
    let signals = signals(HOSTILE);
    let people = HOSTILE.iter().flat_map(|label| DISCOVERY.person(label, &signals));
    // Another bridge at the same broker, with the same people below other topics, and one whose name is a person's.
    let other = Discovery { own: "presence-bridge/2", ..DISCOVERY };
    let named = Discovery { instance: "alice", ..DISCOVERY };
    let others = other.person("alice", &signals).into_iter().chain(other.bridge()).chain(named.bridge());
    DISCOVERY.bridge().into_iter().chain(people).chain(others).collect()
}

/// Tried against Home Assistant 2024.3.3, templates and all: whatever changes has to be tried there again.
#[test]
fn what_is_announced_is_what_was_tried_against_the_real_one() {
    let said = DISCOVERY.bridge().into_iter().chain(DISCOVERY.person("zoë", &signals(&["call", "on-air'"])));
    let said: String = said
        .map(|said| format!("{}\n{:#}\n", said.topic, json(&said)))
        .collect::<String>()
        .replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let tried = include_str!("fixtures/home_assistant.txt");
    assert!(
        said == tried,
        "another announcement than the one that was tried: run tests/home_assistant/run, and if it passes let this be \
         tests/fixtures/home_assistant.txt:\n{said}"
    );
}

#[test]
fn no_two_names_share_an_id_or_a_topic() {
    let all = hostile();
    let ids: BTreeSet<String> = all.iter().map(|said| json(said)["unique_id"].to_string()).collect();
    let topics: BTreeSet<&str> = all.iter().map(|said| &*said.topic).collect();
    assert_eq!((ids.len(), topics.len()), (all.len(), all.len()));
    let devices: BTreeSet<String> = all.iter().map(|said| json(said)["device"]["identifiers"].to_string()).collect();
    assert_eq!(devices.len(), HOSTILE.len() + 4, "a device a person, and the bridges");
}

/// An id that changes is a new entity to Home Assistant: its history and everybody's automations are gone.
#[test]
fn ids_stay_what_they_are() {
    let ids = |said: Vec<Announcement>| {
        said.iter().map(|said| json(said)["unique_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let person = ids(DISCOVERY.person("zoë.m@x", &signals(&["call", "at_desk"])));
    let start = "presence-bridge__people__zo_c3_ab_2em_40x";
    for (id, end) in person.iter().zip(["presence", "busy", "pause", "signal__call", "signal__at_5fdesk"]) {
        assert_eq!(*id, format!("{start}__{end}"));
    }
    let bridge = ids(DISCOVERY.bridge());
    for (id, end) in bridge.iter().zip(["connectivity", "alarms", "calls_per_minute"]) {
        assert_eq!(*id, format!("presence-bridge__status__office__{end}"));
    }
    // Neither another order of the signals nor another bridge for the same people makes them others.
    let other = Discovery { instance: "other", ..DISCOVERY };
    let turned = ids(other.person("zoë.m@x", &signals(&["at_desk", "call"])));
    assert_eq!(person.iter().collect::<BTreeSet<_>>(), turned.iter().collect::<BTreeSet<_>>());
}

/// What Home Assistant 2024.3.3 refuses, or takes and does not do.
#[test]
fn what_the_real_one_wants_holds_for_hostile_names() {
    for said in hostile() {
        let levels: Vec<&str> = said.topic.split('/').collect();
        let is_id = |level: &str| level.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let [first, component, ids @ .., last] = &levels[..] else { panic!("{}", said.topic) };
        assert!((*first, *last) == ("homeassistant", "config") && ids.iter().all(|id| is_id(id)), "{}", said.topic);
        assert!(["sensor", "binary_sensor", "switch"].contains(component), "{}", said.topic);
        let body = json(&said);
        // The bridge is heard first, without a node id; people are linked to it.
        let via = &body["device"]["via_device"];
        assert_eq!(ids.len(), if via.is_null() { 1 } else { 2 }, "{}", said.topic);
        assert_eq!(body["state_topic"].as_str().unwrap().contains("/people/"), via.is_string(), "{body}");
        assert!(is_id(body["unique_id"].as_str().unwrap()), "{body}");
        assert!(body.get("~").is_none(), "a name may end with it: {body}");
        assert_eq!(body.get("command_topic").is_some(), *component == "switch");
        let available = body["availability_topic"].as_str().is_some_and(|topic| topic.contains("/status/"));
        assert_eq!(available, body["name"] != "Connectivity", "{body}");
        assert!(said.payload.len() < 8 << 10);
    }
    let longest = "\u{10000}".repeat(64);
    for said in DISCOVERY.person(&longest, &signals(&[&longest])) {
        assert!(said.payload.len() < 8 << 10 && said.topic.len() < 4 << 10, "{}", said.payload.len());
    }
}

#[test]
fn names_in_templates_are_letters_digits_and_numbers() {
    let names = ["call", "'", "\"", "\\", "}}", "{%", "a\\'b", "é"];
    for (said, name) in DISCOVERY.person("alice", &signals(&names)).iter().skip(3).zip(names) {
        let body = json(said);
        let template = body["value_template"].as_str().unwrap();
        let inside = template.split_once("defined and '").unwrap().1.split_once("' in value_json.door").unwrap().0;
        // As Jinja reads it.
        let mut read = String::new();
        let mut rest = inside;
        while let Some(c) = rest.chars().next() {
            let (one, after) = rest.split_at(if c == '\\' { 10 } else { 1 });
            let number = one.strip_prefix("\\U").map(|hex| u32::from_str_radix(hex, 16).unwrap());
            assert!(number.is_some() || c.is_ascii_alphanumeric(), "{template}");
            read.push(number.map_or(c, |number| char::from_u32(number).unwrap()));
            rest = after;
        }
        assert_eq!((read.as_str(), body["name"].as_str().unwrap()), (name, name));
    }
}

#[test]
fn a_name_that_home_assistant_refuses_in_a_topic_is_left_out() {
    assert_eq!(DISCOVERY.person("a\u{ffff}", &signals(&["call"])), []);
    assert_eq!(DISCOVERY.person("alice", &signals(&["\u{fdd0}", "call"])).len(), 4);
}

#[test]
fn what_can_be_deleted_is_what_was_announced() {
    let signals = signals(&["call", "at_desk"]);
    let topics = |said: Vec<Announcement>| said.into_iter().map(|said| said.topic).collect::<Vec<_>>();
    assert_eq!(topics(DISCOVERY.bridge()), DISCOVERY.topics_of_bridge());
    assert_eq!(topics(DISCOVERY.person("zoë", &signals)), DISCOVERY.topics_of_person("zoë", &signals));
}

#[test]
fn the_section_is_read_and_what_is_wrong_with_it_is_said() {
    let read = |section: &str| {
        let text = format!("{PEOPLE}\n{RULES}\n{section}");
        Config::parse_trusting(&text, "t", std::path::Path::new(".")).map(|config| config.home_assistant)
    };
    assert_eq!(read("").unwrap(), None);
    assert_eq!(read("[home_assistant]\nprefix = \"ha\"").unwrap(), None, "not switched on");
    assert_eq!(read("[home_assistant]\ndiscovery = true").unwrap().as_deref(), Some("homeassistant"));
    assert_eq!(read("[home_assistant]\ndiscovery = true\nprefix = \"a/b\"").unwrap().as_deref(), Some("a/b"));
    let wrong = read("[home_assistant]\ndiscovery = true\nprefix = \"ha/#\"").unwrap_err().to_string();
    assert!(wrong.contains("home_assistant.prefix") && wrong.contains("not a topic"), "{wrong}");
    let nowhere = format!("{PEOPLE}\n{RULES}\n[home_assistant]\ndiscovery = true")
        .replace("[mqtt]", "[mqtt]\nown_topics = false");
    let wrong = Config::parse_trusting(&nowhere, "t", std::path::Path::new(".")).unwrap_err().to_string();
    assert!(wrong.contains("discovery without the topics that it is about"), "{wrong}");
}

/// Below the bridge's own prefix, where the desk listens.
const HOME: &str = "[home_assistant]\ndiscovery = true\nprefix = \"presence-bridge/ha\"\n";

fn text(port: u16, graph: &str, people: &[(&str, &str)], home: &str) -> String {
    let rows: String = people.iter().map(|(label, id)| format!("{label} = \"{id}\"\n")).collect();
    configuration(port, graph, &format!("{home}[users]\n{rows}"))
}

/// A broker, and somebody there who hears everything.
async fn broker_and_desk() -> (Broker, Desk) {
    let broker = Broker::start(0).await.unwrap();
    let desk = Desk::hearing(broker.port(), vec!["presence-bridge/#".into()]).await;
    (broker, desk)
}

fn topic(label: &str, what: &str) -> String {
    let component = match what {
        "presence" => "sensor",
        "busy" => "binary_sensor",
        _ => "switch",
    };
    format!("ha/{component}/presence-bridge__people__{label}/{what}/config")
}

const ALARMS: &str = "ha/sensor/presence-bridge__status__bridge-under-test__alarms/config";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_the_list_and_a_signal_that_is_gone_are_taken_back() {
    let sandbox = sandbox(false).await;
    let (broker, desk) = broker_and_desk().await;
    let dir = tempfile::tempdir().unwrap();
    let state = "[state]\ndir = \"state\"\n[admin]\nlisten = \"off\"\nsocket = \"off\"\n";
    let both = text(broker.port(), &sandbox.graph_url(), &[("alice", ALICE), ("bob", BOB)], &format!("{HOME}{state}"));
    let running = bridge(Clock::live(), dir.path(), &both);
    for label in ["alice", "bob"] {
        for what in ["presence", "busy", "pause", "signal__call"] {
            until("announced", || desk.topic(&topic(label, what)).is_some()).await;
        }
    }
    until("the bridge too", || desk.topic(ALARMS).is_some()).await;
    assert!(desk.json(ALARMS)["availability_topic"] == "presence-bridge/status/bridge-under-test");
    // Under the running bridge: she goes, and the signal has another name.
    let changed = both.replace(&format!("alice = \"{ALICE}\"\n"), "").replace("call = \"Busy", "phone = \"Busy");
    let changed = changed.replace("signal = \"call\"", "signal = \"phone\"");
    replace(dir.path(), "bridge.toml", &changed);
    running.hangups.send(()).await.unwrap();
    for what in ["presence", "busy", "pause", "signal__call", "signal__phone"] {
        until("hers are deleted", || desk.topic(&topic("alice", what)).is_none()).await;
    }
    until("his new switch", || desk.topic(&topic("bob", "signal__phone")).is_some()).await;
    until("instead of the old one", || desk.topic(&topic("bob", "signal__call")).is_none()).await;
    assert!(desk.topic(&topic("bob", "presence")).is_some());
    running.stop(OnStop::Leave).await;
    assert!(desk.topic(&topic("bob", "presence")).is_some(), "it stays while the bridge is away");
    // While it is away: she is back, he is gone, and so is his new switch.
    let back = both.replace(&format!("bob = \"{BOB}\"\n"), "");
    let running = bridge(Clock::live(), dir.path(), &back);
    until("she is back", || desk.topic(&topic("alice", "signal__call")).is_some()).await;
    for what in ["presence", "busy", "pause", "signal__phone"] {
        until("his are deleted", || desk.topic(&topic("bob", what)).is_none()).await;
    }
    running.stop(OnStop::Leave).await;
    // Switched off: nothing is left of it, and the states stay.
    let running = bridge(Clock::live(), dir.path(), &back.replace("discovery = true", "discovery = false"));
    until("the bridge's are deleted", || desk.topic(ALARMS).is_none()).await;
    until("hers too", || desk.topic(&topic("alice", "signal__call")).is_none()).await;
    assert!(desk.topic(&topic("alice", "presence")).is_none() && desk.topic("people/alice").is_some());
    running.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_announced_unless_it_is_asked_for() {
    let sandbox = sandbox(false).await;
    let (broker, desk) = broker_and_desk().await;
    let dir = tempfile::tempdir().unwrap();
    let running =
        bridge(Clock::live(), dir.path(), &text(broker.port(), &sandbox.graph_url(), &[("alice", ALICE)], ""));
    until("she is there", || desk.topic("people/alice").is_some()).await;
    desk.publish("presence-bridge/in/alice/call", "on").await;
    until("and what comes after an announcement", || desk.json("people/alice")["held"] == "Busy/InACall").await;
    assert!(desk.topics().iter().all(|topic| !topic.ends_with("/config")), "{:?}", desk.topics());
    running.stop(OnStop::Leave).await;
}
