//! Cloud, token, what the token may, and the clock.

use super::{Finding, Report, State};
use crate::clock::Clock;
use crate::config::Config;
use crate::graph::{Claims, Graph, NoToken, REPLACE, expiry_stage};

const ROLE: &str = "Presence.ReadWrite.All";
const GRANT: &str = "in Entra, App registrations, the application, API permissions: add the application permission (not the \
                     delegated one) Presence.ReadWrite.All of Microsoft Graph, then grant admin consent; docs/entra.md, step 2. A \
                     token that is out already lacks it for up to an hour";
const PERMISSIONS: &str = "permissions";
/// Graph as an audience, by its application id.
const GRAPH_ID: &str = "00000003-0000-0000-c000-000000000000";
const GRAPHS: [&str; 3] =
    ["https://graph.microsoft.com", "https://graph.microsoft.us", "https://dod-graph.microsoft.us"];
/// Entra allows five minutes; nobody's clock should be near that.
const SUSPICIOUS_S: i64 = 60;
const TOO_FAR_S: i64 = 300;
const DAY_S: u64 = 24 * 3600;

/// Login and Graph hosts belong together; the configuration sees to that.
pub(super) fn cloud(config: &Config) -> Finding {
    let (login, graph) = (config.graph.login_url.as_str(), config.graph.graph_url.as_str());
    let name = match graph {
        "https://graph.microsoft.com" => "global (and GCC)",
        "https://graph.microsoft.us" => "GCC High",
        "https://dod-graph.microsoft.us" => "DoD",
        _ => {
            let text = format!("other endpoints than Microsoft's: login at {login}, Graph at {graph}");
            let remedy = "take login_url and graph_url out of [graph] for a real tenant";
            return Finding::new("cloud", State::Warning, text, remedy);
        }
    };
    Finding::ok("cloud", format!("{name}: login at {login}, Graph at {graph}"))
}

pub(super) fn no_token(none: &NoToken) -> Finding {
    // The application has several ids, and people take the wrong one.
    let which =
        "; client_id is the Application (client) ID of the app registration, not its Object ID, and not a Teams app's";
    let remedy = if none.code == Some(700_016) { format!("{}{which}", none.remedy) } else { none.remedy.to_owned() };
    Finding::new("token", State::Failed, &none.error, remedy)
}

/// When the secret or certificate ends, where that is known.
pub(super) fn credential(graph: &Graph, report: &mut Report) {
    const CHECK: &str = "credential";
    let Some((kind, ends)) = graph.credential_ends() else { return };
    let now = Clock::live().real_wall();
    let date = jiff::Timestamp::from_millisecond(ends.as_millis()).unwrap_or_default();
    let days = ends.since(now).as_secs() / DAY_S;
    report.tell(match expiry_stage(ends, now) {
        None => Finding::ok(CHECK, format!("the {kind} ends at {date}, in {days} days")),
        Some(0) => Finding::new(CHECK, State::Warning, format!("the {kind} ended at {date}"), REPLACE),
        Some(_) => Finding::new(CHECK, State::Warning, format!("the {kind} ends at {date}, in {days} days"), REPLACE),
    });
}

pub(super) fn claims(config: &Config, claims: Option<&Claims>, report: &mut Report) {
    let Some(claims) = claims else {
        let text = "the token cannot be read, so that what it may cannot be told";
        return report.tell(Finding::new(PERMISSIONS, State::Warning, text, "try --probe with a test person"));
    };
    report.tell(roles(claims));
    let wrong = [audience(config, claims), tenant(config, claims), application(config, claims)];
    let mut well = true;
    for finding in wrong.into_iter().flatten() {
        well = false;
        report.tell(finding);
    }
    if well {
        let id = claims.client_id.as_deref().unwrap_or("unknown");
        report.tell(Finding::ok("application", format!("{id}, which is also the id of the presence sessions")));
    }
}

fn roles(claims: &Claims) -> Finding {
    let held = if claims.roles.is_empty() { "none".to_owned() } else { claims.roles.join(", ") };
    if claims.has_role() {
        return Finding::ok(PERMISSIONS, held);
    }
    if !claims.scopes.is_empty() {
        let text = format!(
            "the token is a delegated one, for somebody who is signed in (scp: {}): Graph lets it set nobody's presence but \
             their own, and answers 401 for others",
            claims.scopes.join(" ")
        );
        let remedy = "use a credential of the application itself: a client secret, a certificate, or an identity of Azure; with \
                      credential = \"azure-cli\", log in as a service principal (az login --service-principal)";
        return Finding::new(PERMISSIONS, State::Failed, text, remedy);
    }
    let text = format!(
        "the token lacks {ROLE}, so that Graph answers every call with 403 and an empty message; application permissions \
         that it has: {held}"
    );
    Finding::new(PERMISSIONS, State::Failed, text, GRANT)
}

fn audience(config: &Config, claims: &Claims) -> Option<Finding> {
    let found = claims.audience.as_deref()?;
    let (graph, found) = (config.graph.graph_url.as_str(), found.trim_end_matches('/'));
    // Other endpoints than Microsoft's stand in for one of its clouds.
    let stands_in = !GRAPHS.contains(&graph) && GRAPHS.contains(&found);
    let fits = found == GRAPH_ID || found == graph || stands_in;
    let text = format!("the token is for {found}, not for {graph}");
    (!fits).then(|| {
        Finding::new(
            "audience",
            State::Failed,
            text,
            "check cloud in [graph]: tokens of one cloud are no good in another",
        )
    })
}

fn tenant(config: &Config, claims: &Claims) -> Option<Finding> {
    let (found, wanted) = (claims.tenant_id.as_deref()?, config.graph.tenant_id.to_string());
    let text = format!("the token is by {found}, [graph] names {wanted}");
    let remedy =
        "check tenant_id in [graph]; a managed identity or `az login` belongs to the tenant of its subscription";
    (!found.eq_ignore_ascii_case(&wanted)).then(|| Finding::new("tenant", State::Failed, text, remedy))
}

fn application(config: &Config, claims: &Claims) -> Option<Finding> {
    let (found, wanted) = (claims.client_id.as_deref()?, config.graph.client_id?.to_string());
    let text = format!(
        "the token is of application {found}, [graph] names {wanted}; presence sessions carry the token's, the Application \
         (client) ID"
    );
    let remedy = "put the Application (client) ID of the app registration into client_id of [graph], not its Object ID and not the \
                  id of a Teams app, or leave it out where the credential knows it";
    (!found.eq_ignore_ascii_case(&wanted)).then(|| Finding::new("application", State::Failed, text, remedy))
}

/// `behind`: seconds.
pub(super) fn clock(behind: Option<i64>) -> Finding {
    let Some(behind) = behind else {
        return Finding::new("clock", State::Warning, "nobody answered, so that the clock cannot be compared", "");
    };
    let side = if behind > 0 { "behind" } else { "ahead of" };
    let text = format!("this machine's clock is {} s {side} Microsoft's", behind.abs());
    let remedy = "set the clock, by NTP: timedatectl set-ntp true";
    match behind.abs() {
        seconds if seconds <= SUSPICIOUS_S => Finding::ok("clock", format!("within {SUSPICIOUS_S} s of Microsoft's")),
        seconds if seconds <= TOO_FAR_S => Finding::new("clock", State::Warning, text, remedy),
        _ => Finding::new(
            "clock",
            State::Failed,
            format!("{text}: tokens are refused as expired or not yet valid"),
            remedy,
        ),
    }
}
