//! `[graph]` in a configuration: what each kind of credential needs, and what is said where it is missing.

use std::path::Path;

use presence_bridge::config::{Config, ProxySection};
use presence_bridge::secret::Credential;

use crate::support::rig::PEOPLE;

const SECRET: &str = "client_secret_file = \"unused\"";

/// The configuration with these lines in the place of the secret's.
fn with(lines: &str) -> String {
    assert!(PEOPLE.contains(SECRET), "the rig's configuration has another line now");
    PEOPLE.replace(SECRET, lines)
}

fn read(text: &str) -> Config {
    Config::parse_trusting(text, "t.toml", Path::new("/etc/bridge")).unwrap()
}

/// All that is said of it.
fn said(text: &str) -> String {
    Config::parse_trusting(text, "t.toml", Path::new("/etc/bridge")).unwrap_err().to_string()
}

fn without_client_id(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("client_id")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn each_kind_is_chosen_by_name() {
    for (lines, name) in [
        (SECRET, "client-secret"),
        (
            "credential = \"client-secret\"\nclient_secret_file = \"a\"\nclient_secret_expires = \"2027-01-31\"",
            "client-secret",
        ),
        ("credential = \"certificate\"\ncertificate_file = \"bridge.pem\"", "certificate"),
        ("credential = \"workload-identity\"\nfederated_token_file = \"/var/run/token\"", "workload-identity"),
        ("credential = \"managed-identity\"", "managed-identity"),
        ("credential = \"azure-cli\"", "azure-cli"),
    ] {
        let config = read(&with(lines));
        assert_eq!(config.graph.credential.name(), name);
        assert!(config.graph.client_id.is_some());
        let needed = !matches!(config.graph.credential, Credential::ManagedIdentity | Credential::AzureCli);
        let bare = Config::parse_trusting(&without_client_id(&with(lines)), "t.toml", Path::new("/"));
        assert_eq!(bare.is_err(), needed, "{name} without client_id");
    }
    let Credential::Certificate { certificate, key } =
        read(&with("credential = \"certificate\"\ncertificate_file = \"b.crt\"\ncertificate_key_file = \"b.key\""))
            .graph
            .credential
    else {
        panic!("a certificate")
    };
    assert_eq!((certificate.to_str(), key.to_str()), (Some("/etc/bridge/b.crt"), Some("/etc/bridge/b.key")));
}

#[test]
fn the_last_day_of_a_secret_counts_whole() {
    let config = read(&with(&format!("{SECRET}\nclient_secret_expires = \"2027-01-31\"")));
    assert_eq!(config.graph.secret_expires.unwrap().as_millis(), 1_801_440_000_000, "2027-02-01T00:00Z");
    let said = said(&with(&format!("{SECRET}\nclient_secret_expires = \"31.1.2027\"")));
    assert!(said.contains("not a date") && said.contains("2027-01-31"), "{said}");
}

#[test]
fn what_is_missing_or_misplaced_is_said_with_the_next_step() {
    for (lines, part) in [
        ("", "client_secret_file: missing"),
        (
            "credential = \"password\"",
            "allowed: client-secret, certificate, workload-identity, managed-identity, azure-cli",
        ),
        ("credential = \"certificate\"", "certificate_file: missing"),
        ("credential = \"workload-identity\"", "AZURE_FEDERATED_TOKEN_FILE"),
        ("credential = \"managed-identity\"\nclient_secret_file = \"x\"", "is for credential = \"client-secret\" only"),
        ("client_secret_file = \"x\"\ncertificate_file = \"y\"", "is for credential = \"certificate\" only"),
        ("client_secret_file = \"x\"\nclient_secret_env = \"Y\"", "exclude each other"),
        ("client_secret_file = \"x\"\nproxy = \"ftp://proxy\"", "not a proxy"),
        ("client_secret_file = \"x\"\nproxy_username = \"u\"", "without a password"),
        (
            "client_secret_file = \"x\"\nlogin_url = \"https://a\"\ngraph_url = \"https://b\"\ncloud = \"dod\"",
            "has its own addresses",
        ),
    ] {
        let said = said(&with(lines));
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let secret = "abc8Q~mZ0x0x0x0x0x0x0x0x0x0x0x0x0x0x0x0x";
    for lines in [
        format!("client_secret_file = \"{secret}\""),
        format!("client_secret = \"{secret}\""),
        format!("{SECRET}\nproxy = \"http://user:{secret}@proxy:3128\""),
    ] {
        let said = said(&with(&lines));
        assert!(!said.contains(secret), "{said}");
    }
    assert!(said(&with(&format!("client_secret_file = \"{secret}\""))).contains("write it into a file"));
}

#[test]
fn a_proxy_is_the_environments_none_or_one() {
    let proxy = |lines: &str| read(&with(&format!("{SECRET}\n{lines}"))).graph.proxy;
    assert!(matches!(proxy(""), ProxySection::Environment));
    assert!(matches!(proxy("proxy = \"environment\""), ProxySection::Environment));
    assert!(matches!(proxy("proxy = \"none\""), ProxySection::Direct));
    let one = proxy("proxy = \"http://proxy.example:3128\"\nproxy_username = \"u\"\nproxy_password_file = \"p\"");
    let ProxySection::At { url, login: Some((user, _)) } = &one else { panic!("{one:?}") };
    assert_eq!((url.as_str(), user.as_str()), ("http://proxy.example:3128", "u"));
}
