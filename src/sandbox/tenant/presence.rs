//! What can be done about somebody's presence: validation, permission, lookup, action, in the order in which Graph is known
//! or assumed to check.

use std::time::Duration;

use serde_json::{Value, json};

use super::assumptions::{self as known, Refusal};
use super::context::{Context, format_time, is_media_type};
use super::routes::Route;
use super::session::{Key, Shown, parse_pair};
use super::settings::{Kind, Unsupported};
use super::wire::Response;
use super::{Tenant, Write};

/// What a request asks for.
enum Ask {
    Write(Write),
    /// Accepted, and nothing comes of it.
    Nothing,
    Read,
    ReadMany(Vec<String>),
    Location,
}

impl Tenant {
    /// `lands`: a write is applied then, not now.
    pub(super) fn presence(
        &mut self,
        context: &mut Context<'_>,
        route: &Route,
        lands: Option<u64>,
    ) -> Result<Response, Response> {
        let refuse = |context: &Context<'_>, refusal| Err(context.refuse(refusal));
        let (app, roles) = match self.authorise(context.at.real_ms, context.request) {
            Ok(grant) => (grant.app, grant.roles.clone()),
            Err(refusal) => return refuse(context, refusal),
        };
        if let Some(throttled) = self.throttled(context, app, true) {
            return Err(throttled);
        }
        let asked = self.read(context, route, app);
        if known::BODY_BEFORE_PERMISSION
            && let Err(refusal) = asked
        {
            return refuse(context, refusal);
        }
        if !may(&roles, route) {
            return refuse(context, known::FORBIDDEN);
        }
        match asked {
            Err(refusal) => refuse(context, refusal),
            Ok(Ask::Location) => refuse(context, known::NOT_FOR_APPS),
            Ok(Ask::ReadMany(ids)) => Ok(self.show_many(context, &ids)),
            Ok(Ask::Read) => self.show_one(context, route.user()),
            Ok(Ask::Nothing) => match self.writable(route.user()) {
                Ok(_) => Ok(context.respond(200, String::new())),
                Err(refusal) => refuse(context, refusal),
            },
            Ok(Ask::Write(write)) => match self.writable(route.user()) {
                Ok(true) => self.perform(context, route.user(), write, lands),
                Ok(false) => Ok(context.respond(200, String::new())),
                Err(refusal) => refuse(context, refusal),
            },
        }
    }

    fn perform(
        &mut self,
        context: &Context<'_>,
        user: &str,
        write: Write,
        lands: Option<u64>,
    ) -> Result<Response, Response> {
        match lands {
            Some(at_ms) => {
                self.land_later(at_ms, user, write);
                Ok(context.respond(200, String::new()))
            }
            None if self.write(context.at.virtual_ms, user, &write) => Ok(context.respond(200, String::new())),
            None => Err(context.refuse(known::NO_SESSION)),
        }
    }

    /// Whether a write for somebody has an effect. A user principal name is not resolved in a write.
    fn writable(&mut self, user: &str) -> Result<bool, Refusal> {
        if !self.knows(user) {
            return Err(known::USER);
        }
        match (self.kind(user), self.settings.switches.no_teams) {
            (Kind::Normal, _) => Ok(true),
            (Kind::NoTeams | Kind::Guest, 403) => Err(known::FORBIDDEN),
            (Kind::NoTeams | Kind::Guest, 404) => Err(known::USER),
            (Kind::NoTeams | Kind::Guest, _) => Ok(false),
        }
    }

    fn kind(&self, user: &str) -> Kind {
        self.settings.people.get(user).map(|person| person.kind).unwrap_or_default()
    }

    fn show_one(&mut self, context: &Context<'_>, user: &str) -> Result<Response, Response> {
        if !self.knows(user) && !user.contains('@') {
            return Err(context.refuse(known::USER));
        }
        Ok(context.respond(200, self.show(context, user).to_string()))
    }

    fn show_many(&mut self, context: &Context<'_>, ids: &[String]) -> Response {
        let mut value: Vec<Value> = ids.iter().map(|id| self.show(context, id)).collect();
        self.dice.shuffle(&mut value);
        context.respond(200, json!({ "value": value }).to_string())
    }

