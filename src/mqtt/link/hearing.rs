//! What comes in: messages, the answers to subscriptions, and the canary that tells whether there could be any.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::canary::Act;
use super::super::subscriptions::Subscriptions;
use super::super::wire::Heard;
use super::super::{AckToken, Change, Event, Incoming, Message, report};
use super::requests::Request;
use super::{LinkTask, loss};
use crate::presence::Link;

/// Mosquitto has so many in flight unless told otherwise: more unacknowledged messages than these fill its window, and
/// what follows them waits there.
const WINDOW: usize = 20;

/// Whether a broker would take it; said, if not.
pub(super) fn is_filter(filter: &String) -> bool {
    let valid = rumqttc::mqttbytes::valid_filter(filter);
    if !valid {
        tracing::error!(filter, "Not a topic filter of MQTT; it is not subscribed.");
    }
    valid
}

/// Echoes of the canary and what came before them: acknowledgements go out in the order of arrival, these too.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    /// Messages at QoS 1 that were told, and acknowledged.
    told: u64,
    acknowledged: u64,
    /// Packet ids, each behind so many told.
    waiting: VecDeque<(u64, u16)>,
}

impl Echoes {
    fn next(&mut self) -> Option<u16> {
        let (behind, pkid) = *self.waiting.front()?;
        (behind <= self.acknowledged).then(|| self.waiting.pop_front())?;
        Some(pkid)
    }
}

impl LinkTask {
    pub(super) fn publish(&mut self, heard: Heard) {
        if self.config.canary.as_ref().is_some_and(|topic| topic.as_bytes() == heard.topic) {
            return self.echo(&heard);
        }
        let token = heard.pkid.map(|pkid| AckToken { epoch: self.epoch, pkid });
        if token.is_none() && self.waiting.is_full_for(heard.topic.len() + heard.payload.len()) {
            return self.telemetry.tell(&report::Dropped::QueueFull);
        }
        self.tokens += usize::from(token.is_some());
        self.echoes.told += u64::from(token.is_some());
        self.tell(Event::Publish(Incoming {
            topic: heard.topic,
            payload: heard.payload,
            retain: heard.retain,
            expiry: heard.expiry.map(|seconds| Duration::from_secs(seconds.into())),
            token,
        }));
    }

    fn echo(&mut self, heard: &Heard) {
        if let Some(pkid) = heard.pkid {
            self.tokens += 1;
            self.echoes.waiting.push_back((self.echoes.told, pkid));
            self.acknowledge_echoes();
        }
        let acts = self.canary.heard(self.clock.real(), &heard.payload);
        self.act(acts);
    }

    pub(super) fn acknowledge(&mut self, token: AckToken) {
        self.echoes.acknowledged += u64::from(token.epoch == self.epoch);
        self.request(Request::Ack(token));
        self.acknowledge_echoes();
    }

    fn acknowledge_echoes(&mut self) {
        while let Some(pkid) = self.echoes.next() {
            self.request(Request::Ack(AckToken { epoch: self.epoch, pkid }));
        }
    }

    /// Filters and canary, at every connection, and again while deaf.
    pub(super) fn subscribe(&mut self) {
        let filters = self.config.filters.iter().chain(&self.config.canary);
        for request in Subscriptions::requests(filters) {
            self.request(Request::Subscribe(request));
        }
    }

    /// What a new configuration says: filters at once, the rest at the next connection.
    pub(super) fn change(&mut self, change: Change) {
        let Change { mut filters, username, password, tls } = change;
        filters.retain(is_filter);
        (self.config.username, self.config.password, self.config.tls) = (username, password, tls);
        let before = std::mem::replace(&mut self.config.filters, filters);
        if self.connected.is_none() {
            return; // subscribed at the next connection, which also knows what is not wanted any more
        }
        let wanted = &self.config.filters;
        let (old, kept): (Vec<String>, Vec<String>) = before.into_iter().partition(|filter| !wanted.contains(filter));
        let new: Vec<String> = wanted.iter().filter(|filter| !kept.contains(filter)).cloned().collect();
        // Written before the broker is asked, as at a connection.
        let all = wanted.iter().chain(&old).chain(&self.config.canary).cloned().collect();
        self.keep(all);
        for filter in old {
            tracing::info!(filter, "Not wanted any more; unsubscribed.");
            self.subscriptions.drop_refused(&filter);
            self.request(Request::Unsubscribe(filter));
        }
        for request in Subscriptions::requests(new.iter()) {
            self.request(Request::Subscribe(request));
        }
    }

