//! What goes wrong on purpose, and the figures by which a client is judged.

use std::collections::BTreeSet;
use std::time::Duration;

use presence_bridge::sandbox::tenant::{At, Delivery, Fault, Match, Reply, Settings, What};

use super::{ALICE, Client, MINUTE, SESSION, WALL_MS, header};

fn call(client: &mut Client) -> Reply {
    let body = serde_json::json!({ "sessionId": SESSION, "availability": "Busy", "activity": "InACall" }).to_string();
    let request = client.presence("POST", &format!("/v1.0/users/{ALICE}/presence/setPresence"), body);
    let at = At { virtual_ms: client.now_ms, wall_ms: WALL_MS, real_ms: WALL_MS + client.real_ms };
    client.tenant.handle(at, &request)
}

fn answer(status: u16, body: &str, retry_after: Option<&str>, by_graph: bool) -> What {
    What::Answer { status, body: body.to_owned(), retry_after: retry_after.map(str::to_owned), by_graph }
}

#[test]
fn each_fault_does_what_it_says() {
    let late = Duration::from_secs(2);
    for (what, status, delivery, applied) in [
        (answer(503, "", Some("7"), true), 503, Delivery::Answer, false),
        (answer(404, "<html>", None, false), 404, Delivery::Answer, false),
        (What::Throttle { retry_after: None }, 429, Delivery::Answer, false),
        (What::Unauthorised, 401, Delivery::Answer, false),
        (What::Forbidden, 403, Delivery::Answer, false),
        (What::AppliedThrottle, 429, Delivery::Answer, true),
        (What::AppliedStatus { status: 500 }, 500, Delivery::Answer, true),
        (What::ResetBefore, 0, Delivery::Reset, false),
        (What::ResetAfter, 0, Delivery::Reset, true),
        (What::AppliedLate { after: late }, 0, Delivery::Reset, false),
        (What::Delay(late), 200, Delivery::Late(late), true),
        (What::DelayBody(late), 200, Delivery::Halting(late), true),
        (What::Cut, 200, Delivery::Cut, true),
        (What::Truncated, 200, Delivery::Answer, true),
        (What::NoEffect, 200, Delivery::Answer, false),
        (What::NoContent, 204, Delivery::Answer, true),
        (What::RevokeTokens, 401, Delivery::Answer, false),
    ] {
        let mut client = Client::new();
        client.tenant.fault(Fault { on: Match::Set, times: 1, what: what.clone() });
        let reply = call(&mut client);
        assert_eq!((reply.response.status, reply.delivery), (status, delivery), "{what:?}");
        let seen = client.seen_at(0);
        assert_eq!(seen == "Busy/InACall", applied, "{what:?}: {seen}");
        if matches!(what, What::AppliedLate { .. }) {
            assert_eq!((client.seen_at(1999), client.seen_at(2000)), ("Offline/Offline".into(), "Busy/InACall".into()));
        }
        client.renew();
        assert_eq!(call(&mut client).response.status, 200, "once: {what:?}");
    }
}

#[test]
fn a_strangers_answer_has_none_of_graphs_headers() {
    let mut client = Client::new();
    client.tenant.fault(Fault { on: Match::Any, times: 1, what: answer(502, "<html>", Some("Tue"), false) });
    client.tenant.fault(Fault { on: Match::Any, times: 1, what: answer(502, "{}", None, true) });
    let [strange, own] = [call(&mut client), call(&mut client)].map(|reply| reply.response);
    assert_eq!((header(&strange, "request-id"), header(&strange, "Retry-After")), ("", "Tue"));
    assert_eq!((header(&strange, "Content-Type"), header(&own, "Content-Type")), ("text/html", "application/json"));
    assert!(!header(&own, "request-id").is_empty());
}

#[test]
fn a_truncated_answer_is_half_of_its_json() {
    let mut client = Client::new();
    client.tenant.fault(Fault { on: Match::Read, times: 1, what: What::Truncated });
    let request = client.presence("GET", &format!("/v1.0/users/{ALICE}/presence"), String::new());
    let response = client.send(&request);
    assert!(response.body.starts_with('{') && serde_json::from_str::<serde_json::Value>(&response.body).is_err());
}

