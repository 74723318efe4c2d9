//! The real program in an office: for what a process alone shows, its memory and its environment.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use presence_bridge::admin::{Address, ask};
use presence_bridge::sandbox::tenant::Fault;
use tempfile::TempDir;

use super::{Office, lock, person, within};

pub struct Program {
    child: Child,
    log: Arc<Mutex<String>>,
    dir: TempDir,
}

impl Office {
    /// The program with these lines in `[mqtt]` and `[presence]` and these variables, subscribed.
    pub async fn program(&self, mqtt: &str, presence: &str, environment: &[(&str, &str)]) -> Program {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        std::fs::write(dir.path().join("secret"), "sandbox-secret").unwrap();
        let path = dir.path().join("bridge.toml");
        std::fs::write(&path, self.configuration(mqtt, presence)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_presence-bridge"));
        command.arg("run");
        if self.clock.speed() != 1 {
            command.args(["--clock", &format!("{}@{}", self.clock.speed(), self.clock.since().as_millis())]);
        }
        command.arg("-c").arg(&path).envs(environment.iter().copied());
        command.env_remove("NO_PROXY").env_remove("no_proxy");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = crate::support::lines_of(child.stderr.take().unwrap());
        let program = Program { child, log, dir };
        // What is published before that would be nobody's.
        within(super::PATIENCE, "the program subscribes", || async { program.log().contains("MQTT subscribed.") })
            .await;
        program
    }

    /// What somebody chose by hand in their client; `None`: nothing any more.
    pub fn prefer(&self, number: usize, pair: Option<&str>) {
        lock(self.sandbox.tenant()).prefer(&person(number), pair);
    }

    /// How often a token was asked for.
    pub fn tokens(&self) -> usize {
        self.of_log(|entry| entry.what == "token").len()
    }

    pub fn fault(&self, fault: Fault) {
        lock(self.sandbox.tenant()).fault(fault);
    }
}

impl Program {
    /// Nothing while it has not begun to listen.
    pub async fn ask(&self, path: &str) -> String {
        ask(&Address::Unix(self.dir.path().join("admin.sock")), path).await.unwrap_or_default().1
    }

    pub async fn status(&self, path: &str) -> serde_json::Value {
        serde_json::from_str(&self.ask(path).await).unwrap_or_default()
    }

    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }

    /// Resident memory, KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
        if std::thread::panicking() {
            println!("The program said:\n{}", self.log());
        }
    }
}
