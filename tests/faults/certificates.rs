//! TLS: whoever is not the broker is not spoken to, and never in plain text.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::office::{Bridge, CALL, NOBODY, Office, publish, readable, within};
use crate::support::pki::{Ca, Identity, Valid, self_signed};

/// With TLS, and a second door for the phones.
struct Broker {
    broker: Mosquitto,
    phones: u16,
}

impl Broker {
    async fn start(test: &str, identity: &Identity, more: impl FnOnce(&std::path::Path) -> String) -> Option<Broker> {
        let phones = free_port();
        let broker = Mosquitto::with(test, |port, dir| {
            show(dir, identity);
            let (more, dir) = (more(dir), dir.display());
            format!(
                "per_listener_settings true\nlistener {phones} 127.0.0.1\nallow_anonymous true\nlistener {port} 127.0.0.1\nallow_anonymous true\ncertfile {dir}/cert.pem\nkeyfile {dir}/key.pem\n{more}"
            )
        })
        .await?;
        Some(Broker { broker, phones })
    }

    fn say(&self, number: usize, what: &str) {
        publish(self.phones, &format!("phone/{number}"), what, &["-r"]);
    }

    /// Restarted with another certificate.
    async fn shows(&mut self, identity: &Identity) {
        self.broker.kill();
        show(self.broker.dir.path(), identity);
        self.broker.resume().await;
    }

    fn mqtts(&self) -> String {
        format!("url = \"mqtts://127.0.0.1:{}\"\nca_file = \"ca.pem\"\n", self.broker.port)
    }
}

fn show(dir: &std::path::Path, identity: &Identity) {
    readable(dir, "cert.pem", &identity.certificate);
    readable(dir, "key.pem", &identity.key);
}

/// Waits for an alarm that says one of these words.
async fn alarm_says(bridge: &Bridge, words: &[&str]) {
    let told = || async {
        let alarms = bridge.alarms().await;
        alarms.iter().any(|(_, remedy)| words.iter().any(|word| remedy.to_lowercase().contains(word)))
    };
    within(Duration::from_secs(10), &format!("an alarm that says one of {words:?}"), told).await;
}

/// A broker with this certificate is refused, told with `words`, and heard once it shows a good one.
async fn refused(test: &str, trusted: &Ca, shown: &Identity, words: &[&str]) {
    let Some(mut broker) = Broker::start(test, shown, |_| String::new()).await else { return };
    let office = Office::new(1, 1).await;
    broker.say(1, "INUSE");
    let bridge = office.bridge(&broker.mqtts(), "", &[("ca.pem", &trusted.pem)]);
    alarm_says(&bridge, words).await;
    assert!(!bridge.is_connected().await && !bridge.is_ready().await);
    assert_eq!(office.story(1), [NOBODY], "{test}");
    broker.shows(&trusted.issue("127.0.0.1", Valid::Now)).await;
    broker.say(1, "INUSE");
    office.see(1, CALL).await;
    bridge.no_alarm().await;
    bridge.stop().await;
}

/// Red: `connect::transport` takes TCP where TLS is configured; `failure.rs` does not tell these certificates from others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_13_a_certificate_that_expired_or_is_not_yet_valid_is_refused_and_said() {
    let ca = Ca::new("CA");
    let (old, new) = (ca.issue("127.0.0.1", Valid::NotAnyMore), ca.issue("127.0.0.1", Valid::NotYet));
    tokio::join!(
        refused("fault_13 expired", &ca, &old, &["expired"]),
        refused("fault_13 not yet valid", &ca, &new, &["not yet valid", "clock"]),
    );
}

/// Red: as above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_14_another_ca_another_name_and_a_certificate_that_vouches_for_itself_are_refused_and_said() {
    let (ca, other) = (Ca::new("CA"), Ca::new("another CA"));
    let (foreign, misnamed, own) =
        (other.issue("127.0.0.1", Valid::Now), ca.issue("broker.example", Valid::Now), self_signed("127.0.0.1"));
    tokio::join!(
        refused("fault_14 CA", &ca, &foreign, &["ca_file"]),
        refused("fault_14 name", &ca, &misnamed, &["name"]),
        refused("fault_14 self-signed", &ca, &own, &["ca_file"]),
    );
}

/// Somebody in the place of the broker who speaks plain MQTT, and says yes to everything.
///
/// Red: `connect::transport` takes TCP where TLS is configured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_13_14_nothing_is_ever_said_in_plain_text_where_tls_is_configured() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tls, plain) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&tls), Arc::clone(&plain));
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            let first = peer.read_u8().await.unwrap_or(0);
            let count = if first == 0x16 { &counts.0 } else { &counts.1 }; // a TLS handshake
            count.fetch_add(1, Ordering::Relaxed);
            drop(peer.write_all(&[0x20, 3, 0, 0, 0]).await); // CONNACK
        }
    });
    let office = Office::new(1, 1).await;
    let mqtt = format!("url = \"mqtts://127.0.0.1:{port}\"\nca_file = \"ca.pem\"\n");
    let bridge = office.bridge(&mqtt, "", &[("ca.pem", &Ca::new("CA").pem)]);
    within(Duration::from_secs(10), "it tries", || async { tls.load(Ordering::Relaxed) >= 4 }).await;
    assert_eq!(plain.load(Ordering::Relaxed), 0);
    assert!(!bridge.is_connected().await);
    bridge.stop().await;
}

/// The broker's operators change the CA of clients; the bridge's certificate follows on disk.
///
/// Red: `LinkTask::refresh` hands over what `connect::transport` read at the first attempt only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_16_a_client_certificate_that_is_changed_on_disk_is_taken_at_the_next_connection() {
    let (servers, old, new) = (Ca::new("servers"), Ca::new("old clients"), Ca::new("new clients"));
    let lines = |dir: &std::path::Path| {
        readable(dir, "clients.pem", &old.pem);
        format!("cafile {}/clients.pem\nrequire_certificate true\n", dir.display())
    };
    let server = servers.issue("127.0.0.1", Valid::Now);
    let Some(mut broker) = Broker::start("fault_16", &server, lines).await else { return };
    let office = Office::new(1, 1).await;
    let mqtt = format!("{}client_certificate_file = \"me.pem\"\nclient_key_file = \"me.key\"\n", broker.mqtts());
    let (me, me_then) = (old.issue("bridge", Valid::Now), new.issue("bridge", Valid::Now));
    let files = [("ca.pem", servers.pem.as_str()), ("me.pem", &me.certificate), ("me.key", &me.key)];
    let bridge = office.bridge(&mqtt, "", &files);
    bridge.connected().await;
    broker.say(1, "INUSE");
    office.see(1, CALL).await;
    readable(broker.broker.dir.path(), "clients.pem", &new.pem);
    broker.shows(&server).await;
    bridge.disconnected().await;
    broker.say(1, "NOT_INUSE");
    tokio::time::sleep(Duration::from_secs(1)).await; // it is tried, and refused
    assert!(!bridge.is_connected().await);
    office.kept_in_call(1);
    std::fs::write(bridge.dir.path().join("me.key"), me_then.key).unwrap();
    std::fs::write(bridge.dir.path().join("me.pem"), me_then.certificate).unwrap();
    office.see(1, NOBODY).await;
    bridge.stop().await;
}
