//! SIGKILL at random instants: the real program under load, between mosquitto and the sandbox, which live on. What is said is
//! said once, at QoS 1 and not retained, so that what was acknowledged and forgotten shows: somebody is seen wrong.
//!
//! `CRASHES=300 cargo test --test tests -- crash --nocapture` kills more often; `SEED` repeats.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use presence_bridge::clock::Clock;
use presence_bridge::sandbox::tenant::Settings;
use presence_bridge::sandbox::{Options, Sandbox};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};

use crate::support::mosquitto::Mosquitto;
use crate::support::office::{CALL, NOBODY, within};
use crate::support::until;

const PROGRAM: &str = env!("CARGO_BIN_EXE_presence-bridge");
const PEOPLE: usize = 20;
/// Whoever flaps waits until the phone is quiet; a bridge that begins waits for its brokers.
const PATIENCE: Duration = Duration::from_secs(60);

fn person(number: usize) -> String {
    format!("11111111-1111-4111-8111-{number:012}")
}

fn configuration(port: u16, url: &str) -> String {
    let users: String = (0..PEOPLE).map(|n| format!("p{n} = \"{}\"\n", person(n))).collect();
    format!(
        r#"
[graph]
tenant_id = "aaaaaaaa-0000-4000-8000-000000000001"
client_id = "bbbbbbbb-0000-4000-8000-000000000002"
client_secret_file = "secret"
login_url = "{url}"
graph_url = "{url}"
[mqtt]
url = "mqtt://127.0.0.1:{port}"
client_id = "bridge"
[admin]
listen = "off"
socket = "off"
[state]
dir = "state"
[users]
{users}
[signals]
call = "Busy/InACall"
[[rule]]
topic = "phone/{{who}}"
subject = "{{who}}"
signal = "call"
on = ["INUSE"]
off = ["NOT_INUSE"]
"#
    )
}

/// The program; killed when it goes.
struct Program {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Program {
    async fn start(dir: &Path) -> Program {
        let mut child = Command::new(PROGRAM)
            .args(["run", "-c"])
            .arg(dir.join("bridge.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = crate::support::lines_of(child.stderr.take().unwrap());
        let program = Program { child, log };
        until("the bridge subscribes", || program.log().contains("MQTT subscribed.")).await;
        program
    }

    fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// SIGKILL; what it had to say.
    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Phones: what each said last, once and for all.
struct Phones {
    client: AsyncClient,
    off_hook: [bool; PEOPLE],
    said: u64,
    taken: Arc<AtomicU64>,
}

impl Phones {
    fn new(port: u16) -> Phones {
        let mut options = MqttOptions::new("phones", "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(30));
        let (client, mut events) = AsyncClient::new(options, 1_000);
        let taken = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&taken);
        tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(Packet::PubAck(_)) = event {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Phones { client, off_hook: [false; PEOPLE], said: 0, taken }
    }

    async fn change(&mut self, phone: usize) {
        self.off_hook[phone] ^= true;
        let payload = if self.off_hook[phone] { "INUSE" } else { "NOT_INUSE" };
        self.client.publish(format!("phone/p{phone}"), QoS::AtLeastOnce, false, payload).await.unwrap();
        self.said += 1;
    }

    /// The broker has all of it.
    async fn are_heard(&self) {
        until("the broker has everything", || self.taken.load(Ordering::Relaxed) == self.said).await;
    }
}

/// Everybody, as colleagues see them, against what the phones said.
fn wrong(sandbox: &Sandbox, phones: &Phones) -> Vec<String> {
    let seen = (0..PEOPLE).map(|n| (n, sandbox.seen(&person(n)), if phones.off_hook[n] { CALL } else { NOBODY }));
    seen.filter(|(_, seen, said)| seen != said).map(|(n, seen, said)| format!("p{n} {seen}, not {said}")).collect()
}

/// Law 7, and row 62.
///
/// Red: `Bridge::event` acknowledges at once; or `Writer::write` answers before it writes, or does not write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_62_killed_at_random_instants_it_forgets_nothing_that_it_acknowledged() {
    let lines = "max_queued_messages 0\nmax_inflight_messages 100";
    let Some(broker) = Mosquitto::start("fault_62 crash", lines).await else { return };
    let number = |name: &str| -> Option<u64> {
        #[allow(clippy::disallowed_methods, reason = "the one who runs it says how long")]
        std::env::var(name).ok()?.parse().ok()
    };
    let (times, seed) = (number("CRASHES").unwrap_or(12), number("SEED").unwrap_or_else(|| fastrand::u64(..)));
    println!("SEED={seed} CRASHES={times}");
    let mut random = fastrand::Rng::with_seed(seed);
    let settings = Settings::for_users((0..PEOPLE).map(person));
    let sandbox = Sandbox::start(Options { clock: Clock::live(), settings, tls: false }).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "sandbox-secret").unwrap();
    std::fs::write(dir.path().join("bridge.toml"), configuration(broker.port, &sandbox.graph_url())).unwrap();
    let mut phones = Phones::new(broker.port);
    let mut program = Program::start(dir.path()).await;
    let mut killed_with_work = 0;
    for crash in 1..=times {
        let dies_after = random.u64(1..400);
        let load = random.u64(1..6); // milliseconds apart
        let mut passed = 0;
        while passed < dies_after {
            phones.change(random.usize(0..PEOPLE)).await;
            tokio::time::sleep(Duration::from_millis(load)).await;
            passed += load;
        }
        killed_with_work += u64::from(!wrong(&sandbox, &phones).is_empty());
        let log = program.kill();
        assert!(!log.contains("state_"), "crash {crash} of seed {seed}: an alarm of the journal\n{log}");
        for _ in 0..random.usize(0..10) {
            phones.change(random.usize(0..PEOPLE)).await; // waits at the broker
        }
        phones.are_heard().await;
        program = Program::start(dir.path()).await;
        let told = format!("after crash {crash} of seed {seed} everybody is seen as the phones said");
        let is_right = || async { wrong(&sandbox, &phones).is_empty() };
        if tokio::time::timeout(PATIENCE, within(PATIENCE * 2, &told, is_right)).await.is_err() {
            panic!("{told}, but {:?}\n{}", wrong(&sandbox, &phones), program.log());
        }
    }
    println!("{times} crashes, {} messages; {killed_with_work} times somebody was not yet seen right", phones.said);
    assert!(killed_with_work > 0, "nothing was ever on its way: that proves nothing");
    let log = program.kill();
    assert!(!log.contains("state_"), "{log}");
}
