//! Each row of what Graph may answer, and what it means.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body as AxumBody;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use presence_bridge::graph::{Answer, Body};
use presence_bridge::presence::{Outcome, Timestamp};
use presence_bridge::sandbox::tenant::What;
use reqwest::header::HeaderMap;
use serde_json::json;

use super::{SET, at, call, config, fault, forms_of_retry_after, json as by_graph, seen, start, tenant, token_answer};
use crate::support::{ALICE, sandbox, server, until};

fn status(status: u16, by_graph: bool) -> What {
    What::Status { status, body: String::new(), by_graph }
}

#[tokio::test]
async fn every_status_by_graph_has_its_outcome_for_a_set_and_for_a_clear() {
    let sandbox = sandbox(false).await;
    let (graph, _) = start(config(&sandbox));
    let forbidden = Outcome::Forbidden { role_missing: false };
    for (number, set, clear) in [
        (200, Outcome::Accepted, Outcome::Accepted),
        (201, Outcome::Accepted, Outcome::Accepted),
        (204, Outcome::Accepted, Outcome::Accepted),
        (302, Outcome::Ambiguous, Outcome::Ambiguous),
        (400, Outcome::Refused, Outcome::Refused),
        (401, Outcome::Unauthorised, Outcome::Unauthorised),
        (403, forbidden, forbidden),
        (404, Outcome::NoSuchUser, Outcome::Accepted),
        (405, Outcome::Refused, Outcome::Refused),
        (408, Outcome::Ambiguous, Outcome::Ambiguous),
        (409, Outcome::Refused, Outcome::Refused),
        (415, Outcome::Refused, Outcome::Refused),
        (422, Outcome::Refused, Outcome::Refused),
        (500, Outcome::Ambiguous, Outcome::Ambiguous),
        (502, Outcome::Ambiguous, Outcome::Ambiguous),
        (503, Outcome::Ambiguous, Outcome::Ambiguous),
        (504, Outcome::Ambiguous, Outcome::Ambiguous),
        (509, Outcome::Ambiguous, Outcome::Ambiguous),
    ] {
        for (body, outcome) in [(SET, set), (Body::Clear, clear)] {
            fault(&sandbox, status(number, true));
            assert_eq!(graph.send(call(body)).await.outcome, outcome, "{number} for {body:?}");
            // The same by a proxy says nothing about Graph, good or bad.
            fault(&sandbox, status(number, false));
            assert_eq!(graph.send(call(body)).await.outcome, Outcome::Ambiguous, "{number} by a proxy, for {body:?}");
        }
    }
}

#[tokio::test]
async fn fault_44_45_53_what_the_tenant_itself_answers() {
    let sandbox = sandbox(false).await;
    let (graph, _) = start(config(&sandbox));
    let stranger = presence_bridge::graph::Call {
        object_id: "99999999-9999-4999-8999-999999999999".parse().unwrap(),
        ..call(SET)
    };
    assert_eq!(graph.send(stranger).await.outcome, Outcome::NoSuchUser);
    let short =
        Body::Set { presence: presence_bridge::presence::Presence::InACall, expiration: Duration::from_secs(60) };
    let refused = graph.send(call(short)).await;
    assert_eq!(refused.outcome, Outcome::Refused);
    let failure = refused.failure.unwrap();
    assert_eq!(failure.error, "400 InvalidArgument The provided [ExpirationDuration] is out of range.");
    fault(&sandbox, What::NoEffect);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted, "200 is all that one can know");
    assert_eq!(seen(&sandbox), "Offline/Offline");
}

