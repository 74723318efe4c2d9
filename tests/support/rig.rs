//! The core and the tenant model on virtual time: step, drive, and what a colleague sees.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "sandbox")]
use presence_bridge::config::Config;
use presence_bridge::presence::{
    Action, Alarm, Core, Deadline, Link, Mono, Now, Outcome, PersonId, Plan, Policy, Presence, Publish, Reason,
    Restart, SourceId, TenantId, Ticket, Timestamp,
};
use presence_bridge::sandbox::tenant::{Settings, Tenant};

use super::plan::desks;

/// A message's way to Graph and back.
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// How the next call fares; the default is that it is applied and accepted.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Refused(Outcome),
    /// Applied, but the answer is lost: a time-out after ten seconds.
    AnswerLost,
    /// Lost; applied so much later.
    AppliedLate(Duration),
    /// Applied, and answered so all the same.
    AppliedBut(Outcome),
}

/// Availability, activity and expiration of a set; `None` for a clear.
type Write = Option<(&'static str, &'static str, Duration)>;

pub struct Rig {
    pub core: Core,
    pub tenant: Tenant,
    pub now: Now,
    pub calls: Vec<(Mono, String)>,
    pub alarms: Vec<(Alarm, bool)>,
    pub fates: Vec<Fate>,
    /// When it was read what colleagues see, and of how many.
    pub reads: Vec<(Mono, usize)>,
    pub refuses_reads: Option<Outcome>,
    /// Reads are left to the test.
    pub read_out: Option<Option<u64>>,
    answers: BTreeMap<(Mono, u64), (Ticket, Outcome)>,
    landings: BTreeMap<(Mono, u64), (String, Write)>,
    serial: u64,
    ids: BTreeMap<String, String>,
}

/// The configuration that [`desks`] is the plan of.
#[cfg(feature = "sandbox")]
pub const PEOPLE: &str = r#"
[graph]
tenant_id = "aaaaaaaa-0000-4000-8000-000000000001"
client_id = "bbbbbbbb-0000-4000-8000-000000000002"
client_secret_file = "unused"
[mqtt]
url = "mqtt://localhost"
[users]
alice = "11111111-1111-4111-8111-111111111111"
bob = "22222222-2222-4222-8222-222222222222"
carol = "33333333-3333-4333-8333-333333333333"
dave = "44444444-4444-4444-8444-444444444444"
erin = "55555555-5555-4555-8555-555555555555"
[devices]
"1001" = "alice"
"1002" = "bob"
"1003" = "carol"
[signals]
call = "Busy/InACall"
meeting = "Busy/InAConferenceCall"
desk = "Available/Available"
ringing = "none"
"#;

#[cfg(feature = "sandbox")]
pub const RULES: &str = r#"
[[rule]]
topic = "pbx/devstate/PJSIP/{ext}"
subject = "{ext}"
signal = "call"
on = ["INUSE", "BUSY"]
off = ["NOT_INUSE"]
unknown = ["UNAVAILABLE"]
ttl = "8h"
[[rule]]
topic = "yealink/action/{event}"
subject = "=1001"
signal = "call"
value = "{event}"
on = ["off_hook"]
off = ["on_hook"]
retained = "ignore"
ttl = "4h"
[[rule]]
topic = "ha/{who}/state"
subject = "{who}"
signal = "meeting"
on = ["on"]
off = ["off"]
[[rule]]
topic = "desk/{who}"
subject = "{who}"
signal = "desk"
on = ["on"]
off = ["off"]
ttl = "48h"
[[rule]]
topic = "cam/{who}"
subject = "{who}"
signal = "meeting"
on = ["on"]
off = ["off"]
delay = "5s"
hold = "30s"
[[rule]]
topic = "ring/{who}"
subject = "{who}"
signal = "call"
on = ["on"]
off = ["off"]
ttl = "5m"
"#;

impl Rig {
    pub fn new() -> Rig {
        Rig::with(Policy::default())
    }

    pub fn with(policy: Policy) -> Rig {
        let plan = desks(policy);
        let now = Now { mono: Mono::from_millis(1_000_000), wall: Timestamp::from_millis(1_795_000_000_000) };
        let people = &plan.people;
        let ids: BTreeMap<String, String> =
            people.iter().map(|who| (who.label.to_string(), who.object_id.to_string())).collect();
        let tenant = Tenant::new(Settings::for_users(ids.values().cloned()));
        let core = Core::new(now, Arc::new(plan));
        let mut rig = Rig {
            core,
            tenant,
            now,
            calls: Vec::new(),
            alarms: Vec::new(),
            fates: Vec::new(),
            reads: Vec::new(),
            refuses_reads: None,
            read_out: None,
            answers: BTreeMap::new(),
            landings: BTreeMap::new(),
            serial: 0,
            ids,
        };
        rig.core.handle_link(now, SourceId(0), Link::Up { session_present: false, expiry: Duration::ZERO });
        rig.drive(1);
        rig
    }

