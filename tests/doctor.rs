//! `doctor` says why it does not work; and for each of the things that people run into at Graph, the message that they get
//! names the cause and what to do (`u01_` to `u12_`).

use std::path::Path;
use std::process::Command;

use presence_bridge::cli::check;
use presence_bridge::config::{Config, Look, report};
use presence_bridge::presence::{Habits, OnStop};
use presence_bridge::sandbox::Sandbox;
use presence_bridge::sandbox::broker::Broker;
use serde_json::{Value, json};

use crate::support::fake_graph::{CLIENT, FakeGraph, TENANT};
use crate::support::live::{Live, configuration};
use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::{ALICE, BOB, sandbox, until};

const PEOPLE: &str =
    "[users]\nalice = \"11111111-1111-4111-8111-111111111111\"\nbob = \"22222222-2222-4222-8222-222222222222\"\n";

/// Exit code and output of the real program.
struct Told {
    code: Option<i32>,
    text: String,
}

impl Told {
    /// One line of the report: state, check and text, with the lines that belong to it.
    #[track_caller]
    fn says(&self, state: &str, check: &str, parts: &[&str]) {
        let head = format!("{state:8} {check:13} ");
        let mut paragraphs = self.text.split_inclusive('\n').fold(Vec::<String>::new(), |mut all, line| {
            match all.last_mut() {
                Some(last) if line.starts_with(' ') => last.push_str(line),
                _ => all.push(line.to_owned()),
            }
            all
        });
        paragraphs.retain(|paragraph| paragraph.starts_with(&head));
        let said = paragraphs.concat();
        assert!(!said.is_empty(), "nothing is {state} of {check} in\n{}", self.text);
        for part in parts {
            assert!(said.contains(part), "{part:?} is missing in\n{said}\nof\n{}", self.text);
        }
    }
}

async fn run(dir: &Path, arguments: &[&str]) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_presence-bridge"));
    command.args(["doctor", "-c"]).arg(dir.join("bridge.toml")).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    for secret in ["sandbox-secret", "eyJ", "Bearer"] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
    Told { code: output.status.code(), text }
}

/// In front of the embedded broker and this Graph.
async fn doctor_with(graph: &FakeGraph, more: &str, arguments: &[&str]) -> Told {
    let broker = Broker::start(0).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "sandbox-secret").unwrap();
    let state = format!("[state]\ndir = \"{}\"\n", dir.path().display());
    let text = configuration(broker.port(), &graph.url, &format!("{state}{more}"));
    std::fs::write(dir.path().join("bridge.toml"), text).unwrap();
    run(dir.path(), arguments).await
}

async fn doctor(graph: &FakeGraph, arguments: &[&str]) -> Told {
    doctor_with(graph, PEOPLE, arguments).await
}

/// A Graph that knows Alice and Bob.
async fn graph() -> FakeGraph {
    let graph = FakeGraph::start().await;
    for id in [ALICE, BOB] {
        graph.state().seen.insert(id.to_owned(), ("Available".to_owned(), "Available".to_owned()));
    }
    graph
}

