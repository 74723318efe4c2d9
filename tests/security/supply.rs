//! What the program is made of: the bill of materials, and exceptions that are argued and still hold.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::read;
use crate::support::skipped;

fn cargo(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `name version` of what is linked, as cargo lists it.
fn tree(more: &[&str]) -> BTreeSet<String> {
    let mut arguments = vec!["tree", "--locked", "--offline", "--edges=normal", "--prefix=none", "--format={p}"];
    arguments.extend(more);
    let words = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ").replace(" v", " ");
    cargo(&arguments).lines().filter(|line| !line.is_empty()).map(words).collect()
}

#[test]
fn the_bill_of_materials_is_what_cargo_links() {
    if !Command::new("python3").args(["-c", "import tomllib"]).status().is_ok_and(|status| status.success()) {
        return skipped("security bill of materials", "python3 (3.11 or later) is not installed");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/sbom");
    let output = Command::new(&script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bom: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&bom["bomFormat"], &bom["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let components = bom["components"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut named: BTreeSet<String> =
        components.iter().map(|part| format!("{} {}", text(&part["name"]), text(&part["version"]))).collect();
    named.insert(format!("presence-bridge {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(named, tree(&["--no-default-features", "--features=bridge"]));
    for part in components {
        assert_eq!(part["hashes"][0]["content"].as_str().map(str::len), Some(64), "a checksum: {part}");
        assert!(part["licenses"][0]["expression"].is_string(), "a licence: {part}");
    }
    // Each named once, and nothing depends on what is not there.
    let refs: BTreeSet<String> = components.iter().map(|part| text(&part["bom-ref"])).collect();
    assert_eq!(refs.len(), components.len());
    for entry in bom["dependencies"].as_array().unwrap() {
        assert!(entry["dependsOn"].as_array().unwrap().iter().all(|at| refs.contains(at.as_str().unwrap())), "{entry}");
    }
    assert_eq!(output.stdout, Command::new(&script).output().unwrap().stdout, "the same each time");
}

/// What each ignored advisory is about, by deny.toml: `name version`.
fn ignored(text: &str) -> Vec<(String, String)> {
    let section = text.split("[advisories]").nth(1).unwrap();
    let entries = section.lines().filter_map(|line| line.trim().strip_prefix("{ id = \""));
    entries
        .map(|entry| {
            let (id, rest) = entry.split_once('"').unwrap();
            let reason = rest.split_once("reason = \"").unwrap_or_else(|| panic!("{id} is not argued")).1;
            (id.to_owned(), reason.split(':').next().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn every_exception_is_argued_and_about_something_that_is_linked() {
    let (text, linked) = (read("deny.toml"), tree(&["--no-default-features", "--features=bridge"]));
    let ignored = ignored(&text);
    assert_eq!(ignored.len(), text.matches("id = \"").count(), "one entry a line: {ignored:?}");
    assert!(!ignored.is_empty());
    for (id, about) in &ignored {
        assert!(
            linked.iter().any(|package| package.starts_with(about.as_str())),
            "{id}: {about} is linked no more: take it out"
        );
    }
}

#[test]
fn what_the_exceptions_rest_on_still_holds() {
    // The old certificate verifier comes by rumqttc alone; what verifies is rustls, with its own.
    for (package, by) in [("rustls-webpki@0.102", "rumqttc"), ("rustls-pemfile", "rumqttc")] {
        let arguments =
            ["tree", "--locked", "--offline", "--edges=normal", "--prefix=none", "--depth=1", "--invert", package];
        let tree = cargo(&arguments);
        let users: BTreeSet<&str> = tree.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(users, BTreeSet::from([by]), "{package}");
    }
    let ours = read("src/tls.rs");
    assert!(!ours.contains("webpki::") && !ours.contains("rustls_pemfile"), "nor do we use them");
}

#[test]
fn unsafe_code_is_forbidden_and_a_panic_ends_the_process() {
    let manifest = read("Cargo.toml");
    let section = |name: &str| manifest.split(name).nth(1).unwrap().split("\n[").next().unwrap().to_owned();
    assert!(section("[lints.rust]").contains("unsafe_code = \"forbid\""));
    assert!(section("[profile.release]").contains("panic = \"abort\""));
}
