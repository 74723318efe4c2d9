//! A pure model of presence in one tenant: sessions, fade, expiry, aggregation; the token endpoint; throttling.
//!
//! Time is an argument, in milliseconds on a virtual clock; the lifetimes of tokens alone are real ([`At`]). Every rule is Microsoft's documentation (D), observed by users
//! (O) or assumed (A); the bodies of refusals stand in `errors` with their mark, so that a capture of the real service
//! can replace an assumption. Nothing here shares code with the bridge: it could not judge it otherwise.

mod errors;
mod faults;
mod front;
mod session;
mod token;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

pub use self::faults::{Fault, Match, What};
pub use self::session::Shown;
use self::session::{Sessions, parse_pair};

/// Graph counts calls in windows of this length (algorithm A).
const WINDOW_MS: u64 = 30_000;

/// The tenant and its one application.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory id.
    pub tenant_id: String,
    /// The application's id; also its session id.
    pub client_id: String,
    /// Secrets that are accepted now; one that begins with `expired:` is known but expired.
    pub secrets: Vec<String>,
    /// Application permissions of the application.
    pub roles: Vec<String>,
    /// Object ids of the people, lower case.
    pub users: Vec<String>,
    /// Calls to presence in 30 s (D: 1,500, and 10,000 on a newer page).
    pub limit: u32,
    /// Lifetime of tokens, seconds (D).
    pub token_ttl: u64,
}

impl Settings {
    /// A tenant with these people and sensible ids.
    #[must_use]
    pub fn for_users(users: impl IntoIterator<Item = String>) -> Self {
        Settings {
            tenant_id: "aaaaaaaa-0000-4000-8000-000000000001".to_owned(),
            client_id: "bbbbbbbb-0000-4000-8000-000000000002".to_owned(),
            secrets: vec!["sandbox-secret".to_owned()],
            roles: vec!["Presence.ReadWrite.All".to_owned()],
            users: users.into_iter().map(|user| user.to_lowercase()).collect(),
            limit: 1500,
            token_ttl: 3599,
        }
    }
}

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
    /// The `Host` header.
    pub host: String,
    /// The body.
    pub body: Vec<u8>,
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

/// How the answer travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// As it should.
    #[default]
    Answer,
    /// After this time.
    Late(Duration),
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

/// One request as the evidence keeps it: never a secret, never a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it arrived.
    pub at_ms: u64,
    /// `setPresence`, `clearPresence`, `token`, or the path.
    pub what: String,
    /// The person.
    pub user: String,
    /// `availability/activity`, for a set.
    pub pair: Option<String>,
    /// The status that was answered.
    pub status: u16,
    /// Whether the answer was sent at all.
    pub answered: bool,
}

/// The tenant.
#[derive(Debug)]
pub struct Tenant {
    settings: Settings,
    sessions: HashMap<String, Sessions>,
    tokens: HashMap<String, token::Grant>,
    window: (u64, u32),
    faults: Vec<Fault>,
    /// Writes that a fault holds back, by the time at which they land.
    landing: BTreeMap<(u64, u64), Landing>,
    log: Vec<Entry>,
    serial: u64,
}

