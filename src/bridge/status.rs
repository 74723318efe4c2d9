//! What the bridge answers when it is asked how it is: one look at everything, at the moment of the question.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::{Value, json};

use super::links::{Link, State};
use super::{Bridge, metrics, words};
use crate::admin::{Answer, Asked, Question};
use crate::graph::{self, Graph};
use crate::presence::{Held, Mono, Now, Standing, TenantId, View, Waiting};

/// Graph counts calls over this.
pub(super) const WINDOW: Duration = Duration::from_secs(30);
const DAY_S: u64 = 24 * 3600;
/// As many names as a list in the status shows.
const SHOWN: usize = 20;

/// What there is to show for asking Graph.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenState {
    DryRun,
    Fetching,
    Good { roles: Vec<String>, expires: Option<crate::presence::Timestamp> },
    None { error: String, remedy: &'static str },
}

impl TokenState {
    /// As it is now; asks nobody.
    pub(super) fn of(graph: Option<&Graph>) -> Self {
        let Some(graph) = graph else { return TokenState::DryRun };
        match pin!(graph.claims()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => TokenState::Fetching,
            Poll::Ready(Ok(claims)) => {
                let claims = claims.unwrap_or_default();
                TokenState::Good { roles: claims.roles, expires: claims.expires }
            }
            Poll::Ready(Err(none)) => TokenState::None { error: none.error, remedy: none.remedy },
        }
    }

    fn json(&self) -> Value {
        match self {
            TokenState::DryRun => json!({ "state": "dry run" }),
            TokenState::Fetching => json!({ "state": "being fetched" }),
            TokenState::Good { roles, expires } => {
                json!({ "state": "good", "roles": roles, "expires": expires.map(words::rfc3339) })
            }
            TokenState::None { error, remedy } => json!({ "state": "none", "error": error, "remedy": remedy }),
        }
    }
}

/// People by what they are and what is known of them.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) listed: usize,
    /// No longer listed, and not yet cleared.
    pub(super) leaving: usize,
    pub(super) taken: usize,
    pub(super) free: usize,
    pub(super) unknown: usize,
    /// What is wanted, by pair, and how many want nothing.
    pub(super) wanted: BTreeMap<&'static str, usize>,
    /// What Graph holds is not known.
    pub(super) held_unknown: usize,
    /// What Graph holds is not what is wanted.
    pub(super) differing: usize,
    /// The person's own choice or client shows something else.
    pub(super) overridden: usize,
    pub(super) in_flight: usize,
    pub(super) waiting: BTreeMap<&'static str, usize>,
}

impl Bridge {
    pub(super) fn answer(&mut self, asked: Asked) {
        let answer = match &asked.question {
            Question::Live => Answer::text(200, "live\n"),
            Question::Ready => self.ready(),
            Question::Metrics => Answer::metrics(metrics::render(self)),
            Question::Status => Answer::json(200, &self.status()),
            Question::Unmapped => Answer::json(200, &self.tell_unmapped()),
            Question::Person(name) => self.person_status(name),
            Question::Pause(name, pause) => self.pause(name, *pause),
            Question::Forget(name) => self.forget(name),
        };
        asked.answer(answer);
    }

    /// Whether people can be set now; if not, every reason.
    fn ready(&self) -> Answer {
        let mut reasons = self.unheard().collect::<Vec<_>>();
        match TokenState::of(self.graph.as_ref()) {
            TokenState::Fetching => reasons.push("token: being fetched".to_owned()),
            TokenState::None { error, remedy } => reasons.push(format!("token: {error}: {remedy}")),
            TokenState::DryRun | TokenState::Good { .. } => {}
        }
        let refused = ["application_refused", "nobody_known", "no_client_id"];
        let alarms = self.telemetry.alarms().into_iter().filter(|alarm| refused.contains(&alarm.name));
        reasons.extend(alarms.map(|alarm| format!("graph: {}", alarm.remedy)));
        match reasons.is_empty() {
            true => Answer::text(200, "ready\n"),
            false => Answer::text(503, format!("not ready\n{}\n", reasons.join("\n"))),
        }
    }

    /// Brokers that cannot be heard.
    fn unheard(&self) -> impl Iterator<Item = String> {
        self.links.iter().filter_map(|Link { name, address, state, since, .. }| {
            let since = words::rfc3339(*since);
            match state {
                State::Up => None,
                State::Down => Some(format!("broker {name}: not connected to {address} since {since}")),
                State::Deaf => Some(format!(
                    "broker {name}: connected to {address}, and nothing is heard from there since {since}"
                )),
            }
        })
    }