    /// The presence resource.
    fn show(&mut self, context: &Context<'_>, user: &str) -> Value {
        let is_known = self.knows(user) && self.kind(user) == Kind::Normal;
        let mut shown = match is_known {
            true => self.read_back(context.at.virtual_ms, user),
            false => Shown::new(known::PRESENCE_UNKNOWN, known::PRESENCE_UNKNOWN),
        };
        let sequence = self.sequence(user, &shown);
        let switches = &self.settings.switches;
        if switches.legacy_names && shown == Shown::of(known::FADED) {
            shown = Shown::of(known::FADED_LEGACY);
        }
        if switches.activity_noise && known::NOISE.contains(&shown.activity.as_str()) {
            known::NOISE[self.dice.roll(known::NOISE.len())].clone_into(&mut shown.activity);
        }
        let sessions = self.sessions.get(user);
        let away = sessions.is_some_and(|sessions| sessions.out_of_office);
        let message = sessions.and_then(|sessions| sessions.status_message.as_ref());
        let message = message.filter(|(_, ends)| ends.is_none_or(|ends| context.at.wall_ms < ends));
        json!({
            "id": user, "availability": shown.availability, "activity": shown.activity,
            "outOfOfficeSettings": { "message": null, "isOutOfOffice": away },
            "sequenceNumber": sequence, "statusMessage": message.map(|(message, _)| message), "workLocation": null,
        })
    }

    /// What the body asks for.
    fn read(&mut self, context: &mut Context<'_>, route: &Route, app: usize) -> Result<Ask, Refusal> {
        let request = context.request;
        if matches!(route, Route::Get(_)) {
            return Ok(Ask::Read);
        }
        if !request.body.is_empty() && !is_media_type(request.content_type.as_deref(), "application/json") {
            return Err(known::MEDIA_TYPE);
        }
        match route {
            // Published clients send it without a body.
            Route::Unprefer(_) => return Ok(Ask::Write(Write::Prefer { pair: None, expires_in_ms: 0 })),
            Route::Location(_) => return Ok(Ask::Location),
            _ => {}
        }
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| known::NOT_JSON)?;
        match route {
            Route::Bulk => ids(&body).map(Ask::ReadMany),
            Route::StatusMessage(_) => status_message(context, &body).map(Ask::Write),
            Route::Prefer(_) => {
                let pair = pair(context, &body, &known::PREFERRED_PAIRS)?.ok_or(known::PAIR)?;
                let expires_in_ms = match span(&body)? {
                    None if matches!(pair.availability.as_str(), "Busy" | "DoNotDisturb") => known::PREFERRED_BUSY_MS,
                    None => known::PREFERRED_OTHER_MS,
                    Some(span) if known::PREFERRED_HAS_RANGE => self.in_range(span)?,
                    Some(span) => millis(span),
                };
                Ok(Ask::Write(Write::Prefer { pair: Some(pair), expires_in_ms }))
            }
            Route::Clear(_) => Ok(Ask::Write(Write::Clear { key: self.key(&body, app)? })),
            _ => {
                let key = self.key(&body, app)?;
                let pair = pair(context, &body, &known::PAIRS)?;
                let expires_in_ms = match span(&body)? {
                    None => self.settings.times.expiration_default_ms,
                    Some(span) => self.in_range(span)?,
                };
                match (pair, self.settings.switches.unsupported_pair) {
                    (Some(pair), _) => Ok(Ask::Write(Write::Set { key, pair, expires_in_ms })),
                    (None, Unsupported::Reject) => Err(known::PAIR),
                    (None, Unsupported::Ignore) => Ok(Ask::Nothing),
                }
            }
        }
    }

    /// Judged to the nanosecond.
    fn in_range(&self, span: Duration) -> Result<u64, Refusal> {
        let times = &self.settings.times;
        let [least, most] = [times.expiration_least_ms, times.expiration_most_ms].map(Duration::from_millis);
        if (least..=most).contains(&span) { Ok(millis(span)) } else { Err(known::DURATION) }
    }

    /// Which session a body names.
    fn key(&mut self, body: &Value, app: usize) -> Result<Key, Refusal> {
        let session = text(body, "sessionId").ok_or(known::SESSION_ID)?;
        let own = self.settings.all_apps().nth(app).is_some_and(|app| app.client_id.eq_ignore_ascii_case(session));
        if self.settings.switches.strict_session_id && !own {
            return Err(known::OTHER_SESSION_ID);
        }
        Ok(self.key_of(session))
    }

    /// `GET /users/{id or user principal name}`.
    pub(super) fn person(&mut self, context: &Context<'_>, who: &str) -> Result<Response, Response> {
        let grant = self.authorise(context.at.real_ms, context.request).map_err(|refusal| context.refuse(refusal))?;
        let (app, may) = (grant.app, grant.roles.iter().any(|role| known::USER_ROLES.contains(&role.as_str())));
        if let Some(throttled) = self.throttled(context, app, false) {
            return Err(throttled);
        }
        if !may {
            return Err(context.refuse(known::AUTHORIZATION));
        }
        let Some(id) = self.settings.find(who) else {
            return Err(context.refuse_about(known::RESOURCE_NOT_FOUND, who));
        };
        let person = self.settings.people.get(id).cloned().unwrap_or_default();
        let body = json!({ "id": id, "displayName": person.name, "userPrincipalName": person.upn });
        Ok(context.respond(200, body.to_string()))
    }
}

