//! `/_sim`: what a test says to the tenant beside Graph's own language, and what it asks it. Who may is for the server to
//! decide; the clock is the server's, too.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::assumptions::assumptions;
use super::faults::{Fault, Match, Waiting, What};
use super::session::Shown;
use super::wire::{At, Request, Response};
use super::{Settings, Tenant};

/// A fault as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultJson {
    on: On,
    #[serde(default = "once")]
    times: u32,
    #[serde(default = "always")]
    probability: f64,
    what: Kind,
    status: Option<u16>,
    #[serde(default)]
    body: String,
    retry_after: Option<String>,
    after_ms: Option<u64>,
    #[serde(default = "yes")]
    by_graph: bool,
}

fn once() -> u32 {
    1
}

fn always() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum On {
    Set,
    Clear,
    Read,
    Presence,
    User,
    Token,
    Identity,
    Any,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Status,
    Throttle,
    Unauthorised,
    Forbidden,
    AppliedThrottle,
    AppliedStatus,
    ResetBefore,
    ResetAfter,
    AppliedLate,
    Delay,
    DelayBody,
    Cut,
    Truncated,
    NoEffect,
    NoContent,
    RevokeTokens,
}

impl FaultJson {
    fn waiting(self) -> Result<Waiting, String> {
        let FaultJson { on, times, probability, what, status, body, retry_after, after_ms, by_graph } = self;
        if !(0.0..=1.0).contains(&probability) || times == 0 {
            return Err("probability is 0 to 1, times 1 or more".to_owned());
        }
        let needed = |key: &str| format!("{what:?} needs {key:?}");
        let after = || after_ms.map(Duration::from_millis).ok_or_else(|| needed("after_ms"));
        let status = || status.filter(|status| (200..600).contains(status)).ok_or_else(|| needed("status (200…599)"));
        let on = match on {
            On::Set => Match::Set,
            On::Clear => Match::Clear,
            On::Read => Match::Read,
            On::Presence => Match::AnyPresence,
            On::User => Match::User,
            On::Token => Match::Token,
            On::Identity => Match::Identity,
            On::Any => Match::Any,
        };
        let what = match what {
            Kind::Status => What::Answer { status: status()?, body, retry_after, by_graph },
            Kind::Throttle => What::Throttle { retry_after },
            Kind::Unauthorised => What::Unauthorised,
            Kind::Forbidden => What::Forbidden,
            Kind::AppliedThrottle => What::AppliedThrottle,
            Kind::AppliedStatus => What::AppliedStatus { status: status()? },
            Kind::ResetBefore => What::ResetBefore,
            Kind::ResetAfter => What::ResetAfter,
            Kind::AppliedLate => What::AppliedLate { after: after()? },
            Kind::Delay => What::Delay(after()?),
            Kind::DelayBody => What::DelayBody(after()?),
            Kind::Cut => What::Cut,
            Kind::Truncated => What::Truncated,
            Kind::NoEffect => What::NoEffect,
            Kind::NoContent => What::NoContent,
            Kind::RevokeTokens => What::RevokeTokens,
        };
        Ok(Waiting { fault: Fault { on, times, what }, probability })
    }
}

/// A status by hand, or none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PairJson {
    #[serde(default)]
    client: String,
    availability: Option<String>,
    activity: Option<String>,
}

impl PairJson {
    fn pair(&self) -> Result<Option<Shown>, String> {
        match (&self.availability, &self.activity) {
            (None, None) => Ok(None),
            (Some(availability), Some(activity)) => Ok(Some(Shown::new(availability, activity))),
            _ => Err("availability and activity belong together; neither ends it".to_owned()),
        }
    }
}

