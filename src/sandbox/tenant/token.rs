//! The token endpoint, for client secrets.

use serde_json::json;

use super::errors::{self, NoToken, Refusal};
use super::front::Context;
use super::{Request, Response, Tenant};

/// A token that was given out.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    ends_ms: u64,
    roles: Vec<String>,
}

impl Tenant {
    /// The roles of the token that a request carries. A role granted after the token was issued is not in it (A).
    pub(super) fn authorise(&self, now_ms: u64, request: &Request) -> Result<Vec<String>, Refusal> {
        let bearer = request.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
        let token = bearer.ok_or(errors::NO_TOKEN)?;
        match self.tokens.get(token) {
            Some(grant) if now_ms < grant.ends_ms => Ok(grant.roles.clone()),
            _ => Err(errors::BAD_TOKEN),
        }
    }

    /// Ends every token that was given out, as a revocation does.
    pub fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    pub(super) fn token(&mut self, context: &Context<'_>, tenant: &str) -> Response {
        match self.check(context.request, tenant) {
            Ok(()) => self.grant(context),
            Err(refused) => refuse(refused),
        }
    }

    /// The first failure answers (order A).
    fn check(&self, request: &Request, tenant: &str) -> Result<(), NoToken> {
        let form = form(&request.body);
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        if field("grant_type") != "client_credentials" {
            return Err(errors::GRANT);
        }
        if tenant != self.settings.tenant_id {
            return Err(errors::TENANT);
        }
        if !field("client_id").eq_ignore_ascii_case(&self.settings.client_id) {
            return Err(errors::CLIENT);
        }
        let secret = field("client_secret");
        if self.settings.secrets.iter().any(|known| known.strip_prefix("expired:") == Some(secret)) {
            return Err(errors::EXPIRED);
        }
        if !self.settings.secrets.iter().any(|known| known == secret) {
            return Err(errors::SECRET);
        }
        if !field("scope").contains("/.default") {
            return Err(errors::SCOPE);
        }
        Ok(())
    }

    fn grant(&mut self, context: &Context<'_>) -> Response {
        let Context { now_ms, wall_ms, .. } = *context;
        let ttl = self.settings.token_ttl;
        let issued = wall_ms / 1000;
        let mut claims = json!({
            "aud": "https://graph.microsoft.com", "tid": self.settings.tenant_id, "appid": self.settings.client_id,
            "azp": self.settings.client_id, "iat": issued, "nbf": issued,
            "exp": issued.saturating_add_unsigned(ttl), "jti": self.serial,
        });
        if !self.settings.roles.is_empty() {
            claims["roles"] = json!(self.settings.roles);
        }
        let header = json!({ "typ": "JWT", "alg": "none" });
        let token = format!("{}.{}.sandbox", base64url(&header.to_string()), base64url(&claims.to_string()));
        let grant = Grant { ends_ms: now_ms.saturating_add(ttl * 1000), roles: self.settings.roles.clone() };
        self.tokens.retain(|_, grant| now_ms < grant.ends_ms);
        self.tokens.insert(token.clone(), grant);
        json_response(200, &json!({ "token_type": "Bearer", "expires_in": ttl, "access_token": token }))
    }

    /// What published clients read before they ask for a token; addresses follow the request.
    pub(super) fn openid(&self, context: &Context<'_>, tenant: &str) -> Response {
        if tenant != self.settings.tenant_id {
            return refuse(errors::TENANT);
        }
        let origin = format!("https://{}", context.request.host);
        json_response(
            200,
            &json!({
                "issuer": format!("{origin}/{tenant}/v2.0"),
                "authorization_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/authorize"),
                "token_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/token"),
                "jwks_uri": format!("{origin}/{tenant}/discovery/v2.0/keys"),
            }),
        )
    }
}

fn refuse(NoToken(status, error, number, text): NoToken) -> Response {
    json_response(
        status,
        &json!({ "error": error, "error_description": format!("AADSTS{number}: {text}"), "error_codes": [number] }),
    )
}

fn json_response(status: u16, body: &serde_json::Value) -> Response {
    let headers = vec![("Content-Type".to_owned(), "application/json; charset=utf-8".to_owned())];
    Response { status, headers, body: body.to_string() }
}

/// `a=b&c=d`, percent-decoded.
fn form(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decode(key), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Base64 with the alphabet for URLs, without padding: a dozen lines instead of a dependency of the core.
fn base64url(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            encoded.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    encoded
}
