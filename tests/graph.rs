//! The Graph adapter against the sandbox, over real sockets; and against small servers for what the sandbox does not play.
//! `credentials`: each kind, its rotation and its end. `refusals`: what a user is told. `connections`: HTTP/2, proxies, the
//! burst. `outcomes`: each row of what Graph may answer. `program`: all that through the real program, and what it logs.
//! `configured`: `[graph]` itself. `figures`: what a call costs.

mod configured;
mod connections;
mod credentials;
mod figures;
mod outcomes;
mod program;
mod refusals;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Body as AxumBody;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use presence_bridge::clock::Clock;
use presence_bridge::graph::{Answer, Body, Call, Config, Graph, Proxy, retry_after};
use presence_bridge::presence::{Mono, Outcome, Presence, Timestamp};
use presence_bridge::sandbox::Sandbox;
use presence_bridge::sandbox::tenant::{Fault, Match, Tenant, What};
use presence_bridge::secret::{Credential, SecretSource, redact};
use presence_bridge::telemetry::Telemetry;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::support::mosquitto::free_port;
use crate::support::{ALICE, sandbox, server, stays, until};

pub const SET: Body = Body::Set { presence: Presence::InACall, expiration: Duration::from_secs(300) };

pub fn config(sandbox: &Sandbox) -> Config {
    at(&sandbox.graph_url())
}

pub fn start(config: Config) -> (Graph, Telemetry) {
    let telemetry = Telemetry::new(Clock::live());
    let graph = Graph::start_with(config, Clock::live(), telemetry.clone(), Duration::from_millis(1500)).unwrap();
    (graph, telemetry)
}

pub fn call(body: Body) -> Call {
    Call { object_id: ALICE.parse().unwrap(), body, not_after: Mono::MAX }
}

pub fn tenant(sandbox: &Sandbox) -> std::sync::MutexGuard<'_, Tenant> {
    sandbox.tenant().lock().unwrap_or_else(PoisonError::into_inner)
}

fn fault(sandbox: &Sandbox, what: What) {
    tenant(sandbox).fault(Fault { on: Match::AnyPresence, times: 1, what });
}

fn tokens(sandbox: &Sandbox) -> usize {
    tenant(sandbox).log().iter().filter(|entry| entry.what == "token").count()
}

fn seen(sandbox: &Sandbox) -> String {
    let now = Clock::live().now().mono.as_millis();
    tenant(sandbox).seen(now, ALICE).to_string()
}

#[tokio::test]
async fn set_and_clear_are_seen() {
    let sandbox = sandbox(false).await;
    let (graph, _) = start(config(&sandbox));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    assert_eq!(seen(&sandbox), "Busy/InACall");
    assert_eq!(graph.send(call(Body::Clear)).await.outcome, Outcome::Accepted);
    assert_eq!(seen(&sandbox), "Offline/Offline");
    assert_eq!(graph.send(call(Body::Clear)).await.outcome, Outcome::Accepted, "404 for a clear is success");
}

#[tokio::test]
async fn each_answer_has_its_outcome() {
    let sandbox = sandbox(false).await;
    let (graph, _) = start(config(&sandbox));
    let status = |status, by_graph| What::Status { status, body: "<html>".to_owned(), by_graph };
    let two = Outcome::Throttled { retry_after: Some(Duration::from_secs(2)) };
    for (what, outcome) in [
        (status(400, true), Outcome::Refused),
        (status(404, true), Outcome::NoSuchUser),
        (status(404, false), Outcome::Ambiguous),
        (status(200, false), Outcome::Ambiguous),
        (status(204, true), Outcome::Accepted),
        (status(302, true), Outcome::Ambiguous),
        (status(403, false), Outcome::Ambiguous),
        (status(415, true), Outcome::Refused),
        (status(500, true), Outcome::Ambiguous),
        (status(503, false), Outcome::Ambiguous),
        (What::Throttle { retry_after: Some("2".to_owned()) }, two),
        (What::Throttle { retry_after: None }, Outcome::Throttled { retry_after: None }),
        (What::ResetBefore, Outcome::Ambiguous),
        (What::ResetAfter, Outcome::Ambiguous),
        (What::Delay(Duration::from_secs(5)), Outcome::Ambiguous),
    ] {
        fault(&sandbox, what.clone());
        assert_eq!(graph.send(call(SET)).await.outcome, outcome, "{what:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_past_its_time_or_to_a_closed_port() {
    let sandbox = sandbox(false).await;
    let (graph, _) = start(config(&sandbox));
    let late = Call { not_after: Mono::ZERO, ..call(SET) };
    assert_eq!(graph.send(late).await.outcome, Outcome::NotSent);
    assert!(tenant(&sandbox).calls(ALICE, "setPresence").is_empty());
    let mut closed = config(&sandbox);
    closed.graph_url = format!("http://127.0.0.1:{}", free_port());
    let (graph, _) = start(closed);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::NotSent);
}

#[tokio::test]
async fn fault_40_a_hundred_401_at_once_fetch_one_token() {
    let sandbox = sandbox(false).await;
    let (graph, _) = start(config(&sandbox));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    tenant(&sandbox).revoke_tokens();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let graph = graph.clone();
        calls.spawn(async move { graph.send(call(SET)).await.outcome });
    }
    let outcomes = calls.join_all().await;
    assert!(outcomes.contains(&Outcome::Unauthorised));
    until("a fresh token is used", || tokens(&sandbox) == 2).await;
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    assert_eq!(tokens(&sandbox), 2);
}

