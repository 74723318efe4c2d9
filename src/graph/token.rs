//! Keeps an access token ready, in front of azure_identity.
//!
//! azure_identity's own cache fetches when somebody asks and the token has five minutes left: the caller waits, ten callers
//! of a failing endpoint queue up behind ten failing requests, and a token that is still good is not used. Here one task
//! fetches from half of the lifetime on, callers share what it has, a failure is shared too, and the old token serves
//! until it really ends. Every fetch makes a new credential, which reads the secret again and has an empty cache.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, ClientOptions, HttpClient, Request, RetryOptions, Transport};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

use super::{Config, chain, read, shown};
use crate::clock::Clock;
use crate::presence::Mono;
use crate::telemetry::Telemetry;

/// The application permission that the bridge needs.
const ROLE: &str = "Presence.ReadWrite.All";
/// A request for a token is given up after this.
const FETCH: Duration = Duration::from_secs(15);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// What only a person can mend is tried again this often.
const PERMANENT_RETRY: Duration = Duration::from_secs(300);
/// No two requests for tokens closer than this.
const APART: Duration = Duration::from_secs(1);
/// Not used in its last seconds: it must still be good when it arrives.
const MARGIN: Duration = Duration::from_secs(5);

/// An access token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) secret: SecretString,
    /// What it was asked for with, so that it can be kept out of the log.
    pub(super) client_secret: SecretString,
    ends: Mono,
    pub(super) generation: u64,
    pub(super) role_missing: bool,
}

/// What the task has to offer.
#[derive(Clone, Debug)]
enum State {
    /// The first fetch, or one after a token was refused, is under way.
    Fetching,
    Ready(Token),
    /// The last fetch failed and nothing is left: fail fast.
    Failed,
}

/// Hands out tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    state: Arc<watch::Sender<State>>,
    clock: Clock,
}

impl Tokens {
    /// Starts the task. It ends when the last [`Tokens`] is gone.
    pub(super) fn start(
        client: reqwest::Client,
        login: reqwest::Url,
        config: Config,
        clock: Clock,
        telemetry: Telemetry,
    ) -> Self {
        let state = Arc::new(watch::Sender::new(State::Fetching));
        let keeper = Keeper {
            config,
            login: Login { client, url: login },
            clock: clock.clone(),
            telemetry,
            state: Arc::downgrade(&state),
            generation: 0,
            failures: 0,
        };
        tokio::spawn(keeper.run());
        Tokens { state, clock }
    }

    /// A token that is good now; waits while the first is under way. `None`: there is none to be had at present.
    pub(super) async fn get(&self) -> Option<Token> {
        let mut state = self.state.subscribe();
        loop {
            match &*state.borrow_and_update() {
                State::Ready(token) if self.clock.real() < token.ends => return Some(token.clone()),
                State::Ready(_) | State::Failed => return None,
                State::Fetching => {}
            }
            state.changed().await.ok()?;
        }
    }

