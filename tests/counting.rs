//! How `tests/run` counts: the real script before a `cargo` that is a few lines of shell, so that no failure has to be
//! waited for.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn program(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// What `tests/run` prints, and whether it was content, where the test binary prints `lines`, and a test that is run alone
/// passes if `heals` is a part of its name.
fn run(lines: &[&str], result: &str, heals: &str) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let printed: String = lines.iter().map(|line| format!("echo '{line}'\n")).collect();
    let end = if result.contains("FAILED") || result.is_empty() { "exit 101" } else { "exit 0" };
    let played = format!(
        "case \"$*\" in
        *--exact*) for name do :; done
          case \"$name\" in *{heals}*) echo \"test $name ... ok\";; *) echo \"test $name ... FAILED\"; exit 101;; esac;;
        test*--no-fail-fast*) echo '     Running tests/tests.rs (x)'\n{printed}{result}\n{end};;
        esac"
    );
    program(dir.path(), "cargo", &played);
    for tool in ["mosquitto", "ip", "nft", "faketime"] {
        program(dir.path(), tool, "");
    }
    let output = Command::new("bash")
        .arg(Path::new(ROOT).join("tests/run"))
        .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn result(passed: usize, failed: usize) -> String {
    let word = if failed == 0 { "ok" } else { "FAILED" };
    format!("echo 'test result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out'")
}

#[test]
fn rows_are_counted_by_the_names_of_their_tests() {
    let skipped =
        "printf 'SKIPPED fault_04 half open: no network namespaces\\tnetwork::dead::fault_04_b\\n' >>\"$TESTS_SKIPPED\"
        printf 'SKIPPED other: no IPv6\\tmqtt::reach::fault_14_a\\n' >>\"$TESTS_SKIPPED\"\n";
    let lines = [
        "test faults::fault_01_a ... ok",
        "test mqtt::fault_01_b ... ok",
        "test network::dead::fault_04_a ... ok",
        "test network::dead::fault_04_b ... ok",
        "test faults::fault_11_12_both ... ok",
        "test mqtt::reach::fault_14_a ... ok",
        "test scenarios::fault_40_s10_x ... ok",
        "test stories::fault_99_no_row ... ok",
        "test stories::fault_50_later ... ignored, takes a minute",
        "test stories::no_row_at_all ... ok",
    ];
    let (content, text) = run(&lines, &format!("{skipped}{}", result(9, 0)), "none");
    assert!(content, "{text}");
    assert!(text.contains("fault rows passed 4 of 64, skipped: 04 (no network namespaces), 14 (no IPv6)"), "{text}");
    assert!(text.contains("FAULT ROWS WITHOUT A TEST: 02 03 05 06 07 08 09 10 13 15"), "{text}");
    assert!(text.contains(" 49 50 51 "), "what was ignored did not pass: {text}");
    assert!(text.lines().any(|line| line == "SKIPPED other: no IPv6"), "{text}");
}

#[test]
fn a_row_that_fails_twice_has_failed() {
    let lines = ["test faults::fault_01_a ... FAILED", "test faults::fault_02_a ... ok"];
    let (content, text) = run(&lines, &result(1, 1), "none");
    assert!(!content && text.contains("FAULT ROWS FAILED: 01\n") && text.contains("FAILED TWICE"), "{text}");
    assert!(text.contains("fault rows passed 1 of 64"), "{text}");
}

#[test]
fn a_row_on_sockets_that_passes_the_second_time_is_flaky_and_three_of_them_are_a_failure() {
    let names = ["faults::fault_01_a", "network::fault_02_a", "graph::fault_40_a"];
    let lines: Vec<String> = names.iter().map(|name| format!("test {name} ... FAILED")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (content, text) = run(&lines[..2], &result(0, 2), "fault");
    assert!(content && text.contains("fault rows passed 2 of 64"), "{text}");
    assert!(text.contains("FLAKY: faults::fault_01_a") && text.contains("FLAKY: network::fault_02_a"), "{text}");
    let (content, text) = run(&lines, &result(0, 3), "fault");
    assert!(!content && text.contains("3 flaky rows, three are too many"), "{text}");
}

#[test]
fn what_depends_on_nothing_and_what_is_no_row_has_one_try() {
    for name in ["stories::order::fault_36_a", "faults::logic::fault_24_a", "faults::clocks::fault_58_a", "mqtt::other"]
    {
        let (content, text) = run(&[&format!("test {name} ... FAILED")], &result(0, 1), "a");
        assert!(!content && !text.contains("FLAKY"), "{name}: {text}");
    }
}

#[test]
fn a_test_binary_that_dies_is_a_failure_whatever_healed_before() {
    let died = format!("{}\necho '     Running unittests src/lib.rs (y)'", result(0, 1));
    let (content, text) = run(&["test faults::fault_01_a ... FAILED"], &died, "fault");
    assert!(!content && text.contains("FLAKY") && text.contains("FAILED: tests"), "{text}");
    let (content, text) = run(&["test faults::fault_01_a ... ok"], "", "fault");
    assert!(!content, "{text}");
}
