//! What others can cause again and again is told at a bounded rate.

use std::io::Write;
use std::sync::{Arc, Mutex};

use presence_bridge::secret::SecretSource;
use tracing::subscriber::DefaultGuard;

use super::{config, start, up};
use crate::support::fake_broker::FakeBroker;
use crate::support::mosquitto::free_port;
use crate::support::until;

/// The log lines of this thread, and so of a test's runtime.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn kept() -> (Lines, DefaultGuard) {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    fn with(&self, words: &str) -> Vec<String> {
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_unreadable_password_file_is_told_once_and_counted_each_time() {
    let (lines, _guard) = Lines::kept();
    let mut config = config(free_port(), "unreadable");
    config.username = Some("bridge".into());
    config.password = Some(SecretSource::File("/nowhere/password".into()));
    let (handle, _events, telemetry) = start(config);
    until("three attempts", || telemetry.total("mqtt_unreadable", "password") >= 3).await;
    let told = lines.with("password cannot be read");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("/nowhere/password") && told[0].contains("password_file in [mqtt]"), "{told:?}");
    handle.stop(None).await;
}

#[tokio::test]
async fn refused_subscriptions_are_told_once_and_counted_each_time() {
    let (lines, _guard) = Lines::kept();
    let broker = FakeBroker::start().await;
    let (handle, mut events, telemetry) = start(config(broker.port, "refused"));
    for n in 1..=3 {
        let refusing = async {
            let (mut peer, _) = broker.accept().await;
            peer.connack(0, &[]).await;
            peer.grant(0x87).await; // not authorized
            until("it is counted", || telemetry.total("mqtt_subscribe", "refused") == n).await;
        };
        tokio::join!(refusing, up(&mut events));
    }
    let told = lines.with("refuses subscriptions");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("in/#") && told[0].contains("NotAuthorized"), "{told:?}");
    handle.stop(None).await;
}
