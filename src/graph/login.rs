//! azure_identity's way to the token endpoint and to the metadata service: our client, our limits, and plain http on
//! loopback. What was refused is read here and kept beside, because azure_identity 1.0.0 cannot read an error with escapes
//! in it, as Entra's line breaks are; what azure_identity gets instead is a refusal without words that no policy of its
//! own repeats, since the attempts are the token holder's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Method, Request};
use secrecy::SecretString;
use serde_json::Value;

use super::skew::Skew;
use super::{LARGEST_ANSWER, chain, read, retry_after};
use crate::clock::Clock;
use crate::secret::redact;

/// azure_identity insists on https; what it sends here goes to the plain port on loopback all the same.
const PLAIN: &str = "https://login.invalid";
/// Where a virtual machine asks for its identity.
const METADATA: &str = "169.254.169.254";

/// What was refused, in numbers and names; never in anybody's words.
#[derive(Clone, Debug, Default)]
pub(super) struct Refused {
    pub(super) status: u16,
    /// Entra's numbers.
    pub(super) codes: Vec<u32>,
    /// OAuth's name for the error.
    pub(super) error: Option<String>,
    /// Entra's name for the request.
    pub(super) trace_id: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

/// The transport.
#[derive(Clone, Debug)]
pub(super) struct Login {
    client: reqwest::Client,
    /// The token endpoint's host, as the configuration has it.
    pub(super) base: reqwest::Url,
    /// Not Microsoft's: the metadata service is looked for there too.
    custom: bool,
    clock: Clock,
    skew: Skew,
    refused: Arc<Mutex<Option<Refused>>>,
}

impl Login {
    pub(super) fn new(client: reqwest::Client, base: reqwest::Url, custom: bool, clock: Clock, skew: Skew) -> Self {
        Login { client, base, custom, clock, skew, refused: Arc::default() }
    }

    /// What azure_identity takes for the address of the token endpoint.
    pub(super) fn authority(&self) -> String {
        match self.base.scheme() {
            "https" => self.base.as_str().trim_end_matches('/').to_owned(),
            _ => PLAIN.to_owned(),
        }
    }

    /// The last refusal, once.
    pub(super) fn take_refused(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn address(&self, request: &Request) -> reqwest::Url {
        let asked = request.url();
        let ours = match asked.host_str() {
            Some(METADATA) => self.custom,
            host => host == PLAIN.strip_prefix("https://"),
        };
        if !ours {
            return asked.clone();
        }
        let mut url = self.base.clone();
        url.set_path(asked.path());
        url.set_query(asked.query());
        url
    }
}

#[async_trait]
impl HttpClient for Login {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        // Not Io, which azure_core would try again by itself.
        let failed = |text: String| azure_core::Error::with_message(ErrorKind::Other, text);
        let Body::Bytes(body) = request.body().clone() else {
            return Err(failed("a request for a token is never a stream".to_owned()));
        };
        let (url, mut header) = (self.address(request), None);
        let mut sent = match request.method() {
            Method::Get => self.client.get(url),
            _ => self.client.post(url).body(body),
        };
        for (name, value) in request.headers().iter() {
            if name.as_str() == "x-identity-header" {
                header = Some(SecretString::from(value.as_str())); // App Service's shared secret
            }
            sent = sent.header(name.as_str(), value.as_str());
        }
        let answer =
            sent.send().await.map_err(|error| failed(format!("no answer: {}", chain(&error.without_url()))))?;
        let answer = read(answer, LARGEST_ANSWER).await.ok_or_else(|| failed("the answer broke off".to_owned()))?;
        let now = self.clock.now().wall;
        self.skew.note(&answer.headers, now);
        if (200..300).contains(&answer.status) {
            return Ok(AsyncRawResponse::from_bytes(answer.status.into(), Headers::new(), answer.body));
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let secret: Vec<&SecretString> = header.iter().collect();
        let refused = Refused {
            status: answer.status,
            codes: numbers(&body),
            error: name(&body, "error", &secret),
            trace_id: name(&body, "trace_id", &secret),
            retry_after: retry_after(&answer.headers, now),
        };
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
        let silent = r#"{"error":"","error_description":"","error_codes":[]}"#;
        Ok(AsyncRawResponse::from_bytes(400.into(), Headers::new(), silent.as_bytes().to_vec()))
    }
}

fn numbers(body: &Value) -> Vec<u32> {
    let codes = body.get("error_codes").and_then(Value::as_array).into_iter().flatten();
    codes.filter_map(|code| u32::try_from(code.as_u64()?).ok()).take(8).collect()
}

/// A short name; whatever is not one is nobody's to vouch for.
fn name(body: &Value, key: &str, secrets: &[&SecretString]) -> Option<String> {
    let text = body.get(key)?.as_str()?;
    let fits = (1..=40).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    fits.then(|| redact(text, secrets))
}
