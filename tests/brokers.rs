//! Brokers as they really are: what each answers to the things that the bridge relies on. `docs/brokers.md` says it for
//! people; a broker that changes its mind fails here with both texts.
//!
//! mosquitto, plain, with an ACL file and with its dynamic-security plugin, and the embedded broker run always. RabbitMQ and
//! NATS are long to install: their tests are `#[ignore]`d, for `tests/run --all`, and skipped where they are missing:
//! `apt-get install rabbitmq-server nats-server` (with `RUNLEVEL=1`, so that Debian does not start them as services).

mod contract;
mod deployed;
mod dynsec;
mod nats;
mod rabbitmq;
mod wire;

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use presence_bridge::clock::Clock;
use presence_bridge::mqtt::{self, Address, Event};
use presence_bridge::presence::Link;
use presence_bridge::sandbox::broker::Broker;
use presence_bridge::secret::SecretSource;
use presence_bridge::telemetry::Telemetry;

use self::contract::answers_of_both;
use self::wire::Access;
use crate::support::mosquitto::Mosquitto;

/// A child that ends with its test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A file and its directory: mosquitto drops its rights and works as a user of its own.
fn writable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for path in [path, path.parent().unwrap()] {
        let mode = if path.is_dir() { 0o777 } else { 0o666 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[track_caller]
fn expect(broker: &str, found: &str, expected: &str) {
    assert!(found == expected, "{broker} answers otherwise than written down.\nfound:\n{found}\nexpected:\n{expected}");
}

#[tokio::test]
async fn mosquitto_does_what_we_rely_on() {
    let Some(broker) = Mosquitto::start("mosquitto's answers", "").await else { return };
    let found = answers_of_both(|version| Access { port: broker.port, version, login: None }, None).await;
    expect("mosquitto", &found, include_str!("brokers/mosquitto.txt"));
}

#[tokio::test]
async fn the_embedded_broker_does_what_we_rely_on() {
    let broker = Broker::start(0).await.unwrap();
    let found = answers_of_both(|version| Access { port: broker.port(), version, login: None }, None).await;
    expect("the embedded broker", &found, include_str!("brokers/embedded.txt"));
    broker.stop().await;
}

/// Our own link, as it comes: it finds out which MQTT the broker speaks, subscribes, and hears itself.
async fn hears_itself(port: u16) {
    let address = Address::Tcp { host: "127.0.0.1".into(), port };
    let config = mqtt::Config {
        username: Some("bridge".into()),
        password: Some(SecretSource::Value("secret".to_owned().into())),
        filters: vec!["pbx/+/state".into(), "devices/#".into()],
        canary: Some("presence-bridge/canary/link".into()),
        ..mqtt::Config::new(address, "link")
    };
    let (handle, mut events) = mqtt::start(config, Clock::live(), Telemetry::new(Clock::live())).unwrap();
    let heard = async { while !matches!(events.next().await, Some(Event::Link(Link::Replayed))) {} };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("the canary comes back");
    handle.stop(None).await;
}
