//! The journal beside the loop: what waits for a write, and when the next one goes.
//!
//! A message is acknowledged, and a call leaves, when what the core had changed by then is on disk. So both stand in one
//! queue, each with the number of the write that it waits for; what changed nothing goes in its turn. One write is out at a
//! time. What gathers meanwhile, in the core's marks, is the next one: under load a write serves a whole window of messages,
//! and the disk's speed bounds nothing but the delay.
//!
//! While nothing can be written nobody waits: the bridge works from memory, and an alarm says so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Bridge;
use crate::clock::{self, Clock};
use crate::graph::Body;
use crate::mqtt::AckToken;
use crate::presence::{Cause, Changes, Core, Deadline, Mono, Now, PersonId, Plan, Restart, SourceId, Ticket};
use crate::store::{Found, Record, Store, Written};
use crate::telemetry::AlarmText;

/// A write that takes longer is not waited for: a call has five seconds to start.
const PATIENCE: Duration = Duration::from_secs(2);
/// After a write that failed.
const AGAIN: Duration = Duration::from_secs(10);
/// Where nothing changes, how old the journal may say that the bridge last heard: shorter gaps than an MQTT session lasts
/// are bridged, and a minute of that is little.
const STAMP: Duration = Duration::from_secs(60);
/// As much may wait; then no message is taken. MQTT 3.1.1 bounds it no other way.
const MOST_WAITING: usize = 10_000;
const SLOW: &str = "state_slow";

/// What is done once a write is on disk.
pub(super) enum Then {
    /// A message of the broker at this place is acknowledged.
    Ack(usize, AckToken),
    /// A call leaves.
    Call(Leaving),
}

/// A call to Graph that has not left.
pub(super) struct Leaving {
    pub(super) ticket: Ticket,
    pub(super) person: PersonId,
    pub(super) body: Body,
    pub(super) not_after: Mono,
    pub(super) cause: Cause,
}

/// The queue, and the write that is out.
pub(super) struct Journal {
    store: Option<Store>,
    boot: Option<String>,
    /// Names of the brokers, by place.
    sources: Vec<String>,
    /// Writes that were handed over, and how many of them were answered.
    handed: u64,
    answered: u64,
    /// When the last was handed over (this and the next in real time), and whether it is still out.
    at: Mono,
    out: bool,
    /// No sooner after a failure.
    again: Option<Mono>,
    /// The one that is out takes too long.
    slow: bool,
    waiting: VecDeque<(u64, Then)>,
}

impl Journal {
    pub(super) fn new(store: Option<Store>, sources: Vec<String>) -> Self {
        Journal {
            store,
            boot: clock::boot(),
            sources,
            handed: 0,
            answered: 0,
            at: Mono::ZERO,
            out: false,
            again: None,
            slow: false,
            waiting: VecDeque::new(),
        }
    }

    /// A core that goes on from what was found, or begins; its changes are noted, if anybody writes them down.
    pub(super) fn core(&self, now: Now, plan: Arc<Plan>, found: Option<Found>) -> Core {
        let mut core = match found {
            None => Core::new(now, plan),
            Some(Found { boot, clean, sources, mut snapshot }) => {
                snapshot.rename_sources(|then| {
                    let name = sources.get(usize::from(then.0))?;
                    let place = self.sources.iter().position(|source| source == name)?;
                    u16::try_from(place).ok().map(SourceId)
                });
                let same_boot = boot.is_some() && boot == self.boot && snapshot.taken.mono <= now.mono;
                let (people, topics) = (snapshot.people.len(), snapshot.topics.len());
                tracing::info!(people, topics, same_boot, clean, "Going on from the journal.");
                Core::restore(now, plan, snapshot, Restart { same_boot, clean })
            }
        };
        if self.store.is_some() {
            core.note_changes();
        }
        core
    }

    /// Whether anything waits for a write, rather than being done from memory.
    fn is_trusted(&self) -> bool {
        self.store.is_some() && self.again.is_none() && !self.slow
    }

    /// Keeps what has to wait; gives back what has not. `changes`: something is not handed over yet.
    fn hold(&mut self, changes: bool, then: Then) -> Option<Then> {
        let write = self.handed + u64::from(changes);
        if !self.is_trusted() || write <= self.answered {
            return Some(then);
        }
        self.waiting.push_back((write, then));
        None
    }

