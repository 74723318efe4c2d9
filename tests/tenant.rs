//! The model itself, against what Graph documents and users observed.

mod assumptions;
mod batch;
mod control;
mod faults;
mod identity;
mod operations;

use std::time::Duration;

use presence_bridge::sandbox::tenant::{At, Request, Response, Settings, Tenant};
use serde_json::{Value, json};

use crate::support::ALICE;

const MINUTE: u64 = 60_000;
const SESSION: &str = "bbbbbbbb-0000-4000-8000-000000000002";

const TOKEN: &str = "/aaaaaaaa-0000-4000-8000-000000000001/oauth2/v2.0/token";
const SCOPE: &str = "https%3A%2F%2Fgraph.microsoft.com%2F.default";
const WALL_MS: i64 = 1_795_512_600_000;

struct Client {
    tenant: Tenant,
    token: String,
    now_ms: u64,
    /// Real time that has passed.
    real_ms: i64,
}

impl Client {
    fn new() -> Client {
        Client::of(Settings::for_users([ALICE.to_owned()]))
    }

    fn of(settings: Settings) -> Client {
        let mut client = Client { tenant: Tenant::new(settings), token: String::new(), now_ms: 0, real_ms: 0 };
        client.renew();
        client
    }

    /// Another token, with the roles of now.
    fn renew(&mut self) {
        let (status, body) = self.token(&form("grant_type", SCOPE));
        assert_eq!((status, &body["expires_in"]), (200, &json!(3599)), "{body}");
        self.token = body["access_token"].as_str().unwrap().to_owned();
    }

    fn send(&mut self, request: &Request) -> Response {
        let wall_ms = WALL_MS + i64::try_from(self.now_ms).unwrap();
        let at = At { virtual_ms: self.now_ms, wall_ms, real_ms: WALL_MS + self.real_ms };
        self.tenant.handle(at, request).response
    }

    fn token(&mut self, form: &str) -> (u16, Value) {
        let request = Request { body: form.as_bytes().to_vec(), ..token_request() };
        read(&self.send(&request))
    }

    fn request(&mut self, method: &str, path: &str, body: String) -> (u16, Value) {
        let request = self.presence(method, path, body);
        read(&self.send(&request))
    }

