//! `presets` of the real program.

use std::process::{Command, Output};

use presence_bridge::config::presets;

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_presence-bridge")).args(args).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_program_lists_and_prints_them() {
    let (code, list, _) = run(&["presets"]);
    assert_eq!(code, Some(0));
    for preset in presets::all() {
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(preset.name));
        let line = line.unwrap_or_else(|| panic!("{} is missing in\n{list}", preset.name));
        assert!(line.contains(&preset.about) && line.len() <= 120, "{line}");
        for parameter in preset.parameters.iter().filter(|parameter| parameter.required()) {
            assert!(line.contains(parameter.name), "{line}");
        }
    }
    let (code, text, _) = run(&["presets", "show", "owntracks"]);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/presets/owntracks.toml");
    assert_eq!((code, text), (Some(0), std::fs::read_to_string(file).unwrap()));
    let (code, _, error) = run(&["presets", "show", "owntrack"]);
    assert_eq!(code, Some(64));
    assert!(error.contains("no preset is called \"owntrack\". Did you mean owntracks?"), "{error}");
}

#[test]
fn explain_names_the_preset() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bridge.toml");
    let usage = "[[preset]]\nuse = 'ami2mqtt'\nwho = 'alice'";
    std::fs::write(&path, format!("{}{usage}", super::SITE)).unwrap();
    let path = path.to_str().unwrap();
    let (code, text, error) = run(&["explain", "-c", path, "-t", "pbx/devstate/PJSIP/1", "-p", "INUSE"]);
    assert_eq!(code, Some(0), "{error}");
    for part in ["\"ami2mqtt: call\"", "alice would be wanted Busy/InACall"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}
