//! When Graph or Entra says no.

use std::time::Duration;

use presence_bridge::sandbox::tenant::{Fault, Match, What};

use super::world::{SECRET, World, person};
use crate::support::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_46_s09_throttled_in_a_rush_the_bridge_waits_and_sends_the_newest_only() {
    // Twenty calls in 30 s in the place of 1,500, so that forty phones are too many.
    let world = World::with(40, 20, false, |settings| settings.limit = 20).await;
    let bridge = world.bridge("").await;
    for phone in 1..=40 {
        world.publish(&format!("phone/{}", 1000 + phone), "INUSE").await;
    }
    until("throttled", || world.tenant().metrics().throttled > 0).await;
    // While all wait, half of them hang up and take another call, and the last one hangs up for good.
    for phone in (20..=40).rev() {
        world.publish(&format!("phone/{}", 1000 + phone), "NOT_INUSE").await;
        if phone != 40 {
            world.publish(&format!("phone/{}", 1000 + phone), "INUSE").await;
        }
    }
    for number in 1..=39 {
        world.see(number, "Busy/InACall").await;
    }
    world.see(40, "Offline/Offline").await;
    let tenant = world.tenant();
    let metrics = tenant.metrics();
    assert_eq!(metrics.inside_retry_after, 0, "nobody calls before the time: {metrics:?}");
    // Calls under way when the first refusal came were refused too; from then on one probe a window.
    assert!(metrics.throttled <= 30, "{metrics:?}");
    for number in 1..=39 {
        let user = person(number);
        let accepted = tenant.calls(&user, "setPresence").iter().filter(|entry| entry.status == 200).count();
        assert!((1..=2).contains(&accepted), "p{number} was set {accepted} times");
    }
    drop(tenant);
    assert!(bridge.log().contains("throttled"), "{}", bridge.log());
}

#[tokio::test]
async fn fault_40_s10_a_token_that_is_refused_is_fetched_again_once() {
    let world = World::new(1, 1).await;
    let _bridge = world.bridge("").await;
    world.publish("phone/1001", "INUSE").await;
    world.see(1, "Busy/InACall").await;
    world.tenant().revoke_tokens();
    world.publish("phone/1001", "NOT_INUSE").await;
    world.see(1, "Offline/Offline").await;
    let statuses: Vec<u16> = world.calls(1, "clearPresence").iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [401, 200]);
    let tokens = world.tenant().log().iter().filter(|entry| entry.what == "token").count();
    assert_eq!(tokens, 2, "the first, and one for the refused");
}

#[tokio::test]
async fn s10_a_token_that_ends_has_its_successor_in_time() {
    let world = World::with(1, 1, false, |settings| settings.token_ttl = 6).await;
    let _bridge = world.bridge("").await;
    world.publish("phone/1001", "INUSE").await;
    world.see(1, "Busy/InACall").await;
    let tokens = || world.tenant().log().iter().filter(|entry| entry.what == "token").count();
    until("two more tokens", || tokens() >= 3).await;
    for payload in ["NOT_INUSE", "INUSE"] {
        world.publish("phone/1001", payload).await;
        let shown = if payload == "INUSE" { "Busy/InACall" } else { "Offline/Offline" };
        world.see(1, shown).await;
    }
    let refused = world.tenant().log().iter().filter(|entry| entry.status >= 400).count();
    assert_eq!(refused, 0, "none of them was used past its end");
    assert!(tokens() <= 5, "and none was fetched in a hurry");
}

#[tokio::test]
async fn s10_a_secret_that_rotates_is_read_again() {
    let world = World::new(1, 1).await;
    let bridge = world.bridge("").await;
    world.publish("phone/1001", "INUSE").await;
    world.see(1, "Busy/InACall").await;
    std::fs::write(world.dir.path().join("secret"), "the-next-one").unwrap();
    world.tenant().settings().secrets = vec![format!("expired:{SECRET}"), "the-next-one".to_owned()];
    world.tenant().revoke_tokens();
    world.publish("phone/1001", "NOT_INUSE").await;
    world.see(1, "Offline/Offline").await;
    assert!(!bridge.log().contains("No token for Graph"), "{}", bridge.log());
}

