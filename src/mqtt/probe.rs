//! One connection to a broker, to say whether it can be had and what it grants. For `doctor`: nothing is retried.

use std::time::Duration;

use rumqttc::Outgoing;
use secrecy::ExposeSecret;

use super::failure::{Cause, Failure};
use super::wire::{self, Asked, Ear, Granted, Polled, Version, Voice};
use super::{Address, Config, Protocol, connect};

/// For all of it.
const WHOLE: Duration = Duration::from_secs(20);

/// What a broker said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The version of MQTT that it speaks with us.
    pub protocol: &'static str,
    /// Filters that it refused, and in which words.
    pub refused: Vec<(String, String)>,
    /// Largest packet that it takes, bytes, if it has a limit.
    pub largest: Option<u32>,
    /// Messages of ours at QoS 1 that it takes at a time, if it has a limit.
    pub receive_maximum: Option<u16>,
    /// Whether it retains messages.
    pub retains: bool,
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
    /// The certificates do not fit.
    Tls,
    /// A file of ours cannot be read.
    File,
    /// No answer in time, or another one than MQTT's.
    Other,
}

/// Connects, subscribes, disconnects.
///
/// # Errors
/// There was no connection, and why, in words without secrets.
pub async fn probe(config: &Config) -> Result<Probed, (Obstacle, String)> {
    let transport = connect::transport(config).map_err(|error| (Obstacle::File, error))?;
    let password = config.password.as_ref().map_or(Ok("".into()), crate::secret::SecretSource::read);
    let password = password.map_err(|error| (Obstacle::File, error))?;
    let login = config.username.as_deref().map(|name| (name, password.expose_secret()));
    if let Address::Tcp { host, port } | Address::WebSocket { host, port, .. } = &config.address {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Err(error) = tokio::net::lookup_host((host, *port)).await {
            return Err((Obstacle::Name, error.to_string()));
        }
    }
    let mut version = if config.protocol == Protocol::V311 { Version::V311 } else { Version::V5 };
    loop {
        let (voice, mut ear) = wire::new(config, version);
        ear.prepare(config, Asked { retains: true, qos1: true }, Some(transport.clone()), login);
        match tokio::time::timeout(WHOLE, talk(config, version, &voice, ear)).await {
            Ok(Ok(probed)) => return Ok(probed),
            Ok(Err(failure)) if version == Version::V5 && falls_back(config, &failure) => version = Version::V311,
            Ok(Err(failure)) => return Err((obstacle(failure.cause), failure.text)),
            Err(_) => return Err((Obstacle::Other, "the broker did not answer in time".to_owned())),
        }
    }
}

fn falls_back(config: &Config, failure: &Failure) -> bool {
    config.protocol == Protocol::Newest && matches!(failure.cause, Cause::Unsupported | Cause::PeerClosed)
}

async fn talk(config: &Config, version: Version, voice: &Voice, mut ear: Ear) -> Result<Probed, Failure> {
    let mut probed = None;
    let goes = Failure { cause: Cause::Other, text: "the broker ended the connection".to_owned() };
    loop {
        match ear.poll().await? {
            Polled::Connected(granted) => {
                ear.forget(); // a receive maximum of 0 would keep us from subscribing
                probed = Some(said(&granted, version));
                if config.filters.is_empty() || !voice.subscribe(&config.filters) {
                    break;
                }
            }
            Polled::Subscribed(_, codes) => {
                let refused = config.filters.iter().zip(codes);
                let refused = refused.filter_map(|(filter, code)| Some((filter.clone(), code.err()?))).collect();
                probed = probed.map(|probed| Probed { refused, ..probed });
                break;
            }
            _ => {}
        }
    }
    if voice.disconnect() {
        // Until it is flushed; a broker that is gone by then has heard enough.
        let flushed = async { while !matches!(ear.poll().await, Ok(Polled::Sent(Outgoing::Disconnect)) | Err(_)) {} };
        drop(tokio::time::timeout(Duration::from_millis(250), flushed).await);
        drop(tokio::time::timeout(Duration::from_millis(50), ear.poll()).await);
    }
    probed.ok_or(goes)
}

fn said(granted: &Granted, version: Version) -> Probed {
    Probed {
        protocol: version.name(),
        refused: Vec::new(),
        largest: granted.largest,
        receive_maximum: granted.receive_maximum,
        retains: granted.retains,
        keeps_sessions: version == Version::V5 && granted.session_expiry != Some(0),
    }
}

fn obstacle(cause: Cause) -> Obstacle {
    match cause {
        Cause::PortRefuses => Obstacle::PortRefuses,
        Cause::LoginRefused => Obstacle::LoginRefused,
        Cause::Unsupported => Obstacle::Protocol,
        Cause::Certificate(_) | Cause::Tls => Obstacle::Tls,
        _ => Obstacle::Other,
    }
}
