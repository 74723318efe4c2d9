//! docs/replay.md: its commands are run with its configuration and its recording, and print what stands there. With BLESS=1
//! what they print is written into the page.

use std::process::Command;

use super::binary::{PROGRAM, run, text};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/replay.md");

/// The text of the first block in this language.
fn block<'p>(page: &'p str, language: &str) -> &'p str {
    let start = page.find(&format!("```{language}\n")).unwrap() + language.len() + 4;
    &page[start..start + page[start..].find("```").unwrap()]
}

/// Words, also within double quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in command.split('"').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[test]
fn what_the_page_shows_is_what_the_program_prints() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bridge.toml"), block(&page, "toml")).unwrap();
    std::fs::write(dir.path().join("day.jsonl"), block(&page, "jsonl")).unwrap();
    let mut printed = String::new();
    let (mut rest, mut commands) = (page.as_str(), 0);
    while let Some(at) = rest.find("```console\n$ ") {
        let start = at + "```console\n$ ".len();
        let line = &rest[start..start + rest[start..].find('\n').unwrap()];
        let arguments = words(line);
        assert_eq!(arguments[0], "presence-bridge");
        let output = Command::new(PROGRAM).args(&arguments[1..]).current_dir(dir.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
        printed += &format!("{}{line}\n{}{}```", &rest[..start], text(&output.stdout), text(&output.stderr));
        let body = start + line.len() + 1;
        rest = &rest[body + rest[body..].find("```").unwrap() + 3..];
        commands += 1;
    }
    printed += rest;
    assert!(commands >= 4, "{commands}");
    super::golden("../../docs/replay.md", &printed);
}

#[test]
fn its_recording_is_read_and_its_options_exist() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let office = super::file("office.toml").display().to_string();
    let output = run(&["replay", "-c", &office, "-"], block(&page, "json").as_bytes());
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let help = ["record", "replay", "explain"].map(|command| text(&run(&[command, "--help"], b"").stdout)).concat();
    let options = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| word.starts_with("--"));
    let options: Vec<&str> = options.filter(|word| word.len() > 4).collect();
    assert!(options.len() > 10, "{options:?}");
    for option in options {
        assert!(help.contains(option), "{option}");
    }
}
