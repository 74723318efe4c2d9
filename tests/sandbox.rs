//! The sandbox over sockets: what the pure model cannot show.

use std::time::Duration;

use presence_bridge::clock::Clock;
use presence_bridge::graph::{Graph, Sent};
use presence_bridge::presence::Outcome;
use presence_bridge::sandbox::tenant::Settings;
use presence_bridge::sandbox::{Options, Sandbox};
use presence_bridge::telemetry::Telemetry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::graph::{SET, call, config, start, tenant};
use crate::support::{ALICE, sandbox, until};

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
