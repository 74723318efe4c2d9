//! The front door: routes, authorisation, throttling, validation, in the order in which Graph is known or assumed to check.

use std::time::Duration;

use serde_json::{Value, json};

use super::errors::{self, Refusal};
use super::faults::What;
use super::session::{Shown, parse_pair};
use super::token;
use super::{At, Delivery, Landing, Reply, Request, Response, Tenant, Write};

/// What `expirationDuration` may be (D).
const SHORTEST: Duration = Duration::from_secs(5 * 60);
const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Token(String),
    OpenId(String),
    Keys,
    Set(String),
    Clear(String),
    Get(String),
    WrongMethod,
    Unknown,
}

impl Route {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Route::Token(_) => "token",
            Route::OpenId(_) => "openid-configuration",
            Route::Keys => "keys",
            Route::Set(_) => "setPresence",
            Route::Clear(_) => "clearPresence",
            Route::Get(_) => "presence",
            Route::WrongMethod | Route::Unknown => "unknown",
        }
    }

    pub(super) fn user(&self) -> &str {
        match self {
            Route::Set(user) | Route::Clear(user) | Route::Get(user) => user,
            _ => "",
        }
    }
}

/// Repeated slashes count once: a published client sends them.
pub(super) fn route(request: &Request) -> Route {
    let path = request.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let post = request.method == "POST";
    match *parts.as_slice() {
        [tenant, "oauth2", "v2.0", "token"] if post => Route::Token(tenant.to_lowercase()),
        [tenant, "v2.0", ".well-known", "openid-configuration"] => Route::OpenId(tenant.to_lowercase()),
        [_, "discovery", "v2.0", "keys"] => Route::Keys,
        ["v1.0" | "beta", "users", user, "presence", "setPresence"] if post => Route::Set(user.to_lowercase()),
        ["v1.0" | "beta", "users", user, "presence", "clearPresence"] if post => Route::Clear(user.to_lowercase()),
        ["v1.0" | "beta", "users", _, "presence", "setPresence" | "clearPresence"] => Route::WrongMethod,
        ["v1.0" | "beta", "users", user, "presence"] | ["v1.0" | "beta", "communications", "presences", user]
            if request.method == "GET" =>
        {
            Route::Get(user.to_lowercase())
        }
        _ => Route::Unknown,
    }
}

/// One request on its way through the house.
pub(super) struct Context<'a> {
    pub(super) at: At,
    pub(super) request: &'a Request,
    serial: u64,
    pub(super) pair: Option<String>,
}

impl<'a> Context<'a> {
    pub(super) fn new(at: At, serial: u64, request: &'a Request) -> Self {
        Context { at, request, serial, pair: None }
    }

    pub(super) fn request_id(&self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", self.serial)
    }

