//! `check` and `run` as somebody sees them: streams, exit codes, log lines.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::rig::{PEOPLE, RULES};
use crate::support::{lines_of, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_presence-bridge");

/// Runs the program with a configuration of this text.
fn program(arguments: &[&str], text: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("unused"), "secret").unwrap();
    std::fs::write(dir.path().join("bridge.toml"), text).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(arguments).args(["-c", "bridge.toml"]).current_dir(dir.path()).output().unwrap()
}

fn texts(output: &Output) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|stream| String::from_utf8(stream.clone()).unwrap())
}

#[test]
fn warnings_are_told_apart_from_what_was_asked_for() {
    let text = format!("{PEOPLE}{RULES}");
    let output = program(&["check"], &text);
    assert_eq!(output.status.code(), Some(0));
    let [summary, warnings] = texts(&output);
    assert!(summary.starts_with("bridge.toml is good: 5 people") && !summary.contains("warning"), "{summary}");
    assert_eq!(warnings.matches("warning[").count(), 3, "{warnings}");
    assert!(
        warnings.contains("warning[no-ttl]: rule 3.ttl: ") && warnings.ends_with("3 warnings in bridge.toml\n"),
        "{warnings}"
    );
    assert!(!warnings.contains('\u{1b}'), "nobody is looking");
    let output = program(&["check", "--deny-warnings"], &text);
    assert_eq!(output.status.code(), Some(78));
    let allowed = format!("{text}[check]\nallow = [\"no-ttl\", \"available-masks\"]\n");
    let output = program(&["check", "--deny-warnings"], &allowed);
    assert_eq!((output.status.code(), &*texts(&output)[1]), (Some(0), ""));
}

#[test]
fn errors_end_it_with_78_and_are_all_that_is_said() {
    let text = format!("{PEOPLE}{RULES}").replace("client_id", "clientid");
    for command in ["check", "run"] {
        let output = program(&[command], &text);
        assert_eq!(output.status.code(), Some(78));
        let [out, problems] = texts(&output);
        assert_eq!(out, "");
        assert!(problems.contains("^^^^^^^^ did you mean client_id?") && !problems.contains("warning["), "{problems}");
        assert!(problems.ends_with("2 problems in bridge.toml\n"), "{problems}");
    }
}

/// A bridge that calls nobody, in a directory of its own.
struct Dry {
    dir: tempfile::TempDir,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Dry {
    async fn run(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("unused"), "secret").unwrap();
        write(dir.path(), text);
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--dry-run", "-c", "bridge.toml"]).current_dir(dir.path());
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = lines_of(child.stderr.take().unwrap());
        until("it starts", || log.lock().unwrap().contains("Starting.")).await;
        Dry { dir, child, log }
    }

    /// Lines with these words.
    fn lines(&self, words: &str) -> Vec<String> {
        self.log.lock().unwrap().lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

impl Drop for Dry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn write(dir: &Path, text: &str) {
    let more = "[admin]\nlisten = \"off\"\nsocket = \"off\"\n[state]\ndir = \"state\"\n";
    std::fs::write(dir.join("bridge.toml"), format!("{text}{more}")).unwrap();
}

#[tokio::test]
async fn run_logs_each_warning_once_in_a_line() {
    let bridge = Dry::run(&format!("{PEOPLE}{RULES}")).await;
    let warned = bridge.lines("legal and unwise");
    assert_eq!(warned.len(), 3, "{warned:?}");
    assert!(warned.iter().all(|line| line.contains("WARN") && line.contains("bridge.toml:")), "{warned:?}");
    assert!(warned.iter().any(|line| line.contains("warning=\"no-ttl\"") && line.contains("remedy=")), "{warned:?}");
}

#[tokio::test]
async fn a_change_that_is_refused_is_logged_by_line() {
    let bridge = Dry::run(&format!("{PEOPLE}{RULES}")).await;
    write(
        bridge.dir.path(),
        &format!("{PEOPLE}{RULES}").replace("client_id", "clientid").replace("\"carol\"", "\"carl\""),
    );
    let told = Command::new("kill").args(["-HUP", &bridge.child.id().to_string()]).status().unwrap();
    assert!(told.success());
    until("the change is refused", || bridge.lines("Configuration on disk refused").len() >= 3).await;
    let refused = bridge.lines("Configuration on disk refused");
    for (problem, remedy) in [
        ("bridge.toml:4: graph.clientid: unknown key", "did you mean client_id?"),
        ("bridge.toml:2: graph.client_id: missing", "the Application (client) ID"),
        ("bridge.toml:17: devices.1003 = \\\"carl\\\": nobody of that name", "did you mean carol?"),
    ] {
        let told = |line: &String| line.contains(problem) && line.contains(remedy);
        assert!(refused.iter().any(told), "{problem} is missing in {refused:#?}");
    }
}
