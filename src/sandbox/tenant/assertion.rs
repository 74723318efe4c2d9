//! Client assertions: a federated token of somebody who is trusted, or one signed with the application's certificate.
//! Signatures are not checked: the model has no cryptography.

use serde_json::Value;

use super::assumptions::{self as known, NoToken};
use super::encoding::jwt;
use super::settings::AppRef;

/// The first failure answers.
pub(super) fn check(app: AppRef<'_>, tenant: &str, kind: &str, assertion: &str, real_ms: i64) -> Result<(), NoToken> {
    if kind != known::ASSERTION_TYPE {
        return Err(known::ASSERTION);
    }
    let (Some(header), Some(claims)) = (jwt(assertion, 0), jwt(assertion, 1)) else { return Err(known::ASSERTION) };
    let text = |key: &str| claims.get(key).and_then(Value::as_str).unwrap_or_default();
    let (issuer, subject) = (text("iss"), text("sub"));
    // By a certificate an application speaks of itself, to this endpoint.
    if issuer.eq_ignore_ascii_case(app.client_id) {
        let named = ["x5t#S256", "x5t"].into_iter().filter_map(|key| header.get(key)?.as_str());
        if !named.into_iter().any(|name| app.trusted.certificates.iter().any(|known| known == name)) {
            return Err(known::CERTIFICATE);
        }
        if !subject.eq_ignore_ascii_case(app.client_id) {
            return Err(known::ASSERTION_SUBJECT);
        }
        // Whichever name the host goes by: a sandbox has several.
        let ours = [format!("/{tenant}/oauth2/v2.0/token"), format!("/{tenant}/v2.0")];
        if !audiences(&claims).any(|audience| ours.iter().any(|own| audience.ends_with(own))) {
            return Err(known::ASSERTION_AUDIENCE);
        }
        return in_time(&claims, real_ms);
    }
    let federated = || app.trusted.federated.iter().filter(|known| known.issuer == issuer);
    if federated().next().is_none() {
        return Err(known::ASSERTION_ISSUER);
    }
    if !federated().any(|known| known.subject == subject) {
        return Err(known::ASSERTION_SUBJECT);
    }
    if !audiences(&claims).any(|audience| audience == known::FEDERATED_AUDIENCE) {
        return Err(known::ASSERTION_AUDIENCE);
    }
    in_time(&claims, real_ms)
}

/// `aud` is a text or a list of them.
fn audiences(claims: &Value) -> impl Iterator<Item = &str> {
    let (one, many) = match claims.get("aud") {
        Some(Value::Array(many)) => (None, many.as_slice()),
        one => (one, [].as_slice()),
    };
    one.into_iter().chain(many).filter_map(Value::as_str)
}

fn in_time(claims: &Value, real_ms: i64) -> Result<(), NoToken> {
    let now = real_ms / 1000;
    let time = |key: &str| {
        claims.get(key).and_then(Value::as_f64).map(|seconds| {
            #[allow(clippy::cast_possible_truncation, reason = "a date, saturating")]
            let seconds = seconds as i64;
            seconds
        })
    };
    let begun = time("nbf").is_none_or(|from| from <= now + known::ASSERTION_GRACE_S);
    match time("exp") {
        Some(end) if now < end && begun => Ok(()),
        _ => Err(known::ASSERTION_TIME),
    }
}
