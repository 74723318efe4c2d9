//! From the devices to the core: a broker that retains, a session that keeps what is missed, a link that comes and goes.

use std::collections::BTreeSet;
use std::time::Duration;

use presence_bridge::presence::{Link, Publish, Reason, SourceId};

use super::super::oracle::{Delivery, Hearing, Say};
use super::office::Message;
use super::{Event, MINUTE, SECOND, SESSION_KEPT, World};

impl World {
    pub(super) fn at_broker(&mut self, message: Message) {
        if message.kind.is_retained() {
            self.retained.insert(message.topic(), message.clone());
        }
        if self.hears() {
            let connection = self.connection;
            let mut delay = self.rng.u64(1..20);
            if self.mood.is_hostile() && self.rng.u32(0..100) < 10 {
                delay = self.rng.u64(1..3_000);
                self.cover("a message out of order");
            }
            if self.mood.is_hostile() && self.rng.u32(0..100) < 10 {
                let again = delay + self.rng.u64(1..2_000);
                self.after(again, Event::Arrives(connection, message.clone(), false));
                self.cover("a message twice");
            }
            self.after(delay, Event::Arrives(connection, message, false));
        } else if self.session_kept && self.mono < self.lost_at + SESSION_KEPT {
            self.backlog.push(message);
        }
    }

    pub(super) fn arrives(&mut self, message: &Message, retain: bool) {
        let topic = message.topic();
        let terms = self.office.terms(message.kind);
        let person = self.office.leads_to[message.subject];
        self.note(|| format!("p{person} {topic} {} retain={retain}", message.payload));
        self.last_heard = self.mono;
        let (now, listed) = (self.mono, self.people[person].listed);
        let truth = self.truth(message.subject, message.kind);
        truth.lost |= message.number < truth.heard; // an older word came last, and is believed
        if message.number > truth.heard || listed && truth.forgotten {
            truth.heard_at = now;
        }
        truth.forgotten &= !listed;
        truth.heard = message.number;
        if self.people[person].listed {
            self.oracle.deliver(Delivery {
                at: self.at(),
                payload: message.payload.clone(),
                retain,
                person,
                signal: terms.signal,
                device: terms.device,
                subject: message.subject,
                say: message.say,
                ttl: terms.ttl,
                delay: terms.delay,
                hold: terms.hold,
                until: message.until,
            });
        } else {
            self.cover("a message about somebody who is not listed");
        }
        let publish = Publish { topic: topic.as_bytes(), payload: message.payload.as_bytes(), retain, expiry: None };
        let result = self.core.handle_publish(self.now(), SourceId(0), &publish).steps[0].result;
        let (spoken, _) = self.spoken.get(&topic).copied().unwrap_or((self.mono, 0));
        if result == Err(Reason::Replay) {
            self.cover("a replay of what was known");
            if message.say == Say::On && self.mono > spoken + terms.ttl {
                self.cover("a replay of a dead topic");
            }
        } else {
            self.spoken.insert(topic, (self.mono, message.number));
        }
        let at_its_end = message.until.is_some() && message.say == Say::Until && self.is_about_its_end(message);
        self.delivering = true;
        self.perform();
        self.want(person);
        self.delivering = false;
        if at_its_end && self.people[person].wanted == "Busy/InAConferenceCall" {
            self.cover("an extension at the end");
        }
    }

    fn is_about_its_end(&self, message: &Message) -> bool {
        let before = self.people[message.subject].last_wanted.get("Busy/InAConferenceCall");
        before.is_some_and(|&last| self.mono < last + 5 * SECOND)
    }

    pub(super) fn replay_is_through(&mut self, connection: u64, touched: &mut BTreeSet<usize>) {
        if connection == self.connection && self.hears() {
            self.oracle.hearing(self.mono, Hearing::Replayed);
            self.last_heard = self.mono;
            self.core.handle_link(self.now(), SourceId(0), Link::Replayed);
            self.perform();
            touched.extend(0..self.people.len());
        }
    }

    pub(super) fn link_down(&mut self) {
        if !self.up || self.healed || !self.alive {
            return;
        }
        self.fault("broker lost");
        self.up = false;
        self.deaf = false;
        self.lose(self.mono);
        self.core.handle_link(self.now(), SourceId(0), Link::Down);
        self.perform();
        if self.rng.u32(0..100) < 20 {
            self.fault("broker without its store");
            self.session_kept = false;
            self.retained.clear();
        }
        let span = self.rng.u64(SECOND..25 * MINUTE);
        self.after(span, Event::LinkUp);
    }

    /// The gap begins, unless one is open already.
    pub(super) fn lose(&mut self, since: u64) {
        self.lost_at = since;
        self.backlog.clear();
        self.session_kept = true;
        self.oracle.hearing(self.mono, Hearing::Lost { since });
    }

    pub(super) fn link_up(&mut self) {
        if self.up && !self.deaf || !self.alive || self.stopping.is_some() {
            return;
        }
        self.last_fault = self.last_fault.max(self.mono);
        self.up = true;
        self.deaf = false;
        self.connection += 1;
        let connection = self.connection;
        let kept = self.session_kept && self.mono < self.lost_at + SESSION_KEPT;
        self.note(|| format!("==== up, session {kept}"));
        self.oracle.hearing(self.mono, Hearing::Up { session: kept.then_some(SESSION_KEPT) });
        let expiry = Duration::from_millis(SESSION_KEPT);
        self.core.handle_link(self.now(), SourceId(0), Link::Up { session_present: kept, expiry });
        let mut delay = 1;
        for message in std::mem::take(&mut self.backlog) {
            if kept {
                self.cover("a backlog");
                delay += 1;
                self.after(delay, Event::Arrives(connection, message, false));
            }
        }
        self.session_kept = true;
        for message in self.retained.values().cloned().collect::<Vec<_>>() {
            delay += 1;
            self.after(delay, Event::Arrives(connection, message, true));
        }
        let canary = delay + self.rng.u64(1..500);
        self.after(canary, Event::Replayed(connection));
        self.perform();
    }

    /// The connection stays, and nothing comes any more; noticed by the canary.
    pub(super) fn go_deaf(&mut self) {
        if !self.up || self.deaf || self.healed || !self.alive {
            return;
        }
        self.fault("deaf link");
        self.deaf = true;
        let since = self.last_heard;
        self.lose(since);
        // The canary has missed twice by now; what came in between counts for nothing.
        self.core.handle_link(self.now(), SourceId(0), Link::Deaf { since: self.core_mono(since) });
        self.perform();
        self.session_kept = false;
        let span = self.rng.u64(SECOND..30 * MINUTE);
        self.after(span, Event::LinkUp);
    }
}
