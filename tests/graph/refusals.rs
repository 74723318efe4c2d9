//! What a user is told when there is no token, or none that is good; and that nobody storms the token endpoint.
#![allow(clippy::disallowed_methods, reason = "a stopwatch needs a clock of its own")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use presence_bridge::clock::Clock;
use presence_bridge::graph::{Config, Graph, NoToken};
use presence_bridge::presence::Outcome;
use presence_bridge::telemetry::Telemetry;
use serde_json::{Value, json};

use super::{SET, at, call};
use crate::support::entra::{Entra, aadsts, now};
use crate::support::{server, until};

fn start(config: Config) -> (Graph, Telemetry) {
    let telemetry = Telemetry::new(Clock::live());
    (Graph::start(config, Clock::live(), telemetry.clone()).unwrap(), telemetry)
}

async fn refused(status: u16, body: &str) -> NoToken {
    let entra = Entra::start().await;
    entra.refuse(status, body);
    start(at(&entra.url)).0.claims().await.unwrap_err()
}

#[tokio::test]
async fn fault_42_each_number_of_entra_has_a_meaning_and_a_remedy() {
    for (status, code, meaning, remedy) in [
        (401, 7_000_215, "the client secret is wrong", "not its ID"),
        (401, 7_000_222, "has expired", "create a new secret"),
        (401, 7_000_218, "is missing", "check credential in [graph]"),
        (401, 700_027, "not one of the app registration", "upload the certificate"),
        (401, 700_024, "not within its time", "clock"),
        (400, 700_213, "the token's subject", "system:serviceaccount"),
        (400, 700_211, "the token's issuer", "OIDC issuer"),
        (400, 700_212, "the token's audience", "api://AzureADTokenExchange"),
        (400, 700_016, "does not know the application", "client_id and tenant_id"),
        (400, 90_002, "no such tenant", "tenant_id"),
        (400, 1_002_012, "the scope is not valid", "cloud"),
        (400, 500_011, "does not know Graph under this address", "cloud"),
        (401, 7_000_112, "is disabled", "enable it"),
        (400, 53_003, "Conditional Access", "exclude"),
        (400, 424_242, "refused", "https://login.microsoftonline.com/error"),
    ] {
        let why = refused(status, &aadsts(code, "Words of Microsoft's that may change.")).await;
        assert!(why.error.starts_with(&format!("{status} AADSTS{code}: ")), "{}", why.error);
        assert!(why.error.contains(meaning) && why.remedy.contains(remedy), "{why:?}");
        assert!(why.error.contains("trace id dddddddd"), "for Microsoft's support: {}", why.error);
        assert!(!why.error.contains("Words of"), "nobody vouches for what a description repeats");
        assert!(why.permanent && why.code == Some(code));
    }
    let busy = refused(503, &aadsts(90_033, "Transient.")).await;
    assert!(!busy.permanent && busy.error.contains("not available at present"), "{busy:?}");
    let throttled = refused(429, &aadsts(90_055, "Too many.")).await;
    assert!(!throttled.permanent, "{throttled:?}");
}

