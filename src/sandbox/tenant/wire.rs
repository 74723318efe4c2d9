//! Requests and answers as the model sees them: no sockets, no clock.

use std::time::Duration;

/// When a request arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// On the virtual clock, for everything that Graph does, milliseconds.
    pub virtual_ms: u64,
    /// The virtual wall clock, for dates in answers, milliseconds since the epoch.
    pub wall_ms: i64,
    /// The real wall clock, for the lifetimes of tokens, milliseconds since the epoch: clients keep tokens by their own
    /// clocks, which do not run faster.
    pub real_ms: i64,
}

/// A request, as far as it matters.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `http` or `https`.
    pub scheme: String,
    /// `GET`, `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The `client-request-id` header.
    pub client_request_id: Option<String>,
    /// The `Metadata` header, which a machine's identity endpoint insists on.
    pub metadata: Option<String>,
    /// The `X-IDENTITY-HEADER` header, which App Service's insists on.
    pub identity_header: Option<String>,
    /// The `Host` header.
    pub host: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Scheme and host as the client wrote them: addresses in answers follow it.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
    }

    pub(super) fn query(&self) -> &str {
        self.path.split_once('?').map_or("", |(_, query)| query)
    }
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers beside those of the transport.
    pub headers: Vec<(String, String)>,
    /// The body; empty without content type.
    pub body: String,
}

impl Response {
    /// A JSON document.
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Response {
        let headers = vec![("Content-Type".to_owned(), "application/json; charset=utf-8".to_owned())];
        Response { status, headers, body: body.to_string() }
    }
}

/// How the answer travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// As it should.
    #[default]
    Answer,
    /// After this time.
    Late(Duration),
    /// Its head and half of its body at once, the rest after this time.
    Halting(Duration),
    /// Its head and half of its body; then the connection is closed.
    Cut,
    /// Never: the connection is closed instead.
    Reset,
}

/// An answer and how it travels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// What Graph would say.
    pub response: Response,
    /// Whether it arrives.
    pub delivery: Delivery,
}