#[tokio::test]
async fn fault_41_s10_an_expired_secret_is_told_with_its_remedy_and_without_a_hot_loop() {
    let world = World::with(1, 1, false, |settings| settings.secrets = vec![format!("expired:{SECRET}")]).await;
    let bridge = world.bridge("").await;
    for payload in ["INUSE", "NOT_INUSE", "INUSE"] {
        world.publish("phone/1001", payload).await;
    }
    until("told", || bridge.log().contains("7000222")).await;
    world.pass(Duration::from_secs(3)).await;
    let log = bridge.log();
    assert!(log.contains("create a new secret"), "{log}");
    let tokens = world.tenant().log().iter().filter(|entry| entry.what == "token").count();
    assert!(tokens <= 2, "{tokens} requests for a token in three seconds");
    assert!(!log.contains(SECRET));
}

#[tokio::test]
async fn fault_43_s10_a_missing_role_is_told_by_name_and_without_a_hot_loop() {
    let world = World::with(1, 1, false, |settings| settings.roles = Vec::new()).await;
    let bridge = world.bridge("").await;
    world.publish("phone/1001", "INUSE").await;
    until("told", || bridge.log().contains("grant the application permission Presence.ReadWrite.All")).await;
    until("refused", || !world.calls(1, "setPresence").is_empty()).await;
    world.pass(Duration::from_secs(3)).await;
    let calls = world.calls(1, "setPresence");
    assert!(calls.len() <= 3 && calls.iter().all(|(status, _)| *status == 403), "{calls:?}");
}

#[tokio::test]
async fn s13_a_name_in_the_place_of_an_object_id_is_refused_before_it_is_sent() {
    let world = World::new(1, 1).await;
    let configuration = world.configuration("").replace(&person(1), "alice@example.com");
    let output = world.check(&configuration);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("alice@example.com") && said.contains("object id"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_44_s13_somebody_whom_graph_does_not_know_is_left_alone() {
    let world = World::with(2, 60, false, |settings| settings.users.retain(|user| *user != person(1))).await;
    let bridge = world.bridge("").await;
    world.publish("phone/1001", "INUSE").await;
    world.publish("phone/1002", "INUSE").await;
    world.see(2, "Busy/InACall").await;
    until("told", || bridge.log().contains("no_such_user")).await;
    world.pass(Duration::from_secs(20 * 60)).await;
    let calls = world.calls(1, "setPresence");
    assert!(calls.len() <= 2 && calls.iter().all(|(status, _)| *status == 404), "no hot loop: {calls:?}");
    assert_eq!(world.seen(2), "Busy/InACall", "the others go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_sandbox_heals() {
    let world = World::new(1, 60).await;
    let _bridge = world.bridge("").await;
    let answer = |status, body: &str, by_graph| What::Answer {
        status,
        body: body.to_owned(),
        retry_after: Some("2".to_owned()),
        by_graph,
    };
    let late = Duration::from_millis(300);
    let mut on = true;
    for what in [
        answer(503, "", true),
        answer(502, "<html>", false),
        answer(404, "<html>", false),
        What::Throttle { retry_after: Some("3".to_owned()) },
        What::Throttle { retry_after: None },
        What::AppliedThrottle,
        What::AppliedStatus { status: 500 },
        What::Unauthorised,
        What::Forbidden,
        What::RevokeTokens,
        What::ResetBefore,
        What::ResetAfter,
        What::AppliedLate { after: Duration::from_secs(20) },
        What::Delay(late),
        What::DelayBody(late),
        What::Cut,
        What::NoContent,
    ] {
        world.tenant().fault(Fault { on: Match::AnyPresence, times: 1, what: what.clone() });
        world.publish("phone/1001", if on { "INUSE" } else { "NOT_INUSE" }).await;
        let shown = if on { "Busy/InACall" } else { "Offline/Offline" };
        // What lands late may undo it for a moment: it must be so when nothing can land any more.
        until(&format!("{what:?} was met"), || !world.tenant().has_faults()).await;
        world.pass(Duration::from_secs(45)).await;
        until(&format!("{shown} in spite of {what:?}"), || world.seen(1) == shown).await;
        on = !on;
    }
    assert_eq!(world.tenant().metrics().inside_retry_after, 0);
}
