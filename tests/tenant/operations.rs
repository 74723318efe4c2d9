//! What can be done about presence beside setting and clearing, and the switches.

use presence_bridge::sandbox::tenant::{Kind, Person, Settings, Unsupported};
use serde_json::{Value, json};

use super::{ALICE, Client, MINUTE, SESSION, read};
use crate::support::BOB;

const NOBODY: &str = "99999999-9999-4999-8999-999999999999";

fn two() -> Client {
    Client::of(Settings::for_users([ALICE.to_owned(), BOB.to_owned()]))
}

#[test]
fn a_preferred_presence_wins_while_there_is_a_session_and_ends_by_itself() {
    let mut client = two();
    let path = format!("/v1.0/users/{ALICE}/presence/setUserPreferredPresence");
    let prefer = |availability: &str, activity: &str| json!({ "availability": availability, "activity": activity });
    assert_eq!(client.post(&path, &prefer("DoNotDisturb", "DoNotDisturb")).0, 200);
    assert_eq!(client.read_back(), "Offline/Offline", "without any session");
    client.set("Available", "Available", Some("PT4H"));
    assert_eq!(client.read_back(), "DoNotDisturb/DoNotDisturb");
    for (availability, activity, status) in [
        ("Offline", "OffWork", 200),
        ("BeRightBack", "BeRightBack", 200),
        ("Busy", "InACall", 400),
        ("Busy", "Busy", 200),
    ] {
        assert_eq!(client.post(&path, &prefer(availability, activity)).0, status, "{availability}/{activity}");
    }
    // Busy for a day by default; the session is kept up meanwhile.
    let day = 24 * 60 * MINUTE;
    (client.now_ms, client.real_ms) = (day - 1, 0);
    client.set("Available", "Available", None);
    assert_eq!(client.read_back(), "Busy/Busy");
    client.now_ms = day;
    assert_eq!(client.read_back(), "Available/Available");
    // Without body and media type, as a published client sends it, and twice.
    let path = format!("/v1.0/users/{ALICE}/presence/clearUserPreferredPresence");
    for _ in 0..2 {
        let mut request = client.presence("POST", &path, String::new());
        request.content_type = None;
        assert_eq!(client.send(&request).status, 200);
    }
}

#[test]
fn many_people_are_read_at_once_and_strangers_are_unknown() {
    let mut client = two();
    client.set("Busy", "InACall", None);
    let path = "/v1.0/communications/getPresencesByUserId";
    let (status, body) = client.post(path, &json!({ "ids": [ALICE, BOB, NOBODY] }));
    assert_eq!(status, 200);
    let of = |id: &str| {
        let found = body["value"].as_array().unwrap().iter().find(|entry| entry["id"] == id).unwrap();
        found["availability"].as_str().unwrap().to_owned()
    };
    assert_eq!([of(ALICE), of(BOB), of(NOBODY)], ["Busy", "Offline", "PresenceUnknown"]);
    let ids = |count: usize| json!({ "ids": vec![ALICE; count] });
    for (body, status) in
        [(ids(650), 200), (ids(651), 400), (ids(0), 400), (json!({}), 400), (json!({ "ids": [1] }), 400)]
    {
        assert_eq!(client.post(path, &body).0, status);
    }
    client.tenant.settings().roles = vec!["Presence.Read.All".to_owned()];
    client.renew();
    assert_eq!((client.post(path, &ids(1)).0, client.set("Busy", "InACall", None).0), (200, 403));
}

#[test]
fn a_status_message_is_plain_text_with_a_time_of_its_own() {
    let mut client = two();
    let path = format!("/v1.0/users/{ALICE}/presence/setStatusMessage");
    let message = |kind: &str, ends: Value| {
        json!({ "statusMessage": {
            "message": { "content": "Gone fishing", "contentType": kind }, "expiryDateTime": ends,
        } })
    };
    let ends = |time: &str| json!({ "dateTime": time, "timeZone": "UTC" });
    for (body, status) in [
        (message("html", Value::Null), 400),
        (message("text", ends("2026-11-24T10:30:00Z")), 400),
        (json!({}), 400),
        (message("text", ends("2026-11-24T10:30:00.1")), 200),
    ] {
        assert_eq!(client.post(&path, &body).0, status, "{body}");
    }
    let shown =
        |client: &mut Client| client.get(&format!("/v1.0/communications/presences/{ALICE}")).1["statusMessage"].clone();
    // Others do not see when it ends.
    assert_eq!(shown(&mut client), json!({ "message": { "content": "Gone fishing", "contentType": "text" } }));
    client.now_ms = 60 * MINUTE + 1_000;
    assert_eq!(shown(&mut client), Value::Null);
}

