//! A test person is set, read and cleared. What Graph accepts and what it shows are two things.

use std::time::Duration;

use serde_json::Value;

use super::{Finding, Report, State};
use crate::cli::status;
use crate::config::Config;
use crate::graph::{Body, Call, Failure, Graph, Seen, Sent};
use crate::presence::{Mono, ObjectId, Outcome, Presence};

const CHECK: &str = "probe";
/// Graph shows a change at once, as far as is known; a moment is allowed.
const READS: u32 = 5;
const APART: Duration = Duration::from_secs(1);
/// The shortest that Graph takes: should the clear fail, it ends by itself.
const EXPIRATION: Duration = Duration::from_secs(300);

pub(super) async fn look(config: &Config, graph: &Graph, label: &str, report: &mut Report) {
    let Some(person) = config.plan.people.iter().find(|who| who.label.eq_ignore_ascii_case(label)) else {
        let remedy = "name somebody from [users] or the people file, whose presence may be changed for a moment";
        return report.tell(Finding::new(
            CHECK,
            State::Failed,
            format!("nobody of the name {label} is listed"),
            remedy,
        ));
    };
    if let Some(held) = held_by_bridge(config, &person.label).await {
        let text =
            format!("the running bridge keeps {label} at {held}: the probe was not made, since it would end that");
        let remedy = "name somebody whom no device concerns, or try again when the bridge holds nothing for them";
        return report.tell(Finding::new(CHECK, State::Failed, text, remedy));
    }
    let id = person.object_id;
    let before = read(graph, id).await.ok().flatten();
    let busy = before.as_ref().is_some_and(|seen| seen.is("Busy", "InACall"));
    let pair = if busy { Presence::InAConferenceCall } else { Presence::InACall };
    let set = graph.send(Call {
        object_id: id,
        body: Body::Set { presence: pair, expiration: EXPIRATION },
        not_after: Mono::MAX,
    });
    let set = set.await;
    if set.outcome != Outcome::Accepted {
        return report.tell(refused("setPresence", label, &set));
    }
    let shown = wait(graph, id, |seen| is(seen, pair)).await;
    let cleared = graph.send(Call { object_id: id, body: Body::Clear, not_after: Mono::MAX }).await;
    report.tell(match &shown {
        Ok(seen) => judge(label, pair, before.as_ref(), seen.as_ref()),
        Err(failure) => {
            let text = format!("Graph took the call, but does not say what {label} shows: {}", failure.error);
            Finding::new(CHECK, State::Failed, text, "try again").of(failure)
        }
    });
    if cleared.outcome != Outcome::Accepted {
        return report.tell(refused("clearPresence", label, &cleared));
    }
    if shown.is_ok_and(|seen| is(seen.as_ref(), pair)) {
        report.tell(gone(graph, id, label, pair).await);
    }
}

/// The probe writes and clears the very session that a running bridge keeps, and the bridge would not know.
async fn held_by_bridge(config: &Config, label: &str) -> Option<String> {
    let asked = status::first_answer(&status::addresses(&config.admin), &format!("/status/{label}")).await;
    let (_, body) = asked.ok()?; // none runs here, or none that tells us
    let answer: Value = serde_json::from_str(&body).ok()?;
    let held = answer["held"].as_str().filter(|held| *held != "none");
    answer["wanted"].as_str().or(held).map(str::to_owned)
}

fn is(seen: Option<&Seen>, pair: Presence) -> bool {
    seen.is_some_and(|seen| seen.is(pair.availability(), pair.activity()))
}

async fn read(graph: &Graph, id: ObjectId) -> Result<Option<Seen>, Failure> {
    let seen = graph.presences(&[id]).await.map_err(|unread| *unread.failure)?;
    Ok(seen.into_iter().find(|seen| seen.id == id))
}

/// Reads until it is so, or for some seconds.
async fn wait(graph: &Graph, id: ObjectId, so: impl Fn(Option<&Seen>) -> bool) -> Result<Option<Seen>, Failure> {
    let mut seen = read(graph, id).await?;
    for _ in 1..READS {
        if so(seen.as_ref()) {
            break;
        }
        tokio::time::sleep(APART).await;
        seen = read(graph, id).await?;
    }
    Ok(seen)
}

