//! The model itself, against what Graph documents and users observed.

use std::time::Duration;

use presence_bridge::sandbox::tenant::{Request, Settings, Tenant};
use serde_json::{Value, json};

use crate::support::ALICE;

const MINUTE: u64 = 60_000;
const SESSION: &str = "bbbbbbbb-0000-4000-8000-000000000002";

struct Client {
    tenant: Tenant,
    token: String,
    now_ms: u64,
}

impl Client {
    fn new() -> Client {
        let mut client =
            Client { tenant: Tenant::new(Settings::for_users([ALICE.to_owned()])), token: String::new(), now_ms: 0 };
        let form = format!(
            "client_id={SESSION}&client_secret=sandbox%2Dsecret&grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
        );
        let (status, body) = client.request("POST", "/aaaaaaaa-0000-4000-8000-000000000001/oauth2/v2.0/token", form);
        assert_eq!((status, &body["expires_in"]), (200, &json!(3599)));
        client.token = body["access_token"].as_str().unwrap().to_owned();
        client
    }

    fn request(&mut self, method: &str, path: &str, body: String) -> (u16, Value) {
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            authorization: Some(format!("Bearer {}", self.token)),
            body: body.into_bytes(),
            ..Request::default()
        };
        let response = self.tenant.handle(self.now_ms, 1_795_512_600_000, &request).response;
        (response.status, serde_json::from_str(&response.body).unwrap_or_default())
    }

    fn set(&mut self, availability: &str, activity: &str, span: Option<&str>) -> (u16, Value) {
        let mut body = json!({ "sessionId": SESSION, "availability": availability, "activity": activity });
        if let Some(span) = span {
            body["expirationDuration"] = json!(span);
        }
        self.request("POST", &format!("/v1.0//users/{ALICE}/presence/setPresence"), body.to_string())
    }

    fn clear(&mut self) -> u16 {
        let body = json!({ "sessionId": SESSION }).to_string();
        self.request("POST", &format!("/v1.0/users/{ALICE}/presence/clearPresence"), body).0
    }

    fn seen_at(&mut self, now_ms: u64) -> String {
        self.tenant.seen(now_ms, ALICE).to_string()
    }
}

#[test]
fn available_fades_and_expires() {
    let mut client = Client::new();
    assert_eq!(client.set("Available", "Available", Some("PT1H")).0, 200);
    assert_eq!(client.seen_at(5 * MINUTE - 1), "Available/Available");
    assert_eq!(client.seen_at(5 * MINUTE), "Available/AvailableInactive");
    assert_eq!(client.seen_at(10 * MINUTE), "Away/Away");
    assert_eq!(client.seen_at(60 * MINUTE), "Offline/Offline");
}

#[test]
fn busy_holds_until_it_expires_and_five_minutes_is_the_default() {
    let mut client = Client::new();
    client.set("Busy", "InACall", Some("PT1H"));
    assert_eq!(client.seen_at(60 * MINUTE - 1), "Busy/InACall");
    assert_eq!(client.seen_at(60 * MINUTE), "Offline/Offline");
    client.set("Busy", "InACall", None);
    assert_eq!(client.seen_at(5 * MINUTE - 1), "Busy/InACall");
    assert_eq!(client.seen_at(5 * MINUTE), "Offline/Offline");
}

#[test]
fn durations_and_pairs_are_checked() {
    let mut client = Client::new();
    for (span, status) in [
        ("PT4M59S", 400),
        ("PT5M", 200),
        ("PT300S", 200),
        ("PT4H", 200),
        ("PT4H1S", 400),
        ("1:00:00", 400),
        ("banana", 400),
    ] {
        assert_eq!(client.set("Busy", "InACall", Some(span)).0, status, "{span}");
    }
    let (status, body) = client.set("Busy", "Busy", None);
    assert_eq!((status, &body["error"]["code"]), (400, &json!("InvalidArgument")));
    assert_eq!(client.set("DoNotDisturb", "Presenting", None).0, 200);
}

#[test]
fn clearing_twice_is_200_then_404() {
    let mut client = Client::new();
    client.set("Busy", "InACall", None);
    assert_eq!((client.clear(), client.clear()), (200, 404));
}

#[test]
fn sessions_add_up_and_a_choice_by_hand_wins() {
    let mut client = Client::new();
    client.tenant.prefer(ALICE, Some("DoNotDisturb/DoNotDisturb"));
    assert_eq!(client.seen_at(0), "Offline/Offline"); // without any session
    client.set("Available", "Available", None);
    assert_eq!(client.seen_at(1), "DoNotDisturb/DoNotDisturb");
    client.tenant.prefer(ALICE, None);
    client.tenant.client(ALICE, Some("Available/Available"));
    client.set("Away", "Away", None);
    assert_eq!(client.seen_at(2), "Available/Available"); // Away is weak
    client.tenant.client(ALICE, Some("Away/Away"));
    client.set("Available", "Available", None);
    assert_eq!(client.seen_at(3), "Available/Available"); // and Available masks
}

#[test]
fn the_front_door_checks_in_order() {
    let mut client = Client::new();
    let path = format!("/v1.0/users/{ALICE}/presence/setPresence");
    client.tenant.settings().roles.clear();
    assert_eq!(client.request("POST", &path, "{}".to_owned()).0, 400, "the body before the permission");
    assert_eq!(client.request("GET", &path, String::new()).0, 405);
    assert_eq!(client.request("POST", "/v1.0/nonsense", String::new()).0, 400);
    let unknown = path.replace(ALICE, "99999999-9999-4999-8999-999999999999");
    let body = json!({ "sessionId": SESSION, "availability": "Busy", "activity": "InACall" }).to_string();
    assert_eq!(client.request("POST", &unknown, body.clone()).0, 404);
    client.token = "nonsense".to_owned();
    let (status, answer) = client.request("POST", &path, body);
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("InvalidAuthenticationToken")));
}

#[test]
fn the_1501st_call_in_a_window_is_throttled() {
    let mut client = Client::new();
    client.now_ms = 10_000;
    for _ in 0..1500 {
        assert_eq!(client.set("Busy", "InACall", None).0, 200);
    }
    assert_eq!(client.set("Busy", "InACall", None).0, 429);
    client.now_ms = 30_000;
    assert_eq!(client.set("Busy", "InACall", None).0, 200);
}

#[test]
fn a_direct_write_is_as_good_as_a_call() {
    let mut tenant = Tenant::new(Settings::for_users([ALICE.to_owned()]));
    assert!(tenant.set(0, ALICE, "Busy", "InACall", Duration::from_secs(300)));
    assert!(!tenant.set(0, ALICE, "Busy", "Nonsense", Duration::from_secs(300)));
    assert!(tenant.clear(1, ALICE) && !tenant.clear(2, ALICE));
}
