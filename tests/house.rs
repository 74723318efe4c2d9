//! Which module may know which, what the core may not contain, and who may name which library. A rule of the house that
//! is not kept here is a wish.

use std::path::{Path, PathBuf};

/// A module and the modules of the crate that it may name.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("presence", &["presence"]),
    ("sandbox/tenant", &[]),
    ("sandbox", &["clock"]),
    ("clock", &["presence"]),
    ("telemetry", &["presence", "clock"]),
    ("secret", &[]),
    ("service", &[]),
    ("tls", &[]),
    ("mqtt", &["presence", "clock", "telemetry", "secret", "tls"]),
    ("graph", &["presence", "clock", "telemetry", "secret", "tls"]),
    ("config", &["presence", "secret", "tls"]),
    ("replay", &["presence", "sandbox"]),
    ("admin", &["presence", "clock", "telemetry"]),
    ("store", &["presence", "telemetry"]),
    ("bridge", &["presence", "mqtt", "graph", "store", "admin", "telemetry", "clock", "config", "service"]),
    ("main", &["cli"]),
];

/// A word, and the only places that may use it.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("rumqttc::", &["mqtt"]),
    ("reqwest::", &["graph"]),
    ("azure_", &["graph"]),
    ("mqtt5::", &["sandbox/broker"]),
    ("Instant::now", &["clock"]),
    ("SystemTime::now", &["clock"]),
    ("env::var", &["config/env"]),
    // An event is a struct that counts and logs itself.
    ("telemetry.count(", &["telemetry"]),
];

/// What makes code impure or able to fail.
const NOT_IN_THE_CORE: &[&str] = &[
    "async ",
    "tokio",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    ".unwrap()",
    ".expect(",
    "panic!",
    "println!",
    "unreachable!",
    "SystemTime",
    "Instant",
];

struct File {
    /// `mqtt/link`
    name: String,
    text: String,
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut dirs = vec![root.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().with_extension("").display().to_string();
            files.push(File { name, text: std::fs::read_to_string(&path).unwrap() });
        }
    }
    files
}

/// Lines of code with their numbers: comments and texts count for nothing.
fn code(text: &str) -> impl Iterator<Item = (usize, String)> {
    text.lines().zip(1..).map(|(line, number)| {
        let line = line.split("//").next().unwrap_or_default();
        let outside = line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
        (number, outside)
    })
}

fn is_in(name: &str, module: &str) -> bool {
    name == module || name.strip_prefix(module).is_some_and(|rest| rest.starts_with('/'))
}

fn rule(name: &str) -> Option<&'static [&'static str]> {
    // `sandbox/tenant` before `sandbox`: the first that fits is the strictest.
    MAY_NAME.iter().find(|(module, _)| is_in(name, module)).map(|(_, allowed)| *allowed)
}

/// Every breach, as `file:line: what`.
fn breaches(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for File { name, text } in files {
        let own = name.split('/').next().unwrap_or_default();
        for (number, line) in code(text) {
            let mut say = |what: String| found.push(format!("src/{name}.rs:{number}: {what}"));
            for (start, _) in line.match_indices("crate::").chain(line.match_indices("presence_bridge::")) {
                let after = line[start..].split_once("::").map_or("", |(_, after)| after);
                let module: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let allowed = rule(name);
                let itself = module == own && name != "main" && !is_in(name, "sandbox/tenant");
                if !itself && allowed.is_some_and(|allowed| !allowed.contains(&module.as_str())) {
                    say(format!("may not name {module:?}"));
                }
            }
            for (word, places) in ONLY_IN {
                if line.contains(word) && !places.iter().any(|place| is_in(name, place)) {
                    say(format!("{word} is for {places:?} only"));
                }
            }
            let core = ["presence", "sandbox/tenant", "replay"].iter().any(|pure| is_in(name, pure));
            for word in NOT_IN_THE_CORE.iter().filter(|word| core && line.contains(*word)) {
                say(format!("{word:?} does not belong into the core"));
            }
        }
        if !text.starts_with("//!") {
            found.push(format!("src/{name}.rs:1: does not say what it is for"));
        }
        if name.ends_with("/mod") {
            found.push(format!("src/{name}.rs:1: foo.rs beside foo/, not foo/mod.rs"));
        }
    }
    found
}

#[test]
fn the_house_is_in_order() {
    let found = breaches(&sources());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_breach_is_found() {
    for (name, text) in [
        ("presence/core", "//! x\nuse crate::clock::Clock;"),
        ("presence/core", "//! x\nlet x = y.unwrap();"),
        ("presence/core", "//! x\nuse std::time::Instant;"),
        ("sandbox/tenant/session", "//! x\nuse crate::presence::Presence;"),
        ("mqtt/link", "//! x\nuse crate::graph::Graph;"),
        ("graph/token", "//! x\nuse rumqttc::v5;"),
        ("bridge", "//! x\nlet now = std::time::Instant::now();"),
        ("config", "//! x\nstd::env::var(name)"),
        ("bridge/report", "//! x\nself.telemetry.count(name, reason);"),
        ("main", "//! x\npresence_bridge::mqtt::start()"),
        ("bridge", "use std::fmt;"),
        ("bridge/mod", "//! x"),
    ] {
        let files = [File { name: name.to_owned(), text: text.to_owned() }];
        assert_eq!(breaches(&files).len(), 1, "{name}: {text}: {:?}", breaches(&files));
    }
    let innocent =
        File { name: "presence/core".to_owned(), text: "//! x\n// crate::clock and .unwrap()\n\"tokio\"".into() };
    assert!(breaches(&[innocent]).is_empty());
}

#[test]
fn the_oracle_knows_nothing_of_what_it_judges() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulation/oracle.rs");
    let text = std::fs::read_to_string(path).unwrap();
    let named: Vec<_> =
        code(&text).filter(|(_, line)| line.contains("presence_bridge") || line.contains("super")).collect();
    assert!(named.is_empty(), "{named:?}");
}