#[tokio::test]
async fn fault_46_retry_after_reaches_the_core_in_every_form() {
    let sandbox = sandbox(false).await;
    let (graph, _) = start(config(&sandbox));
    let now = jiff::Timestamp::now();
    let dates = [0, 41, -60].map(|seconds| {
        (now + jiff::SignedDuration::from_secs(seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    });
    for (value, millis) in forms_of_retry_after(dates.each_ref().map(String::as_str)) {
        fault(&sandbox, What::Throttle { retry_after: Some(value.to_owned()) });
        let outcome = graph.send(call(SET)).await.outcome;
        let Outcome::Throttled { retry_after } = outcome else { panic!("{value:?}: {outcome:?}") };
        // A date is read against the answer's own, which is of whole seconds and a moment later.
        let slack = Duration::from_secs(if value.ends_with("GMT") { 5 } else { 0 });
        match (retry_after, millis.map(Duration::from_millis)) {
            (Some(found), Some(meant)) => assert!(found.abs_diff(meant) <= slack, "{value:?}: {found:?}"),
            (found, meant) => assert_eq!(found, meant, "{value:?}"),
        }
    }
    fault(&sandbox, What::Throttle { retry_after: None });
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Throttled { retry_after: None });
}

#[tokio::test]
async fn fault_47_49_52_what_was_applied_without_a_good_answer_is_not_taken_for_failed() {
    for (what, outcome, landed) in [
        (What::AppliedThrottle, None, true),
        (What::ResetBefore, Some(Outcome::Ambiguous), false),
        (What::ResetAfter, Some(Outcome::Ambiguous), true),
        (What::AppliedLate { after: Duration::from_millis(1) }, Some(Outcome::Ambiguous), true),
    ] {
        let sandbox = sandbox(false).await;
        let (graph, _) = start(config(&sandbox));
        fault(&sandbox, what.clone());
        let sent = graph.send(call(SET)).await.outcome;
        match outcome {
            Some(outcome) => assert_eq!(sent, outcome, "{what:?}"),
            None => assert!(matches!(sent, Outcome::Throttled { .. }), "{what:?}: {sent:?}"),
        }
        if landed {
            until("it lands", || seen(&sandbox) == "Busy/InACall").await;
        }
        assert_eq!(tenant(&sandbox).calls(ALICE, "setPresence").len(), 1, "{what:?}: one attempt is one call");
    }
}

/// A Graph that answers calls so, and gives out tokens.
async fn graph_that<F>(answer: F) -> String
where
    F: Fn() -> Response + Clone + Send + Sync + 'static,
{
    server(move |request| {
        let answer = answer.clone();
        async move { if request.uri().path().ends_with("/token") { token_answer("token") } else { answer() } }
    })
    .await
}

#[tokio::test]
async fn fault_48_a_503_with_retry_after_keeps_everybody_away_for_a_moment() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let url = graph_that(move || match counted.fetch_add(1, Ordering::SeqCst) {
        0 => {
            let mut answer = by_graph(503, json!({ "error": { "code": "ServiceUnavailable", "message": "" } }));
            answer.headers_mut().insert("retry-after", "1".parse().unwrap());
            answer
        }
        _ => by_graph(200, json!({})),
    })
    .await;
    let (graph, _) = start(at(&url));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Ambiguous);
    let kept = graph.send(call(SET)).await;
    assert_eq!(kept.outcome, Outcome::NotSent);
    assert!(kept.failure.unwrap().error.contains("left alone"));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nothing was sent");
    let over = async {
        while graph.send(call(SET)).await.outcome != Outcome::Accepted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), over).await.expect("over after a second");
}

#[tokio::test]
async fn fault_50_an_answer_that_drips_is_judged_by_its_head() {
    let drip = || {
        let frames = std::iter::repeat_n(Drop, 1000);
        AxumBody::new(Drips(frames.collect(), tokio::time::interval(Duration::from_millis(100))))
    };
    let url = graph_that(move || ([("request-id", "1")], drip()).into_response()).await;
    let (graph, _) = start(at(&url));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    let url = graph_that(move || drip().into_response()).await;
    assert_eq!(start(at(&url)).0.send(call(SET)).await.outcome, Outcome::Ambiguous);
}

#[derive(Clone)]
struct Drop;

/// A byte now and then.
struct Drips(Vec<Drop>, tokio::time::Interval);

impl http_body::Body for Drips {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::task::ready!(self.1.poll_tick(context));
        let next = self.0.pop().map(|_| Ok(http_body::Frame::data(axum::body::Bytes::from_static(b" "))));
        std::task::Poll::Ready(next)
    }
}