    /// Graph refused this token: drop it and fetch another, once for all who were refused with it.
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
    config: Config,
    login: Login,
    clock: Clock,
    telemetry: Telemetry,
    state: std::sync::Weak<watch::Sender<State>>,
    generation: u64,
    failures: u32,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            let fetched = tokio::time::timeout(FETCH, self.fetch()).await;
            let Some(state) = self.state.upgrade() else { return };
            let wait = match fetched {
                Ok(Ok((token, life))) => {
                    self.failures = 0;
                    state.send_replace(State::Ready(token));
                    life.mul_f64(0.5 + fastrand::f64() * 0.1)
                }
                Ok(Err(refusal)) => self.failed(&state, &refusal),
                Err(_) => self.failed(&state, &Refusal::passing("the token endpoint did not answer in time".into())),
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

    fn failed(&mut self, state: &watch::Sender<State>, refusal: &Refusal) -> Duration {
        self.failures += 1;
        let now = self.clock.real();
        state.send_if_modified(|state| {
            let over = !matches!(state, State::Ready(token) if now < token.ends);
            if over {
                *state = State::Failed;
            }
            over
        });
        if let Some(times) = self.telemetry.count("token", if refusal.permanent { "refused" } else { "failed" }) {
            let (error, remedy) = (refusal.text.as_str(), refusal.remedy);
            if refusal.permanent {
                tracing::error!(error, remedy, times, "No token for Graph.");
            } else {
                tracing::warn!(error, remedy, times, "No token for Graph; trying again.");
            }
        }
        if refusal.permanent {
            return PERMANENT_RETRY;
        }
        FIRST_RETRY
            .saturating_mul(1 << (self.failures - 1).min(6))
            .min(LONGEST_RETRY)
            .mul_f64(0.75 + fastrand::f64() / 4.0)
    }

    async fn fetch(&mut self) -> Result<(Token, Duration), Refusal> {
        let secret = self.config.secret.read().map_err(|text| Refusal {
            text,
            remedy: "make the file named in [graph] client_secret_file readable for the bridge",
            permanent: false,
        })?;
        let credential = self.credential(&secret).map_err(|error| Refusal::of(&error, &secret))?;
        let scope = format!("{}/.default", self.config.graph_url.trim_end_matches('/'));
        // Against the sandbox the audience is still Graph's: its address is not a resource.
        let scope = if is_custom(&self.config) { "https://graph.microsoft.com/.default".to_owned() } else { scope };
        let asked = self.clock.real();
        let got = credential.get_token(&[&scope], None).await.map_err(|error| Refusal::of(&error, &secret))?;
        let wall = self.clock.real_wall().as_millis() / 1000;
        let life = u64::try_from(got.expires_on.unix_timestamp() - wall).unwrap_or(0);
        let life = Duration::from_secs(life);
        self.generation += 1;
        let role_missing = roles(got.token.secret()).is_some_and(|roles| !roles.iter().any(|role| role == ROLE));
        if role_missing && self.telemetry.count("token", "role_missing").is_some() {
            tracing::error!(
                remedy = "grant the application permission Presence.ReadWrite.All to the app registration, with admin consent",
                "The token for Graph does not carry Presence.ReadWrite.All."
            );
        }
        let (token, client_secret) = (SecretString::from(got.token.secret().to_owned()), secret);
        let ends = asked + life.saturating_sub(MARGIN.min(life / 10));
        Ok((Token { secret: token, client_secret, ends, generation: self.generation, role_missing }, life))
    }

    fn credential(&self, secret: &SecretString) -> azure_core::Result<Arc<ClientSecretCredential>> {
        let mut cloud = CustomConfiguration::default();
        // azure_identity insists on https; on loopback we send it to the plain port all the same.
        cloud.authority_host = match self.login.url.scheme() {
            "https" => self.config.login_url.trim_end_matches('/').to_owned(),
            _ => "https://login.invalid".to_owned(),
        };
        let client_options = ClientOptions {
            cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
            transport: Some(Transport::new(Arc::new(self.login.clone()))),
            retry: RetryOptions::none(),
            ..ClientOptions::default()
        };
        ClientSecretCredential::new(
            &self.config.tenant_id.to_string(),
            self.config.client_id.to_string(),
            secret.expose_secret().to_owned().into(),
            Some(ClientSecretCredentialOptions { client_options }),
        )
    }
}

/// Whether Graph is not at one of Microsoft's addresses.
fn is_custom(config: &Config) -> bool {
    let url = config.graph_url.trim_end_matches('/');
    !["https://graph.microsoft.com", "https://graph.microsoft.us", "https://dod-graph.microsoft.us"].contains(&url)
}

/// The way to the token endpoint for azure_identity: as much of an answer as of Graph's, and plain http on loopback.
#[derive(Clone, Debug)]
struct Login {
    client: reqwest::Client,
    url: reqwest::Url,
}

#[async_trait]
impl HttpClient for Login {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut url = request.url().clone();
        if self.url.scheme() == "http" {
            url = self.url.clone();
            url.set_path(request.url().path());
            url.set_query(request.url().query());
        }
        let Body::Bytes(body) = request.body().clone() else {
            return Err(azure_core::Error::with_message(ErrorKind::Other, "a request for a token is never a stream"));
        };
        let mut post = self.client.post(url).body(body);
        for (name, value) in request.headers().iter() {
            post = post.header(name.as_str(), value.as_str());
        }
        let failed = |error| azure_core::Error::with_error(ErrorKind::Io, error, "no answer");
        let answer = read(post.send().await.map_err(failed)?).await;
        let answer = answer.ok_or_else(|| azure_core::Error::with_message(ErrorKind::Io, "the answer broke off"))?;
        let body = if answer.status < 400 { answer.body } else { numbers_only(answer.body) };
        Ok(AsyncRawResponse::from_bytes(answer.status.into(), Headers::new(), body))
    }
}

