//! What a call costs, beside a bare client that posts the same in the same run. Measured and printed, never asserted:
//! `cargo test --release --test tests -- --ignored --nocapture graph::figures`
#![allow(clippy::disallowed_methods, reason = "a stopwatch needs a clock of its own")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use presence_bridge::clock::Clock;
use presence_bridge::graph::{Config, Graph};
use presence_bridge::presence::Outcome;
use presence_bridge::telemetry::Telemetry;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use super::{SET, at, call};
use crate::support::ALICE;
use crate::support::h2::Server;

const CALLS: usize = 20_000;
/// Calls at a time, for both.
const AT_A_TIME: usize = 64;
const ROUNDS: usize = 5;

fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().unwrap()
}

/// Processor time of the threads of this name so far, in milliseconds.
fn cpu(name: &str) -> f64 {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        // A thread may end meanwhile.
        let Ok(stat) = std::fs::read_to_string(task.join("stat")) else { continue };
        let (head, rest) = stat.rsplit_once(')').unwrap();
        if head.ends_with(&format!("({name}")) {
            let fields: Vec<&str> = rest.split_whitespace().collect(); // from the third field on
            let number = |field: &str| field.parse::<u64>().unwrap();
            ticks += number(fields[11]) + number(fields[12]); // utime, stime
        }
    }
    ticks as f64 * 10.0
}

/// Runs all calls, and says calls per second and milliseconds of processor time for 1,000.
fn measure<F, R>(runtime: &Runtime, one: F) -> (f64, f64)
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let (started, before) = (Instant::now(), cpu("client"));
    let driver = async move {
        let room = Arc::new(Semaphore::new(AT_A_TIME));
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..CALLS {
            let permit = Arc::clone(&room).acquire_owned().await.unwrap();
            let call = one();
            calls.spawn(async move {
                call.await;
                drop(permit);
            });
            while calls.try_join_next().is_some() {}
        }
        calls.join_all().await;
    };
    runtime.block_on(async { runtime.spawn(driver).await.unwrap() });
    let seconds = started.elapsed().as_secs_f64();
    (CALLS as f64 / seconds, (cpu("client") - before) * 1000.0 / CALLS as f64)
}

#[test]
#[ignore = "takes half a minute, and says something only in release"]
fn figures() {
    let (servers, clients) = (runtime("server"), runtime("client"));
    let server = servers.block_on(Server::start(AT_A_TIME as u32, Duration::ZERO));
    let ca = std::fs::read(server.ca.path()).unwrap();
    let config = Config { ca_file: Some(server.ca.path().to_owned()), ..at(&server.url()) };
    let graph = {
        let _guard = clients.enter();
        Graph::start(config, Clock::live(), Telemetry::new(Clock::live())).unwrap()
    };
    let bare = bare(&ca);
    let url = format!("{}/v1.0/users/{ALICE}/presence/setPresence", server.url());
    let body = r#"{"sessionId":"bbbbbbbb-0000-4000-8000-000000000002","availability":"Busy","activity":"InACall","expirationDuration":"PT5M"}"#;
    for round in 1..=ROUNDS {
        let before = server.connections();
        let (client, url) = (bare.clone(), url.clone());
        let (rate, cost) = measure(&clients, move || {
            let post =
                client.post(&url).header("authorization", "Bearer token").header("content-type", "application/json");
            async move {
                let answer = post.body(body).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.bytes().await.unwrap();
            }
        });
        let opened = server.connections();
        let graph = graph.clone();
        let (ours, our_cost) = measure(&clients, move || {
            let graph = graph.clone();
            async move { assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted) }
        });
        println!(
            "round {round}: bare {rate:.0} calls/s, {cost:.0} ms CPU per 1,000; bridge {ours:.0} calls/s, {our_cost:.0} ms"
        );
        println!("  connections opened: bare {}, bridge {}", opened - before, server.connections() - opened);
    }
}

fn bare(ca: &[u8]) -> reqwest::Client {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap()
}
