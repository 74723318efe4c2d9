//! Calls to Microsoft Graph v1.0: the only user of reqwest and azure_identity.
//!
//! One attempt, one outcome: nothing is retried here. Each attempt is the core's and counts in the tenant's budget, so
//! reqwest's own retries and redirects are off. What matters most is honesty about what is *not* known: an answer counts as
//! Graph's only if it carries a `request-id` or Graph's JSON error; a proxy's page, a reset, a time-out leave it open
//! whether the call was applied.

mod aadsts;
mod alarms;
mod certificate;
mod claims;
mod client;
mod credential;
mod expiry;
mod login;
mod outcome;
mod reads;
mod report;
mod retry_after;
mod skew;
mod token;
mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

pub use self::alarms::Alarm;
use self::alarms::Alarms;
pub use self::claims::Claims;
use self::client::Pool;
use self::expiry::Ends;
pub use self::expiry::{REPLACE, expiry_stage};
use self::login::Login;
pub use self::outcome::Answer;
pub use self::reads::{MOST_IDS, Seen, Unread};
pub use self::retry_after::retry_after;
use self::skew::Skew;
pub use self::token::NoToken;
use self::token::{Parts, Token, Tokens};
use crate::clock::Clock;
use crate::presence::{Mono, ObjectId, Outcome, Presence, Timestamp};
use crate::secret::{Credential, SecretSource, redact};
use crate::telemetry::Telemetry;

/// An attempt is given up after this, in real time: token, connection, answer and all.
const ATTEMPT: Duration = Duration::from_secs(10);
/// The part of it that the head of an answer may take, from the first byte of the request on.
const HEAD: f64 = 0.8;
/// The part that the rest of an answer may take: what counts stands in the head.
const REST: f64 = 0.15;
/// As much of an answer to a call, or of a token, as is read.
const LARGEST_ANSWER: usize = 64 * 1024;
/// As much of an answer to a question: 650 people, each with a status message.
const LARGEST_LIST: usize = 4 * 1024 * 1024;
/// As long as a 503 keeps everybody away. It is the longest for which the core's own gate shuts after a storm: one part of
/// Graph that is overloaded must not silence the bridge for longer than if it said nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// As much of other people's words as a log line shows.
const SHOWN: usize = 200;

/// The tenant and the application.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory (tenant) id.
    pub tenant_id: ObjectId,
    /// Application (client) id; also the id of the presence sessions, where the token does not say. `None`: the credential
    /// knows, as an identity of the machine does.
    pub client_id: Option<ObjectId>,
    /// What the bridge shows to get a token; read again for each.
    pub credential: Credential,
    /// When the client secret ends, where somebody wrote it down.
    pub secret_expires: Option<Timestamp>,
    /// Where tokens come from: `https://login.microsoftonline.com`. Plain http on loopback only.
    pub login_url: String,
    /// Where Graph is, without the version: `https://graph.microsoft.com`. Plain http on loopback only.
    pub graph_url: String,
    /// The only certificates to trust, PEM; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// The way out.
    pub proxy: Proxy,
}

impl Config {
    /// Whether Graph is not at one of Microsoft's addresses.
    fn is_custom(&self) -> bool {
        let url = self.graph_url.trim_end_matches('/');
        !["https://graph.microsoft.com", "https://graph.microsoft.us", "https://dod-graph.microsoft.us"].contains(&url)
    }
}

/// The way to Graph and to the token endpoint. What is on this machine is reached without one.
#[derive(Clone, Debug)]
pub enum Proxy {
    /// As HTTPS_PROXY, ALL_PROXY and NO_PROXY say.
    Environment,
    /// None, whatever the environment says.
    Direct,
    /// This one; NO_PROXY makes exceptions.
    At {
        /// `http://proxy.example:3128`
        url: String,
        /// User and password.
        login: Option<(String, SecretSource)>,
    },
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The person, by Entra object id.
    pub object_id: ObjectId,
    /// What to do.
    pub body: Body,
    /// No first byte after this.
    pub not_after: Mono,
}

/// `setPresence` or `clearPresence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// To this pair, for so long (PT5M…PT4H).
    Set {
        /// The pair.
        presence: Presence,
        /// `expirationDuration`.
        expiration: Duration,
    },
    /// End our session.
    Clear,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What the core has to know.
    pub outcome: Outcome,
    /// What the log should say, unless the outcome is [`Outcome::Accepted`].
    pub failure: Option<Failure>,
}

