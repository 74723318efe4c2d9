//! What the image holds is enough, and what compose.yaml gives mosquitto works: without Docker, by the kernel's own means.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{PROGRAM, file, read};
use crate::binary::{CANARY, configuration};
use crate::support::mosquitto::{Mosquitto, free_port, program};
use crate::support::{lines_of, sandbox, skipped, until};

const USER: &str = "65532";

/// `ENV` of the Dockerfile.
fn environment() -> Vec<String> {
    let text = read("deploy/container/Dockerfile");
    let line = text.lines().find_map(|line| line.strip_prefix("ENV ")).unwrap();
    line.split(' ').map(str::to_owned).collect()
}

/// As the Dockerfile gathers it, with a configuration, and with `ca` among those that the bundle trusts.
fn image(dir: &Path, configuration: &str, ca: &str) -> PathBuf {
    let image = dir.join("image");
    let made = Command::new(file("deploy/container/root")).arg(PROGRAM).arg(&image).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let bundle = image.join("etc/ssl/certs/ca-certificates.crt");
    let text = std::fs::read_to_string(&bundle).unwrap();
    assert!(text.matches("BEGIN CERTIFICATE").count() > 50, "the authorities of ca-certificates");
    std::fs::write(&bundle, format!("{text}{ca}")).unwrap();
    std::fs::write(image.join("etc/presence-bridge/bridge.toml"), configuration).unwrap();
    std::fs::write(image.join("etc/presence-bridge/secret"), CANARY).unwrap();
    image
}

