//! Each kind of credential: what it shows for a token, how it is rotated, when it ends.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use presence_bridge::clock::Clock;
use presence_bridge::graph::{Body, Config, Graph, Proxy, expiry_stage};
use presence_bridge::presence::{Outcome, Timestamp};
use presence_bridge::secret::Credential;
use presence_bridge::telemetry::Telemetry;
use rcgen::{CertificateParams, KeyPair};
use sha2::{Digest, Sha256};

use super::{SET, at, call};
use crate::support::entra::{Entra, IDENTITY, TENANT, aadsts, jwt, now};
use crate::support::until;

const DAY: u64 = 24 * 3600;
const CLIENT: &str = "bbbbbbbb-0000-4000-8000-000000000002";
const KEY_A: &str = include_str!("../fixtures/rsa_a.pem");
const KEY_B: &str = include_str!("../fixtures/rsa_b.pem");

fn config(entra: &Entra, credential: Credential) -> Config {
    Config { credential, ..at(&entra.url) }
}

fn start(config: Config) -> (Graph, Telemetry) {
    let telemetry = Telemetry::new(Clock::live());
    (Graph::start(config, Clock::live(), telemetry.clone()).unwrap(), telemetry)
}

/// A certificate for `key` that ends in so many seconds: PEM and DER.
fn certificate(key: &str, ends_in: u64) -> (String, Vec<u8>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now() + ends_in);
    let certificate = params.self_signed(&KeyPair::from_pem(key).unwrap()).unwrap();
    (certificate.pem(), certificate.der().to_vec())
}

/// As an administrator would put it there: at once, in one file.
fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

fn one_file(path: PathBuf) -> Credential {
    Credential::Certificate { certificate: path.clone(), key: path }
}

/// Whether `assertion` was signed with PS256 by this key.
fn is_signed_by(assertion: &str, key: &str) -> bool {
    let (signed, _) = assertion.rsplit_once('.').unwrap();
    let (_, _, signature) = jwt(assertion);
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let (_, fitting) =
        algorithms.mapping.iter().find(|(scheme, _)| *scheme == rustls::SignatureScheme::RSA_PSS_SHA256).unwrap();
    let public = KeyPair::from_pem(key).unwrap();
    fitting.iter().any(|check| check.verify_signature(public.public_key_raw(), signed.as_bytes(), &signature).is_ok())
}

