//! Calls and who else has a say: Teams clients, other applications, the person.

use presence_bridge::sandbox::tenant::{App, Fault, Match, What};
use serde_json::{Value, json};

use super::world::{World, person};
use crate::sandbox::client;
use crate::support::until;

const OTHER: &str = "bbbbbbbb-0000-4000-8000-000000000003";
const OTHER_SECRET: &str = "other-secret";

/// Another application of the tenant, which asks by itself.
struct Application {
    url: String,
    token: String,
}

impl Application {
    async fn known(world: &World, id: &str, secret: &str) -> Application {
        let url = world.sandbox.graph_url();
        let form = format!(
            "grant_type=client_credentials&scope=https://graph.microsoft.com/.default&client_id={id}&client_secret={secret}"
        );
        let asked = client(None, &[])
            .post(format!("{url}/aaaaaaaa-0000-4000-8000-000000000001/oauth2/v2.0/token"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form);
        let answer = asked.send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned();
        Application { url, token }
    }

    async fn post(&self, number: usize, action: &str, body: &Value) -> u16 {
        let url = format!("{}/v1.0/users/{}/presence/{action}", self.url, person(number));
        let asked = client(None, &[]).post(url).header("Content-Type", "application/json").bearer_auth(&self.token);
        asked.body(body.to_string()).send().await.unwrap().status().as_u16()
    }
}

/// Off-hook and on-hook, alone and beside a Teams client.
async fn off_and_on_hook(world: &World) {
    world.publish("phone/1001", "INUSE").await;
    world.see(1, "Busy/InACall").await;
    assert_eq!(world.calls(1, "setPresence").len(), 1, "within one call");
    world.publish("phone/1001", "NOT_INUSE").await;
    world.see(1, "Offline/Offline").await;
    world.tenant().client(&person(1), Some("Available/Available"));
    world.publish("phone/1001", "INUSE").await;
    world.see(1, "Busy/InACall").await;
    world.publish("phone/1001", "NOT_INUSE").await;
    world.see(1, "Available/Available").await;
    let statuses = |what| world.calls(1, what).iter().map(|(status, _)| *status).collect::<Vec<_>>();
    assert_eq!((statuses("setPresence"), statuses("clearPresence")), (vec![200, 200], vec![200, 200]));
}

#[tokio::test]
async fn s01_off_hook_is_one_call_and_on_hook_leaves_what_teams_says() {
    let world = World::new(1, 1).await;
    let _bridge = world.bridge("").await;
    off_and_on_hook(&world).await;
}

#[tokio::test]
async fn s01_the_same_over_tls_with_the_sandboxs_ca() {
    let world = World::with(1, 1, true, |_| {}).await;
    let bridge = world.bridge("").await;
    off_and_on_hook(&world).await;
    drop(bridge);
    // With another CA there is no trust, and so no call.
    let stranger = crate::support::sandbox(true).await;
    std::fs::write(world.dir.path().join("ca.pem"), stranger.ca_pem().unwrap()).unwrap();
    let before = world.tenant().log().len();
    let bridge = world.bridge("").await;
    world.publish("phone/1001", "INUSE").await;
    until("the refusal of the certificate is told", || bridge.log().contains("No token for Graph")).await;
    assert_eq!(world.tenant().log().len(), before, "nothing arrived");
}

#[tokio::test]
async fn s06_two_applications_and_a_client_add_up() {
    let world = World::with(1, 1, false, |settings| {
        let (secrets, roles) = (vec![OTHER_SECRET.to_owned()], settings.roles.clone());
        settings.apps = vec![App { client_id: OTHER.to_owned(), secrets, roles, ..App::default() }];
    })
    .await;
    let _bridge = world.bridge("").await;
    world.publish("phone/1001", "INUSE").await;
    world.see(1, "Busy/InACall").await;
    let other = Application::known(&world, OTHER, OTHER_SECRET).await;
    let body = json!({ "sessionId": OTHER, "availability": "Available", "activity": "Available" });
    assert_eq!(other.post(1, "setPresence", &body).await, 200);
    assert_eq!(world.seen(1), "Busy/InACall", "the strongest of two");
    world.publish("phone/1001", "NOT_INUSE").await;
    world.see(1, "Available/Available").await;
    assert_eq!(other.post(1, "clearPresence", &json!({ "sessionId": OTHER })).await, 200);
    // Away is weak: a Teams client that says Available wins. And Available hides a client's Away.
    let here = |pair| world.tenant().client(&person(1), Some(pair));
    here("Available/Available");
    world.publish("presence-bridge/in/p1/away", "on").await;
    until("Away is set", || world.tenant().session(world.now_ms(), &person(1)).is_some()).await;
    assert_eq!(world.seen(1), "Available/Available");
    here("Away/Away");
    world.publish("presence-bridge/in/p1/away", "off").await;
    world.publish("presence-bridge/in/p1/desk", "on").await;
    world.see(1, "Available/Available").await;
}

#[tokio::test]
async fn s07_a_choice_by_hand_shows_with_a_session_only() {
    let world = World::new(1, 1).await;
    let _bridge = world.bridge("").await;
    world.tenant().prefer(&person(1), Some("DoNotDisturb/DoNotDisturb"));
    assert_eq!(world.seen(1), "Offline/Offline");
    world.publish("presence-bridge/in/p1/desk", "on").await;
    world.see(1, "DoNotDisturb/DoNotDisturb").await;
}

#[tokio::test]
async fn s08_a_session_that_is_gone_already_counts_as_cleared() {
    let world = World::new(2, 1).await;
    let bridge = world.bridge("").await;
    for phone in ["phone/1001", "phone/1002"] {
        world.publish(phone, "INUSE").await;
    }
    world.see(1, "Busy/InACall").await;
    world.see(2, "Busy/InACall").await;
    // Somebody else cleared one of them.
    let now = world.now_ms();
    assert!(world.tenant().clear(now, &person(1)));
    for phone in ["phone/1001", "phone/1002"] {
        world.publish(phone, "NOT_INUSE").await;
    }
    until("both are told", || bridge.log().matches("to=\"none\"").count() == 2).await;
    let statuses = |number| world.calls(number, "clearPresence").iter().map(|(status, _)| *status).collect::<Vec<_>>();
    assert_eq!((statuses(1), statuses(2)), (vec![404], vec![200]));
    assert!(!bridge.log().contains("A call to Graph failed."), "{}", bridge.log());
}

#[tokio::test]
async fn fault_49_s11_an_answer_that_was_lost_is_asked_for_again_and_changes_nothing() {
    let world = World::new(1, 20).await;
    world.tenant().fault(Fault { on: Match::Set, times: 1, what: What::ResetAfter });
    let _bridge = world.bridge("").await;
    world.publish("phone/1001", "INUSE").await;
    until("set twice", || world.calls(1, "setPresence").len() == 2).await;
    assert_eq!(world.seen(1), "Busy/InACall");
    assert_eq!(world.tenant().metrics().unchanged_writes, 1, "the second changed nothing");
    world.publish("phone/1001", "NOT_INUSE").await;
    world.see(1, "Offline/Offline").await;
}
