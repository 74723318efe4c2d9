//! One look at a broker, to say whether it can be had and what it does. For `doctor`: nothing is retried but the other
//! version of MQTT, and what is published is taken away again.

mod talk;

use std::net::IpAddr;
use std::time::Duration;

use self::talk::{Attempt, Connection};
use super::failure::{Cause, Failure, Flaw};
use super::version::Versions;
use super::wire::Version;
use super::{Address, Config, Session, connect};
use crate::tls;

/// For all that is said on one connection.
const WHOLE: Duration = Duration::from_secs(20);
/// A handshake's step.
const STEP: Duration = Duration::from_secs(10);
/// What is left of us at the broker is gone after this.
const SESSION: Duration = Duration::from_secs(30);
/// Connections at most: the other version is tried after one refusal or two silent ends, and may end silently once.
const ATTEMPTS: u32 = 4;

/// What a broker said and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What the name of the host leads to; empty for a Unix socket.
    pub addresses: Vec<IpAddr>,
    /// The version of MQTT that it speaks with us: `5` or `3.1.1`.
    pub protocol: &'static str,
    /// `TCP`, `TLS`, `WebSocket`, `WebSocket over TLS` or `Unix socket`.
    pub transport: &'static str,
    /// How TLS was agreed on, and the broker's certificate; `None`: no TLS, or a second handshake did not come about.
    pub tls: Option<tls::Seen>,
    /// Filters that it refused, and in which words.
    pub refused: Vec<(String, String)>,
    /// Whether we heard ourselves; `None`: not tried, without [`Config::canary`].
    pub canary: Option<bool>,
    /// Whether a second SUBSCRIBE brings again what is retained; `None`: not tried.
    pub replays: Option<bool>,
    /// Largest packet that it takes, bytes, if it has a limit.
    pub largest: Option<u32>,
    /// Messages of ours at QoS 1 that it takes at a time, if it has a limit.
    pub receive_maximum: Option<u16>,
    /// Whether it retains messages.
    pub retains: bool,
    /// Whether it takes filters with + and #.
    pub wildcards: bool,
    /// Whether it takes QoS 1.
    pub qos1: bool,
    /// Whether it keeps an MQTT session over a short gap.
    pub keeps_sessions: bool,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The name of the host leads nowhere.
    Name,
    /// Nothing listens there.
    PortRefuses,
    /// User or password, or the client id, are not taken.
    LoginRefused,
    /// It speaks no version of MQTT that may be spoken.
    Protocol,
    /// The broker's certificate has expired.
    CertificateExpired,
    /// The broker's certificate is not valid yet.
    CertificateNotYetValid,
    /// No authority that is trusted has signed the broker's certificate.
    CertificateUnknownIssuer,
    /// The broker's certificate is for another name.
    CertificateWrongName,
    /// The broker does not take our certificate, or wants one.
    OwnCertificate,
    /// TLS does not come about otherwise.
    Tls,
    /// A file of ours cannot be read.
    File,
    /// No answer in time, or another one than MQTT's.
    Other,
}

/// Connects, subscribes, listens to itself, comes back, disconnects: within a minute. Give it a client id and a canary's
/// topic of its own, not those of a bridge that runs; it also publishes to, and deletes, `retained` below that topic.
///
/// # Errors
/// There was no connection, and why, in words without secrets.
pub async fn probe(config: &Config) -> Result<Probed, (Obstacle, String)> {
    let session = Session::Persistent { expiry: SESSION };
    let config = Config { session, will: None, ..config.clone() };
    let addresses = resolve(&config).await?;
    let mut connection = open(&config).await?;
    let (version, granted) = (connection.version, connection.granted);
    let found = tokio::time::timeout(WHOLE, connection.look(&config)).await;
    let found = found.map_err(|_| (Obstacle::Other, "the broker did not answer in time".to_owned()))?;
    let found = found.map_err(|failure| (obstacle(failure.cause), failure.text))?;
    connection.close().await;
    let keeps_sessions = version == Version::V5 && granted.session_expiry != Some(0) && comes_back(&config).await;
    Ok(Probed {
        addresses,
        protocol: version.name(),
        transport: transport(&config),
        tls: seen(&config).await,
        refused: found.refused,
        canary: found.canary,
        replays: found.replays,
        largest: granted.largest,
        receive_maximum: granted.receive_maximum,
        retains: granted.retains,
        wildcards: granted.wildcards,
        qos1: granted.qos1,
        keeps_sessions,
    })
}

async fn resolve(config: &Config) -> Result<Vec<IpAddr>, (Obstacle, String)> {
    let Some(place) = connect::host(config) else { return Ok(Vec::new()) };
    let found = tokio::net::lookup_host(place).await.map_err(|error| (Obstacle::Name, error.to_string()))?;
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.dedup();
    Ok(addresses)
}

fn transport(config: &Config) -> &'static str {
    match (&config.address, config.tls.is_some()) {
        (Address::Tcp { .. }, false) => "TCP",
        (Address::Tcp { .. }, true) => "TLS",
        (Address::WebSocket { .. }, false) => "WebSocket",
        (Address::WebSocket { .. }, true) => "WebSocket over TLS",
        (Address::Unix(_), _) => "Unix socket",
    }
}

async fn open(config: &Config) -> Result<Connection, (Obstacle, String)> {
    let mut versions = Versions::new(config.protocol);
    let mut last = Failure { cause: Cause::Other, text: String::new() };
    for _ in 0..ATTEMPTS {
        match Connection::attempt(config, versions.current).await {
            Ok(connection) => return Ok(connection),
            Err(Attempt::File(error)) => return Err((Obstacle::File, error)),
            Err(Attempt::Failed(failure)) => last = failure,
        }
        // An end without a word may become a change of the version at the next one.
        if versions.failed(last.cause).is_none() && last.cause != Cause::PeerClosed {
            break;
        }
    }
    Err((obstacle(last.cause), last.text))
}

/// Whether the session that we have just left is still there.
async fn comes_back(config: &Config) -> bool {
    let Ok(connection) = Connection::attempt(config, Version::V5).await else { return false };
    let present = connection.granted.session_present;
    connection.close().await;
    present
}

/// By a handshake of our own, since rumqttc does not tell of its.
async fn seen(config: &Config) -> Option<tls::Seen> {
    let files = config.tls.as_ref()?;
    let (host, port) = connect::host(config)?;
    let own = files.client.as_ref().map(|(chain, key)| (chain.as_path(), key.as_path()));
    let client = tls::client_config_as(files.ca_file.as_deref(), own).ok()?;
    let host = host.to_owned();
    tokio::task::spawn_blocking(move || tls::look(client, &host, port, STEP)).await.ok()?.ok()
}

fn obstacle(cause: Cause) -> Obstacle {
    match cause {
        Cause::PortRefuses => Obstacle::PortRefuses,
        Cause::LoginRefused => Obstacle::LoginRefused,
        Cause::Unsupported => Obstacle::Protocol,
        Cause::Certificate(Flaw::Expired) => Obstacle::CertificateExpired,
        Cause::Certificate(Flaw::NotYetValid) => Obstacle::CertificateNotYetValid,
        Cause::Certificate(Flaw::UnknownIssuer) => Obstacle::CertificateUnknownIssuer,
        Cause::Certificate(Flaw::WrongName) => Obstacle::CertificateWrongName,
        Cause::OwnCertificate => Obstacle::OwnCertificate,
        Cause::Certificate(Flaw::Other) | Cause::Tls => Obstacle::Tls,
        _ => Obstacle::Other,
    }
}
