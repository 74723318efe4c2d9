//! Calls to Microsoft Graph v1.0: the only user of reqwest and azure_identity.
//!
//! One attempt, one outcome: nothing is retried here. Each attempt is the core's and counts in the tenant's budget, so
//! reqwest's own retries and redirects are off. What matters most is honesty about what is *not* known: an answer counts as
//! Graph's only if it carries a `request-id` or Graph's JSON error; a proxy's page, a reset, a time-out leave it open
//! whether the call was applied.

mod outcome;
mod retry_after;
mod token;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

pub use self::outcome::Answer;
pub use self::retry_after::retry_after;
use self::token::{Token, Tokens};
use crate::clock::Clock;
use crate::presence::{Mono, ObjectId, Outcome, Presence};
use crate::secret::{SecretSource, redact};
use crate::telemetry::Telemetry;
use crate::tls;

/// An attempt is given up after this, in real time: token, connection, answer and all.
const ATTEMPT: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// As much of an answer as is read.
const LARGEST_ANSWER: usize = 64 * 1024;
/// Connections kept for the next calls, to one host. Graph speaks HTTP/2 and needs one; a proxy or the sandbox may not.
const IDLE_CONNECTIONS: usize = 32;
/// As much of other people's words as a log line shows.
const SHOWN: usize = 200;

/// The tenant and the application.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory (tenant) id.
    pub tenant_id: ObjectId,
    /// Application (client) id; also the id of the presence sessions.
    pub client_id: ObjectId,
    /// The application's secret; read again for each token.
    pub secret: SecretSource,
    /// Where tokens come from: `https://login.microsoftonline.com`. Plain http on loopback only.
    pub login_url: String,
    /// Where Graph is, without the version: `https://graph.microsoft.com`. Plain http on loopback only.
    pub graph_url: String,
    /// The only certificates to trust, PEM; `None`: the system's.
    pub ca_file: Option<PathBuf>,
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
    /// How long whoever answered wants to be left alone, whatever the status.
    pub retry_after: Option<Duration>,
}

impl Failure {
    fn new(error: impl Into<String>) -> Self {
        Failure { error: error.into(), client_request_id: None, request_id: None, retry_after: None }
    }
}

/// Graph, for one application in one tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Graph(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: reqwest::Client,
    clock: Clock,
    tokens: Tokens,
    users_url: String,
    session_id: String,
    attempt: Duration,
}

impl Graph {
    /// Starts the task that keeps a token. Nothing is connected yet when it returns.
    ///
    /// # Errors
    /// The CA file cannot be used; a URL is neither https nor http on loopback.
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
        let client = client(&config, &checked("graph_url", &config.graph_url)?)?;
        let users_url = format!("{}/v1.0/users/", config.graph_url.trim_end_matches('/'));
        let session_id = config.client_id.to_string();
        let tokens = Tokens::start(self::client(&config, &login)?, login, config, clock.clone(), telemetry);
        Ok(Graph(Arc::new(Inner { client, clock, tokens, users_url, session_id, attempt })))
    }

    /// Makes one attempt. Returns within ten seconds.
    pub async fn send(&self, call: Call) -> Sent {
        let inner = &*self.0;
        let id = uuid::Uuid::new_v4().to_string();
        let mut sent = false;
        let ended = tokio::time::timeout(inner.attempt, inner.attempt(call, &id, &mut sent)).await;
        let (outcome, failure) = match ended {
            Ok((Outcome::Accepted, _)) => return Sent { outcome: Outcome::Accepted, failure: None },
            Ok(ended) => ended,
            Err(_) if sent => (Outcome::Ambiguous, Failure::new("Graph did not answer in time")),
            Err(_) => (Outcome::NotSent, Failure::new("there was no token in time")),
        };
        let client_request_id = sent.then_some(id);
        Sent { outcome, failure: Some(Failure { client_request_id, ..failure }) }
    }
}

impl Inner {
    async fn attempt(&self, call: Call, client_request_id: &str, sent: &mut bool) -> (Outcome, Failure) {
        let Some(token) = self.tokens.get().await else {
            return (Outcome::NotSent, Failure::new("there is no token"));
        };
        if self.clock.now().mono > call.not_after {
            return (Outcome::NotSent, Failure::new("it was too late to begin"));
        }
        let secrets = [&token.secret, &token.client_secret];
        let (action, body) = wire::body(call.body, &self.session_id);
        let url = format!("{}{}/presence/{action}", self.users_url, call.object_id);
        let headers = headers(&token);
        let request = self.client.post(url).headers(headers).header("client-request-id", client_request_id).body(body);
        *sent = true;
        let answer = match request.send().await {
            Ok(response) => read(response).await,
            Err(error) => {
                let outcome = if error.is_connect() { Outcome::NotSent } else { Outcome::Ambiguous };
                // The address holds the object id; the log names people by their labels.
                return (outcome, Failure::new(shown(&chain(&error.without_url()), &secrets)));
            }
        };
        let Some(answer) = answer else { return (Outcome::Ambiguous, Failure::new("the answer broke off")) };
        let wall = self.clock.now().wall;
        let outcome = answer.outcome(call.body == Body::Clear, token.role_missing, wall);
        if matches!(outcome, Outcome::Unauthorised | Outcome::Forbidden { .. }) {
            self.tokens.discard(token.generation);
        }
        let failure = Failure {
            request_id: answer.request_id(&secrets),
            retry_after: answer.retry_after(wall),
            ..Failure::new(answer.describe(&secrets))
        };
        (outcome, failure)
    }
}

/// The status, the headers and the first 64 KiB; `None` if they did not all arrive.
async fn read(mut response: reqwest::Response) -> Option<Answer> {
    let mut body = Vec::new();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    while body.len() < LARGEST_ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(LARGEST_ANSWER - body.len())]),
            Ok(None) => break,
            // The head is here: by it one can judge. A success cut short is still a success.
            Err(_) if headers.contains_key("request-id") => break,
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

/// A client for one of the two addresses.
fn client(config: &Config, url: &reqwest::Url) -> Result<reqwest::Client, String> {
    let mut tls = tls::client_config(config.ca_file.as_deref())?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let builder = reqwest::Client::builder();
    // The environment's proxies serve what is outside; this machine they could not even reach.
    let builder = if wire::is_loopback(url) { builder.no_proxy() } else { builder };
    builder
        .tls_backend_preconfigured(tls)
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(Duration::from_secs(50))
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .user_agent(concat!("presence-bridge/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("the HTTP client cannot be set up: {}", chain(&error)))
}

/// Somebody else's words as a log line may show them.
fn shown(text: &str, secrets: &[&SecretString]) -> String {
    redact(text, secrets).chars().take(SHOWN).flat_map(char::escape_debug).collect()
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
