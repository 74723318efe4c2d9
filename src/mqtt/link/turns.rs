//! Where a connection begins, and where it ends: what was granted, what is forgotten, what is told.

use std::time::Duration;

use super::super::failure::{Cause, Failure};
use super::super::wire::{self, Asked, Ear, Granted, Version};
use super::super::{Event, Session, connect, report};
use super::LinkTask;
use super::hearing::Echoes;
use crate::presence::Link;

impl LinkTask {
    /// What the broker grants for this connection.
    pub(super) fn heed(&mut self, granted: &Granted, ear: &mut Ear) {
        ear.begin(granted.window());
        self.window = granted.window().into();
        let own = connect::keep_alive(&self.config);
        // 0 means never, but rumqttc would ping without a pause; and a longer one notices a dead connection later.
        if granted.keep_alive.is_some_and(|it| it == 0 || Duration::from_secs(it.into()) > own) {
            ear.keep_alive(own);
        }
        self.largest = granted.largest.map_or(usize::MAX, |it| it.try_into().unwrap_or(usize::MAX));
        self.asked = Asked { retains: granted.retains, qos1: granted.qos1 };
        if !granted.retains {
            self.telemetry.tell(&report::Limited::RetainsNothing);
        }
        if !granted.qos1 {
            self.telemetry.tell(&report::Limited::QosZero);
        }
        self.limit_wildcards(granted.wildcards);
    }

    /// The connection ended or did not come about; how long to wait before the next attempt.
    pub(super) fn lost(&mut self, failure: &Failure, ear: &mut Ear) -> Duration {
        self.epoch += 1;
        self.blocked.clear();
        (self.tokens, self.unacknowledged) = (0, 0);
        self.echoes = Echoes::default();
        self.late.clear();
        (self.yielding, self.parted) = (false, false);
        let lasted = self.connected.take().map(|since| self.clock.real().since(since));
        if lasted.is_some() {
            self.deafened = self.canary.is_deaf();
            // What happened since we last heard something is not known, whenever the loss was noticed.
            self.tell(Event::Link(Link::Deaf { since: self.heard }));
            self.tell(Event::Link(Link::Down));
        }
        self.canary.lost();
        // A broker that does not like a filter may end the connection instead of saying so: RabbitMQ does.
        let at_subscribe = failure.cause == Cause::PeerClosed && self.subscriptions.are_awaited();
        self.subscriptions.lost();
        self.telemetry.end(report::DEAF, Some(&self.config.name));
        let cause = if at_subscribe { Cause::ClosedAtSubscribe } else { failure.cause };
        self.ask_for_less(cause);
        self.telemetry.tell(&report::Lost { config: &self.config, text: &failure.text, cause });
        self.closed_at_subscribe = if at_subscribe { self.closed_at_subscribe + 1 } else { 0 };
        // Once may be chance, a broker that goes down in this moment.
        if !at_subscribe || self.closed_at_subscribe > 1 {
            self.alarm(cause);
        }
        let verdict = self.losses.judge(cause, lasted, fastrand::f64());
        if verdict.taken_over {
            self.telemetry.tell(&report::TakenOver { client_id: &self.config.client_id });
            self.telemetry.raise(report::taken_over(&self.config));
        }
        let change = if lasted.is_none() { self.versions.failed(cause) } else { None };
        let Some(change) = change else { return verdict.wait };
        let (broker, version) = (&self.config.name, self.versions.current.name());
        tracing::info!(broker, version, "The broker does not take this version of MQTT; trying the other.");
        self.renew(ear);
        if change.first { Duration::ZERO } else { verdict.wait }
    }

    fn ask_for_less(&mut self, cause: Cause) {
        match cause {
            Cause::RetainRefused => {
                self.asked.retains = false;
                self.telemetry.tell(&report::Limited::RetainsNothing);
            }
            Cause::QosRefused => {
                self.asked.qos1 = false;
                self.telemetry.tell(&report::Limited::QosZero);
            }
            _ => {}
        }
    }

    /// A client without a past.
    pub(super) fn renew(&mut self, ear: &mut Ear) {
        let (voice, fresh) = wire::new(&self.config, self.versions.current);
        self.voice = voice;
        *ear = fresh;
    }

    fn alarm(&self, cause: Cause) {
        if let Some(alarm) = report::alarm(&self.config, cause) {
            self.telemetry.raise(alarm);
        }
    }

    pub(super) fn up(&mut self, granted: &Granted) {
        self.epoch += 1;
        self.versions.worked();
        self.connected = Some(self.clock.real());
        self.heard = self.clock.now().mono;
        for name in report::ENDED_BY_A_CONNECTION {
            self.telemetry.end(name, Some(&self.config.name));
        }
        let wanted = match (self.versions.current, self.config.session) {
            (Version::V5, Session::Persistent { expiry }) => expiry,
            _ => Duration::ZERO,
        };
        let expiry = granted.session_expiry.map_or(wanted, |seconds| Duration::from_secs(seconds.into()));
        // Whoever was deaf when the connection ended has missed what the broker did not keep.
        let session_present = granted.session_present && !std::mem::take(&mut self.deafened);
        let (broker, protocol) = (&self.config.address, self.versions.current.name());
        tracing::info!(name = self.config.name, %broker, protocol, session_present, "MQTT connected.");
        self.tell(Event::Link(Link::Up { session_present, expiry }));
        self.unsubscribe_the_rest(granted.session_present);
        // At every connection: a broker that forgot us delivers nothing, and one that did not re-sends what it retains.
        self.subscribe();
    }
}