#[tokio::test]
async fn fault_50_a_redirect_is_not_followed_and_takes_the_token_nowhere() {
    let elsewhere = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&elsewhere);
    let other = server(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { by_graph(200, json!({})) }
    })
    .await;
    for status in [301, 302, 303, 307, 308] {
        let target = format!("{other}/v1.0/elsewhere");
        let url = graph_that(move || {
            let head = [("location", target.as_str()), ("request-id", "1")];
            (StatusCode::from_u16(status).unwrap(), head).into_response()
        })
        .await;
        assert_eq!(start(at(&url)).0.send(call(SET)).await.outcome, Outcome::Ambiguous, "{status}");
    }
    assert_eq!(elsewhere.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn fault_50_nothing_is_unpacked() {
    let url = graph_that(|| {
        let head = [("content-encoding", "gzip"), ("request-id", "1")];
        (head, vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0]).into_response()
    })
    .await;
    assert_eq!(start(at(&url)).0.send(call(SET)).await.outcome, Outcome::Accepted);
}

#[tokio::test]
async fn fault_55_a_captive_portal_is_not_graph() {
    let url =
        graph_that(|| ([("content-type", "text/html")], "<html>Please sign in to the Wi-Fi.").into_response()).await;
    let sent = start(at(&url)).0.send(call(SET)).await;
    assert_eq!(sent.outcome, Outcome::Ambiguous);
    assert!(sent.failure.unwrap().error.contains("no error of Graph's"));
    // In the place of the token endpoint it is no refusal of Entra's either.
    let url = server(|_| async { (StatusCode::FORBIDDEN, "<html>Blocked.").into_response() }).await;
    let why = start(at(&url)).0.claims().await.unwrap_err();
    assert!(!why.permanent && why.error.contains("403, not as Entra does"), "{why:?}");
}

#[tokio::test]
async fn fault_41_a_claims_challenge_drops_the_token_once() {
    let tokens = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&tokens);
    let url = server(move |request| {
        let counted = Arc::clone(&counted);
        async move {
            if request.uri().path().ends_with("/token") {
                *counted.lock().unwrap() += 1;
                return token_answer(&format!("token-{}", counted.lock().unwrap()));
            }
            if request.headers()["authorization"] == "Bearer token-2" {
                return by_graph(200, json!({}));
            }
            let error =
                json!({ "error": { "code": "InvalidAuthenticationToken", "message": "Continuous access evaluation" } });
            let mut answer = by_graph(401, error);
            let challenge = r#"Bearer error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ==""#;
            answer.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
            answer
        }
    })
    .await;
    let graph = presence_bridge::graph::Graph::start(
        at(&url),
        presence_bridge::clock::Clock::live(),
        presence_bridge::telemetry::Telemetry::new(presence_bridge::clock::Clock::live()),
    )
    .unwrap();
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Unauthorised);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    assert_eq!(*tokens.lock().unwrap(), 2);
}

#[test]
fn the_innermost_code_is_named_and_empty_ones_do_no_harm() {
    for (error, said) in [
        (json!({ "code": "Forbidden", "message": "" }), "403 Forbidden"),
        (json!({ "code": "", "message": "" }), "403"),
        (
            json!({ "code": "Forbidden", "message": "", "innerError": { "code": "AccessDenied", "message": "No licence." } }),
            "403 Forbidden/AccessDenied No licence.",
        ),
        (
            json!({ "code": "BadRequest", "message": "m", "innererror": { "request-id": "1", "innererror": { "code": "Deep" } } }),
            "403 BadRequest/Deep m",
        ),
        (
            json!({ "code": "TooManyRequests", "message": "m", "innerError": { "code": "429" } }),
            "403 TooManyRequests/429 m",
        ),
    ] {
        let body = json!({ "error": error }).to_string().into_bytes();
        let answer = Answer { status: 403, headers: HeaderMap::new(), body };
        assert_eq!(answer.describe(&[]), said, "{error}");
        assert!(answer.is_by_graph());
        assert_eq!(answer.outcome(false, true, Timestamp::default()), Outcome::Forbidden { role_missing: true });
    }
}
