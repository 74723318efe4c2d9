//! The token endpoint. Lifetimes are real, on whatever clock the rest runs.

use serde_json::json;

use super::assumptions::{self as known, NoToken, Refusal, TokenCheck};
use super::context::{Context, format_time, is_media_type};
use super::encoding::{base64url, basic, field, form, jwt};
use super::settings::AppRef;
use super::wire::{Request, Response};
use super::{Tenant, assertion};

/// A token that was given out.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    ends_ms: i64,
    roles: Vec<String>,
    /// Which application's: 0 is the first.
    pub(super) app: usize,
}

/// A token as it is handed over.
pub(super) struct Issued {
    pub(super) token: String,
    /// Seconds.
    pub(super) life: u64,
    pub(super) issued: i64,
}

impl Tenant {
    /// Whose token a request carries.
    pub(super) fn authorise(&self, real_ms: i64, request: &Request) -> Result<&Grant, Refusal> {
        let bearer = request.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
        let token = bearer.filter(|token| !token.is_empty()).ok_or(known::NO_TOKEN)?;
        match self.tokens.get(token) {
            Some(grant) if real_ms < grant.ends_ms => Ok(grant),
            Some(_) => Err(known::BAD_TOKEN),
            None => Err(self.foreign(request, token)),
        }
    }

    /// What a token allows.
    pub(super) fn roles<'a>(&'a self, grant: &'a Grant) -> &'a [String] {
        let now = || self.settings.all_apps().nth(grant.app).map_or(&[][..], |app| app.roles);
        if known::ROLES_STAY_IN_TOKEN { &grant.roles } else { now() }
    }

    /// Why a token that is not ours is none: what it says of itself tells.
    fn foreign(&self, request: &Request, token: &str) -> Refusal {
        let Some(claims) = jwt(token, 1) else { return known::BAD_TOKEN };
        let is = |key: &str, right: &[&str]| {
            claims.get(key).and_then(serde_json::Value::as_str).is_some_and(|value| right.contains(&value))
        };
        if !is("aud", &[self.settings.cloud.graph(), &request.origin(), known::GRAPH_APP]) {
            return known::AUDIENCE;
        }
        if is("tid", &[&self.settings.tenant_id]) { known::BAD_TOKEN } else { known::OTHER_TENANT }
    }

    /// Ends every token that was given out, as a revocation does.
    pub fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    pub(super) fn token(&mut self, context: &Context<'_>, tenant: &str) -> Response {
        let form = form(&String::from_utf8_lossy(&context.request.body));
        match self.check(context, &form, tenant) {
            Ok(app) => {
                let Issued { token, life, .. } = self.issue(context, app);
                Response::json(200, &json!({ "token_type": "Bearer", "expires_in": life, "access_token": token }))
            }
            Err(refused) => refuse(context, &form, refused),
        }
    }

    /// Which application it is, or the first failure in the table's order.
    fn check(&self, context: &Context<'_>, form: &[(String, String)], tenant: &str) -> Result<usize, NoToken> {
        let request = context.request;
        let basic = request.authorization.as_deref().and_then(basic);
        let client = basic.as_ref().map_or_else(|| field(form, "client_id"), |(client, _)| client.as_str());
        let found = self.settings.app(client);
        for check in known::TOKEN_ORDER {
            match (check, found) {
                (TokenCheck::Form, _) => {
                    if !is_media_type(request.content_type.as_deref(), "application/x-www-form-urlencoded") {
                        return Err(known::NOT_A_FORM);
                    }
                }
                (TokenCheck::Grant, _) => match field(form, "grant_type") {
                    "client_credentials" => {}
                    "" => return Err(known::NO_GRANT),
                    _ => return Err(known::GRANT),
                },
                (TokenCheck::Tenant, _) if tenant != self.settings.tenant_id => return Err(known::TENANT),
                (TokenCheck::Application, None) => return Err(known::CLIENT),
                (TokenCheck::Credential, Some((_, app))) => {
                    let secret = basic.as_ref().map_or_else(|| field(form, "client_secret"), |(_, secret)| secret);
                    match field(form, "client_assertion") {
                        "" => check_secret(app, secret)?,
                        signed => {
                            let kind = field(form, "client_assertion_type");
                            assertion::check(app, tenant, kind, signed, context.at.real_ms)?;
                        }
                    }
                }
                (TokenCheck::Scope, _) => self.check_scope(request, field(form, "scope"))?,
                (TokenCheck::Tenant | TokenCheck::Application | TokenCheck::Credential, _) => {}
            }
        }
        found.map(|(place, _)| place).ok_or(known::CLIENT)
    }

