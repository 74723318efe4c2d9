//! Addresses and certificates, against mosquitto.

use presence_bridge::mqtt::{Address, TlsConfig};

use super::{config, readable, start, up};
use crate::support::mosquitto::Mosquitto;
use crate::support::{skipped, until};

/// With TLS on an address of the loopback, its certificate for that address by a CA in `ca.pem`.
async fn with_tls(test: &str, address: &str) -> Option<Mosquitto> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, key);
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec![address.to_owned()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    Mosquitto::on(test, address, |port, dir| {
        for (name, text) in [("ca.pem", &ca_pem), ("cert.pem", &leaf.pem()), ("key.pem", &leaf_key.serialize_pem())] {
            std::fs::write(dir.join(name), text).unwrap();
            readable(&dir.join(name));
        }
        let dir = dir.display();
        format!(
            "listener {port} {address}\nallow_anonymous true\ncafile {dir}/ca.pem\ncertfile {dir}/cert.pem\nkeyfile {dir}/key.pem\n"
        )
    })
    .await
}

fn has_ipv6(test: &str) -> bool {
    let has = std::net::TcpListener::bind(("::1", 0)).is_ok();
    if !has {
        skipped(test, "there is no IPv6 loopback");
    }
    has
}

#[tokio::test]
async fn fault_14_tls_with_the_right_ca_only() {
    let Some(broker) = with_tls("fault_14", "127.0.0.1").await else { return };
    let mut strict = config(broker.port, "no-ca");
    strict.tls = Some(TlsConfig { ca_file: None, client: None });
    let (handle, mut events, telemetry) = start(strict);
    until("the certificate is refused", || telemetry.total("mqtt_lost", "certificate_unknown_issuer") > 0).await;
    assert!(events.try_next().is_none());
    handle.stop(None).await;
    let mut right = config(broker.port, "ca");
    right.tls = Some(TlsConfig { ca_file: Some(broker.dir.path().join("ca.pem")), client: None });
    let (handle, mut events, _) = start(right);
    up(&mut events).await;
    handle.stop(None).await;
}

#[tokio::test]
async fn an_ipv6_address_in_plain_text_and_with_tls() {
    if !has_ipv6("mqtt IPv6") {
        return;
    }
    let plain = |port, _: &std::path::Path| format!("listener {port} ::1\nallow_anonymous true\n");
    let Some(broker) = Mosquitto::on("mqtt IPv6", "::1", plain).await else { return };
    for host in ["::1", "[::1]"] {
        let mut config = config(broker.port, "six");
        config.address = Address::Tcp { host: host.to_owned(), port: broker.port };
        let (handle, mut events, _) = start(config);
        up(&mut events).await;
        handle.stop(None).await;
    }
    let Some(broker) = with_tls("mqtt IPv6 with TLS", "::1").await else { return };
    let mut config = config(broker.port, "six");
    config.address = Address::Tcp { host: "::1".to_owned(), port: broker.port };
    config.tls = Some(TlsConfig { ca_file: Some(broker.dir.path().join("ca.pem")), client: None });
    let (handle, mut events, _) = start(config);
    up(&mut events).await;
    handle.stop(None).await;
}
