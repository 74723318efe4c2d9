//! Keeps an access token ready, in front of azure_identity.
//!
//! azure_identity's own cache fetches when somebody asks and the token has five minutes left: the caller waits, ten callers
//! of a failing endpoint queue up behind ten failing requests, and a token that is still good is not used. Here one task
//! fetches from half of the lifetime on, callers share what it has, a failure is shared too, and the old token serves
//! until it really ends. Every fetch makes a new credential, which reads the secret again and has an empty cache.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use azure_core::error::ErrorKind;
use secrecy::SecretString;
use tokio::sync::watch;

use super::alarms::Alarms;
use super::claims::Claims;
use super::credential::{Prepared, prepare};
use super::expiry::{Ends, Expiry, REPLACE};
use super::login::{Login, Refused};
use super::report::CredentialEnds;
use super::skew::Skew;
use super::{Config, GIVE_CLIENT_ID, NOBODYS, aadsts, chain, shown};
use crate::clock::Clock;
use crate::presence::{Mono, Timestamp};
use crate::secret::{Credential, redact};
use crate::telemetry::Telemetry;

/// A request for a token is given up after this; `az` is slow to start, on a small machine very.
const FETCH: Duration = Duration::from_secs(15);
const FETCH_BY_CLI: Duration = Duration::from_secs(60);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// What only a person can mend is tried again this often.
const PERMANENT_RETRY: Duration = Duration::from_secs(300);
/// As long as a Retry-After is honoured.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);
/// No two requests for tokens closer than this.
const APART: Duration = Duration::from_secs(1);
/// Not used in its last seconds: it must still be good when it arrives.
const MARGIN: Duration = Duration::from_secs(5);
/// Failures in a row, without a token, that are an alarm although they may pass by themselves.
const ALARMING: u32 = 5;
const REPLACE_NOW: &str =
    "it is refused from now on: make a new one in the app registration and put it in its place; no restart is needed";
const SET_CLOCK: &str = "set this machine's clock: timedatectl set-ntp true";

/// Why there is no token, in words that hold no secret, whoever wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoToken {
    /// What happened.
    pub error: String,
    /// What to do.
    pub remedy: &'static str,
    /// Only a person can mend it.
    pub permanent: bool,
    /// Entra's number (AADSTS), where it gave one.
    pub code: Option<u32>,
}

/// An access token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) secret: SecretString,
    /// What it was asked for with, so that it can be kept out of the log.
    pub(super) shown_for_it: SecretString,
    ends: Mono,
    pub(super) generation: u64,
    pub(super) role_missing: bool,
    pub(super) claims: Option<Claims>,
}

impl Token {
    /// What must be in no log line.
    pub(super) fn secrets(&self) -> [&SecretString; 2] {
        [&self.secret, &self.shown_for_it]
    }
}

/// What the task has to offer.
#[derive(Clone, Debug)]
enum State {
    /// The first fetch, or one after a token was refused, is under way.
    Fetching,
    Ready(Token),
    /// The last fetch failed and nothing is left: fail fast.
    Failed(NoToken),
}

/// Hands out tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    state: Arc<watch::Sender<State>>,
    clock: Clock,
}

/// What the task works with.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) login: Login,
    pub(super) clock: Clock,
    pub(super) telemetry: Telemetry,
    pub(super) alarms: Alarms,
    pub(super) skew: Skew,
    pub(super) ends: Ends,
}

impl Tokens {
    /// Starts the task. It ends when the last [`Tokens`] is gone.
    pub(super) fn start(parts: Parts) -> Self {
        let state = Arc::new(watch::Sender::new(State::Fetching));
        let clock = parts.clock.clone();
        let (state_of_task, expiry) = (Arc::downgrade(&state), Expiry::default());
        let keeper = Keeper { parts, state: state_of_task, generation: 0, failures: 0, expiry };
        tokio::spawn(keeper.run());
        Tokens { state, clock }
    }

    /// A token that is good now; waits while the first is under way.
    pub(super) async fn get(&self) -> Result<Token, NoToken> {
        let mut state = self.state.subscribe();
        loop {
            let ended = match &*state.borrow_and_update() {
                State::Ready(token) if self.clock.real() < token.ends => return Ok(token.clone()),
                State::Ready(token) => Some(token.generation),
                State::Failed(why) => return Err(why.clone()),
                State::Fetching => None,
            };
            // It ended while the machine slept, and the task's timer slept too; or before a failed fetch's next try.
            if let Some(generation) = ended {
                self.discard(generation);
            }
            if state.changed().await.is_err() {
                return Err(passing("the bridge stops".to_owned()));
            }
        }
    }

    /// Graph refused this token, or it has ended: drop it and fetch another, once for all who had it.
    pub(super) fn discard(&self, generation: u64) {
        self.state.send_if_modified(|state| {
            let same = matches!(state, State::Ready(token) if token.generation == generation);
            if same {
                *state = State::Fetching;
            }
            same
        });
    }
}