    /// A live message.
    pub fn publish(&mut self, topic: &str, payload: &str) -> Result<(), Reason> {
        self.deliver(topic, payload, false)
    }

    /// A replay after SUBSCRIBE.
    pub fn replay(&mut self, topic: &str, payload: &str) -> Result<(), Reason> {
        self.deliver(topic, payload, true)
    }

    fn deliver(&mut self, topic: &str, payload: &str, retain: bool) -> Result<(), Reason> {
        let publish = Publish { topic: topic.as_bytes(), payload: payload.as_bytes(), retain, expiry: None };
        let result = self.core.handle_publish(self.now, SourceId(0), &publish).steps[0].result.map(|_| ());
        self.perform();
        result
    }

    pub fn link(&mut self, link: Link) {
        self.core.handle_link(self.now, SourceId(0), link);
        self.perform();
    }

    pub fn reload(&mut self, plan: Plan) {
        self.core.handle_config(self.now, Arc::new(plan));
        self.perform();
    }

    /// The process dies and is there again after `away`, on the same boot or another. Calls that were out are not heard of.
    pub fn restart(&mut self, away: Duration, restart: Restart) {
        let json = serde_json::to_string(&self.core.snapshot(self.now)).unwrap();
        self.restart_from(&json, away, restart);
    }

    pub fn restart_from(&mut self, json: &str, away: Duration, restart: Restart) {
        let snapshot = serde_json::from_str(json).unwrap();
        self.answers.clear();
        self.now.wall = self.now.wall + away;
        // Another boot: the clock since boot begins anew; the tenant of the rig lives on ours, so we keep its sense.
        self.now.mono = self.now.mono + away;
        let now = match restart.same_boot {
            true => self.now,
            false => Now { mono: self.now.mono + Duration::from_secs(7_777_777), ..self.now },
        };
        self.now = now;
        self.core = Core::restore(now, Arc::new(desks(Policy::default())), snapshot, restart);
        self.calls.clear();
        self.perform();
    }

    pub fn pause(&mut self, label: &str, pause: Option<Deadline>) {
        let id = self.id(label);
        self.core.handle_pause(self.now, id, pause);
        self.perform();
    }

