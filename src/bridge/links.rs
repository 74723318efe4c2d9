//! The brokers, each with a link of its own. None waits for another: events are taken from whichever has some, room to
//! publish is asked of each alone, and what a broker has not been told yet waits at its own link.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::publish::{Deletions, Topic};
use super::{Bridge, words};
use crate::mqtt;
use crate::presence::{self, Deadline, Mono, Now, SourceId, Timestamp};

/// One broker, as the loop is given it.
pub struct Source {
    /// What configuration, logs and topics call it.
    pub name: String,
    /// Its address, to be shown.
    pub address: String,
    /// Who we are there: the client id, and the last level of the status topic.
    pub instance: String,
    /// Whether status, people and the door are there.
    pub own_topics: bool,
    /// The adapter.
    pub mqtt: (mqtt::Handle, mqtt::Events),
}

/// Nothing keeps the loop from a deadline for so long but sleep.
const SLEPT: Duration = Duration::from_secs(5);

/// What is known of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not connected.
    Down,
    /// Connected.
    Up,
    /// Connected, and yet nothing is heard.
    Deaf,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            State::Down => "down",
            State::Up => "up",
            State::Deaf => "deaf",
        }
    }
}

/// A broker, and what it has not been told yet.
pub(super) struct Link {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) instance: String,
    pub(super) own_topics: bool,
    pub(super) handle: mqtt::Handle,
    pub(super) state: State,
    pub(super) since: Timestamp,
    /// When a message of its was handled last.
    pub(super) heard: Mono,
    /// Our retained topics whose content is out of date there. Bounded by the people there are.
    pub(super) unpublished: BTreeSet<Topic>,
    pub(super) deletions: Deletions,
    /// What is left of one announcement.
    pub(super) announcing: Vec<mqtt::Message>,
    /// To a message at the door: one at a time, since they are given once a second.
    pub(super) answer: Option<mqtt::Message>,
}

impl Link {
    pub(super) fn new(source: Source, now: Timestamp) -> (Link, mqtt::Events) {
        let Source { name, address, instance, own_topics, mqtt: (handle, events) } = source;
        let link = Link {
            name,
            address,
            instance,
            own_topics,
            handle,
            state: State::Down,
            since: now,
            heard: Mono::ZERO,
            unpublished: BTreeSet::new(),
            deletions: Deletions::default(),
            announcing: Vec::new(),
            answer: None,
        };
        (link, events)
    }

    /// Says a topic of ours again, where there is somebody to say it to: after a loss everything is said anyway.
    pub(super) fn mark(&mut self, topic: Topic) {
        if self.own_topics && self.state != State::Down {
            self.unpublished.insert(topic);
        }
    }

    fn has_something_to_say(&self) -> bool {
        let waits = self.answer.is_some()
            || !self.unpublished.is_empty()
            || !self.announcing.is_empty()
            || self.deletions.are_due();
        waits && self.state != State::Down
    }
}

impl Bridge {
    /// The link to a broker changed.
    pub(super) fn linked(&mut self, place: usize, event: presence::Link, now: Now) {
        let Some(link) = self.links.get_mut(place) else { return };
        let event = match event {
            // The link knows when it read the last message; the core has counted it from when it was handled, a little later,
            // and nothing that it knows may be younger than the gap.
            presence::Link::Deaf { since } => presence::Link::Deaf { since: since.max(link.heard) },
            event => event,
        };
        self.core.handle_link(now, source_id(place), event);
        let (state, since) = match event {
            presence::Link::Down => (State::Down, now.wall),
            presence::Link::Up { .. } | presence::Link::Replayed => (State::Up, now.wall),
            presence::Link::Slept { .. } if link.state == State::Down => (State::Down, link.since),
            presence::Link::Deaf { since } | presence::Link::Slept { since } => {
                (State::Deaf, words::wall_of(since, now))
            }
        };
        if state == State::Down {
            // Whether what was said last has arrived is not known.
            link.unpublished.clear();
            link.announcing.clear();
            link.answer = None;
            link.deletions.forget_sent();
        }
        let changed = link.state != state;
        if changed {
            (link.state, link.since) = (state, since);
        }
        if matches!(event, presence::Link::Up { .. }) {
            // The broker may have lost what it retained: say everything again.
            link.mark(Topic::Status);
            self.core.people().map(Topic::Person).for_each(|topic| link.mark(topic));
            self.announce_all(place);
        }
        if changed {
            self.mark(Topic::Status);
        }
    }

    /// Whether the loop should have been awake long ago: the machine slept, or the process was stopped. What devices said
    /// meanwhile is not known, and the connections may be dead without knowing it: a gap as any other, told before anything
    /// is decided by what was known before.
    pub(super) fn notice_sleep(&mut self, deadline: Deadline) {
        let now = self.clock.now();
        if now.mono.since(deadline.mono) < SLEPT * self.clock.speed() {
            return;
        }
        tracing::info!("The machine slept; connecting anew.");
        for place in 0..self.links.len() {
            let Some(link) = self.links.get(place) else { continue };
            link.handle.slept();
            let since = link.heard;
            self.linked(place, presence::Link::Slept { since }, now);
        }
    }

    /// A topic of ours is out of date, at every broker.
    pub(super) fn mark(&mut self, topic: Topic) {
        self.links.iter_mut().for_each(|link| link.mark(topic));
    }

    pub(super) fn wants_to_publish(&self) -> bool {
        self.links.iter().any(Link::has_something_to_say)
    }
}

/// A broker by its place.
pub(super) fn source_id(place: usize) -> SourceId {
    SourceId(u16::try_from(place).unwrap_or(u16::MAX))
}

/// The next event of any broker, and of which; they are looked at in turn, from `first` on. Safe to cancel.
pub(super) async fn next(events: &mut [mqtt::Events], first: usize) -> (usize, Option<mqtt::Event>) {
    if let [only] = events {
        return (0, only.next().await);
    }
    ready(events.iter_mut().map(mqtt::Events::next).enumerate(), first).await
}

/// Room to publish at any broker that has not been told everything, and at which. Safe to cancel.
pub(super) async fn permit(links: &[Link], first: usize) -> (usize, Option<mqtt::Permit>) {
    let waiting = links.iter().enumerate().filter(|(_, link)| link.has_something_to_say());
    ready(waiting.map(|(place, link)| (place, link.handle.permit())), first).await
}

/// The first of some futures that is ready, each with its place; none ever, where there are none. Whoever comes first is
/// looked at last the next time, if `first` goes round.
async fn ready<F: Future>(futures: impl Iterator<Item = (usize, F)>, first: usize) -> (usize, F::Output) {
    let mut futures: Vec<(usize, Pin<Box<F>>)> = futures.map(|(place, future)| (place, Box::pin(future))).collect();
    if !futures.is_empty() {
        let turn = first % futures.len();
        futures.rotate_left(turn);
    }
    std::future::poll_fn(move |context: &mut Context<'_>| {
        for (place, future) in &mut futures {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready((*place, output));
            }
        }
        Poll::Pending
    })
    .await
}
