//! Figures, measured and printed, never asserted: run in release with
//! `cargo test --release --test tests -- --ignored --nocapture figures`.
#![allow(clippy::disallowed_methods, reason = "a stopwatch needs a clock of its own")]

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use presence_bridge::clock::Clock;
use presence_bridge::mqtt::{self, Message, Session};
use presence_bridge::telemetry::Telemetry;

use crate::support::mosquitto::Mosquitto;
use crate::support::until;

const PEOPLE: usize = 1_000;
const CHANGES: usize = 1_000;

/// When each call to presence arrived.
type Arrivals = Arc<Mutex<Vec<(String, Instant)>>>;

async fn answer(State(arrivals): State<Arrivals>, uri: Uri) -> Response {
    let path = uri.path().to_owned();
    if path.ends_with("/token") {
        let token = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"a.e30.c"}"#;
        return ([("content-type", "application/json")], token).into_response();
    }
    arrivals.lock().unwrap().push((path, Instant::now()));
    [("request-id", "1")].into_response()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute, and says something only in release"]
async fn figures() {
    let Some(broker) = Mosquitto::start("figures", "").await else { return };
    let arrivals = Arrivals::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let graph = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&arrivals));
    tokio::spawn(async move { axum::serve(listener, router).await });
    broker.publish("pbx/p0", "INUSE", true); // the first POST needs no message after the start
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    std::fs::write(dir.path().join("bridge.toml"), configuration(broker.port, &graph)).unwrap();
    let started = Instant::now();
    let mut bridge = Command::new(env!("CARGO_BIN_EXE_presence-bridge"))
        .args(["run", "-c"])
        .arg(dir.path().join("bridge.toml"))
        .env("STATE_DIRECTORY", dir.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the first POST", || !arrivals.lock().unwrap().is_empty()).await;
    let first = arrivals.lock().unwrap()[0].1 - started;
    println!("start to first POST, {PEOPLE} people: {first:?}");

    let (desks, mut events) =
        mqtt::start(publisher(broker.port), Clock::live(), Telemetry::new(Clock::live())).unwrap();
    events.next().await;
    let mut took = Vec::new();
    for n in 0..CHANGES {
        arrivals.lock().unwrap().clear();
        let payload = if n < PEOPLE { "INUSE" } else { "NOT_INUSE" };
        let topic = format!("pbx/p{}", 1 + n % (PEOPLE - 1));
        let permit = desks.permit().await.unwrap();
        let sent = Instant::now();
        permit.publish(Message::new(topic, payload));
        tokio::time::sleep(Duration::from_millis(50)).await; // 20 changes a second
        took.extend(arrivals.lock().unwrap().first().map(|(_, at)| *at - sent));
    }
    took.sort();
    let at = |part: usize| took[(took.len() - 1) * part / 100];
    println!(
        "publish to POST at 20 changes/s, {} of {CHANGES}: p50 {:?}, p99 {:?}, max {:?}",
        took.len(),
        at(50),
        at(99),
        at(100)
    );
    let status = std::fs::read_to_string(format!("/proc/{}/status", bridge.id())).unwrap();
    let memory = status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    println!("memory with {PEOPLE} people: {}", memory.collect::<Vec<_>>().join(", "));
    bridge.kill().unwrap();
    bridge.wait().unwrap();
}

#[test]
#[ignore = "says something only in release"]
fn reading_a_hundred_thousand_people() {
    let csv = crate::people::hundred_thousand();
    for _ in 0..5 {
        let started = Instant::now();
        let config = crate::people::load(crate::people::FILE, &csv).unwrap();
        println!("{} people of a file, with two devices each: {:?}", config.plan.people.len(), started.elapsed());
    }
}

fn publisher(port: u16) -> mqtt::Config {
    let address = mqtt::Address::Tcp { host: "127.0.0.1".into(), port };
    mqtt::Config { session: Session::Clean, ..mqtt::Config::new(address, "desks") }
}

fn configuration(port: u16, graph: &str) -> String {
    let mut text = format!(
        r#"
[graph]
tenant_id = "aaaaaaaa-0000-4000-8000-000000000001"
client_id = "bbbbbbbb-0000-4000-8000-000000000002"
client_secret_file = "secret"
login_url = "{graph}"
graph_url = "{graph}"
[mqtt]
url = "mqtt://127.0.0.1:{port}"
[admin]
listen = "off"
socket = "off"
[signals]
call = "Busy/InACall"
[[rule]]
topic = "pbx/{{who}}"
subject = "{{who}}"
signal = "call"
on = ["INUSE"]
off = ["NOT_INUSE"]
[users]
"#
    );
    for n in 0..PEOPLE {
        writeln!(text, "p{n} = \"11111111-1111-4111-8111-{n:012x}\"").unwrap();
    }
    text
}