#[tokio::test]
async fn fault_43_a_missing_role_is_told_by_the_token() {
    let sandbox = sandbox(false).await;
    tenant(&sandbox).settings().roles.clear();
    let (graph, telemetry) = start(config(&sandbox));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Forbidden { role_missing: true });
    assert_eq!(telemetry.total("alarm", "role_missing"), 1);
    // Granted: the next token has it.
    tenant(&sandbox).settings().roles.push("Presence.ReadWrite.All".to_owned());
    until("a fresh token", || tokens(&sandbox) == 2).await;
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
}

#[tokio::test]
async fn fault_38_no_token_is_told_at_once_and_mended_by_itself() {
    let sandbox = sandbox(false).await;
    let down = What::Status { status: 503, body: String::new(), by_graph: false };
    tenant(&sandbox).fault(Fault { on: Match::Token, times: 1, what: down });
    let (graph, telemetry) = start(config(&sandbox));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::NotSent);
    assert_eq!(telemetry.total("token", "failed"), 1);
    let mended = async {
        while graph.send(call(SET)).await.outcome != Outcome::Accepted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), mended).await.expect("a token within ten seconds");
    assert_eq!(tokens(&sandbox), 2);
}

#[tokio::test]
async fn fault_39_the_old_token_serves_while_no_new_one_is_to_be_had() {
    let sandbox = sandbox(false).await;
    tenant(&sandbox).settings().token_ttl = 4;
    let (graph, telemetry) = start(config(&sandbox));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    let down = What::Status { status: 503, body: String::new(), by_graph: false };
    tenant(&sandbox).fault(Fault { on: Match::Token, times: 1, what: down });
    until("a refresh that fails", || telemetry.total("token", "failed") == 1).await;
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
}

#[tokio::test]
async fn fault_42_a_wrong_secret_is_named() {
    let sandbox = sandbox(false).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "not-the-secret\n").unwrap();
    let mut config = config(&sandbox);
    config.credential = Credential::Secret(SecretSource::File(file.path().to_owned()));
    let (graph, telemetry) = start(config);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::NotSent);
    assert_eq!(telemetry.total("token", "refused"), 1);
}

#[tokio::test]
async fn fault_14_tls_with_the_right_ca_only() {
    let sandbox = sandbox(true).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), sandbox.ca_pem().unwrap()).unwrap();
    let (strict, _) = start(config(&sandbox));
    assert_eq!(strict.send(call(SET)).await.outcome, Outcome::NotSent);
    let mut trusting = config(&sandbox);
    trusting.ca_file = Some(file.path().to_owned());
    let (graph, _) = start(trusting);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    assert_eq!(seen(&sandbox), "Busy/InACall");
}

#[tokio::test]
async fn plain_http_is_for_loopback_only() {
    let sandbox = sandbox(false).await;
    for url in ["http://graph.example", "ftp://127.0.0.1", "nonsense"] {
        let mut config = config(&sandbox);
        config.graph_url = url.to_owned();
        let refused = Graph::start(config, Clock::live(), Telemetry::new(Clock::live())).unwrap_err();
        assert!(refused.contains("graph_url") && refused.contains(url), "{refused}");
    }
}

/// The forms of Retry-After, and how many milliseconds each means in an answer of `date`.
fn forms_of_retry_after([date, in_41_s, a_minute_ago]: [&str; 3]) -> [(&str, Option<u64>); 20] {
    [
        ("0", Some(0)),
        ("1", Some(1_000)),
        (" 41 ", Some(41_000)),
        ("315", Some(315_000)),
        ("648796", Some(648_796_000)),
        ("999999", Some(999_999_000)),
        ("2.128", Some(2_128)),
        ("0.0001", Some(1)),
        ("1e1", Some(10_000)),
        (in_41_s, Some(41_000)),
        (date, Some(0)),
        (a_minute_ago, Some(0)),
        ("-5", None),
        ("-0.5", None),
        ("", None),
        ("soon", None),
        ("NaN", None),
        ("inf", None),
        ("10 s", None),
        ("2026-11-24T09:30:41Z", None),
    ]
}

