//! Connections that are lost again and again, with retained levels in place: nobody at Graph is bothered, and nothing grows.
//!
//! The back-off stays as it is. So that many losses fit into a short time, several programs lose theirs at once; and each
//! loss is of a kind that is no take-over: the broker says something that MQTT does not know.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::people;
use crate::support::live::{Desk, configuration_of};
use crate::support::mosquitto::Mosquitto;
use crate::support::{ALICE, BOB, sandbox};

/// AUTH, where nobody asked for it.
const NONSENSE: [u8; 2] = [0xf0, 0];

/// Forwards to a broker, until it is told to lose all connections.
struct Proxy {
    port: u16,
    accepted: Arc<AtomicUsize>,
    cut: watch::Sender<()>,
}

impl Proxy {
    async fn before(port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (cut, mut cuts) = watch::channel(());
        cuts.mark_unchanged();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut broker = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let mut cut = cuts.clone();
                cut.mark_unchanged();
                counts.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut broker) => {}
                        _ = cut.changed() => drop(client.write_all(&NONSENSE).await),
                    }
                });
            }
        });
        Proxy { port: own, accepted, cut }
    }
}

struct Program {
    child: Child,
    id: String,
    _dir: tempfile::TempDir,
}

impl Program {
    fn start(number: usize, port: u16, graph: &str) -> Program {
        let dir = tempfile::tempdir().unwrap();
        let id = format!("reconnects-{number}");
        let mqtt = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nclient_id = \"{id}\"\n");
        // No refresh comes in between.
        let more = format!(
            "[presence]\nmax_stale = \"4h\"\n[state]\ndir = \".\"\n[admin]\nlisten = \"off\"\nsocket = \"off\"\n{}",
            people()
        );
        std::fs::write(dir.path().join("bridge.toml"), configuration_of(&mqtt, graph, &more)).unwrap();
        std::fs::write(dir.path().join("secret"), "sandbox-secret").unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_presence-bridge"))
            .args(["run", "-c"])
            .arg(dir.path().join("bridge.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Program { child, id, _dir: dir }
    }

    /// Resident memory in KiB, and open files.
    fn size(&self) -> (usize, usize) {
        let proc = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix(" kB")).unwrap();
        (memory.trim().parse().unwrap(), std::fs::read_dir(format!("{proc}/fd")).unwrap().count())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

async fn lose(test: &str, programs: usize, rounds: usize, patience: Duration) {
    let Some(broker) = Mosquitto::start(test, "max_connections -1").await else { return };
    let sandbox = sandbox(false).await;
    let proxy = Proxy::before(broker.port).await;
    let desk = Desk::at(broker.port).await;
    broker.publish("pbx/1001", "INUSE", true);
    broker.publish("pbx/1002", "NOT_INUSE", true);
    let running: Vec<Program> =
        (0..programs).map(|number| Program::start(number, proxy.port, &sandbox.graph_url())).collect();
    let status = |program: &Program| format!("status/{}", program.id);
    let waited = |what: &'static str| move |_| panic!("waited in vain: {what}");
    let online = async {
        while !running.iter().all(|program| desk.json(&status(program))["state"] == "online") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while sandbox.seen(ALICE) != "Busy/InACall" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), online).await.unwrap_or_else(waited("all are online"));
    // Everybody has set her, and is at rest.
    let calls = || {
        let tenant = sandbox.tenant().lock().unwrap();
        tenant.log().iter().filter(|entry| [ALICE, BOB].contains(&entry.user.as_str())).count()
    };
    let all_called = async {
        while calls() < programs {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all_called).await.unwrap_or_else(waited("all have called"));
    let before = calls();
    let mut first = Vec::new();
    for round in 1..=rounds {
        let said: Vec<usize> = running.iter().map(|program| desk.all(&status(program)).len()).collect();
        let accepted = proxy.accepted.load(Ordering::Relaxed);
        proxy.cut.send(()).unwrap();
        let back = async {
            while proxy.accepted.load(Ordering::Relaxed) < accepted + programs
                || !running.iter().zip(&said).all(|(program, said)| {
                    let all = desk.all(&status(program));
                    all.len() > *said && all.last().is_some_and(|last| last.contains("online"))
                })
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(patience, back).await.unwrap_or_else(waited("all are back"));
        if round == 1 {
            first = running.iter().map(Program::size).collect();
        }
    }
    assert_eq!(calls(), before, "no call to Graph");
    assert_eq!(sandbox.seen(ALICE), "Busy/InACall");
    for (program, (memory, files)) in running.iter().zip(first) {
        let (memory_now, files_now) = program.size();
        assert!(memory_now <= memory + 2_048, "{}: {memory} KiB, then {memory_now}", program.id);
        assert!(files_now <= files + 2, "{}: {files} files, then {files_now}", program.id);
    }
    println!("{} reconnects", proxy.accepted.load(Ordering::Relaxed) - programs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_22_fifty_reconnects_cost_no_call_and_nothing_grows() {
    lose("fault_22_reconnects", 10, 5, Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a thousand, eight minutes: the back-off is as in life"]
async fn fault_22_a_thousand_reconnects_cost_no_call_and_nothing_grows() {
    lose("fault_22_thousand_reconnects", 50, 20, Duration::from_secs(60)).await;
}
