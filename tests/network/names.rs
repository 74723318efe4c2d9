//! A broker that moves: its name leads elsewhere.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::office::{BUSY, NOBODY, configuration, graph, sees, sees_within};
use crate::scenarios::world::{PROGRAM, SECRET};
use crate::support::mosquitto::{Mosquitto, program};
use crate::support::{lines_of, skipped, until};

const HOST: &str = "broker.test";

/// The real program, which sees `hosts` as /etc/hosts; ended when dropped.
struct Program(Child);

impl Program {
    fn start(config: &Path, hosts: &Path) -> Program {
        let script = "mount --bind \"$1\" /etc/hosts && exec \"$2\" run -c \"$3\"";
        let mut command = Command::new(program("unshare").unwrap());
        command.args(["-m", "sh", "-c", script, "sh"]).arg(hosts).arg(PROGRAM).arg(config);
        Program(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Whether /etc/hosts can be another file for one process, and is asked at all.
fn possible(hosts: &Path) -> Result<(), String> {
    let unshare = program("unshare").ok_or("unshare is not installed")?;
    let script = "mount --bind \"$1\" /etc/hosts && getent hosts \"$2\"";
    let tried = Command::new(unshare).args(["-m", "sh", "-c", script, "sh"]).arg(hosts).arg(HOST).output();
    let tried = tried.map_err(|error| error.to_string())?;
    match tried.status.success() {
        true => Ok(()),
        false => Err(format!("no mount namespace: {}", String::from_utf8_lossy(&tried.stderr).trim())),
    }
}

/// In place: a mount is of the file, not of its name.
fn lead_to(hosts: &Path, address: &str) {
    std::fs::write(hosts, format!("{address} {HOST}\n")).unwrap();
}

/// Where the phones are, and where the bridge is sent.
fn listeners(port: u16, address: &str) -> String {
    format!("allow_anonymous true\nlistener {port} 127.0.0.1\nlistener {port} {address}\n")
}

/// The broker dies, another takes its place under another address, and only the name says so.
///
/// Red when the name is looked up once: when `connect::place`, asked at the start only, gives the address of the name.
#[tokio::test]
async fn fault_10_the_name_is_looked_up_for_each_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts");
    lead_to(&hosts, "127.0.0.2");
    if let Err(why) = possible(&hosts) {
        return skipped("fault_10", &why);
    }
    let Some(mut broker) = Mosquitto::with("fault_10", |port, _| listeners(port, "127.0.0.2")).await else { return };
    let graph = graph(1).await;
    std::fs::write(dir.path().join("secret"), SECRET).unwrap();
    let config = dir.path().join("bridge.toml");
    let mqtt =
        format!("url = \"mqtt://{HOST}:{}\"\nallow_plaintext = true\nclient_id = \"bridge-under-test\"", broker.port);
    std::fs::write(&config, configuration(&graph, [1], &mqtt)).unwrap();
    broker.publish("phone/1", "INUSE", true);
    let mut program = Program::start(&config, &hosts);
    let log = lines_of(program.0.stderr.take().unwrap());
    sees(&graph, 1, BUSY).await;
    broker.kill();
    let said = |words: &str| log.lock().unwrap().contains(words);
    until("the loss is told", || said("lost")).await;
    std::fs::write(broker.dir.path().join("mosquitto.conf"), listeners(broker.port, "127.0.0.3")).unwrap();
    broker.resume().await;
    broker.publish("phone/1", "NOT_INUSE", true);
    lead_to(&hosts, "127.0.0.3");
    // Four seconds at most between attempts while the port refuses.
    sees_within(&graph, 1, NOBODY, Duration::from_secs(8)).await;
}
