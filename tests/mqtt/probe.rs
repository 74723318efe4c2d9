//! One look at a broker, for `doctor`.

use presence_bridge::mqtt::{Address, Config, Message, Obstacle, Protocol, Session, TlsConfig, probe};
use presence_bridge::sandbox::broker::Broker;

use super::canary::with_canary;
use super::protocols::speaking;
use super::reach::with_tls;
use super::{config, readable, start, up};
use crate::support::fake_broker::FakeBroker;
use crate::support::mosquitto::{Mosquitto, free_port};

#[tokio::test]
async fn a_broker_that_does_everything_is_told_so_and_nothing_is_left_there() {
    let embedded = Broker::start(0).await.unwrap();
    let mosquitto = Mosquitto::start("mqtt probe", "").await;
    let ports = std::iter::once(embedded.port()).chain(mosquitto.iter().map(|broker| broker.port));
    for (port, protocol) in ports.flat_map(|port| [(port, Protocol::Newest), (port, Protocol::V311)]) {
        let probed = probe(&speaking(protocol, with_canary(config(port, "probe")))).await.unwrap();
        let newest = protocol == Protocol::Newest;
        assert_eq!(probed.protocol, if newest { "5" } else { "3.1.1" });
        assert_eq!((probed.transport, probed.addresses.len()), ("TCP", 1));
        assert_eq!((probed.canary, probed.replays), (Some(true), Some(true)), "{port} {protocol:?}");
        assert_eq!(probed.keeps_sessions, newest, "{port} {protocol:?}");
        assert!(probed.retains && probed.wildcards && probed.qos1 && probed.refused.is_empty(), "{probed:?}");
        assert_eq!(probed.tls, None);
        let mut watch = config(port, "watch");
        watch.filters = vec!["own/#".into()];
        watch.session = Session::Clean; // nothing that was live meanwhile
        let (handle, mut events, _) = start(watch);
        up(&mut events).await;
        handle.permit().await.unwrap().publish(Message::new("own/end", "end"));
        super::says(&mut events, "end").await; // and nothing retained before it
        handle.stop(None).await;
    }
}

#[tokio::test]
async fn the_brokers_certificate_is_shown() {
    let Some(broker) = with_tls("mqtt probe TLS", "127.0.0.1").await else { return };
    let ca_file = Some(broker.dir.path().join("ca.pem"));
    let config = Config { tls: Some(TlsConfig { ca_file, client: None }), ..config(broker.port, "probe-tls") };
    let probed = probe(&config).await.unwrap();
    let seen = probed.tls.expect("a certificate");
    assert_eq!((probed.transport, &seen.names[..]), ("TLS", &["127.0.0.1".to_owned()][..]));
    assert!(seen.version.contains("TLS") && seen.cipher.contains("AES") | seen.cipher.contains("CHACHA"), "{seen:?}");
    assert!(seen.ends.is_some_and(|ends| ends > 1_800_000_000), "{seen:?}");
    let untrusting = Config { tls: Some(TlsConfig { ca_file: None, client: None }), ..config };
    assert_eq!(probe(&untrusting).await.unwrap_err().0, Obstacle::CertificateUnknownIssuer);
}

#[tokio::test]
async fn a_broker_that_grants_and_says_nothing_is_found_out() {
    let broker = Mosquitto::with("mqtt probe ACL", |port, dir| {
        std::fs::write(dir.join("acl"), "topic readwrite in/#\n").unwrap();
        readable(&dir.join("acl"));
        format!("listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {}/acl\n", dir.display())
    })
    .await;
    let Some(broker) = broker else { return };
    let probed = probe(&with_canary(config(broker.port, "probe-acl"))).await.unwrap();
    assert_eq!((probed.canary, probed.replays), (Some(false), None));
    assert!(probed.refused.is_empty(), "mosquitto grants it: {:?}", probed.refused);
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_apart() {
    let nobody = probe(&config(free_port(), "probe")).await.unwrap_err();
    assert_eq!(nobody.0, Obstacle::PortRefuses);
    let mut nowhere = config(1, "probe");
    nowhere.address = Address::Tcp { host: "nowhere.invalid".into(), port: 1 };
    assert_eq!(probe(&nowhere).await.unwrap_err().0, Obstacle::Name);
    let broker = FakeBroker::start().await;
    for (code, obstacle) in [(0x86, Obstacle::LoginRefused), (0x84, Obstacle::Protocol)] {
        let refusing = async {
            let (mut peer, _) = broker.accept().await;
            peer.connack(code, &[]).await;
            peer
        };
        let config = speaking(Protocol::V5, config(broker.port, "probe"));
        let (_peer, refused) = tokio::join!(refusing, probe(&config));
        assert_eq!(refused.unwrap_err().0, obstacle);
    }
}