fn may(roles: &[String], route: &Route) -> bool {
    let has = |role: &str| roles.iter().any(|held| held == role);
    has("Presence.ReadWrite.All") || !route.is_write() && has("Presence.Read.All")
}

fn text<'a>(body: &'a Value, key: &str) -> Option<&'a str> {
    body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The pair of a body; `Ok(None)`: not one of these.
fn pair(context: &mut Context<'_>, body: &Value, pairs: &[(&str, &str)]) -> Result<Option<Shown>, Refusal> {
    let availability = text(body, "availability").ok_or(known::AVAILABILITY)?;
    let activity = text(body, "activity").ok_or(known::ACTIVITY)?;
    context.pair = Some(format!("{availability}/{activity}"));
    Ok(parse_pair(pairs, availability, activity))
}

/// `expirationDuration`, where there is one. ISO 8601 only: jiff would also read "1h" and "1:00:00", which Graph refuses
/// (observed: msgraph-sdk-python#1262).
fn span(body: &Value) -> Result<Option<Duration>, Refusal> {
    let text = match body.get("expirationDuration") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_str().ok_or(known::NOT_A_DURATION)?,
    };
    let read = || {
        let span: jiff::Span = text.starts_with('P').then(|| text.parse().ok())??;
        let span = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
        Duration::try_from(span).ok()
    };
    read().map(Some).ok_or(known::NOT_A_DURATION)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn ids(body: &Value) -> Result<Vec<String>, Refusal> {
    let ids = body.get("ids").and_then(Value::as_array).ok_or(known::IDS)?;
    let ids: Option<Vec<String>> = ids.iter().map(|id| id.as_str().map(str::to_lowercase)).collect();
    ids.filter(|ids| (1..=known::BULK_MOST).contains(&ids.len())).ok_or(known::IDS)
}

/// A message of plain text, and when it ends: a time without an offset. The zone counts as UTC, whatever it is called.
fn status_message(context: &Context<'_>, body: &Value) -> Result<Write, Refusal> {
    let refused = || known::STATUS_MESSAGE;
    let status = body.get("statusMessage").ok_or_else(refused)?;
    let message = status.get("message").ok_or_else(refused)?;
    let content = message.get("content").and_then(Value::as_str).ok_or_else(refused)?;
    if message.get("contentType").and_then(Value::as_str) != Some(known::STATUS_CONTENT_TYPE) {
        return Err(refused());
    }
    let mut shown = json!({ "message": { "content": content, "contentType": known::STATUS_CONTENT_TYPE } });
    let expiry = status.get("expiryDateTime").filter(|expiry| !expiry.is_null());
    let ends = expiry.map(|expiry| {
        let at = expiry.get("dateTime").and_then(Value::as_str)?.parse::<jiff::civil::DateTime>().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(at).ok().map(jiff::Timestamp::as_millisecond)
    });
    let ends = match ends {
        Some(None) => return Err(refused()),
        Some(ends) => ends,
        None => None,
    };
    if known::STATUS_TIMES_SHOWN {
        shown["publishedDateTime"] = json!(format_time(context.at.wall_ms, "%Y-%m-%dT%H:%M:%SZ"));
        shown["expiryDateTime"] = expiry.cloned().unwrap_or_default();
    }
    Ok(Write::Status { message: shown, ends })
}
