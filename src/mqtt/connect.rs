//! How a broker is reached.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{TlsConfiguration, Transport};

use super::{Address, Config};
use crate::tls;

/// The name or address and the port, as rumqttc takes them.
pub(super) fn place(config: &Config) -> (String, u16) {
    match &config.address {
        // An IPv6 address without its brackets: rumqttc's look-up takes it so, and as a TLS server name it has none.
        Address::Tcp { host, port } => (host.trim_start_matches('[').trim_end_matches(']').to_owned(), *port),
        // For these two it takes the whole of it in the place of the host.
        Address::WebSocket { host, port, path } => {
            let scheme = if config.tls.is_some() { "wss" } else { "ws" };
            let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
            (format!("{scheme}://{host}:{port}{path}"), *port)
        }
        Address::Unix(path) => (path.display().to_string(), 0),
    }
}

/// Shorter ones are not taken by rumqttc.
pub(super) fn keep_alive(config: &Config) -> Duration {
    config.keep_alive.max(Duration::from_secs(5))
}

/// With the certificates as they are on disk now.
///
/// # Errors
/// A file cannot be used, and which.
pub(super) fn transport(config: &Config) -> Result<Transport, String> {
    let tls = match &config.tls {
        Some(tls) => {
            let own = tls.client.as_ref().map(|(chain, key)| (chain.as_path(), key.as_path()));
            let client = tls::client_config_as(tls.ca_file.as_deref(), own)?;
            Some(TlsConfiguration::Rustls(Arc::new(client)))
        }
        None => None,
    };
    Ok(match (&config.address, tls) {
        (Address::Tcp { .. }, None) => Transport::Tcp,
        (Address::Tcp { .. }, Some(tls)) => Transport::tls_with_config(tls),
        (Address::WebSocket { .. }, None) => Transport::Ws,
        (Address::WebSocket { .. }, Some(tls)) => Transport::wss_with_config(tls),
        (Address::Unix(_), None) => Transport::Unix,
        (Address::Unix(_), Some(_)) => return Err(format!("{}: a Unix socket has no TLS", config.address)),
    })
}
