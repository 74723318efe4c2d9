//! Whatever a recording, a payload or a configuration holds: the commands end by themselves, soon, with an exit code of
//! theirs, and within 64 MB.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::binary::PROGRAM;
use super::file;

const MOST: u64 = 64 << 10; // KiB
/// Of the unoptimised program, beside other tests on two cores.
const LONGEST: Duration = Duration::from_secs(90);

struct Ended {
    code: i32,
    /// What stands on standard error, the first of it.
    said: String,
    lines: usize,
}

/// Runs the program with a bound on what it may allocate, and looks at what it takes meanwhile.
#[allow(clippy::disallowed_methods, reason = "another process is watched, and no runtime blocked")]
fn run(arguments: &[&str]) -> Ended {
    let script = format!("ulimit -d {MOST}; exec \"$@\"");
    let mut child = Command::new("sh")
        .args(["-c", &script, "sh", PROGRAM])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let lines = std::thread::spawn(move || {
        let (mut count, mut room) = (0, [0; 1 << 16]);
        while let Ok(length @ 1..) = out.read(&mut room) {
            count += room[..length].iter().filter(|&&byte| byte == b'\n').count();
        }
        count
    });
    let said = std::thread::spawn(move || {
        let mut all = Vec::new();
        err.take(1 << 20).read_to_end(&mut all).unwrap();
        String::from_utf8_lossy(&all).into_owned()
    });
    let (began, mut peak) = (Instant::now(), 0);
    let status = loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let high =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = high.unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > LONGEST {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (lines, said) = (lines.join().unwrap(), said.join().unwrap());
    let code =
        status.code().unwrap_or_else(|| panic!("{arguments:?} ended by {status} after {:?}: {said}", began.elapsed()));
    assert!(peak < MOST, "{arguments:?} took {peak} KiB");
    assert!(![101, 134].contains(&code), "{arguments:?} panicked: {said}");
    Ended { code, said, lines }
}

fn site() -> String {
    file("../fixtures/rules/site.toml").display().to_string()
}

fn replay(path: &Path) -> Ended {
    run(&["replay", "-c", &site(), "--format", "jsonl", path.to_str().unwrap()])
}

fn write(dir: &Path, name: &str, fill: impl FnOnce(&mut BufWriter<File>)) -> PathBuf {
    let path = dir.join(name);
    let mut writer = BufWriter::new(File::create(&path).unwrap());
    fill(&mut writer);
    writer.flush().unwrap();
    path
}

#[test]
fn hostile_payloads_at_every_topic() {
    let rows = |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let messages = rows(include_str!("../fixtures/rules/messages.jsonl"));
    let hostile = rows(include_str!("../fixtures/rules/hostile.jsonl"));
    let deep = ["[".repeat(60_000), "{\"a\":".repeat(12_000), "[],".repeat(20_000), "\u{0}".repeat(1000)];
    let payloads = hostile.iter().filter_map(|row| row["payload"].as_str()).chain(deep.iter().map(String::as_str));
    let payloads: Vec<&str> = payloads.collect();
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "hostile.jsonl", |to| {
        for (message, payload) in messages.iter().flat_map(|message| payloads.iter().map(move |it| (message, it))) {
            writeln!(to, "{}", json!({"topic": message["topic"], "payload": payload})).unwrap();
        }
        for message in &messages {
            writeln!(to, "{}", json!({"topic": message["topic"], "payload_b64": "/////w=="})).unwrap();
        }
    });
    let ended = replay(&path);
    assert_eq!((ended.code, ended.said.as_str()), (0, ""));
    assert!(ended.lines >= messages.len() * payloads.len(), "{}", ended.lines);
    for payload in payloads.iter().filter(|payload| payload.len() < 100_000 && !payload.contains('\0')) {
        let path = write(dir.path(), "payload", |to| to.write_all(payload.as_bytes()).unwrap());
        let path = path.to_str().unwrap();
        assert_eq!(run(&["explain", "-c", &site(), "-t", "yealink/status", "--payload-file", path]).code, 0);
    }
}

