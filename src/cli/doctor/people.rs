//! Whether Graph knows everybody who is listed.

use std::collections::HashMap;
use std::time::Duration;

use super::{Finding, Report, State};
use crate::config::Config;
use crate::graph::{Graph, MOST_IDS, Seen, Unread};
use crate::presence::{ObjectId, Outcome, PersonPlan};

const CHECK: &str = "people";
/// As many names as a line shows.
const SHOWN: usize = 20;
/// A bulk read each: a running bridge keeps nearly all of its budget.
const APART: Duration = Duration::from_millis(200);
/// A throttled read is tried again after so long at most.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn look(config: &Config, graph: &Graph, report: &mut Report) {
    names(config, graph, report).await;
    let people = &config.plan.people;
    let mut seen: HashMap<ObjectId, Seen> = HashMap::with_capacity(people.len());
    for some in people.chunks(MOST_IDS) {
        match read(graph, some).await {
            Ok(list) => seen.extend(list.into_iter().map(|seen| (seen.id, seen))),
            Err(unread) => return report.tell(unreadable(&unread)),
        }
        if seen.len() < people.len() {
            tokio::time::sleep(APART).await;
        }
    }
    let missing: Vec<&PersonPlan> = people.iter().filter(|who| !seen.contains_key(&who.object_id)).collect();
    let unknown = |who: &&PersonPlan| seen.get(&who.object_id).is_some_and(Seen::is_unknown);
    let unknown: Vec<&PersonPlan> = people.iter().filter(unknown).collect();
    if !missing.is_empty() {
        let text = format!("Graph knows nothing of {}", list(&missing));
        let remedy = "check the object ids in [users] and the people file: the Object ID of the person in this tenant, not of an \
                      application or a group, and not a user name; the account may have been deleted";
        report.tell(Finding::new(CHECK, State::Failed, text, remedy));
    }
    if !unknown.is_empty() {
        let text = format!("Graph says PresenceUnknown of {}", list(&unknown));
        let remedy = "presence is for users with a mailbox in the cloud and a licence for Teams, in this tenant; guests have none. \
                      An id that is a user name or a mail address is answered so, too";
        report.tell(Finding::new(CHECK, State::Warning, text, remedy));
    }
    if missing.is_empty() && unknown.is_empty() {
        report.tell(Finding::ok(CHECK, format!("Graph knows all {}", people.len())));
    }
}

/// User names are looked up by the bridge when it runs; here it is tried with one.
async fn names(config: &Config, graph: &Graph, report: &mut Report) {
    let waiting = &config.people.waiting;
    let Some((_, name)) = waiting.first() else { return };
    let count = waiting.len();
    let finding = match graph.user_id(name).await {
        Ok(_) => {
            Finding::ok("names", format!("{count} user names are not looked up yet: the bridge does so when it runs"))
        }
        Err(unread) if matches!(unread.why, Outcome::Forbidden { .. }) => {
            let text = format!("Graph does not let the application look up user names ({})", unread.failure.error);
            let remedy = "grant the application permission User.Read.All with admin consent, or list object ids and take \
                          resolve_names out of [people]";
            Finding::new("names", State::Failed, text, remedy).of(&unread.failure)
        }
        Err(unread) if unread.why == Outcome::NoSuchUser => {
            let remedy = "correct the name in the list, or take the person out";
            Finding::new("names", State::Warning, format!("Graph knows no user {name}"), remedy).of(&unread.failure)
        }
        Err(unread) => unreadable(&unread),
    };
    report.tell(finding);
}

/// Once more if Graph is busy: with several hundred people listed, a bridge that runs may have used the budget up.
async fn read(graph: &Graph, people: &[PersonPlan]) -> Result<Vec<Seen>, Unread> {
    let ids: Vec<ObjectId> = people.iter().map(|who| who.object_id).collect();
    match graph.presences(&ids).await {
        Err(Unread { why: Outcome::Throttled { retry_after }, .. }) => {
            tokio::time::sleep(retry_after.unwrap_or(PATIENCE).min(PATIENCE)).await;
            graph.presences(&ids).await
        }
        read => read,
    }
}

fn unreadable(unread: &Unread) -> Finding {
    let remedy = match unread.why {
        Outcome::Forbidden { .. } => "grant the application permission Presence.ReadWrite.All with admin consent",
        Outcome::Unauthorised => "check that cloud in [graph] is the tenant's, and this machine's clock",
        Outcome::NotSent => "check that Graph's host can be reached from here: DNS, firewall, proxy in [graph]",
        Outcome::Throttled { .. } => "Graph is busy with this application: try again in some minutes",
        _ => "try again; if it stays, give the request-id to Microsoft's support",
    };
    let text = format!("Graph does not say what people show: {}", unread.failure.error);
    Finding::new(CHECK, State::Failed, text, remedy).of(&unread.failure)
}

fn list(people: &[&PersonPlan]) -> String {
    let shown: Vec<String> =
        people.iter().take(SHOWN).map(|who| format!("{} ({})", who.label, who.object_id)).collect();
    let more = people.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}
