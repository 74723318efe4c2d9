//! The real program: exit codes, standard input, and what it needs.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::{file, golden};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_presence-bridge");

/// With this standard input.
pub fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input))); // it may end without reading
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn office() -> String {
    file("office.toml").display().to_string()
}

#[test]
fn a_file_and_standard_input_give_the_same_without_secrets_and_network() {
    let day = file("day.jsonl");
    let from_file = run(&["replay", "-c", &office(), "--format", "jsonl", day.to_str().unwrap()], b"");
    assert_eq!((from_file.status.code(), text(&from_file.stderr).as_str()), (Some(0), ""));
    let input = std::fs::read(day).unwrap();
    let from_stdin = run(&["replay", "-c", &office(), "--format", "jsonl", "-"], &input);
    assert_eq!(text(&from_stdin.stdout), text(&from_file.stdout));
    golden("day.events.jsonl", &text(&from_file.stdout));
}

#[test]
fn a_picture_is_written_beside_the_text() {
    let dir = tempfile::tempdir().unwrap();
    let svg = dir.path().join("day.svg");
    let day = file("day.jsonl");
    let output = run(&["replay", "-c", &office(), "--svg", svg.to_str().unwrap(), day.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    golden("day.txt", &text(&output.stdout));
    golden("day.svg", &std::fs::read_to_string(svg).unwrap());
}

#[test]
fn exit_codes_tell_what_was_wrong() {
    let bad = run(&["replay", "-c", &office(), "-"], b"{\"topic\":\"a\",\"payload\":\"\"}\nrubbish\n");
    assert_eq!(bad.status.code(), Some(65));
    let errors = text(&bad.stderr);
    assert!(errors.starts_with("-:2: not an object"), "{errors}");
    assert!(text(&bad.stdout).contains("1 messages"), "{}", text(&bad.stdout));
    let code = |arguments: &[&str]| run(arguments, b"").status.code();
    assert_eq!(code(&["replay", "-c", &office(), "/not/there"]), Some(1));
    assert_eq!(code(&["replay", "-c", "/not/there", "-"]), Some(78));
    assert_eq!(code(&["replay", "-c", &office(), "--at", "yesterday", "-"]), Some(64));
    assert_eq!(code(&["replay", "-c", &office(), "--until", "-3", "-"]), Some(64));
    assert_eq!(code(&["replay", "-c", &office(), "-"]), Some(0));
}

#[test]
fn a_line_of_any_length_is_no_reason_to_hold_it() {
    let mut input = b"{\"topic\":\"a\",\"payload\":\"".to_vec();
    input.resize(20 << 20, b'x');
    input.extend(b"\"}\n{\"topic\":\"a\",\"payload\":\"\"}\n");
    let output = run(&["replay", "-c", &office(), "--format", "jsonl", "-"], &input);
    assert_eq!(output.status.code(), Some(65));
    assert!(text(&output.stderr).starts_with("-:1: longer than 8 MiB"), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 1);
}

#[test]
fn people_of_a_people_file_take_part_and_who_has_no_id_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let office = std::fs::read_to_string(file("office.toml")).unwrap();
    let more = "[people]\nfile = \"people.csv\"\nresolve_names = true\n[state]\ndir = \"state\"\n[users]";
    let config = dir.path().join("bridge.toml");
    std::fs::write(&config, office.replace("[users]", more)).unwrap();
    let csv = "id,name,devices\n33333333-3333-4333-8333-333333333333,carol,1003\ndave@corp.example,dave,1004\n";
    std::fs::write(dir.path().join("people.csv"), csv).unwrap();
    let config = config.display().to_string();
    let message = br#"{"topic":"pbx/devstate/PJSIP/1003","payload":"INUSE"}"#;
    let output = run(&["replay", "-c", &config, "-"], message);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("wanted: Busy/InACall, because of call@1003"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("1 people take no part"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("dave"), "{}", text(&output.stderr));
    std::fs::write(dir.path().join("people.csv"), "id,name\nnobody,x\n,\n").unwrap();
    assert_eq!(run(&["replay", "-c", &config, "-"], message).status.code(), Some(78));
}