#[test]
fn what_applications_may_not_do() {
    let mut client = two();
    for (method, path, status, message) in [
        ("POST", format!("/v1.0/users/{ALICE}/presence/setManualLocation"), 403, "Application is not supported."),
        ("GET", "/v1.0/me/presence".to_owned(), 400, "/me request is only valid with delegated authentication flow."),
        ("GET", format!("/v1.0/users/{ALICE}/nonsense"), 400, "Resource not found for the segment 'nonsense'."),
        ("POST", format!("/v1.0/v1.0/users/{ALICE}"), 400, "Resource not found for the segment 'v1.0'."),
        ("POST", format!("/v1.0/users/{ALICE}/presence"), 405, "The method is not allowed for this resource."),
    ] {
        let (got, body) = client.request(method, &path, String::new());
        assert_eq!((got, &body["error"]["message"]), (status, &json!(message)), "{path}");
        let inner = &body["error"]["innerError"];
        assert!(inner["request-id"].is_string() && inner["date"].is_string(), "published clients read these: {body}");
    }
}

#[test]
fn an_empty_answer_names_no_media_type_and_graph_names_the_request() {
    let mut client = two();
    let body =
        json!({ "sessionId": SESSION, "availability": "Busy", "activity": "InACall", "expirationDutaion": "PT1H" });
    let mut request = client.presence("POST", &format!("/v1.0/users/{ALICE}/presence/setPresence"), body.to_string());
    request.client_request_id = Some("mine".to_owned());
    let response = client.send(&request);
    let header = |name| super::header(&response, name).to_owned();
    assert_eq!((response.status, response.body.as_str(), header("Content-Type").as_str()), (200, "", ""));
    assert_eq!(header("client-request-id"), "mine");
    let server: Value = serde_json::from_str(&header("x-ms-ags-diagnostic")).unwrap();
    for key in ["DataCenter", "Slice", "Ring", "ScaleUnit", "RoleInstance"] {
        assert!(server["ServerInfo"][key].is_string());
    }
    request.client_request_id = None;
    let response = client.send(&request);
    assert_eq!(super::header(&response, "client-request-id"), super::header(&response, "request-id"));
    // The misspelt property was ignored: five minutes.
    assert_eq!(client.seen_at(5 * MINUTE), "Offline/Offline");
}

#[test]
fn people_without_teams_and_names_in_the_place_of_ids() {
    let mut client = two();
    let person = |kind, upn: &str| Person { kind, upn: upn.to_owned(), name: "Somebody".to_owned() };
    let people = &mut client.tenant.settings().people;
    people.insert(ALICE.to_owned(), person(Kind::NoTeams, "alice@example.com"));
    people.insert(BOB.to_owned(), person(Kind::Guest, "bob#ext#@example.com"));
    assert_eq!(
        (client.set("Busy", "InACall", None).0, client.read_back()),
        (200, "PresenceUnknown/PresenceUnknown".into())
    );
    for status in [403, 404] {
        client.tenant.settings().switches.no_teams = status;
        assert_eq!(client.set("Busy", "InACall", None).0, status);
    }
    let body = json!({ "sessionId": SESSION, "availability": "Busy", "activity": "InACall" });
    assert_eq!(client.post("/v1.0/users/alice%40example.com/presence/setPresence", &body).0, 404, "a name is no id");
    let (status, body) = client.get("/v1.0/users/alice@example.com/presence");
    assert_eq!((status, &body["availability"]), (200, &json!("PresenceUnknown")));
    // The directory resolves names, for those who may ask it.
    let (status, body) = client.get("/v1.0/users/alice@example.com");
    assert_eq!((status, &body["error"]["code"]), (403, &json!("Authorization_RequestDenied")));
    client.tenant.settings().roles.push("User.ReadBasic.All".to_owned());
    client.renew();
    assert_eq!(client.get("/v1.0/users/Alice%40Example.com").1["id"], ALICE);
    assert_eq!(client.get(&format!("/v1.0/users/{BOB}")).1["userPrincipalName"], "bob#ext#@example.com");
    let (status, body) = client.get("/v1.0/users/carol@example.com");
    assert_eq!((status, &body["error"]["code"]), (404, &json!("Request_ResourceNotFound")));
    assert!(body["error"]["message"].as_str().unwrap().starts_with("Resource 'carol@example.com' does not exist"));
}

