//! What goes out: acknowledgements, publishes, subscriptions, the goodbye; through rumqttc's channel, which may be full.

use super::super::{AckToken, Message, Qos, report, wire};
use super::{LinkTask, Version};

pub(super) enum Request {
    Ack(AckToken),
    Publish(Message),
    Subscribe(Vec<String>),
    Unsubscribe(String),
    Disconnect,
}

impl LinkTask {
    /// Queued behind what is on its way: a channel that is full now has room once the broker has read from it.
    pub(super) fn say_goodbye(&mut self, farewell: Option<Message>) {
        self.stopping = true;
        self.blocked.extend(farewell.map(Request::Publish));
        self.unblock();
        self.part();
    }

    /// Disconnects as soon as the broker has taken what was said at QoS 1.
    pub(super) fn part(&mut self) {
        let free = self.blocked.is_empty() && self.unacknowledged == 0;
        if (self.stopping || self.yielding) && free && !std::mem::replace(&mut self.parted, true) {
            self.request(Request::Disconnect);
        }
    }

    pub(super) fn request(&mut self, request: Request) {
        self.blocked.push_back(request);
        self.unblock();
    }

    pub(super) fn unblock(&mut self) {
        if self.blocked.is_empty() {
            return;
        }
        while let Some(request) = self.blocked.pop_front() {
            if let Some(request) = self.refused(request) {
                self.blocked.push_front(request);
                return;
            }
        }
        self.part();
    }

    /// Gives back what does not fit now.
    fn refused(&mut self, request: Request) -> Option<Request> {
        let fits = match &request {
            Request::Ack(token) if token.epoch != self.epoch => true, // of a connection that is gone
            Request::Ack(token) => {
                let fits = self.voice.ack(token.pkid);
                self.tokens = self.tokens.saturating_sub(usize::from(fits));
                fits
            }
            Request::Publish(_) if self.connected.is_none() => true, // said again when connected
            Request::Publish(message) => self.says(message),
            Request::Subscribe(filters) => {
                let fits = self.voice.subscribe(filters);
                if fits {
                    self.subscriptions.asked(filters.clone());
                }
                fits
            }
            Request::Unsubscribe(filter) => self.voice.unsubscribe(filter),
            Request::Disconnect => self.voice.disconnect(),
        };
        (!fits).then_some(request)
    }

    fn says(&mut self, message: &Message) -> bool {
        let qos = if self.asked.qos1 { message.qos } else { Qos::AtMostOnce };
        let message = Message { retain: message.retain && self.asked.retains, qos, ..message.clone() };
        // rumqttc would end the connection for the one, and take the other for a full channel.
        if self.versions.current == Version::V5 && wire::size(&message) > self.largest {
            self.telemetry.tell(&report::Dropped::TooLarge { topic: &message.topic, largest: self.largest });
            return true;
        }
        if !rumqttc::mqttbytes::valid_topic(&message.topic) {
            self.telemetry.tell(&report::Dropped::NoTopic { topic: &message.topic });
            return true;
        }
        let fits = self.voice.publish(&message);
        if fits && qos == Qos::AtLeastOnce {
            self.unacknowledged += 1;
        }
        fits
    }
}