    /// What need not wait any more, in order.
    fn free(&mut self) -> Option<Then> {
        let go = !self.is_trusted() || self.waiting.front()?.0 <= self.answered;
        if go { self.waiting.pop_front().map(|(_, then)| then) } else { None }
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    /// Whether a write may go now.
    fn is_free(&self, real: Mono) -> bool {
        self.store.is_some() && !self.out && self.again.is_none_or(|again| real >= again)
    }

    fn hand_over(&mut self, real: Mono, changes: Changes, clean: bool) {
        let Some(store) = &self.store else { return };
        (self.handed, self.at, self.out) = (self.handed + 1, real, true);
        store.write(Record { boot: self.boot.clone(), clean, sources: self.sources.clone(), changes });
    }

    /// Ready when the write that is out is answered; never, if none is. Safe to cancel.
    pub(super) async fn written(&mut self) -> Written {
        match &mut self.store {
            Some(store) if self.out => store.written().await,
            _ => std::future::pending().await,
        }
    }

    /// When it has to be looked at, if nothing happens before.
    pub(super) fn wake(&self, clock: &Clock) -> Deadline {
        let real = match (&self.store, self.out, self.again) {
            (None, ..) => return Deadline::NEVER,
            (_, true, _) if self.slow => return Deadline::NEVER,
            (_, true, _) => self.at + PATIENCE,
            (_, false, Some(again)) => again,
            (_, false, None) => self.at + STAMP,
        };
        let left = real.since(clock.real()) * clock.speed();
        Deadline::NEVER.at_latest(clock.now().mono + left)
    }
}

impl Bridge {
    /// Does it when all that the core has changed so far is on disk.
    pub(super) fn after_journal(&mut self, then: Then) {
        if let Some(then) = self.journal.hold(self.core.has_changes(), then) {
            self.go_on(then);
        }
    }

    fn go_on(&mut self, then: Then) {
        match then {
            Then::Ack(place, token) => {
                if let Some(link) = self.links.get(place) {
                    link.handle.ack(token);
                }
            }
            Then::Call(leaving) => self.leave(leaving),
        }
    }

    fn release(&mut self) {
        while let Some(then) = self.journal.free() {
            self.go_on(then);
        }
    }

    /// Hands over what has gathered, if the last write is answered; stops waiting for one that takes too long.
    pub(super) fn write_journal(&mut self) {
        let real = self.clock.real();
        if self.journal.out && !self.journal.slow && real.since(self.journal.at) >= PATIENCE {
            self.journal.slow = true;
            let remedy =
                "a write of the journal has not ended after 2 s: look at the disk of the state directory, or name \
                          another as dir in [state]. Until it ends the bridge works from memory"
                    .into();
            self.telemetry.raise(AlarmText { name: SLOW, about: None, remedy });
            self.release();
        }
        let stamp = real.since(self.journal.at) >= STAMP;
        if self.journal.is_free(real) && (stamp || self.core.has_changes()) {
            self.hand_over(false);
        }
    }

    fn hand_over(&mut self, clean: bool) {
        let changes = self.core.take_changes(self.clock.now());
        self.journal.hand_over(self.clock.real(), changes, clean);
    }

    /// The write that was out ended.
    pub(super) fn journal_written(&mut self, written: Written) {
        (self.journal.out, self.journal.answered) = (false, self.journal.handed);
        if std::mem::take(&mut self.journal.slow) {
            self.telemetry.end(SLOW, None);
        }
        self.journal.again = None;
        match written {
            Written::Durable { long } => {
                if long {
                    self.core.doubt_journal();
                }
            }
            Written::Failed => {
                self.core.doubt_journal();
                self.journal.again = Some(self.clock.real() + AGAIN);
            }
        }
        self.release();
    }

    /// Waits a little until everything so far is on disk, so that acknowledgements still go.
    pub(super) async fn flush_journal(&mut self) {
        let flush = async {
            self.write_journal();
            while self.journal.out {
                let written = self.journal.written().await;
                self.journal_written(written);
                if !self.journal.waiting.is_empty() {
                    self.write_journal();
                }
            }
        };
        if tokio::time::timeout(PATIENCE, flush).await.is_err() {
            self.journal.slow = true;
            self.release();
        }
    }

    /// The last write: the next process may rely on what is held.
    pub(super) async fn close_journal(&mut self, clean: bool) {
        self.flush_journal().await;
        if self.journal.is_free(self.clock.real()) {
            self.hand_over(clean);
            drop(tokio::time::timeout(PATIENCE, self.journal.written()).await);
        }
    }
}
