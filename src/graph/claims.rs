//! What a token says of itself. Tokens are Graph's to read and may change; so this is for hints and for the session id,
//! and nothing fails where a token cannot be read.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::presence::Timestamp;

/// The application permission that the bridge needs.
const ROLE: &str = "Presence.ReadWrite.All";

/// The claims of an access token, as far as they matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The application that it is for (`appid`, in newer tokens `azp`): the id of the presence sessions.
    pub client_id: Option<String>,
    /// The directory that issued it (`tid`).
    pub tenant_id: Option<String>,
    /// Where it is good (`aud`): Graph's address, or Graph's application id.
    pub audience: Option<String>,
    /// Application permissions.
    pub roles: Vec<String>,
    /// Delegated permissions (`scp`): there only in the token of somebody who is signed in.
    pub scopes: Vec<String>,
    /// From when it is good (`nbf`).
    pub not_before: Option<Timestamp>,
    /// Until when (`exp`).
    pub expires: Option<Timestamp>,
}

impl Claims {
    /// Reads a token; `None` if it is not a JWT.
    #[must_use]
    pub fn of(token: &str) -> Option<Claims> {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let claims = claims.as_object()?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let at = |name: &str| {
            let seconds = claims.get(name).and_then(Value::as_i64)?;
            Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
        };
        let roles = claims.get("roles").and_then(Value::as_array).into_iter().flatten();
        Some(Claims {
            client_id: text("appid").or_else(|| text("azp")).filter(|id| is_id(id)),
            tenant_id: text("tid"),
            audience: text("aud"),
            roles: roles.filter_map(Value::as_str).map(str::to_owned).collect(),
            scopes: text("scp").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            not_before: at("nbf"),
            expires: at("exp"),
        })
    }

    /// Whether it may set presence.
    #[must_use]
    pub fn has_role(&self) -> bool {
        self.roles.iter().any(|role| role == ROLE)
    }

    /// Whether it speaks for somebody who is signed in, who could set nobody's presence but their own.
    #[must_use]
    pub fn is_delegated(&self) -> bool {
        self.roles.is_empty() && !self.scopes.is_empty()
    }
}

/// Goes into bodies and logs; Entra's ids are GUIDs.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
