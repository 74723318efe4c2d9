//! `/_sim`: what a test says and asks.

use presence_bridge::sandbox::tenant::{At, Request};
use serde_json::{Value, json};

use super::{ALICE, Client, SCOPE, WALL_MS, form, read, token_request};

fn sim(client: &mut Client, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request {
        method: method.to_owned(),
        path: format!("/_sim/{path}"),
        body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
        ..Request::default()
    };
    let at = At { virtual_ms: client.now_ms, wall_ms: WALL_MS, real_ms: WALL_MS };
    read(&client.tenant.control(at, &request))
}

#[test]
fn faults_are_ordered_in_json() {
    let mut client = Client::new();
    let orders = json!([
        { "on": "set", "what": "throttle", "retry_after": "3", "times": 2 },
        { "on": "presence", "what": "status", "status": 503, "retry_after": "7", "body": "<html>", "by_graph": false },
    ]);
    assert_eq!(sim(&mut client, "POST", "faults", &orders), (200, json!({ "waiting": 2 })));
    let statuses: Vec<u16> = (0..4).map(|_| client.set("Busy", "InACall", None).0).collect();
    assert_eq!(statuses, [429, 429, 503, 200]);
    for what in [
        "unauthorised",
        "forbidden",
        "applied_throttle",
        "reset_before",
        "reset_after",
        "cut",
        "truncated",
        "no_effect",
        "no_content",
        "revoke_tokens",
    ] {
        assert_eq!(sim(&mut client, "POST", "faults", &json!({ "on": "token", "what": what })).0, 200, "{what}");
    }
    for (what, key) in
        [("delay", "after_ms"), ("delay_body", "after_ms"), ("applied_late", "after_ms"), ("applied_status", "status")]
    {
        let mut order = json!({ "on": "identity", "what": what });
        let (status, body) = sim(&mut client, "POST", "faults", &order);
        assert!(status == 400 && body["error"].as_str().unwrap().contains(key), "{what}: {body}");
        order[key] = json!(500);
        assert_eq!(sim(&mut client, "POST", "faults", &order).0, 200, "{what}");
    }
    for wrong in [
        json!({ "on": "set", "what": "nonsense" }),
        json!({ "on": "set", "what": "cut", "tmies": 3 }),
        json!({ "on": "set", "what": "cut", "probability": 2 }),
        json!({ "on": "set", "what": "cut", "times": 0 }),
    ] {
        assert_eq!(sim(&mut client, "POST", "faults", &wrong).0, 400, "{wrong}");
    }
    assert_eq!(sim(&mut client, "POST", "faults/clear", &Value::Null).0, 200);
    assert_eq!(sim(&mut client, "GET", "faults", &Value::Null), (200, json!({ "waiting": 0 })));
}

#[test]
fn settings_are_merged_and_a_reset_takes_all_back() {
    let mut client = Client::new();
    client.set("Busy", "InACall", None);
    let more = json!({ "limit": 7, "roles": [], "switches": { "chaos": true } });
    assert_eq!(sim(&mut client, "POST", "config", &more).0, 200);
    let (_, config) = sim(&mut client, "GET", "config", &Value::Null);
    assert_eq!(
        (&config["limit"], &config["roles"], &config["switches"]["chaos"]),
        (&json!(7), &json!([]), &json!(true))
    );
    assert_eq!((&config["switches"]["strict_session_id"], &config["token_ttl"]), (&json!(true), &json!(3599)));
    let (status, body) = sim(&mut client, "POST", "config", &json!({ "limits": 7 }));
    assert!(status == 400 && body["error"].as_str().unwrap().contains("limits"), "{body}");
    assert_eq!(sim(&mut client, "POST", "reset", &Value::Null).0, 200);
    assert_eq!(sim(&mut client, "GET", "config", &Value::Null).1["limit"], 1500);
    assert_eq!((client.seen_at(0).as_str(), client.tenant.log().len()), ("Offline/Offline", 0));
    assert_eq!(client.set("Busy", "InACall", None).0, 401, "tokens are gone, too");
}

