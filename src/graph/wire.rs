//! Bodies and addresses as Graph wants them.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;

use super::Body;

/// The name of the action and its body.
pub(super) fn body(body: Body, session_id: &str) -> (&'static str, String) {
    match body {
        Body::Clear => ("clearPresence", json!({ "sessionId": session_id }).to_string()),
        Body::Set { presence, expiration } => {
            let body = json!({
                "sessionId": session_id,
                "availability": presence.availability(),
                "activity": presence.activity(),
                "expirationDuration": iso8601(expiration),
            });
            ("setPresence", body.to_string())
        }
    }
}

/// `PT5M`, `PT1H30M`, `PT90S` is written `PT1M30S`.
fn iso8601(span: Duration) -> String {
    let seconds = span.as_secs();
    let mut text = "PT".to_owned();
    for (count, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M'), (seconds % 60, 'S')] {
        if count > 0 {
            text += &format!("{count}{unit}");
        }
    }
    if text == "PT" { "PT0S".to_owned() } else { text }
}

/// The parts of an address that may be called: https anywhere, http on loopback only.
pub(super) fn origin(url: &str) -> Result<reqwest::Url, &'static str> {
    let url: reqwest::Url = url.parse().map_err(|_| "is not a URL")?;
    url.host_str().ok_or("has no host")?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err("must be https; plain http is for loopback only"),
    }
}

/// Whether an address is on this machine.
pub(super) fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