    /// Graph's own headers (O).
    fn respond(&self, status: u16, body: String) -> Response {
        let id = self.request_id();
        let client_id = self.request.client_request_id.clone().unwrap_or_else(|| id.clone());
        let mut headers = vec![
            ("request-id".to_owned(), id),
            ("client-request-id".to_owned(), client_id),
            ("x-ms-ags-diagnostic".to_owned(), r#"{"ServerInfo":{"DataCenter":"Sandbox","Ring":"0"}}"#.to_owned()),
        ];
        if !body.is_empty() {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        Response { status, headers, body }
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        let id = self.request_id();
        let inner = json!({
            "date": date(self.at.wall_ms), "request-id": id,
            "client-request-id": self.request.client_request_id.as_deref().unwrap_or(&id),
        });
        self.error(refusal, &inner)
    }

    fn error(&self, Refusal(status, code, message): Refusal, inner: &Value) -> Response {
        let error = json!({ "error": { "code": code, "message": message, "innerError": inner } });
        let mut response = self.respond(status, error.to_string());
        if status == 401 {
            let realm = r#"Bearer realm="", client_id="00000003-0000-0000-c000-000000000000""#;
            response.headers.push(("WWW-Authenticate".to_owned(), realm.to_owned()));
        }
        response
    }

    /// With an inner error of its own kind (D).
    fn throttle(&self, retry_after: Option<String>) -> Response {
        let inner = json!({
            "code": "429", "date": date(self.at.wall_ms), "message": "Please retry after",
            "request-id": self.request_id(), "status": "429",
        });
        let mut response = self.error(errors::THROTTLED, &inner);
        response.headers.extend(retry_after.map(|wait| ("Retry-After".to_owned(), wait)));
        response
    }
}

/// `2026-11-24T09:30:00`
fn date(wall_ms: i64) -> String {
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

/// An ISO 8601 duration within Graph's range, judged to the nanosecond.
fn expiration(text: &str) -> Option<Duration> {
    // ISO 8601 only: jiff would also read "1h" and "1:00:00", which Graph refuses (O).
    let span: jiff::Span = text.starts_with('P').then(|| text.parse().ok())??;
    let span = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(span).ok().filter(|span| (SHORTEST..=LONGEST).contains(span))
}

impl Tenant {
    pub(super) fn answer(&mut self, context: &mut Context<'_>, route: &Route, fault: Option<&What>) -> Reply {
        let answer = |response| Reply { response, delivery: Delivery::Answer };
        let reset = Reply { response: Response::default(), delivery: Delivery::Reset };
        match fault {
            Some(What::Status { status, body, by_graph: true }) => answer(context.respond(*status, body.clone())),
            Some(What::Status { status, body, by_graph: false }) => {
                let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
                answer(Response { status: *status, headers, body: body.clone() })
            }
            Some(What::Throttle { retry_after }) => answer(context.throttle(retry_after.clone())),
            Some(What::ResetBefore) => reset,
            Some(What::NoEffect) => answer(context.respond(200, String::new())),
            Some(What::AppliedThrottle) => {
                self.dispatch(context, route, None);
                answer(context.throttle(None))
            }
            Some(What::ResetAfter) => {
                self.dispatch(context, route, None);
                reset
            }
            Some(What::AppliedLate { after }) => {
                let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                self.dispatch(context, route, Some(context.at.virtual_ms.saturating_add(after_ms)));
                reset
            }
            Some(What::Delay(span)) => {
                Reply { response: self.dispatch(context, route, None), delivery: Delivery::Late(*span) }
            }
            None => answer(self.dispatch(context, route, None)),
        }
    }

    /// `lands`: a write is applied then, not now.
    fn dispatch(&mut self, context: &mut Context<'_>, route: &Route, lands: Option<u64>) -> Response {
        match route {
            Route::Unknown => context.refuse(errors::ROUTE),
            Route::WrongMethod => context.refuse(errors::METHOD),
            Route::Token(tenant) => self.token(context, tenant),
            Route::OpenId(tenant) => self.openid(context, tenant),
            Route::Keys => token::keys(),
            Route::Set(user) | Route::Clear(user) | Route::Get(user) => {
                self.presence(context, route, user, lands).unwrap_or_else(|refused| refused)
            }
        }
    }

    fn presence(
        &mut self,
        context: &mut Context<'_>,
        route: &Route,
        user: &str,
        lands: Option<u64>,
    ) -> Result<Response, Response> {
        let roles = self.authorise(context.at.real_ms, context.request).map_err(|refused| context.refuse(refused))?;
        if let Some(wait) = self.count(context.at.virtual_ms) {
            return Err(context.throttle(Some(wait.to_string())));
        }
        // The body is looked at before the permission (O, for clearPresence).
        let write = self.read(context, route).map_err(|refused| context.refuse(refused))?;
        let may = |role: &str| roles.iter().any(|held| held == role);
        let reads = write.is_none();
        let allowed = may("Presence.ReadWrite.All") || reads && may("Presence.Read.All");
        if !allowed {
            return Err(context.refuse(errors::FORBIDDEN));
        }
        if !self.settings.users.iter().any(|known| known == user) {
            return Err(context.refuse(errors::USER));
        }
        match (write, lands) {
            (None, _) => {
                let Shown { availability, activity } = self.seen(context.at.virtual_ms, user);
                let body = json!({ "id": user, "availability": availability, "activity": activity });
                Ok(context.respond(200, body.to_string()))
            }
            (Some(write), Some(at_ms)) => {
                let landing = Landing { user: user.to_owned(), write };
                self.landing.insert((at_ms, self.serial), landing);
                Ok(context.respond(200, String::new()))
            }
            (Some(write), None) if self.apply(context.at.virtual_ms, user, &write) => {
                Ok(context.respond(200, String::new()))
            }
            (Some(_), None) => Err(context.refuse(errors::NO_SESSION)),
        }
    }

    /// What the body asks for; `None` for a read.
    fn read(&self, context: &mut Context<'_>, route: &Route) -> Result<Option<Write>, Refusal> {
        if matches!(route, Route::Get(_)) {
            return Ok(None);
        }
        let request = context.request;
        if !request.body.is_empty() && !is_media_type(request.content_type.as_deref(), "application/json") {
            return Err(errors::MEDIA_TYPE);
        }
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| errors::NOT_JSON)?;
        let text = |key: &str| body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let session = text("sessionId").ok_or(errors::SESSION_ID)?;
        if !session.eq_ignore_ascii_case(&self.settings.client_id) {
            return Err(errors::OTHER_SESSION_ID);
        }
        if matches!(route, Route::Clear(_)) {
            return Ok(Some(Write::Clear));
        }
        let availability = text("availability").ok_or(errors::AVAILABILITY)?;
        let activity = text("activity").ok_or(errors::ACTIVITY)?;
        context.pair = Some(format!("{availability}/{activity}"));
        let pair = parse_pair(availability, activity).ok_or(errors::PAIR)?;
        let span = match body.get("expirationDuration") {
            None | Some(Value::Null) => SHORTEST, // the default (D)
            Some(span) => span.as_str().and_then(expiration).ok_or(errors::DURATION)?,
        };
        let expires_in_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Ok(Some(Write::Set { pair, expires_in_ms }))
    }
}