#[test]
fn fault_46_retry_after_in_every_form() {
    let date = "Tue, 24 Nov 2026 09:30:00 GMT";
    let dates = [date, "Tue, 24 Nov 2026 09:30:41 GMT", "Tue, 24 Nov 2026 09:29:00 GMT"];
    for (value, millis) in forms_of_retry_after(dates) {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        headers.insert(DATE, date.parse().unwrap());
        // This machine's clock is an hour wrong: the answer's own date counts.
        let now = Timestamp::from_millis(1_795_512_600_000 + 3_600_000);
        assert_eq!(retry_after(&headers, now), millis.map(Duration::from_millis), "{value:?}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), Timestamp::default()), None);
}

#[test]
fn an_answer_is_described_escaped_and_capped() {
    let mut headers = HeaderMap::new();
    headers.insert("request-id", "id-1".parse().unwrap());
    let message = format!("line\n{}", "x".repeat(1000));
    let body = serde_json::json!({ "error": { "code": "Forbidden", "message": message } }).to_string().into_bytes();
    let answer = Answer { status: 403, headers, body };
    let text = answer.describe(&[]);
    assert!(text.starts_with("403 Forbidden line\\n") && text.len() < 300, "{text}");
    assert_eq!(answer.request_id(&[]).as_deref(), Some("id-1"));
}

/// The adapter's configuration for such a server.
pub fn at(url: &str) -> Config {
    Config {
        tenant_id: "aaaaaaaa-0000-4000-8000-000000000001".parse().unwrap(),
        client_id: Some("bbbbbbbb-0000-4000-8000-000000000002".parse().unwrap()),
        credential: Credential::Secret(SecretSource::Value("sandbox-secret".to_owned().into())),
        secret_expires: None,
        login_url: url.to_owned(),
        graph_url: url.to_owned(),
        ca_file: None,
        proxy: Proxy::Environment,
    }
}

fn json(status: u16, body: serde_json::Value) -> Response {
    let headers = [("content-type", "application/json"), ("request-id", "id-1")];
    (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response()
}

fn token_answer(token: &str) -> Response {
    json(200, serde_json::json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": token }))
}

#[tokio::test]
async fn fault_41_a_late_401_for_the_old_token_leaves_the_new_one() {
    let [tokens, posts, taken] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&tokens), Arc::clone(&posts), Arc::clone(&taken));
    let url = server(move |request| {
        let (given, posts, taken) = counts.clone();
        async move {
            if request.uri().path().ends_with("/token") {
                return token_answer(&format!("token-{}", given.fetch_add(1, Ordering::SeqCst)));
            }
            if request.headers()["authorization"] != "Bearer token-0" {
                taken.fetch_add(1, Ordering::SeqCst);
                return json(200, serde_json::json!({}));
            }
            if posts.fetch_add(1, Ordering::SeqCst) == 0 {
                until("the new token is taken", || taken.load(Ordering::SeqCst) > 0).await; // the first is answered last
            }
            json(401, serde_json::json!({ "error": { "code": "InvalidAuthenticationToken", "message": "" } }))
        }
    })
    .await;
    let graph = Graph::start(at(&url), Clock::live(), Telemetry::new(Clock::live())).unwrap();
    let late = tokio::spawn({
        let graph = graph.clone();
        async move { graph.send(call(SET)).await.outcome }
    });
    until("the first is out", || posts.load(Ordering::SeqCst) == 1).await;
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Unauthorised);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted, "with the new token");
    assert_eq!(late.await.unwrap(), Outcome::Unauthorised);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted); // it would wait for a third
    assert_eq!(tokens.load(Ordering::SeqCst), 2, "the new token was kept");
}

