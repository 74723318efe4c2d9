//! One request on its way through the house, and answers with Graph's headers.

use serde_json::{Value, json};

use super::assumptions::{self as known, Refusal};
use super::wire::{At, Request, Response};

pub(super) struct Context<'a> {
    pub(super) at: At,
    pub(super) request: &'a Request,
    pub(super) seed: u64,
    pub(super) serial: u64,
    /// `availability/activity`, for the evidence.
    pub(super) pair: Option<String>,
}

impl Context<'_> {
    pub(super) fn request_id(&self) -> String {
        format!("{:08x}-0000-4000-8000-{:012x}", self.seed & 0xffff_ffff, self.serial)
    }

    pub(super) fn client_request_id(&self) -> String {
        let echoed = || if known::REQUEST_ID_ECHOED { self.request_id() } else { String::new() };
        self.request.client_request_id.clone().unwrap_or_else(echoed)
    }

    /// Graph's own headers. An empty answer names no media type: published clients would try to read it.
    pub(super) fn respond(&self, status: u16, body: String) -> Response {
        let mut headers = vec![
            ("request-id".to_owned(), self.request_id()),
            ("client-request-id".to_owned(), self.client_request_id()),
            ("x-ms-ags-diagnostic".to_owned(), known::DIAGNOSTIC.to_owned()),
        ];
        if !body.is_empty() {
            headers.push(("Content-Type".to_owned(), media_type(&body).to_owned()));
        }
        Response { status, headers, body }
    }

    pub(super) fn refuse(&self, refusal: Refusal) -> Response {
        self.refuse_about(refusal, "")
    }

    /// With the word that the message is about.
    pub(super) fn refuse_about(&self, refusal: Refusal, word: &str) -> Response {
        let inner = json!({
            "date": date(self.at.wall_ms), "request-id": self.request_id(),
            "client-request-id": self.client_request_id(),
        });
        self.error(refusal, word, &inner)
    }

    fn error(&self, Refusal(status, code, message): Refusal, word: &str, inner: &Value) -> Response {
        let message = message.replace("{}", word);
        let error = json!({ "error": { "code": code, "message": message, "innerError": inner } });
        let mut response = self.respond(status, error.to_string());
        if status == 401 {
            let (origin, app) = (self.request.origin(), known::GRAPH_APP);
            let uri = format!("{origin}/common/oauth2/authorize");
            let realm = format!(r#"Bearer realm="", authorization_uri="{uri}", client_id="{app}""#);
            response.headers.push(("WWW-Authenticate".to_owned(), realm));
        }
        response
    }

    /// With an inner error of its own kind.
    pub(super) fn throttle(&self, refusal: Refusal, retry_after: Option<String>) -> Response {
        let inner = json!({
            "code": "429", "date": date(self.at.wall_ms), "message": "Please retry after",
            "request-id": self.request_id(), "status": "429",
        });
        let mut response = self.error(refusal, "", &inner);
        response.headers.extend(retry_after.map(|wait| ("Retry-After".to_owned(), wait)));
        response
    }
}

/// What a body looks like.
pub(super) fn media_type(body: &str) -> &'static str {
    if body.starts_with(['{', '[']) { "application/json" } else { "text/html" }
}

/// `2026-11-24T09:30:00`
pub(super) fn date(wall_ms: i64) -> String {
    format_time(wall_ms, "%Y-%m-%dT%H:%M:%S")
}

/// `Tue, 24 Nov 2026 09:30:00 GMT`
pub(super) fn http_date(wall_ms: i64) -> String {
    format_time(wall_ms, "%a, %d %b %Y %H:%M:%S GMT")
}

pub(super) fn format_time(wall_ms: i64, format: &str) -> String {
    jiff::Timestamp::from_millisecond(wall_ms).map_or_else(|_| String::new(), |at| at.strftime(format).to_string())
}

/// Whether a header names this media type, whatever its parameters.
pub(super) fn is_media_type(header: Option<&str>, media_type: &str) -> bool {
    header.and_then(|text| text.split(';').next()).is_some_and(|text| text.trim().eq_ignore_ascii_case(media_type))
}