#[tokio::test]
async fn fault_42_a_wrong_clock_is_named_with_the_number_of_seconds() {
    // Answers are dated twelve minutes from now: this machine is behind.
    let url = server(|_| async {
        let date = jiff::Timestamp::from_second(i64::try_from(now() + 720).unwrap()).unwrap();
        let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let body = aadsts(700_024, "Client assertion is not within its valid time range.");
        (StatusCode::UNAUTHORIZED, [("date", date)], body).into_response()
    })
    .await;
    let (graph, telemetry) = start(at(&url));
    let why = graph.claims().await.unwrap_err();
    let seconds: u64 = why.error.split("clock is ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((715..=725).contains(&seconds) && why.error.contains("s behind"), "{}", why.error);
    assert!(why.remedy.contains("set this machine's clock"), "{}", why.remedy);
    assert!((715..=725).contains(&graph.clock_skew().unwrap()));
    assert_eq!(telemetry.total("alarm", "clock_wrong"), 1);
}

#[tokio::test]
async fn a_token_that_cannot_set_presence_is_an_alarm_until_it_can() {
    let delegated = json!({ "roles": null, "scp": "Presence.Read User.Read" });
    for (claims, name, said) in [
        (json!({ "roles": [] }), "role_missing", "Presence.ReadWrite.All"),
        (delegated, "role_missing", "somebody who is signed in"),
        (json!({ "tid": "eeeeeeee-0000-4000-8000-000000000005" }), "other_tenant", "eeeeeeee-0000"),
    ] {
        let entra = Entra::start().await;
        entra.book().life = Duration::from_secs(2);
        entra.book().claims = claims.clone();
        let (graph, _) = start(at(&entra.url));
        let alarms = graph.alarms();
        until("the alarm", || alarms.borrow().contains_key(name)).await;
        let alarm = alarms.borrow()[name].clone();
        assert!(alarm.about.contains(said) && !alarm.remedy.is_empty(), "{claims}: {alarm:?}");
        entra.book().claims = Value::Null;
        until("its end", || !alarms.borrow().contains_key(name)).await;
    }
}

#[tokio::test]
async fn what_a_token_says_of_itself_is_there_for_doctor() {
    let entra = Entra::start().await;
    let (graph, _) = start(at(&entra.url));
    let claims = graph.claims().await.unwrap().unwrap();
    assert!(claims.has_role() && !claims.is_delegated());
    assert_eq!(claims.audience.as_deref(), Some("https://graph.microsoft.com"));
    assert_eq!(claims.tenant_id.as_deref(), Some(crate::support::entra::TENANT));
    assert_eq!(claims.client_id.as_deref(), Some(crate::support::entra::IDENTITY));
    let left = claims.expires.unwrap().as_millis() / 1000 - i64::try_from(now()).unwrap();
    assert!((3500..=3600).contains(&left), "{left}");
    assert!(graph.clock_skew().unwrap().abs() <= 2);
}

#[tokio::test]
async fn short_lived_tokens_do_not_storm() {
    let entra = Entra::start().await;
    entra.book().life = Duration::from_secs(1);
    let started = Instant::now();
    let (graph, _) = start(at(&entra.url));
    let mut calls = 0;
    while entra.shown().len() < 4 {
        graph.send(call(SET)).await;
        calls += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(started.elapsed() >= Duration::from_secs(3), "at most one a second");
    assert!(calls > 20, "{calls} calls");
}

#[tokio::test]
async fn fault_40_a_graph_that_refuses_every_token_costs_one_a_second() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let url = server(move |request| {
        let counted = Arc::clone(&counted);
        async move {
            match request.uri().path().ends_with("/token") {
                true => super::token_answer(&format!("token-{}", counted.fetch_add(1, Ordering::SeqCst))),
                false => super::json(401, json!({ "error": { "code": "InvalidAuthenticationToken", "message": "" } })),
            }
        }
    })
    .await;
    let started = Instant::now();
    let (graph, _) = start(at(&url));
    while asked.load(Ordering::SeqCst) < 4 {
        assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Unauthorised);
    }
    assert!(started.elapsed() >= Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_failure_is_shared_and_a_permanent_one_is_not_repeated_soon() {
    let entra = Entra::start().await;
    entra.refuse(401, &aadsts(7_000_215, "Invalid client secret."));
    let (graph, telemetry) = start(at(&entra.url));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let graph = graph.clone();
        calls.spawn(async move { graph.send(call(SET)).await });
    }
    for sent in calls.join_all().await {
        assert_eq!(sent.outcome, Outcome::NotSent);
        assert!(sent.failure.unwrap().error.contains("AADSTS7000215"), "each is told why");
    }
    assert_eq!(entra.shown().len(), 1);
    assert_eq!((telemetry.total("token", "refused"), telemetry.total("alarm", "no_token")), (1, 1));
    assert_eq!(graph.alarms().borrow()["no_token"].remedy, graph.claims().await.unwrap_err().remedy);
}

#[tokio::test]
async fn fault_39_a_good_token_serves_to_its_end_although_the_secret_is_refused() {
    let entra = Entra::start().await;
    entra.book().life = Duration::from_secs(4);
    let (graph, _) = start(at(&entra.url));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    let got = Instant::now();
    for _ in 0..2 {
        entra.refuse(401, &aadsts(7_000_222, "Expired.")); // at half of its life, and when it has ended
    }
    let alarms = graph.alarms();
    until("the refusal", || alarms.borrow().contains_key("no_token")).await;
    assert!(got.elapsed() < Duration::from_secs(3), "asked from half of its life on");
    while got.elapsed() < Duration::from_millis(3_300) {
        assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted, "after {:?}", got.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut outcome = Outcome::Accepted;
    while outcome == Outcome::Accepted && got.elapsed() < Duration::from_secs(6) {
        outcome = graph.send(call(SET)).await.outcome;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(outcome, Outcome::NotSent, "it has really ended");
}

/// As after a suspend, in which the token ends and no timer of ours goes on; here the timer is the five minutes after a
/// permanent refusal.
#[tokio::test]
async fn fault_39_a_token_that_ends_before_the_next_try_is_followed_at_once() {
    let entra = Entra::start().await;
    entra.book().life = Duration::from_secs(4);
    let (graph, _) = start(at(&entra.url));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    let got = Instant::now();
    entra.refuse(401, &aadsts(7_000_222, "Expired."));
    let alarms = graph.alarms();
    until("the refusal", || alarms.borrow().contains_key("no_token")).await;
    while got.elapsed() < Duration::from_secs(6) {
        assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted, "after {:?}", got.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!alarms.borrow().contains_key("no_token"), "the new one ends the alarm");
}

#[tokio::test]
async fn fault_38_a_retry_after_of_the_token_endpoint_is_kept() {
    let entra = Entra::start().await;
    for _ in 0..2 {
        entra.refuse(429, &aadsts(90_055, "Too many.")); // Retry-After: 1; the first wait alone would be under a second
    }
    let started = Instant::now();
    let (graph, _) = start(at(&entra.url));
    while graph.send(call(SET)).await.outcome != Outcome::Accepted {
        assert!(started.elapsed() < Duration::from_secs(20), "no token in twenty seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(entra.shown().len(), 3);
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
}
