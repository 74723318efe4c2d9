//! The broker: reached, spoken to, and what it grants.

use super::{Finding, Report, State};
use crate::cli::run;
use crate::config::Config;
use crate::mqtt::{self, Obstacle, Probed, Session};

const CHECK: &str = "broker";
const SUBSCRIPTIONS: &str = "subscriptions";

pub(super) async fn look(config: &Config, report: &mut Report) {
    for (source, mqtt) in config.sources.iter().zip(run::mqtt_configs(config)) {
        let place = match config.sources.len() {
            1 => source.url(),
            _ => format!("{}, {}", source.name, source.url()),
        };
        look_at(&place, mqtt, report).await;
    }
}

async fn look_at(place: &str, mqtt: mqtt::Config, report: &mut Report) {
    // Under the bridge's own client id, the broker would end the connection of a bridge that runs.
    let client_id = format!("{}-doctor", mqtt.client_id);
    let config = mqtt::Config { client_id, session: Session::Clean, will: None, canary: None, kept: None, ..mqtt };
    match mqtt::probe(&config).await {
        Ok(probed) => reached(place, &probed, report),
        Err((obstacle, error)) => {
            let text = format!("{place}: {error}");
            report.tell(Finding::new(CHECK, State::Failed, text, remedy(obstacle)));
            report.skip(&[SUBSCRIPTIONS]);
        }
    }
}

fn reached(place: &str, probed: &Probed, report: &mut Report) {
    report.tell(Finding::ok(CHECK, format!("{place}: connected, MQTT {}", probed.protocol)));
    if !probed.retains {
        let remedy = "allow retained messages in the broker: a bridge that starts learns from them who is on the phone";
        report.tell(Finding::new(CHECK, State::Warning, "the broker retains no messages", remedy));
    }
    if !probed.keeps_sessions {
        let remedy =
            "allow sessions in the broker, or expect that what is said during a short loss of the link is not heard";
        report.tell(Finding::new(CHECK, State::Warning, "the broker keeps no MQTT sessions", remedy));
    }
    if probed.refused.is_empty() {
        return report.tell(Finding::ok(SUBSCRIPTIONS, "all granted"));
    }
    let refused: Vec<String> = probed.refused.iter().map(|(filter, code)| format!("{filter} ({code})")).collect();
    let remedy =
        "let the bridge's MQTT user read these topics in the broker's access control; deploy/mosquitto shows how";
    report.tell(Finding::new(SUBSCRIPTIONS, State::Failed, format!("refused: {}", refused.join(", ")), remedy));
}

fn remedy(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Name => "check the host in url of [mqtt], and this machine's DNS",
        Obstacle::PortRefuses => {
            "nothing listens there: start the broker, check the port in url of [mqtt], and on which addresses the broker \
             listens (mosquitto listens on loopback only unless told otherwise)"
        }
        Obstacle::LoginRefused => "check username and password in [mqtt], and the broker's list of users",
        Obstacle::Protocol => "the broker speaks no MQTT 5: update it (mosquitto from 1.6 on, most since 2019)",
        Obstacle::Tls => {
            "check ca_file in [mqtt] and the name in the broker's certificate; mqtts:// wants a port with TLS (8883), mqtt:// \
             one without (1883)"
        }
        Obstacle::File => "let this user read the file that [mqtt] names",
        Obstacle::Other => {
            "check host and port in url of [mqtt], firewalls between, and that mqtts:// is used for a port with TLS and for no \
             other"
        }
    }
}
