//! Graph and its token endpoint as a test wants them, with all that the sandbox is too honest for: tokens with odd claims,
//! a wrong clock, writes without effect.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub const TENANT: &str = "aaaaaaaa-0000-4000-8000-000000000001";
pub const CLIENT: &str = "bbbbbbbb-0000-4000-8000-000000000002";

#[derive(Clone)]
pub struct FakeGraph {
    pub url: String,
    state: Arc<Mutex<State>>,
}

pub struct State {
    /// What the next tokens say.
    pub claims: Value,
    /// The token endpoint refuses with this AADSTS number.
    pub refuses: Option<u32>,
    /// User name → object id.
    pub users: BTreeMap<String, String>,
    /// Object id → what is seen: availability and activity.
    pub seen: BTreeMap<String, (String, String)>,
    /// Writes are accepted and change nothing.
    pub no_effect: bool,
    /// Lookups of user names are not allowed.
    pub no_lookups: bool,
    /// Seconds that Graph's clock is ahead of this machine's.
    pub ahead: i64,
    /// The next answers of Graph, before anything else: status and body.
    pub next: Vec<(u16, Value)>,
    /// Method and path of each call.
    pub calls: Vec<String>,
}

impl FakeGraph {
    pub async fn start() -> FakeGraph {
        let claims = json!({
            "aud": "https://graph.microsoft.com", "tid": TENANT, "appid": CLIENT, "azp": CLIENT,
            "roles": ["Presence.ReadWrite.All"],
        });
        let state = Arc::new(Mutex::new(State {
            claims,
            refuses: None,
            users: BTreeMap::new(),
            seen: BTreeMap::new(),
            no_effect: false,
            no_lookups: false,
            ahead: 0,
            next: Vec::new(),
            calls: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        let url = super::server(move |request| answer(Arc::clone(&shared), request)).await;
        FakeGraph { url, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn calls(&self, part: &str) -> usize {
        self.state().calls.iter().filter(|call| call.contains(part)).count()
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = percent_decoded(head.uri.path());
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if path.ends_with("/token") {
        return token(&state);
    }
    state.calls.push(format!("{} {path}", head.method));
    let serial = state.calls.len();
    let (status, body) = match state.next.is_empty() {
        true => route(&mut state, &path, &body),
        false => state.next.remove(0),
    };
    let date = date(&state);
    let id = format!("request-{serial}");
    let headers = [("request-id", id.as_str()), ("date", &date), ("content-type", "application/json")];
    (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response()
}

fn date(state: &State) -> String {
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(state.ahead);
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn token(state: &State) -> Response {
    let date = date(state);
    let headers = [("content-type", "application/json"), ("date", &date)];
    if let Some(number) = state.refuses {
        let error = json!({
            "error": "invalid_client", "error_codes": [number],
            "error_description": format!("AADSTS{number}: refused.\r\nTrace ID: 1"),
        });
        return (StatusCode::UNAUTHORIZED, headers, error.to_string()).into_response();
    }
    let mut claims = state.claims.clone();
    let now = jiff::Timestamp::now().as_second();
    claims["iat"] = json!(now);
    claims["exp"] = json!(now + 3599);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.signature", part(&json!({ "alg": "none" })), part(&claims));
    let answer = json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": token });
    (headers, answer.to_string()).into_response()
}

fn route(state: &mut State, path: &str, body: &[u8]) -> (u16, Value) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if path == "/v1.0/communications/getPresencesByUserId" {
        let ids = body["ids"].as_array().cloned().unwrap_or_default();
        assert!(ids.len() <= 650, "Graph takes 650 ids");
        let seen = ids.iter().filter_map(|id| {
            let (availability, activity) = state.seen.get(id.as_str()?)?;
            Some(json!({ "id": id, "availability": availability, "activity": activity, "statusMessage": null }))
        });
        return (200, json!({ "value": seen.collect::<Vec<_>>() }));
    }
    let Some(rest) = path.strip_prefix("/v1.0/users/") else { return error(400, "BadRequest", "") };
    let Some((id, action)) = rest.split_once("/presence/") else {
        if state.no_lookups {
            return error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.");
        }
        return match state.users.get(&rest.to_lowercase()) {
            Some(id) => (200, json!({ "id": id })),
            None => error(404, "Request_ResourceNotFound", "Resource does not exist."),
        };
    };
    if !state.claims["roles"].to_string().contains("Presence.ReadWrite.All") {
        return error(403, "Forbidden", "");
    }
    let content = match action {
        "setPresence" => (body["availability"].as_str().unwrap(), body["activity"].as_str().unwrap()),
        _ => ("Offline", "Offline"),
    };
    if !state.no_effect {
        state.seen.insert(id.to_owned(), (content.0.to_owned(), content.1.to_owned()));
    }
    (200, Value::Null)
}

fn error(status: u16, code: &str, message: &str) -> (u16, Value) {
    (status, json!({ "error": { "code": code, "message": message } }))
}

fn percent_decoded(path: &str) -> String {
    let mut decoded = String::new();
    let mut rest = path;
    while let Some(start) = rest.find('%') {
        decoded += &rest[..start];
        let byte = u8::from_str_radix(&rest[start + 1..start + 3], 16).unwrap();
        decoded.push(char::from(byte));
        rest = &rest[start + 3..];
    }
    decoded + rest
}
