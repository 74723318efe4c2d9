//! The embedded MQTT broker: mqtt5, on loopback, in memory. The only user of that crate.

use std::net::SocketAddr;

use mqtt5::broker::{BrokerConfig, BrokerShutdownHandle, MqttBroker, StorageBackendType, StorageConfig};
use tokio::task::JoinHandle;

/// A broker of this process. Stops when dropped.
pub struct Broker {
    port: u16,
    stop: BrokerShutdownHandle,
    task: JoinHandle<()>,
}

impl Broker {
    /// Starts on loopback; port 0: one that is free.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start(port: u16) -> Result<Broker, String> {
        let mut config = BrokerConfig::new().with_bind_address(SocketAddr::from(([127, 0, 0, 1], port)));
        // Its defaults listen everywhere and write into the working directory.
        config.storage_config = StorageConfig::new().with_backend(StorageBackendType::Memory);
        config.sys_topics_enabled = false;
        config.max_packet_size = 1 << 20;
        config.client_channel_capacity = 1_000;
        let failed = |error: mqtt5::MqttError| format!("the embedded broker cannot start: {error}");
        let mut broker = MqttBroker::with_config(config).await.map_err(failed)?;
        let port = broker.local_addr().map(|address| address.port()).ok_or("the embedded broker has no port")?;
        let stop = broker.shutdown_handle();
        let task = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                tracing::error!(%error, "The embedded broker ended.");
            }
        });
        Ok(Broker { port, stop, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends all connections and frees the port.
    pub async fn stop(mut self) {
        self.stop.shutdown();
        drop((&mut self.task).await);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}