struct Keeper {
    parts: Parts,
    state: std::sync::Weak<watch::Sender<State>>,
    generation: u64,
    failures: u32,
    expiry: Expiry,
}

impl Keeper {
    async fn run(mut self) {
        let limit = if matches!(self.parts.config.credential, Credential::AzureCli) { FETCH_BY_CLI } else { FETCH };
        loop {
            let fetched = tokio::time::timeout(limit, self.fetch()).await;
            let Some(state) = self.state.upgrade() else { return };
            let wait = match fetched {
                Ok(Ok((token, life))) => {
                    self.failures = 0;
                    self.parts.alarms.end("no_token");
                    state.send_replace(State::Ready(token));
                    life.mul_f64(0.5 + fastrand::f64() * 0.1)
                }
                Ok(Err((why, retry_after))) => self.failed(&state, why, retry_after),
                Err(_) => self.failed(&state, passing("no answer in time".to_owned()), None),
            };
            let mut state = { state }.subscribe();
            tokio::time::sleep(APART).await;
            // Fetching again: the token was refused. One refused while this fetch was under way has its successor already.
            tokio::select! {
                () = tokio::time::sleep(wait.saturating_sub(APART)) => {}
                refused = state.wait_for(|state| matches!(state, State::Fetching)) => if refused.is_err() { return },
            }
        }
    }

    /// Tells it, and returns when to try again.
    fn failed(&mut self, state: &watch::Sender<State>, why: NoToken, retry_after: Option<Duration>) -> Duration {
        self.failures += 1;
        let now = self.parts.clock.real();
        let over = state.send_if_modified(|state| {
            let over = !matches!(state, State::Ready(token) if now < token.ends);
            if over {
                *state = State::Failed(why.clone());
            }
            over
        });
        self.judge_clock();
        let NoToken { error, remedy, permanent, .. } = &why;
        self.parts.telemetry.tell(&why);
        if *permanent || over && self.failures >= ALARMING {
            self.parts.alarms.begin("no_token", error.clone(), remedy);
        }
        if *permanent {
            return PERMANENT_RETRY;
        }
        let doubled = FIRST_RETRY.saturating_mul(1 << (self.failures - 1).min(6)).min(LONGEST_RETRY);
        let told = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        doubled.mul_f64(0.75 + fastrand::f64() / 4.0).max(told)
    }

    async fn fetch(&mut self) -> Result<(Token, Duration), (NoToken, Option<Duration>)> {
        let Parts { config, login, clock, .. } = &self.parts;
        let Prepared { credential, secret, ends } =
            prepare(config, login, clock.real_wall()).map_err(|why| (why, None))?;
        self.parts.ends.note(config.credential.name(), ends);
        if let Some(ends) = ends {
            self.judge_expiry(ends);
        }
        let Parts { config, login, clock, .. } = &self.parts;
        let asked = clock.real();
        drop(login.take_refused());
        let got = credential.get_token(&[&scope(config)], None).await.map_err(|error| self.explain(&error, &secret))?;
        let wall = clock.real_wall().as_millis() / 1000;
        self.judge_clock();
        let life = Duration::from_secs(u64::try_from(got.expires_on.unix_timestamp() - wall).unwrap_or(0));
        if life.is_zero() {
            // A machine's identity is told when its token ends by the clock, not after how long.
            let error = "the token that was given has ended already: this machine's clock is ahead".to_owned();
            return Err((NoToken { error, remedy: SET_CLOCK, permanent: false, code: None }, None));
        }
        let claims = Claims::of(got.token.secret());
        let role_missing = claims.as_ref().is_some_and(|claims| !claims.has_role());
        self.judge_claims(claims.as_ref());
        self.generation += 1;
        let token = Token {
            secret: SecretString::from(got.token.secret().to_owned()),
            shown_for_it: secret,
            ends: asked + life.saturating_sub(MARGIN.min(life / 10)),
            generation: self.generation,
            role_missing,
            claims,
        };
        Ok((token, life))
    }

    /// A token is issued with or without rights; only it says so.
    fn judge_claims(&self, claims: Option<&Claims>) {
        let Parts { config, alarms, .. } = &self.parts;
        let role = claims.filter(|claims| !claims.has_role()).map(|claims| match claims.is_delegated() {
            true => (
                "The token speaks for somebody who is signed in, and could set nobody else's presence.".to_owned(),
                "log in as the application: az login --service-principal; or choose another credential in [graph]",
            ),
            false => (
                "The token for Graph does not carry Presence.ReadWrite.All.".to_owned(),
                "grant the application permission Presence.ReadWrite.All to the app registration or managed identity, \
                 with admin consent; docs/entra.md has the commands",
            ),
        });
        alarms.set("role_missing", role);
        let expected = config.tenant_id.to_string();
        let tenant =
            claims.and_then(|claims| claims.tenant_id.as_deref()).filter(|id| !id.eq_ignore_ascii_case(&expected));
        let remedy = "check tenant_id in [graph]; object ids of people count in their own tenant only";
        let other = tenant.map(|id| (format!("The token is for tenant {}.", shown(id, &[])), remedy));
        alarms.set("other_tenant", other);
        let named = config.client_id.is_some() || claims.is_some_and(|claims| claims.client_id.is_some());
        alarms.set("no_client_id", (!named).then(|| (NOBODYS.to_owned(), GIVE_CLIENT_ID)));
    }

