//! `[mqtt]`, and `[[source]]` where there are several brokers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::reader::{At, Section};
use super::sections::{Files, authority, default_client_id, file, is_level, is_loopback, secret};
use super::{BrokerAddress, Protocol, SourceSection};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What the one broker of `[mqtt]` is called.
const SHORT: &str = "mqtt";
/// First level of our own topics where nobody says another.
const PREFIX: &str = "presence-bridge";
const URL_HINT: &str = r#"for example "mqtt://localhost:1883" or "mqtts://broker.example:8883""#;

/// All brokers.
#[derive(Debug)]
pub(super) struct Brokers {
    /// In order, also of those that are wrong otherwise.
    pub(super) names: Vec<String>,
    /// First levels of our own topics, on all of them.
    pub(super) prefix: String,
    /// `None`: something is wrong, and has been said.
    pub(super) sections: Option<Vec<SourceSection>>,
}

pub(super) fn read(root: &Section<'_, '_>, files: &Files<'_>) -> Brokers {
    let (short, long) = (root.table("mqtt"), root.tables("source"));
    if short.is_none() && long.is_empty() {
        root.missing("mqtt", r#"the broker: [mqtt] with url = "mqtt://localhost:1883""#);
    }
    if let (Some(short), false) = (&short, long.is_empty()) {
        let hint = format!(r#"write its lines under a [[source]] of their own, with name = "{SHORT}""#);
        short.wrong("[mqtt] is the short form of a single [[source]], and both are there", hint);
    }
    let mut brokers = Brokers { names: Vec::new(), prefix: PREFIX.to_owned(), sections: Some(Vec::new()) };
    let mut prefix = None;
    for section in &long {
        let name = name(section, &brokers.names);
        brokers.add(section, name, files, &mut prefix);
    }
    if let Some(section) = &short {
        brokers.add(section, Some(SHORT.to_owned()), files, &mut prefix);
    }
    brokers.prefix = prefix.unwrap_or(brokers.prefix);
    brokers
}

impl Brokers {
    fn add(&mut self, section: &Section<'_, '_>, name: Option<String>, files: &Files<'_>, prefix: &mut Option<String>) {
        if let Some(at) = section.text("topic_prefix") {
            topic_prefix(section, &at, prefix);
        }
        let read = source(section, name.as_deref().unwrap_or_default(), files);
        section.finish();
        if let (Some(read), Some(others)) = (&read, &self.sections) {
            apart(section, read, others);
        }
        self.names.push(name.clone().unwrap_or_default());
        match (name, read, &mut self.sections) {
            (Some(_), Some(read), Some(sections)) => sections.push(read),
            _ => self.sections = None,
        }
    }
}

/// The client id of the first broker, whatever else is wrong with the text.
pub(super) fn first_client_id(root: &Section<'_, '_>) -> String {
    let short = root.table("mqtt");
    let Some(first) = short.or_else(|| root.tables("source").into_iter().next()) else { return default_client_id() };
    let written = first.text("client_id").map(|at| at.value);
    written.unwrap_or_else(|| client_id_of(first.text("name").map(|at| at.value).as_deref().unwrap_or(SHORT)))
}

/// Stable, and another for each broker: two of them may turn out to be one.
fn client_id_of(name: &str) -> String {
    if name == SHORT { default_client_id() } else { format!("{}-{name}", default_client_id()) }
}

/// It stands in topics, client ids and names of files.
fn name(section: &Section<'_, '_>, others: &[String]) -> Option<String> {
    let at = section.required("name", r#"what rules, logs and `status` call this broker: name = "pbx""#)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(1..=32).contains(&at.value.len()) || !at.value.chars().all(fits) {
        section.problem(&at, "cannot be a name", "1 to 32 letters, digits and - _ .");
        return None;
    }
    if others.iter().any(|other| other.eq_ignore_ascii_case(&at.value)) {
        section.problem(&at, "another [[source]] has this name", "give each a name of its own, letter case aside");
        return None;
    }
    Some(at.value)
}

/// One for all brokers: the door and the rules know no other.
fn topic_prefix(section: &Section<'_, '_>, at: &At<String>, known: &mut Option<String>) {
    if !at.value.split('/').all(is_level) {
        section.problem(at, "not a topic", "levels between slashes, without + and #");
    }
    match known {
        Some(known) if *known != at.value => {
            let hint = format!(r#"write topic_prefix = "{known}" here as well, or only once"#);
            section.problem(at, "another source says another prefix, and there is one for all", hint);
        }
        _ => *known = Some(at.value.clone()),
    }
}

/// Two clients of one id take the connection from each other for ever.
fn apart(section: &Section<'_, '_>, source: &SourceSection, others: &[SourceSection]) {
    let same = others.iter().find(|other| (&other.address, &other.client_id) == (&source.address, &source.client_id));
    if let Some(other) = same {
        let text = format!("the same client_id at the same broker as source {}", other.name);
        section.wrong(text, "a broker knows a client by its client_id alone: give each source another");
    }
}

fn source(section: &Section<'_, '_>, name: &str, files: &Files<'_>) -> Option<SourceSection> {
    let plaintext = section.flag("allow_plaintext", false);
    let url = section.required("url", URL_HINT);
    let place = url.as_ref().and_then(|at| place(section, at, plaintext));
    let client_id = section.text("client_id").map_or_else(
        || client_id_of(name),
        |at| {
            if !is_level(&at.value) {
                let hint = "no / + # and no control characters, 1 to 64 characters";
                section.problem(&at, "cannot be a level of a topic", hint);
            }
            at.value
        },
    );
    let protocols = [("auto", Protocol::Auto), ("5", Protocol::V5), ("3.1.1", Protocol::V311)];
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the ranges are within the types")]
    let (max_packet_size, receive_maximum) = (
        section.number("max_packet_size", 1_048_576.0, 65_536.0..16_777_216.0) as u32,
        section.number("receive_maximum", 100.0, 1.0..10_000.0) as u16,
    );
    let (protocol, username) = (section.choice("protocol", Protocol::Auto, &protocols), section.text("username"));
    let password = secret(section, files, "password_file", "password_env");
    let ca_file = file(section, "ca_file", files);
    let client_certificate = client_certificate(section, files, place.as_ref().is_none_or(|(_, tls)| *tls));
    let keep_alive = section.span("keep_alive", 15 * SECOND, 5 * SECOND..10 * MINUTE);
    let session_persistent = section.choice("session", true, &[("persistent", true), ("clean", false)]);
    let session_expiry = section.span("session_expiry", 5 * MINUTE, SECOND..24 * HOUR);
    let own_topics = section.flag("own_topics", true);
    let (address, tls) = place?;
    Some(SourceSection {
        name: name.to_owned(),
        address,
        tls,
        protocol,
        ca_file,
        client_certificate,
        client_id,
        username: username.map(|at| at.value),
        password,
        keep_alive,
        session_persistent,
        session_expiry,
        max_packet_size,
        receive_maximum,
        own_topics,
    })
}

/// Where a URL leads, and whether over TLS.
fn place(section: &Section<'_, '_>, at: &At<String>, plaintext: bool) -> Option<(BrokerAddress, bool)> {
    if let Some(path) = at.value.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') {
            section.problem(at, "not the path of a socket", "unix:/run/mosquitto/mosquitto.sock: from the root on");
            return None;
        }
        return Some((BrokerAddress::Unix(path.into()), false));
    }
    let (scheme, rest) = at.value.split_once("://").unwrap_or(("", ""));
    let (tls, web, default) = match scheme {
        "mqtt" => (false, false, 1883),
        "mqtts" => (true, false, 8883),
        "ws" => (false, true, 80),
        "wss" => (true, true, 443),
        _ => {
            let hint = "mqtt://HOST[:PORT], mqtts:// for TLS, ws:// or wss://HOST[:PORT]/PATH, unix:/PATH";
            section.problem(at, "not a broker's address", hint);
            return None;
        }
    };
    let (host, path) = match rest.find('/').filter(|_| web) {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let parts = authority(host).filter(|_| !path.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#'));
    let Some((host, port)) = parts else {
        section.problem(at, "not a host and a port", "HOST or HOST:PORT; user and password have keys of their own");
        return None;
    };
    if !tls && !plaintext && !is_loopback(&host) {
        let secure = if web { "wss://" } else { "mqtts://" };
        let hint = format!("use {secure}, or set allow_plaintext = true if the network between is yours alone");
        section.problem(at, "plain text over a network: passwords and events can be read and forged", hint);
    }
    let port = port.unwrap_or(default);
    let address = match web {
        true => BrokerAddress::WebSocket { host, port, path: path.to_owned() },
        false => BrokerAddress::Tcp { host, port },
    };
    Some((address, tls))
}

/// Our own certificate (chain) and its key.
fn client_certificate(section: &Section<'_, '_>, files: &Files<'_>, tls: bool) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = match (section.text("client_certificate_file"), section.text("client_key_file")) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(at), None) => {
            section.problem(&at, "a certificate without its key", "add client_key_file, the private key, PEM");
            return None;
        }
        (None, Some(at)) => {
            section.problem(&at, "a key without its certificate", "add client_certificate_file, PEM");
            return None;
        }
        (None, None) => return None,
    };
    if !tls {
        let hint = "use mqtts:// or wss://, or take both files out";
        section.problem(&certificate, "a certificate is shown over TLS only, and url has none", hint);
    }
    let paths = (files.path(section, &certificate)?, files.path(section, &key)?);
    if files.check {
        if let Err(problem) = certificates(&paths.0) {
            section.problem(&certificate, problem, "a PEM file with our certificate, then those that signed it");
        }
        if let Err(error) = PrivateKeyDer::from_pem_file(&paths.1) {
            // What is wrong with it, and nothing of what stands in it.
            let text = format!("{}: {}", paths.1.display(), key_problem(&error));
            section.problem(&key, text, "a PEM file with the certificate's private key, without a password");
        }
    }
    Some(paths)
}

fn certificates(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let mut found = CertificateDer::pem_file_iter(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    match found.next() {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(format!("{shown} is not PEM: {error}")),
        None => Err(format!("{shown} holds no certificate")),
    }
}

fn key_problem(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) => format!("cannot be read: {error}"),
        Error::NoItemsFound => "holds no private key".to_owned(),
        _ => "is not PEM".to_owned(),
    }
}
