//! What is installed has no sandbox in it: no broker, no token endpoint.

use std::process::Command;

use super::file;
use crate::support::{mosquitto::program, skipped};

/// What the sandbox alone brings.
const OF_THE_SANDBOX: &[&str] = &["mqtt5", "axum", "rcgen"];

fn tree(features: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges=normal", "--prefix=none"])
        .args(features)
        .current_dir(file("."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn nothing_of_the_sandbox_is_linked_into_what_is_deployed() {
    let (deployed, all) = (tree(&["--no-default-features", "--features=bridge"]), tree(&[]));
    for name in OF_THE_SANDBOX {
        let is_in = |tree: &str| tree.lines().any(|line| line.split(' ').next() == Some(name));
        assert!(is_in(&all) && !is_in(&deployed), "{name}");
    }
    // And it is what is built, wherever something is built to be deployed.
    for path in ["deploy/package", "deploy/container/Dockerfile"] {
        let text = std::fs::read_to_string(file(path)).unwrap();
        let builds: Vec<&str> = text.lines().filter(|line| line.contains("cargo build")).collect();
        assert_eq!(builds.len(), 1, "{path}");
        assert!(builds[0].contains("--locked --release --no-default-features --features bridge"), "{path}: {builds:?}");
    }
}

#[test]
#[ignore = "builds a release: some minutes"]
fn the_packaged_program_has_no_sandbox() {
    let packed = Command::new(file("deploy/package")).output().unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let paths = Command::new(file("deploy/package")).arg("--print").output().unwrap();
    let paths = String::from_utf8(paths.stdout).unwrap();
    let (built, archive) = paths.trim().split_once('\n').unwrap();
    // The words by which the sandbox is started mean nothing to it.
    let usage = |arguments: &[&str]| Command::new(file(built)).args(arguments).output().unwrap().status.code();
    for arguments in [&["demo"][..], &["sandbox"], &["run", "--sandbox"], &["run", "--clock", "2"]] {
        assert_eq!(usage(arguments), Some(64), "{arguments:?}");
    }
    assert_eq!(usage(&["--version"]), Some(0));
    // Nor are its parts in there, which name themselves in the texts of a program that has them.
    let holds = |path: &std::path::Path, word: &str| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(word.len()).any(|window| window == word.as_bytes())
    };
    for word in ["/_sim", "Embedded broker", "sandbox-secret", "mqtt5"] {
        assert!(!holds(&file(built), word), "{word}");
        assert!(holds(std::path::Path::new(super::PROGRAM), word), "a word to look for: {word}");
    }
    let Some(tar) = program("tar") else { return skipped("deploy archive", "tar is not installed") };
    let listed = Command::new(tar).arg("-tzf").arg(file(archive)).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for path in [
        "usr/bin/presence-bridge",
        "usr/lib/systemd/system/presence-bridge.service",
        "usr/lib/sysusers.d/presence-bridge.conf",
        "usr/share/doc/presence-bridge/operations.md",
        "usr/share/doc/presence-bridge/sbom.cdx.json",
        "usr/share/doc/presence-bridge/mosquitto/acl",
    ] {
        assert!(listed.lines().any(|line| line == path), "{path} is missing in:\n{listed}");
    }
    assert!(listed.lines().all(|line| line.starts_with("usr/")), "nothing outside of /usr:\n{listed}");
}