    /// Tokens and assertions have a time; a clock that is wrong by more than Entra allows breaks them sooner or later.
    fn judge_clock(&self) {
        let wrong = self.parts.skew.too_large().map(|skew| (format!("By Microsoft's answers {skew}."), SET_CLOCK));
        self.parts.alarms.set("clock_wrong", wrong);
    }

    fn judge_expiry(&mut self, ends: Timestamp) {
        let (now, alarms) = (self.parts.clock.real_wall(), &self.parts.alarms);
        if super::expiry_stage(ends, now).is_none_or(|stage| stage > 1) {
            alarms.end("credential_ends");
        }
        let Some(stage) = self.expiry.judge(ends, now) else { return };
        let (credential, date) = (self.parts.config.credential.name(), utc(ends));
        self.parts.telemetry.tell(&CredentialEnds { credential, date: &date, days: stage, remedy: REPLACE });
        match stage {
            0 => alarms.begin("credential_ends", format!("The {credential} ended on {date}."), REPLACE_NOW),
            1 => alarms.begin("credential_ends", format!("The {credential} ends on {date}."), REPLACE),
            _ => {}
        }
    }

    /// What the transport kept of a refusal, or what azure_identity says where nobody was asked or nobody answered.
    fn explain(&self, error: &azure_core::Error, secret: &SecretString) -> (NoToken, Option<Duration>) {
        let Parts { config, login, skew, .. } = &self.parts;
        let Some(refused) = login.take_refused() else {
            let mut why = passing(shown(&words(error), &[secret]));
            if matches!(config.credential, Credential::AzureCli) {
                why.remedy = "try: az account get-access-token --scope https://graph.microsoft.com/.default; it must work for \
                              the bridge's own user, logged in with az login --service-principal";
            }
            return (why, None);
        };
        let retry_after = refused.retry_after;
        let mut why = match config.credential {
            Credential::ManagedIdentity => by_metadata(&refused),
            _ => by_entra(&refused),
        };
        if let (Some(code @ (700_024 | 50_027)), Some(skew)) = (why.code, skew.too_large()) {
            why.error += &format!("; {skew}");
            why.remedy =
                if code == 700_024 { "set this machine's clock: timedatectl set-ntp true" } else { why.remedy };
        }
        if let (Some(7_000_222), Some(ends)) = (why.code, config.secret_expires) {
            why.error += &format!("; the configuration says it ends on {}", utc(ends));
        }
        why.error = redact(&why.error, &[secret]); // our own words, but for two names
        (why, retry_after)
    }
}

/// `2027-01-31`
fn utc(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default();
    at.strftime("%Y-%m-%d").to_string()
}

/// Graph, of the cloud; against another endpoint the audience is Graph's all the same: its address is not a resource.
fn scope(config: &Config) -> String {
    let url = if config.is_custom() { "https://graph.microsoft.com" } else { config.graph_url.trim_end_matches('/') };
    format!("{url}/.default")
}

fn passing(error: String) -> NoToken {
    let remedy = "check that the token endpoint can be reached from here, and the proxy in [graph]";
    NoToken { error, remedy, permanent: false, code: None }
}

/// azure_identity's outermost words say only that it failed.
fn words(error: &azure_core::Error) -> String {
    let inner = error.source().filter(|_| *error.kind() == ErrorKind::Credential);
    inner.map_or_else(|| chain(error), chain)
}

fn by_entra(refused: &Refused) -> NoToken {
    let Refused { status, codes, trace_id, .. } = refused;
    let Some(&first) = codes.first() else {
        let error = format!("the token endpoint's place answered {status}, not as Entra does");
        return passing(error);
    };
    let row = aadsts::explain(codes);
    let code = if row.code == 0 { first } else { row.code };
    let trace = trace_id.as_ref().map(|id| format!(" (trace id {id})")).unwrap_or_default();
    NoToken {
        error: format!("{status} AADSTS{code}: {}{trace}", row.meaning),
        remedy: row.remedy,
        permanent: is_permanent(*status),
        code: Some(code),
    }
}

/// The metadata service has no numbers. 404, 410 and 429 pass: it is starting, or being renewed.
fn by_metadata(refused: &Refused) -> NoToken {
    let Refused { status, error, .. } = refused;
    let permanent = is_permanent(*status) && !matches!(status, 404 | 410);
    let named = error.as_ref().map(|error| format!(" {error}")).unwrap_or_default();
    NoToken {
        error: format!("{status}{named}: the machine's identity service refused"),
        remedy: match permanent {
            true => {
                "assign the identity to this machine or app (system assigned: switch it on; user assigned: check \
                     client_id in [graph])"
            }
            false => "wait; it is tried again by itself",
        },
        permanent,
        code: None,
    }
}

fn is_permanent(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 408 | 429)
}
