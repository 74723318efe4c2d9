//! Looks user names up at Graph: once when they are new, then once a day, one at a time and at a rate that is taken off the
//! core's. What cannot be looked up today keeps the id that it had.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Names, PeopleSection};
use crate::graph::{Graph, Unread};
use crate::presence::{Mono, Outcome, Timestamp};
use crate::telemetry::{AlarmText, Event, Telemetry};

/// A call a tenth of a second: 30,000 names take less than an hour, and Graph's directory takes many times as many.
const APART: Duration = Duration::from_millis(100);
/// A name can be given to somebody else.
const OLD: Duration = Duration::from_secs(24 * 3600);
/// Whose time has come is looked for this often.
const SCHEDULE: Duration = Duration::from_secs(60);
/// What was learnt is told this often while there is more to learn.
const TELL: Duration = Duration::from_secs(30);
/// A longer wait than this is a rest.
const SOON: Duration = Duration::from_secs(2);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// What only an administrator can mend is tried again this often.
const NOT_ALLOWED_RETRY: Duration = Duration::from_secs(900);
const NOT_ALLOWED: &str = "names_not_allowed";
const UNKNOWN: &str = "names_unknown";
/// As many names as an alarm shows.
const SHOWN: usize = 5;

pub(super) struct Lookups {
    graph: Option<Graph>,
    clock: Clock,
    telemetry: Telemetry,
    due: VecDeque<Box<str>>,
    /// Of real time.
    next: Mono,
    failures: u32,
    scheduled: Mono,
    told: Mono,
    /// Graph did not know them, then.
    unknown: BTreeMap<Box<str>, Timestamp>,
}

impl Lookups {
    pub(super) fn new(graph: Option<Graph>, clock: Clock, telemetry: Telemetry) -> Self {
        let now = clock.real();
        Lookups {
            graph,
            telemetry,
            due: VecDeque::new(),
            next: now,
            failures: 0,
            scheduled: clock.now().mono,
            told: now,
            clock,
            unknown: BTreeMap::new(),
        }
    }

    /// Calls a second while it is at work.
    pub(super) fn rate(&self) -> f64 {
        1.0 / APART.as_secs_f64()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.due.is_empty()
    }

    pub(super) fn is_time_to_schedule(&self) -> bool {
        self.is_idle() && self.clock.now().mono.since(self.scheduled) >= SCHEDULE
    }

    pub(super) fn is_time_to_tell(&mut self) -> bool {
        let now = self.clock.real();
        let time = now.since(self.told) >= TELL;
        if time {
            self.told = now;
        }
        time
    }

    /// Nothing is to be asked for a while.
    pub(super) fn rests(&self) -> bool {
        self.is_idle() || self.next.since(self.clock.real()) > SOON
    }

    /// Queues the names that nobody has looked up for a day.
    pub(super) fn schedule(&mut self, people: &PeopleSection, names: &Names) {
        let now = self.clock.now();
        self.scheduled = now.mono;
        self.told = self.clock.real();
        if !self.unknown.is_empty() {
            let listed: HashSet<&str> = people.user_names.iter().map(|name| &**name).collect();
            self.unknown.retain(|name, _| listed.contains(&**name));
            self.tell_unknown();
        }
        let asked = |name: &str| names.asked(name).max(self.unknown.get(name).copied());
        let is_old = |name: &str| asked(name).is_none_or(|asked| now.wall.since(asked) >= OLD);
        self.due = people.user_names.iter().filter(|name| is_old(name)).cloned().collect();
        if self.graph.is_none() {
            self.due.clear(); // a dry run calls nobody
        }
    }

    /// Somebody changed the list, or asked for a look at it: what Graph did not know may be right now.
    pub(super) fn try_unknown_again(&mut self) {
        self.unknown.values_mut().for_each(|asked| *asked = Timestamp::from_millis(0));
    }

    /// Ready when a name is to be looked up. Safe to cancel.
    pub(super) async fn turn(&self) {
        if self.is_idle() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(self.next.since(self.clock.real())).await;
    }

    /// Looks up the next one. Whether that brought news.
    pub(super) async fn ask(&mut self, names: &mut Names) -> bool {
        let (Some(graph), Some(name)) = (&self.graph, self.due.pop_front()) else { return false };
        self.next = self.clock.real() + APART;
        let answer = graph.user_id(&name).await;
        let now = self.clock.now().wall;
        let event = LookedUp { name: &name, unread: answer.as_ref().err() };
        self.telemetry.tell(&event);
        match answer {
            Ok(id) => {
                self.failures = 0;
                self.unknown.remove(&name);
                self.telemetry.end(NOT_ALLOWED, None);
                self.tell_unknown();
                names.learn(&name, id, now)
            }
            Err(Unread { why: Outcome::NoSuchUser, .. }) => {
                self.failures = 0;
                names.postpone(&name, now);
                self.unknown.insert(name, now);
                self.tell_unknown();
                false
            }
            Err(unread) => {
                self.due.push_front(name);
                self.next = self.clock.real() + self.wait(&unread);
                false
            }
        }
    }

    fn wait(&mut self, unread: &Unread) -> Duration {
        self.failures += 1;
        let doubled = FIRST_RETRY.saturating_mul(1 << (self.failures - 1).min(9)).min(LONGEST_RETRY);
        if matches!(unread.why, Outcome::Forbidden { .. }) {
            self.telemetry.raise(AlarmText {
                name: NOT_ALLOWED,
                about: None,
                remedy: format!(
                    "Graph does not let the application look user names up (403): grant it the application permission \
                     User.Read.All with admin consent, or list object ids instead of user names and take resolve_names out of \
                     [people]. {} names wait; people whose name was never looked up are not set until then. It is tried again \
                     every 15 minutes",
                    self.due.len()
                )
                .into(),
            });
            return NOT_ALLOWED_RETRY;
        }
        unread.failure.retry_after.unwrap_or(doubled).clamp(doubled, NOT_ALLOWED_RETRY)
    }

    fn tell_unknown(&self) {
        if self.unknown.is_empty() {
            return self.telemetry.end(UNKNOWN, None);
        }
        let shown: Vec<&str> = self.unknown.keys().take(SHOWN).map(|name| &**name).collect();
        let more = self.unknown.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let remedy = format!(
            "Graph knows no users of these names in this tenant (404): {}{more}: correct them in the list, or take them out; \
             they are looked up again every day and when the list changes",
            shown.join(", ")
        );
        self.telemetry.raise(AlarmText { name: UNKNOWN, about: None, remedy: remedy.into() });
    }
}

/// A user name was looked up.
struct LookedUp<'a> {
    name: &'a str,
    unread: Option<&'a Unread>,
}

impl Event for LookedUp<'_> {
    const NAME: &'static str = "lookup";

    fn reason(&self) -> &'static str {
        match self.unread.map(|unread| unread.why) {
            None => "found",
            Some(Outcome::NoSuchUser) => "unknown",
            Some(Outcome::Forbidden { .. }) => "not_allowed",
            Some(Outcome::Throttled { .. }) => "throttled",
            Some(_) => "failed",
        }
    }

    fn log(&self, due: Option<u64>) {
        let (Some(times), Some(unread)) = (due, self.unread) else { return };
        let (user_name, error) = (self.name, unread.failure.error.as_str());
        let request_id = unread.failure.request_id.as_deref();
        let client_request_id = unread.failure.client_request_id.as_deref();
        tracing::warn!(user_name, error, request_id, client_request_id, times, "A user name cannot be looked up.");
    }
}
