//! Calls and who else has a say: Teams clients, other applications, the person.

use presence_bridge::graph::{Body, Call, Config};
use presence_bridge::presence::{Mono, Outcome, Presence};
use presence_bridge::sandbox::tenant::{App, Fault, Match, What};

use super::world::{World, person};
use crate::support::until;

const OTHER: &str = "bbbbbbbb-0000-4000-8000-000000000003";
const OTHER_SECRET: &str = "other-secret";

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
    let mut config: Config = crate::graph::config(&world.sandbox);
    config.client_id = OTHER.parse().unwrap();
    config.secret = presence_bridge::secret::SecretSource::Value(OTHER_SECRET.to_owned().into());
    let (other, _) = crate::graph::start(config);
    let body = Body::Set { presence: Presence::Available, expiration: std::time::Duration::from_secs(3600) };
    let call = Call { object_id: person(1).parse().unwrap(), body, not_after: Mono::MAX };
    assert_eq!(other.send(call).await.outcome, Outcome::Accepted);
    assert_eq!(world.seen(1), "Busy/InACall", "the strongest of two");
    world.publish("phone/1001", "NOT_INUSE").await;
    world.see(1, "Available/Available").await;
    assert_eq!(other.send(Call { body: Body::Clear, ..call }).await.outcome, Outcome::Accepted);
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
async fn s11_an_answer_that_was_lost_is_asked_for_again_and_changes_nothing() {
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
