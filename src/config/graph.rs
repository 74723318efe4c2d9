//! `[graph]`: the tenant, the credential, the cloud, the way out.

use std::path::PathBuf;

use super::reader::{At, Section};
use super::sections::{self, Files, authority, file, guid, is_loopback};
use super::{GraphSection, ProxySection, env};
use crate::presence::{ObjectId, Timestamp};
use crate::secret::Credential;

const TENANT: &str = "the Directory (tenant) ID on the app registration's overview page";
const CLIENT: &str = "the Application (client) ID on the app registration's overview page";

/// A kind of credential, as it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Secret,
    Certificate,
    WorkloadIdentity,
    ManagedIdentity,
    AzureCli,
}

const KINDS: [(&str, Kind); 5] = [
    ("client-secret", Kind::Secret),
    ("certificate", Kind::Certificate),
    ("workload-identity", Kind::WorkloadIdentity),
    ("managed-identity", Kind::ManagedIdentity),
    ("azure-cli", Kind::AzureCli),
];

/// Keys that belong to one kind; with another they would do nothing, and somebody thinks they do.
const KEYS: [(&str, Kind); 6] = [
    ("client_secret_file", Kind::Secret),
    ("client_secret_env", Kind::Secret),
    ("client_secret_expires", Kind::Secret),
    ("certificate_file", Kind::Certificate),
    ("certificate_key_file", Kind::Certificate),
    ("federated_token_file", Kind::WorkloadIdentity),
];

pub(super) fn graph(root: &Section<'_, '_>, files: &Files<'_>) -> Option<GraphSection> {
    let Some(section) = root.table("graph") else {
        root.missing(
            "graph",
            "the tenant: [graph] with tenant_id, client_id and client_secret_file; see docs/entra.md",
        );
        return None;
    };
    let kind = section.choice("credential", Kind::Secret, &KINDS);
    strangers(&section, kind);
    let tenant_id = id(&section, "tenant_id", kind, "AZURE_TENANT_ID", TENANT, true);
    let needed = !matches!(kind, Kind::ManagedIdentity | Kind::AzureCli);
    let client_id = id(&section, "client_id", kind, "AZURE_CLIENT_ID", CLIENT, needed);
    let credential = credential(&section, files, kind);
    let secret_expires = section.text("client_secret_expires").and_then(|at| end_of(&section, &at));
    let hosts = endpoints(&section);
    if let Some(at) = section.text("session_id") {
        let hint = "remove it: the id of a presence session is the Application (client) ID, and the bridge takes it from the \
                    token; any other is refused by Graph, or makes sessions that nobody can clear";
        section.problem(&at, "is not for anybody to choose", hint);
    }
    let ca_file = file(&section, "ca_file", files);
    let proxy = proxy(&section, files);
    section.finish();
    let (login_url, graph_url) = hosts;
    Some(GraphSection {
        tenant_id: tenant_id.flatten()?,
        client_id: client_id?,
        credential: credential?,
        secret_expires,
        login_url,
        graph_url,
        ca_file,
        proxy: proxy?,
    })
}

/// `Some(None)`: not given, and not needed. For workload identity the platform says it in the environment.
#[allow(clippy::option_option, reason = "absent is an answer, wrong is none")]
fn id(
    section: &Section<'_, '_>,
    name: &'static str,
    kind: Kind,
    variable: &str,
    hint: &str,
    needed: bool,
) -> Option<Option<ObjectId>> {
    if let Some(at) = section.text(name) {
        return guid(section, &at, hint).map(Some);
    }
    let given = env::text(variable).filter(|_| kind == Kind::WorkloadIdentity);
    match given.map(|text| text.parse()) {
        Some(Ok(id)) => return Some(Some(id)),
        Some(Err(_)) => section.missing(name, &format!("{hint}; the environment's {variable} is not a GUID")),
        None if needed => section.missing(name, hint),
        None => return Some(None),
    }
    None
}

fn strangers(section: &Section<'_, '_>, kind: Kind) {
    for (name, of) in KEYS {
        if section.has(name)
            && of != kind
            && let Some(at) = section.text(name)
        {
            let named = KINDS.iter().find(|(_, kind)| *kind == of).map_or("", |(name, _)| name);
            let hint = format!("remove it, or set credential = \"{named}\"");
            section.problem(&at, format!("is for credential = \"{named}\" only"), hint);
        }
    }
}

