//! What rumqttc is told for a connection, and what its errors mean.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, LastWill};
use rumqttc::v5::{ConnectionError, MqttOptions, MqttState, StateError};
use rumqttc::{TlsConfiguration, Transport};

use super::loss::Cause;
use super::{Address, Config, Session};
use crate::tls;

/// An attempt to connect, from the first packet to CONNACK.
const CONNECT_SECONDS: u64 = 10;
/// Nothing of ours is ever in flight, all of it being QoS 0; rumqttc allocates for this many.
const IN_FLIGHT: u16 = 16;

/// What every CONNECT starts from. rumqttc overwrites its own options by what the broker said in the last CONNACK.
pub(super) fn reset(options: &mut MqttOptions, config: &Config, retains: bool) {
    options.set_keep_alive(keep_alive(config));
    match config.session {
        Session::Persistent { expiry } => {
            options.set_clean_start(false);
            options.set_session_expiry_interval(Some(u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX)));
        }
        Session::Clean => {
            options.set_clean_start(true);
        }
    }
    if let Some(will) = &config.will {
        let retain = will.retain && retains;
        options.set_last_will(LastWill::new(&will.topic, will.payload.to_vec(), QoS::AtLeastOnce, retain, None));
    }
}

pub(super) fn options(config: &Config) -> MqttOptions {
    let (host, port) = place(config);
    let mut options = MqttOptions::new(&config.client_id, host, port);
    reset(&mut options, config, true);
    options.set_connection_timeout(CONNECT_SECONDS);
    options.set_manual_acks(true);
    options.set_max_packet_size(Some(config.max_packet_size));
    options.set_receive_maximum(Some(config.receive_maximum.max(1)));
    options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
    let mut network = options.network_options();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    options
}

/// An IPv6 address comes without its brackets: rumqttc's look-up takes it so, and as a TLS server name it has none.
pub(super) fn place(config: &Config) -> (&str, u16) {
    match &config.address {
        Address::Tcp { host, port } | Address::WebSocket { host, port, .. } => {
            (host.trim_start_matches('[').trim_end_matches(']'), *port)
        }
        Address::Unix(_) => ("", 0),
    }
}

/// Of a connection that has just begun.
pub(super) fn state() -> MqttState {
    MqttState::new(IN_FLIGHT, true)
}

/// Shorter ones are not taken by rumqttc.
pub(super) fn keep_alive(config: &Config) -> Duration {
    config.keep_alive.max(Duration::from_secs(5))
}

/// The broker does not retain, so that it takes no retained last will either.
pub(super) fn refuses_retained(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ConnectionRefused(ConnectReturnCode::RetainNotSupported))
}

pub(super) fn transport(config: &Config) -> Result<Transport, String> {
    if !matches!(config.address, Address::Tcp { .. }) {
        return Err(format!("{}: brokers are reached by TCP", config.address));
    }
    let Some(tls) = &config.tls else { return Ok(Transport::Tcp) };
    let client = tls::client_config(tls.ca_file.as_deref())?;
    Ok(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(client))))
}

pub(super) fn cause(error: &ConnectionError) -> Cause {
    use ConnectReturnCode::{BadUserNamePassword, Banned, NotAuthorized};
    match error {
        ConnectionError::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => Cause::PortRefuses,
        ConnectionError::ConnectionRefused(BadUserNamePassword | NotAuthorized | Banned)
        | ConnectionError::MqttState(StateError::ConnFail { reason: BadUserNamePassword | NotAuthorized | Banned }) => {
            Cause::LoginRefused
        }
        ConnectionError::MqttState(StateError::ServerDisconnect {
            reason_code: DisconnectReasonCode::SessionTakenOver,
            ..
        }) => Cause::TakenOver,
        ConnectionError::MqttState(StateError::ConnectionAborted) => Cause::PeerClosed,
        ConnectionError::Io(error)
        | ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(rumqttc::v5::mqttbytes::Error::Io(error)),
        ) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Cause::PeerClosed,
        _ => Cause::Other,
    }
}