#[test]
fn lines_of_any_number_and_length() {
    let dir = tempfile::tempdir().unwrap();
    let million = write(dir.path(), "million", |to| (0..1_000_000).for_each(|_| writeln!(to, "x").unwrap()));
    let ended = replay(&million);
    assert_eq!(ended.code, 65);
    assert!(ended.said.contains("million:100: not an object"), "{}", ended.said);
    assert!(!ended.said.contains("million:101:"), "{}", ended.said);
    assert!(ended.said.ends_with("1000000 lines are no messages and were left out.\n"), "{}", ended.said);

    let long = write(dir.path(), "long", |to| {
        write!(to, "{{\"topic\":\"a\",\"payload\":\"").unwrap();
        (0..100).for_each(|_| to.write_all(&[b'x'; 1 << 20]).unwrap());
        writeln!(to, "\"}}\n{{\"topic\":\"a\",\"payload\":\"\"}}").unwrap();
    });
    let ended = replay(&long);
    assert_eq!((ended.code, ended.lines), (65, 1));
    assert!(ended.said.contains("long:1: longer than 8 MiB"), "{}", ended.said);
    assert_eq!(run(&["explain", "-c", &site(), "-t", "a", "--payload-file", long.to_str().unwrap()]).code, 0);
    assert_eq!(run(&["explain", "-c", &site(), "-t", "a", "--payload-file", "/dev/zero"]).code, 0);

    let deep = write(dir.path(), "deep", |to| {
        writeln!(to, "{}", "[".repeat(5_000_000)).unwrap();
        writeln!(to, "{}", "{\"a\":".repeat(1_000_000)).unwrap();
        writeln!(to, "{{\"topic\":\"teams/in-call\",\"payload\":\"\",\"x\":{}}}", "[".repeat(1_000_000)).unwrap();
        let escaped = "\\u0000".repeat((8 << 20) / 6 - 100);
        writeln!(to, "{{\"topic\":\"teams/in-call\",\"payload\":\"{escaped}\"}}").unwrap();
        writeln!(to, "{{\"topic\":\"{}\",\"payload\":\"\"}}", "a/".repeat(30_000)).unwrap();
    });
    let ended = replay(&deep);
    assert_eq!(ended.code, 65);
    assert!(ended.said.ends_with("3 lines are no messages and were left out.\n"), "{}", ended.said);
}

/// As many different topics, people at once and changes as fit into a test; `--all` plays a million.
fn busy(count: u32) {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "busy", |to| {
        for n in 0..count {
            let line = match n % 4 {
                0 => format!(r#"{{"t":{n},"topic":"zigbee2mqtt/x{n}_motion","payload":"{{\"occupancy\":true}}"}}"#),
                1 => format!(r#"{{"topic":"pbx/devstate/a{n}/1001","payload":"INUSE"}}"#),
                2 => format!(r#"{{"topic":"pbx/devstate/a{}/1001","payload":"NOT_INUSE"}}"#, n - 1),
                _ => r#"{"topic":"a","payload":"b"}"#.to_owned(),
            };
            writeln!(to, "{line}").unwrap();
        }
    });
    let ended = replay(&path);
    assert_eq!((ended.code, ended.said.as_str()), (0, ""));
    let svg = dir.path().join("busy.svg");
    let arguments = ["replay", "-c", &site(), "--svg", svg.to_str().unwrap(), path.to_str().unwrap()];
    assert_eq!(run(&arguments).code, 0);
    assert!(svg.metadata().unwrap().len() < 8 << 20);
}

#[test]
fn a_busy_day() {
    busy(8_000);
}

#[test]
#[ignore = "long: the program as cargo builds it for tests is slow"]
fn a_busy_year() {
    busy(100_000);
}

#[test]
fn messages_for_nobody() {
    nobody(100_000);
}

#[test]
#[ignore = "long: the program as cargo builds it for tests is slow"]
fn a_million_messages_for_nobody() {
    nobody(1_000_000);
}

fn nobody(count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "nobody", |to| {
        (0..count).for_each(|_| writeln!(to, r#"{{"topic":"a","payload":""}}"#).unwrap());
    });
    let ended = replay(&path);
    assert_eq!((ended.code, ended.lines), (0, count));
}

#[test]
fn configurations_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let site = std::fs::read_to_string(site()).unwrap();
    let recording = write(dir.path(), "empty.jsonl", |_| {});
    let said = |name: &str, text: &str| {
        let path = write(dir.path(), name, |to| to.write_all(text.as_bytes()).unwrap());
        let path = path.to_str().unwrap();
        let commands = [
            vec!["check", "-c", path],
            vec!["replay", "-c", path, recording.to_str().unwrap()],
            vec!["explain", "-c", path, "-t", "a", "-p", "b"],
        ];
        let all = commands.map(|command| {
            let ended = run(&command);
            assert_eq!(ended.code, 78, "{command:?}: {}", ended.said);
            ended.said
        });
        all[1].clone()
    };
    let says = |name: &str, text: &str, words: &str| {
        let said = said(name, text);
        assert!(said.contains(words), "{words:?} is missing in {said:.500}");
    };
    says("large.toml", &format!("{site}\n#{}", "x".repeat(10 << 20)), "is larger than 4 MiB");
    says("junk.toml", &"x".repeat(10 << 20), "is larger than 4 MiB");
    says("rules.toml", &(site.clone() + &"[[rule]]\nname = 'x'\n".repeat(30_000)), "holds more than 160000 values");
    says("array.toml", &format!("{site}\nz = [{}]\n", "1,".repeat(150_000)), "unknown key ");
    says("deep.toml", &format!("{site}\nz = {}\n", "[ ".repeat(100_000)), "recursion");
    says("dotted.toml", &format!("{site}\n[{}b]\n", "a.".repeat(100_000)), "recursion");
    says("rubbish.toml", &format!("{site}\n{}", "x y \n".repeat(100_000)), "not TOML");
    let keys: String = (0..60_000).map(|n| format!("k{n} = 1\n")).collect();
    says("keys.toml", &(keys + &site), "1000 problems");
    std::fs::write(dir.path().join("binary.toml"), [0xff; 100]).unwrap();
    let binary = dir.path().join("binary.toml").display().to_string();
    assert_eq!(run(&["check", "-c", &binary]).code, 78);
}