fn credential(section: &Section<'_, '_>, files: &Files<'_>, kind: Kind) -> Option<Credential> {
    match kind {
        Kind::Secret => {
            let given = section.has("client_secret_file") || section.has("client_secret_env");
            let secret = sections::secret(section, files, "client_secret_file", "client_secret_env");
            if !given {
                section.missing(
                    "client_secret_file",
                    "a file that holds the value of a client secret; or client_secret_env, or another credential",
                );
            }
            secret.map(Credential::Secret)
        }
        Kind::Certificate => {
            let hint = "a PEM file with the certificate and its RSA private key; see docs/credentials.md";
            let certificate = path(section, files, "certificate_file", Some(hint))?;
            let key = match section.has("certificate_key_file") {
                true => path(section, files, "certificate_key_file", None)?,
                false => certificate.clone(),
            };
            Some(Credential::Certificate { certificate, key })
        }
        Kind::WorkloadIdentity => {
            let from_platform = env::text("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from);
            let hint = "the file in which the platform keeps the token; Kubernetes says it in AZURE_FEDERATED_TOKEN_FILE, \
                        which is not set";
            let token_file = match (section.has("federated_token_file"), from_platform) {
                (false, Some(path)) => path,
                _ => path(section, files, "federated_token_file", Some(hint))?,
            };
            Some(Credential::WorkloadIdentity { token_file })
        }
        Kind::ManagedIdentity => Some(Credential::ManagedIdentity),
        Kind::AzureCli => Some(Credential::AzureCli),
    }
}

/// A file that must be there.
fn path(section: &Section<'_, '_>, files: &Files<'_>, name: &'static str, needed: Option<&str>) -> Option<PathBuf> {
    let at = match needed {
        Some(hint) => section.required(name, hint)?,
        None => section.text(name)?,
    };
    let path = files.path(section, &at)?;
    if files.check
        && let Err(error) = std::fs::File::open(&path)
    {
        section.problem(
            &at,
            format!("cannot read {}: {error}", path.display()),
            "readable for the bridge only (mode 0600)",
        );
    }
    Some(path)
}

/// The end of a day, UTC.
fn end_of(section: &Section<'_, '_>, at: &At<String>) -> Option<Timestamp> {
    let day = at.value.parse::<jiff::civil::Date>().and_then(|date| date.tomorrow());
    match day.and_then(|day| jiff::tz::Offset::UTC.to_timestamp(day.at(0, 0, 0, 0))) {
        Ok(end) => Some(Timestamp::from_millis(end.as_millisecond())),
        Err(_) => {
            section.problem(at, "not a date", r#"the last day of the secret, as in "2027-01-31""#);
            None
        }
    }
}

/// Login and Graph hosts. Others than a cloud's only where both are given.
fn endpoints(section: &Section<'_, '_>) -> (String, String) {
    let hosts = cloud(section);
    match (section.text("login_url"), section.text("graph_url")) {
        (None, None) => (hosts.0.to_owned(), hosts.1.to_owned()),
        (Some(login), Some(graph)) => {
            for url in [&login, &graph] {
                endpoint(section, url);
            }
            if let Some(cloud) = section.text("cloud") {
                section.problem(&cloud, "a cloud has its own addresses", "remove cloud, or login_url and graph_url");
            }
            (login.value, graph.value)
        }
        (Some(one), None) | (None, Some(one)) => {
            section.problem(&one, "login_url and graph_url belong together", "give both, or neither and a cloud");
            (String::new(), String::new())
        }
    }
}

/// Login and Graph hosts belong together; tokens of one cloud are no good in another.
fn cloud(section: &Section<'_, '_>) -> (&'static str, &'static str) {
    const GLOBAL: (&str, &str) = ("https://login.microsoftonline.com", "https://graph.microsoft.com");
    let Some(at) = section.text("cloud") else { return GLOBAL };
    match at.value.as_str() {
        "global" | "gcc" => GLOBAL,
        "gcc-high" => ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
        "dod" => ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
        "china" => {
            section.problem(
                &at,
                "Graph has no presence API in China (21Vianet)",
                "allowed: global, gcc, gcc-high, dod",
            );
            GLOBAL
        }
        _ => {
            section.problem(&at, "not a cloud", "allowed: global, gcc, gcc-high, dod");
            GLOBAL
        }
    }
}

fn endpoint(section: &Section<'_, '_>, at: &At<String>) {
    let (scheme, rest) = at.value.split_once("://").unwrap_or_default();
    let host = authority(rest).map(|(host, _)| host);
    match (scheme, host) {
        ("https", Some(_)) => {}
        ("http", Some(host)) if is_loopback(&host) => {}
        _ => section.problem(at, "not an address that may be called", "https://HOST[:PORT], or http:// on loopback"),
    }
}

fn proxy(section: &Section<'_, '_>, files: &Files<'_>) -> Option<ProxySection> {
    let username = section.text("proxy_username");
    let password = sections::secret(section, files, "proxy_password_file", "proxy_password_env");
    let login = match (username, password) {
        (Some(username), Some(password)) => Some((username.value, password)),
        (Some(username), None) => {
            section.problem(
                &username,
                "proxy_username without a password",
                "add proxy_password_file or proxy_password_env",
            );
            None
        }
        _ => None,
    };
    let Some(at) = section.text("proxy") else { return Some(ProxySection::Environment) };
    let url = at.value.as_str();
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match (url, rest.and_then(authority)) {
        ("environment", _) => Some(ProxySection::Environment),
        ("none", _) => Some(ProxySection::Direct),
        (_, Some(_)) => Some(ProxySection::At { url: at.value, login }),
        _ if url.contains('@') => {
            // The line itself is not shown: it holds a password.
            section.missing(
                "proxy_username",
                "user and password have keys of their own: proxy_username, proxy_password_file",
            );
            None
        }
        _ => {
            section.problem(&at, "not a proxy", r#""environment", "none", or http://HOST:PORT"#);
            None
        }
    }
}
