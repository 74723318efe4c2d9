//! TLS on a wire that changes bytes, and with a peer that speaks too old a TLS: refused, never in plain text.

use std::io::Read;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Phones;
use super::office::{BUSY, NOBODY, Office, calls, configuration, graph, sees};
use crate::scenarios::world::person;
use crate::support::mosquitto::{Mosquitto, free_port, program};
use crate::support::proxy::{Faults, Lane, Proxy, Way};
use crate::support::{skipped, stays, until};

/// A CA, a certificate by it for 127.0.0.1 and its key, as PEM.
struct Pki {
    ca: String,
    certificate: String,
    key: String,
}

impl Pki {
    fn new() -> Pki {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = ca.self_signed(&key).unwrap().pem();
        let issuer = rcgen::Issuer::new(ca, key);
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = leaf.signed_by(&key, &issuer).unwrap().pem();
        Pki { ca: pem, certificate, key: key.serialize_pem() }
    }

    /// As files that mosquitto may read after it has dropped its rights.
    fn write(&self, dir: &std::path::Path) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        for (name, text) in [("ca.pem", &self.ca), ("cert.pem", &self.certificate), ("key.pem", &self.key)] {
            std::fs::write(dir.join(name), text).unwrap();
            std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

/// mosquitto with a TLS listener, and a plain one for the phones.
async fn broker(test: &str, pki: &Pki) -> Option<(Mosquitto, u16)> {
    let plain = free_port();
    let broker = Mosquitto::with(test, |port, dir| {
        pki.write(dir);
        let dir = dir.display();
        format!(
            "listener {plain} 127.0.0.1\nlistener {port} 127.0.0.1\ncertfile {dir}/cert.pem\nkeyfile {dir}/key.pem\nallow_anonymous true\n"
        )
    })
    .await?;
    Some((broker, plain))
}

fn office(graph: &presence_bridge::sandbox::Sandbox, pki: &Pki, number: usize, port: u16) -> Office {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), &pki.ca).unwrap();
    let mqtt = format!("url = \"mqtts://127.0.0.1:{port}\"\nca_file = \"ca.pem\"\nclient_id = \"bridge-{number}\"");
    Office::with(dir, &configuration(graph, [number], &mqtt))
}

/// Every connection so far began with a TLS handshake, and no MQTT can be read in any.
fn never_plain(proxy: &Proxy) {
    for number in 0..proxy.connections() {
        let up = &proxy.carried(number).bytes[Way::Up as usize];
        assert!(up.first().is_none_or(|&first| first == 0x16 || first == !0x16), "{up:x?}");
        assert!(!up.windows(4).any(|bytes| bytes == b"MQTT"), "in plain text");
    }
}

/// Offsets in the handshake and behind it. Not those of a record's length: what is then waited for is another test's.
const FLIPPED: [(Way, usize); 12] = [
    (Way::Up, 0),
    (Way::Up, 12),
    (Way::Up, 60),
    (Way::Up, 150),
    (Way::Down, 0),
    (Way::Down, 20),
    (Way::Down, 70),
    (Way::Down, 200),
    (Way::Down, 400),
    (Way::Down, 600),
    (Way::Down, 900),
    (Way::Up, 320),
];