/// What went wrong with an attempt, in words that hold neither token nor client secret, whoever wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub error: String,
    /// Our name for the request; `None` if none was even begun.
    pub client_request_id: Option<String>,
    /// Graph's name for it.
    pub request_id: Option<String>,
    /// Where in Microsoft's cloud it was answered (`x-ms-ags-diagnostic`), for Microsoft's support.
    pub diagnostic: Option<String>,
    /// How long whoever answered wants to be left alone, whatever the status.
    pub retry_after: Option<Duration>,
}

impl Failure {
    fn new(error: impl Into<String>) -> Self {
        Failure { error: error.into(), client_request_id: None, request_id: None, diagnostic: None, retry_after: None }
    }
}

/// An answer to a question.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Where the answer is Graph's and good: its body.
    pub body: Result<Vec<u8>, Failure>,
    /// What the core has to know, should the question be one of its own.
    pub outcome: Outcome,
}

/// Graph, for one application in one tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Graph(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Pool,
    clock: Clock,
    tokens: Tokens,
    alarms: Alarms,
    skew: Skew,
    ends: Ends,
    /// Milliseconds since boot until which a 503 keeps everybody away.
    pause: AtomicU64,
    base: String,
    client_id: Option<String>,
    attempt: Duration,
}

/// One request: what is asked, and how its answer is judged.
struct Ask<'a> {
    path: String,
    /// A POST; `None`: a GET.
    body: Option<&'a (dyn Fn(&str) -> String + Sync)>,
    clear: bool,
    not_after: Mono,
    largest: usize,
}

/// An attempt that did not end as wished.
type Missed = (Outcome, Box<Failure>);

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Token,
    Room,
    Sent,
}

impl Graph {
    /// Starts the task that keeps a token. Nothing is connected yet when it returns.
    ///
    /// # Errors
    /// The CA file cannot be used; a URL is neither https nor http on loopback; a proxy's password cannot be read.
    pub fn start(config: Config, clock: Clock, telemetry: Telemetry) -> Result<Graph, String> {
        Graph::start_with(config, clock, telemetry, ATTEMPT)
    }

    /// As [`Graph::start`], with another limit for an attempt: for tests that wait for it.
    ///
    /// # Errors
    /// As [`Graph::start`].
    #[doc(hidden)]
    pub fn start_with(config: Config, clock: Clock, telemetry: Telemetry, attempt: Duration) -> Result<Graph, String> {
        let checked = |key, url: &String| wire::origin(url).map_err(|problem| format!("{key} {url:?} {problem}"));
        let login = checked("login_url", &config.login_url)?;
        let pool = Pool::new(&config, &checked("graph_url", &config.graph_url)?)?;
        let base = format!("{}/v1.0/", config.graph_url.trim_end_matches('/'));
        let client_id = config.client_id.map(|id| id.to_string());
        let (alarms, skew, ends) = (Alarms::new(telemetry.clone()), Skew::default(), Ends::default());
        let client = match config.credential {
            Credential::ManagedIdentity => client::direct(&config, &login)?,
            _ => client::client(&config, &login)?,
        };
        let login = Login::new(client, login, config.is_custom(), clock.clone(), skew.clone());
        let parts = Parts {
            config,
            login,
            clock: clock.clone(),
            telemetry,
            alarms: alarms.clone(),
            skew: skew.clone(),
            ends: ends.clone(),
        };
        let tokens = Tokens::start(parts);
        let pause = AtomicU64::new(0);
        Ok(Graph(Arc::new(Inner { pool, clock, tokens, alarms, skew, ends, pause, base, client_id, attempt })))
    }

    /// Makes one attempt. Returns within ten seconds.
    pub async fn send(&self, call: Call) -> Sent {
        let (action, _) = wire::body(call.body, "");
        let body = |session_id: &str| wire::body(call.body, session_id).1;
        let ask = Ask {
            path: format!("users/{}/presence/{action}", call.object_id),
            body: Some(&body),
            clear: call.body == Body::Clear,
            not_after: call.not_after,
            largest: LARGEST_ANSWER,
        };
        let (outcome, answer) = self.0.make(&ask).await;
        Sent { outcome, failure: answer.err() }
    }

