//! What `deploy/` ships: how closed the units are, what the packaged program holds, what the image needs, and whether
//! docs/operations.md names everything that an administrator meets. On a real systemd: `tests/systemd/run`.

mod alarms;
mod container;
mod package;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::mosquitto::program;
use crate::support::skipped;

const PROGRAM: &str = env!("CARGO_BIN_EXE_presence-bridge");

/// Of Debian's mosquitto 2.0.11: what the drop-in closes.
const DEBIANS: &str = "[Service]\nType=notify\nNotifyAccess=main\n\
    ExecStart=/usr/sbin/mosquitto -c /etc/mosquitto/mosquitto.conf\nExecReload=/bin/kill -HUP $MAINPID\nRestart=on-failure\n\
    ExecStartPre=/bin/mkdir -m 740 -p /var/log/mosquitto\nExecStartPre=/bin/chown mosquitto /var/log/mosquitto\n";

/// A file of the project.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What `systemd-analyze security` says of a unit, from 0 (closed) to 10.
fn exposure(tool: &Path, text: &str) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("tried.service");
    std::fs::write(&unit, text).unwrap();
    let output = Command::new(tool).args(["security", "--offline=true"]).arg(&unit).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let level = said.split("Overall exposure level for tried.service: ").nth(1).unwrap_or_else(|| {
        panic!("{said}\n{}", String::from_utf8_lossy(&output.stderr));
    });
    level.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_units_are_closed_to_1_1_of_10() {
    let Some(tool) = program("systemd-analyze") else {
        return skipped("deploy exposure", "systemd-analyze is not installed");
    };
    let ours = exposure(&tool, &read("deploy/systemd/presence-bridge.service"));
    assert!(ours <= 1.1, "presence-bridge.service: {ours}");
    let bare = exposure(&tool, DEBIANS);
    assert!(bare > 9.0, "Debian's mosquitto.service: {bare}");
    let closed = exposure(&tool, &format!("{DEBIANS}{}", read("deploy/systemd/mosquitto.service.d/hardening.conf")));
    assert!(closed <= 1.1, "with the drop-in: {closed}");
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let Some(tool) = program("systemd-analyze") else {
        return skipped("deploy unit", "systemd-analyze is not installed");
    };
    let dir = tempfile::tempdir().unwrap();
    let verify = |text: &str| {
        let unit = dir.path().join("presence-bridge.service");
        std::fs::write(&unit, text.replace("/usr/bin/presence-bridge", PROGRAM)).unwrap();
        let output = Command::new(&tool).args(["verify", "--man=no"]).arg(&unit).output().unwrap();
        String::from_utf8_lossy(&output.stderr)
            .lines()
            .filter(|line| line.contains("presence-bridge.service"))
            .collect()
    };
    let ours = read("deploy/systemd/presence-bridge.service");
    let said: String = verify(&ours);
    assert_eq!(said, "");
    let said: String = verify(&ours.replace("NoNewPrivileges=", "NoNewPrivilegs="));
    assert!(said.contains("NoNewPrivilegs"), "{said}");
}

#[test]
fn the_unit_and_the_program_agree() {
    let unit = read("deploy/systemd/presence-bridge.service");
    for line in [
        // The exit codes after which starting again changes nothing.
        "RestartPreventExitStatus=64 78",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "StateDirectory=presence-bridge",
        "RuntimeDirectory=presence-bridge",
        "LoadCredential=secret:/etc/presence-bridge/secrets",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    // The names under which docs/operations.md finds the secrets are those that systemd gives: the id, _, the file's name.
    let page = read("docs/operations.md");
    for secret in ["client-secret", "mqtt-password"] {
        assert!(page.contains(&format!("$CREDENTIALS_DIRECTORY/secret_{secret}")), "{secret}");
        assert!(page.contains(&format!("/etc/presence-bridge/secrets/{secret}")), "{secret}");
    }
}
