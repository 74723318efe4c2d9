//! The real program in an office: for what a process alone shows, its memory and its environment.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use presence_bridge::admin::{Address, ask};
use presence_bridge::sandbox::tenant::Fault;
use tempfile::TempDir;

use super::{Office, lock, person, within};

/// By name.
type Environment = Vec<(String, String)>;

pub struct Program {
    child: Child,
    log: Arc<Mutex<String>>,
    dir: TempDir,
    arguments: Vec<String>,
    environment: Environment,
}

fn spawn(arguments: &[String], environment: &Environment) -> (Child, Arc<Mutex<String>>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_presence-bridge"));
    command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = crate::support::lines_of(child.stderr.take().unwrap());
    (child, log)
}

impl Office {
    /// The program with these lines in `[mqtt]` and `[presence]` and these variables, subscribed.
    pub async fn program(&self, mqtt: &str, presence: &str, environment: &[(&str, &str)]) -> Program {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        std::fs::write(dir.path().join("secret"), "sandbox-secret").unwrap();
        let path = dir.path().join("bridge.toml");
        std::fs::write(&path, self.configuration(mqtt, presence, "state")).unwrap();
        let mut arguments = vec!["run".to_owned(), "-c".to_owned(), path.display().to_string()];
        if self.clock.speed() != 1 {
            arguments.push("--clock".to_owned());
            arguments.push(format!("{}@{}", self.clock.speed(), self.clock.since().as_millis()));
        }
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (child, log) = spawn(&arguments, &environment);
        let program = Program { child, log, dir, arguments, environment };
        program.subscribed().await;
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
    /// What is published before that would be nobody's.
    async fn subscribed(&self) {
        within(super::PATIENCE, "the program subscribes", || async { self.log().contains("MQTT subscribed.") }).await;
    }

    /// Dies without a word, and is there again.
    pub async fn restart(&mut self) {
        self.kill();
        (self.child, self.log) = spawn(&self.arguments, &self.environment);
        self.subscribed().await;
    }

    fn kill(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// STOP freezes it, CONT lets it go on.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([format!("-{name}"), id]).status().unwrap().success());
    }

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
            self.kill();
        }
        if std::thread::panicking() {
            println!("The program said:\n{}", self.log());
        }
    }
}