#[tokio::test]
async fn a_401_during_a_fetch_does_not_ask_for_one_more() {
    // The token of two seconds is fetched again after one; that fetch takes until a 401 has come.
    let [tokens, refused] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&tokens), Arc::clone(&refused));
    let url = server(move |request| {
        let (given, refused) = counts.clone();
        async move {
            if !request.uri().path().ends_with("/token") {
                let old = request.headers()["authorization"] == "Bearer token-0";
                return json(if old { 401 } else { 200 }, serde_json::json!({}));
            }
            let serial = given.fetch_add(1, Ordering::SeqCst);
            if serial == 0 {
                let short = serde_json::json!({ "token_type": "Bearer", "expires_in": 3, "access_token": "token-0" });
                return json(200, short);
            }
            until("a 401 meanwhile", || refused.load(Ordering::SeqCst) > 0).await;
            token_answer(&format!("token-{serial}"))
        }
    })
    .await;
    let graph = Graph::start(at(&url), Clock::live(), Telemetry::new(Clock::live())).unwrap();
    until("the second fetch", || tokens.load(Ordering::SeqCst) == 2).await;
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Unauthorised);
    refused.fetch_add(1, Ordering::SeqCst);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    stays("two tokens", Duration::from_millis(1_500), || tokens.load(Ordering::SeqCst) == 2).await;
}

#[tokio::test]
async fn a_failure_names_the_request_and_the_wait_once() {
    let url = server(|request| async move {
        if request.uri().path().ends_with("/token") {
            return token_answer("token");
        }
        let mut answer =
            json(503, serde_json::json!({ "error": { "code": "ServiceUnavailable", "message": "Later." } }));
        answer.headers_mut().insert("retry-after", "7".parse().unwrap());
        answer.headers_mut().insert("x-ms-ags-diagnostic", r#"{"ServerInfo":{"Slice":"E"}}"#.parse().unwrap());
        answer
    })
    .await;
    let (graph, _) = start(at(&url));
    let sent = graph.send(call(SET)).await;
    let failure = sent.failure.unwrap();
    assert_eq!(sent.outcome, Outcome::Ambiguous);
    assert_eq!(failure.error, "503 ServiceUnavailable Later.");
    assert_eq!(failure.request_id.as_deref(), Some("id-1"));
    assert_eq!(failure.diagnostic.as_deref(), Some(r#"{"ServerInfo":{"Slice":"E"}}"#));
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(failure.client_request_id.unwrap().len(), 36);
    assert!(!failure.error.contains(ALICE));
    let closed = Config { graph_url: format!("http://127.0.0.1:{}", free_port()), ..at(&url) };
    let failure = start(closed).0.send(call(SET)).await.failure.unwrap();
    assert!(failure.error.contains("refused") && !failure.error.contains(ALICE), "{}", failure.error);
}

/// A body without an end.
struct Endless;

impl http_body::Body for Endless {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(axum::body::Bytes::from_static(&[b' '; 16 * 1024])))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_answer_is_read_so_far_and_no_further() {
    let url = server(|request| async move {
        if request.uri().path().ends_with("/token") {
            return token_answer("token");
        }
        ([("request-id", "1")], AxumBody::new(Endless)).into_response()
    })
    .await;
    let (graph, _) = start(at(&url));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    // And from the token endpoint: an error of this attempt, not a growing heap.
    let url = server(|_| async { AxumBody::new(Endless).into_response() }).await;
    let (graph, telemetry) = start(at(&url));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::NotSent);
    until("it is told", || telemetry.total("token", "failed") == 1).await;
}

#[test]
fn secrets_are_taken_out_of_other_peoples_words() {
    let secrets = ["s~cret/1".to_owned().into(), String::new().into()];
    let secrets = [&secrets[0], &secrets[1]];
    for (text, shown) in [
        ("nothing at all, 100 % sure", "nothing at all, 100 % sure"),
        ("s~cret/1 and s~cret/1!", "[redacted] and [redacted]!"),
        ("client_secret=s%7Ecret%2F1&x=1", "client_secret=[redacted]&x=1"),
        ("s~cret/1 is s%7Ecret%2f1", "[redacted] is [redacted]"),
        ("Bearer eyJhbGciOiJub25lIn0.eyJh.x-_y, eyJ", "Bearer [redacted], [redacted]"),
        ("100%", "100%"),
    ] {
        assert_eq!(redact(text, &secrets), shown);
    }
}

#[test]
fn a_secret_is_taken_out_before_the_text_is_cut() {
    let secret = "secret".to_owned().into();
    let message = format!("{}secret", "x".repeat(186));
    let body = serde_json::json!({ "error": { "code": "Forbidden", "message": message } }).to_string().into_bytes();
    let mut headers = HeaderMap::new();
    headers.insert("request-id", "secret-1".parse().unwrap());
    let answer = Answer { status: 403, headers, body };
    assert!(!answer.describe(&[&secret]).contains("se"), "{}", answer.describe(&[&secret]));
    assert_eq!(answer.request_id(&[&secret]).as_deref(), Some("[redacted]-1"));
}