    pub(super) fn census(&self) -> Census {
        let mut census = Census::default();
        for id in self.core.people() {
            let view = self.core.view(id);
            if self.listing.unlisted.contains(&id) {
                census.leaving += usize::from(!view.is_clean());
                continue;
            }
            census.listed += 1;
            match view.standing() {
                Standing::Taken => census.taken += 1,
                Standing::Free => census.free += 1,
                Standing::Unknown => census.unknown += 1,
            }
            *census.wanted.entry(view.wanted().map_or("none", |pair| pair.as_str())).or_default() += 1;
            census.held_unknown += usize::from(view.held() == Held::Unknown);
            census.differing += usize::from(differs(&view));
            census.overridden += usize::from(matches!(view.seen(), Some(Err(_))));
            census.in_flight += usize::from(view.in_flight());
            if let Some((why, _)) = view.waiting() {
                *census.waiting.entry(waiting(why)).or_default() += 1;
            }
        }
        census
    }

    fn status(&mut self) -> Value {
        let now = self.clock.now();
        let census = self.census();
        let calls = self.recent.count(now.mono, WINDOW);
        let sources: Vec<Value> = self.links.iter().map(source).collect();
        let policy = &self.policy;
        let section = &self.listing.section;
        let without_id: Vec<&str> = section.waiting.iter().take(SHOWN).map(|(label, _)| &**label).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "instance": self.links.first().map(|link| &link.instance),
            "started": words::rfc3339(self.started),
            "sources": sources,
            "token": TokenState::of(self.graph.as_ref()).json(),
            "credential": self.credential(),
            "clock_behind_s": self.graph.as_ref().and_then(Graph::clock_skew),
            "gate": self.gate(now),
            "budget": {
                "per_second": policy.rate,
                "burst": policy.burst,
                "lookups_per_second": self.listing.lookups(),
                "calls_in_30_s": calls,
            },
            "people": {
                "listed": section.listed.max(census.listed),
                "without_id": section.waiting.len(),
                "without_id_names": without_id,
                "doubles": section.doubles.iter().take(SHOWN).collect::<Vec<_>>(),
                "leaving": census.leaving,
                "taken": census.taken,
                "free": census.free,
                "unknown": census.unknown,
                "wanted": census.wanted,
                "held_unknown": census.held_unknown,
                "differing": census.differing,
                "overridden": census.overridden,
                "in_flight": census.in_flight,
                "waiting": census.waiting,
            },
            "unmapped": self.count_unmapped(),
            "alarms": words::alarms(&self.telemetry.alarms()),
        })
    }

    /// When the secret or certificate ends, where that is known.
    fn credential(&self) -> Value {
        let Some((kind, ends)) = self.graph.as_ref().and_then(Graph::credential_ends) else { return Value::Null };
        let now = self.clock.real_wall();
        let stage = graph::expiry_stage(ends, now);
        json!({
            "kind": kind, "ends": words::rfc3339(ends), "days": ends.since(now).as_secs() / DAY_S,
            "ended": stage == Some(0), "remedy": stage.map(|_| graph::REPLACE),
        })
    }

    fn gate(&self, now: Now) -> Value {
        let shut = self.core.gate(TenantId(0));
        json!({ "open": shut.is_none(), "until": shut.map(|until| words::rfc3339(now.wall + until.since(now.mono))) })
    }

    /// Why somebody shows what they show.
    fn person_status(&self, name: &str) -> Answer {
        let Some(id) = self.called(name) else { return self.nobody(name) };
        let (now, view) = (self.clock.now(), self.core.view(id));
        let label = view.label();
        let on_wall = |then: Mono| words::rfc3339(now.wall + then.since(now.mono));
        let shares = view.shares().map(|share| {
            json!({
                "signal": share.signal, "subject": share.subject, "device": share.device,
                "level": words::level(share.level), "since": words::rfc3339(share.since),
                "until": words::on_wall(share.until, now).map(words::rfc3339),
            })
        });
        let alarms: Vec<_> =
            self.telemetry.alarms().into_iter().filter(|alarm| alarm.about.as_deref() == Some(label)).collect();
        let body = json!({
            "person": label,
            "object_id": self.core.person(id).object_id,
            "listed": !self.listing.unlisted.contains(&id),
            "why": self.why(&view, now),
            "wanted": view.wanted().map(|pair| pair.as_str()),
            "held": words::held(view.held()),
            "held_until": match view.held() {
                Held::Pair { lapses, .. } => Some(on_wall(lapses)),
                Held::Unknown | Held::Nothing => None,
            },
            "seen": view.seen().map(|seen| seen.map_or_else(str::to_owned, |pair| pair.as_str().to_owned())),
            "in_flight": view.in_flight(),
            "waiting": view.waiting().map(|(why, until)| json!({ "why": waiting(why), "until": on_wall(until) })),
            "shares": shares.collect::<Vec<_>>(),
            "alarms": words::alarms(&alarms),
        });
        Answer::json(200, &body)
    }

    pub(super) fn nobody(&self, name: &str) -> Answer {
        let section = &self.listing.section;
        let same = |pair: &&(Box<str>, Box<str>)| pair.0.eq_ignore_ascii_case(name);
        let why = if let Some((label, user_name)) = section.waiting.iter().find(same) {
            format!(
                "{label} is listed by the user name {user_name}, whose object id is not known yet: see the alarms in `status`"
            )
        } else if let Some((label, other)) = section.doubles.iter().find(same) {
            format!("{label} is the same account as {other}: ask for {other}, and list the account once")
        } else {
            format!("nobody is listed as {name}: names are those of [users] and of the people file")
        };
        Answer::json(404, &json!({ "why": why }))
    }

    /// In a sentence or three.
    fn why(&self, view: &View<'_>, now: Now) -> String {
        let mut why = self.wanted_because(view, now);
        if let Some((waits, _)) = view.waiting() {
            why += &format!(" Not sent at present: {}.", waits_for(waits));
        } else if differs(view) {
            let shut = self.core.gate(TenantId(0)).is_some();
            why += match (shut, view.in_flight()) {
                (_, true) => " A call to Graph is under way.",
                (true, _) => " Not sent at present: Graph asked to be left alone, the gate is shut for everybody.",
                (false, false) => " It waits for its turn.",
            };
        }
        if let Some(Err(instead)) = view.seen() {
            why += &format!(" Colleagues see {instead}: a choice or client of the person's own overrides it.");
        }
        for unheard in self.unheard() {
            why += &format!(" The {unheard}.");
        }
        why
    }

    fn wanted_because(&self, view: &View<'_>, now: Now) -> String {
        if let Some(until) = view.paused() {
            let until = words::on_wall(until, now).map(words::rfc3339);
            let until = until.map_or_else(|| "for good".to_owned(), |until| format!("until {until}"));
            return format!("Nothing, because paused, {until} (in/{}/pause).", view.label());
        }
        match (view.wanted(), view.because()) {
            (Some(pair), Some(share)) => {
                let until = words::on_wall(share.until, now).map(words::rfc3339);
                let until =
                    until.map_or_else(String::new, |until| format!(", and is until {until} if nothing more is heard"));
                let (name, since) = (words::name(&share), words::rfc3339(share.since));
                format!("{} because {name} has been on since {since}{until}.", pair.as_str())
            }
            (Some(pair), None) => format!("{} because free people show it (presence.when_free).", pair.as_str()),
            (None, _) => match view.standing() {
                Standing::Free => "Nothing, because every device that spoke says off.".to_owned(),
                Standing::Unknown => "Nothing, because no device has said anything that still counts.".to_owned(),
                Standing::Taken => "Nothing, because what is on shows nothing.".to_owned(),
            },
        }
    }
}

fn source(link: &Link) -> Value {
    json!({
        "source": link.name,
        "address": link.address,
        "instance": link.instance,
        "own_topics": link.own_topics,
        "state": link.state.as_str(),
        "since": words::rfc3339(link.since),
    })
}

fn differs(view: &View<'_>) -> bool {
    match view.held() {
        Held::Unknown => true,
        Held::Nothing => view.wanted().is_some(),
        Held::Pair { presence, .. } => view.wanted() != Some(presence),
    }
}

fn waiting(why: Waiting) -> &'static str {
    match why {
        Waiting::BackOff => "back_off",
        Waiting::NoSuchUser => "no_such_user",
        Waiting::NotAllowed => "not_allowed",
        Waiting::Refused => "refused",
    }
}

fn waits_for(why: Waiting) -> &'static str {
    match why {
        Waiting::BackOff => "the last call failed, and the next waits a little",
        Waiting::NoSuchUser => "Graph does not know the object id",
        Waiting::NotAllowed => "Graph refuses the application for this person",
        Waiting::Refused => "Graph refused this very request, and it is not repeated",
    }
}
