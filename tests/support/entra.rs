//! A token endpoint, a metadata service and a Graph in one small server, which keep what they were shown and answer as they
//! are told. For what the sandbox does not play.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use presence_bridge::clock::Clock;
use serde_json::{Value, json};

pub const TENANT: &str = "aaaaaaaa-0000-4000-8000-000000000001";
/// The application that tokens are for; not the one of the configurations in tests.
pub const IDENTITY: &str = "cccccccc-0000-4000-8000-000000000003";

/// One request for a token.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub path: String,
    /// Form or query.
    pub fields: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
}

/// What it keeps and what it says.
#[derive(Debug, Default)]
pub struct Book {
    pub shown: Vec<Shown>,
    /// Bodies of calls to presence.
    pub calls: Vec<Value>,
    /// Answers to the next requests for tokens, before the good ones.
    pub refusals: VecDeque<(u16, String)>,
    /// Lifetime of tokens.
    pub life: Duration,
    /// Claims beside the usual.
    pub claims: Value,
}

#[derive(Clone)]
pub struct Entra {
    pub url: String,
    book: Arc<Mutex<Book>>,
}

impl Entra {
    pub async fn start() -> Entra {
        let book = Arc::new(Mutex::new(Book { life: Duration::from_secs(3599), ..Book::default() }));
        let kept = Arc::clone(&book);
        let url = super::server(move |request| serve(Arc::clone(&kept), request)).await;
        Entra { url, book }
    }

    pub fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn shown(&self) -> Vec<Shown> {
        self.book().shown.clone()
    }

    /// The next request for a token is refused so.
    pub fn refuse(&self, status: u16, body: &str) {
        self.book().refusals.push_back((status, body.to_owned()));
    }
}

async fn serve(book: Arc<Mutex<Book>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
    let path = head.uri.path().to_owned();
    if path.contains("/presence/") {
        book.calls.push(serde_json::from_slice(&body).unwrap());
        return ([("request-id", "id-1")], "").into_response();
    }
    let text = String::from_utf8(body.to_vec()).unwrap();
    let fields = form(if head.method == "GET" { head.uri.query().unwrap_or_default() } else { &text });
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    book.shown.push(Shown { path: path.clone(), fields, headers: headers.collect() });
    if let Some((status, body)) = book.refusals.pop_front() {
        let headers = [("content-type", "application/json"), ("retry-after", "1")];
        return (StatusCode::from_u16(status).unwrap(), headers, body).into_response();
    }
    let serial = book.shown.len();
    let token = token(book.life, serial, &book.claims);
    let seconds = book.life.as_secs();
    let body = match path.ends_with("/oauth2/v2.0/token") {
        true => json!({ "token_type": "Bearer", "expires_in": seconds, "access_token": token }),
        // Numbers are strings here.
        false => json!({
            "token_type": "Bearer", "resource": "https://graph.microsoft.com", "access_token": token,
            "expires_in": seconds.to_string(), "expires_on": (now() + seconds).to_string(),
        }),
    };
    ([("content-type", "application/json")], body.to_string()).into_response()
}

pub fn now() -> u64 {
    u64::try_from(Clock::live().real_wall().as_millis() / 1000).unwrap()
}

/// A token as Entra makes them, unsigned; no two are the same.
pub fn token(life: Duration, serial: usize, more: &Value) -> String {
    let mut claims = json!({
        "aud": "https://graph.microsoft.com", "tid": TENANT, "appid": IDENTITY, "serial": serial,
        "roles": ["Presence.ReadWrite.All"], "nbf": now(), "exp": now() + life.as_secs(),
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.c2ln", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(&claims))
}

/// The parts of a JWT.
pub fn jwt(token: &str) -> (Value, Value, Vec<u8>) {
    let parts: Vec<Vec<u8>> = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap();
    (json(&parts[0]), json(&parts[1]), parts[2].clone())
}

fn form(text: &str) -> BTreeMap<String, String> {
    // A URL knows how to take a query apart.
    let url: reqwest::Url = format!("http://x/?{text}").parse().unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// An error as Entra writes it, line breaks and all.
pub fn aadsts(code: u32, text: &str) -> String {
    json!({
        "error": "invalid_client", "error_codes": [code], "trace_id": "dddddddd-0000-4000-8000-000000000004",
        "error_description": format!("AADSTS{code}: {text}\r\nTrace ID: 1\r\nTimestamp: 2"),
    })
    .to_string()
}
