//! The sandbox over sockets: what the pure model cannot show.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use presence_bridge::clock::Clock;
use presence_bridge::graph::{Graph, Sent};
use presence_bridge::presence::Outcome;
use presence_bridge::sandbox::tenant::{Fault, Match, Settings, What};
use presence_bridge::sandbox::{Listen, Options, Sandbox};
use presence_bridge::telemetry::Telemetry;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::graph::{SET, call, config, start, tenant};
use crate::support::{ALICE, sandbox, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_presence-bridge");

async fn connect(sandbox: &Sandbox) -> TcpStream {
    let url = sandbox.graph_url();
    TcpStream::connect(url.split_once("://").unwrap().1).await.unwrap()
}

#[tokio::test]
async fn a_silent_tls_client_keeps_nobody_waiting_and_is_shown_out() {
    let sandbox = sandbox(true).await;
    let mut silent = connect(&sandbox).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), sandbox.ca_pem().unwrap()).unwrap();
    let mut config = config(&sandbox);
    config.ca_file = Some(file.path().to_owned());
    let (graph, _) = start(config);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    let end = tokio::time::timeout(Duration::from_secs(8), silent.read(&mut [0; 1])).await;
    assert_eq!(end.expect("the handshake has a limit").unwrap_or(0), 0);
}

/// Waits until so many seconds have passed on a fast clock.
async fn passes(clock: &Clock, seconds: u64) {
    let end = clock.now().mono + Duration::from_secs(seconds);
    until("the tenant's clock", || clock.now().mono > end).await;
}

#[tokio::test]
async fn on_a_fast_clock_tokens_last_as_long_as_they_say() {
    // A token of twelve seconds is refreshed after six; on the tenant's clock it would be over after 0.12 s.
    let clock = Clock::faster(100);
    let settings = Settings { token_ttl: 12, ..Settings::for_users([ALICE.to_owned()]) };
    let sandbox = Sandbox::start(Options { clock: clock.clone(), settings, tls: false }).await.unwrap();
    let graph = Graph::start(config(&sandbox), clock.clone(), Telemetry::new(clock.clone())).unwrap();
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    passes(&clock, 15).await;
    let Sent { outcome, .. } = graph.send(call(SET)).await;
    assert_eq!(outcome, Outcome::Accepted);
    assert_eq!(tenant(&sandbox).log().iter().filter(|entry| entry.what == "token").count(), 1);
}

#[tokio::test]
async fn one_date_goes_out_and_it_is_the_tenants() {
    let clock = Clock::faster(100_000);
    let settings = Settings::for_users([ALICE.to_owned()]);
    let sandbox = Sandbox::start(Options { clock: clock.clone(), settings, tls: false }).await.unwrap();
    passes(&clock, 3_700).await;
    let mut stream = connect(&sandbox).await;
    let real = Clock::live().now().wall.as_millis();
    stream.write_all(b"GET /v1.0/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let dates: Vec<&str> = answer.lines().filter_map(|line| line.split_once(": ")).filter_map(date).collect();
    let [date] = dates[..] else { panic!("one date: {answer}") };
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date.replace("GMT", "+0000")).unwrap();
    assert!(date.as_millisecond() > real + 3_600_000, "{answer}");
}

fn date<'a>((name, value): (&'a str, &'a str)) -> Option<&'a str> {
    name.eq_ignore_ascii_case("date").then_some(value)
}

/// The sandbox without TLS, and its address.
async fn plain(settings: Settings) -> (Sandbox, String) {
    let sandbox = Sandbox::start(Options { clock: Clock::live(), settings, tls: false }).await.unwrap();
    let url = sandbox.graph_url();
    (sandbox, url)
}

/// A client that trusts this CA and no other, and speaks this over TLS.
pub fn client(ca_pem: Option<&str>, alpn: &[&str]) -> reqwest::Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    if let Some(pem) = ca_pem {
        roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    }
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}

async fn fetch(url: &str) -> reqwest::Response {
    client(None, &[]).get(url).send().await.unwrap()
}

