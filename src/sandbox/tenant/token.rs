//! The token endpoint, for client secrets. Lifetimes are real, on whatever clock the rest runs.

use serde_json::json;

use super::errors::{self, NoToken, Refusal};
use super::front::{Context, format_time, is_media_type};
use super::{Request, Response, Tenant};

/// This cloud's Graph.
const GRAPH: &str = "https://graph.microsoft.com";

/// A token that was given out.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    ends_ms: i64,
    roles: Vec<String>,
}

impl Tenant {
    /// The roles of the token that a request carries. A role granted after the token was issued is not in it (A).
    pub(super) fn authorise(&self, real_ms: i64, request: &Request) -> Result<Vec<String>, Refusal> {
        let bearer = request.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
        let token = bearer.ok_or(errors::NO_TOKEN)?;
        match self.tokens.get(token) {
            Some(grant) if real_ms < grant.ends_ms => Ok(grant.roles.clone()),
            _ => Err(errors::BAD_TOKEN),
        }
    }

    /// Ends every token that was given out, as a revocation does.
    pub fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    pub(super) fn token(&mut self, context: &Context<'_>, tenant: &str) -> Response {
        let form = form(&context.request.body);
        match self.check(context.request, &form, tenant) {
            Ok(()) => self.grant(context),
            Err(refused) => refuse(context, &form, refused),
        }
    }

    /// The first failure answers (order A).
    fn check(&self, request: &Request, form: &[(String, String)], tenant: &str) -> Result<(), NoToken> {
        if !is_media_type(request.content_type.as_deref(), "application/x-www-form-urlencoded") {
            return Err(errors::NOT_A_FORM);
        }
        match field(form, "grant_type") {
            "" => return Err(errors::NO_GRANT),
            "client_credentials" => {}
            _ => return Err(errors::GRANT),
        }
        if tenant != self.settings.tenant_id {
            return Err(errors::TENANT);
        }
        let basic = request.authorization.as_deref().and_then(basic);
        let (client, secret) = match &basic {
            Some((client, secret)) => (client.as_str(), secret.as_str()),
            None => (field(form, "client_id"), field(form, "client_secret")),
        };
        if !client.eq_ignore_ascii_case(&self.settings.client_id) {
            return Err(errors::CLIENT);
        }
        if self.settings.secrets.iter().any(|known| known.strip_prefix("expired:") == Some(secret)) {
            return Err(errors::EXPIRED);
        }
        if !self.settings.secrets.iter().any(|known| known == secret) {
            return Err(errors::SECRET);
        }
        check_scope(request, field(form, "scope"))
    }

    fn grant(&mut self, context: &Context<'_>) -> Response {
        let now_ms = context.at.real_ms;
        let ttl = self.settings.token_ttl;
        let issued = now_ms / 1000;
        let mut claims = json!({
            "aud": GRAPH, "tid": self.settings.tenant_id, "appid": self.settings.client_id,
            "azp": self.settings.client_id, "iat": issued, "nbf": issued,
            "exp": issued.saturating_add_unsigned(ttl), "jti": context.request_id(),
        });
        if !self.settings.roles.is_empty() {
            claims["roles"] = json!(self.settings.roles);
        }
        let header = json!({ "typ": "JWT", "alg": "none" });
        let token = format!("{}.{}.sandbox", base64url(&header.to_string()), base64url(&claims.to_string()));
        let ends_ms = now_ms.saturating_add_unsigned(ttl.saturating_mul(1000));
        let grant = Grant { ends_ms, roles: self.settings.roles.clone() };
        self.tokens.retain(|_, grant| now_ms < grant.ends_ms);
        self.tokens.insert(token.clone(), grant);
        json_response(200, &json!({ "token_type": "Bearer", "expires_in": ttl, "access_token": token }))
    }

    /// What published clients read before they ask for a token; addresses follow the request.
    pub(super) fn openid(&self, context: &Context<'_>, tenant: &str) -> Response {
        if tenant != self.settings.tenant_id {
            return refuse(context, &[], errors::TENANT);
        }
        let origin = origin(context.request);
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

/// Nobody checks the signatures of the sandbox; the document has to name an address that answers.
pub(super) fn keys() -> Response {
    json_response(200, &json!({ "keys": [] }))
}

fn origin(request: &Request) -> String {
    format!("{}://{}", request.scheme, request.host)
}

/// This cloud's Graph, or the sandbox itself: a published client makes that scope up from the base address it is given.
fn check_scope(request: &Request, scope: &str) -> Result<(), NoToken> {
    let resources: Option<Vec<&str>> = scope.split_whitespace().map(|scope| scope.strip_suffix("/.default")).collect();
    let Some((first, others)) = resources.as_deref().and_then(<[_]>::split_first) else { return Err(errors::SCOPE) };
    let own = origin(request);
    let known = |resource: &str| [GRAPH, &own].iter().any(|known| known.eq_ignore_ascii_case(resource));
    if !known(first) || !others.iter().all(|other| known(other)) {
        return Err(errors::RESOURCE);
    }
    if others.iter().any(|other| !other.eq_ignore_ascii_case(first)) {
        return Err(errors::RESOURCES);
    }
    Ok(())
}

fn refuse(context: &Context<'_>, form: &[(String, String)], NoToken(status, error, number, text): NoToken) -> Response {
    let trace = context.request_id();
    let correlation = match (context.request.client_request_id.as_deref(), field(form, "client-request-id")) {
        (Some(header), _) => header,
        (None, "") => &trace,
        (None, field) => field,
    };
    let timestamp = format_time(context.at.wall_ms, "%Y-%m-%d %H:%M:%SZ");
    let description = format!(
        "AADSTS{number}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {timestamp}"
    );
    json_response(
        status,
        &json!({
            "error": error, "error_description": description, "error_codes": [number], "timestamp": timestamp,
            "trace_id": trace, "correlation_id": correlation,
            "error_uri": format!("{}/error?code={number}", origin(context.request)),
        }),
    )
}

fn json_response(status: u16, body: &serde_json::Value) -> Response {
    let headers = vec![("Content-Type".to_owned(), "application/json; charset=utf-8".to_owned())];
    Response { status, headers, body: body.to_string() }
}

/// A field of a form; one that is not there is empty.
fn field<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
    form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
}

/// Client id and secret from `Basic`, each percent-encoded (RFC 6749, 2.3.1).
fn basic(authorization: &str) -> Option<(String, String)> {
    let text = String::from_utf8(base64(authorization.strip_prefix("Basic ")?.trim())?).ok()?;
    let (client, secret) = text.split_once(':')?;
    Some((decode(client), decode(secret)))
}

/// Decoded standard base64.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for chunk in text.trim_end_matches('=').as_bytes().chunks(4) {
        let mut bits = 0u32;
        for byte in chunk {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let [_, decoded @ ..] = (bits << (6 * (4 - chunk.len()))).to_be_bytes();
        bytes.extend_from_slice(&decoded[..chunk.len() - 1]);
    }
    Some(bytes)
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
