//! The real program end to end: mosquitto on one side, the sandbox over real sockets on the other.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use presence_bridge::clock::Clock;
use presence_bridge::sandbox::Sandbox;
use presence_bridge::sandbox::tenant::{Fault, Match, What};

use crate::support::mosquitto::Mosquitto;
use crate::support::{ALICE, BOB, sandbox, until};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_presence-bridge");
pub const CANARY: &str = "sandbox-secret";

pub struct Bridge {
    child: Child,
    log: Arc<Mutex<String>>,
    dir: Option<tempfile::TempDir>,
}

impl Bridge {
    /// Starts it, and waits until it is subscribed.
    pub async fn start(broker: &Mosquitto, sandbox: &Sandbox, arguments: &[&str]) -> Bridge {
        Bridge::at(broker, &sandbox.graph_url(), arguments, &[]).await
    }

    /// As above, with another address for Graph and token endpoint, and with these variables in its environment.
    pub async fn at(broker: &Mosquitto, url: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Bridge {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), format!("{CANARY}\n")).unwrap();
        let text = configuration(broker.port, url, "level = \"trace\"");
        Bridge::with(dir, &text, arguments, environment).await
    }

    /// As above, with this configuration and the files of `dir`.
    pub async fn with(dir: tempfile::TempDir, text: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Bridge {
        let bridge = Bridge::spawn(dir, text, arguments, environment);
        until("the bridge subscribes", || bridge.log().contains("MQTT subscribed.")).await;
        bridge
    }

    /// As above, and does not wait.
    pub fn spawn(dir: tempfile::TempDir, text: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Bridge {
        let path = dir.path().join("bridge.toml");
        std::fs::write(&path, text).unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["run", "-c"])
            .arg(&path)
            .args(arguments)
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .env("STATE_DIRECTORY", dir.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = crate::support::lines_of(child.stderr.take().unwrap());
        Bridge { child, log, dir: Some(dir) }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// SIGTERM, and how it ended.
    pub async fn terminate(self) -> (Option<i32>, String) {
        self.signal("TERM");
        self.ended().await
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its configuration is.
    pub fn path(&self) -> std::path::PathBuf {
        self.dir.as_ref().unwrap().path().join("bridge.toml")
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([format!("-{name}"), pid]).status().unwrap().success());
    }

    /// What it leaves behind.
    pub fn into_dir(mut self) -> tempfile::TempDir {
        self.dir.take().unwrap()
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How it ended.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let mut code = None;
        until("the bridge ends", || {
            code = self.child.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        })
        .await;
        (code.unwrap(), self.log())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

pub fn configuration(port: u16, graph: &str, log: &str) -> String {
    format!(
        r#"
[graph]
tenant_id = "aaaaaaaa-0000-4000-8000-000000000001"
client_id = "bbbbbbbb-0000-4000-8000-000000000002"
client_secret_file = "secret"
login_url = "{graph}"
graph_url = "{graph}"
[mqtt]
url = "mqtt://127.0.0.1:{port}"
client_id = "bridge-under-test"
[log]
{log}
[admin]
listen = "off"
socket = "off"
[users]
alice = "{ALICE}"
bob = "{BOB}"
[devices]
"1001" = "alice"
"1002" = "bob"
[signals]
call = "Busy/InACall"
meeting = "Busy/InAConferenceCall"
[[rule]]
topic = "pbx/devstate/PJSIP/{{ext}}"
subject = "{{ext}}"
signal = "call"
on = ["INUSE"]
off = ["NOT_INUSE"]
ttl = "8h"
[[rule]]
topic = "json/{{ext}}"
format = "json"
subject = "{{ext}}"
signal = "call"
value = "/state"
on = ["busy"]
off = ["idle"]
"#
    )
}

pub fn seen(sandbox: &Sandbox, user: &str) -> String {
    let now = Clock::live().now().mono.as_millis();
    sandbox.tenant().lock().unwrap_or_else(PoisonError::into_inner).seen(now, user).to_string()
}

fn calls(sandbox: &Sandbox) -> Vec<(String, u16)> {
    let tenant = sandbox.tenant().lock().unwrap_or_else(PoisonError::into_inner);
    let presence = tenant.log().iter().filter(|entry| !entry.user.is_empty());
    presence.map(|entry| (entry.what.clone(), entry.status)).collect()
}

#[tokio::test]
async fn off_hook_at_mosquitto_is_seen_at_graph_and_on_hook_clears() {
    let Some(broker) = Mosquitto::start("binary off-hook", "").await else { return };
    let sandbox = sandbox(false).await;
    let bridge = Bridge::start(&broker, &sandbox, &[]).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", true);
    until("InACall", || seen(&sandbox, ALICE) == "Busy/InACall").await;
    broker.publish("pbx/devstate/PJSIP/1001", "NOT_INUSE", true);
    until("cleared", || seen(&sandbox, ALICE) == "Offline/Offline").await;
    let (code, log) = bridge.terminate().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("Presence set.") && log.contains("because=\"call@1001\""), "{log}");
}

#[tokio::test]
async fn fault_47_three_repeats_while_the_first_post_is_throttled() {
    let Some(broker) = Mosquitto::start("binary throttled", "").await else { return };
    let sandbox = sandbox(false).await;
    let what = What::Throttle { retry_after: Some("2".to_owned()) };
    sandbox.tenant().lock().unwrap().fault(Fault { on: Match::Set, times: 1, what });
    let _bridge = Bridge::start(&broker, &sandbox, &[]).await;
    let before = Clock::live().real();
    for _ in 0..3 {
        broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    }
    until("InACall", || seen(&sandbox, ALICE) == "Busy/InACall").await;
    let took = Clock::live().real().since(before);
    assert!((Duration::from_millis(1900)..Duration::from_secs(5)).contains(&took), "accepted after {took:?}");
    broker.publish("pbx/devstate/PJSIP/1001", "NOT_INUSE", false);
    until("cleared", || seen(&sandbox, ALICE) == "Offline/Offline").await;
    let expected = [("setPresence", 429), ("setPresence", 200), ("clearPresence", 200)];
    assert_eq!(calls(&sandbox), expected.map(|(what, status)| (what.to_owned(), status)));
}

#[tokio::test]
async fn fault_01_a_broker_killed_and_back_clears_nobody() {
    let Some(mut broker) = Mosquitto::start("binary broker restart", "").await else { return };
    let sandbox = sandbox(false).await;
    let bridge = Bridge::start(&broker, &sandbox, &[]).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", true);
    until("InACall", || seen(&sandbox, ALICE) == "Busy/InACall").await;
    broker.kill();
    until("the loss is noticed", || bridge.log().contains("MQTT connection lost")).await;
    broker.resume().await;
    let back = tokio::time::timeout(Duration::from_secs(5), async {
        until("subscribed again", || bridge.log().matches("MQTT subscribed.").count() == 2).await;
    });
    back.await.expect("subscribed within five seconds of the broker's return");
    broker.publish("pbx/devstate/PJSIP/1002", "INUSE", false);
    until("subscribed again", || seen(&sandbox, BOB) == "Busy/InACall").await;
    assert_eq!(seen(&sandbox, ALICE), "Busy/InACall");
    assert!(!calls(&sandbox).iter().any(|(what, _)| what == "clearPresence"), "{:?}", calls(&sandbox));
}

#[tokio::test]
async fn bad_messages_are_counted_and_the_connection_lives() {
    let Some(broker) = Mosquitto::start("binary bad messages", "").await else { return };
    let sandbox = sandbox(false).await;
    let bridge = Bridge::start(&broker, &sandbox, &[]).await;
    for payload in ["{broken", "{\"state\":\"busy\",\"state\":\"idle\"}", &"[".repeat(200), &"x".repeat(100_000)] {
        broker.publish("json/1001", payload, false);
        broker.publish("json/1001", payload, false);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 2 << 20]).unwrap();
    let port = broker.port.to_string();
    let pub_tool = crate::support::mosquitto::program("mosquitto_pub").unwrap();
    let sent = Command::new(&pub_tool).args(["-p", &port, "-t", "json/1001", "-f"]).arg(file.path()).status().unwrap();
    assert!(sent.success());
    std::fs::write(file.path(), [0xff, 0xfe]).unwrap();
    let sent = Command::new(&pub_tool).args(["-p", &port, "-t", "json/1001", "-f"]).arg(file.path()).status().unwrap();
    assert!(sent.success());
    broker.publish("pbx/devstate/PJSIP/9999", "INUSE", false);
    broker.publish("presence-bridge/in/mallory/call", "on", false);
    broker.publish("json/1001", r#"{"state": "busy"}"#, false);
    until("alive", || seen(&sandbox, ALICE) == "Busy/InACall").await;
    until("the log is read so far", || bridge.log().contains("Presence set.")).await;
    let log = bridge.log();
    for reason in ["bad_json", "duplicate_key", "too_deep", "too_large", "not_utf8", "unknown_subject"] {
        let lines = log.lines().filter(|line| line.contains("refused") && line.contains(reason)).count();
        assert_eq!(lines, 1, "{reason} is logged once: {log}");
    }
    assert_eq!(log.matches("MQTT connected.").count(), 1, "{log}");
}

#[tokio::test]
async fn people_and_status_are_retained_topics() {
    let Some(broker) = Mosquitto::start("binary own topics", "").await else { return };
    let sandbox = sandbox(false).await;
    let bridge = Bridge::start(&broker, &sandbox, &[]).await;
    let (status, alice) = ("presence-bridge/status/bridge-under-test", "presence-bridge/people/alice");
    assert!(retained(&broker, status).contains(r#""state":"online""#));
    broker.publish("presence-bridge/in/alice/meeting", "on", false);
    until("InAConferenceCall", || seen(&sandbox, ALICE) == "Busy/InAConferenceCall").await;
    until("alice is published", || {
        let text = retained(&broker, alice);
        text.contains(r#""held":"Busy/InAConferenceCall""#) && text.contains(r#""because":"meeting@alice""#)
    })
    .await;
    let (code, _) = bridge.terminate().await;
    assert_eq!(code, Some(0));
    assert!(retained(&broker, status).contains("offline"));
    // A death without a word: the last will.
    let mut bridge = Bridge::start(&broker, &sandbox, &[]).await;
    until("online again", || retained(&broker, status).contains("online")).await;
    bridge.child.kill().unwrap();
    until("offline by last will", || retained(&broker, status).contains("offline")).await;
}

pub fn retained(broker: &Mosquitto, topic: &str) -> String {
    let mut child = Command::new(crate::support::mosquitto::program("mosquitto_sub").unwrap())
        .args(["-p", &broker.port.to_string(), "-t", topic, "-C", "1", "-W", "3"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    text
}

#[tokio::test]
async fn sighup_takes_up_a_changed_list_and_a_change_is_noticed_without() {
    let Some(broker) = Mosquitto::start("binary reload", "").await else { return };
    let sandbox = sandbox(false).await;
    let bridge = Bridge::start(&broker, &sandbox, &[]).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    until("InACall", || seen(&sandbox, ALICE) == "Busy/InACall").await;
    let path = bridge.path();
    let text = std::fs::read_to_string(&path).unwrap();
    let without = text.replace(&format!("alice = \"{ALICE}\""), "").replace("\"1001\" = \"alice\"", "");
    std::fs::write(&path, without).unwrap();
    bridge.signal("HUP");
    until("alice is cleared", || seen(&sandbox, ALICE) == "Offline/Offline").await;
    assert_eq!(calls(&sandbox).len(), 2, "{:?}", calls(&sandbox));
    std::fs::write(&path, text).unwrap();
    until("she is listed again", || bridge.log().matches("Configuration taken up.").count() == 2).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    until("InACall again", || seen(&sandbox, ALICE) == "Busy/InACall").await;
}

#[tokio::test]
async fn dry_run_decides_and_publishes_and_calls_nobody() {
    let Some(broker) = Mosquitto::start("binary dry run", "").await else { return };
    let sandbox = sandbox(false).await;
    let bridge = Bridge::start(&broker, &sandbox, &["--dry-run"]).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    until("decided", || bridge.log().contains("Presence set.")).await;
    until("published", || retained(&broker, "presence-bridge/people/alice").contains("Busy/InACall")).await;
    assert!(sandbox.tenant().lock().unwrap().log().is_empty(), "not even a token");
}

#[tokio::test]
async fn secrets_appear_in_no_output_at_trace() {
    let Some(broker) = Mosquitto::start("binary canary", "").await else { return };
    let sandbox = sandbox(false).await;
    let bridge = Bridge::start(&broker, &sandbox, &[]).await;
    let html = What::Status { status: 403, body: "<html>".to_owned(), by_graph: true };
    for what in [html, What::ResetBefore, What::NoEffect] {
        sandbox.tenant().lock().unwrap().fault(Fault { on: Match::AnyPresence, times: 1, what });
    }
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    until("four calls", || calls(&sandbox).len() >= 3).await;
    sandbox.tenant().lock().unwrap().settings().secrets = vec!["another".to_owned()];
    sandbox.tenant().lock().unwrap().revoke_tokens();
    broker.publish("pbx/devstate/PJSIP/1002", "INUSE", false);
    until("the refused secret is reported", || bridge.log().contains("7000215")).await;
    let (_, log) = bridge.terminate().await;
    assert!(log.contains("A call to Graph failed."), "{log}");
    for secret in [CANARY, "eyJ", "Bearer "] {
        assert!(!log.contains(secret), "{secret} in the log:\n{log}");
    }
}

/// Repeats what it was told: the secret where a token is asked for, the token where presence is to be set.
async fn echo(request: axum::extract::Request) -> axum::response::Response {
    use axum::response::IntoResponse;
    let (head, body) = request.into_parts();
    let body = String::from_utf8(axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    if !head.uri.path().ends_with("/token") {
        let bearer = head.headers["authorization"].to_str().unwrap().to_owned();
        let message = format!("{bearer} of {CANARY} {}", percent(CANARY));
        let error = serde_json::json!({ "error": { "code": bearer, "message": message } }).to_string();
        return ([("request-id", bearer)], (axum::http::StatusCode::FORBIDDEN, error)).into_response();
    }
    static ASKED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    if ASKED.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
        let token = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"opaque-canary"}"#;
        return token.into_response();
    }
    let error = serde_json::json!({
        "error": "invalid_client", "error_codes": [7_000_215],
        "error_description": format!("AADSTS7000215: Invalid client secret {CANARY} in {body}\r\nTrace ID: 1"),
    });
    (axum::http::StatusCode::UNAUTHORIZED, error.to_string()).into_response()
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn secrets_that_graph_and_entra_repeat_appear_in_no_output_at_trace() {
    let Some(broker) = Mosquitto::start("binary echo", "").await else { return };
    let url = crate::support::server(echo).await;
    let bridge = Bridge::at(&broker, &url, &[], &[]).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    until("the refusal is reported", || bridge.log().contains("A call to Graph failed.")).await;
    until("the refused secret is reported", || bridge.log().contains("7000215")).await;
    let (_, log) = bridge.terminate().await;
    assert!(log.contains("[redacted]"), "{log}");
    for secret in [CANARY, "opaque-canary", &percent(CANARY)] {
        assert!(!log.contains(secret), "{secret} in the log:\n{log}");
    }
}

#[tokio::test]
async fn a_failure_is_one_line_with_the_label_and_both_request_ids() {
    let Some(broker) = Mosquitto::start("binary failures", "").await else { return };
    let sandbox = sandbox(false).await;
    let body = r#"{"error":{"code":"ServiceUnavailable","message":"Later."}}"#.to_owned();
    let what = What::Status { status: 503, body, by_graph: true };
    sandbox.tenant().lock().unwrap().fault(Fault { on: Match::Set, times: 2, what });
    let bridge = Bridge::start(&broker, &sandbox, &[]).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    until("InACall", || seen(&sandbox, ALICE) == "Busy/InACall").await;
    let (_, log) = bridge.terminate().await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("503")).collect();
    let [first, second] = lines[..] else { panic!("a line for each of two failures:\n{log}") };
    assert!(first.contains("WARN") && first.contains("times=1") && second.contains("DEBUG"), "{log}");
    for line in [first, second] {
        for part in ["user=\"alice\"", "client_request_id=", " request_id=\"00000000-", "ServiceUnavailable Later."] {
            assert!(line.contains(part), "{part} is missing in {line}");
        }
    }
    assert!(!log.contains(ALICE), "people are named by their labels:\n{log}");
}

#[tokio::test]
async fn loopback_is_called_without_the_environments_proxies() {
    let Some(broker) = Mosquitto::start("binary loopback proxy", "").await else { return };
    let sandbox = sandbox(false).await;
    let closed = format!("http://127.0.0.1:{}", crate::support::mosquitto::free_port());
    let proxies = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let environment = proxies.map(|name| (name, closed.as_str()));
    let _bridge = Bridge::at(&broker, &sandbox.graph_url(), &[], &environment).await;
    broker.publish("pbx/devstate/PJSIP/1001", "INUSE", false);
    until("InACall", || seen(&sandbox, ALICE) == "Busy/InACall").await;
}

#[tokio::test]
async fn everything_else_is_called_through_the_environments_proxies() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let Some(broker) = Mosquitto::start("binary proxy", "").await else { return };
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let _bridge = Bridge::at(&broker, "https://graph.invalid", &[], &[("HTTPS_PROXY", &url)]).await;
    let asked = tokio::time::timeout(Duration::from_secs(10), async {
        let (stream, _) = proxy.accept().await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        line
    });
    assert!(asked.await.unwrap().starts_with("CONNECT graph.invalid:443 "));
}

#[test]
fn a_bad_configuration_is_exit_78_with_every_problem() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bridge.toml");
    let text = configuration(1, "http://127.0.0.1:1", "level = \"loud\"")
        .replace(ALICE, "alice@example.com")
        .replace("Busy/InACall", "Busy/InAMeeting")
        .replace("[graph]", "[graph]\ncloud = \"china\"\ntennant = 1");
    std::fs::write(&path, text).unwrap();
    for command in ["check", "run"] {
        let output = Command::new(PROGRAM).args([command, "-c"]).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        let said = String::from_utf8(output.stderr).unwrap();
        for part in ["cannot read the secret file", "object id", "Busy/InAMeeting", "China", "tennant", "loud"] {
            assert!(said.contains(part), "{part} is missing in:\n{said}");
        }
    }
}

/// Reads what the demo says until `enough`, at most fifteen seconds; then ends it.
async fn demo(command: &mut Command, enough: impl Fn(&str) -> bool) -> String {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let said = Arc::new(Mutex::new(String::new()));
    let (mut out, kept) = (child.stdout.take().unwrap(), Arc::clone(&said));
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = out.read(&mut bytes) {
            kept.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    });
    let text = || said.lock().unwrap().clone();
    for _ in 0..1_500 {
        if enough(&text()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = text();
    assert!(enough(&text), "{text}");
    text
}

#[tokio::test]
async fn on_a_terminal_the_demos_table_stays_in_place_and_leases_count_down() {
    let Some(script) = crate::support::mosquitto::program("script") else {
        return crate::support::skipped("binary live table", "script of util-linux is not installed");
    };
    let program = format!("stty cols 80; exec {PROGRAM} demo");
    let mut command = Command::new(script);
    let said = demo(command.args(["-qefc", &program, "/dev/null"]), |said| {
        said.contains("call@1001 0:19") && said.contains("call@1001 0:17")
    })
    .await;
    // Each drawing goes back to the first line of the one before, and none is wider than the terminal.
    assert!(said.matches("\x1b[5A").count() > 3, "a rule, a head and three people: {said:?}");
    assert!(said.contains("\x1b[6A"), "Alice has two shares for a while: {said:?}");
    let tables: Vec<&str> = said.split("\x1b[").filter(|part| part.contains("Offline/Offline")).collect();
    for line in tables.iter().flat_map(|table| table.lines()) {
        assert!(line.trim_end().chars().count() < 80, "{line:?}");
    }
    assert_eq!(said.matches("a meeting starts.").count(), 1, "{said:?}");
}

#[tokio::test]
async fn elsewhere_the_demo_prints_its_table_at_each_sighting() {
    let said =
        demo(Command::new(PROGRAM).arg("demo"), |said| said.contains("sees alice") && said.contains("carol")).await;
    assert!(!said.contains('\x1b'), "{said:?}");
    assert_eq!(said.matches("person ").count(), 1, "{said}");
}

#[test]
fn wrong_usage_is_exit_64_and_help_is_0() {
    assert_eq!(Command::new(PROGRAM).arg("rnu").output().unwrap().status.code(), Some(64));
    assert_eq!(Command::new(PROGRAM).arg("--help").output().unwrap().status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)] // reading the log blocks
async fn run_with_the_sandbox_needs_neither_tenant_nor_broker() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "unused\n").unwrap();
    let path = dir.path().join("bridge.toml");
    std::fs::write(&path, configuration(1, "http://127.0.0.1:1", "level = \"info\"")).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["run", "--sandbox", "-c"])
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = said.find(|line| line.contains("mqtt://127.0.0.1:")).unwrap();
    let port: String = line.split("127.0.0.1:").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("MQTT subscribed.")));
    // The bridge itself is a client of the embedded broker: a second one speaks for the phone.
    let mut config = crate::mqtt::config(port.parse().unwrap(), "phone");
    config.filters = Vec::new();
    let (phone, mut events, _) = crate::mqtt::start(config);
    crate::mqtt::up(&mut events).await;
    let permit = phone.permit().await.unwrap();
    let topic = "pbx/devstate/PJSIP/1001".to_owned();
    permit.publish(presence_bridge::mqtt::Message::new(topic, "INUSE"));
    let set = log.find(|line| line.contains("Presence set.")).unwrap();
    assert!(set.contains("Busy/InACall"), "{set}");
    child.kill().unwrap();
    child.wait().unwrap();
}
