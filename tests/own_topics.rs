//! What the bridge says on its own topics, and what it takes there.

use std::time::Duration;

use presence_bridge::admin::{Address, ask};
use presence_bridge::clock::Clock;
use presence_bridge::presence::OnStop;
use presence_bridge::sandbox::broker::Broker;
use serde_json::{Value, json};

use crate::support::fake_graph::FakeGraph;
use crate::support::live::{Desk, Live, bridge, configuration, replace};
use crate::support::{ALICE, BOB, sandbox, stays, until};

fn people() -> String {
    format!("[users]\nalice = \"{ALICE}\"\nbob = \"{BOB}\"\n[devices]\n\"1001\" = \"alice\"\n\"1002\" = \"bob\"\n")
}

fn read(text: Option<String>) -> Value {
    text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
}

async fn metric(live: &Live, line: &str) -> f64 {
    let (_, page) = ask(&Address::Unix(live.socket()), "/metrics").await.unwrap();
    let found = page.lines().find_map(|found| found.strip_prefix("presence_bridge_")?.strip_prefix(line));
    found.unwrap_or_else(|| panic!("no {line} in\n{page}")).trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_tells_links_calls_and_alarms_when_they_change() {
    let graph = FakeGraph::start().await;
    // A minute of the bridge is a second of life.
    let live = Live::on(Clock::faster(60), &graph.url, &people(), &[]).await;
    let status = || read(live.topic("status/bridge-under-test"));
    assert_eq!((&status()["state"], &status()["version"]), (&"online".into(), &env!("CARGO_PKG_VERSION").into()));
    let link = &status()["links"][0];
    assert_eq!((&link["source"], &link["state"]), (&"mqtt".into(), &"up".into()), "{link}");
    assert!(link["since"].as_str().unwrap().starts_with("20"), "{link}");
    assert_eq!(status()["calls_per_minute"], 0);
    let gone = json!({ "error": { "code": "NotFound", "message": "" } });
    graph.state().next.push((404, gone));
    live.publish("pbx/1001", "INUSE").await;
    until("an alarm", || status()["alarms"][0]["alarm"] == "no_such_user").await;
    let alarm = &status()["alarms"][0];
    assert_eq!(alarm["about"], "alice");
    assert!(alarm["remedy"].as_str().unwrap().contains("object id"), "{alarm}");
    // Nothing happens but that the calls go by: that is said too, and then no more.
    until("the calls are told", || status()["calls_per_minute"].as_u64() >= Some(1)).await;
    live.publish("pbx/1001", "NOT_INUSE").await;
    until("they are over", || status()["calls_per_minute"] == 0).await;
    let said = live.all("status/bridge-under-test").len();
    stays("what is the same is not said again", Duration::from_secs(3), || {
        live.all("status/bridge-under-test").len() == said
    })
    .await;
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_calls_changes_the_status_once_a_minute_at_most() {
    let graph = FakeGraph::start().await;
    let live = Live::start(&graph.url, &people(), &[]).await;
    let before = live.all("status/bridge-under-test").len();
    for round in 0..20 {
        live.publish("pbx/1002", if round % 2 == 0 { "INUSE" } else { "NOT_INUSE" }).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until("calls are made", || graph.calls("setPresence") >= 1).await;
    stays("no status for that", Duration::from_secs(2), || live.all("status/bridge-under-test").len() == before).await;
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_tells_what_the_door_holds_and_a_pause() {
    let sandbox = sandbox(false).await;
    let live = Live::start(&sandbox.graph_url(), &people(), &[]).await;
    let alice = || read(live.topic("people/alice"));
    until("she is published", || alice()["paused"] == false).await;
    assert_eq!((&alice()["door"], &alice()["paused_until"]), (&json!([]), &Value::Null));
    live.publish("presence-bridge/in/alice/call", "on").await;
    until("the door holds it", || alice()["door"] == json!(["call"]) && alice()["held"] == "Busy/InACall").await;
    live.publish("presence-bridge/in/alice/pause", "on").await;
    until("she is paused", || alice()["paused"] == true && alice()["held"] == Value::Null).await;
    assert_eq!((&alice()["wanted"], &alice()["paused_until"]), (&Value::Null, &Value::Null));
    assert_eq!(alice()["door"], json!(["call"]), "shares are kept up to date");
    live.publish("presence-bridge/in/alice/pause", r#"{"on": true, "for": "2h"}"#).await;
    until("its end is told", || alice()["paused_until"].as_str().is_some_and(|at| at.starts_with("20"))).await;
    // A share that ends behind the pause changes nothing that is shown, and is told all the same.
    live.publish("presence-bridge/in/alice/call", r#"{"on": true, "for": "1s"}"#).await;
    until("its end is near", || alice()["until"][0].is_string()).await;
    until("it has ended", || alice()["door"] == json!([])).await;
    assert_eq!(alice()["paused"], true);
    live.publish("presence-bridge/in/alice/pause", "off").await;
    until("she goes on", || alice()["paused"] == false).await;
    live.publish("presence-bridge/in/alice/pause", r#"{"on": true, "for": "1s"}"#).await;
    until("paused again", || alice()["paused"] == true).await;
    until("and goes on by herself", || alice()["paused"] == false && alice()["paused_until"] == Value::Null).await;
    let (_, why) = ask(&Address::Unix(live.socket()), "/status/alice").await.unwrap();
    assert!(!why.contains("paused"), "{why}");
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_says_that_somebody_is_paused() {
    let sandbox = sandbox(false).await;
    let live = Live::start(&sandbox.graph_url(), &people(), &[]).await;
    live.publish("pbx/1001", "INUSE").await;
    live.publish("presence-bridge/in/1001/pause", "on").await; // a device will do
    until("paused", || read(live.topic("people/alice"))["paused"] == true).await;
    let (_, why) = ask(&Address::Unix(live.socket()), "/status/alice").await.unwrap();
    assert!(why.contains("Nothing, because paused, for good (in/alice/pause)."), "{why}");
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_at_the_door_is_told_why_and_what_is_allowed() {
    let graph = FakeGraph::start().await;
    let live = Live::start(&graph.url, &people(), &[]).await;
    let long = "x".repeat(64);
    let words = r#"on, off, {"on": true, "for": "30m"}"#;
    for (topic, payload, label, reason, remedy) in [
        ("in/alice/cal".to_owned(), "on", "alice", "unknown_signal", "no such signal: call; or pause"),
        ("in/alice/call".to_owned(), "maybe", "alice", "other_value", words),
        ("in/alice/call".to_owned(), "{\"on\"", "alice", "bad_json", words),
        ("in/bob/pause".to_owned(), "perhaps", "bob", "other_value", words),
        (format!("in/{long}/call"), "on", long.as_str(), "unknown_subject", "[users]"),
    ] {
        let answers = format!("in/{label}/error");
        let before = live.all(&answers).len();
        live.publish(&format!("presence-bridge/{topic}"), payload).await;
        until("an answer", || live.all(&answers).len() > before).await;
        let answer = read(live.all(&answers).pop());
        assert_eq!((&answer["topic"], &answer["reason"]), (&format!("presence-bridge/{topic}").into(), &reason.into()));
        assert!(answer["remedy"].as_str().unwrap().contains(remedy), "{answer}");
        tokio::time::sleep(Duration::from_millis(1_100)).await; // one a second
    }
    // No name: no answer. And what the bridge says itself is no message to the door.
    live.publish(&format!("presence-bridge/in/{long}y/call"), "on").await;
    live.publish("presence-bridge/in/bob/call", "on").await;
    until("what came after is through", || graph.calls("setPresence") == 1).await;
    stays("no answer", Duration::from_millis(500), || live.all(&format!("in/{long}y/error")).is_empty()).await;
    assert_eq!(metric(&live, "door_refusal_total{reason=\"answered\"}").await, 5.0);
    assert_eq!(
        metric(&live, "message_total{reason=\"no_rule\"}").await,
        0.0,
        "its own answers came back, and count not"
    );
    let late = Desk::hearing(live.port(), vec!["presence-bridge/in/+/error".to_owned()]).await;
    stays("they are not retained", Duration::from_millis(500), || late.count() == 0).await;
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_at_the_door_are_one_a_second_and_the_rest_is_counted() {
    let graph = FakeGraph::start().await;
    let live = Live::start(&graph.url, &people(), &[]).await;
    for _ in 0..100 {
        live.publish("presence-bridge/in/alice/nonsense", "on").await;
    }
    live.publish("pbx/1001", "INUSE").await;
    until("what came after is through", || graph.calls("setPresence") == 1).await;
    until("an answer", || !live.all("in/alice/error").is_empty()).await;
    let answers = live.all("in/alice/error").len();
    assert!(answers <= 3, "{answers}");
    let not = metric(&live, "door_refusal_total{reason=\"not_answered\"}").await;
    assert!(not >= 97.0, "{not}");
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_of_people_who_left_while_the_bridge_was_away_are_deleted() {
    let sandbox = sandbox(false).await;
    let broker = Broker::start(0).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = configuration(broker.port(), &sandbox.graph_url(), "[people]\nfile = \"people.csv\"\n");
    let list = |people: &[(&str, &str)]| {
        let lines: String = people.iter().map(|(id, label)| format!("{id},{label}\n")).collect();
        replace(dir.path(), "people.csv", &format!("id,name\n{lines}"));
    };
    let desk = Desk::at(broker.port()).await;
    list(&[(ALICE, "alice"), (BOB, "bob")]);
    let running = bridge(Clock::live(), dir.path(), &text);
    desk.publish("presence-bridge/in/alice/call", "on").await;
    until("both are there", || desk.topic("people/alice").is_some() && desk.topic("people/bob").is_some()).await;
    running.stop(OnStop::Leave).await;
    assert!(desk.topic("people/alice").is_some(), "a light that glows");
    list(&[(BOB, "bob")]);
    let running = bridge(Clock::live(), dir.path(), &text);
    until("hers is deleted", || desk.topic("people/alice").is_none()).await;
    until("his is there", || desk.topic("people/bob").is_some()).await;
    running.stop(OnStop::Leave).await;
    // What was to be deleted is remembered until a connection has carried it: she does not come back by a loss.
    let kept = std::fs::read_to_string(dir.path().join("state/published.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["sources"]["mqtt"]["gone"], json!(["presence-bridge/people/alice"]));
    assert_eq!(kept["sources"]["mqtt"]["labels"], json!(["bob"]));
    // Somebody else's file is none of ours.
    let foreign =
        text.replace("bridge-under-test", "another-bridge").replace("[people]", "[state]\ndir = \"state\"\n[people]");
    desk.retain("presence-bridge/people/alice", "another bridge's").await;
    let running = bridge(Clock::live(), dir.path(), &foreign);
    until("it is online", || desk.topic("status/another-bridge").is_some()).await;
    stays("it deletes nothing", Duration::from_millis(500), || desk.topic("people/alice").is_some()).await;
    running.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_only_listened_to_from_now_on_loses_the_topics_that_it_had() {
    let sandbox = sandbox(false).await;
    let broker = Broker::start(0).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = configuration(broker.port(), &sandbox.graph_url(), &people());
    let desk = Desk::at(broker.port()).await;
    let running = bridge(Clock::live(), dir.path(), &text);
    until("both are there", || desk.topic("people/alice").is_some() && desk.topic("people/bob").is_some()).await;
    running.stop(OnStop::Leave).await;
    // Other first levels: what is below the old ones goes, and nothing below the new ones.
    let moved = text.replace("client_id = \"bridge-under-test\"", "$&\ntopic_prefix = \"office\"");
    let moved = moved.replace("$&", "client_id = \"bridge-under-test\"");
    let office = Desk::hearing(broker.port(), vec!["office/people/+".to_owned()]).await;
    let running = bridge(Clock::live(), dir.path(), &moved);
    until("the old ones go", || desk.topic("people/alice").is_none() && desk.topic("people/bob").is_none()).await;
    until("the new ones are there", || office.count() >= 2).await;
    running.stop(OnStop::Leave).await;
    let silent = moved.replace("topic_prefix", "own_topics = false\ntopic_prefix");
    let before = office.count();
    let running = bridge(Clock::live(), dir.path(), &silent);
    until("they go too", || office.count() >= before + 2).await;
    let late = Desk::hearing(broker.port(), vec!["office/people/+".to_owned()]).await;
    stays("nothing is retained", Duration::from_millis(500), || late.count() == 0).await;
    running.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_cannot_be_kept_is_said_and_hinders_nothing() {
    let sandbox = sandbox(false).await;
    let state = format!("[state]\ndir = \"secret/state\"\n{}", people()); // below a file
    let live = Live::start(&sandbox.graph_url(), &state, &[]).await;
    live.publish("pbx/1001", "INUSE").await;
    until("alice is set", || sandbox.seen(ALICE) == "Busy/InACall").await;
    let socket = live.socket();
    let mut lost = 0.0;
    for _ in 0..100 {
        lost = metric(&live, "published_total{reason=\"not_written\"}").await;
        if lost > 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(lost > 0.0, "{socket:?}");
    live.stop(OnStop::Leave).await;
}