#[tokio::test]
async fn a_certificate_signs_an_assertion_as_entra_wants_it() {
    let (entra, dir) = (Entra::start().await, tempfile::tempdir().unwrap());
    let (pem, der) = certificate(KEY_A, 400 * DAY);
    let path = dir.path().join("bridge.pem");
    write(&path, &format!("{pem}{KEY_A}"));
    let (graph, telemetry) = start(config(&entra, one_file(path)));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    let shown = &entra.shown()[0];
    assert_eq!(shown.path, format!("/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(shown.fields["grant_type"], "client_credentials");
    assert_eq!(shown.fields["scope"], "https://graph.microsoft.com/.default");
    assert_eq!(shown.fields["client_id"], CLIENT);
    assert_eq!(shown.fields["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    assert!(!shown.fields.contains_key("client_secret"));
    let (header, claims, _) = jwt(&shown.fields["client_assertion"]);
    assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("PS256"), Some("JWT")));
    assert_eq!(header["x5t#S256"], URL_SAFE_NO_PAD.encode(Sha256::digest(&der)));
    assert_eq!(claims["aud"], format!("{}/{TENANT}/oauth2/v2.0/token", entra.url));
    assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some(CLIENT), Some(CLIENT)));
    let (from, until) = (claims["nbf"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    assert!(from <= now() && until > now() && until - from <= 600, "{claims}");
    assert!(is_signed_by(&shown.fields["client_assertion"], KEY_A));
    assert!(!is_signed_by(&shown.fields["client_assertion"], KEY_B));
    assert!(telemetry.totals().iter().all(|(event, ..)| *event != "credential"), "400 days are enough");
}

#[tokio::test]
async fn a_certificate_rotated_on_disk_signs_the_next_assertion() {
    let (entra, dir) = (Entra::start().await, tempfile::tempdir().unwrap());
    entra.book().life = Duration::from_secs(2);
    let (chain, key) = (dir.path().join("bridge.crt"), dir.path().join("bridge.key"));
    let (old, new) = (certificate(KEY_A, 20 * DAY), certificate(KEY_B, DAY / 2));
    write(&chain, &old.0);
    write(&key, KEY_A);
    let credential = Credential::Certificate { certificate: chain.clone(), key: key.clone() };
    let (graph, telemetry) = start(config(&entra, credential));
    let alarms = graph.alarms();
    until("the old one", || !entra.shown().is_empty()).await;
    assert_eq!(telemetry.total("credential", "ends_in_30_days"), 1);
    assert!(alarms.borrow().is_empty(), "a month is time enough");
    let ends_in = || {
        let (kind, ends) = graph.credential_ends().unwrap();
        (kind, ends.since(Clock::live().real_wall()).as_secs() / DAY)
    };
    assert_eq!(ends_in(), ("certificate", 19));
    write(&key, KEY_B);
    write(&chain, &new.0);
    let signed = |key| entra.shown().iter().any(|shown| is_signed_by(&shown.fields["client_assertion"], key));
    until("the new one", || signed(KEY_B)).await;
    let names: HashSet<String> =
        entra.shown().iter().map(|shown| jwt(&shown.fields["client_assertion"]).1["jti"].to_string()).collect();
    assert_eq!(names.len(), entra.shown().len(), "each assertion has its own name");
    // The new one is no good choice: it ends within a day. The third is.
    until("an alarm", || alarms.borrow().contains_key("credential_ends")).await;
    write(&key, KEY_A);
    write(&chain, &certificate(KEY_A, 400 * DAY).0);
    until("it ends", || !alarms.borrow().contains_key("credential_ends")).await;
    assert_eq!(ends_in(), ("certificate", 399));
    assert_eq!(telemetry.total("credential", "ends_in_a_day"), 1);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_in_words() {
    let ec = KeyPair::generate().unwrap();
    let ec_certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&ec).unwrap();
    let (good, _) = certificate(KEY_A, 400 * DAY);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (text, said) in [
        (KEY_A.to_owned(), "holds no certificate"),
        (good.clone(), "the private key of"),
        (format!("{good}{encrypted}"), "is encrypted: openssl pkey"),
        (format!("{good}{KEY_B}"), "does not belong to the first certificate"),
        (format!("{}{}", ec_certificate.pem(), ec.serialize_pem()), "not RSA"),
        ("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_owned(), "cannot be read"),
    ] {
        let (entra, dir) = (Entra::start().await, tempfile::tempdir().unwrap());
        let path = dir.path().join("bridge.pem");
        write(&path, &text);
        let (graph, _) = start(config(&entra, one_file(path)));
        let why = graph.claims().await.unwrap_err();
        assert!(why.error.contains(said), "{said}: {}", why.error);
        assert!(why.remedy.contains("certificate_file"), "{}", why.remedy);
        assert!(entra.shown().is_empty(), "nobody was asked");
    }
}

#[test]
fn ends_are_told_30_7_and_1_days_before() {
    let ends = Timestamp::from_millis(1_800_000_000_000);
    for (seconds_left, stage) in [
        (31 * DAY, None),
        (30 * DAY, Some(30)),
        (7 * DAY + 1, Some(30)),
        (7 * DAY, Some(7)),
        (DAY + 1, Some(7)),
        (DAY, Some(1)),
        (1, Some(1)),
        (0, Some(0)),
    ] {
        let now = Timestamp::from_millis(ends.as_millis() - i64::try_from(seconds_left * 1000).unwrap());
        assert_eq!(expiry_stage(ends, now), stage, "{seconds_left} s before");
    }
    assert_eq!(expiry_stage(ends, Timestamp::MAX), Some(0));
}

#[tokio::test]
async fn fault_41_an_expired_secret_names_number_date_and_remedy() {
    let entra = Entra::start().await;
    entra.refuse(401, &aadsts(7_000_222, "The provided client secret keys are expired."));
    let ended = Timestamp::from_millis(1_790_000_000_000);
    let (graph, telemetry) = start(Config { secret_expires: Some(ended), ..at(&entra.url) });
    let why = graph.claims().await.unwrap_err();
    assert!(why.permanent && why.code == Some(7_000_222), "{why:?}");
    assert!(why.error.contains("AADSTS7000222: the client secret has expired"), "{}", why.error);
    assert!(why.error.contains("2026-09-21") && why.error.contains("dddddddd"), "{}", why.error);
    assert!(why.remedy.contains("create a new secret"), "{}", why.remedy);
    assert_eq!(telemetry.total("credential", "ended"), 1);
    let alarms = graph.alarms().borrow().clone();
    assert_eq!(alarms.keys().copied().collect::<Vec<_>>(), ["credential_ends", "no_token"]);
}

#[tokio::test]
async fn a_federated_token_is_read_again_for_every_request() {
    let (entra, dir) = (Entra::start().await, tempfile::tempdir().unwrap());
    entra.book().life = Duration::from_secs(2);
    let token_file = dir.path().join("azure-identity-token");
    write(&token_file, "federated-1");
    let (graph, _) = start(config(&entra, Credential::WorkloadIdentity { token_file: token_file.clone() }));
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    write(&token_file, "federated-2");
    until("the next request", || entra.shown().len() > 1).await;
    let shown: Vec<String> = entra.shown().iter().map(|shown| shown.fields["client_assertion"].clone()).collect();
    assert_eq!(shown[..2], ["federated-1", "federated-2"]);
    assert_eq!(entra.shown()[0].fields["client_id"], CLIENT);
    // The session id is that of the token's application, wherever it comes from.
    assert_eq!(entra.book().calls[0]["sessionId"], IDENTITY);
    let missing = Credential::WorkloadIdentity { token_file: dir.path().join("missing") };
    let why = start(config(&entra, missing)).0.claims().await.unwrap_err();
    assert!(why.error.contains("missing") && why.remedy.contains("azure.workload.identity/use"), "{why:?}");
}

#[tokio::test]
async fn the_identity_of_a_machine_needs_no_client_id() {
    for client_id in [None, Some(IDENTITY)] {
        let entra = Entra::start().await;
        let given = client_id.map(|id| id.parse().unwrap());
        let (graph, _) = start(Config { client_id: given, ..config(&entra, Credential::ManagedIdentity) });
        assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
        assert_eq!(graph.send(call(Body::Clear)).await.outcome, Outcome::Accepted);
        let shown = &entra.shown()[0];
        assert_eq!(shown.path, "/metadata/identity/oauth2/token");
        assert_eq!(shown.headers["metadata"], "true");
        assert_eq!(shown.fields["resource"], "https://graph.microsoft.com");
        assert_eq!(shown.fields.get("client_id").map(String::as_str), client_id);
        assert!(entra.book().calls.iter().all(|call| call["sessionId"] == IDENTITY));
        assert_eq!(entra.shown().len(), 1);
    }
}

#[tokio::test]
async fn a_metadata_service_that_refuses_is_asked_once_an_attempt() {
    for (status, permanent) in [(400, true), (403, true), (404, false), (410, false), (429, false), (500, false)] {
        let entra = Entra::start().await;
        entra.refuse(status, r#"{"error":"invalid_request","error_description":"Identity not found"}"#);
        let (graph, telemetry) = start(Config { client_id: None, ..config(&entra, Credential::ManagedIdentity) });
        let why = graph.claims().await.unwrap_err();
        assert_eq!(why.permanent, permanent, "{status}: {why:?}");
        assert!(why.error.starts_with(&format!("{status} invalid_request")), "{}", why.error);
        assert_eq!(entra.shown().len(), 1, "{status}: azure_identity alone would ask seven times");
        assert_eq!(telemetry.total("token", if permanent { "refused" } else { "failed" }), 1);
        assert_eq!(why.remedy.contains("assign the identity"), permanent, "{}", why.remedy);
    }
}

#[tokio::test]
async fn a_token_that_has_ended_already_is_blamed_on_the_clock() {
    let entra = Entra::start().await;
    entra.book().life = Duration::ZERO; // by a clock that is ahead
    let (graph, telemetry) = start(config(&entra, Credential::ManagedIdentity));
    let why = graph.claims().await.unwrap_err();
    assert!(why.error.contains("clock is ahead") && why.remedy.contains("clock") && !why.permanent, "{why:?}");
    assert_eq!(telemetry.total("token", "failed"), 1);
}

#[tokio::test]
async fn an_opaque_token_needs_a_client_id_in_the_configuration() {
    let url = crate::support::server(|request| async move {
        if request.uri().path().starts_with("/metadata") {
            let ends = now() + 3599;
            return super::json(
                200,
                serde_json::json!({
                    "access_token": "opaque", "expires_on": ends.to_string(), "token_type": "Bearer", "resource": "graph",
                }),
            );
        }
        super::json(200, serde_json::json!({}))
    })
    .await;
    let opaque = Config { client_id: None, credential: Credential::ManagedIdentity, proxy: Proxy::Direct, ..at(&url) };
    let (graph, telemetry) = start(opaque.clone());
    let sent = graph.send(call(SET)).await;
    assert_eq!(sent.outcome, Outcome::NotSent);
    assert_eq!(telemetry.total("alarm", "no_client_id"), 1);
    assert!(graph.alarms().borrow()["no_client_id"].remedy.contains("give client_id in [graph]"));
    assert!(sent.failure.unwrap().error.contains("give client_id in [graph]"));
    let known = Config { client_id: at(&url).client_id, ..opaque };
    let (graph, telemetry) = start(known);
    assert_eq!(graph.send(call(SET)).await.outcome, Outcome::Accepted);
    assert_eq!(telemetry.total("alarm", "no_client_id"), 0);
}

#[tokio::test]
async fn each_clouds_token_is_asked_for_its_own_graph() {
    for graph in ["https://graph.microsoft.com", "https://graph.microsoft.us", "https://dod-graph.microsoft.us/"] {
        let entra = Entra::start().await;
        let (graph_of_cloud, _) = start(Config { graph_url: graph.to_owned(), ..at(&entra.url) });
        assert!(graph_of_cloud.claims().await.is_ok());
        assert_eq!(entra.shown()[0].fields["scope"], format!("{}/.default", graph.trim_end_matches('/')));
    }
}
