//! Several brokers, and broken ones: each has its own link, and none keeps another waiting.

mod frozen;
mod pressure;
mod reconnects;

use std::time::{Duration, Instant};

use presence_bridge::admin::{Address, ask};
use presence_bridge::clock::Clock;
use presence_bridge::presence::OnStop;
use presence_bridge::sandbox::broker::Broker;
use serde_json::Value;

use crate::support::fake_broker::{FakeBroker, PUBLISH};
use crate::support::fake_graph::FakeGraph;
use crate::support::live::{Desk, bridge, configuration_of};
use crate::support::mosquitto::free_port;
use crate::support::{ALICE, BOB, sandbox, stays, until};

pub fn people() -> String {
    format!("[users]\nalice = \"{ALICE}\"\nbob = \"{BOB}\"\n[devices]\n\"1001\" = \"alice\"\n\"1002\" = \"bob\"\n")
}

fn source(name: &str, port: u16, more: &str) -> String {
    format!("[[source]]\nname = \"{name}\"\nurl = \"mqtt://127.0.0.1:{port}\"\nclient_id = \"on-{name}\"\n{more}\n")
}

async fn get(dir: &std::path::Path, path: &str) -> (u16, String) {
    ask(&Address::Unix(dir.join("admin.sock")), path).await.unwrap()
}

/// The state of a broker as `/status` tells it.
pub async fn state(dir: &std::path::Path, place: usize) -> String {
    let status: Value = serde_json::from_str(&get(dir, "/status").await.1).unwrap();
    status["sources"][place]["state"].as_str().unwrap().to_owned()
}

