//! `$batch`.

use presence_bridge::sandbox::tenant::{Fault, Match, Settings, What};
use serde_json::{Value, json};

use super::{ALICE, Client, SESSION};

fn part(id: usize, user: &str) -> Value {
    json!({
        "id": id.to_string(), "method": "POST", "url": format!("/users/{user}/presence/setPresence"),
        "headers": { "content-type": "application/json" }, "depends_on": [],
        "body": { "sessionId": SESSION, "availability": "Busy", "activity": "InACall" },
    })
}

fn send(client: &mut Client, parts: &[Value]) -> (u16, Value) {
    client.post("/v1.0//$batch", &json!({ "requests": parts }))
}

/// The answers by their ids.
fn answers(body: &Value) -> Vec<(usize, Value)> {
    let mut answers: Vec<(usize, Value)> = body["responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| (answer["id"].as_str().unwrap().parse().unwrap(), answer.clone()))
        .collect();
    answers.sort_by_key(|(id, _)| *id);
    answers
}

#[test]
fn of_twenty_parts_each_fails_alone() {
    let people: Vec<String> = (0..20).map(|n| format!("11111111-1111-4111-8111-{n:012}")).collect();
    let mut client = Client::of(Settings::for_users(people.clone()));
    let mut parts: Vec<Value> = people.iter().enumerate().map(|(id, user)| part(id, user)).collect();
    parts[3] = part(3, "99999999-9999-4999-8999-999999999999");
    parts[7]["dependsOn"] = json!(["3"]);
    let throttle = What::Throttle { retry_after: Some("7".to_owned()) };
    client.tenant.fault(Fault { on: Match::Set, times: 3, what: throttle });
    let (status, body) = send(&mut client, &parts);
    assert_eq!(status, 200);
    let order: Vec<&Value> = body["responses"].as_array().unwrap().iter().map(|answer| &answer["id"]).collect();
    let answers = answers(&body);
    let statuses: Vec<u64> = answers.iter().map(|(_, answer)| answer["status"].as_u64().unwrap()).collect();
    let mut expected = vec![200; 20];
    expected[..3].fill(429);
    (expected[3], expected[7]) = (404, 424);
    assert_eq!(statuses, expected);
    assert_ne!(order, answers.iter().map(|(_, answer)| &answer["id"]).collect::<Vec<_>>(), "in another order");
    assert_eq!(answers[0].1["headers"], json!({ "Content-Type": "application/json", "Retry-After": "7" }));
    assert_eq!(answers[0].1["body"]["error"]["code"], "TooManyRequests");
    assert!(answers[9].1.get("body").is_none(), "nothing for an empty answer: {}", answers[9].1);
    // Only the throttled ones again.
    let again: Vec<Value> = parts[..3].to_vec();
    let (_, body) = send(&mut client, &again);
    assert!(body["responses"].as_array().unwrap().iter().all(|answer| answer["status"] == 200), "{body}");
}

#[test]
fn a_batch_that_breaks_the_rules_is_refused_whole() {
    let mut client = Client::new();
    let many: Vec<Value> = (0..21).map(|id| part(id, ALICE)).collect();
    let twice = [part(1, ALICE), part(1, ALICE)];
    for parts in [&many[..], &twice[..], &[][..], &[json!({ "id": "1" })][..]] {
        assert_eq!(send(&mut client, parts).0, 400, "{} parts", parts.len());
    }
    let mut early = part(1, ALICE);
    early["dependsOn"] = json!(["2"]);
    let (status, body) = send(&mut client, &[early, part(2, ALICE)]);
    assert_eq!((status, &body["error"]["message"]), (400, &json!("Invalid dependency for request Id 1.")));
    assert_eq!(client.tenant.calls(ALICE, "setPresence").len(), 0);
}

#[test]
fn a_part_is_relative_and_says_what_its_body_is() {
    let mut client = Client::new();
    let mut absolute = part(1, ALICE);
    absolute["url"] = json!(format!("https://graph.microsoft.com/v1.0/users/{ALICE}/presence/setPresence"));
    let mut versioned = part(2, ALICE);
    versioned["url"] = json!(format!("/v1.0/users/{ALICE}/presence/setPresence"));
    let mut silent = part(3, ALICE);
    silent["headers"] = json!({});
    let read = json!({ "id": "4", "method": "GET", "url": format!("users/{ALICE}/presence") });
    let (_, body) = send(&mut client, &[absolute, versioned, silent, read]);
    let answers = answers(&body);
    let message = json!("Resource not found for the segment 'v1.0'.");
    for (id, answer) in &answers[..2] {
        assert_eq!((&answer["status"], &answer["body"]["error"]["message"]), (&json!(400), &message), "{id}");
    }
    assert_eq!((&answers[2].1["status"], &answers[3].1["status"]), (&json!(400), &json!(200)));
    assert_eq!(answers[3].1["body"]["availability"], "Offline");
}

#[test]
fn parts_count_one_by_one() {
    let mut client = Client::new();
    client.tenant.settings().limit = 3;
    let parts: Vec<Value> = (0..5).map(|id| part(id, ALICE)).collect();
    let (status, body) = send(&mut client, &parts);
    let statuses: Vec<u64> = answers(&body).iter().map(|(_, answer)| answer["status"].as_u64().unwrap()).collect();
    assert_eq!((status, statuses), (200, vec![200, 200, 200, 429, 429]));
    assert_eq!(answers(&body)[4].1["headers"]["Retry-After"], "30");
}