#[test]
fn people_act_by_hand_and_evidence_shows_it() {
    let mut client = Client::new();
    client.set("Busy", "InACall", Some("PT1H"));
    let path = |what: &str| format!("users/{ALICE}/{what}");
    let pair =
        |availability: &str| json!({ "client": "phone", "availability": availability, "activity": availability });
    let (status, seen) = sim(&mut client, "POST", &path("client"), &pair("DoNotDisturb"));
    assert_eq!((status, &seen["availability"]), (200, &json!("DoNotDisturb")));
    sim(&mut client, "POST", &path("client"), &json!({ "client": "phone" }));
    assert_eq!(sim(&mut client, "GET", &format!("users/{ALICE}"), &Value::Null).1["activity"], "InACall");
    let (_, seen) =
        sim(&mut client, "POST", &path("preferred"), &json!({ "availability": "Away", "activity": "Away" }));
    assert_eq!(seen["availability"], "Away");
    let (_, state) = sim(&mut client, "GET", "state", &Value::Null);
    let alice = &state["people"][0];
    assert_eq!((&alice["user"], &alice["preferred"]["availability"]), (&json!(ALICE), &json!("Away")));
    let session = &alice["sessions"][0];
    assert_eq!((&session["activity"], &session["expires_ms"]), (&json!("InACall"), &json!(3_600_000)));
    sim(&mut client, "POST", &path("preferred"), &Value::Null);
    assert_eq!(client.seen_at(0), "Busy/InACall");
    assert_eq!(sim(&mut client, "GET", &path("ui"), &Value::Null).0, 200);
    for (method, path) in [
        ("POST", "users/nobody/client"),
        ("POST", "users/alice/nonsense"),
        ("POST", "nonsense"),
        ("GET", "nonsense"),
        ("DELETE", "state"),
    ] {
        assert!(sim(&mut client, method, path, &Value::Null).0 >= 400, "{method} {path}");
    }
}

#[test]
fn the_log_keeps_no_secret_and_no_token() {
    let mut client = Client::new();
    client.set("Busy", "InACall", None);
    client.token(&format!("{}&client_assertion=canary-1", form("grant_type", SCOPE)));
    let request = Request { authorization: Some("Basic canary-2".to_owned()), ..token_request() };
    client.send(&request);
    let request =
        client.presence("POST", &format!("/v1.0/users/{ALICE}/presence/setPresence"), "canary-3 {".to_owned());
    client.send(&request);
    let (_, log) = sim(&mut client, "GET", "log", &Value::Null);
    let entries = log["entries"].as_array().unwrap();
    let text = log.to_string();
    for secret in ["sandbox-secret", "canary", &client.token] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert_eq!(entries[0]["body"]["client_secret"], "(redacted)");
    let set = &entries[1];
    assert_eq!(
        (&set["what"], &set["status"], &set["pair"]),
        (&json!("setPresence"), &json!(200), &json!("Busy/InACall"))
    );
    assert_eq!(
        (&set["method"], &set["body"]["activity"], &set["at_ms"]),
        (&json!("POST"), &json!("InACall"), &json!(0))
    );
    assert!(set["client_request_id"].is_string() && set["path"].as_str().unwrap().contains(ALICE));
    assert_eq!(
        sim(&mut client, "GET", "log?skip=3", &Value::Null).1["entries"].as_array().unwrap().len(),
        entries.len() - 3
    );
    assert_eq!(sim(&mut client, "GET", "metrics", &Value::Null).1["writes"], 2);
    assert!(sim(&mut client, "GET", "assumptions", &Value::Null).1.as_array().unwrap().len() > 80);
}

#[test]
fn the_same_seed_and_the_same_calls_leave_the_same_log() {
    let run = || {
        let mut client = Client::new();
        let chaos = json!({ "switches": { "chaos": true, "activity_noise": true }, "limit": 5 });
        sim(&mut client, "POST", "config", &chaos);
        sim(
            &mut client,
            "POST",
            "faults",
            &json!({ "on": "presence", "what": "forbidden", "probability": 0.5, "times": 9 }),
        );
        for step in 0..40 {
            client.now_ms = step * 5_000;
            client.set("Busy", "InACall", None);
            client.get(&format!("/v1.0/users/{ALICE}/presence"));
        }
        sim(&mut client, "GET", "log", &Value::Null).1
    };
    assert_eq!(run(), run());
}
