//! The broker: reached, spoken to, and what it grants.

use super::{Finding, Report, State};
use crate::cli::run;
use crate::clock::Clock;
use crate::config::Config;
use crate::mqtt::{self, Message, Obstacle, Probed};
use crate::tls;

const CHECK: &str = "broker";
const SUBSCRIPTIONS: &str = "subscriptions";
const CERTIFICATE: &str = "certificate";
const HEARING: &str = "hearing";
/// A certificate that ends within so many days is told.
const DAYS: i64 = 30;

pub(super) async fn look(config: &Config, report: &mut Report) {
    let section = &config.mqtt;
    let scheme = if section.tls { "mqtts" } else { "mqtt" };
    let place = format!("{scheme}://{}:{}", section.host, section.port);
    // Under the bridge's own names, the broker would end the connection of a bridge that runs, and that would take our
    // canary for another bridge's.
    let client_id = format!("{}-doctor", section.client_id);
    let canary = Some(format!("{}/canary/{client_id}", config.topic_prefix));
    let will = Message::new("", "");
    let probed = mqtt::probe(&mqtt::Config { client_id, canary, kept: None, ..run::mqtt_config(config, will) }).await;
    match probed {
        Ok(probed) => reached(&place, &probed, report),
        Err((obstacle, error)) => {
            let text = format!("{place}: {error}");
            report.tell(Finding::new(CHECK, State::Failed, text, remedy(obstacle)));
            report.skip(&[SUBSCRIPTIONS, HEARING]);
        }
    }
}

fn reached(place: &str, probed: &Probed, report: &mut Report) {
    let addresses: Vec<String> = probed.addresses.iter().map(ToString::to_string).collect();
    let at = if addresses.is_empty() { String::new() } else { format!(" ({})", addresses.join(", ")) };
    let window = probed.receive_maximum.map(|most| format!(", {most} messages of ours at a time"));
    let largest = probed.largest.map(|largest| format!(", packets up to {largest} bytes"));
    report.tell(Finding::ok(
        CHECK,
        format!(
            "{place}{at}: connected, MQTT {} over {}{}{}",
            probed.protocol,
            probed.transport,
            largest.unwrap_or_default(),
            window.unwrap_or_default()
        ),
    ));
    if let Some(seen) = &probed.tls {
        report.tell(certificate(seen));
    }
    for (text, remedy) in limits(probed) {
        report.tell(Finding::new(CHECK, State::Warning, text, remedy));
    }
    report.tell(subscriptions(probed));
    if let Some(finding) = hearing(probed) {
        report.tell(finding);
    }
}

fn certificate(seen: &tls::Seen) -> Finding {
    let days = seen.ends.map(|ends| (ends - Clock::live().real_wall().as_millis() / 1000).div_euclid(86_400));
    let names = if seen.names.is_empty() { "names that cannot be read".to_owned() } else { seen.names.join(", ") };
    let end = days.map_or("an end that cannot be read".to_owned(), |days| format!("{days} days left"));
    let text = format!("for {names}; {end}; {}, {}", seen.version, seen.cipher);
    match days {
        Some(days) if days < DAYS => {
            let remedy = "renew the broker's certificate in time: the bridge does not connect to one that has expired";
            Finding::new(CERTIFICATE, State::Warning, text, remedy)
        }
        _ => Finding::ok(CERTIFICATE, text),
    }
}

/// What the broker does not do.
fn limits(probed: &Probed) -> Vec<(&'static str, &'static str)> {
    let sessions = match probed.protocol {
        "5" => "allow sessions in the broker, or expect that what is said during a short loss of the link is not heard",
        _ => "use a broker with MQTT 5, or expect that what is said during a short loss of the link is not heard",
    };
    let limits = [
        (
            probed.retains,
            "the broker retains no messages",
            "allow retained messages in the broker: a bridge that starts learns from them who is on the phone",
        ),
        (probed.keeps_sessions, "the broker keeps no MQTT sessions", sessions),
        (
            probed.wildcards,
            "the broker takes no filters with + or #",
            "allow wildcard subscriptions in the broker, or write rules for single topics",
        ),
        (
            probed.qos1,
            "the broker takes QoS 0 only",
            "allow QoS 1 in the broker, or expect that messages get lost on a bad network",
        ),
    ];
    limits.into_iter().filter(|(does, ..)| !does).map(|(_, text, remedy)| (text, remedy)).collect()
}

fn subscriptions(probed: &Probed) -> Finding {
    if probed.refused.is_empty() {
        return Finding::ok(SUBSCRIPTIONS, "all granted");
    }
    let refused: Vec<String> = probed.refused.iter().map(|(filter, code)| format!("{filter} ({code})")).collect();
    let remedy =
        "let the bridge's MQTT user read these topics in the broker's access control; deploy/mosquitto shows how";
    Finding::new(SUBSCRIPTIONS, State::Failed, format!("refused: {}", refused.join(", ")), remedy)
}

/// A broker may grant everything and deliver nothing.
fn hearing(probed: &Probed) -> Option<Finding> {
    let (state, text, remedy) = match (probed.canary?, probed.replays) {
        (false, _) => (
            State::Warning,
            "the bridge does not hear what it publishes to itself",
            "let the bridge's MQTT user read and write canary/# below its own topics: without, it does not notice a broker that \
             delivers nothing; deploy/mosquitto shows how",
        ),
        (true, Some(false)) => (
            State::Warning,
            "the broker does not send retained messages again at a second subscription",
            "let the broker do so: after a gap the bridge learns from them what has changed",
        ),
        (true, Some(true)) => (State::Ok, "own messages come back, retained ones at each subscription", ""),
        (true, None) => (State::Ok, "own messages come back", ""),
    };
    Some(Finding::new(HEARING, state, text, remedy))
}

fn remedy(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Name => "check the host in url of [mqtt], and this machine's DNS",
        Obstacle::PortRefuses => {
            "nothing listens there: start the broker, check the port in url of [mqtt], and on which addresses the broker \
             listens (mosquitto listens on loopback only unless told otherwise)"
        }
        Obstacle::LoginRefused => "check username and password in [mqtt], and the broker's list of users",
        Obstacle::Protocol => {
            "the broker refuses this version of MQTT: leave the choice of the protocol to the bridge, or update the broker"
        }
        Obstacle::CertificateExpired => {
            "the broker's certificate has expired: renew it; if it has not, this machine's clock is ahead"
        }
        Obstacle::CertificateNotYetValid => "the broker's certificate is not valid yet: is this machine's clock right?",
        Obstacle::CertificateUnknownIssuer => {
            "the broker's certificate is not by an authority that is trusted: name that authority's certificate in ca_file of \
             [mqtt]"
        }
        Obstacle::CertificateWrongName => {
            "the broker's certificate is for another name: write one of its names into url of [mqtt]"
        }
        Obstacle::OwnCertificate => {
            "the broker does not take the bridge's own certificate, or wants one: check it, its key, and which authority the \
             broker trusts"
        }
        Obstacle::Tls => "mqtts:// wants a port with TLS (8883), mqtt:// one without (1883); TLS 1.2 or 1.3 is needed",
        Obstacle::File => "let this user read the file that is named",
        Obstacle::Other => {
            "check host and port in url of [mqtt], firewalls between, and that mqtts:// is used for a port with TLS and for no \
             other"
        }
    }
}