#[derive(Clone, Debug)]
struct Landing {
    user: String,
    write: Write,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Write {
    Set { pair: Shown, expires_in_ms: u64 },
    Clear,
}

impl Tenant {
    /// Nobody has a session yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Tenant {
            settings,
            sessions: HashMap::new(),
            tokens: HashMap::new(),
            window: (0, 0),
            faults: Vec::new(),
            landing: BTreeMap::new(),
            log: Vec::new(),
            serial: 0,
        }
    }

    /// Settings, to change them while it runs: roles, secrets, limits.
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Adds a fault for the next calls that match.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Every request so far.
    #[must_use]
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// The calls of a kind for a person that were applied or refused: `setPresence`, `clearPresence`.
    #[must_use]
    pub fn calls(&self, user: &str, what: &str) -> Vec<&Entry> {
        self.log.iter().filter(|entry| entry.user == user && entry.what == what).collect()
    }

    /// What a colleague sees: availability and activity, aggregated over all sessions.
    pub fn seen(&mut self, now_ms: u64, user: &str) -> Shown {
        self.land(now_ms);
        self.sessions.get(user).map_or_else(Shown::offline, |sessions| sessions.seen(now_ms))
    }

    /// Our application's session, as Graph holds it: the pair as set, and until when.
    pub fn session(&mut self, now_ms: u64, user: &str) -> Option<(Shown, u64)> {
        self.land(now_ms);
        self.sessions.get(user).and_then(|sessions| sessions.ours(now_ms))
    }

    /// Opens a Teams client of the person that says `pair` (`Available/Available`), or closes it.
    pub fn client(&mut self, user: &str, pair: Option<&str>) {
        let pair = pair.and_then(|pair| pair.split_once('/')).map(|(a, b)| Shown::new(a, b));
        self.sessions.entry(user.to_owned()).or_default().client(pair);
    }

    /// The person chooses a status by hand, or gives that up: it wins over every session while there is one.
    pub fn prefer(&mut self, user: &str, pair: Option<&str>) {
        let pair = pair.and_then(|pair| pair.split_once('/')).map(|(a, b)| Shown::new(a, b));
        self.sessions.entry(user.to_owned()).or_default().prefer(pair);
    }

    /// `setPresence` as if it had been asked for and accepted: for simulations without HTTP. `false`: not a settable pair.
    pub fn set(&mut self, now_ms: u64, user: &str, availability: &str, activity: &str, expires_in: Duration) -> bool {
        self.land(now_ms);
        let Some(pair) = parse_pair(availability, activity) else { return false };
        let expires_in_ms = u64::try_from(expires_in.as_millis()).unwrap_or(u64::MAX);
        self.apply(now_ms, user, &Write::Set { pair, expires_in_ms });
        true
    }

    /// `clearPresence` as if it had been asked for and accepted. `false`: there was no session.
    pub fn clear(&mut self, now_ms: u64, user: &str) -> bool {
        self.land(now_ms);
        self.apply(now_ms, user, &Write::Clear)
    }

    /// A request arrives.
    pub fn handle(&mut self, at: At, request: &Request) -> Reply {
        self.land(at.virtual_ms);
        self.serial += 1;
        let mut context = front::Context::new(at, self.serial, request);
        let route = front::route(request);
        let fault = faults::take(&mut self.faults, &route);
        let mut reply = self.answer(&mut context, &route, fault.as_ref());
        reply.response.headers.push(("Date".to_owned(), front::http_date(at.wall_ms)));
        self.log.push(Entry {
            at_ms: at.virtual_ms,
            what: route.name().to_owned(),
            user: route.user().to_owned(),
            pair: context.pair.take(),
            status: reply.response.status,
            answered: reply.delivery != Delivery::Reset,
        });
        reply
    }

    fn apply(&mut self, now_ms: u64, user: &str, write: &Write) -> bool {
        let sessions = self.sessions.entry(user.to_owned()).or_default();
        match write {
            Write::Set { pair, expires_in_ms } => {
                sessions.set(now_ms, pair.clone(), *expires_in_ms);
                true
            }
            Write::Clear => sessions.clear(now_ms),
        }
    }

    /// Applies what a fault held back.
    fn land(&mut self, now_ms: u64) {
        while let Some(entry) = self.landing.first_entry()
            && entry.key().0 <= now_ms
        {
            let ((at_ms, _), landing) = entry.remove_entry();
            self.apply(at_ms, &landing.user, &landing.write);
        }
    }

    /// One more call in the window; how long to wait if that is too many. Throttled calls count too (D).
    fn count(&mut self, now_ms: u64) -> Option<u64> {
        let window = now_ms / WINDOW_MS;
        if self.window.0 != window {
            self.window = (window, 0);
        }
        self.window.1 += 1;
        let left_ms = (window + 1) * WINDOW_MS - now_ms;
        (self.window.1 > self.settings.limit).then_some(left_ms.div_ceil(1000).max(1))
    }
}