/// The program alone on a read-only tree, as user 65532 and without a way to more rights; two directories are memory.
fn contained(image: &Path, arguments: &[&str]) -> Child {
    let script = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" &&
        for place in run/presence-bridge var/lib/presence-bridge; do
          mount -t tmpfs -o uid=65532,gid=65532,mode=0700 tmpfs "$0/$place" || exit 99
        done
        user=$1; shift
        exec setpriv --no-new-privs unshare --root="$0" --setuid "$user" --setgid "$user" /usr/bin/presence-bridge "$@""#;
    let mut command = Command::new("env");
    command.arg("-i").arg("PATH=/usr/sbin:/usr/bin:/sbin:/bin").args(environment());
    command.args(["unshare", "--mount", "sh", "-c", script]).arg(image).arg(USER).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// As Docker runs the healthcheck: in the same container.
fn healthcheck(pid: u32) -> (Option<i32>, String) {
    let dockerfile = read("deploy/container/Dockerfile");
    assert!(dockerfile.contains(r#"CMD ["/usr/bin/presence-bridge", "status"]"#));
    let mut command = Command::new("env");
    command.arg("-i").arg("PATH=/usr/sbin:/usr/bin").args(environment());
    command.args(["nsenter", "--target", &pid.to_string(), "--mount", "--root", "--wd=/"]);
    command.args(["--setuid", USER, "--setgid", USER, "/usr/bin/presence-bridge", "status"]);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// What keeps the tree from being tried here.
fn impossible() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Some("wants root, to make a tree read-only".to_owned());
    }
    for tool in ["unshare", "setpriv", "nsenter", "ldd", "mount"] {
        if program(tool).is_none() && !Path::new("/bin").join(tool).exists() {
            return Some(format!("{tool} is not installed"));
        }
    }
    if !Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        return Some("ca-certificates is not installed".to_owned());
    }
    let tried = Command::new("unshare").args(["--mount", "true"]).status();
    (!tried.is_ok_and(|status| status.success())).then(|| "no mount namespaces here".to_owned())
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_runs_on_what_the_image_holds_read_only_and_as_nobody() {
    if let Some(why) = impossible() {
        return skipped("deploy container", &why);
    }
    let Some(broker) = Mosquitto::start("deploy container", "").await else { return };
    let sandbox = sandbox(true).await;
    let dir = tempfile::tempdir().unwrap();
    // By TLS, and trusted by nothing but the image's bundle.
    let text = configuration(broker.port, &sandbox.graph_url().replace("localhost", "127.0.0.1"), "level = \"info\"")
        .replace("listen = \"off\"\nsocket = \"off\"", "listen = \"off\"");
    let image = image(dir.path(), &text, sandbox.ca_pem().unwrap());
    let checked = contained(&image, &["check"]).wait_with_output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let mut child = Ended(contained(&image, &["run"]));
    let log = lines_of(child.0.stderr.take().unwrap());
    let said = || log.lock().unwrap().clone();
    until("it subscribes", || said().contains("MQTT subscribed.")).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    until("Graph is called", || said().contains("Presence set.")).await;
    let (code, status) = healthcheck(child.0.id());
    assert_eq!(code, Some(0), "{status}\n{}", said());
    assert!(status.contains("alarms   none"), "{status}");
    let about = std::fs::read_to_string(format!("/proc/{}/status", child.0.id())).unwrap();
    for line in ["Uid:\t65532\t65532\t65532\t65532", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(about.contains(line), "{line} is missing in:\n{about}");
    }
    // What it says of itself when it no longer gets on with its work.
    let pid = child.0.id().to_string();
    assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
    let (code, status) = healthcheck(child.0.id());
    assert_eq!(code, Some(1), "{status}");
}

#[tokio::test]
async fn mosquitto_with_the_files_of_compose_lets_the_bridge_in_and_nobody_without_a_login() {
    let Some(tool) = program("mosquitto_passwd") else {
        return skipped("deploy compose", "mosquitto_passwd is not installed");
    };
    let compose = read("deploy/container/compose.yaml");
    for path in [
        "./mosquitto.conf:/etc/mosquitto/mosquitto.conf",
        "../mosquitto/mosquitto.conf:/etc/mosquitto/conf.d/presence.conf",
    ] {
        assert!(compose.contains(path), "{path}");
    }
    let broker = Mosquitto::with("deploy compose", |port, dir| {
        let here = dir.display().to_string();
        let place = |text: String| {
            text.replace("/etc/mosquitto", &here).replace("/var/lib/mosquitto", &here).replace("log_dest stdout\n", "")
        };
        let made = Command::new(tool).args(["-c", "-b"]).arg(dir.join("passwd")).args(["bridge", "secret"]).status();
        assert!(made.unwrap().success());
        std::fs::write(dir.join("acl"), read("deploy/mosquitto/acl")).unwrap();
        std::fs::create_dir(dir.join("conf.d")).unwrap();
        let ours = read("deploy/mosquitto/mosquitto.conf")
            .replace("\nlistener 1883 ", &format!("\nlistener {} ", free_port()));
        std::fs::write(dir.join("conf.d/presence.conf"), place(ours)).unwrap();
        for path in ["", "passwd", "acl"] {
            let mode = if path.is_empty() { 0o777 } else { 0o666 }; // mosquitto is another user when root starts it
            std::fs::set_permissions(dir.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        place(read("deploy/container/mosquitto.conf").replace("listener 1884", &format!("listener {port}")))
    });
    let Some(broker) = broker.await else { return };
    let publish = |login: &[&str]| {
        let mut command = Command::new(program("mosquitto_pub").unwrap());
        command.args(["-p", &broker.port.to_string(), "-t", "presence-bridge/status/x", "-m", "x"]).args(login);
        command.stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(publish(&["-u", "bridge", "-P", "secret"]));
    assert!(!publish(&["-u", "bridge", "-P", "wrong"]));
    assert!(!publish(&[]));
}

#[test]
fn the_image_is_of_nobody_and_compose_takes_all_rights_away() {
    let dockerfile = read("deploy/container/Dockerfile");
    let last = dockerfile.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("scratch\n") && last.contains("\nUSER 65532:65532\n"), "{last}");
    let compose = read("deploy/container/compose.yaml");
    let services = compose.split("\nnetworks:\n").next().unwrap();
    for line in [
        "read_only: true",
        "cap_drop: [ALL]",
        "security_opt: [\"no-new-privileges:true\"]",
        "pids_limit:",
        "mem_limit:",
    ] {
        assert_eq!(services.matches(line).count(), 2, "both services: {line}");
    }
    assert!(
        !compose.lines().any(|line| line.trim_start().starts_with("ports:")),
        "nothing is published unless somebody says so"
    );
}