#[test]
fn a_fault_with_a_probability_follows_the_seed() {
    let statuses = |seed| {
        let mut client = Client::of(Settings { seed, ..Settings::for_users([ALICE.to_owned()]) });
        let fault = Fault { on: Match::Set, times: u32::MAX, what: What::Forbidden };
        client.tenant.fault_sometimes(fault, 0.3);
        (0..200).map(|_| call(&mut client).response.status).collect::<Vec<_>>()
    };
    assert_eq!(statuses(7), statuses(7));
    assert_ne!(statuses(7), statuses(8));
    let share = statuses(7).iter().filter(|status| **status == 403).count();
    assert!((30..90).contains(&share), "{share} of 200");
}

#[test]
fn throttles_vary_in_chaos_and_grow_for_the_impatient() {
    let mut client = Client::new();
    client.tenant.settings().limit = 0;
    client.tenant.settings().switches.chaos = true;
    let kinds: BTreeSet<(String, bool)> = (0..60)
        .map(|_| call(&mut client).response)
        .map(|response| {
            let code = serde_json::from_str::<serde_json::Value>(&response.body).unwrap_or_default();
            let code = code["error"]["code"].as_str().unwrap_or_default().to_owned();
            (code, !header(&response, "Retry-After").is_empty())
        })
        .collect();
    let expected = [("", false), ("TooManyRequests", true), ("UnknownError", true), ("activityLimitReached", true)];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected.map(|(code, told)| (code.to_owned(), told)));

    let mut client = Client::new();
    client.tenant.settings().switches.early_repeat_doubles = true;
    client.tenant.settings().limit = 0;
    let waits = |client: &mut Client, count| -> Vec<String> {
        (0..count).map(|_| header(&call(client).response, "Retry-After").to_owned()).collect()
    };
    client.now_ms = 20_000;
    assert_eq!(waits(&mut client, 3), ["10", "20", "40"]);
    client.tenant.settings().limit = 100;
    client.now_ms = 59_999;
    assert_eq!(waits(&mut client, 1), ["80"], "still inside the last one");
    client.now_ms = 139_999;
    assert_eq!(call(&mut client).response.status, 200);
}

#[test]
fn the_limit_of_all_calls_counts_as_well() {
    let mut client = Client::new();
    client.tenant.settings().global_limit = 2;
    let statuses: Vec<u16> = (0..3).map(|_| call(&mut client).response.status).collect();
    assert_eq!(statuses, [200, 200, 429]);
    client.now_ms = 10_000;
    assert_eq!(call(&mut client).response.status, 200);
}

#[test]
fn figures_tell_how_a_client_behaves() {
    let mut client = Client::new();
    for minute in [0, 3, 7] {
        client.now_ms = minute * MINUTE;
        client.set("Busy", "InACall", None);
    }
    client.now_ms += 1;
    client.set("Away", "Away", None);
    let metrics = client.tenant.metrics();
    assert_eq!((metrics.writes, metrics.unchanged_writes, metrics.longest_refresh_gap_ms), (4, 2, 4 * MINUTE));
    assert_eq!(metrics.writes_by_user[ALICE], 4);
    // Told to wait for an hour: a quarter of it counts. What was on its way already does not.
    let throttle = |wait: &str| What::Throttle { retry_after: Some(wait.to_owned()) };
    client.tenant.fault(Fault { on: Match::Set, times: 1, what: throttle("3600") });
    let told = client.now_ms;
    for (after_ms, real_ms, early) in [(0, 0, 0), (10, 100, 0), (1_000, 1_000, 1), (15 * MINUTE, 2_000, 1)] {
        (client.now_ms, client.real_ms) = (told + after_ms, real_ms);
        client.set("Busy", "InACall", None);
        assert_eq!(client.tenant.metrics().inside_retry_after, early, "after {after_ms} ms");
    }
    // By date as well; garbage tells nothing.
    for (wait, early) in [("Tue, 24 Nov 2026 10:00:00 GMT", 2), ("soon", 2)] {
        client.tenant.fault(Fault { on: Match::Set, times: 1, what: throttle(wait) });
        call(&mut client);
        client.real_ms += 1_000;
        call(&mut client);
        assert_eq!(client.tenant.metrics().inside_retry_after, early, "{wait}");
        client.now_ms += 60 * MINUTE;
    }
    assert_eq!(client.tenant.metrics().throttled, 3);
}
