//! Notable events of the link.

use rumqttc::v5::ConnectionError;
use rumqttc::v5::mqttbytes::v5::SubscribeReasonCode;

use super::Config;
use super::loss::Cause;
use crate::telemetry::{AlarmText, Event};

/// The alarm while the broker does not let us in.
pub(super) const LOGIN_REFUSED: &str = "mqtt_login_refused";
/// The alarm while it lets us in and grants less than was asked for.
pub(super) const SUBSCRIPTIONS_REFUSED: &str = "mqtt_subscriptions_refused";

pub(super) fn login_refused() -> AlarmText {
    let remedy = "the broker refuses the login: check username and password in [mqtt], and the broker's user list";
    AlarmText { name: LOGIN_REFUSED, about: None, remedy: remedy.into() }
}

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
                let remedy = "let the bridge's user read ca_file in [mqtt], a PEM file";
                tracing::error!(times, %error, remedy, "TLS certificates for MQTT cannot be read; the last are used.");
            }
            Unreadable::Password(error) => {
                let remedy = "let the bridge's user read password_file in [mqtt]";
                tracing::error!(times, %error, remedy, "The MQTT password cannot be read; the last one is used.");
            }
        }
    }
}

/// A message did not go on.
pub(super) enum Dropped<'a> {
    /// One of ours: larger than the broker takes.
    TooLarge { topic: &'a str, largest: usize },
    /// One at QoS 0 for us.
    QueueFull,
}

impl Event for Dropped<'_> {
    const NAME: &'static str = "mqtt_dropped";

    fn reason(&self) -> &'static str {
        match self {
            Dropped::TooLarge { .. } => "too_large",
            Dropped::QueueFull => "queue_full",
        }
    }

    fn log(&self, due: Option<u64>) {
        let Some(times) = due else { return };
        match self {
            &Dropped::TooLarge { topic, largest } => {
                tracing::warn!(times, topic, largest, "A message of ours is larger than the broker takes; dropped.");
            }
            Dropped::QueueFull => {
                tracing::warn!(times, "Messages at QoS 0 dropped: they come faster than they can be handled.");
            }
        }
    }
}

/// The broker does not retain.
pub(super) struct RetainsNothing;

impl Event for RetainsNothing {
    const NAME: &'static str = "mqtt_limited";

    fn reason(&self) -> &'static str {
        "retain"
    }

    fn log(&self, due: Option<u64>) {
        if let Some(times) = due {
            let remedy =
                "allow retained messages in the broker, or do without status and states for those who subscribe later";
            tracing::warn!(times, remedy, "The broker retains nothing; publishing without retain.");
        }
    }
}

/// The broker granted less than was asked for.
pub(super) struct SubscriptionsRefused<'a> {
    pub(super) refused: Vec<(&'a String, &'a SubscribeReasonCode)>,
}

impl SubscriptionsRefused<'_> {
    pub(super) fn alarm(&self) -> AlarmText {
        let filters: Vec<String> = self.refused.iter().map(|(filter, code)| format!("{filter} ({code:?})")).collect();
        let remedy = format!(
            "the broker refuses {}: let the bridge's MQTT user read these topics in the broker's access control",
            filters.join(", ")
        );
        AlarmText { name: SUBSCRIPTIONS_REFUSED, about: None, remedy: remedy.into() }
    }
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

/// A connection ended or did not come about.
pub(super) struct Lost<'a> {
    pub(super) config: &'a Config,
    pub(super) error: &'a ConnectionError,
    pub(super) cause: Cause,
}

impl Event for Lost<'_> {
    const NAME: &'static str = "mqtt_lost";

    fn reason(&self) -> &'static str {
        self.cause.name()
    }

    fn log(&self, due: Option<u64>) {
        let Some(times) = due else { return };
        let (broker, error) = (&self.config.address, self.error);
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
            tracing::error!(
                times,
                client_id = self.client_id,
                remedy = "give each bridge a client_id of its own in [mqtt]",
                "Another client uses our client id: the broker ends one connection for the other."
            );
        }
    }
}
