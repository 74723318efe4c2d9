//! HTTP clients as Graph and the token endpoint want them: HTTP/2 or 1.1, few connections, no retries and no redirects of
//! their own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Config, Proxy, chain, wire};
use crate::tls;

const CONNECT: Duration = Duration::from_secs(5);
/// Calls at a time while nothing is known of the server, and so connections that are opened at once.
const FIRST: usize = 8;
/// Calls at a time over HTTP/1.1: each has a connection.
const ONE_EACH: usize = 64;
/// Calls at a time over HTTP/2: they share one connection. More than the budget lets out in the time of one attempt.
const SHARED: usize = 512;

/// What a client is made of.
struct Recipe {
    tls: rustls::ClientConfig,
    proxy: Option<reqwest::Proxy>,
    no_proxy: bool,
}

impl Recipe {
    fn new(config: &Config, url: &reqwest::Url) -> Result<Recipe, String> {
        let mut tls = tls::client_config(config.ca_file.as_deref())?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // What is on this machine no proxy could even reach.
        let no_proxy = wire::is_loopback(url) || matches!(config.proxy, Proxy::Direct);
        let proxy = match &config.proxy {
            Proxy::At { url, login } => Some(proxy(url, login.as_ref())?),
            _ => None,
        };
        Ok(Recipe { tls, proxy, no_proxy })
    }

    fn build(&self) -> Result<reqwest::Client, String> {
        let mut builder = reqwest::Client::builder();
        if self.no_proxy {
            builder = builder.no_proxy();
        } else if let Some(proxy) = &self.proxy {
            builder = builder.no_proxy().proxy(proxy.clone());
        }
        builder
            .tls_backend_preconfigured(self.tls.clone())
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .tcp_keepalive(Duration::from_secs(20))
            .pool_idle_timeout(Duration::from_secs(50))
            .pool_max_idle_per_host(ONE_EACH)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .http2_keep_alive_while_idle(true)
            .user_agent(concat!("presence-bridge/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("the HTTP client cannot be set up: {}", chain(&error)))
    }
}

fn proxy(url: &str, login: Option<&(String, crate::secret::SecretSource)>) -> Result<reqwest::Proxy, String> {
    let proxy = reqwest::Proxy::all(url).map_err(|error| format!("proxy {url:?} cannot be used: {}", chain(&error)))?;
    let proxy = proxy.no_proxy(reqwest::NoProxy::from_env());
    match login {
        Some((user, password)) => Ok(proxy.basic_auth(user, password.read()?.expose_secret())),
        None => Ok(proxy),
    }
}

/// A client for one of the two addresses.
pub(super) fn client(config: &Config, url: &reqwest::Url) -> Result<reqwest::Client, String> {
    Recipe::new(config, url)?.build()
}

/// A client for the machine's own identity service, which no proxy serves.
pub(super) fn direct(config: &Config, url: &reqwest::Url) -> Result<reqwest::Client, String> {
    let config = Config { proxy: Proxy::Direct, ..config.clone() };
    client(&config, url)
}

/// Graph's client: a bounded number of calls at a time, and fresh connections on demand.
pub(super) struct Pool {
    recipe: Recipe,
    current: Mutex<(u64, reqwest::Client)>,
    room: Semaphore,
    widened: Mutex<usize>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive() // a proxy has a password
    }
}

impl Pool {
    pub(super) fn new(config: &Config, url: &reqwest::Url) -> Result<Pool, String> {
        let recipe = Recipe::new(config, url)?;
        let current = Mutex::new((0, recipe.build()?));
        Ok(Pool { recipe, current, room: Semaphore::new(FIRST), widened: Mutex::new(FIRST) })
    }

    /// Waits for room for one more call.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        self.room.acquire().await.ok()
    }

    /// The client, and which one it is.
    pub(super) fn current(&self) -> (u64, reqwest::Client) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An answer came in this version of HTTP: now it is known how many calls few connections carry.
    pub(super) fn heard(&self, version: reqwest::Version) {
        let fits = if version == reqwest::Version::HTTP_2 { SHARED } else { ONE_EACH };
        let mut widened = self.widened.lock().unwrap_or_else(PoisonError::into_inner);
        if *widened < fits {
            self.room.add_permits(fits - *widened);
            *widened = fits;
        }
    }

    /// The next calls take a new connection, as Graph asks after a 503; once for all who got one over client `number`.
    pub(super) fn renew(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == number
            && let Ok(client) = self.recipe.build()
        {
            *current = (number + 1, client);
        }
    }
}