async fn post(url: &str, body: &serde_json::Value) -> (u16, serde_json::Value) {
    let answer = client(None, &[]).post(url).body(body.to_string()).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

async fn get(url: &str) -> (u16, serde_json::Value) {
    let answer = fetch(url).await;
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn a_manual_clock_stands_still_and_goes_as_far_as_it_is_put() {
    let (sandbox, url) = plain(Settings::for_users([ALICE.to_owned()])).await;
    let (status, stopped) = post(&format!("{url}/_sim/clock"), &json!({ "mode": "manual" })).await;
    assert_eq!((status, &stopped["mode"]), (200, &json!("manual")));
    let (_, still) = get(&format!("{url}/_sim/clock")).await;
    assert_eq!(still, stopped, "it stands still");
    let (graph, _) = start(config(&sandbox));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    assert_eq!(sandbox.seen(ALICE), "Busy/InACall");
    let (_, later) = post(&format!("{url}/_sim/clock"), &json!({ "advance": "PT4M59S" })).await;
    assert_eq!(later["now_ms"].as_u64().unwrap() - still["now_ms"].as_u64().unwrap(), 299_000);
    assert_eq!(sandbox.seen(ALICE), "Busy/InACall");
    post(&format!("{url}/_sim/clock"), &json!({ "advance": "1s" })).await;
    assert_eq!(sandbox.seen(ALICE), "Offline/Offline");
    // The lifetimes of tokens are put forward, too.
    post(&format!("{url}/_sim/clock"), &json!({ "advance": "PT1H" })).await;
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Unauthorised);
    let (_, running) = post(&format!("{url}/_sim/clock"), &json!({ "mode": "running" })).await;
    let from = running["now_ms"].as_u64().unwrap();
    until("it runs on from there", || (from + 1..from + 9_000).contains(&sandbox.at().virtual_ms)).await;
    for wrong in
        [json!({ "advance": "-PT5M" }), json!({ "advance": 5 }), json!({ "mode": "fast" }), json!({ "at": "noon" })]
    {
        assert_eq!(post(&format!("{url}/_sim/clock"), &wrong).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn the_same_seed_on_a_manual_clock_leaves_the_same_log() {
    async fn run(seed: u64) -> serde_json::Value {
        let settings = Settings { seed, ..Settings::for_users([ALICE.to_owned()]) };
        let (_sandbox, url) = plain(settings).await;
        let sim = |path: &str| format!("{url}/_sim/{path}");
        post(&sim("clock"), &json!({ "mode": "manual", "at": "2026-01-05T09:00:00Z" })).await;
        post(&sim("config"), &json!({ "limit": 3, "switches": { "chaos": true } })).await;
        post(&sim("faults"), &json!({ "on": "read", "what": "forbidden", "probability": 0.5, "times": 100 })).await;
        let client = client(None, &[]);
        let form = "grant_type=client_credentials&scope=https://graph.microsoft.com/.default&client_secret=sandbox-secret\
                    &client_id=bbbbbbbb-0000-4000-8000-000000000002";
        let token = client
            .post(format!("{url}/aaaaaaaa-0000-4000-8000-000000000001/oauth2/v2.0/token"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form);
        let token: serde_json::Value =
            serde_json::from_str(&token.send().await.unwrap().text().await.unwrap()).unwrap();
        for _ in 0..20 {
            let read = client.get(format!("{url}/v1.0/users/{ALICE}/presence"));
            read.bearer_auth(token["access_token"].as_str().unwrap()).send().await.unwrap();
            post(&sim("clock"), &json!({ "advance": "PT11S" })).await;
        }
        let (_, log) = get(&sim("log")).await;
        log["entries"].clone()
    }
    let (one, two, other) = tokio::join!(run(7), run(7), run(8));
    assert_eq!(one, two);
    assert_eq!((one.as_array().unwrap().len(), &one[1]["at"]), (21, &json!("2026-01-05T09:00:00")));
    let statuses = |log: &serde_json::Value| -> Vec<u64> {
        log.as_array().unwrap().iter().map(|entry| entry["status"].as_u64().unwrap()).collect()
    };
    assert_ne!(statuses(&one), statuses(&other));
}

#[tokio::test]
async fn the_tenant_is_steered_and_seen_from_outside() {
    let (sandbox, url) = plain(Settings::for_users([ALICE.to_owned()])).await;
    let (graph, _) = start(config(&sandbox));
    let order = json!({ "on": "set", "what": "throttle", "retry_after": "2" });
    assert_eq!(post(&format!("{url}/_sim/faults"), &order).await.0, 200);
    let two = Outcome::Throttled { retry_after: Some(Duration::from_secs(2)) };
    assert_eq!(graph.send(call(SET)).await.outcome, two);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    let (_, seen) = get(&format!("{url}/_sim/users/{ALICE}")).await;
    assert_eq!(seen, json!({ "availability": "Busy", "activity": "InACall" }));
    let (_, log) = get(&format!("{url}/_sim/log")).await;
    let what: Vec<&str> =
        log["entries"].as_array().unwrap().iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["token", "setPresence", "setPresence"], "without what was said to /_sim");
    assert_eq!(get(&format!("{url}/_sim/nonsense")).await.0, 404);
}

#[tokio::test]
async fn strangers_may_not_steer() {
    // An address of this machine that is not loopback, without sending anything anywhere.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr());
    let Some(own) = own.ok().filter(|own| !own.ip().is_loopback()) else {
        return crate::support::skipped("sandbox strangers", "this machine has no address but loopback");
    };
    let listen = Listen { http: Some(([0, 0, 0, 0], 0).into()), ..Listen::default() };
    let settings = Settings::for_users([ALICE.to_owned()]);
    let sandbox = Sandbox::listen(Clock::live(), settings, listen).await.unwrap();
    let (port, ip) = (sandbox.http().unwrap().port(), own.ip());
    let client = client(None, &[]);
    for (host, path, status) in [
        (ip.to_string(), "/_sim/state", 403),
        (ip.to_string(), "/v1.0/x", 400),
        ("127.0.0.1".to_owned(), "/_sim/state", 200),
    ] {
        let answer = client.get(format!("http://{host}:{port}{path}")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{host}{path}");
    }
}

#[tokio::test]
async fn answers_halt_break_off_and_end_early_as_told() {
    let (sandbox, url) = plain(Settings::for_users([ALICE.to_owned()])).await;
    let path = format!("{url}/{}/v2.0/.well-known/openid-configuration", "aaaaaaaa-0000-4000-8000-000000000001");
    let whole = fetch(&path).await.text().await.unwrap();
    let fault = |what| tenant(&sandbox).fault(Fault { on: Match::Any, times: 1, what });
    fault(What::DelayBody(Duration::from_millis(300)));
    let before = Clock::live().real();
    let answer = fetch(&path).await;
    assert_eq!(answer.text().await.unwrap(), whole);
    assert!(Clock::live().real().since(before) >= Duration::from_millis(290), "half of it came late");
    fault(What::Cut);
    let answer = fetch(&path).await;
    assert!(answer.status() == 200 && answer.text().await.is_err());
    fault(What::Truncated);
    let half = fetch(&path).await.text().await.unwrap();
    assert!(half.len() < whole.len() && whole.starts_with(&half));
    fault(What::ResetBefore);
    let reset = client(None, &[]).get(&path).send().await;
    let whole = match reset {
        Ok(answer) => answer.headers().contains_key("request-id") || answer.text().await.is_ok(),
        Err(_) => false,
    };
    assert!(!whole, "nothing of Graph's arrives");
}

#[tokio::test]
async fn over_tls_it_speaks_http_2_and_1_and_knows_its_names() {
    let sandbox = sandbox(true).await;
    let port = sandbox.https().unwrap().port();
    let versions =
        [(&["h2", "http/1.1"][..], reqwest::Version::HTTP_2), (&["http/1.1"][..], reqwest::Version::HTTP_11)];
    for (alpn, version) in versions {
        let client = client(sandbox.ca_pem(), alpn);
        for host in ["localhost", "127.0.0.1"] {
            let origin = format!("https://{host}:{port}");
            let path = format!("{origin}/aaaaaaaa-0000-4000-8000-000000000001/v2.0/.well-known/openid-configuration");
            let answer = client.get(path).send().await.unwrap();
            assert_eq!(answer.version(), version);
            let text = answer.text().await.unwrap();
            assert!(text.contains(&format!("\"token_endpoint\":\"{origin}/")), "{text}");
        }
    }
}

/// Ends with the test.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test]
async fn certificates_say_what_strict_clients_ask_for() {
    use rustls::pki_types::pem::PemObject;
    let listen = Listen {
        https: Some(([127, 0, 0, 1], 0).into()),
        names: vec!["sandbox.example".to_owned()],
        ..Listen::default()
    };
    let settings = Settings::for_users([ALICE.to_owned()]);
    let sandbox = Sandbox::listen(Clock::live(), settings, listen).await.unwrap();
    let ca = rustls::pki_types::CertificateDer::from_pem_slice(sandbox.ca_pem().unwrap().as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector =
        tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls.with_root_certificates(roots).with_no_client_auth()));
    for name in ["localhost", "127.0.0.1", "::1", "sandbox.example"] {
        let name = name.to_owned().try_into().unwrap();
        let stream = TcpStream::connect(sandbox.https().unwrap()).await.unwrap();
        let stream = connector.connect(name, stream).await.expect("it goes by this name");
        let leaf = &stream.get_ref().1.peer_certificates().unwrap()[0];
        assert!(holds(leaf, b"\x06\x03\x55\x1d\x23"), "authorityKeyIdentifier");
    }
    // Both critical; keyCertSign and cRLSign.
    assert!(holds(&ca, b"\x06\x03\x55\x1d\x13\x01\x01\xff"), "basicConstraints");
    assert!(holds(&ca, b"\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x01\x06"), "keyUsage");
}

fn holds(der: &[u8], part: &[u8]) -> bool {
    der.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)] // reading what it says blocks
async fn the_command_serves_alone_and_says_how_to_reach_it() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, users) = (dir.path().join("ca.pem"), dir.path().join("users.csv"));
    std::fs::write(&users, format!("# people\n{ALICE},alice@example.com,Alice\n")).unwrap();
    let child = Command::new(PROGRAM)
        .args(["sandbox", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--seed", "7", "--throttle", "2026"])
        .arg("--ca-file")
        .arg(&ca)
        .arg("--users")
        .arg(&users)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Child(child);
    let mut said = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut intro: Vec<String> = Vec::new();
    while !intro.last().is_some_and(|line| line.contains("/_sim/state")) {
        intro.push(said.next().expect("an introduction"));
    }
    let intro = intro.join("\n");
    for part in ["1 people, 10000 calls", "seed 7", "alice@example.com", "NODE_EXTRA_CA_CERTS", "IDENTITY_ENDPOINT"] {
        assert!(intro.contains(part), "{part} is missing in:\n{intro}");
    }
    let after = |mark: &str| -> String {
        let (_, rest) = intro.split_once(mark).unwrap();
        mark.to_owned() + &rest.chars().take_while(char::is_ascii_digit).collect::<String>()
    };
    let url = after("https://localhost:");
    let config = presence_bridge::graph::Config {
        login_url: url.clone(),
        graph_url: url,
        ca_file: Some(ca),
        ..config(&sandbox(false).await)
    };
    let (graph, _) = start(config);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    let (_, seen) = get(&format!("{}/_sim/users/{ALICE}", after("http://127.0.0.1:"))).await;
    assert_eq!(seen["activity"], "InACall");
    let pid = child.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(child.0.wait().unwrap().success(), "it ends in peace");
}

#[test]
fn the_command_names_every_wrong_line_and_shows_its_table() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "alice\nbob\n").unwrap();
    let output = Command::new(PROGRAM).args(["sandbox", "--users"]).arg(file.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains(":1:") && said.contains(":2:"), "{said}");
    let output = Command::new(PROGRAM).args(["sandbox", "--assumptions"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("FADE_MS = 300000") && said.matches("\nassumed ").count() > 20, "{said}");
}

#[test]
fn a_reader_who_leaves_early_is_no_reason_to_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(PROGRAM).args(["sandbox", "--assumptions"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn a_faster_clock_is_for_this_machine_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bridge.toml");
    std::fs::write(dir.path().join("secret"), "unused").unwrap();
    let configuration = format!(
        "[graph]\ntenant_id = \"{ALICE}\"\nclient_id = \"{ALICE}\"\nclient_secret_file = \"secret\"\n\
         [mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n[users]\nalice = \"{ALICE}\"\n[signals]\ncall = \"Busy/InACall\"\n"
    );
    std::fs::write(&path, configuration).unwrap();
    let output = Command::new(PROGRAM).args(["run", "--clock", "60", "-c"]).arg(&path).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("login.microsoftonline.com is elsewhere"), "{said}");
}
