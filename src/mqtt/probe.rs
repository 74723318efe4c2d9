//! One connection to a broker, to say whether it can be had and what it grants. For `doctor`: nothing is retried.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, ConnectReturnCode, Filter, Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop};
use secrecy::ExposeSecret;

use super::loss::Cause;
use super::{Config, connect};

/// For all of it.
const WHOLE: Duration = Duration::from_secs(20);

/// What a broker said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Filters that it refused, and in which words.
    pub refused: Vec<(String, String)>,
    /// Largest packet that it takes, bytes, if it has a limit.
    pub largest: Option<u32>,
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
    /// It speaks no MQTT 5.
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
    let mut options = connect::options(config);
    connect::reset(&mut options, config, false);
    options.set_transport(connect::transport(config).map_err(|error| (Obstacle::File, error))?);
    if let Some(username) = &config.username {
        let password = config.password.as_ref().map_or(Ok("".into()), crate::secret::SecretSource::read);
        let password = password.map_err(|error| (Obstacle::File, error))?;
        options.set_credentials(username.as_str(), password.expose_secret());
    }
    if let Err(error) = tokio::net::lookup_host(connect::place(config)).await {
        return Err((Obstacle::Name, error.to_string()));
    }
    let (client, eventloop) = AsyncClient::new(options, 16);
    match tokio::time::timeout(WHOLE, talk(config, client, eventloop)).await {
        Ok(Ok(probed)) => Ok(probed),
        Ok(Err(error)) => Err((obstacle(&error), error.to_string())),
        Err(_) => Err((Obstacle::Other, "the broker did not answer in time".to_owned())),
    }
}

async fn talk(config: &Config, client: AsyncClient, mut eventloop: EventLoop) -> Result<Probed, ConnectionError> {
    let mut probed = None;
    loop {
        match eventloop.poll().await? {
            Event::Incoming(Packet::ConnAck(ack)) => {
                let mut state = connect::state();
                std::mem::swap(&mut eventloop.state, &mut state); // a receive maximum of 0 would keep us from subscribing
                let filters = config.filters.iter().map(|path| Filter::new(path.as_str(), QoS::AtLeastOnce));
                probed = Some(said(&ack));
                if config.filters.is_empty() || client.try_subscribe_many(filters).is_err() {
                    break;
                }
            }
            Event::Incoming(Packet::SubAck(ack)) => {
                let codes = config.filters.iter().zip(&ack.return_codes);
                let refused = codes.filter(|(_, code)| !matches!(code, SubscribeReasonCode::Success(_)));
                let refused = refused.map(|(filter, code)| (filter.clone(), format!("{code:?}"))).collect();
                probed = probed.map(|probed| Probed { refused, ..probed });
                break;
            }
            _ => {}
        }
    }
    if client.try_disconnect().is_ok() {
        // Until it is flushed; a broker that is gone by then has heard enough.
        drop(tokio::time::timeout(Duration::from_millis(250), async { while eventloop.poll().await.is_ok() {} }).await);
    }
    probed.ok_or(ConnectionError::RequestsDone)
}

fn said(ack: &ConnAck) -> Probed {
    let said = ack.properties.as_ref();
    Probed {
        refused: Vec::new(),
        largest: said.and_then(|said| said.max_packet_size),
        retains: said.and_then(|said| said.retain_available) != Some(0),
        keeps_sessions: said.and_then(|said| said.session_expiry_interval) != Some(0),
    }
}

fn obstacle(error: &ConnectionError) -> Obstacle {
    use ConnectReturnCode::{RefusedProtocolVersion, UnsupportedProtocolVersion};
    match error {
        ConnectionError::ConnectionRefused(RefusedProtocolVersion | UnsupportedProtocolVersion) => Obstacle::Protocol,
        ConnectionError::ConnectionRefused(_) => Obstacle::LoginRefused,
        ConnectionError::Tls(_) => Obstacle::Tls,
        error => match connect::cause(error) {
            Cause::PortRefuses => Obstacle::PortRefuses,
            Cause::LoginRefused => Obstacle::LoginRefused,
            _ => Obstacle::Other,
        },
    }
}
