//! The loop: the only place where core and adapters meet. `select` names what happened, a synchronous step decides,
//! and what the core asks for is performed. One owner, no lock, no shared state.
//!
//! Order matters in one respect: a message is acknowledged after the core has handled it, never before, so that a
//! message that arrives while the process dies is delivered again.

mod lookup;
pub mod metrics;
mod people;
mod readback;
pub mod reload;
pub mod report;
mod status;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::admin;
use crate::clock::{Clock, Timer};
use crate::config::PeopleSection;
use crate::graph::{Body, Call, Graph, Sent};
use crate::mqtt;
use crate::presence::{
    Action, Alarm, Applied, Cause, Core, Deadline, Link, OnStop, Outcome, PersonId, Plan, Policy, Presence, Publish,
    SourceId, Ticket, Timestamp,
};
use crate::telemetry::{AlarmWatch, Telemetry};

/// Messages handled before the outcomes and timers get their turn again.
const BATCH: usize = 256;
/// What a clean stop may take.
const DRAIN: Duration = Duration::from_secs(5);

/// Everything the loop works with.
pub struct Parts {
    /// The only reader of clocks.
    pub clock: Clock,
    /// Counters.
    pub telemetry: Telemetry,
    /// Whom and what to decide.
    pub plan: Arc<Plan>,
    /// First levels of our own topics.
    pub topic_prefix: String,
    /// Last level of the status topic.
    pub instance: String,
    /// The broker.
    pub mqtt: (mqtt::Handle, mqtt::Events),
    /// The tenant; `None` decides, logs and publishes, but calls nobody.
    pub graph: Option<Graph>,
    /// How people are listed, and changes of that; `None`: who is listed now is listed for good.
    pub reload: Option<(PeopleSection, mpsc::Receiver<reload::News>)>,
    /// The broker's address, to be shown.
    pub broker: String,
    /// Questions how it is.
    pub questions: admin::Questions,
}

/// The running bridge.
pub struct Bridge {
    core: Core,
    clock: Clock,
    timer: Timer,
    telemetry: Telemetry,
    topic_prefix: String,
    instance: String,
    mqtt: mqtt::Handle,
    events: mqtt::Events,
    graph: Option<Graph>,
    calls: JoinSet<Done>,
    reads: JoinSet<readback::Read>,
    policy: Policy,
    listing: people::Listing,
    news: mpsc::Receiver<reload::News>,
    unpublished: BTreeSet<Topic>,
    alarms: AlarmWatch,
    questions: admin::Questions,
    broker: String,
    connected_since: Option<Timestamp>,
    started: Timestamp,
    recent: status::Recent,
}

/// Retained topics of ours whose content is out of date at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Status,
    Person(PersonId),
}

/// A call that ended.
struct Done {
    ticket: Ticket,
    person: PersonId,
    from: String,
    to: Option<Presence>,
    cause: Cause,
    sent: Sent,
}

