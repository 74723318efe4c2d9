//! Notable events of the link, and its alarms with what to do about them.

mod alarms;

pub(super) use self::alarms::*;
use super::Config;
use super::failure::Cause;
use crate::telemetry::Event;

/// A file could not be read; what was read last is used.
pub(super) enum Unreadable {
    Certificates(String),
    Password(String),
}

impl Event for Unreadable {
    const NAME: &'static str = "mqtt_unreadable";

    fn reason(&self) -> &'static str {
        match self {
            Unreadable::Certificates(_) => "certificates",
            Unreadable::Password(_) => "password",
        }
    }

    fn log(&self, due: Option<u64>) {
        let Some(times) = due else { return };
        match self {
            Unreadable::Certificates(error) => {
                let remedy =
                    "let the bridge's user read ca_file, client_certificate_file and client_key_file, PEM files";
                tracing::error!(times, %error, remedy, "TLS certificates for MQTT cannot be read; the last are used.");
            }
            Unreadable::Password(error) => {
                let remedy = "let the bridge's user read password_file in [mqtt]";
                tracing::error!(times, %error, remedy, "The MQTT password cannot be read; the last one is used.");
            }
        }
    }
}

/// What a link keeps over restarts could not be read or written.
pub(super) struct Unkept(pub(super) String);

impl Event for Unkept {
    const NAME: &'static str = "mqtt_unkept";

    fn reason(&self) -> &'static str {
        "file"
    }

    fn log(&self, due: Option<u64>) {
        if let Some(times) = due {
            let (error, remedy) = (&self.0, "let the bridge's user write to the directory that [state] names");
            tracing::warn!(times, %error, remedy, "The bridge cannot keep its identity at the broker over a restart.");
        }
    }
}

/// A message did not go on.
pub(super) enum Dropped<'a> {
    /// One of ours: larger than the broker takes.
    TooLarge { topic: &'a str, largest: usize },
    /// One of ours: not a topic.
    NoTopic { topic: &'a str },
    /// One at QoS 0 for us.
    QueueFull,
}

impl Event for Dropped<'_> {
    const NAME: &'static str = "mqtt_dropped";

    fn reason(&self) -> &'static str {
        match self {
            Dropped::TooLarge { .. } => "too_large",
            Dropped::NoTopic { .. } => "no_topic",
            Dropped::QueueFull => "queue_full",
        }
    }

    fn log(&self, due: Option<u64>) {
        let Some(times) = due else { return };
        match self {
            &Dropped::TooLarge { topic, largest } => {
                tracing::warn!(times, topic, largest, "A message of ours is larger than the broker takes; dropped.");
            }
            Dropped::NoTopic { topic } => {
                tracing::warn!(times, topic, "A message of ours for what is no topic; dropped.");
            }
            Dropped::QueueFull => {
                tracing::warn!(times, "Messages at QoS 0 dropped: they come faster than they can be handled.");
            }
        }
    }
}

/// The broker takes less than we would say.
pub(super) enum Limited {
    RetainsNothing,
    QosZero,
}

impl Event for Limited {
    const NAME: &'static str = "mqtt_limited";

    fn reason(&self) -> &'static str {
        match self {
            Limited::RetainsNothing => "retain",
            Limited::QosZero => "qos",
        }
    }

    fn log(&self, due: Option<u64>) {
        let Some(times) = due else { return };
        match self {
            Limited::RetainsNothing => {
                let remedy = "allow retained messages in the broker, or do without status and states for those who subscribe later";
                tracing::warn!(times, remedy, "The broker retains nothing; publishing without retain.");
            }
            Limited::QosZero => {
                let remedy = "allow QoS 1 in the broker: what is lost at QoS 0 is not sent again";
                tracing::warn!(times, remedy, "The broker takes nothing but QoS 0; publishing so.");
            }
        }
    }
}

/// The broker granted less than was asked for.
pub(super) struct SubscriptionsRefused<'a> {
    pub(super) refused: &'a [(String, String)],
}

impl Event for SubscriptionsRefused<'_> {
    const NAME: &'static str = "mqtt_subscribe";

    fn reason(&self) -> &'static str {
        "refused"
    }

    fn log(&self, due: Option<u64>) {
        if let Some(times) = due {
            let refused = &self.refused;
            tracing::warn!(times, ?refused, "The broker refuses subscriptions.");
        }
    }
}

/// Nothing is heard any more, on a link that stands.
pub(super) struct Deaf<'a> {
    pub(super) name: &'a str,
}

impl Event for Deaf<'_> {
    const NAME: &'static str = "mqtt_deaf";

    fn reason(&self) -> &'static str {
        "canary"
    }

    fn log(&self, due: Option<u64>) {
        if let Some(times) = due {
            tracing::warn!(
                times,
                broker = self.name,
                "The broker answers, but delivers nothing, not even to ourselves."
            );
        }
    }
}

/// A connection ended or did not come about.
pub(super) struct Lost<'a> {
    pub(super) config: &'a Config,
    pub(super) text: &'a str,
    pub(super) cause: Cause,
}

impl Event for Lost<'_> {
    const NAME: &'static str = "mqtt_lost";

    fn reason(&self) -> &'static str {
        self.cause.name()
    }

    fn log(&self, due: Option<u64>) {
        let Some(times) = due else { return };
        let (broker, error) = (&self.config.address, self.text);
        tracing::warn!(%broker, times, %error, "MQTT connection lost, or not to be had; trying again.");
    }
}

/// Another client uses our client id.
pub(super) struct TakenOver<'a> {
    pub(super) client_id: &'a str,
}

impl Event for TakenOver<'_> {
    const NAME: &'static str = "mqtt_lost";

    fn reason(&self) -> &'static str {
        "taken_over"
    }

    fn log(&self, due: Option<u64>) {
        if let Some(times) = due {
            let client_id = self.client_id;
            tracing::warn!(
                times,
                client_id,
                "Another client uses our client id; leaving the broker to it for a while."
            );
        }
    }
}