    /// Asks something else of Graph, one attempt: `path` below `/v1.0/`, a POST with `body` or a GET without. For reads,
    /// and for the probes of `doctor`; it counts at Graph as a call does.
    pub async fn ask(&self, path: &str, body: Option<&serde_json::Value>) -> Asked {
        let body = body.map(ToString::to_string);
        let same = |_: &str| body.clone().unwrap_or_default();
        let ask = Ask {
            path: path.to_owned(),
            body: if body.is_some() { Some(&same) } else { None },
            clear: false,
            not_after: Mono::MAX,
            largest: LARGEST_LIST,
        };
        let (outcome, answer) = self.0.make(&ask).await;
        Asked { body: answer, outcome }
    }

    /// What the token in use says of itself; waits for the first. `None`: it cannot be read, which is Graph's right.
    ///
    /// # Errors
    /// There is no token, and why.
    pub async fn claims(&self) -> Result<Option<Claims>, NoToken> {
        Ok(self.0.tokens.get().await?.claims)
    }

    /// Seconds by which this machine's clock is behind Microsoft's, negative where it is ahead, by the last answer; good to
    /// a second or two. `None`: nobody answered yet.
    #[must_use]
    pub fn clock_skew(&self) -> Option<i64> {
        self.0.skew.millis().map(|millis| millis / 1000)
    }

    /// The kind of credential, and when the one that was read last ends; `None` where one cannot know.
    #[must_use]
    pub fn credential_ends(&self) -> Option<(&'static str, Timestamp)> {
        self.0.ends.get()
    }

    /// The adapter's alarms that are on, by name, and their changes.
    #[must_use]
    pub fn alarms(&self) -> watch::Receiver<BTreeMap<&'static str, Alarm>> {
        self.0.alarms.watch()
    }
}

impl Inner {
    /// One attempt, in bounded time.
    async fn make(&self, ask: &Ask<'_>) -> (Outcome, Result<Vec<u8>, Failure>) {
        let id = uuid::Uuid::new_v4().to_string();
        let mut stage = Stage::Token;
        let ended = tokio::time::timeout(self.attempt, self.attempt(ask, &id, &mut stage)).await;
        let (outcome, failure) = match ended {
            Ok(Ok(body)) => return (Outcome::Accepted, Ok(body)),
            Ok(Err((outcome, failure))) => (outcome, *failure),
            Err(_) => match stage {
                Stage::Token => (Outcome::NotSent, Failure::new("there was no token in time")),
                Stage::Room => (Outcome::NotSent, Failure::new("Graph is slow: earlier calls took all the time")),
                Stage::Sent => (Outcome::Ambiguous, Failure::new("Graph did not answer in time")),
            },
        };
        let client_request_id = (stage == Stage::Sent).then_some(id);
        (outcome, Err(Failure { client_request_id, ..failure }))
    }

    async fn attempt(&self, ask: &Ask<'_>, id: &str, stage: &mut Stage) -> Result<Vec<u8>, Missed> {
        let not_sent = |error: String| (Outcome::NotSent, Box::new(Failure::new(error)));
        let token = self.tokens.get().await.map_err(|why| not_sent(format!("there is no token: {}", why.error)))?;
        let session_id = token.claims.as_ref().and_then(|claims| claims.client_id.as_ref()).or(self.client_id.as_ref());
        let session_id = session_id.ok_or_else(|| not_sent(format!("{NOBODYS}: {GIVE_CLIENT_ID}")))?;
        *stage = Stage::Room;
        let _room = self.pool.enter().await;
        let mono = self.clock.now().mono;
        if mono > ask.not_after {
            return Err(not_sent("it was too late to begin".to_owned()));
        }
        if mono.as_millis() < self.pause.load(Ordering::Relaxed) {
            return Err(not_sent("Graph asked to be left alone for a moment".to_owned()));
        }
        *stage = Stage::Sent;
        let body = ask.body.map(|body| body(session_id));
        let answer = self.exchange(ask, &token, id, body).await?;
        self.judge(ask, &token, id, answer)
    }