    fn presence(&self, method: &str, path: &str, body: String) -> Request {
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            authorization: Some(format!("Bearer {}", self.token)),
            content_type: Some("application/json; charset=utf-8".to_owned()),
            body: body.into_bytes(),
            ..Request::default()
        }
    }

    fn get(&mut self, path: &str) -> (u16, Value) {
        self.request("GET", path, String::new())
    }

    fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.request("POST", path, body.to_string())
    }

    /// What the application itself reads back.
    fn read_back(&mut self) -> String {
        let (status, body) = self.get(&format!("/v1.0/users/{ALICE}/presence"));
        assert_eq!(status, 200, "{body}");
        format!("{}/{}", body["availability"].as_str().unwrap(), body["activity"].as_str().unwrap())
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

fn read(response: &Response) -> (u16, Value) {
    (response.status, serde_json::from_str(&response.body).unwrap_or_default())
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

fn form(grant_key: &str, scope: &str) -> String {
    format!("client_id={SESSION}&client_secret=sandbox%2Dsecret&{grant_key}=client_credentials&scope={scope}")
}

fn token_request() -> Request {
    Request {
        scheme: "https".to_owned(),
        method: "POST".to_owned(),
        path: TOKEN.to_owned(),
        content_type: Some("application/x-www-form-urlencoded;charset=utf-8".to_owned()),
        host: "localhost:8443".to_owned(),
        ..Request::default()
    }
}

/// The claims of a token.
fn claims(token: &str) -> Value {
    use base64::Engine;
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[test]
fn tokens_live_in_real_time() {
    let mut client = Client::new();
    let issued = WALL_MS / 1000;
    assert_eq!((&claims(&client.token)["iat"], &claims(&client.token)["exp"]), (&json!(issued), &json!(issued + 3599)));
    // A fast clock: a day has passed for Graph, ten seconds for the client.
    (client.now_ms, client.real_ms) = (24 * 60 * MINUTE, 10_000);
    assert_eq!(client.set("Busy", "InACall", None).0, 200);
    client.real_ms = 3_599_000;
    assert_eq!(client.set("Busy", "InACall", None).0, 401);
}

#[test]
fn answers_are_dated_by_the_tenants_clock() {
    let mut client = Client::new();
    client.now_ms = 90_000;
    let request = client.presence("GET", &format!("/v1.0/users/{ALICE}/presence"), String::new());
    assert_eq!(header(&client.send(&request), "Date"), "Tue, 24 Nov 2026 09:31:30 GMT");
}

#[test]
fn openid_addresses_follow_the_request_and_answer() {
    let mut client = Client::new();
    let tenant = "aaaaaaaa-0000-4000-8000-000000000001";
    for (scheme, host) in [("http", "127.0.0.1:8080"), ("https", "sandbox:8443")] {
        let path = format!("/{tenant}/v2.0/.well-known/openid-configuration");
        let ask = |path| Request {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            method: "GET".to_owned(),
            path,
            ..Request::default()
        };
        let (status, document) = read(&client.send(&ask(path)));
        assert_eq!(status, 200);
        let origin = format!("{scheme}://{host}");
        for key in ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"] {
            assert!(document[key].as_str().unwrap().starts_with(&origin), "{document}");
        }
        let keys = document["jwks_uri"].as_str().unwrap().strip_prefix(&origin).unwrap().to_owned();
        assert_eq!(read(&client.send(&ask(keys))), (200, json!({ "keys": [] })));
    }
}

#[test]
fn the_token_endpoint_refuses_in_order() {
    let mut client = Client::new();
    let own = "https%3A%2F%2Flocalhost%3A8443%2F.default";
    for (form, status, error, number) in [
        (form("grant_type", SCOPE), 200, "", 0),
        (form("grant_type", own), 200, "", 0),
        (form("other", SCOPE), 400, "invalid_request", 900_144),
        (form("grant_type", SCOPE).replace("client_credentials", "password"), 400, "unsupported_grant_type", 70003),
        (form("grant_type", SCOPE).replace(SESSION, "nobody"), 400, "unauthorized_client", 700_016),
        (form("grant_type", SCOPE).replace("sandbox%2D", ""), 401, "invalid_client", 7_000_215),
        (form("grant_type", ""), 400, "invalid_scope", 1_002_012),
        (form("grant_type", "https%3A%2F%2Fgraph.microsoft.com%2FUser.Read"), 400, "invalid_scope", 1_002_012),
        (form("grant_type", "https%3A%2F%2Fgraph.microsoft.us%2F.default"), 400, "invalid_scope", 70011),
        (form("grant_type", "https%3A%2F%2Fmanagement.azure.com%2F.default"), 400, "invalid_scope", 70011),
        (form("grant_type", &format!("{SCOPE}+{own}")), 400, "invalid_scope", 28000),
    ] {
        let (got, body) = client.token(&form);
        assert_eq!(got, status, "{form}: {body}");
        if status != 200 {
            assert_eq!((&body["error"], &body["error_codes"]), (&json!(error), &json!([number])), "{form}");
        }
    }
    let no_form = Request {
        content_type: Some("application/json".to_owned()),
        body: form("grant_type", SCOPE).into_bytes(),
        ..token_request()
    };
    assert_eq!(read(&client.send(&no_form)).1["error_codes"], json!([900_144]));
}

#[test]
fn a_refused_token_is_explained_as_entra_does() {
    let mut client = Client::new();
    client.now_ms = 90_000;
    let refused = |id: Option<&str>, more: &str| Request {
        client_request_id: id.map(str::to_owned),
        body: format!("{}{more}", form("grant_type", "nonsense")).into_bytes(),
        ..token_request()
    };
    // As a header (Python) or as a field of the form (Node).
    for request in [refused(Some("corr-1"), ""), refused(None, "&client-request-id=corr-1")] {
        let (_, body) = read(&client.send(&request));
        let trace = body["trace_id"].as_str().unwrap();
        let lines: Vec<&str> = body["error_description"].as_str().unwrap().split("\r\n").collect();
        assert!(lines[0].starts_with("AADSTS1002012: "), "{lines:?}");
        let rest = [
            format!("Trace ID: {trace}"),
            "Correlation ID: corr-1".to_owned(),
            "Timestamp: 2026-11-24 09:31:30Z".to_owned(),
        ];
        assert_eq!(lines[1..], rest);
        assert_eq!((&body["correlation_id"], &body["timestamp"]), (&json!("corr-1"), &json!("2026-11-24 09:31:30Z")));
    }
}

#[test]
fn basic_client_credentials_are_accepted() {
    use base64::Engine;
    let mut client = Client::new();
    client.tenant.settings().secrets = vec!["s~:/+ä?".to_owned()];
    let body = format!("grant_type=client_credentials&scope={SCOPE}").into_bytes();
    for (secret, status) in [("s~%3A%2F%2B%C3%A4%3F", 200), ("wrong", 401)] {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{SESSION}:{secret}"));
        let request = Request { authorization: Some(format!("Basic {basic}")), body: body.clone(), ..token_request() };
        assert_eq!(client.send(&request).status, status, "{secret}");
    }
}

#[test]
fn a_body_must_say_that_it_is_json() {
    let mut client = Client::new();
    let path = format!("/v1.0/users/{ALICE}/presence/setPresence");
    let body = json!({ "sessionId": SESSION, "availability": "Busy", "activity": "InACall" }).to_string();
    for (content_type, status) in [
        (Some("application/json"), 200),
        (Some("Application/JSON;charset=utf-8"), 200),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (None, 415),
    ] {
        let request = client.presence("POST", &path, body.clone());
        let request = Request { content_type: content_type.map(str::to_owned), ..request };
        assert_eq!(client.send(&request).status, status, "{content_type:?}");
    }
}

#[test]
fn each_missing_field_is_named() {
    let mut client = Client::new();
    let path = format!("/v1.0/users/{ALICE}/presence/setPresence");
    for (field, name) in [("sessionId", "SessionId"), ("availability", "Availability"), ("activity", "Activity")] {
        let mut body = json!({ "sessionId": SESSION, "availability": "Busy", "activity": "InACall" });
        body.as_object_mut().unwrap().remove(field);
        let (status, answer) = client.request("POST", &path, body.to_string());
        let message = format!("[{name}]: The {name} field is required.");
        assert_eq!((status, &answer["error"]["message"]), (400, &json!(message)));
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
        ("PT4M59.9S", 400),
        ("PT4M59.999999999S", 400),
        ("PT5M0.5S", 200),
        ("PT3H59M59.9S", 200),
        ("PT4H0.1S", 400),
        ("PT4H0.000000001S", 400),
        ("PT240M", 200),
        ("P0DT5M", 200),
        ("P1D", 400),
        ("P1M", 400),
        ("", 400),
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
    let (status, answer) = client.set("Busy", "InACall", None);
    let inner = json!({
        "code": "429", "date": "2026-11-24T09:30:10", "message": "Please retry after",
        "request-id": answer["error"]["innerError"]["request-id"], "status": "429",
    });
    assert_eq!((status, &answer["error"]["innerError"]), (429, &inner));
    assert_eq!(answer["error"]["code"], "TooManyRequests");
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
