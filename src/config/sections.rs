//! `[presence]` and `[log]`, and what several sections need.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;

use super::problem::is_secret;
use super::reader::{At, Section};
use super::{LogFormat, LogSection, OnStop, env};
use crate::presence::{ObjectId, Policy, Presence};
use crate::secret::SecretSource;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How files that the configuration names are found.
pub(super) struct Files<'a> {
    pub(super) base: &'a Path,
    /// Whether those with secrets and certificates must be there.
    pub(super) check: bool,
    /// Whether the people file is read.
    pub(super) people: bool,
}

impl Files<'_> {
    /// A path as written: from the configuration's own directory on, or in systemd's directory of credentials.
    pub(super) fn path(&self, section: &Section<'_, '_>, at: &At<String>) -> Option<PathBuf> {
        let name = ["$CREDENTIALS_DIRECTORY/", "${CREDENTIALS_DIRECTORY}/"]
            .iter()
            .find_map(|start| at.value.strip_prefix(start));
        let Some(name) = name else { return Some(self.base.join(&at.value)) };
        match env::text("CREDENTIALS_DIRECTORY") {
            Some(directory) => Some(Path::new(&directory).join(name)),
            None if !self.check => Some(self.base.join(name)),
            None => {
                let hint = "systemd sets it: LoadCredential= in the unit; elsewhere give a path";
                section.problem(at, "there is no $CREDENTIALS_DIRECTORY", hint);
                None
            }
        }
    }
}

pub(super) fn guid(section: &Section<'_, '_>, at: &At<String>, hint: &str) -> Option<ObjectId> {
    match at.value.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            section.problem(at, format!("{error}"), hint);
            None
        }
    }
}

pub(super) fn secret(
    section: &Section<'_, '_>,
    files: &Files<'_>,
    file_key: &'static str,
    env_key: &'static str,
) -> Option<SecretSource> {
    match (section.text(file_key), section.text(env_key)) {
        (Some(at), Some(_)) => {
            section.problem(&at, format!("{file_key} and {env_key} exclude each other"), "keep one");
            None
        }
        (Some(at), None) => {
            if is_secret(&at.value) {
                // Not shown again.
                section.missing(
                    file_key,
                    "what stands there looks like the secret itself: write it into a file, and name that",
                );
                return None;
            }
            let source = SecretSource::File(files.path(section, &at)?);
            if files.check
                && let Err(problem) = source.read()
            {
                section.problem(
                    &at,
                    problem,
                    "write the secret into that file, readable for the bridge only (mode 0600)",
                );
            }
            Some(source)
        }
        (None, Some(at)) => match env::secret(&at.value) {
            Some(value) => Some(SecretSource::Value(value)),
            None if !files.check => Some(SecretSource::Value(String::new().into())),
            None => {
                section.problem(&at, "there is no such environment variable, or it is empty", "set it for the bridge");
                None
            }
        },
        (None, None) => None,
    }
}

pub(super) fn file(section: &Section<'_, '_>, name: &'static str, files: &Files<'_>) -> Option<PathBuf> {
    let at = section.text(name)?;
    let path = files.path(section, &at)?;
    if files.check
        && let Err(problem) = crate::tls::client_config(Some(&path))
    {
        section.problem(&at, problem, "a PEM file with the certificates to trust");
    }
    Some(path)
}

/// `host`, `host:port`, `[::1]:port`.
pub(super) fn authority(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.trim_end_matches('/');
    if text.is_empty() || text.contains(['/', '@', ' ', '?', '#']) {
        return None;
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map(str::parse::<u16>).transpose().ok()?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether `text` can stand as one level of a topic.
pub(super) fn is_level(text: &str) -> bool {
    (1..=64).contains(&text.chars().count()) && !text.contains(['/', '+', '#']) && !text.chars().any(char::is_control)
}

/// Two bridges on one broker must not share it; the same bridge must keep it. No dots: it is a level of topics, and brokers
/// that are not only MQTT's read a dot in a topic as a slash (RabbitMQ) or end the connection over it (NATS).
pub(super) fn default_client_id() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host = host.replace('.', "-");
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    format!("presence-bridge-{host}")
}

pub(super) fn presence(root: &Section<'_, '_>) -> (Policy, OnStop) {
    let mut policy = Policy::default();
    let mut on_stop = OnStop::Auto;
    if let Some(section) = root.table("presence") {
        let by = " (Graph takes an expirationDuration from PT5M to PT4H and refuses any other)";
        policy.max_stale = section.span_by("max_stale", policy.max_stale, 5 * MINUTE..4 * HOUR, by);
        let choices = [("nothing", None), ("available", Some(Presence::Available))];
        policy.when_free = section.choice("when_free", policy.when_free, &choices);
        policy.grace = section.span("grace", policy.grace, Duration::ZERO..10 * MINUTE);
        policy.blind_hold = section.span("blind_hold", policy.blind_hold, MINUTE..12 * HOUR);
        policy.trust_until = section.flag("trust_until", policy.trust_until);
        let ceiling = section.span("max_stale_ceiling", policy.max_stale, policy.max_stale..4 * HOUR);
        policy.max_stale_ceiling = Some(ceiling).filter(|&ceiling| ceiling > policy.max_stale);
        let verify = section.span("verify", Duration::ZERO, MINUTE..24 * HOUR);
        policy.verify = Some(verify).filter(|verify| !verify.is_zero());
        policy.rate = section.number("rate", policy.rate, 1.0..320.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is within u32")]
        let burst = section.number("burst", f64::from(policy.burst), 1.0..400.0) as u32;
        policy.burst = burst;
        let choices = [("auto", OnStop::Auto), ("leave", OnStop::Leave), ("clear", OnStop::Clear)];
        on_stop = section.choice("on_stop", on_stop, &choices);
        section.finish();
    }
    (policy, on_stop)
}

pub(super) fn log(root: &Section<'_, '_>) -> LogSection {
    let mut log = LogSection { level: LevelFilter::INFO, format: LogFormat::Text };
    if let Some(section) = root.table("log") {
        let levels = [
            ("error", LevelFilter::ERROR),
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
        ];
        log.level = section.choice("level", log.level, &levels);
        log.format = section.choice("format", log.format, &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
        section.finish();
    }
    log
}