/// Waits until a broker is in this state, and says how long that took.
pub async fn until_state(dir: &std::path::Path, place: usize, wanted: &str, longest: Duration) -> Duration {
    #[allow(clippy::disallowed_methods, reason = "a test measures life")]
    let start = Instant::now();
    while state(dir, place).await != wanted {
        assert!(start.elapsed() < longest, "not {wanted} within {longest:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_broker_is_heard_by_its_rules_and_has_the_topics_that_it_may() {
    let sandbox = sandbox(false).await;
    let (pbx, home) = (Broker::start(0).await.unwrap(), Broker::start(0).await.unwrap());
    let brokers = source("pbx", pbx.port(), "own_topics = false") + &source("home", home.port(), "");
    let text = configuration_of(&brokers, &sandbox.graph_url(), &people())
        .replace("topic = \"pbx/{ext}\"", "source = \"pbx\"\ntopic = \"pbx/{ext}\"");
    let dir = tempfile::tempdir().unwrap();
    let everything = || vec!["#".to_owned()];
    let (at_pbx, at_home) =
        (Desk::hearing(pbx.port(), everything()).await, Desk::hearing(home.port(), everything()).await);
    let running = bridge(Clock::live(), dir.path(), &text);
    until("online at home", || at_home.json("status/on-home")["links"][1]["state"] == "up").await;
    until("and at the pbx", || at_home.json("status/on-home")["links"][0]["state"] == "up").await;
    assert_eq!(at_home.json("status/on-home")["links"][0]["source"], "pbx");
    // The rule is for the pbx alone.
    at_home.publish("pbx/1002", "INUSE").await;
    at_pbx.publish("pbx/1001", "INUSE").await;
    until("alice is set", || sandbox.seen(ALICE) == "Busy/InACall").await;
    until("and told at home", || at_home.json("people/alice")["because"] == "call@1001").await;
    assert_ne!(sandbox.seen(BOB), "Busy/InACall");
    // The door is at home alone.
    at_pbx.publish("presence-bridge/in/bob/call", "on").await;
    at_pbx.publish("presence-bridge/in/bob/nonsense", "on").await;
    at_home.publish("presence-bridge/in/alice/pause", "on").await;
    until("alice is paused", || at_home.json("people/alice")["paused"] == true).await;
    stays("bob is not set", Duration::from_millis(500), || sandbox.seen(BOB) != "Busy/InACall").await;
    let own = |topic: &String| topic.starts_with("presence-bridge/") && !topic.starts_with("presence-bridge/canary/");
    let mut own: Vec<String> = at_pbx.topics().into_iter().filter(own).collect();
    own.retain(|topic| !topic.starts_with("presence-bridge/in/bob/")); // those are ours
    assert!(own.is_empty(), "{own:?}");
    assert!(at_pbx.all("in/bob/error").is_empty(), "no door, no answer");
    running.stop(OnStop::Leave).await;
    until("offline", || at_home.json("status/on-home")["state"] == "offline").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_there_keeps_no_other_waiting_and_ready_names_it() {
    let sandbox = sandbox(false).await;
    let home = Broker::start(0).await.unwrap();
    let brokers = source("pbx", free_port(), "") + &source("home", home.port(), "");
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::at(home.port()).await;
    let running = bridge(Clock::live(), dir.path(), &configuration_of(&brokers, &sandbox.graph_url(), &people()));
    until("online", || desk.json("status/on-home")["links"][1]["state"] == "up").await;
    assert_eq!(desk.json("status/on-home")["links"][0]["state"], "down");
    desk.publish("pbx/1001", "INUSE").await;
    until("alice is set", || sandbox.seen(ALICE) == "Busy/InACall").await;
    let (code, why) = get(dir.path(), "/ready").await;
    assert_eq!(code, 503);
    assert!(why.contains("broker pbx: not connected to mqtt://127.0.0.1:") && !why.contains("broker home"), "{why}");
    let (_, metrics) = get(dir.path(), "/metrics").await;
    for line in
        ["broker_connected{source=\"pbx\"} 0", "broker_connected{source=\"home\"} 1", "broker_heard{source=\"home\"} 1"]
    {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    running.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_and_status_are_told_at_every_broker_and_the_farewell_too() {
    let graph = FakeGraph::start().await;
    let (one, two) = (Broker::start(0).await.unwrap(), Broker::start(0).await.unwrap());
    let brokers = source("one", one.port(), "") + &source("two", two.port(), "");
    let dir = tempfile::tempdir().unwrap();
    let (at_one, at_two) = (Desk::at(one.port()).await, Desk::at(two.port()).await);
    let running = bridge(Clock::live(), dir.path(), &configuration_of(&brokers, &graph.url, &people()));
    let up = |desk: &Desk, topic: &str| (0..2).all(|place| desk.json(topic)["links"][place]["state"] == "up");
    until("both know of both", || up(&at_one, "status/on-one") && up(&at_two, "status/on-two")).await;
    at_one.publish("pbx/1001", "INUSE").await;
    let held = |desk: &Desk| desk.json("people/alice")["held"] == "Busy/InACall";
    until("alice is told at both", || held(&at_one) && held(&at_two)).await;
    running.stop(OnStop::Leave).await;
    let offline = |desk: &Desk, topic: &str| desk.topic(topic).as_deref() == Some(r#"{"state":"offline"}"#);
    until("both are told", || offline(&at_one, "status/on-one") && offline(&at_two, "status/on-two")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stalls_keeps_no_other_waiting_and_does_not_hold_up_a_stop() {
    let graph = FakeGraph::start().await;
    // It takes the connection, and then never reads.
    let (stalled, home) = (FakeBroker::narrow().await, Broker::start(0).await.unwrap());
    let brokers = source("stalled", stalled.port, "keep_alive = \"2m\"") + &source("home", home.port(), "");
    // Many people, so that it has more to be told than any buffer takes.
    let users: String = (0..3_000).map(|n| format!("p{n} = \"33333333-3333-4333-8333-{n:012x}\"\n")).collect();
    let text = configuration_of(&brokers, &graph.url, &people().replace("[devices]", &format!("{users}[devices]")));
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::at(home.port()).await;
    let running = bridge(Clock::live(), dir.path(), &text);
    let mut peer = stalled.welcome(&[]).await;
    until("both are up", || (0..2).all(|place| desk.json("status/on-home")["links"][place]["state"] == "up")).await;
    until("all are told at home", || desk.topics().len() > 3_000).await;
    for round in 0..12 {
        let on = round % 2 == 0;
        for n in 0..3_000 {
            desk.publish(&format!("presence-bridge/in/p{n}/call"), if on { "on" } else { "off" }).await;
        }
        let door = if on { serde_json::json!(["call"]) } else { serde_json::json!([]) };
        until("the last is told", || desk.json("people/p2999")["door"] == door).await;
    }
    #[allow(clippy::disallowed_methods, reason = "a test measures life")]
    let start = Instant::now();
    running.stop(OnStop::Leave).await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    until("the other is told", || desk.json("status/on-home")["state"] == "offline").await;
    // It was really stalled: what did not fit anywhere was not said there.
    let mut there = 0;
    while let Some((kind, _)) = peer.reader.packet().await {
        there += usize::from(kind & 0xf0 == PUBLISH);
    }
    let here = desk.count();
    println!("{there} of {here} were said to the one that stalled");
    assert!(there * 2 < here, "{there} of {here}");
}