    /// A persistent session goes on with what was subscribed before a change of the rules.
    pub(super) fn unsubscribe_the_rest(&mut self, session_present: bool) {
        let wanted =
            |filter: &String| self.config.filters.contains(filter) || self.config.canary.as_ref() == Some(filter);
        let old: Vec<String> = self.kept.filters.iter().filter(|filter| !wanted(filter)).cloned().collect();
        // Written before the broker is asked, so that a crash in between leaves too many names rather than too few.
        let mut both = self.config.filters.clone();
        both.extend(self.config.canary.clone());
        if session_present {
            both.extend(old.iter().cloned());
            for filter in old {
                tracing::info!(filter, "Not wanted any more; unsubscribed.");
                self.request(Request::Unsubscribe(filter));
            }
        }
        self.keep(both);
    }

    fn keep(&mut self, filters: Vec<String>) {
        let Some(path) = &self.config.kept else { return };
        if self.kept.filters != filters {
            self.kept.filters = filters;
            if let Err(error) = self.kept.save(path) {
                self.telemetry.tell(&report::Unkept(error));
            }
        }
    }

    pub(super) fn subscribed(&mut self, pkid: u16, codes: Vec<Result<(), String>>) {
        let now = self.clock.real();
        if !self.subscriptions.answered(now, pkid, codes) {
            return;
        }
        let refused = self.subscriptions.refused();
        if refused.is_empty() {
            tracing::info!(filters = self.config.filters.len(), "MQTT subscribed.");
            self.telemetry.end(report::SUBSCRIPTIONS_REFUSED, Some(&self.config.name));
        } else {
            self.telemetry.tell(&report::SubscriptionsRefused { refused });
            self.telemetry.raise(report::subscriptions_refused(&self.config, refused));
        }
        let mut wanted = self.config.filters.clone();
        wanted.extend(self.config.canary.clone());
        self.keep(wanted); // UNSUBSCRIBE went before SUBSCRIBE
        if self.config.canary.is_some() {
            let acts = self.canary.subscribed(now);
            self.act(acts);
        }
    }

    /// What no packet brings.
    pub(super) fn timeout(&mut self) {
        let now = self.clock.real();
        for request in self.subscriptions.timeout(now) {
            self.request(Request::Subscribe(request));
        }
        let full = self.tokens >= WINDOW.min(self.config.receive_maximum.max(1).into());
        let acts = self.canary.timeout(now, full, self.heard_real);
        self.act(acts);
        if self.connected.is_some_and(|since| now.since(since) >= loss::AT_PEACE) && self.losses.peace() {
            self.telemetry.end(report::TAKEN_OVER, Some(&self.config.name));
        }
    }

    fn act(&mut self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Say(payload) => {
                    let Some(topic) = self.config.canary.clone() else { continue };
                    self.request(Request::Publish(Message::new(topic, payload).at_least_once()));
                }
                Act::Subscribe => self.subscribe(),
                Act::Deaf => {
                    self.telemetry.tell(&report::Deaf { name: &self.config.name });
                    self.telemetry.raise(report::deaf(&self.config));
                    self.tell(Event::Link(Link::Deaf { since: self.heard }));
                }
                Act::Replayed => {
                    self.telemetry.end(report::DEAF, Some(&self.config.name));
                    self.telemetry.end(report::TOO_LARGE, Some(&self.config.name)); // it would have come before
                    self.tell(Event::Link(Link::Replayed));
                }
                Act::Unheard => self.telemetry.raise(report::unheard(&self.config)),
                Act::Heard => self.telemetry.end(report::UNHEARD, Some(&self.config.name)),
                Act::Twin => {
                    self.yielding = true;
                    self.part();
                }
            }
        }
    }

    /// A broker that takes no wildcards hears the rest.
    pub(super) fn limit_wildcards(&self, granted: bool) {
        let wild = || self.config.filters.iter().filter(|filter| filter.contains(['+', '#']));
        if granted || wild().next().is_none() {
            return self.telemetry.end(report::NO_WILDCARDS, Some(&self.config.name));
        }
        self.telemetry.raise(report::no_wildcards(&self.config, wild()));
    }
}
