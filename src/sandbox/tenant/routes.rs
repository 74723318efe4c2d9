//! Where a request goes.

use super::assumptions::{self as known, Refusal};
use super::encoding::decode;
use super::wire::Request;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Token(String),
    OpenId(String),
    Keys,
    InstanceDiscovery,
    /// The identity endpoint of a virtual machine.
    Imds,
    /// The identity endpoint of App Service.
    AppService,
    Set(String),
    Clear(String),
    Prefer(String),
    Unprefer(String),
    StatusMessage(String),
    Location(String),
    Get(String),
    Bulk,
    User(String),
    Batch,
    Me,
    WrongMethod,
    /// With the segment that is not known.
    Unknown(String),
    /// Known, but not in this cloud.
    Absent(Refusal),
}

impl Route {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Route::Token(_) => "token",
            Route::OpenId(_) => "openid-configuration",
            Route::Keys => "keys",
            Route::InstanceDiscovery => "instance-discovery",
            Route::Imds | Route::AppService => "identity",
            Route::Set(_) => "setPresence",
            Route::Clear(_) => "clearPresence",
            Route::Prefer(_) => "setUserPreferredPresence",
            Route::Unprefer(_) => "clearUserPreferredPresence",
            Route::StatusMessage(_) => "setStatusMessage",
            Route::Location(_) => "location",
            Route::Get(_) => "presence",
            Route::Bulk => "getPresencesByUserId",
            Route::User(_) => "user",
            Route::Batch => "$batch",
            Route::Me => "me",
            Route::WrongMethod | Route::Unknown(_) | Route::Absent(_) => "unknown",
        }
    }

    pub(super) fn user(&self) -> &str {
        match self {
            Route::Set(user)
            | Route::Clear(user)
            | Route::Prefer(user)
            | Route::Unprefer(user)
            | Route::StatusMessage(user)
            | Route::Location(user)
            | Route::Get(user)
            | Route::User(user) => user,
            _ => "",
        }
    }

    pub(super) fn is_presence(&self) -> bool {
        !self.user().is_empty() && !matches!(self, Route::User(_)) || matches!(self, Route::Bulk)
    }

    pub(super) fn is_write(&self) -> bool {
        self.is_presence() && !matches!(self, Route::Get(_) | Route::Bulk)
    }
}

/// Repeated slashes count once: a published client sends them.
pub(super) fn route(request: &Request) -> Route {
    let path = request.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let post = request.method == "POST";
    match *parts.as_slice() {
        ["v1.0" | "beta", ref rest @ ..] => graph(&request.method, rest),
        [tenant, "oauth2", "v2.0", "token"] if post => Route::Token(tenant.to_lowercase()),
        [tenant, "v2.0", ".well-known", "openid-configuration"] | [tenant, ".well-known", "openid-configuration"] => {
            Route::OpenId(tenant.to_lowercase())
        }
        [_, "discovery", "v2.0", "keys"] => Route::Keys,
        ["common", "discovery", "instance"] => Route::InstanceDiscovery,
        ["metadata", "identity", "oauth2", "token"] => Route::Imds,
        ["msi", "token"] => Route::AppService,
        [first, ..] => Route::Unknown(first.to_owned()),
        [] => Route::Unknown(String::new()),
    }
}

/// Whether it is for `/beta`.
pub(super) fn is_beta(request: &Request) -> bool {
    request.path.split('/').find(|part| !part.is_empty()) == Some("beta")
}

/// Below the version.
fn graph(method: &str, parts: &[&str]) -> Route {
    let (get, post) = (method == "GET", method == "POST");
    let only = |right: bool, route: Route| if right { route } else { Route::WrongMethod };
    match *parts {
        ["$batch"] => only(post, Route::Batch),
        ["me", ..] => Route::Me,
        ["users", who] => only(get, Route::User(person(who))),
        ["users", who, "presence"] | ["communications", "presences", who] => only(get, Route::Get(person(who))),
        ["users", who, "presence", action] | ["communications", "presences", who, action] => {
            let plain = action.strip_prefix("microsoft.graph.").unwrap_or(action);
            match write(plain, person(who)) {
                Some(route) => only(post, route),
                None => Route::Unknown(action.to_owned()),
            }
        }
        ["communications", "getPresencesByUserId"] => only(post, Route::Bulk),
        ["users", _, other, ..] | ["communications", other, ..] | [other, ..] => Route::Unknown(other.to_owned()),
        [] => Route::Unknown(String::new()),
    }
}

fn write(action: &str, who: String) -> Option<Route> {
    Some(match action {
        "setPresence" => Route::Set(who),
        "clearPresence" => Route::Clear(who),
        "setUserPreferredPresence" => Route::Prefer(who),
        "clearUserPreferredPresence" => Route::Unprefer(who),
        "setStatusMessage" => Route::StatusMessage(who),
        "setManualLocation" | "setAutomaticLocation" | "clearAutomaticLocation" | "clearLocation" => {
            Route::Location(who)
        }
        _ => return None,
    })
}

fn person(segment: &str) -> String {
    decode(segment).to_lowercase()
}

/// What is known, but not in every cloud.
pub(super) fn in_cloud(route: Route, has_presence: bool, refuse_beta: bool) -> Route {
    match route {
        route if !route.is_presence() => route,
        _ if !has_presence => Route::Absent(known::NOT_IN_CLOUD),
        _ if refuse_beta => Route::Absent(known::NO_BETA),
        route => route,
    }
}
