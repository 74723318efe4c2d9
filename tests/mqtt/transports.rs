//! Ways to a broker: TLS and what fails of it, WebSocket, Unix socket, and the time that an attempt may take.

use std::time::Duration;

use presence_bridge::clock::Clock;
use presence_bridge::mqtt::{self, Address, Config, Message, Protocol, TlsConfig};
use presence_bridge::telemetry::Telemetry;
use rcgen::{CertificateParams, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::protocols::speaking;
use super::reach::{with_tls, with_tls_as};
use super::{config, readable, says, start, up};
use crate::support::mosquitto::Mosquitto;
use crate::support::until;

fn with_ca(broker: &Mosquitto, config: Config) -> Config {
    let ca_file = Some(broker.dir.path().join("ca.pem"));
    Config { tls: Some(TlsConfig { ca_file, client: None }), ..config }
}

pub async fn passes(config: Config) {
    let (handle, mut events, _) = start(config);
    up(&mut events).await;
    handle.permit().await.unwrap().publish(Message::new("in/a", "through").at_least_once());
    says(&mut events, "through").await;
    handle.stop(None).await;
}

#[tokio::test]
async fn fault_14_of_a_certificate_that_is_not_taken_it_is_told_what_is_wrong() {
    type Change = fn(&mut CertificateParams);
    let changes: [(&str, Change, &str); 3] = [
        ("certificate_expired", |leaf| leaf.not_after = date_time_ymd(2020, 1, 1), "expired"),
        ("certificate_not_yet_valid", |leaf| leaf.not_before = date_time_ymd(2090, 1, 1), "clock right?"),
        (
            "certificate_wrong_name",
            |leaf| {
                leaf.subject_alt_names =
                    CertificateParams::new(vec!["elsewhere.example".to_owned()]).unwrap().subject_alt_names
            },
            "another name",
        ),
    ];
    for (reason, change, words) in changes {
        let Some(broker) = with_tls_as("fault_14 certificates", "127.0.0.1", "", change).await else { return };
        for protocol in [Protocol::V5, Protocol::V311] {
            let (handle, mut events, telemetry) =
                start(with_ca(&broker, speaking(protocol, config(broker.port, "flaw"))));
            until(reason, || telemetry.total("mqtt_lost", reason) > 0).await;
            let alarms = telemetry.alarms();
            let alarm = alarms.iter().find(|alarm| alarm.name == "mqtt_certificate").expect("an alarm");
            assert!(alarm.remedy.contains(words), "{}", alarm.remedy);
            assert!(events.try_next().is_none(), "never in plain text");
            handle.stop(None).await;
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_read_at_each_attempt() {
    let Some(broker) = with_tls_as("mqtt client certificate", "127.0.0.1", "require_certificate true", |_| {}).await
    else {
        return;
    };
    let (handle, _events, telemetry) = start(with_ca(&broker, config(broker.port, "nobody")));
    until("it is refused", || telemetry.total("mqtt_lost", "own_certificate") > 0).await;
    assert!(telemetry.alarms().iter().any(|alarm| alarm.name == "mqtt_own_certificate"), "{:?}", telemetry.alarms());
    handle.stop(None).await;
    // The same files, first with a certificate that the broker does not take.
    let dir = tempfile::tempdir().unwrap();
    let files = (dir.path().join("own.pem"), dir.path().join("own.key"));
    let key = rcgen::KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["bridge".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(&files.0, own.pem()).unwrap();
    std::fs::write(&files.1, key.serialize_pem()).unwrap();
    let mut config = with_ca(&broker, config(broker.port, "rotated"));
    config.tls.as_mut().unwrap().client = Some(files.clone());
    let (handle, mut events, telemetry) = start(config);
    until("it is refused", || telemetry.total("mqtt_lost", "own_certificate") > 0).await;
    std::fs::copy(broker.dir.path().join("client.pem"), &files.0).unwrap();
    std::fs::copy(broker.dir.path().join("client.key"), &files.1).unwrap();
    up(&mut events).await;
    assert!(telemetry.alarms().is_empty(), "{:?}", telemetry.alarms());
    handle.stop(None).await;
}

#[tokio::test]
async fn an_unusable_key_is_told_without_a_line_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let files = (dir.path().join("own.pem"), dir.path().join("own.key"));
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&files.0, CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&files.1, "-----BEGIN PRIVATE KEY\nc2VjcmV0\n-----END PRIVATE KEY-----\n").unwrap();
    let mut config = config(1, "key");
    config.tls = Some(TlsConfig { ca_file: None, client: Some(files) });
    let error = mqtt::start(config, Clock::live(), Telemetry::new(Clock::live())).map(|_| ()).unwrap_err();
    assert!(error.contains("own.key") && !error.contains("c2Vj") && !error.contains("BEGIN"), "{error}");
}

#[tokio::test]
async fn a_unix_socket_in_both_versions_and_never_with_tls() {
    let broker = Mosquitto::with("mqtt Unix socket", |port, dir| {
        std::fs::create_dir(dir.join("run")).unwrap();
        std::os::unix::fs::chown(dir.join("run"), None, None).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir.join("run"), std::fs::Permissions::from_mode(0o777)).unwrap();
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        let socket = dir.join("run/mqtt.sock");
        format!("allow_anonymous true\nlistener {port} 127.0.0.1\nlistener 0 {}\n", socket.display())
    })
    .await;
    let Some(broker) = broker else { return };
    let address = Address::Unix(broker.dir.path().join("run/mqtt.sock"));
    for protocol in [Protocol::V5, Protocol::V311] {
        passes(speaking(protocol, Config { address: address.clone(), ..config(broker.port, "unix") })).await;
    }
    let mut config = Config { address, ..config(broker.port, "unix") };
    config.tls = Some(TlsConfig { ca_file: None, client: None });
    let error = mqtt::start(config, Clock::live(), Telemetry::new(Clock::live())).map(|_| ()).unwrap_err();
    assert!(error.contains("no TLS"), "{error}");
}

#[tokio::test]
async fn tls_in_3_1_1() {
    let Some(broker) = with_tls("mqtt TLS 3.1.1", "127.0.0.1").await else { return };
    passes(with_ca(&broker, speaking(Protocol::V311, config(broker.port, "tls-311")))).await;
}

/// Says something every second, and never anything whole.
async fn trickling() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut first = [0; 1];
                drop(socket.read(&mut first).await);
                // The beginning of an answer to each: a large CONNACK, a TLS record, a line of HTTP.
                let slow: &[u8] = match first[0] {
                    0x10 => &[0x20, 0x40, 0, 0, 0],
                    0x16 => &[0x16, 3, 3, 0x40, 0],
                    _ => b"HTTP/1.1 101 ",
                };
                for byte in slow.iter().copied().chain(std::iter::repeat(b'1')) {
                    if socket.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn an_attempt_takes_ten_seconds_at_most_however_it_is_drawn_out() {
    let port = trickling().await;
    let tcp = Address::Tcp { host: "127.0.0.1".into(), port };
    let ws = Address::WebSocket { host: "127.0.0.1".into(), port, path: "/mqtt".into() };
    let tls = || Some(TlsConfig { ca_file: None, client: None });
    let mut links = Vec::new();
    for protocol in [Protocol::V5, Protocol::V311] {
        for (address, tls) in [(&tcp, None), (&tcp, tls()), (&ws, None), (&ws, tls())] {
            let config = Config { address: address.clone(), tls, ..config(port, "drawn-out") };
            links.push(start(speaking(protocol, config)));
        }
    }
    tokio::time::sleep(Duration::from_secs(8)).await;
    for (_, _, telemetry) in &links {
        assert!(telemetry.totals().is_empty(), "{:?}", telemetry.totals());
    }
    for (handle, _, telemetry) in links {
        until("it ends", || telemetry.total("mqtt_lost", "silent") == 1).await;
        handle.stop(None).await;
    }
}

#[tokio::test]
async fn the_file_of_a_certificate_may_go_under_a_live_link_and_nothing_happens() {
    let Some(broker) = with_tls("mqtt live TLS", "127.0.0.1").await else { return };
    let ca = broker.dir.path().join("ca.pem");
    let (handle, mut events, telemetry) = start(with_ca(&broker, config(broker.port, "live-tls")));
    up(&mut events).await;
    std::fs::write(&ca, "nothing").unwrap();
    readable(&ca);
    handle.permit().await.unwrap().publish(Message::new("in/a", "still").at_least_once());
    says(&mut events, "still").await;
    assert_eq!(telemetry.totals(), []);
    handle.stop(None).await;
}
