//! The loop: the only place where core and adapters meet. `select` names what happened, a synchronous step decides,
//! and what the core asks for is performed. One owner, no lock, no shared state.
//!
//! Order matters in one respect: a message is acknowledged, and a call leaves, when what the core changed by then is in the
//! journal, never before (`journal`); so that a message that arrives while the process dies is delivered again.

mod announce;
mod answers;
mod commands;
pub mod discovery;
mod journal;
mod links;
mod lookup;
pub mod metrics;
mod people;
mod publish;
mod published;
mod readback;
pub mod reload;
pub mod report;
mod service;
mod status;
pub mod unmapped;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::journal::{Journal, Leaving, Then};
use self::links::Link;
pub use self::links::Source;
use self::publish::Topic;
pub use self::publish::will;
use crate::admin;
use crate::clock::{Clock, Timer};
use crate::config::PeopleSection;
use crate::graph::{Body, Call, Graph, Sent};
use crate::mqtt;
use crate::presence::{
    Action, Alarm, Applied, Cause, Core, Deadline, OnStop, Outcome, PersonId, Plan, Policy, Presence, Publish, Reason,
    RuleId, Ticket, Timestamp,
};
use crate::store::{Found, Store};
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
    /// The brokers, in the order of the configuration.
    pub sources: Vec<Source>,
    /// Where to keep who is published; `None`: nowhere.
    pub state: Option<PathBuf>,
    /// The journal, and what an earlier process left in it; both absent: everything begins with nothing.
    pub journal: (Option<Store>, Option<Found>),
    /// First levels of the topics on which everything announces itself to Home Assistant; `None`: nothing does.
    pub home_assistant: Option<String>,
    /// The tenant; `None` decides, logs and publishes, but calls nobody.
    pub graph: Option<Graph>,
    /// How people are listed, and changes of that; `None`: who is listed now is listed for good.
    pub reload: Option<(PeopleSection, mpsc::Receiver<reload::News>)>,
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
    home_assistant: Option<String>,
    links: Vec<Link>,
    /// In the order of `links`.
    events: Vec<mqtt::Events>,
    /// Goes round: whose turn it is first.
    turn: usize,
    graph: Option<Graph>,
    calls: JoinSet<Done>,
    reads: JoinSet<readback::Read>,
    policy: Policy,
    /// Names, for whoever asks at the door for one that there is not.
    signals: Vec<Box<str>>,
    listing: people::Listing,
    news: mpsc::Receiver<reload::News>,
    alarms: AlarmWatch,
    questions: admin::Questions,
    started: Timestamp,
    recent: publish::Recent,
    said: publish::Said,
    ends: publish::Ends,
    kept: published::Kept,
    journal: Journal,
    answered: answers::LastAnswer,
    unmapped: unmapped::Unmapped,
    duty: service::Duty,
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
        let Parts { clock, telemetry, plan, topic_prefix, sources, state, graph, reload, questions, .. } = parts;
        let (home_assistant, (store, found)) = (parts.home_assistant, parts.journal);
        let journal = Journal::new(store, sources.iter().map(|source| source.name.clone()).collect());
        let (section, news) = reload.unwrap_or_else(|| (PeopleSection::default(), mpsc::channel(1).1));
        let (now, policy) = (clock.now(), plan.policy.clone());
        let (links, events) = sources.into_iter().map(|source| Link::new(source, now.wall)).unzip();
        let mut bridge = Bridge {
            signals: people::names(&plan),
            core: journal.core(now, plan, found),
            journal,
            timer: clock.timer(),
            policy,
            topic_prefix,
            home_assistant,
            links,
            events,
            turn: 0,
            graph,
            calls: JoinSet::new(),
            reads: JoinSet::new(),
            listing: people::Listing::new(section),
            news,
            alarms: telemetry.watch_alarms(),
            kept: published::Kept::new(state.as_deref(), telemetry.clone()),
            telemetry,
            questions,
            started: now.wall,
            recent: publish::Recent::default(),
            said: publish::Said::default(),
            ends: publish::Ends::default(),
            answered: None,
            unmapped: unmapped::Unmapped::default(),
            duty: service::Duty::default(),
            clock,
        };
        bridge.recall_published();
        bridge
    }

    /// Runs until `stop` is ready with the policy to follow, then drains and disconnects within some seconds.
    pub async fn run(mut self, stop: impl Future<Output = OnStop>) {
        let mut stop = std::pin::pin!(stop);
        self.begin_duty();
        let on_stop = loop {
            self.perform();
            self.write_journal();
            let deadline = self.core.poll_timeout().unwrap_or(Deadline::NEVER).earlier(self.publishing_wakes());
            let deadline = deadline.earlier(self.journal.wake(&self.clock));
            let (publish, turn, room) = (self.wants_to_publish(), self.turn, self.journal.has_room());
            tokio::select! {
                policy = &mut stop => break policy,
                written = self.journal.written() => self.journal_written(written),
                (place, event) = links::next(&mut self.events, turn), if room => match event {
                    Some(event) => {
                        self.notice_sleep(deadline);
                        self.heard(place, event);
                    }
                    None => break OnStop::Leave, // the adapter ended: only a stop does that
                },
                Some(done) = self.calls.join_next() => {
                    self.notice_sleep(deadline);
                    self.done(done);
                }
                Some(read) = self.reads.join_next() => self.was_read(read),
                Some(news) = self.news.recv() => self.learn(news),
                Some(asked) = self.questions.next() => self.answer(asked),
                () = self.alarms.changed() => self.mark(Topic::Status),
                () = self.duty.due() => self.do_duty(),
                (place, permit) = links::permit(&self.links, turn), if publish => self.publish(place, permit),
                () = self.timer.until(deadline) => {
                    self.notice_sleep(deadline);
                    let now = self.clock.now();
                    self.core.handle_timeout(now);
                    self.perform(); // what has changed is told first
                    self.publish_in_time(now);
                }
            }
        };
        self.stop(on_stop).await;
    }

    fn heard(&mut self, place: usize, event: mqtt::Event) {
        self.turn = self.turn.wrapping_add(1);
        self.event(place, event);
        for _ in 1..BATCH {
            let Some(event) = self.events.get_mut(place).and_then(mqtt::Events::try_next) else { break };
            self.event(place, event);
        }
    }

    fn event(&mut self, place: usize, event: mqtt::Event) {
        match event {
            mqtt::Event::Link(link) => self.linked(place, link, self.clock.now()),
            mqtt::Event::Publish(mut incoming) => {
                let token = incoming.token.take();
                self.message(place, &incoming);
                if let Some(token) = token {
                    self.after_journal(Then::Ack(place, token));
                }
            }
        }
    }

    fn message(&mut self, place: usize, incoming: &mqtt::Incoming) {
        let topic = &incoming.topic;
        let tell = |result| report::Message { topic, result };
        if !self.links.get(place).is_some_and(|link| link.own_topics) && answers::is_door(&self.topic_prefix, topic) {
            return self.telemetry.tell(&tell(Err(Reason::NoRule))); // there is no door at this broker
        }
        let publish = Publish { topic, payload: &incoming.payload, retain: incoming.retain, expiry: incoming.expiry };
        let now = self.clock.now();
        if let Some(link) = self.links.get_mut(place) {
            link.heard = now.mono;
        }
        let handled = self.core.handle_publish(now, links::source_id(place), &publish);
        let (mut refused, mut renewed, mut unknown) = (None, None, false);
        for step in handled.steps {
            if step.result == Err(Reason::NoRule) && answers::is_answer(&self.topic_prefix, topic) {
                continue;
            }
            self.telemetry.tell(&tell(step.result));
            unknown |= step.rule != Some(RuleId::DOOR) && step.result == Err(Reason::UnknownSubject);
            if step.rule == Some(RuleId::DOOR) {
                refused = step.result.err();
                renewed = step.person;
            }
            if let (Ok(Applied::Changed), Some(person)) = (step.result, step.person) {
                self.links.iter_mut().for_each(|link| link.mark(Topic::Person(person))); // its list of shares
            }
        }
        if unknown {
            self.note_strangers(now.wall, place, &publish);
        }
        if let Some(reason) = refused {
            self.answer_at_door(place, topic, reason);
        } else if let Some(person) = renewed {
            self.hear_of_end(person);
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
                    self.after_journal(Then::Call(Leaving { ticket, person, body, not_after, cause }));
                }
                Action::ClearPresence { ticket, person, not_after, .. } => {
                    let (body, cause) = (Body::Clear, Cause::Change);
                    self.after_journal(Then::Call(Leaving { ticket, person, body, not_after, cause }));
                }
                Action::Read { tenant, serial, .. } => self.read(tenant, serial),
                Action::Changed { person } => self.mark(Topic::Person(person)),
                Action::Alarm { alarm, on } => self.alarm(alarm, on),
            }
        }
    }

    fn leave(&mut self, call: Leaving) {
        let Leaving { ticket, person, body, not_after, cause } = call;
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

    /// Brokers hear the farewell while the last calls are made: none of them waits for another, nor for Graph.
    async fn stop(mut self, policy: OnStop) {
        tracing::info!(policy = ?policy, "Stopping.");
        self.duty.end();
        self.core.handle_stop(self.clock.now(), policy);
        self.flush_journal().await;
        let mut farewells = JoinSet::new();
        for link in self.links.drain(..) {
            let farewell = link.own_topics.then(|| will(&self.topic_prefix, &link.instance));
            farewells.spawn(link.handle.stop(farewell));
        }
        let farewells = async { while farewells.join_next().await.is_some() {} };
        let (drained, ()) = tokio::join!(tokio::time::timeout(DRAIN, self.drain()), farewells);
        if drained.is_err() {
            let left = self.core.people().filter(|&person| !self.core.view(person).is_clean()).count();
            tracing::warn!(people = left, "Stopped before everything was answered; sessions end by their expiration.");
        }
        self.close_journal(drained.is_ok()).await;
        self.kept.finish().await;
    }

    async fn drain(&mut self) {
        loop {
            self.perform();
            if self.core.is_idle() {
                return;
            }
            self.write_journal();
            let deadline = self.core.poll_timeout().unwrap_or(Deadline::NEVER).earlier(self.journal.wake(&self.clock));
            tokio::select! {
                written = self.journal.written() => self.journal_written(written),
                Some(done) = self.calls.join_next() => self.done(done),
                () = self.timer.until(deadline) => self.core.handle_timeout(self.clock.now()),
            }
        }
    }
}