#[test]
fn a_version_stamp_grows_with_each_change_that_is_seen() {
    let mut client = two();
    let stamp = |client: &mut Client| {
        client.get(&format!("/v1.0/users/{ALICE}/presence")).1["sequenceNumber"].as_str().unwrap().to_owned()
    };
    let before = stamp(&mut client);
    assert_eq!(stamp(&mut client), before);
    client.set("Busy", "InACall", None);
    assert!(stamp(&mut client) > before);
}

#[test]
fn switches_stand_for_what_nobody_knows() {
    let mut client = two();
    client.tenant.settings().switches.unsupported_pair = Unsupported::Ignore;
    assert_eq!((client.set("Busy", "Busy", None).0, client.read_back()), (200, "Offline/Offline".to_owned()));
    client.tenant.settings().switches.strict_session_id = false;
    let path = format!("/v1.0/users/{ALICE}/presence/setPresence");
    let orphan = json!({ "sessionId": "anything", "availability": "Away", "activity": "Away" });
    assert_eq!(client.post(&path, &orphan).0, 200);
    assert_eq!((client.clear(), client.read_back()), (404, "Away/Away".to_owned()), "an orphan that nobody clears");
    client.set("Available", "Available", Some("PT4H"));
    client.now_ms = 5 * MINUTE;
    client.tenant.settings().switches.legacy_names = true;
    assert_eq!(client.read_back(), "AvailableIdle/Inactive");
    client.tenant.settings().switches.activity_noise = true;
    client.set("Busy", "InACall", None);
    let read: std::collections::BTreeSet<String> = (0..50).map(|_| client.read_back()).collect();
    assert_eq!(read.into_iter().collect::<Vec<_>>(), ["Busy/Busy", "Busy/InACall"]);
}

#[test]
fn spans_are_settings_too() {
    let mut client = two();
    let times = &mut client.tenant.settings().times;
    (times.fade_ms, times.away_ms, times.expiration_default_ms) = (1_000, 3_000, 5_000);
    (times.expiration_least_ms, times.expiration_most_ms, times.retry_after_s) = (2_000, 10_000, Some(10));
    for (span, status) in [("PT1S", 400), ("PT2S", 200), ("PT11S", 400)] {
        assert_eq!(client.set("Available", "Available", Some(span)).0, status, "{span}");
    }
    client.set("Available", "Available", None);
    let seen = [999, 1_000, 3_000, 5_000].map(|now_ms| client.seen_at(now_ms));
    assert_eq!(seen, ["Available/Available", "Available/AvailableInactive", "Away/Away", "Offline/Offline"]);
    client.tenant.settings().limit = 0;
    let request = client.presence("GET", &format!("/v1.0/users/{ALICE}/presence"), String::new());
    assert_eq!(super::header(&client.send(&request), "Retry-After"), "10");
}

#[test]
fn what_is_read_and_what_teams_shows_may_be_late() {
    let mut client = two();
    client.tenant.settings().switches.propagation_delay_ms = 60_000;
    client.now_ms = 10 * MINUTE;
    client.set("Busy", "InACall", Some("PT1H"));
    client.now_ms = 11 * MINUTE - 1;
    assert_eq!((client.read_back(), client.seen_at(client.now_ms)), ("Offline/Offline".into(), "Busy/InACall".into()));
    client.now_ms = 11 * MINUTE;
    assert_eq!(client.read_back(), "Busy/InACall");
    // A Teams client looks at 8, 12, 16 minutes.
    for (minute, shown) in [(11, "Offline/Offline"), (12, "Busy/InACall"), (13, "Busy/InACall")] {
        assert_eq!(client.tenant.teams_view(minute * MINUTE, ALICE).to_string(), shown, "{minute}");
    }
    client.now_ms = 13 * MINUTE;
    client.clear();
    assert_eq!(client.tenant.teams_view(16 * MINUTE - 1, ALICE).to_string(), "Busy/InACall");
    assert_eq!(client.tenant.teams_view(16 * MINUTE, ALICE).to_string(), "Offline/Offline");
}

#[test]
fn out_of_office_shows_where_nothing_stronger_does() {
    let mut client = two();
    let request = client.presence("POST", &format!("/_sim/users/{ALICE}/out-of-office"), "true".to_owned());
    assert_eq!(read(&client.tenant.control(super::At::default(), &request)).0, 200);
    assert_eq!(client.read_back(), "Offline/OutOfOffice");
    client.set("Busy", "InACall", None);
    let (_, body) = client.get(&format!("/v1.0/users/{ALICE}/presence"));
    assert_eq!((&body["activity"], &body["outOfOfficeSettings"]["isOutOfOffice"]), (&json!("InACall"), &json!(true)));
}
