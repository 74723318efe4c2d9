//! What a running bridge says when it is asked: probes, metrics, `status`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use presence_bridge::admin::{self, Address, Answer, Config, ask};
use presence_bridge::bridge::metrics::COUNTERS;
use presence_bridge::clock::Clock;
use presence_bridge::presence::OnStop;
use presence_bridge::telemetry::Telemetry;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::fake_graph::FakeGraph;
use crate::support::live::Live;
use crate::support::{ALICE, BOB, until};

fn more(admin: &str) -> String {
    format!(
        "[admin]\n{admin}\n[users]\nalice = \"{ALICE}\"\nbob = \"{BOB}\"\n[devices]\n\"1001\" = \"alice\"\n\"1002\" = \"bob\"\n"
    )
}

const SOCKET: &str = "listen = \"off\"\nsocket = \"admin.sock\"";

async fn get(live: &Live, path: &str) -> (u16, String) {
    ask(&Address::Unix(live.socket()), path).await.unwrap()
}

async fn json(live: &Live, path: &str) -> Value {
    serde_json::from_str(&get(live, path).await.1).unwrap()
}

/// The value of a line of `/metrics`.
async fn metric(live: &Live, line: &str) -> Option<f64> {
    let (_, page) = get(live, "/metrics").await;
    let found = page.lines().find_map(|found| found.strip_prefix("presence_bridge_")?.strip_prefix(line));
    found.and_then(|value| value.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_tells_broker_token_gate_budget_and_people_by_state() {
    let graph = FakeGraph::start().await;
    let live = Live::start(&graph.url, &more(SOCKET), &[]).await;
    live.publish("pbx/1001", "INUSE").await;
    until("alice is set", || graph.calls("setPresence") == 1).await;
    let mut status = json(&live, "/status").await;
    for _ in 0..100 {
        if status["people"]["differing"] == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        status = json(&live, "/status").await;
    }
    assert_eq!(status["sources"][0]["state"], "up", "{status:#}");
    assert_eq!(status["token"]["state"], "good");
    assert_eq!(status["token"]["roles"][0], "Presence.ReadWrite.All");
    assert_eq!(status["gate"]["open"], true);
    assert_eq!(status["budget"]["calls_in_30_s"], 1);
    let people = &status["people"];
    assert_eq!((&people["listed"], &people["taken"], &people["unknown"]), (&2.into(), &1.into(), &1.into()));
    assert_eq!((&people["wanted"]["Busy/InACall"], &people["wanted"]["none"]), (&1.into(), &1.into()));
    assert_eq!(people["differing"], 0);
    assert_eq!(status["alarms"], serde_json::json!([]));
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_of_a_person_says_why() {
    let graph = FakeGraph::start().await;
    let live = Live::start(&graph.url, &more(SOCKET), &[]).await;
    live.publish("pbx/1001", "INUSE").await;
    until("alice is set", || live.topic("people/alice").is_some_and(|text| text.contains(r#""held":"Busy"#))).await;
    let alice = json(&live, "/status/ALICE").await;
    let why = alice["why"].as_str().unwrap();
    assert!(why.starts_with("Busy/InACall because call@1001 has been on since 2"), "{why}");
    assert!(why.contains("if nothing more is heard"), "{why}");
    assert_eq!(alice["held"], "Busy/InACall");
    assert_eq!((&alice["shares"][0]["signal"], &alice["shares"][0]["level"]), (&"call".into(), &"on".into()));
    let bob = json(&live, "/status/bob").await;
    assert!(bob["why"].as_str().unwrap().contains("no device has said anything"), "{bob}");
    // Graph does not know Bob.
    let gone = serde_json::json!({ "error": { "code": "NotFound", "message": "" } });
    graph.state().next.push((404, gone));
    live.publish("pbx/1002", "INUSE").await;
    until("an alarm about bob", || live.status().contains("no_such_user")).await;
    let bob = json(&live, "/status/bob").await;
    assert!(bob["why"].as_str().unwrap().contains("Graph does not know the object id"), "{bob}");
    assert!(bob["alarms"][0]["remedy"].as_str().unwrap().contains("check the object id"), "{bob}");
    let (code, nobody) = get(&live, "/status/mallory").await;
    assert!(code == 404 && nobody.contains("nobody is listed as mallory"), "{nobody}");
    live.stop(OnStop::Leave).await;
}

/// The real program asks.
fn status(arguments: &[&str], config: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_presence-bridge"));
    let output = command.args(["status", "-c"]).arg(config).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_asks_through_the_socket_and_says_where_it_asked_in_vain() {
    let graph = FakeGraph::start().await;
    let live = Live::start(&graph.url, &more(SOCKET), &[]).await;
    live.publish("pbx/1001", "INUSE").await;
    until("alice is set", || live.topic("people/alice").is_some_and(|text| text.contains(r#""held":"Busy"#))).await;
    let config = live.config();
    let asked = tokio::task::spawn_blocking(move || {
        [&[][..], &["alice"], &["mallory"], &["--json"]].map(|arguments| status(arguments, &config))
    });
    let [overview, alice, mallory, json] = asked.await.unwrap();
    for part in ["127.0.0.1:", "connected since", "roles: Presence.ReadWrite.All", "open", "2 listed: 1 taken", "none"]
    {
        assert!(overview.1.contains(part), "{part} is missing in\n{}", overview.1);
    }
    assert_eq!((overview.0, alice.0, mallory.0, json.0), (Some(0), Some(0), Some(1), Some(0)));
    assert!(alice.1.contains("alice: Busy/InACall because call@1001"), "{}", alice.1);
    assert!(alice.1.contains("share    call@1001"), "{}", alice.1);
    assert!(mallory.1.contains("nobody is listed as mallory"), "{}", mallory.1);
    let json: Value = serde_json::from_str(&json.1).unwrap();
    assert_eq!(json["sources"][0]["state"], "up");
    for secret in ["sandbox-secret", "eyJ"] {
        assert!(!json.to_string().contains(secret));
    }
    // A configuration that is wrong by now is a good reason to ask.
    let broken = std::fs::read_to_string(live.config()).unwrap() + "\n[broken";
    live.replace("bridge.toml", &broken);
    live.hangups.send(()).await.unwrap();
    until("refused", || live.status().contains("configuration_refused")).await;
    let config = live.config();
    let (code, text) = tokio::task::spawn_blocking(move || status(&[], &config)).await.unwrap();
    assert_eq!(code, Some(0));
    assert!(text.contains("configuration_refused: the configuration on disk is not taken up"), "{text}");
    let (config, socket) = (live.config(), live.socket());
    let gone = tempfile::tempdir().unwrap();
    let copy = gone.path().join("bridge.toml");
    std::fs::copy(&config, &copy).unwrap();
    live.stop(OnStop::Leave).await;
    assert!(!socket.exists(), "the socket goes with the bridge");
    let (code, text) = tokio::task::spawn_blocking(move || status(&[], &copy)).await.unwrap();
    assert_eq!(code, Some(1));
    assert!(text.contains("no bridge answers") && text.contains("admin.sock") && text.contains("sudo"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_38_ready_means_that_people_can_be_set() {
    let graph = FakeGraph::start().await;
    graph.state().refuses = Some(7_000_222);
    let live = Live::start(&graph.url, &more(SOCKET), &[]).await;
    until("an alarm", || live.status().contains("no_token")).await;
    let (code, text) = get(&live, "/ready").await;
    assert_eq!(code, 503);
    assert!(text.contains("token:") && text.contains("7000222") && text.contains("secret"), "{text}");
    assert_eq!(get(&live, "/live").await, (200, "live\n".to_owned()));
    assert_eq!(metric(&live, "token_good").await, Some(0.0));
    live.stop(OnStop::Leave).await;
    let graph = FakeGraph::start().await;
    let live = Live::start(&graph.url, &more(SOCKET), &[]).await;
    let mut ready = get(&live, "/ready").await;
    for _ in 0..100 {
        if ready.0 == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        ready = get(&live, "/ready").await;
    }
    assert_eq!(ready, (200, "ready\n".to_owned()));
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_everything_and_name_nobody() {
    let graph = FakeGraph::start().await;
    let live = Live::start(&graph.url, &more(SOCKET), &[]).await;
    live.publish("pbx/1001", "INUSE").await;
    live.publish("pbx/9999", "INUSE").await;
    live.publish("pbx/1001", "nonsense").await;
    until("alice is set", || graph.calls("setPresence") == 1).await;
    live.replace("bridge.toml", "nonsense");
    live.hangups.send(()).await.unwrap();
    until("refused", || live.status().contains("configuration_refused")).await;
    for (line, value) in [
        ("broker_connected{source=\"mqtt\"}", 1.0),
        ("gate_open", 1.0),
        ("calls_in_30_seconds", 1.0),
        ("people{state=\"listed\"}", 2.0),
        ("people_wanted{presence=\"Busy/InACall\"}", 1.0),
        ("message_total{reason=\"changed\"}", 1.0),
        ("message_total{reason=\"unknown_subject\"}", 1.0),
        ("message_total{reason=\"other_value\"}", 1.0),
        ("message_total{reason=\"too_deep\"}", 0.0),
        ("reload_total{reason=\"refused\"}", 1.0),
        ("alarm_total{reason=\"configuration_refused\"}", 1.0),
        ("alarms{alarm=\"configuration_refused\"}", 1.0),
    ] {
        assert_eq!(metric(&live, line).await, Some(value), "{line}");
    }
    let (_, page) = get(&live, "/metrics").await;
    for name in ["alice", "bob", "1001", "9999", "pbx", ALICE, BOB] {
        assert!(!page.contains(name), "{name} in\n{page}");
    }
    well_formed(&page);
    live.stop(OnStop::Leave).await;
}

/// Each sample has its head before it, once, and no series comes twice.
fn well_formed(page: &str) {
    let (mut heads, mut series) = (BTreeSet::new(), BTreeSet::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(heads.insert(rest.split(' ').next().unwrap()), "two heads: {line}");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(heads.contains(name.split('{').next().unwrap()), "no head: {line}");
            assert!(series.insert(name), "twice: {line}");
        }
    }
}

/// What `/metrics` does not know would be counted and never seen.
#[test]
fn every_counter_of_the_source_is_in_the_metrics() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut dirs = vec![root];
    let mut found = 0;
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let named = "const NAME: &'static str = \"";
            let events = text.match_indices(named).map(|(at, _)| &text[at + named.len()..]);
            for name in events.map(|rest| rest.split('"').next().unwrap()) {
                assert!(COUNTERS.iter().any(|(known, ..)| *known == name), "{name} of {} is unknown", path.display());
                found += 1;
            }
        }
    }
    assert!(found > 10, "found {found}");
}

/// A server with a loop that answers everything with the question.
fn server(config: &Config) -> Option<Address> {
    let mut questions = admin::start(config, &Telemetry::new(Clock::live()));
    let address = questions.listens().map(Address::Tcp);
    tokio::spawn(async move {
        while let Some(asked) = questions.next().await {
            let body = format!("{:?}", asked.question);
            asked.answer(Answer::text(200, body));
        }
    });
    address
}

fn port(address: &Address) -> std::net::SocketAddr {
    match address {
        Address::Tcp(address) => *address,
        Address::Unix(_) => panic!("a TCP port"),
    }
}

async fn raw(address: &Address, request: &str) -> String {
    let mut stream = TcpStream::connect(port(address)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn loopback() -> Option<std::net::SocketAddr> {
    Some("127.0.0.1:0".parse().unwrap())
}

#[tokio::test]
async fn the_port_answers_probes_and_names_nobody_while_there_is_a_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sockets/a b.sock");
    let address = server(&Config { listen: loopback(), sockets: vec![path.clone()] }).unwrap();
    for (path, code, part) in [
        ("/live", 200, "Live"),
        ("/ready", 200, "Ready"),
        ("/metrics", 200, "Metrics"),
        ("/status", 403, "presence-bridge status"),
        ("/status/alice", 403, "presence-bridge status"),
        ("/", 404, "/live, /ready, /metrics"),
        ("/../etc/passwd", 404, "nothing here"),
    ] {
        let (found, text) = ask(&address, path).await.unwrap();
        assert_eq!((found, text.contains(part)), (code, true), "{path}: {text}");
    }
    assert!(raw(&address, "POST /live HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 405"));
    assert_eq!(ask(&Address::Unix(path.clone()), "/status").await.unwrap().1, "Status");
    let (_, person) = ask(&Address::Unix(path.clone()), "/status/Jürgen K").await.unwrap();
    assert_eq!(person, "Person(\"Jürgen K\")");
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[tokio::test]
async fn without_a_socket_the_status_is_on_loopback_and_no_web_page_gets_at_it() {
    let address = server(&Config { listen: loopback(), sockets: Vec::new() }).unwrap();
    assert_eq!(ask(&address, "/status").await.unwrap().1, "Status");
    for (host, code) in [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:1", 200),
        ("[::1]", 200),
        ("evil.example", 403),
        ("10.0.0.1:1", 403),
    ] {
        let answer = raw(&address, &format!("GET /status HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{host}: {answer}");
    }
    // Where others can ask, nobody is named at all.
    let everywhere = Config { listen: Some("0.0.0.0:0".parse().unwrap()), sockets: Vec::new() };
    let address = server(&everywhere).unwrap();
    let here = Address::Tcp(([127, 0, 0, 1], port(&address).port()).into());
    assert_eq!(ask(&here, "/status").await.unwrap().0, 403);
    assert_eq!(ask(&here, "/live").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_loop_that_does_not_answer_is_not_live() {
    let questions = admin::start(&Config { listen: loopback(), sockets: Vec::new() }, &Telemetry::new(Clock::live()));
    let address = Address::Tcp(questions.listens().unwrap());
    let (code, text) = ask(&address, "/live").await.unwrap();
    assert_eq!((code, text.contains("does not answer")), (503, true), "{text}");
    drop(questions);
    assert!(ask(&address, "/live").await.is_err(), "the port is closed");
}

#[tokio::test]
async fn slow_clients_are_shown_out_and_keep_nobody_waiting_for_ever() {
    let address = server(&Config { listen: loopback(), sockets: Vec::new() }).unwrap();
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(port(&address)).await.unwrap();
        stream.write_all(b"GET /live HTTP/1.1\r\nHost: ").await.unwrap();
        slow.push(stream);
    }
    let served = async {
        while !ask(&address, "/live").await.is_ok_and(|(code, _)| code == 200) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(9), served).await.expect("room within nine seconds");
    let huge = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let mut stream = TcpStream::connect(port(&address)).await.unwrap();
    drop(stream.write_all(huge.as_bytes()).await);
    let mut text = Vec::new();
    drop(stream.read_to_end(&mut text).await);
    assert!(!String::from_utf8_lossy(&text).starts_with("HTTP/1.1 2"), "a head has a limit");
}

#[tokio::test]
async fn a_place_that_is_taken_is_told_and_a_socket_left_behind_is_cleared_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sock");
    let config = Config { listen: None, sockets: vec![path.clone()] };
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // as after a death
    let telemetry = Telemetry::new(Clock::live());
    let first = admin::start(&config, &telemetry);
    assert_eq!(telemetry.total("admin", "not_listening"), 0);
    let _second = admin::start(&config, &telemetry);
    assert_eq!(telemetry.total("admin", "not_listening"), 1, "another bridge answers there");
    drop(first);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = Config { listen: listener.local_addr().ok(), sockets: Vec::new() };
    assert_eq!(admin::start(&taken, &telemetry).listens(), None);
    assert_eq!(telemetry.total("admin", "not_listening"), 2);
    std::fs::write(dir.path().join("file"), "precious").unwrap();
    let file = Config { listen: None, sockets: vec![dir.path().join("file")] };
    let _deaf = admin::start(&file, &telemetry);
    assert_eq!(std::fs::read_to_string(dir.path().join("file")).unwrap(), "precious");
}