    /// Lets `seconds` pass, with everything that happens meanwhile.
    pub fn drive(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    pub fn pass(&mut self, span: Duration) {
        let end = self.now.mono + span;
        self.perform();
        let mut spins = 0;
        loop {
            let timeout = self.core.poll_timeout().map_or(Mono::MAX, |deadline| {
                let wall = self.now.mono + deadline.wall.since(self.now.wall);
                if deadline.wall == Timestamp::MAX { deadline.mono } else { deadline.mono.min(wall) }
            });
            let answer = self.answers.keys().next().map_or(Mono::MAX, |key| key.0);
            let landing = self.landings.keys().next().map_or(Mono::MAX, |key| key.0);
            let next = timeout.min(answer).min(landing).max(self.now.mono);
            spins = if next == self.now.mono { spins + 1 } else { 0 };
            assert!(spins < 10_000, "the core wants to be woken at once for ever");
            if next > end {
                self.advance(end);
                return;
            }
            self.advance(next);
            while let Some(entry) = self.landings.first_entry().filter(|entry| entry.key().0 <= next) {
                let (user, write) = entry.remove();
                self.apply(&user, write);
            }
            while let Some(entry) = self.answers.first_entry().filter(|entry| entry.key().0 <= next) {
                let (ticket, outcome) = entry.remove();
                self.core.handle_outcome(self.now, ticket, outcome);
            }
            self.core.handle_timeout(self.now);
            self.perform();
        }
    }

    fn advance(&mut self, to: Mono) {
        let span = to.since(self.now.mono);
        self.now = Now { mono: to, wall: self.now.wall + span };
    }

    fn apply(&mut self, user: &str, write: Write) {
        let at = self.now.mono.as_millis();
        match write {
            Some((availability, activity, span)) => {
                assert!(self.tenant.set(at, user, availability, activity, span), "only settable pairs are set");
            }
            None => {
                self.tenant.clear(at, user);
            }
        }
    }

    fn perform(&mut self) {
        while let Some(action) = self.core.poll_action() {
            let (ticket, person, write) = match action {
                Action::SetPresence { ticket, person, presence, expiration, not_after, .. } => {
                    assert!(not_after >= self.now.mono, "an action that may not start any more");
                    (ticket, person, Some((presence.availability(), presence.activity(), expiration)))
                }
                Action::ClearPresence { ticket, person, .. } => (ticket, person, None),
                Action::Alarm { alarm, on } => {
                    self.alarms.push((alarm, on));
                    continue;
                }
                Action::Read { tenant, serial, .. } => {
                    self.read(tenant, serial);
                    continue;
                }
                Action::Changed { .. } => continue,
            };
            self.call(ticket, person, write);
        }
    }

    fn call(&mut self, ticket: Ticket, person: PersonId, write: Write) {
        let who = self.core.person(person);
        let (label, user) = (who.label.to_string(), who.object_id.to_string());
        let what = write.map_or("clear".to_owned(), |(availability, activity, _)| format!("{availability}/{activity}"));
        self.calls.push((self.now.mono, format!("{label} {what}")));
        self.serial += 1;
        let soon = self.now.mono + ROUND_TRIP;
        let timed_out = self.now.mono + Duration::from_secs(10);
        let fate = if self.fates.is_empty() { None } else { Some(self.fates.remove(0)) };
        let (at, outcome) = match fate {
            None => {
                self.apply(&user, write);
                (soon, Outcome::Accepted)
            }
            Some(Fate::Refused(outcome)) => (soon, outcome),
            Some(Fate::AppliedBut(outcome)) => {
                self.apply(&user, write);
                (soon, outcome)
            }
            Some(Fate::AnswerLost) => {
                self.apply(&user, write);
                (timed_out, Outcome::Ambiguous)
            }
            Some(Fate::AppliedLate(after)) => {
                self.landings.insert((self.now.mono + after, self.serial), (user, write));
                (timed_out, Outcome::Ambiguous)
            }
        };
        self.answers.insert((at, self.serial), (ticket, outcome));
    }

    /// What colleagues see, read back at once.
    fn read(&mut self, tenant: TenantId, serial: u64) {
        let people = self.core.reading(tenant).to_vec();
        self.reads.push((self.now.mono, people.len()));
        if let Some(out) = &mut self.read_out {
            *out = Some(serial);
            return;
        }
        if let Some(refusal) = self.refuses_reads {
            return self.core.handle_read(self.now, tenant, serial, Err(refusal));
        }
        let seen: Vec<_> = people
            .into_iter()
            .map(|id| {
                let label = self.core.person(id).label.clone();
                (id, self.seen(&label))
            })
            .collect();
        let seen: Vec<_> = seen
            .iter()
            .map(|(id, seen)| {
                let (availability, activity) = seen.split_once('/').unwrap();
                (*id, availability, activity)
            })
            .collect();
        self.core.handle_read(self.now, tenant, serial, Ok(&seen));
    }

    pub fn seen(&mut self, label: &str) -> String {
        let user = self.ids[label].clone();
        self.tenant.seen(self.now.mono.as_millis(), &user).to_string()
    }

    #[track_caller]
    pub fn sees(&mut self, label: &str, what: &str) {
        let seen = self.seen(label);
        assert_eq!(seen, what, "what colleagues see of {label}; calls so far: {:#?}", self.calls);
    }

    #[track_caller]
    pub fn sees_wanted(&self, label: &str, what: Option<Presence>) {
        assert_eq!(self.core.view(self.id(label)).wanted(), what, "what is wanted of {label}");
    }

    #[track_caller]
    pub fn called(&self, calls: &[&str]) {
        let made: Vec<&str> = self.calls.iter().map(|(_, call)| call.as_str()).collect();
        assert_eq!(made, calls);
    }

    pub fn id(&self, label: &str) -> PersonId {
        self.core.people().find(|&id| *self.core.person(id).label == *label).unwrap()
    }
}

#[cfg(feature = "sandbox")]
pub fn config(more: &str) -> Config {
    let text = format!("{more}\n{PEOPLE}\n{RULES}");
    Config::parse_trusting(&text, "test.toml", std::path::Path::new("."))
        .unwrap_or_else(|problems| panic!("{problems}"))
}