fn judge(label: &str, pair: Presence, before: Option<&Seen>, seen: Option<&Seen>) -> Finding {
    let wanted = pair.as_str();
    let Some(seen) = seen.filter(|seen| !seen.is_unknown()) else {
        let text = format!("Graph took {wanted} for {label}, and says that their presence is unknown");
        let remedy =
            "the person needs a mailbox in the cloud and a licence for Teams in this tenant, and Teams enabled";
        return Finding::new(CHECK, State::Failed, text, remedy);
    };
    let found = format!("{}/{}", seen.availability, seen.activity);
    if is(Some(seen), pair) {
        let text = format!(
            "Graph shows {wanted} for {label}. Teams clients ask for presence about every four minutes: what colleagues see \
             there may follow that much later, and is no sign that it fails"
        );
        return Finding::ok(CHECK, text);
    }
    // Whoever appears offline by choice is Offline/OffWork; without any session it is Offline/Offline.
    let nothing = seen.is("Offline", "Offline")
        || before.is_some_and(|before| *before == *seen && before.is("Available", "Available"));
    if nothing {
        let text = format!("Graph took {wanted} for {label} with 200, and nothing changed: it shows {found}");
        let remedy = "known causes: no licence for Teams or Teams not enabled for the person, an account that was never signed in \
                      to Teams, or a fault of the service; wait some minutes and try again, try another person, then open a case \
                      with Microsoft with the time of this run";
        return Finding::new(CHECK, State::Failed, text, remedy);
    }
    let text = format!(
        "Graph took {wanted} for {label}, and colleagues see {found}: something stronger is in force. A status chosen by hand in \
         Teams always wins, and no application can override it"
    );
    let remedy = "the person resets it in Teams (their picture, the status, Reset status); it also ends by itself, Busy and Do not \
                  disturb after a day, others after a week. Among sessions DoNotDisturb > Busy > Available > Away";
    Finding::new(CHECK, State::Warning, text, remedy)
}

async fn gone(graph: &Graph, id: ObjectId, label: &str, pair: Presence) -> Finding {
    match wait(graph, id, |seen| !is(seen, pair)).await {
        Ok(seen) if !is(seen.as_ref(), pair) => {
            Finding::ok(CHECK, format!("cleared, and Graph shows it no more for {label}"))
        }
        Ok(_) => {
            let text = format!("cleared, and Graph still shows {} for {label}", pair.as_str());
            let remedy = "another session says the same: a Teams client in a call, or a bridge that runs";
            Finding::new(CHECK, State::Warning, text, remedy)
        }
        Err(failure) => {
            Finding::new(CHECK, State::Warning, format!("cleared, but not read back: {}", failure.error), "")
                .of(&failure)
        }
    }
}

fn refused(call: &str, label: &str, sent: &Sent) -> Finding {
    let failure = sent.failure.as_ref();
    let (why, remedy) = match sent.outcome {
        Outcome::Forbidden { role_missing: true } => (
            "the token lacks Presence.ReadWrite.All",
            "grant the application permission Presence.ReadWrite.All with admin consent; docs/entra.md, step 2",
        ),
        Outcome::Forbidden { role_missing: false } => (
            "Graph refuses the application for this person",
            "if others go through, the account is protected or in another tenant; else grant Presence.ReadWrite.All with admin \
             consent",
        ),
        Outcome::Unauthorised => {
            ("Graph does not take the token", "check that cloud in [graph] is the tenant's, and this machine's clock")
        }
        Outcome::NoSuchUser => (
            "Graph does not know the person",
            "check the object id: the Object ID of the person in this tenant, not a user name",
        ),
        Outcome::Throttled { .. } => ("Graph is busy with this application", "try again in some minutes"),
        Outcome::NotSent => (
            "Graph cannot be reached",
            "check that Graph's host can be reached from here: DNS, firewall, proxy in [graph]",
        ),
        _ => ("no clean answer", "try again; if it stays, give the request-id to Microsoft's support"),
    };
    let error = failure.map_or("", |failure| &failure.error);
    let finding = Finding::new(CHECK, State::Failed, format!("{call} for {label}: {why}: {error}"), remedy);
    match failure {
        Some(failure) => finding.of(failure),
        None => finding,
    }
}