/// The problems of a configuration.
fn problems(more: &str) -> String {
    let text = configuration(1883, "http://127.0.0.1:1", more);
    Config::parse_trusting(&text, "bridge.toml", Path::new(".")).unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_well_in_order_and_nobody_is_touched() {
    let graph = graph().await;
    let told = doctor(&graph, &[]).await;
    assert_eq!(told.code, Some(0), "{}", told.text);
    let checks: Vec<&str> = told
        .text
        .lines()
        .filter(|line| line.starts_with("ok ") || line.starts_with("warning "))
        .map(|line| line[9..22].trim())
        .collect();
    let expected = [
        "configuration",
        "broker",
        "subscriptions",
        "hearing",
        "cloud",
        "token",
        "permissions",
        "application",
        "clock",
        "people",
        "budget",
    ];
    assert_eq!(checks, expected, "{}", told.text);
    told.says("ok", "broker", &["(127.0.0.1)", "MQTT 5 over TCP"]);
    told.says("ok", "hearing", &["own messages come back", "at each subscription"]);
    told.says("ok", "people", &["Graph knows all 2"]);
    told.says("ok", "budget", &["These settings carry"]);
    told.says("warning", "cloud", &["other endpoints than Microsoft's"]);
    assert_eq!(graph.calls("/presence/"), 0, "no write without --probe");
    assert_eq!(graph.calls("getPresencesByUserId"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_says_the_same() {
    let graph = graph().await;
    graph.state().seen.remove(BOB);
    let told = doctor(&graph, &["--json"]).await;
    assert_eq!(told.code, Some(1));
    let report: Value = serde_json::from_str(&told.text).unwrap();
    assert_eq!((&report["ok"], &report["not_checked"]), (&json!(false), &json!([])));
    let people = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "people").unwrap();
    assert_eq!(people["state"], "failed");
    assert!(people["text"].as_str().unwrap().contains("bob (2222"), "{people}");
    assert!(people["remedy"].as_str().unwrap().contains("Object ID"), "{people}");
}

/// With nothing faked: mosquitto, and the sandbox's token endpoint and Graph.
async fn doctor_of(broker: &Mosquitto, sandbox: &Sandbox, people: &str, arguments: &[&str]) -> Told {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "sandbox-secret").unwrap();
    let state = format!("[state]\ndir = \"{}\"\n", dir.path().display());
    let text = configuration(broker.port, &sandbox.graph_url(), &format!("{state}{people}"));
    std::fs::write(dir.path().join("bridge.toml"), text).unwrap();
    run(dir.path(), arguments).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_well_between_mosquitto_and_the_sandbox() {
    let Some(broker) = Mosquitto::start("doctor all is well", "").await else { return };
    let sandbox = sandbox(false).await;
    let told = doctor_of(&broker, &sandbox, PEOPLE, &[]).await;
    assert_eq!(told.code, Some(0), "{}", told.text);
    told.says("ok", "people", &["Graph knows all 2"]);
    assert!(told.text.ends_with("All is well, but for the warnings above, if any.\n"), "{}", told.text);
    let told = doctor_of(&broker, &sandbox, PEOPLE, &["--json"]).await;
    assert_eq!(told.code, Some(0), "{}", told.text);
    let report: Value = serde_json::from_str(&told.text).unwrap();
    assert_eq!((&report["ok"], &report["not_checked"]), (&json!(true), &json!([])));
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 11, "{report:#}");
    for check in checks {
        // The sandbox is not Microsoft's, and that is said.
        let state = if check["check"] == "cloud" { "warning" } else { "ok" };
        assert_eq!(check["state"], state, "{check}");
    }
    let tenant = sandbox.tenant().lock().unwrap();
    let calls: Vec<&str> = tenant.log().iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(calls, ["token", "getPresencesByUserId"].repeat(2), "one read, no write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_id_that_the_sandbox_does_not_know_is_told_by_name() {
    let Some(broker) = Mosquitto::start("doctor unknown id", "").await else { return };
    let sandbox = sandbox(false).await;
    let stranger = "99999999-9999-4999-8999-999999999999";
    let people = format!("[users]\nalice = \"{ALICE}\"\nmallory = \"{stranger}\"\n");
    let told = doctor_of(&broker, &sandbox, &people, &[]).await;
    told.says("warning", "people", &["PresenceUnknown of mallory (99999999-9999", "licence for Teams"]);
    assert!(!told.text.contains("alice ("), "{}", told.text);
    assert_eq!(told.code, Some(0), "{}", told.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_secret_is_shown_and_warned_of_within_30_days() {
    let graph = graph().await;
    let broker = Broker::start(0).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "sandbox-secret").unwrap();
    for (days, state, part) in
        [(400, "ok", "ends at"), (40, "ok", "in 40 days"), (12, "warning", "in 12 days"), (-3, "warning", "ended at")]
    {
        let day = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        let line = format!("[graph]\nclient_secret_expires = \"{}\"\n", day.strftime("%Y-%m-%d"));
        let text = configuration(broker.port(), &graph.url, PEOPLE).replace("[graph]\n", &line);
        std::fs::write(dir.path().join("bridge.toml"), text).unwrap();
        let told = run(dir.path(), &[]).await;
        told.says(state, "credential", &["client-secret", part]);
        assert_eq!(told.text.contains("make a new one"), state == "warning", "{}", told.text);
        assert_eq!(told.code, Some(0), "{}", told.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_configuration_is_told_with_every_problem() {
    let graph = graph().await;
    let told = doctor_with(&graph, "[users]\nalice = \"x\"\nbob = \"y\"\n", &["--json"]).await;
    assert_eq!(told.code, Some(78));
    let report: Value = serde_json::from_str(&told.text).unwrap();
    let text = report["checks"][0]["text"].as_str().unwrap();
    assert!(text.contains("users.alice") && text.contains("users.bob"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_650_people_are_read_650_at_a_time() {
    let graph = graph().await;
    let mut more = "[users]\n".to_owned();
    for n in 0..1_400 {
        let id = format!("33333333-3333-4333-8333-{n:012x}");
        more += &format!("p{n} = \"{id}\"\n");
        let seen = if n == 1_399 { "PresenceUnknown" } else { "Offline" };
        graph.state().seen.insert(id, (seen.to_owned(), seen.to_owned()));
    }
    let told = doctor_with(&graph, &more, &[]).await;
    assert_eq!(graph.calls("getPresencesByUserId"), 3);
    told.says("warning", "people", &["PresenceUnknown of p1399", "licence for Teams"]);
    assert_eq!(told.code, Some(0), "a warning is no failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_cannot_be_had_is_told_with_what_to_do() {
    let graph = graph().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "sandbox-secret").unwrap();
    let write = |port: u16, change: &dyn Fn(String) -> String| {
        let text = change(configuration(port, &graph.url, PEOPLE));
        std::fs::write(dir.path().join("bridge.toml"), text).unwrap();
    };
    write(free_port(), &|text| text);
    let told = run(dir.path(), &[]).await;
    told.says("failed", "broker", &["start the broker", "listens"]);
    assert!(told.text.contains("not checked, since what they need failed: subscriptions, hearing"), "{}", told.text);
    told.says("ok", "people", &["Graph knows all 2"]); // the rest is looked at all the same
    write(1883, &|text| text.replace("mqtt://127.0.0.1", "mqtts://no-such-host.invalid"));
    run(dir.path(), &[]).await.says("failed", "broker", &["DNS"]);
    let broker = Broker::start(0).await.unwrap();
    write(broker.port(), &|text| text.replace("mqtt://", "mqtts://"));
    run(dir.path(), &[]).await.says("failed", "broker", &["a port with TLS"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_grants_everything_and_delivers_nothing_is_told() {
    let broker = Mosquitto::with("doctor silent ACL", |port, dir| {
        std::fs::write(dir.join("acl"), "topic readwrite nothing/at/all\n").unwrap();
        crate::mqtt::readable(&dir.join("acl"));
        format!("listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {}/acl\n", dir.display())
    })
    .await;
    let Some(broker) = broker else { return };
    let sandbox = sandbox(false).await;
    let told = doctor_of(&broker, &sandbox, PEOPLE, &[]).await;
    told.says("ok", "subscriptions", &["all granted"]);
    told.says("warning", "hearing", &["does not hear what it publishes to itself", "read and write canary/#"]);
    assert_eq!(told.code, Some(0), "a warning is no failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_with_tls_is_told_with_its_certificate() {
    let now = presence_bridge::clock::Clock::live().real_wall().as_millis();
    let then = jiff::Timestamp::from_millisecond(now).unwrap() + std::time::Duration::from_secs(3 * 86_400);
    let day = jiff::tz::Offset::UTC.to_datetime(then).date();
    let (year, month, day) = (day.year(), day.month(), day.day());
    let soon = move |leaf: &mut rcgen::CertificateParams| {
        leaf.not_after = rcgen::date_time_ymd(year.into(), u8::try_from(month).unwrap(), u8::try_from(day).unwrap());
    };
    let Some(broker) = crate::mqtt::reach::with_tls_as("doctor TLS", "127.0.0.1", "", soon).await else { return };
    let graph = graph().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "sandbox-secret").unwrap();
    let ca_file = broker.dir.path().join("ca.pem").display().to_string();
    let text = configuration(broker.port, &graph.url, PEOPLE)
        .replace("mqtt://", "mqtts://")
        .replace("[mqtt]\n", &format!("[mqtt]\nca_file = \"{ca_file}\"\n"));
    std::fs::write(dir.path().join("bridge.toml"), text).unwrap();
    let told = run(dir.path(), &[]).await;
    told.says("ok", "broker", &["MQTT 5 over TLS"]);
    told.says("warning", "certificate", &["for 127.0.0.1", "2 days left", "TLSv1_", "renew"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_mosquitto_refuses_is_told() {
    let broker = Mosquitto::with("doctor login", |port, dir| {
        std::fs::write(dir.join("passwords"), "").unwrap();
        let file = dir.join("passwords").display().to_string();
        format!("listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {file}\n")
    })
    .await;
    let Some(broker) = broker else { return };
    let graph = graph().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "sandbox-secret").unwrap();
    std::fs::write(dir.path().join("bridge.toml"), configuration(broker.port, &graph.url, PEOPLE)).unwrap();
    run(dir.path(), &[]).await.says("failed", "broker", &["check username and password"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_is_told() {
    let graph = graph().await;
    graph.state().ahead = 90;
    doctor(&graph, &[]).await.says("warning", "clock", &["s behind Microsoft's", "timedatectl"]);
    graph.state().ahead = -3_600;
    let told = doctor(&graph, &[]).await;
    told.says("failed", "clock", &["ahead of Microsoft's", "refused as expired or not yet valid", "timedatectl"]);
    assert_eq!(told.code, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_tenant_or_for_another_cloud_is_told() {
    let graph = graph().await;
    graph.state().claims["tid"] = json!(BOB);
    graph.state().claims["aud"] = json!("https://management.azure.com/");
    let told = doctor(&graph, &[]).await;
    told.says("failed", "tenant", &[BOB, TENANT, "tenant_id"]);
    told.says("failed", "audience", &["management.azure.com", "cloud"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graph_that_cannot_be_reached_or_fails_is_told_with_the_ids_of_the_request() {
    let graph = graph().await;
    let error = json!({ "error": { "code": "serviceNotAvailable", "message": "The service is unavailable." } });
    graph.state().next.push((500, error));
    let told = doctor(&graph, &[]).await;
    told.says("failed", "people", &["serviceNotAvailable", "request-id request-1", "client-request-id ", "support"]);
    assert_eq!(told.code, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_names_are_tried_before_the_bridge_has_to() {
    let graph = graph().await;
    let more = "[people]\nresolve_names = true\n[users]\nalice = \"alice@example.com\"\nbob = \"22222222-2222-4222-8222-222222222222\"\n";
    doctor_with(&graph, more, &[]).await.says("warning", "names", &["alice@example.com", "correct the name"]);
    graph.state().no_lookups = true;
    let told = doctor_with(&graph, more, &[]).await;
    told.says("failed", "names", &["Authorization_RequestDenied", "User.Read.All", "request-id"]);
    graph.state().no_lookups = false;
    graph.state().users.insert("alice@example.com".to_owned(), ALICE.to_owned());
    doctor_with(&graph, more, &[]).await.says("ok", "names", &["1 user names"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u01_a_missing_permission_is_named_where_graph_says_403_and_nothing_more() {
    let graph = graph().await;
    graph.state().claims["roles"] = json!(["User.Read.All"]);
    let told = doctor(&graph, &["--probe", "alice"]).await;
    let parts = ["lacks Presence.ReadWrite.All", "403", "User.Read.All", "admin consent", "application permission"];
    told.says("failed", "permissions", &parts);
    told.says(
        "failed",
        "probe",
        &["403 Forbidden", "lacks Presence.ReadWrite.All", "admin consent", "request-id request-"],
    );
    assert_eq!(told.code, Some(1));
}

#[test]
fn u02_a_session_id_cannot_be_chosen() {
    let text = configuration(1883, "http://127.0.0.1:1", PEOPLE);
    let text = text.replace("[graph]\n", "[graph]\nsession_id = \"7c7b1f4e-0000-4000-8000-000000000009\"\n");
    let shown = Config::parse_trusting(&text, "bridge.toml", Path::new(".")).unwrap_err().to_string();
    for part in
        ["graph.session_id", "is not for anybody to choose", "Application (client) ID", "nobody can clear", "remove it"]
    {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
}

#[test]
fn u03_a_duration_that_graph_refuses_is_refused_at_once() {
    for span in ["4m", "5h"] {
        let shown = problems(&format!("{PEOPLE}[presence]\nmax_stale = \"{span}\"\n"));
        assert!(shown.contains(&format!("presence.max_stale = \"{span}\": out of range")), "{shown}");
        assert!(shown.contains("allowed: 5m to 4h") && shown.contains("PT5M to PT4H"), "{shown}");
    }
}

/// What `check` says of a configuration that can be used.
fn checked(more: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "sandbox-secret").unwrap();
    let text = configuration(1883, "http://127.0.0.1:1", &format!("{PEOPLE}{more}"));
    let text = match more.strip_prefix("[signals]\n") {
        Some(signals) => {
            configuration(1883, "http://127.0.0.1:1", PEOPLE).replace("[signals]\n", &format!("[signals]\n{signals}"))
        }
        None => text,
    };
    std::fs::write(dir.path().join("bridge.toml"), text).unwrap();
    let checked = check::check(&dir.path().join("bridge.toml"), Habits::default());
    let checked = checked.unwrap_or_else(|problems| panic!("{problems}"));
    checked.summary + &report("bridge.toml", &checked.warnings, Look::PLAIN)
}

#[test]
fn u04_available_fades_after_five_minutes_whatever_is_asked_for() {
    for more in ["[signals]\ndesk = \"Available/Available\"\n", "[presence]\nwhen_free = \"available\"\n"] {
        let shown = checked(more);
        for part in
            ["fade to Away after five minutes", "whatever its expirationDuration", "sets it again every three minutes"]
        {
            assert!(shown.contains(part), "{part} is missing in\n{shown}");
        }
    }
    assert!(!checked("").contains("fade"), "said where it matters only");
}

#[test]
fn u05_away_is_weaker_than_what_a_teams_client_says() {
    let shown = checked("[signals]\nabsent = \"Away/Away\"\n");
    for part in ["warning[away-is-weak]: signals.absent: shows Away", "while a Teams client", "signed in nowhere"] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u06_what_graph_shows_at_once_teams_may_show_minutes_later() {
    let graph = graph().await;
    let told = doctor(&graph, &["--probe", "alice"]).await;
    told.says(
        "ok",
        "probe",
        &["Graph shows Busy/InACall for alice", "about every four minutes", "no sign that it fails"],
    );
    told.says("ok", "probe", &["cleared, and Graph shows it no more"]);
    assert_eq!(told.code, Some(0), "{}", told.text);
    let writes: Vec<String> = graph.state().calls.iter().filter(|call| call.contains("/presence/")).cloned().collect();
    let expected = ["setPresence", "clearPresence"].map(|call| format!("POST /v1.0/users/{ALICE}/presence/{call}"));
    assert_eq!(writes, expected);
    let told = doctor(&graph, &["--probe", "mallory"]).await;
    told.says("failed", "probe", &["nobody of the name mallory is listed", "[users]"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u07_a_status_chosen_by_hand_wins_and_the_way_to_reset_it_is_told() {
    let graph = graph().await;
    graph.state().no_effect = true;
    graph.state().seen.insert(ALICE.to_owned(), ("DoNotDisturb".to_owned(), "DoNotDisturb".to_owned()));
    let told = doctor(&graph, &["--probe", "alice"]).await;
    told.says(
        "warning",
        "probe",
        &["DoNotDisturb/DoNotDisturb", "chosen by hand in Teams always wins", "Reset status"],
    );
    assert_eq!(told.code, Some(0));
    assert_eq!(graph.calls("clearPresence"), 1, "cleared all the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u08_which_of_the_applications_ids_is_wanted() {
    let graph = graph().await;
    graph.state().claims["appid"] = json!(BOB);
    let told = doctor(&graph, &[]).await;
    told.says("failed", "application", &[BOB, CLIENT, "Application (client) ID", "not its Object ID", "Teams app"]);
    graph.state().refuses = Some(700_016);
    let told = doctor(&graph, &["--probe", "alice"]).await;
    told.says("failed", "token", &["AADSTS700016", "does not know the application", "not its Object ID"]);
    let skipped = "not checked, since what they need failed: permissions, application, people, probe";
    assert!(told.text.contains(skipped), "{}", told.text);
    graph.state().refuses = Some(7_000_215);
    doctor(&graph, &[]).await.says("failed", "token", &["AADSTS7000215", "the secret's value, not its ID"]);
    let sample = include_str!("../config/bridge.toml");
    assert!(sample.contains("also the id of the presence sessions"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u09_a_token_of_somebody_who_is_signed_in_is_told_from_an_applications() {
    let graph = graph().await;
    let claims = json!({ "aud": "https://graph.microsoft.com", "tid": TENANT, "appid": CLIENT, "scp": "Presence.ReadWrite User.Read" });
    graph.state().claims = claims;
    let told = doctor(&graph, &[]).await;
    told.says(
        "failed",
        "permissions",
        &["delegated", "Presence.ReadWrite User.Read", "401", "az login --service-principal"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_does_not_end_what_the_running_bridge_holds() {
    let graph = graph().await;
    let live = Live::start(&graph.url, &format!("{PEOPLE}[devices]\n\"1001\" = \"alice\"\n"), &[]).await;
    live.publish("pbx/1001", "INUSE").await;
    until("alice is set", || live.topic("people/alice").is_some_and(|text| text.contains(r#""held":"Busy"#))).await;
    let told = run(&live.dir, &["--probe", "Alice"]).await;
    told.says("failed", "probe", &["keeps Alice at Busy/InACall", "was not made", "whom no device concerns"]);
    assert_eq!((graph.calls("setPresence"), graph.calls("clearPresence")), (1, 0), "the bridge's own call");
    run(&live.dir, &["--probe", "bob"]).await.says("ok", "probe", &["Graph shows Busy/InACall for bob"]);
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u10_a_call_that_is_taken_and_changes_nothing_is_told() {
    let graph = graph().await;
    graph.state().no_effect = true;
    graph.state().seen.insert(ALICE.to_owned(), ("Offline".to_owned(), "Offline".to_owned()));
    let told = doctor(&graph, &["--probe", "alice"]).await;
    told.says("failed", "probe", &["with 200, and nothing changed", "licence for Teams", "open a case"]);
    assert_eq!(told.code, Some(1));
    graph.state().seen.insert(ALICE.to_owned(), ("PresenceUnknown".to_owned(), "PresenceUnknown".to_owned()));
    doctor(&graph, &["--probe", "alice"]).await.says("failed", "probe", &["presence is unknown", "mailbox"]);
}

#[test]
fn u11_a_pair_that_cannot_be_set_is_refused_with_those_that_can() {
    for (pair, near) in [("DoNotDisturb/DoNotDisturb", "DoNotDisturb/Presenting"), ("Busy/Busy", "Busy/InACall")] {
        let text = configuration(1883, "http://127.0.0.1:1", PEOPLE).replace("Busy/InACall", pair);
        let shown = Config::parse_trusting(&text, "bridge.toml", Path::new(".")).unwrap_err().to_string();
        for part in [pair, "Available/Available", "Busy/InAConferenceCall", "Away/Away", &format!("nearest: {near}")] {
            assert!(shown.contains(part), "{part} is missing in\n{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u12_a_user_name_in_the_place_of_an_object_id_is_told_with_the_ways_out() {
    let shown = problems("[users]\nalice = \"alice@example.com\"\n");
    for part in
        ["users.alice", "a user name, not an object id", "az ad user show", "resolve_names = true", "User.Read.All"]
    {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    let graph = graph().await;
    graph.state().seen.remove(ALICE);
    graph.state().seen.insert(BOB.to_owned(), ("presenceUnknown".to_owned(), "presenceUnknown".to_owned()));
    let told = doctor(&graph, &[]).await;
    told.says("failed", "people", &["knows nothing of alice", ALICE, "not a user name"]);
    told.says("warning", "people", &["PresenceUnknown of bob", "a user name or a mail address"]);
}
