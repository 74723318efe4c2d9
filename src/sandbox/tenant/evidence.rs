//! What was asked and answered: the log, and the figures by which a client is judged. Never a secret, never a token.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::Tenant;
use super::context::{Context, date};
use super::encoding::form;
use super::routes::Route;
use super::session::Shown;
use super::wire::{Delivery, Reply};

/// The log keeps the last so many requests, or up to twice as many.
const KEPT: usize = 100_000;
/// A call that comes so soon after a 429 was on its way already, milliseconds of real time.
const ON_ITS_WAY_MS: i64 = 250;
/// A Retry-After counts for no longer, milliseconds.
const LONGEST_WAIT_MS: u64 = 15 * 60_000;

/// One request as the evidence keeps it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// When it arrived, on the virtual clock.
    pub at_ms: u64,
    /// The same as a date.
    pub at: String,
    /// `setPresence`, `clearPresence`, `token`, …
    pub what: String,
    /// The person.
    pub user: String,
    /// `availability/activity`, for a set.
    pub pair: Option<String>,
    /// The status that was answered.
    pub status: u16,
    /// Whether the answer was sent at all.
    pub answered: bool,
    /// `GET`, `POST`
    pub method: String,
    /// Path and query.
    pub path: String,
    /// As the client named it, or as we did.
    pub client_request_id: String,
    /// The body as far as it can be shown.
    pub body: Value,
}

/// What a client did, in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Metrics {
    /// Requests of all kinds.
    pub requests: u64,
    /// Writes of presence, whatever was answered.
    pub writes: u64,
    /// Sets of the pair that was live anyway: refreshes, and what was not needed.
    pub unchanged_writes: u64,
    /// The longest time between two sets of one session that was live throughout, milliseconds.
    pub longest_refresh_gap_ms: u64,
    /// 429s.
    pub throttled: u64,
    /// Calls to presence while a Retry-After, up to 15 minutes, was not over: must be none.
    pub inside_retry_after: u64,
    /// Writes by person.
    pub writes_by_user: BTreeMap<String, u64>,
}

/// Until when an application was told to wait.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    until_ms: u64,
    real_ms: i64,
}

impl Tenant {
    /// Every request so far, or the last of very many.
    #[must_use]
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// The calls of a kind for a person that were applied or refused: `setPresence`, `clearPresence`.
    #[must_use]
    pub fn calls(&self, user: &str, what: &str) -> Vec<&Entry> {
        self.log.iter().filter(|entry| entry.user == user && entry.what == what).collect()
    }

    /// Figures since the beginning.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn observe_arrival(&mut self, context: &Context<'_>, route: &Route) {
        self.metrics.requests += 1;
        if !route.is_presence() {
            return;
        }
        let Ok(grant) = self.authorise(context.at.real_ms, context.request) else { return };
        let told = self.told.get(&grant.app).copied().unwrap_or_default();
        let arrived = context.at;
        if arrived.virtual_ms < told.until_ms && arrived.real_ms >= told.real_ms + ON_ITS_WAY_MS {
            self.metrics.inside_retry_after += 1;
        }
    }

    pub(super) fn observe(&mut self, context: &Context<'_>, route: &Route, reply: &Reply) {
        let response = &reply.response;
        if route.is_write() {
            self.metrics.writes += 1;
            *self.metrics.writes_by_user.entry(route.user().to_owned()).or_default() += 1;
        }
        if response.status == 429 && route.is_presence() {
            self.metrics.throttled += 1;
            self.tell(context, response.headers.iter().find(|(name, _)| name == "Retry-After").map(|(_, wait)| wait));
        }
        if self.log.len() >= 2 * KEPT {
            self.log.drain(..KEPT);
        }
        let request = context.request;
        self.log.push(Entry {
            at_ms: context.at.virtual_ms,
            at: date(context.at.wall_ms),
            what: route.name().to_owned(),
            user: route.user().to_owned(),
            pair: context.pair.clone(),
            status: response.status,
            answered: reply.delivery != Delivery::Reset,
            method: request.method.clone(),
            path: request.path.clone(),
            client_request_id: context.client_request_id(),
            body: redacted(route, &request.body),
        });
    }

    fn tell(&mut self, context: &Context<'_>, retry_after: Option<&String>) {
        let Ok(grant) = self.authorise(context.at.real_ms, context.request) else { return };
        let app = grant.app;
        let at = context.at;
        let Some(wait_ms) = retry_after.and_then(|wait| wait_ms(wait, at.wall_ms)) else { return };
        let until_ms = at.virtual_ms.saturating_add(wait_ms.min(LONGEST_WAIT_MS));
        let told = self.told.entry(app).or_default();
        if until_ms > told.until_ms {
            *told = Told { until_ms, real_ms: at.real_ms };
        }
    }

    /// A set was applied; `before` was live in this session until then.
    pub(super) fn observe_set(&mut self, now_ms: u64, pair: &Shown, before: Option<(Shown, u64)>) {
        let Some((live, set_ms)) = before else { return };
        let gap = &mut self.metrics.longest_refresh_gap_ms;
        *gap = (*gap).max(now_ms.saturating_sub(set_ms));
        self.metrics.unchanged_writes += u64::from(live == *pair);
    }
}

/// Seconds or a date.
fn wait_ms(retry_after: &str, wall_ms: i64) -> Option<u64> {
    if let Ok(seconds) = retry_after.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let date = retry_after.replace("GMT", "+0000");
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    u64::try_from(date.as_millisecond() - wall_ms).ok()
}

/// Forms without what proves somebody's identity, JSON as it is, anything else by its length.
fn redacted(route: &Route, body: &[u8]) -> Value {
    const SECRET: [&str; 3] = ["client_secret", "client_assertion", "assertion"];
    if body.is_empty() {
        return Value::Null;
    }
    if matches!(route, Route::Token(_)) {
        let shown = |(key, value): (String, String)| {
            let hidden = SECRET.contains(&key.as_str());
            (key, Value::String(if hidden { "(redacted)".to_owned() } else { value }))
        };
        return Value::Object(form(&String::from_utf8_lossy(body)).into_iter().map(shown).collect());
    }
    serde_json::from_slice(body).unwrap_or_else(|_| json!({ "unreadable": body.len() }))
}
