//! The way there: HTTP/2 and its faults, HTTP/1.1, proxies, how many connections a burst takes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::serve::Listener;
use presence_bridge::clock::Clock;
use presence_bridge::graph::{Config, Graph, Proxy};
use presence_bridge::presence::Outcome;
use presence_bridge::secret::SecretSource;
use presence_bridge::telemetry::Telemetry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{SET, at, call, start, token_answer};
use crate::support::h2::{Play, Server};
use crate::support::mosquitto::free_port;
use crate::support::{ALICE, server};

const FAST: Duration = Duration::ZERO;
/// Calls at a time before anything is known of the server: as many connections may be opened at once.
const COLD: usize = 8;

fn config(server: &Server) -> Config {
    Config { ca_file: Some(server.ca.path().to_owned()), ..at(&server.url()) }
}

/// With time for a busy machine: here counts how the calls travel, not how fast.
fn patient(config: Config) -> Graph {
    Graph::start_with(config, Clock::live(), Telemetry::new(Clock::live()), Duration::from_secs(60)).unwrap()
}

/// All at once; how many were accepted.
async fn burst(graph: &Graph, calls: usize) -> usize {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..calls {
        let graph = graph.clone();
        running.spawn(async move { graph.send(call(SET)).await.outcome });
    }
    running.join_all().await.into_iter().filter(|outcome| *outcome == Outcome::Accepted).count()
}

#[tokio::test]
async fn http2_carries_a_thousand_calls_over_few_connections() {
    let server = Server::start(100, Duration::from_millis(20)).await;
    let graph = patient(config(&server));
    assert_eq!(burst(&graph, 1_000).await, 1_000);
    assert_eq!(server.calls(), 1_000);
    assert!(server.connections() <= COLD + 1, "{} connections, one of them for the token", server.connections());
    let (before, after) = (server.connections(), burst(&graph, 100).await);
    assert_eq!((after, server.connections()), (100, before), "later bursts share what is there");
}

/// Counts what it accepts.
struct Counting(TcpListener, Arc<AtomicUsize>);

impl Listener for Counting {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let accepted = Listener::accept(&mut self.0).await;
        self.1.fetch_add(1, Ordering::SeqCst);
        accepted
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        TcpListener::local_addr(&self.0)
    }
}

#[tokio::test]
async fn http1_carries_a_thousand_calls_over_bounded_connections() {
    let connections = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(|uri: axum::http::Uri| async move {
        if uri.path().ends_with("/token") {
            return token_answer("token");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        [("request-id", "1")].into_response()
    });
    let counting = Counting(listener, Arc::clone(&connections));
    tokio::spawn(async move { axum::serve(counting, router).await });
    let graph = patient(at(&url));
    assert_eq!(burst(&graph, 1_000).await, 1_000);
    let opened = connections.load(Ordering::SeqCst);
    // 64 calls at a time, one connection for the token, and some that were opened while another became free.
    assert!((2..=90).contains(&opened), "{opened} connections");
}

#[tokio::test]
async fn fault_51_goaway_and_refused_streams_leave_it_open_and_the_next_call_goes_through() {
    let server = Server::start(100, FAST).await;
    let (graph, _) = start(config(&server));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    for play in [Play::GoAway, Play::Refuse] {
        server.play(play);
        let sent = graph.send(call(SET)).await;
        assert_eq!(sent.outcome, Outcome::Ambiguous, "{play:?}");
        assert!(!sent.failure.unwrap().error.contains(ALICE), "{play:?}");
        assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted, "{play:?}");
    }
    assert_eq!(server.calls(), 5, "nothing was tried again behind the core's back");
}

#[tokio::test]
async fn fault_51_one_stream_at_a_time_is_obeyed() {
    let server = Server::start(1, Duration::from_millis(5)).await;
    let graph = patient(config(&server));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    let before = server.connections();
    assert_eq!(burst(&graph, 30).await, 30);
    assert!(server.connections() <= before + COLD, "{} connections", server.connections());
}

#[tokio::test]
async fn fault_51_a_silent_connection_costs_one_call() {
    let server = Server::start(100, FAST).await;
    let (graph, _) = start(config(&server));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    server.play(Play::Silence);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Ambiguous);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted, "over a new connection");
}

#[tokio::test]
async fn a_503_takes_the_next_call_to_a_new_connection() {
    let server = Server::start(100, FAST).await;
    let (graph, _) = start(config(&server));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    for (status, opened) in [(500, 0), (504, 0), (503, 1)] {
        let before = server.connections();
        server.play(Play::Status(status));
        assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Ambiguous);
        assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
        assert_eq!(server.connections() - before, opened, "after {status}");
    }
}

#[tokio::test]
async fn each_call_has_a_name_of_its_own() {
    let server = Server::start(100, FAST).await;
    let (graph, _) = start(config(&server));
    let mut names = std::collections::HashSet::new();
    for _ in 0..3 {
        assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
        let headers = server.headers();
        assert_eq!(headers["content-type"], "application/json");
        assert!(headers["user-agent"].to_str().unwrap().starts_with("presence-bridge/"));
        names.insert(headers["client-request-id"].to_str().unwrap().to_owned());
    }
    assert_eq!(names.len(), 3);
}

/// A proxy that opens tunnels to the ports of this machine for whoever has the password, and keeps what it was asked.
async fn tunnels(password: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    use base64::Engine;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let login = base64::engine::general_purpose::STANDARD.encode(format!("bridge:{password}"));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (kept, login) = (Arc::clone(&kept), login.clone());
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                kept.lock().unwrap().push(head.clone());
                if !head.contains(&login) {
                    client.write_all(b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                    return;
                }
                let port = head.split_whitespace().nth(1).unwrap().rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
                let mut target = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                client.write_all(b"HTTP/1.1 200 Yes\r\n\r\n").await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut client, &mut target).await);
            });
        }
    });
    (url, asked)
}

#[tokio::test]
async fn a_proxy_of_the_configuration_is_used_for_tokens_and_calls() {
    let server = Server::start(100, FAST).await;
    let (url, asked) = tunnels("proxy-password").await;
    let outside = format!("https://graph.test:{}", server.port);
    let login = |password: &str| Some(("bridge".to_owned(), SecretSource::Value(password.to_owned().into())));
    let config = Config { login_url: outside.clone(), graph_url: outside, ..config(&server) };
    let through = |password| Config { proxy: Proxy::At { url: url.clone(), login: login(password) }, ..config.clone() };
    let (graph, _) = start(through("proxy-password"));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    let heads = std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(heads.len(), 2, "one tunnel for tokens, one for calls");
    for head in heads {
        assert!(head.starts_with(&format!("CONNECT graph.test:{}", server.port)), "{head}");
        assert!(!head.to_lowercase().contains("bearer"), "{head}");
    }
    let (graph, _) = start(through("wrong-password"));
    let sent = graph.send(call(SET)).await;
    assert_eq!(sent.outcome, Outcome::NotSent);
    assert!(!sent.failure.unwrap().error.contains("wrong-password"));
    let (graph, _) = start(Config { proxy: Proxy::Direct, ..config });
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::NotSent, "graph.test is known to the proxy only");
}

#[tokio::test]
async fn what_is_on_this_machine_needs_no_proxy() {
    let url = server(|request| async move {
        match request.uri().path().ends_with("/token") {
            true => token_answer("token"),
            false => [("request-id", "1")].into_response(),
        }
    })
    .await;
    let closed = Proxy::At { url: format!("http://127.0.0.1:{}", free_port()), login: None };
    let (graph, _) = start(Config { proxy: closed, ..at(&url) });
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
}
