//! What coverage-guided fuzzing found worth keeping, replayed: `tests/fixtures/corpus/TARGET/`, one input a file.
//!
//! The bodies of the targets are in the files below, one each, and `fuzz/` includes the same files. So what the fuzzer
//! demands is demanded here, of the same inputs; CONTRIBUTING.md says how to search for more.

mod config;
mod door;
mod rules;
mod times;
mod topics;

use std::path::Path;

/// Runs a target over its corpus, in the order of names. The name of the file is printed before it runs: a crash that
/// cannot be caught, such as a stack overflow, is told by the last line.
fn replay(target: &str, run: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus").join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "{} holds {} inputs: what was found is gone", dir.display(), files.len());
    for file in &files {
        println!("{}", file.display());
        run(&std::fs::read(file).unwrap());
    }
}

#[test]
fn rules_hold_on_the_corpus() {
    replay("rules", rules::run);
}

#[test]
fn topics_hold_on_the_corpus() {
    replay("topics", topics::run);
}

#[test]
fn times_hold_on_the_corpus() {
    replay("times", times::run);
}

#[test]
fn configurations_hold_on_the_corpus() {
    replay("config", config::run);
}

#[test]
fn the_door_holds_on_the_corpus() {
    replay("door", door::run);
}