impl Bridge {
    /// Ready to run; nothing has been sent yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { clock, telemetry, plan, topic_prefix, instance, mqtt: (mqtt, events), graph, .. } = parts;
        let (reload, broker, questions) = (parts.reload, parts.broker, parts.questions);
        let (section, news) = reload.unwrap_or_else(|| (PeopleSection::default(), mpsc::channel(1).1));
        let policy = plan.policy.clone();
        let core = Core::new(clock.now(), plan);
        Bridge {
            core,
            timer: clock.timer(),
            policy,
            topic_prefix,
            instance,
            mqtt,
            events,
            graph,
            calls: JoinSet::new(),
            reads: JoinSet::new(),
            listing: people::Listing::new(section),
            news,
            unpublished: BTreeSet::new(),
            alarms: telemetry.watch_alarms(),
            telemetry,
            questions,
            broker,
            connected_since: None,
            started: clock.now().wall,
            recent: status::Recent::default(),
            clock,
        }
    }

    /// Runs until `stop` is ready with the policy to follow, then drains and disconnects within some seconds.
    pub async fn run(mut self, stop: impl Future<Output = OnStop>) {
        let mut stop = std::pin::pin!(stop);
        let on_stop = loop {
            self.perform();
            let deadline = self.core.poll_timeout().unwrap_or(Deadline::NEVER);
            let publish =
                self.connected_since.is_some() && !(self.unpublished.is_empty() && self.listing.gone.is_empty());
            tokio::select! {
                policy = &mut stop => break policy,
                event = self.events.next() => match event {
                    Some(event) => self.heard(event),
                    None => break OnStop::Leave, // the adapter ended: only a stop does that
                },
                Some(done) = self.calls.join_next() => self.done(done),
                Some(read) = self.reads.join_next() => self.was_read(read),
                Some(news) = self.news.recv() => self.learn(news),
                Some(asked) = self.questions.next() => self.answer(asked),
                () = self.alarms.changed() => {
                    self.unpublished.insert(Topic::Status);
                }
                permit = self.mqtt.permit(), if publish => self.publish(permit),
                () = self.timer.until(deadline) => self.core.handle_timeout(self.clock.now()),
            }
        };
        self.stop(on_stop).await;
    }

    fn heard(&mut self, event: mqtt::Event) {
        self.event(event);
        for _ in 1..BATCH {
            let Some(event) = self.events.try_next() else { break };
            self.event(event);
        }
    }

    fn event(&mut self, event: mqtt::Event) {
        let now = self.clock.now();
        match event {
            mqtt::Event::Link(link) => {
                self.core.handle_link(now, SourceId(0), link);
                let connected = matches!(link, Link::Up { .. } | Link::Replayed);
                self.connected_since = connected.then(|| self.connected_since.unwrap_or(now.wall));
                if matches!(link, Link::Up { .. }) {
                    // The broker may have lost what it retained: say everything again.
                    self.unpublished.insert(Topic::Status);
                    self.unpublished.extend(self.core.people().map(Topic::Person));
                }
            }
            mqtt::Event::Publish(incoming) => {
                let publish = Publish {
                    topic: &incoming.topic,
                    payload: &incoming.payload,
                    retain: incoming.retain,
                    expiry: incoming.expiry,
                };
                let handled = self.core.handle_publish(now, SourceId(0), &publish);
                for step in handled.steps {
                    self.telemetry.tell(&report::Message { topic: &incoming.topic, result: step.result });
                    if step.result == Ok(Applied::Changed) {
                        self.unpublished.extend(step.person.map(Topic::Person)); // its list of shares
                    }
                }
                if let Some(token) = incoming.token {
                    self.mqtt.ack(token);
                }
            }
        }
    }

    fn done(&mut self, joined: Result<Done, tokio::task::JoinError>) {
        // A call that panicked has ended the process; one that was cancelled belongs to a stop.
        let Ok(done) = joined else { return };
        self.core.handle_outcome(self.clock.now(), done.ticket, done.sent.outcome);
        let view = self.core.view(done.person);
        let because = words::because(&view);
        self.telemetry.tell(&report::CallEnded {
            user: view.label(),
            from: &done.from,
            to: done.to,
            cause: done.cause,
            because: &because,
            sent: &done.sent,
        });
    }

    /// Everything the core asks for.
    fn perform(&mut self) {
        while let Some(action) = self.core.poll_action() {
            match action {
                Action::SetPresence { ticket, person, presence, expiration, not_after, cause, .. } => {
                    let body = Body::Set { presence, expiration };
                    self.call(ticket, person, body, not_after, cause);
                }
                Action::ClearPresence { ticket, person, not_after, .. } => {
                    self.call(ticket, person, Body::Clear, not_after, Cause::Change);
                }
                Action::Read { tenant, serial, .. } => self.read(tenant, serial),
                Action::Journal { .. } => {} // nothing is kept over a restart yet: see ARCHITECTURE.md, "What is absent"
                Action::Changed { person } => {
                    self.unpublished.insert(Topic::Person(person));
                }
                Action::Alarm { alarm, on } => self.alarm(alarm, on),
            }
        }
    }

    fn call(&mut self, ticket: Ticket, person: PersonId, body: Body, not_after: crate::presence::Mono, cause: Cause) {
        let to = match body {
            Body::Set { presence, .. } => Some(presence),
            Body::Clear => None,
        };
        let from = words::held(self.core.view(person).held()).to_owned();
        let call = Call { object_id: self.core.person(person).object_id, body, not_after };
        let graph = self.graph.clone();
        self.recent.note(self.clock.now().mono);
        self.calls.spawn(async move {
            let sent = match graph {
                Some(graph) => graph.send(call).await,
                None => Sent { outcome: Outcome::Accepted, failure: None }, // dry run
            };
            Done { ticket, person, from, to, cause, sent }
        });
    }

    fn alarm(&self, alarm: Alarm, on: bool) {
        let text = report::words_for(alarm, |person| self.core.person(person).label.to_string());
        if on {
            self.telemetry.raise(text);
        } else {
            self.telemetry.end(text.name, text.about.as_deref());
        }
    }

    fn publish(&mut self, permit: Option<mqtt::Permit>) {
        let Some(permit) = permit else { return };
        let Some((level, payload)) = self.next_to_publish() else { return };
        let topic = format!("{}/{level}", self.topic_prefix);
        permit.publish(mqtt::Message::new(topic, payload).retained());
    }

    /// Topic below the prefix, and payload; an empty one deletes what the broker retains.
    fn next_to_publish(&mut self) -> Option<(String, String)> {
        while let Some(topic) = self.unpublished.pop_first() {
            match topic {
                Topic::Status => {
                    return Some((format!("status/{}", self.instance), words::online(&self.telemetry.alarms())));
                }
                Topic::Person(person) if self.listing.unlisted.contains(&person) => {} // its topic is gone or another's
                Topic::Person(person) => {
                    let view = self.core.view(person);
                    return Some((format!("people/{}", view.label()), words::person(&view, self.clock.now())));
                }
            }
        }
        self.listing.gone.pop_first().map(|label| (format!("people/{label}"), String::new()))
    }

    async fn stop(mut self, policy: OnStop) {
        tracing::info!(policy = ?policy, "Stopping.");
        self.core.handle_stop(self.clock.now(), policy);
        if tokio::time::timeout(DRAIN, self.drain()).await.is_err() {
            let left = self.core.people().filter(|&person| !self.core.view(person).is_clean()).count();
            tracing::warn!(people = left, "Stopped before everything was answered; sessions end by their expiration.");
        }
        self.mqtt.stop(Some(will(&self.topic_prefix, &self.instance))).await;
    }

    async fn drain(&mut self) {
        loop {
            self.perform();
            if self.core.is_idle() {
                return;
            }
            let deadline = self.core.poll_timeout().unwrap_or(Deadline::NEVER);
            tokio::select! {
                Some(done) = self.calls.join_next() => self.done(done),
                () = self.timer.until(deadline) => self.core.handle_timeout(self.clock.now()),
            }
        }
    }
}

/// The last will: what the broker says of us when we are gone without a word.
#[must_use]
pub fn will(topic_prefix: &str, instance: &str) -> mqtt::Message {
    mqtt::Message::new(format!("{topic_prefix}/status/{instance}"), words::OFFLINE).retained()
}
