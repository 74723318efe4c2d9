//! The real program with each credential; what it logs at TRACE; a burst.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use presence_bridge::admin::{Address, ask};
use presence_bridge::clock::Clock;
use presence_bridge::presence::Mono;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tempfile::TempDir;

use crate::binary::{Bridge, CANARY, configuration, retained};
use crate::support::entra::{Entra, IDENTITY, token};
use crate::support::h2::Server;
use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::{server, until};

const KEY: &str = include_str!("../fixtures/rsa_a.pem");
const ALICE_IS_CALLED: (&str, &str) = ("pbx/devstate/PJSIP/1001", "INUSE");

/// The configuration with another credential.
fn with_credential(broker: &Mosquitto, url: &str, lines: &str) -> String {
    configuration(broker.port, url, "level = \"trace\"").replace("client_secret_file = \"secret\"", lines)
}

/// A directory with a certificate, a federated token, and an `az` that knows `token` once.
fn files(token: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let certificate =
        CertificateParams::new(Vec::new()).unwrap().self_signed(&KeyPair::from_pem(KEY).unwrap()).unwrap();
    let broken = KEY.replace("-----BEGIN PRIVATE KEY-----\nMII", "-----BEGIN PRIVATE KEY-----\nMXX");
    let az = format!(
        "#!/bin/sh\n[ -e {0}/asked ] && echo \"ERROR: refused {token}. Please run 'az login'\" >&2 && exit 1\n\
         echo \"$*\" > {0}/asked\n\
         echo '{{\"accessToken\":\"{token}\",\"expires_on\":4000000000,\"tokenType\":\"Bearer\",\"tenant\":\"t\"}}'\n",
        dir.path().display()
    );
    for (name, text) in [
        ("secret", format!("{CANARY}\n")),
        ("bridge.pem", format!("{}{KEY}", certificate.pem())),
        ("broken.pem", format!("{}{broken}", certificate.pem())),
        ("federated", "federated-canary".to_owned()),
        ("az", az),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    std::fs::set_permissions(dir.path().join("az"), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Repeats all that it was told: to a second request for a token, and to each call.
async fn parrot() -> String {
    let asked = Arc::new(AtomicUsize::new(0));
    server(move |request| {
        let asked = Arc::clone(&asked);
        async move {
            let (head, body) = request.into_parts();
            let body = String::from_utf8(axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
            let text =
                |name: &str| head.headers.get(name).and_then(|text| text.to_str().ok()).unwrap_or("none").to_owned();
            if head.uri.path().contains("/presence/") {
                let bearer = text("authorization");
                let error = json!({ "error": { "code": bearer, "message": format!("{:?} {body}", head.headers) } });
                let headers = [("request-id", bearer.clone()), ("x-ms-ags-diagnostic", bearer)];
                return (StatusCode::FORBIDDEN, headers, error.to_string()).into_response();
            }
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                return json_answer(json!({
                    "token_type": "Bearer", "expires_in": 3599, "expires_on": "4000000000", "resource": "graph",
                    "access_token": "opaque-canary",
                }));
            }
            let repeated = format!("AADSTS700027: {:?} {body}\r\nTrace ID: 1", head.headers);
            let error = json!({
                "error": text("x-identity-header"), "trace_id": text("x-identity-header"), "error_codes": [700_027],
                "error_description": repeated,
            });
            (StatusCode::UNAUTHORIZED, error.to_string()).into_response()
        }
    })
    .await
}

fn json_answer(body: serde_json::Value) -> Response {
    ([("content-type", "application/json")], body.to_string()).into_response()
}

#[tokio::test]
async fn no_kind_of_credential_appears_in_any_output_at_trace() {
    let Some(broker) = Mosquitto::start("graph canary", "").await else { return };
    let jwt = token(Duration::from_secs(3599), 1, &json!({ "roles": [] }));
    for (lines, told) in [
        ("client_secret_file = \"secret\"", "AADSTS700027"),
        ("credential = \"certificate\"\ncertificate_file = \"bridge.pem\"", "AADSTS700027"),
        ("credential = \"certificate\"\ncertificate_file = \"broken.pem\"", "the private key of"),
        ("credential = \"workload-identity\"\nfederated_token_file = \"federated\"", "AADSTS700027"),
        ("credential = \"managed-identity\"", "the machine's identity service refused"),
        ("credential = \"azure-cli\"", "Please run 'az login'"),
    ] {
        let (url, dir) = (parrot().await, files(&jwt));
        let identity = format!("{url}/msi/token");
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        let mut environment = vec![("PATH", path.as_str())];
        if lines.contains("managed") {
            environment.extend([("IDENTITY_ENDPOINT", identity.as_str()), ("IDENTITY_HEADER", "header-canary")]);
        }
        let bridge = Bridge::with(dir, &with_credential(&broker, &url, lines), &[], &environment).await;
        broker.publish(ALICE_IS_CALLED.0, ALICE_IS_CALLED.1, false);
        until("why there is no token", || bridge.log().contains(told)).await;
        if !lines.contains("broken") {
            until("a refused call", || bridge.log().contains("A call to Graph failed.")).await;
        }
        let (_, log) = bridge.terminate().await;
        let key = KEY.lines().nth(1).unwrap();
        for secret in
            [CANARY, "opaque-canary", "federated-canary", "header-canary", "eyJ", &key[8..], "client_assertion="]
        {
            assert!(!log.contains(secret), "{lines}: {secret} in the log:\n{log}");
        }
        broker.publish(ALICE_IS_CALLED.0, "NOT_INUSE", false);
    }
}

#[tokio::test]
async fn a_proxys_password_in_the_environment_or_a_file_appears_in_no_output_at_trace() {
    let Some(broker) = Mosquitto::start("graph proxy canary", "").await else { return };
    let proxy = server(|_| async { (StatusCode::PROXY_AUTHENTICATION_REQUIRED, "proxy-canary").into_response() }).await;
    let with_login = proxy.replace("http://", "http://bridge:proxy-canary@");
    for (lines, environment) in [
        (String::new(), vec![("HTTPS_PROXY", with_login.as_str())]),
        (format!("proxy = \"{proxy}\"\nproxy_username = \"bridge\"\nproxy_password_file = \"proxy\""), vec![]),
    ] {
        let dir = files("");
        std::fs::write(dir.path().join("proxy"), "proxy-canary").unwrap();
        let lines = format!("client_secret_file = \"secret\"\n{lines}");
        let text = with_credential(&broker, "https://graph.invalid", &lines);
        let bridge = Bridge::with(dir, &text, &[], &environment).await;
        until("why there is no token", || bridge.log().contains("No token for Graph")).await;
        let (_, log) = bridge.terminate().await;
        assert!(log.contains("proxy"), "the message names the proxy:\n{log}");
        assert!(!log.contains("proxy-canary") && !log.contains(CANARY), "{log}");
    }
}

#[tokio::test]
async fn app_services_identity_is_asked_directly_whatever_proxy_the_environment_names() {
    let Some(broker) = Mosquitto::start("graph app service", "").await else { return };
    let entra = Entra::start().await;
    let (identity, closed) = (format!("{}/msi/token", entra.url), format!("http://127.0.0.1:{}", free_port()));
    let text = with_credential(&broker, &entra.url, "credential = \"managed-identity\"")
        .replace(&format!("login_url = \"{}\"", entra.url), "login_url = \"https://login.invalid\"")
        .replace("client_id = \"bbbbbbbb-0000-4000-8000-000000000002\"\n", "");
    let environment = [
        ("IDENTITY_ENDPOINT", identity.as_str()),
        ("IDENTITY_HEADER", "app-service-header"),
        ("HTTP_PROXY", closed.as_str()),
        ("http_proxy", closed.as_str()),
        ("ALL_PROXY", closed.as_str()),
    ];
    let bridge = Bridge::with(files(""), &text, &[], &environment).await;
    broker.publish(ALICE_IS_CALLED.0, ALICE_IS_CALLED.1, false);
    until("a call", || !entra.book().calls.is_empty()).await;
    let shown = &entra.shown()[0];
    assert_eq!(
        (shown.path.as_str(), shown.headers["x-identity-header"].as_str()),
        ("/msi/token", "app-service-header")
    );
    assert_eq!(shown.fields["api-version"], "2019-08-01");
    assert_eq!(entra.book().calls[0]["sessionId"], IDENTITY);
    until("both names of the request", || bridge.log().contains("Accepted by Graph.")).await;
    let (_, log) = bridge.terminate().await;
    let line = log.lines().find(|line| line.contains("Accepted by Graph.")).unwrap();
    assert!(line.contains("client_request_id=") && line.contains("request_id=\"id-1\""), "{line}");
    assert!(!log.contains("app-service-header"));
}

#[tokio::test]
async fn azure_cli_gives_the_token_of_a_service_principal_and_a_users_is_explained() {
    let Some(broker) = Mosquitto::start("graph azure cli", "").await else { return };
    let user = json!({ "roles": null, "scp": "User.Read", "appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46" });
    for (claims, told) in [(serde_json::Value::Null, "Presence set."), (user, "az login --service-principal")] {
        let entra = Entra::start().await;
        let dir = files(&token(Duration::from_secs(3599), 1, &claims));
        let (path, asked) = (format!("{}:/usr/bin:/bin", dir.path().display()), dir.path().join("asked"));
        let lines = "credential = \"azure-cli\"";
        let text = with_credential(&broker, &entra.url, lines)
            .replace("client_id = \"bbbbbbbb-0000-4000-8000-000000000002\"\n", "");
        let bridge = Bridge::with(dir, &text, &[], &[("PATH", path.as_str())]).await;
        broker.publish(ALICE_IS_CALLED.0, ALICE_IS_CALLED.1, false);
        until(told, || bridge.log().contains(told)).await;
        let said = std::fs::read_to_string(&asked).unwrap();
        assert_eq!(
            said.trim(),
            "account get-access-token -o json --scope https://graph.microsoft.com/.default \
             --tenant aaaaaaaa-0000-4000-8000-000000000001"
        );
        if claims.is_null() {
            assert_eq!(entra.book().calls[0]["sessionId"], IDENTITY);
        }
        broker.publish(ALICE_IS_CALLED.0, "NOT_INUSE", false);
    }
}

#[tokio::test]
async fn a_secret_of_systemds_credential_directory_and_one_of_the_environment_are_found() {
    let Some(broker) = Mosquitto::start("graph systemd", "").await else { return };
    for (lines, variable) in [
        ("client_secret_file = \"$CREDENTIALS_DIRECTORY/graph\"", "CREDENTIALS_DIRECTORY"),
        ("client_secret_env = \"GRAPH_SECRET\"", "GRAPH_SECRET"),
    ] {
        let entra = Entra::start().await;
        let systemd = tempfile::tempdir().unwrap();
        std::fs::write(systemd.path().join("graph"), "from-systemd").unwrap();
        let directory = systemd.path().to_str().unwrap();
        let value = if variable == "GRAPH_SECRET" { "from-environment" } else { directory };
        let text = with_credential(&broker, &entra.url, lines);
        let _bridge = Bridge::with(files(""), &text, &[], &[(variable, value)]).await;
        until("the secret is shown", || !entra.shown().is_empty()).await;
        let expected = if variable == "GRAPH_SECRET" { "from-environment" } else { "from-systemd" };
        assert_eq!(entra.shown()[0].fields["client_secret"], expected);
    }
}

#[tokio::test]
async fn kubernetes_says_who_we_are_in_the_environment() {
    let Some(broker) = Mosquitto::start("graph kubernetes", "").await else { return };
    let (entra, dir) = (Entra::start().await, files(""));
    let file = dir.path().join("federated");
    let text = with_credential(&broker, &entra.url, "credential = \"workload-identity\"")
        .replace("tenant_id = \"aaaaaaaa-0000-4000-8000-000000000001\"\n", "")
        .replace("client_id = \"bbbbbbbb-0000-4000-8000-000000000002\"\n", "");
    let environment = [
        ("AZURE_TENANT_ID", "aaaaaaaa-0000-4000-8000-000000000001"),
        ("AZURE_CLIENT_ID", "dddddddd-0000-4000-8000-000000000009"),
        ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
        ("AZURE_AUTHORITY_HOST", "https://login.invalid"), // not ours to follow: the configuration names the endpoints
    ];
    let _bridge = Bridge::with(dir, &text, &[], &environment).await;
    until("the token is shown", || !entra.shown().is_empty()).await;
    let shown = &entra.shown()[0];
    assert_eq!(shown.path, "/aaaaaaaa-0000-4000-8000-000000000001/oauth2/v2.0/token");
    assert_eq!(shown.fields["client_id"], "dddddddd-0000-4000-8000-000000000009");
    assert_eq!(shown.fields["client_assertion"], "federated-canary");
}

#[tokio::test]
async fn no_token_is_an_alarm_in_the_retained_status() {
    let Some(broker) = Mosquitto::start("graph alarm", "").await else { return };
    let entra = Entra::start().await;
    entra.refuse(401, &crate::support::entra::aadsts(7_000_215, "Invalid client secret."));
    let text = with_credential(&broker, &entra.url, "client_secret_file = \"secret\"");
    let bridge = Bridge::with(files(""), &text, &[], &[]).await;
    until("the alarm", || bridge.log().contains("alarm=\"no_token\"")).await;
    until("it is told", || {
        let status = retained(&broker, "presence-bridge/status/bridge-under-test");
        status.contains("no_token") && status.contains("AADSTS7000215") && status.contains("not its ID")
    })
    .await;
}

#[tokio::test]
async fn with_a_token_that_is_nobodys_the_bridge_is_not_ready_and_says_what_to_give() {
    let Some(broker) = Mosquitto::start("graph no client id", "").await else { return };
    let (url, dir) = (parrot().await, files(""));
    let text = with_credential(&broker, &url, "credential = \"managed-identity\"")
        .replace("client_id = \"bbbbbbbb-0000-4000-8000-000000000002\"\n", "")
        .replace("socket = \"off\"", "socket = \"admin.sock\"");
    let (socket, identity) = (Address::Unix(dir.path().join("admin.sock")), format!("{url}/msi/token"));
    let environment = [("IDENTITY_ENDPOINT", identity.as_str()), ("IDENTITY_HEADER", "header")];
    let bridge = Bridge::with(dir, &text, &[], &environment).await;
    until("the alarm", || bridge.log().contains("alarm=\"no_client_id\"")).await;
    let (code, said) = ask(&socket, "/ready").await.unwrap();
    assert_eq!(code, 503);
    assert!(said.contains("give client_id in [graph]") && said.contains("does not say whose it is"), "{said}");
    until("it is told", || retained(&broker, "presence-bridge/status/bridge-under-test").contains("no_client_id"))
        .await;
}

/// What `status` says of the bridge in this directory.
fn status(dir: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_presence-bridge"));
    let output = command.args(["status", "-c"]).arg(dir.join("bridge.toml")).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[tokio::test]
async fn status_says_when_the_secret_ends() {
    let Some(broker) = Mosquitto::start("graph secret ends", "").await else { return };
    for (days, said) in [(40, "login    client-secret, good until"), (12, "client-secret, ENDS IN 12 DAYS")] {
        let (entra, dir) = (Entra::start().await, files(""));
        let day = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        let day = day.strftime("%Y-%m-%d");
        let lines = format!("client_secret_file = \"secret\"\nclient_secret_expires = \"{day}\"");
        let text = with_credential(&broker, &entra.url, &lines).replace("socket = \"off\"", "socket = \"admin.sock\"");
        let path = dir.path().to_owned();
        let _bridge = Bridge::with(dir, &text, &[], &[]).await;
        until(said, || status(&path).contains(said)).await;
        assert_eq!(status(&path).contains("make a new one"), days == 12, "{}", status(&path));
    }
}

const BURST: &str = r#"
[presence]
rate = 150.0
[[rule]]
topic = "burst"
format = "json"
subject = "/who"
signal = "call"
value = "/state"
on = ["busy"]
off = ["idle"]
"#;

/// 1,000 people are on the phone at once. What the budget lets out, Graph gets, in order and over few connections.
#[tokio::test]
async fn a_burst_of_1000_due_calls_keeps_the_budget_and_uses_few_connections() {
    const PEOPLE: usize = 1_000;
    const WINDOW: Duration = Duration::from_secs(2);
    const SPREAD: Duration = Duration::from_millis(500);
    const MOST: usize = 60 + 150 * 5 / 2; // burst + rate · (window + spread)
    let Some(broker) = Mosquitto::start("graph burst", "").await else { return };
    let arrivals = Arc::new(Mutex::new(Vec::<Mono>::new()));
    let server = Server::start(100, Duration::from_millis(50)).await;
    let kept = Arc::clone(&arrivals);
    server.on_call(move || kept.lock().unwrap_or_else(PoisonError::into_inner).push(Clock::live().now().mono));
    let dir = files("");
    std::fs::copy(server.ca.path(), dir.path().join("ca.pem")).unwrap();
    let lines = "client_secret_file = \"secret\"\nca_file = \"ca.pem\"";
    let mut text = with_credential(&broker, &server.url(), lines).replace("\"trace\"", "\"info\"");
    text += BURST;
    let mut users = String::from("[users]\n");
    for n in 0..PEOPLE {
        writeln!(users, "p{n} = \"33333333-3333-4333-8333-{n:012x}\"").unwrap();
    }
    text = text.replace("[users]\n", &users);
    let bridge = Bridge::with(dir, &text, &[], &[]).await;
    let mut lines = String::new();
    for n in 0..PEOPLE {
        writeln!(lines, "{{\"who\":\"p{n}\",\"state\":\"busy\"}}").unwrap();
    }
    broker.publish_lines("burst", &lines);
    until("everybody is called for", || server.calls() >= PEOPLE).await;
    let times = arrivals.lock().unwrap().clone();
    assert_eq!(times.len(), PEOPLE, "one call each");
    // The bucket lets out 60 at once and then its rate; on the way calls may be held up and bunch, by SPREAD at most.
    let within = |from: &Mono| times.iter().filter(|at| **at >= *from && at.since(*from) <= WINDOW).count();
    let most = times.iter().map(within).max().unwrap();
    let lasted = times[PEOPLE - 1].since(times[0]);
    println!("{most} calls in the busiest {WINDOW:?}, {lasted:?} for all, {} connections", server.connections());
    assert!(most <= MOST, "{most} calls in {WINDOW:?}");
    assert!(lasted >= Duration::from_millis(6_266) - SPREAD, "940 calls at 150/s, {lasted:?}");
    assert!(server.connections() <= 10, "{} connections", server.connections());
    assert!(!bridge.log().contains("A call to Graph failed."), "{}", bridge.log());
}
