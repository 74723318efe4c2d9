//! What can be done about somebody's presence: throttling, validation, permission, lookup, in the table's order; then action.

use std::time::Duration;

use serde_json::{Value, json};

use super::assumptions::{self as known, Door, Refusal};
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
        let granted = self.authorise(context.at.real_ms, context.request);
        let (app, roles) = match granted.map(|grant| (grant.app, self.roles(grant).to_vec())) {
            Ok(granted) => granted,
            Err(refusal) => return Err(context.refuse(refusal)),
        };
        // Read at once, for the evidence; judged in its turn.
        let asked = self.read(context, route, app);
        for check in known::DOOR {
            let refusal = match (check, &asked) {
                (Door::Throttle, _) => match self.throttled(context, app, true) {
                    Some(throttled) => return Err(throttled),
                    None => None,
                },
                (Door::Body, asked) => asked.as_ref().err().copied(),
                (Door::Permission, _) => (!may(&roles, route)).then_some(known::FORBIDDEN),
                (Door::Person, _) => self.missing(route),
            };
            if let Some(refusal) = refusal {
                return Err(context.refuse(refusal));
            }
        }
        let user = route.user();
        match asked {
            Err(refusal) => Err(context.refuse(refusal)),
            Ok(Ask::Location) => Err(context.refuse(known::NOT_FOR_APPS)),
            Ok(Ask::ReadMany(ids)) => Ok(self.show_many(context, &ids)),
            Ok(Ask::Read) => Ok(context.respond(200, self.show(context, user).to_string())),
            Ok(Ask::Write(write)) if self.kind(user) == Kind::Normal => self.perform(context, user, write, lands),
            Ok(Ask::Write(_) | Ask::Nothing) => Ok(written(context)),
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
                Ok(written(context))
            }
            None if self.write(context.at.virtual_ms, user, &write) => Ok(written(context)),
            None => Err(context.refuse(known::NO_SESSION)),
        }
    }

    /// Why somebody cannot be read or written. A user principal name is not resolved.
    fn missing(&mut self, route: &Route) -> Option<Refusal> {
        let user = route.user();
        if user.is_empty() {
            return None;
        }
        if !self.knows(user) {
            let unknown = !route.is_write() && known::UPN_READS_UNKNOWN && user.contains('@');
            return (!unknown).then_some(known::USER);
        }
        match (self.kind(user), self.settings.switches.no_teams) {
            (Kind::NoTeams | Kind::Guest, 403) if route.is_write() => Some(known::FORBIDDEN),
            (Kind::NoTeams | Kind::Guest, 404) if route.is_write() => Some(known::USER),
            _ => None,
        }
    }

    fn kind(&self, user: &str) -> Kind {
        self.settings.people.get(user).map(|person| person.kind).unwrap_or_default()
    }

    fn show_many(&mut self, context: &Context<'_>, ids: &[String]) -> Response {
        let mut value: Vec<Value> = Vec::new();
        for id in ids {
            if known::BULK_SHOWS_UNKNOWN || self.knows(id) {
                value.push(self.show(context, id));
            }
        }
        if known::BULK_SHUFFLES {
            self.dice.shuffle(&mut value);
        }
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
                if !known::UNKNOWN_PROPERTIES_IGNORED && has_others(&body) {
                    return Err(known::NOT_JSON);
                }
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
        let (app, may) = (grant.app, self.roles(grant).iter().any(|role| known::USER_ROLES.contains(&role.as_str())));
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

fn written(context: &Context<'_>) -> Response {
    context.respond(known::WRITTEN, String::new())
}

fn may(roles: &[String], route: &Route) -> bool {
    let has = |role: &str| roles.iter().any(|held| held == role);
    has("Presence.ReadWrite.All") || !route.is_write() && has("Presence.Read.All")
}

/// Properties that `setPresence` does not have.
fn has_others(body: &Value) -> bool {
    const OWN: [&str; 4] = ["sessionId", "availability", "activity", "expirationDuration"];
    body.as_object().is_some_and(|body| body.keys().any(|key| !OWN.contains(&key.as_str())))
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

/// `expirationDuration`, where there is one. ISO 8601 only: jiff would also read "1h" and "1:00:00", which Graph refuses.
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

/// A message of plain text, and when it ends: a time without an offset.
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
        let utc = expiry.get("timeZone").and_then(Value::as_str) == Some("UTC");
        if !known::STATUS_TIME_IS_UTC && !utc {
            return None;
        }
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
