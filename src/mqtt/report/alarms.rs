//! What somebody has to do something about, by name of the broker.

use super::super::Config;
use super::super::failure::{Cause, Flaw};
use crate::telemetry::AlarmText;

/// The broker does not let us in.
pub(in crate::mqtt) const LOGIN_REFUSED: &str = "mqtt_login_refused";
/// It lets us in and grants less than was asked for.
pub(in crate::mqtt) const SUBSCRIPTIONS_REFUSED: &str = "mqtt_subscriptions_refused";
/// It answers and delivers nothing.
pub(in crate::mqtt) const DEAF: &str = "mqtt_deaf";
/// It does not deliver our own topic.
pub(in crate::mqtt) const UNHEARD: &str = "mqtt_canary";
/// Another client uses our client id.
pub(in crate::mqtt) const TAKEN_OVER: &str = "mqtt_taken_over";
/// It takes no filters with + and #.
pub(in crate::mqtt) const NO_WILDCARDS: &str = "mqtt_no_wildcards";
/// A message that we do not take ends every connection.
pub(in crate::mqtt) const TOO_LARGE: &str = "mqtt_message_too_large";
const CERTIFICATE: &str = "mqtt_certificate";
const OWN_CERTIFICATE: &str = "mqtt_own_certificate";
const TLS: &str = "mqtt_tls";
const PROTOCOL: &str = "mqtt_protocol";

/// Alarms that are over when a connection stands.
pub(in crate::mqtt) const ENDED_BY_A_CONNECTION: [&str; 5] =
    [LOGIN_REFUSED, CERTIFICATE, OWN_CERTIFICATE, TLS, PROTOCOL];

fn alarm_of(config: &Config, name: &'static str, remedy: String) -> AlarmText {
    AlarmText { name, about: Some(config.name.clone()), remedy: remedy.into() }
}

/// The alarm of a connection that did not come about, if that is one.
pub(in crate::mqtt) fn alarm(config: &Config, cause: Cause) -> Option<AlarmText> {
    let at = &config.address;
    let (name, remedy) = match cause {
        Cause::LoginRefused => (
            LOGIN_REFUSED,
            format!("{at} refuses the login: check username and password of this broker, and the broker's user list"),
        ),
        Cause::Certificate(flaw) => (CERTIFICATE, format!("the certificate of {at} {}", certificate(flaw))),
        Cause::OwnCertificate => (
            OWN_CERTIFICATE,
            format!(
                "{at} does not take the bridge's own certificate, or wants one: check the client certificate and its key, \
                 their end, and which authority the broker trusts"
            ),
        ),
        Cause::Tls => (
            TLS,
            format!(
                "{at} speaks no TLS that is safe: enable TLS 1.2 or 1.3 there, and check that the port is the one for TLS"
            ),
        ),
        Cause::Unsupported => (
            PROTOCOL,
            format!("{at} does not take this version of MQTT: set protocol = \"auto\", or \"3.1.1\" for an old broker"),
        ),
        Cause::TooLarge => (
            TOO_LARGE,
            format!(
                "a message from {at} is larger than the bridge takes and ends every connection: find the large (retained) \
                 message in the topics that the rules take, and delete it; or speak MQTT 5, where the broker keeps it back"
            ),
        ),
        _ => return None,
    };
    Some(alarm_of(config, name, remedy))
}

const fn certificate(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Expired => "has expired: renew it at the broker; if it has not, this machine's clock is ahead",
        Flaw::NotYetValid => "is not valid yet: is this machine's clock right?",
        Flaw::UnknownIssuer => {
            "is not by an authority that the bridge trusts: name that authority's certificate in ca_file"
        }
        Flaw::WrongName => "is for another name: write the name that it is for into url",
        Flaw::Other => "cannot be used: see the log line for what is wrong with it",
    }
}

pub(in crate::mqtt) fn subscriptions_refused(config: &Config, refused: &[(String, String)]) -> AlarmText {
    let filters: Vec<String> = refused.iter().map(|(filter, code)| format!("{filter} ({code})")).collect();
    let remedy = format!(
        "{} refuses {}: let the bridge's MQTT user read these topics in the broker's access control",
        config.address,
        filters.join(", ")
    );
    alarm_of(config, SUBSCRIPTIONS_REFUSED, remedy)
}

pub(in crate::mqtt) fn deaf(config: &Config) -> AlarmText {
    let topic = config.canary.as_deref().unwrap_or_default();
    let remedy = format!(
        "{} grants subscriptions and delivers nothing, not even {topic} to the bridge itself: check the access control of the \
         bridge's MQTT user at the broker (an ACL file that does not name it refuses without a word), and whether the broker hangs",
        config.address
    );
    alarm_of(config, DEAF, remedy)
}

pub(in crate::mqtt) fn unheard(config: &Config) -> AlarmText {
    let topic = config.canary.as_deref().unwrap_or_default();
    let remedy = format!(
        "the bridge does not hear itself at {}, so that it would not notice a broker that delivers nothing: let its MQTT user read \
         and write {topic}",
        config.address
    );
    alarm_of(config, UNHEARD, remedy)
}

pub(in crate::mqtt) fn taken_over(config: &Config) -> AlarmText {
    let remedy = format!(
        "another client uses the client id {} at {}, and the broker ends one connection for the other: give each bridge a client_id \
         of its own",
        config.client_id, config.address
    );
    alarm_of(config, TAKEN_OVER, remedy)
}

pub(in crate::mqtt) fn no_wildcards<'a>(config: &Config, filters: impl Iterator<Item = &'a String>) -> AlarmText {
    let filters: Vec<&str> = filters.map(String::as_str).collect();
    let remedy = format!(
        "{} takes no filters with + or #, and the rules need {}: allow wildcard subscriptions in the broker, or write rules for \
         single topics",
        config.address,
        filters.join(", ")
    );
    alarm_of(config, NO_WILDCARDS, remedy)
}
