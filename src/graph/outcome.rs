//! What an answer means. Pure: status, headers and body in, outcome out.

use reqwest::header::HeaderMap;

use super::retry_after::retry_after;
use crate::presence::{Outcome, Timestamp};

/// As much of Graph's own words as a log line shows.
const SHOWN: usize = 200;

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
            return Outcome::Throttled { retry_after: retry_after(&self.headers, now) }; // whoever says so
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
    fn is_by_graph(&self) -> bool {
        self.headers.contains_key("request-id") || self.error().is_some()
    }

    fn error(&self) -> Option<(String, String)> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let error = body.get("error")?;
        let text = |key| error.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
        Some((text("code")?, text("message").unwrap_or_default()))
    }

    /// For a log line: status, Graph's code and words, its request-id; escaped and capped.
    #[must_use]
    pub fn describe(&self) -> String {
        let (code, message) = self.error().unwrap_or_else(|| ("no error of Graph's".into(), String::new()));
        let id = self.headers.get("request-id").and_then(|id| id.to_str().ok()).unwrap_or("none");
        let text = format!("{} {code} {message}", self.status);
        let shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
        format!("{shown} (request-id {id})")
    }
}