    /// The request and its answer, whoever gave it.
    async fn exchange(&self, ask: &Ask<'_>, token: &Token, id: &str, body: Option<String>) -> Result<Answer, Missed> {
        let ambiguous = |error: &str| (Outcome::Ambiguous, Box::new(Failure::new(error)));
        let (number, client) = self.pool.current();
        let url = format!("{}{}", self.base, ask.path);
        let request = match body {
            Some(body) => client.post(url).body(body),
            None => client.get(url),
        };
        let request = request.headers(headers(token)).header("client-request-id", id);
        let response = tokio::time::timeout(self.attempt.mul_f64(HEAD), request.send()).await;
        let response = response.map_err(|_| {
            self.pool.renew(number); // perhaps nobody is at the other end any more, and a PING would find out later
            ambiguous("Graph did not answer in time")
        })?;
        let response = response.map_err(|error| {
            let outcome = if error.is_connect() { Outcome::NotSent } else { Outcome::Ambiguous };
            // The address holds the object id; the log names people by their labels.
            (outcome, Box::new(Failure::new(shown(&chain(&error.without_url()), &token.secrets()))))
        })?;
        self.pool.heard(response.version());
        let answer = read_within(response, ask.largest, self.attempt.mul_f64(REST)).await;
        let answer = answer.ok_or_else(|| ambiguous("the answer broke off"))?;
        if answer.status == 503 {
            self.pool.renew(number);
        }
        Ok(answer)
    }

    fn judge(&self, ask: &Ask<'_>, token: &Token, id: &str, answer: Answer) -> Result<Vec<u8>, Missed> {
        let now = self.clock.now();
        self.skew.note(&answer.headers, now.wall);
        let outcome = answer.outcome(ask.clear, token.role_missing, now.wall);
        let secrets = token.secrets();
        match outcome {
            Outcome::Accepted => {
                // 200 and nothing to see is a question for Microsoft's support, who ask for this.
                let request_id = answer.request_id(&secrets);
                tracing::debug!(client_request_id = id, request_id, "Accepted by Graph.");
                return Ok(answer.body);
            }
            Outcome::Unauthorised | Outcome::Forbidden { .. } => self.tokens.discard(token.generation),
            _ => {}
        }
        let retry_after = answer.retry_after(now.wall);
        if let (503, true, Some(pause)) = (answer.status, answer.is_by_graph(), retry_after) {
            self.pause.fetch_max((now.mono + pause.min(LONGEST_PAUSE)).as_millis(), Ordering::Relaxed);
        }
        let failure = Failure {
            request_id: answer.request_id(&secrets),
            diagnostic: answer.diagnostic(&secrets),
            retry_after,
            ..Failure::new(answer.describe(&secrets))
        };
        Err((outcome, Box::new(failure)))
    }
}

/// Without the application's id there is no session id, and nobody can be set.
const NOBODYS: &str = "the token does not say whose it is";
const GIVE_CLIENT_ID: &str = "give client_id in [graph], the Application (client) ID of the application or identity";

/// As [`read`], for at most this time: what is missing then counts as cut off.
async fn read_within(response: reqwest::Response, largest: usize, limit: Duration) -> Option<Answer> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    match tokio::time::timeout(limit, read(response, largest)).await {
        Ok(answer) => answer,
        // A call needs no more than the head; a question gets no list that is only half there.
        Err(_) if headers.contains_key("request-id") && largest == LARGEST_ANSWER => {
            Some(Answer { status, headers, body: Vec::new() })
        }
        Err(_) => None,
    }
}

/// The status, the headers and the beginning of the body; `None` if they did not all arrive.
async fn read(mut response: reqwest::Response, largest: usize) -> Option<Answer> {
    let mut body = Vec::new();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    while body.len() < largest {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(largest - body.len())]),
            Ok(None) => break,
            // The head is here: by it one can judge. A success cut short is still a success.
            Err(_) if headers.contains_key("request-id") && largest == LARGEST_ANSWER => break,
            Err(_) => return None,
        }
    }
    Some(Answer { status, headers, body })
}

fn headers(token: &Token) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A token that cannot be a header is refused by Graph as missing, which says the same.
    if let Ok(mut bearer) = HeaderValue::try_from(format!("Bearer {}", token.secret.expose_secret())) {
        bearer.set_sensitive(true);
        headers.insert(reqwest::header::AUTHORIZATION, bearer);
    }
    headers
}

/// Somebody else's words as a log line may show them.
fn shown(text: &str, secrets: &[&SecretString]) -> String {
    let mut shown = String::new();
    for c in redact(text, secrets).chars().take(SHOWN) {
        match c {
            '\'' | '"' => shown.push(c), // words, not source code
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// An error with its causes; reqwest's own text says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += ": ";
        text += &cause.to_string();
        source = cause.source();
    }
    text
}