/// A byte is changed on the first connection, in or behind the handshake: it ends, and the next one is good.
///
/// Red when the adapter speaks in plain text (`connect::transport` giving `Transport::Tcp`).
#[tokio::test]
async fn fault_15_a_changed_byte_ends_the_connection_and_nothing_else() {
    let pki = Pki::new();
    let Some((broker, plain)) = broker("fault_15", &pki).await else { return };
    let graph = graph(FLIPPED.len()).await;
    let mut phones = Phones::connect(plain);
    phones.say_all(1..=FLIPPED.len(), "INUSE", true);
    let mut offices = Vec::new();
    for (number, (way, at)) in (1..).zip(FLIPPED) {
        let proxy = Proxy::to(broker.port).await;
        proxy.next(Faults::on(way, Lane { flip: Some(at), ..Lane::default() }));
        offices.push((office(&graph, &pki, number, proxy.port), proxy));
    }
    for number in 1..=FLIPPED.len() {
        sees(&graph, number, BUSY).await;
    }
    phones.say_all(1..=FLIPPED.len(), "NOT_INUSE", true);
    for number in 1..=FLIPPED.len() {
        sees(&graph, number, NOBODY).await;
    }
    for (number, (_, proxy)) in offices.iter().enumerate() {
        never_plain(proxy);
        // The last offsets may lie behind the end of a short session.
        assert!(proxy.connections() > 1 || FLIPPED[number].1 > 500, "{:?} was survived", FLIPPED[number]);
    }
}

/// While every connection is corrupted there is none: counted and alarmed, nobody is set. Then it heals.
///
/// Red when the adapter falls back to plain text (`connect::transport` giving `Transport::Tcp`).
#[tokio::test]
async fn fault_15_a_wire_that_always_corrupts_is_alarmed_and_never_plain() {
    let pki = Pki::new();
    let Some((broker, plain)) = broker("fault_15 always", &pki).await else { return };
    let graph = graph(1).await;
    let mut phones = Phones::connect(plain);
    phones.say(1, "INUSE", true);
    let proxy = Proxy::to(broker.port).await;
    proxy.each(Faults::on(Way::Down, Lane { flip: Some(200), ..Lane::default() }));
    let office = office(&graph, &pki, 1, proxy.port);
    until("three attempts", || proxy.connections() >= 3).await;
    never_plain(&proxy);
    assert_eq!(calls(&graph, 1, "setPresence"), 0);
    assert!(!office.connected().await);
    assert!(office.total("mqtt_lost", "").await >= 2);
    assert_ne!(office.alarms().await, "[]", "an alarm while it lasts");
    proxy.each(Faults::default());
    sees(&graph, 1, BUSY).await;
    assert_eq!(office.alarms().await, "[]");
}

/// `openssl s_server`; ended when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A peer that can only speak TLS 1.1 is refused; nothing is said to it in plain text.
///
/// Red when the adapter falls back to plain text (`connect::transport` giving `Transport::Tcp`).
#[tokio::test]
async fn fault_15_a_peer_that_speaks_tls_1_1_only_is_refused() {
    let Some(openssl) = program("openssl") else { return skipped("fault_15 TLS 1.1", "openssl is not installed") };
    let (pki, dir, port) = (Pki::new(), tempfile::tempdir().unwrap(), free_port());
    pki.write(dir.path());
    let mut command = Command::new(&openssl);
    command.args([
        "s_server",
        "-tls1_1",
        "-quiet",
        "-cipher",
        "ALL:@SECLEVEL=0",
        "-accept",
        &format!("127.0.0.1:{port}"),
    ]);
    command.arg("-cert").arg(dir.path().join("cert.pem")).arg("-key").arg(dir.path().join("key.pem"));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _server = Server(child);
    until("it accepts", || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    // It does speak it, with who asks for it.
    let mut old = Command::new(&openssl);
    old.args(["s_client", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-connect", &format!("127.0.0.1:{port}")]);
    let mut old = old.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    old.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let _ended = old.wait();
    if !said.contains("TLSv1.1") {
        return skipped("fault_15 TLS 1.1", "this openssl does not speak TLS 1.1");
    }
    let (graph, proxy) = (graph(1).await, Proxy::to(port).await);
    let office = office(&graph, &pki, 1, proxy.port);
    until("three attempts", || proxy.connections() >= 3).await;
    never_plain(&proxy);
    stays("nobody is set", Duration::from_millis(200), || graph.seen(&person(1)) == NOBODY).await;
    assert!(!office.connected().await);
    assert!(office.total("mqtt_lost", "").await >= 2);
    assert_ne!(office.alarms().await, "[]", "an alarm while it lasts");
}
