//! What an answer means. Pure: status, headers and body in, outcome out.

use std::time::Duration;

use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde_json::Value;

use super::retry_after::retry_after;
use super::shown;
use crate::presence::{Outcome, Timestamp};

/// As deep as errors are nested.
const DEEPEST: usize = 8;

/// An answer to a call.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

impl Answer {
    /// What it means. `clear`: it was `clearPresence`. `role_missing`: the token itself says that it may not. `now`: to
    /// read a Retry-After date where the answer has no date of its own.
    #[must_use]
    pub fn outcome(&self, clear: bool, role_missing: bool, now: Timestamp) -> Outcome {
        if self.status == 429 {
            return Outcome::Throttled { retry_after: self.retry_after(now) }; // whoever says so
        }
        if !self.is_by_graph() {
            return Outcome::Ambiguous;
        }
        match self.status {
            200..300 => Outcome::Accepted,
            404 if clear => Outcome::Accepted, // there was no session: as asked
            404 => Outcome::NoSuchUser,
            401 => Outcome::Unauthorised,
            403 => Outcome::Forbidden { role_missing },
            408 => Outcome::Ambiguous,
            400..500 => Outcome::Refused,
            _ => Outcome::Ambiguous,
        }
    }

    /// Proxies, captive portals and load balancers answer too.
    #[must_use]
    pub fn is_by_graph(&self) -> bool {
        self.headers.contains_key("request-id") || self.error().is_some()
    }

    /// Graph's code, with the innermost that says more, and its words.
    fn error(&self) -> Option<(String, String)> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        let mut error = body.get("error")?;
        let text = |error: &Value, key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
        let (mut code, mut message) = (text(error, "code")?, text(error, "message").unwrap_or_default());
        let mut innermost = String::new();
        for _ in 0..DEEPEST {
            let Some(inner) = error.get("innerError").or_else(|| error.get("innererror")) else { break };
            error = inner;
            innermost = text(error, "code").filter(|code| !code.is_empty()).unwrap_or(innermost);
            if message.is_empty() {
                message = text(error, "message").unwrap_or_default();
            }
        }
        if !innermost.is_empty() && innermost != code {
            code = format!("{code}/{innermost}");
        }
        Some((code, message))
    }

    /// How long whoever answered wants to be left alone, whatever the status; `now` as in [`Answer::outcome`].
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        retry_after(&self.headers, now)
    }

    /// For a log line: status, Graph's code and words; without these secrets, should the answer repeat them, escaped and
    /// capped.
    #[must_use]
    pub fn describe(&self, secrets: &[&SecretString]) -> String {
        let (code, message) = self.error().unwrap_or_else(|| ("no error of Graph's".into(), String::new()));
        let words = [code, message].into_iter().filter(|word| !word.is_empty());
        shown(&words.fold(self.status.to_string(), |text, word| text + " " + &word), secrets)
    }

    /// The name that Graph gave the request, for its support; made fit for a log line in the same way.
    #[must_use]
    pub fn request_id(&self, secrets: &[&SecretString]) -> Option<String> {
        self.header("request-id", secrets)
    }

    /// Where in Microsoft's cloud it was answered, in the same way.
    #[must_use]
    pub fn diagnostic(&self, secrets: &[&SecretString]) -> Option<String> {
        self.header("x-ms-ags-diagnostic", secrets)
    }

    fn header(&self, name: &str, secrets: &[&SecretString]) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(|value| shown(value, secrets))
    }
}
