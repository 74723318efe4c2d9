//! `check` and `run` as somebody sees them: streams, exit codes, log lines.

use std::process::{Command, Output, Stdio};

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

#[tokio::test]
async fn run_logs_each_warning_once_in_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{PEOPLE}{RULES}[admin]\nlisten = \"off\"\nsocket = \"off\"\n");
    std::fs::write(dir.path().join("unused"), "secret").unwrap();
    std::fs::write(dir.path().join("bridge.toml"), format!("{text}[state]\ndir = \"state\"\n")).unwrap();
    let mut run = Command::new(PROGRAM);
    run.args(["run", "--dry-run", "-c", "bridge.toml"]).current_dir(dir.path());
    let mut run = run.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let log = lines_of(run.stderr.take().unwrap());
    until("it starts", || log.lock().unwrap().contains("Starting.")).await;
    run.kill().unwrap();
    run.wait().unwrap();
    let log = log.lock().unwrap().clone();
    let warned: Vec<&str> = log.lines().filter(|line| line.contains("legal and unwise")).collect();
    assert_eq!(warned.len(), 3, "{log}");
    assert!(warned.iter().all(|line| line.contains("WARN") && line.contains("bridge.toml:")), "{log}");
    assert!(warned.iter().any(|line| line.contains("warning=\"no-ttl\"") && line.contains("remedy=")), "{log}");
}