/// An error of Entra's without its description. azure_identity 1.0.0 cannot read one with escapes in it, as Entra's line
/// breaks are, and then the number is lost too; and the words of a description are nobody's to vouch for.
fn numbers_only(body: Vec<u8>) -> Vec<u8> {
    let error: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    match error.as_ref().and_then(|error| error.get("error_codes")) {
        Some(codes) => serde_json::json!({ "error_codes": codes, "error_description": "" }).to_string().into_bytes(),
        None => body,
    }
}

/// Why there is no token.
struct Refusal {
    text: String,
    remedy: &'static str,
    permanent: bool,
}

impl Refusal {
    fn passing(text: String) -> Self {
        Refusal { text, remedy: "check that the token endpoint can be reached from here", permanent: false }
    }

    /// Nobody promises that an error does not repeat what was asked: the secret is taken out.
    fn of(error: &azure_core::Error, secret: &SecretString) -> Self {
        let mut source: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(cause) = source {
            if let Some(error) = cause.downcast_ref::<azure_core::Error>()
                && let ErrorKind::HttpResponse { status, error_code, .. } = error.kind()
            {
                let code = error_code.clone().unwrap_or_default();
                let (meaning, remedy) = explain(&code);
                let permanent = (400..500).contains(&u16::from(*status)) && u16::from(*status) != 429;
                let text = format!("{} AADSTS{code}: {meaning}", u16::from(*status));
                return Refusal { text: shown(&text, &[secret]), remedy, permanent };
            }
            source = cause.source();
        }
        Refusal::passing(shown(&chain(error), &[secret]))
    }
}

/// Entra's numbers that people meet, for hints only: they may change.
fn explain(code: &str) -> (&'static str, &'static str) {
    match code {
        "7000215" => (
            "the client secret is wrong",
            "put the secret's value, not its ID, into the file named in [graph] client_secret_file",
        ),
        "7000222" => {
            ("the client secret has expired", "create a new secret in the app registration and replace the file")
        }
        "700016" => {
            ("the tenant does not know the application", "check client_id and tenant_id in [graph], and the cloud")
        }
        "90002" => ("there is no such tenant", "check tenant_id in [graph], and the cloud"),
        "1002012" | "70011" | "500011" => {
            ("the scope is not valid", "check the cloud in [graph]: hosts must belong together")
        }
        "700024" => ("the client assertion is not within its time", "set this machine's clock"),
        _ => ("refused", "look the number up in Microsoft's list of AADSTS error codes"),
    }
}

/// The `roles` of a token, if it can be read at all; no role at all is an empty list.
fn roles(token: &str) -> Option<Vec<String>> {
    let claims = token.split('.').nth(1)?;
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let roles = claims.get("roles").and_then(serde_json::Value::as_array);
    Some(roles.into_iter().flatten().filter_map(|role| role.as_str().map(str::to_owned)).collect())
}
