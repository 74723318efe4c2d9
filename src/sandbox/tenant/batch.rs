//! `$batch`: up to twenty requests in one. Each is judged, counted and answered alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Tenant;
use super::assumptions as known;
use super::context::{Context, is_media_type};
use super::wire::{Request, Response};

struct Part {
    id: String,
    request: Request,
    after: Vec<String>,
    /// With a body that says not what it is.
    unnamed: bool,
}

impl Tenant {
    pub(super) fn batch(&mut self, context: &Context<'_>) -> Result<Response, Response> {
        self.authorise(context.at.real_ms, context.request).map_err(|refusal| context.refuse(refusal))?;
        if !is_media_type(context.request.content_type.as_deref(), "application/json") {
            return Err(context.refuse(known::MEDIA_TYPE));
        }
        let body: Value = serde_json::from_slice(&context.request.body).map_err(|_| context.refuse(known::NOT_JSON))?;
        let parts = parts(context.request, &body).ok_or_else(|| context.refuse(known::BATCH))?;
        let mut earlier = BTreeSet::new();
        for part in &parts {
            if part.after.iter().any(|id| !earlier.contains(id)) {
                return Err(context.refuse_about(known::DEPENDENCY, &part.id));
            }
            earlier.insert(part.id.clone());
        }
        let mut done: BTreeMap<&str, u16> = BTreeMap::new();
        let mut responses = Vec::new();
        for part in &parts {
            let failed = part.after.iter().any(|id| done.get(id.as_str()).is_none_or(|status| *status >= 400));
            let response = self.part(context, part, failed);
            done.insert(&part.id, response.status);
            responses.push(as_json(&part.id, response));
        }
        if known::BATCH_SHUFFLES {
            self.dice.shuffle(&mut responses);
        }
        Ok(context.respond(200, json!({ "responses": responses }).to_string()))
    }

    fn part(&mut self, context: &Context<'_>, part: &Part, failed: bool) -> Response {
        if failed {
            return context.refuse(known::FAILED_DEPENDENCY);
        }
        if part.unnamed {
            return context.refuse(known::PART_MEDIA_TYPE);
        }
        let response = self.one(context.at, &part.request).response;
        // A connection that a fault would close is not a part's own.
        if response.status == 0 { context.respond(502, String::new()) } else { response }
    }
}

/// `None`: the whole batch cannot be used.
fn parts(outer: &Request, body: &Value) -> Option<Vec<Part>> {
    let requests = body.get("requests")?.as_array()?;
    if requests.is_empty() || requests.len() > known::BATCH_MOST {
        return None;
    }
    let mut ids = BTreeSet::new();
    let parts: Option<Vec<Part>> = requests.iter().map(|part| read(outer, part)).collect();
    parts.filter(|parts| parts.iter().all(|part| ids.insert(part.id.clone())))
}

fn read(outer: &Request, part: &Value) -> Option<Part> {
    let text = |key: &str| part.get(key).and_then(Value::as_str);
    let (id, method, url) = (text("id")?, text("method")?, text("url")?);
    let headers = part.get("headers").and_then(Value::as_object);
    let header = |name: &str| {
        let found = headers?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        found.1.as_str().map(str::to_owned)
    };
    let body = part.get("body").filter(|body| !body.is_null());
    let after = match part.get("dependsOn") {
        None | Some(Value::Null) => Vec::new(),
        Some(ids) => ids.as_array()?.iter().map(|id| id.as_str().map(str::to_owned)).collect::<Option<_>>()?,
    };
    let version = if super::routes::is_beta(outer) { "beta" } else { "v1.0" };
    // An address with host or version is a path of unknown segments, as at Graph.
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => url.trim_start_matches('/'),
    };
    let content_type = header("content-type");
    Some(Part {
        id: id.to_owned(),
        after,
        unnamed: body.is_some() && content_type.is_none(),
        request: Request {
            method: method.to_uppercase(),
            path: format!("/{version}/{path}"),
            content_type,
            client_request_id: header("client-request-id"),
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
            ..outer.clone()
        },
    })
}

/// No `body` for an empty answer, and `Content-Type` in this very case: published clients insist on both.
fn as_json(id: &str, response: Response) -> Value {
    let shown = |name: &str| ["Content-Type", "Retry-After"].contains(&name);
    let headers: BTreeMap<String, String> = response.headers.into_iter().filter(|(name, _)| shown(name)).collect();
    let mut part = json!({ "id": id, "status": response.status, "headers": headers });
    if !response.body.is_empty() {
        part["body"] = serde_json::from_str(&response.body).unwrap_or(Value::String(response.body));
    }
    part
}