impl Tenant {
    /// A request to `/_sim`, all but its clock.
    pub fn control(&mut self, at: At, request: &Request) -> Response {
        self.land(at.virtual_ms);
        let path = request.path.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).skip(1).collect();
        let done = match (request.method.as_str(), parts.as_slice()) {
            ("GET", parts) => self.evidence(at, request, parts).ok_or(None),
            ("POST", parts) => self.order(at, parts, &request.body).map_err(Some),
            _ => Err(None),
        };
        match done {
            Ok(body) => Response::json(200, &body),
            Err(Some(error)) => Response::json(400, &json!({ "error": error })),
            Err(None) => Response::json(404, &json!({ "error": "docs/sandbox.md lists what there is below /_sim" })),
        }
    }

    fn evidence(&mut self, at: At, request: &Request, parts: &[&str]) -> Option<Value> {
        Some(match parts {
            ["state"] => self.state(at.virtual_ms),
            ["log"] => {
                let query = super::encoding::form(request.query());
                let skip = super::encoding::field(&query, "skip").parse().unwrap_or(0);
                json!({ "entries": self.log.iter().skip(skip).collect::<Vec<_>>(), "next": self.log.len() })
            }
            ["metrics"] => json!(self.metrics),
            ["config"] => json!(self.settings),
            ["faults"] => json!({ "waiting": self.faults.len() }),
            ["assumptions"] => json!(assumptions()),
            ["users", user] => json!(self.seen(at.virtual_ms, &user.to_lowercase())),
            ["users", user, "ui"] => json!(self.teams_view(at.virtual_ms, &user.to_lowercase())),
            _ => return None,
        })
    }

    fn order(&mut self, at: At, parts: &[&str], body: &[u8]) -> Result<Value, String> {
        match parts {
            ["reset"] => {
                *self = Tenant::new(self.initial.clone());
                Ok(json!({}))
            }
            ["config"] => {
                let mut merged = json!(self.settings);
                merge(&mut merged, read(body)?);
                let settings: Settings = serde_json::from_value(merged).map_err(|error| error.to_string())?;
                *self.settings() = settings;
                Ok(json!({}))
            }
            ["faults"] => {
                let body: Value = read(body)?;
                let list = if body.is_array() { body } else { json!([body]) };
                let faults: Vec<FaultJson> = serde_json::from_value(list).map_err(|error| error.to_string())?;
                let faults: Vec<Waiting> = faults.into_iter().map(FaultJson::waiting).collect::<Result<_, _>>()?;
                self.faults.extend(faults);
                Ok(json!({ "waiting": self.faults.len() }))
            }
            ["faults", "clear"] => {
                self.faults.clear();
                Ok(json!({}))
            }
            ["tokens", "revoke"] => {
                self.revoke_tokens();
                Ok(json!({}))
            }
            ["users", user, what] => self.person_order(at, &user.to_lowercase(), what, body),
            _ => Err("docs/sandbox.md lists what there is below /_sim".to_owned()),
        }
    }

    fn person_order(&mut self, at: At, user: &str, what: &str, body: &[u8]) -> Result<Value, String> {
        if !self.knows(user) {
            return Err(format!("{user:?} is not one of the tenant's people: they go by object id"));
        }
        let now_ms = at.virtual_ms;
        self.remember(now_ms, user);
        let sessions = self.sessions.entry(user.to_owned()).or_default();
        match what {
            "client" => {
                let given: PairJson = read(body)?;
                sessions.client(now_ms, &given.client, given.pair()?);
            }
            "preferred" => sessions.prefer(read::<PairJson>(body)?.pair()?, u64::MAX),
            "out-of-office" => sessions.out_of_office = read(body)?,
            _ => return Err("client, preferred or out-of-office".to_owned()),
        }
        Ok(json!(self.seen(now_ms, user)))
    }

    /// All sessions with their deadlines.
    fn state(&mut self, now_ms: u64) -> Value {
        let mut users: Vec<&String> = self.sessions.keys().collect();
        users.sort();
        let people = users.into_iter().filter_map(|user| {
            let sessions = self.sessions.get(user)?;
            let live: Vec<Value> = sessions.evidence(now_ms).into_iter().map(|session| {
                json!({
                    "sessionId": self.session_ids.get(session.key as usize), "availability": session.pair.availability,
                    "activity": session.pair.activity, "set_ms": session.set_ms, "expires_ms": session.expires_ms,
                })
            }).collect();
            let preferred = sessions.preferred(now_ms);
            Some(json!({ "user": user, "seen": sessions.seen(now_ms, &self.settings.times), "sessions": live, "preferred": preferred }))
        });
        json!({ "now_ms": now_ms, "people": people.collect::<Vec<_>>() })
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// Objects are merged, everything else replaced.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