    /// This cloud's Graph, or the sandbox itself: a published client makes that scope up from the base address it is given.
    fn check_scope(&self, request: &Request, scope: &str) -> Result<(), NoToken> {
        let resources = scope.split_whitespace().map(|scope| scope.strip_suffix("/.default"));
        let resources: Option<Vec<&str>> = resources.collect();
        let Some((first, others)) = resources.as_deref().and_then(<[_]>::split_first) else {
            return Err(known::SCOPE);
        };
        if !self.is_graph(request, first) || !others.iter().all(|other| self.is_graph(request, other)) {
            return Err(known::RESOURCE);
        }
        if others.iter().any(|other| !other.eq_ignore_ascii_case(first)) {
            return Err(known::RESOURCES);
        }
        Ok(())
    }

    /// Whether a resource is this cloud's Graph.
    pub(super) fn is_graph(&self, request: &Request, resource: &str) -> bool {
        let resource = resource.trim_end_matches('/');
        let ours = [self.settings.cloud.graph(), known::GRAPH_APP, &request.origin()];
        ours.iter().any(|own| own.eq_ignore_ascii_case(resource))
    }

    pub(super) fn issue(&mut self, context: &Context<'_>, place: usize) -> Issued {
        let now_ms = context.at.real_ms;
        let (life, issued) = (self.settings.token_ttl, now_ms / 1000);
        let tenant = &self.settings.tenant_id;
        let (mut client, mut roles, mut object_id) = (String::new(), Vec::new(), String::new());
        if let Some(app) = self.settings.all_apps().nth(place) {
            (client, roles) = (app.client_id.to_owned(), app.roles.to_vec());
            object_id = app.trusted.object_id.clone();
        }
        if object_id.is_empty() {
            object_id = format!("cccccccc-0000-4000-8000-{place:012x}");
        }
        let mut claims = json!({
            "aud": self.settings.cloud.graph(), "iss": format!("https://sts.windows.net/{tenant}/"), "tid": tenant,
            "appid": client, "azp": client, "oid": object_id, "sub": object_id, "idtyp": "app", "iat": issued,
            "nbf": issued, "exp": issued.saturating_add_unsigned(life), "jti": context.request_id(),
        });
        if !roles.is_empty() {
            claims["roles"] = json!(roles);
        }
        let header = json!({ "typ": "JWT", "alg": "none" });
        let token = format!("{}.{}.sandbox", base64url(&header.to_string()), base64url(&claims.to_string()));
        let ends_ms = now_ms.saturating_add_unsigned(life.saturating_mul(1000));
        self.tokens.retain(|_, grant| now_ms < grant.ends_ms);
        self.tokens.insert(token.clone(), Grant { ends_ms, roles, app: place });
        Issued { token, life, issued }
    }

    /// What published clients read before they ask for a token; addresses follow the request.
    pub(super) fn openid(&self, context: &Context<'_>, tenant: &str) -> Response {
        if tenant != self.settings.tenant_id {
            return refuse(context, &[], known::TENANT);
        }
        let origin = context.request.origin();
        Response::json(
            200,
            &json!({
                "issuer": format!("{origin}/{tenant}/v2.0"),
                "authorization_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/authorize"),
                "token_endpoint": format!("{origin}/{tenant}/oauth2/v2.0/token"),
                "jwks_uri": format!("{origin}/{tenant}/discovery/v2.0/keys"),
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "private_key_jwt"],
                "response_types_supported": ["token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }),
        )
    }

    /// That this host is an authority, for a client that asks it.
    pub(super) fn instance_discovery(&self, context: &Context<'_>) -> Response {
        let (origin, tenant) = (context.request.origin(), &self.settings.tenant_id);
        let host = &context.request.host;
        Response::json(
            200,
            &json!({
                "tenant_discovery_endpoint": format!("{origin}/{tenant}/v2.0/.well-known/openid-configuration"),
                "api-version": "1.1",
                "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
            }),
        )
    }
}

fn check_secret(app: AppRef<'_>, secret: &str) -> Result<(), NoToken> {
    if secret.is_empty() {
        return Err(known::NO_CREDENTIAL);
    }
    if app.secrets.iter().any(|known| known.strip_prefix("expired:") == Some(secret)) {
        return Err(known::EXPIRED);
    }
    if app.secrets.iter().any(|known| known == secret) { Ok(()) } else { Err(known::SECRET) }
}

/// Nobody checks the signatures of the sandbox; the document has to name an address that answers.
pub(super) fn keys() -> Response {
    Response::json(200, &json!({ "keys": [] }))
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
    Response::json(
        status,
        &json!({
            "error": error, "error_description": description, "error_codes": [number], "timestamp": timestamp,
            "trace_id": trace, "correlation_id": correlation,
            "error_uri": format!("{}/error?code={number}", context.request.origin()),
        }),
    )
}
