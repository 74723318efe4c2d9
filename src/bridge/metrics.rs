//! Counters and gauges in Prometheus's text format. No person appears in a label: metrics are kept for months, and read by
//! many.

use std::fmt::Write;

use super::Bridge;
use super::links::State;
use super::status::{TokenState, WINDOW};
use crate::presence::{Presence, Reason, TenantId};

/// Every counter: its event, what it counts, and the reasons that exist from the start, so that a rate can be seen from
/// the first time on.
pub const COUNTERS: &[(&str, &str, &[&str])] = &[
    ("message", "What rules made of messages.", MESSAGE),
    (
        "call",
        "Calls to setPresence and clearPresence, by how they ended.",
        &["accepted", "throttled", "not_sent", "ambiguous", "unauthorised", "forbidden", "no_such_user", "refused"],
    ),
    ("not_seen", "People whom colleagues saw otherwise than Graph had confirmed.", &["asserted_again", "overridden"]),
    (
        "read",
        "Reads of what colleagues see.",
        &["answered", "throttled", "not_sent", "ambiguous", "unauthorised", "forbidden", "no_such_user", "refused"],
    ),
    ("lookup", "User names looked up at Graph.", &["found", "unknown", "not_allowed", "throttled", "failed"]),
    ("reload", "Configurations on disk that changed.", &["taken", "refused"]),
    ("command", "What was asked for at the machine.", &["pause", "resume", "forget"]),
    ("alarm", "Alarms that began.", &[]),
    ("token", "Requests for a token that brought none.", &["refused", "failed"]),
    ("credential", "Credentials that end soon.", &["ends_in_30_days", "ends_in_7_days", "ends_in_a_day", "ended"]),
    ("mqtt_lost", "Connections to the broker that ended or did not come about.", MQTT_LOST),
    ("mqtt_dropped", "Messages dropped on their way from or to the broker.", &["queue_full", "too_large", "no_topic"]),
    ("mqtt_subscribe", "Subscriptions that the broker refused.", &["refused"]),
    ("mqtt_limited", "What the broker does not do.", &["retain", "qos"]),
    ("mqtt_deaf", "Times that a broker could not be heard although it was connected.", &["canary"]),
    ("mqtt_unkept", "Files of a link that could not be read or written.", &["file"]),
    ("mqtt_unreadable", "Files for MQTT that could not be read; the last were used.", &["certificates", "password"]),
    ("journal", "Writes of the journal.", &["written", "failed"]),
    ("state", "What could not be kept on disk.", &["names_not_written"]),
    ("published", "The file of who has topics could not be used.", &["not_read", "not_written"]),
    (
        "door_refusal",
        "Messages at the door that were refused, by whether that was said there.",
        &["answered", "not_answered"],
    ),
    ("admin", "Places where the bridge cannot be asked how it is.", &["not_listening"]),
];

const MESSAGE: &[&str] = &[
    "changed",
    "renewed",
    Reason::NoRule.as_str(),
    Reason::OtherValue.as_str(),
    Reason::Missing.as_str(),
    Reason::RetainedIgnored.as_str(),
    Reason::Replay.as_str(),
    Reason::BadTopic.as_str(),
    Reason::TooLarge.as_str(),
    Reason::NotUtf8.as_str(),
    Reason::BadJson.as_str(),
    Reason::TooDeep.as_str(),
    Reason::DuplicateKey.as_str(),
    Reason::UnknownSubject.as_str(),
    Reason::UnknownSignal.as_str(),
    Reason::TooManyShares.as_str(),
    Reason::Guard.as_str(),
    Reason::EmptyList.as_str(),
    Reason::BadTime.as_str(),
    Reason::TooOld.as_str(),
    Reason::Duplicate.as_str(),
    Reason::DeviceDown.as_str(),
];
const MQTT_LOST: &[&str] = &[
    "port_refuses",
    "login_refused",
    "told_taken_over",
    "taken_over",
    "twin",
    "peer_closed",
    "closed_at_subscribe",
    "own_certificate",
    "unsupported_protocol",
    "retain_refused",
    "qos_refused",
    "too_large",
    "silent",
    "certificate_expired",
    "certificate_not_yet_valid",
    "certificate_unknown_issuer",
    "certificate_wrong_name",
    "certificate_refused",
    "tls",
    "other",
];

pub(super) fn render(bridge: &mut Bridge) -> String {
    let mut page = Page::default();
    page.head("info", "gauge", "The running program.");
    page.line("info", &format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), 1.0);
    gauges(bridge, &mut page);
    people(bridge, &mut page);
    counters(bridge, &mut page);
    page.0
}

fn gauges(bridge: &mut Bridge, page: &mut Page) {
    let now = bridge.clock.now();
    let token = TokenState::of(bridge.graph.as_ref());
    for (name, help, is) in [
        ("broker_connected", "1 while connected to the broker.", [State::Up, State::Deaf].as_slice()),
        ("broker_heard", "1 while connected to the broker, and not deaf.", &[State::Up]),
    ] {
        page.head(name, "gauge", help);
        for link in &bridge.links {
            page.line(name, &format!("source=\"{}\"", link.name), truth(is.contains(&link.state)));
        }
    }
    page.gauge("token_good", "1 while there is a token for Graph.", truth(matches!(token, TokenState::Good { .. })));
    let open = bridge.core.gate(TenantId(0)).is_none();
    page.gauge("gate_open", "0 while nobody is called because Graph asked for it, or fails.", truth(open));
    page.gauge("budget_calls_per_second", "The rate that calls are kept to.", bridge.policy.rate);
    let calls = number(bridge.recent.count(now.mono, WINDOW));
    page.gauge("calls_in_30_seconds", "Calls begun in the last 30 s, as Graph counts them.", calls);
    if let Some(behind) = bridge.graph.as_ref().and_then(crate::graph::Graph::clock_skew) {
        #[allow(clippy::cast_precision_loss, reason = "seconds are few")]
        page.gauge("clock_behind_seconds", "How far this machine's clock is behind Graph's.", behind as f64);
    }
    page.head("alarms", "gauge", "Open alarms, by name.");
    let mut open = std::collections::BTreeMap::new();
    for alarm in bridge.telemetry.alarms() {
        *open.entry(alarm.name).or_insert(0) += 1;
    }
    for (name, count) in open {
        page.line("alarms", &format!("alarm=\"{name}\""), number(count));
    }
}

fn people(bridge: &Bridge, page: &mut Page) {
    let census = bridge.census();
    let section = &bridge.listing.section;
    page.head("people", "gauge", "People by state; a person counts under several.");
    let states = [
        ("listed", section.listed.max(census.listed)),
        ("without_id", section.waiting.len()),
        ("leaving", census.leaving),
        ("taken", census.taken),
        ("free", census.free),
        ("unknown", census.unknown),
        ("held_unknown", census.held_unknown),
        ("differing", census.differing),
        ("overridden", census.overridden),
        ("in_flight", census.in_flight),
    ];
    for (state, count) in states {
        page.line("people", &format!("state=\"{state}\""), number(count));
    }
    page.head("people_waiting", "gauge", "People whose call waits, by what for.");
    for why in ["back_off", "no_such_user", "not_allowed", "refused"] {
        let count = census.waiting.get(why).copied().unwrap_or(0);
        page.line("people_waiting", &format!("reason=\"{why}\""), number(count));
    }
    page.head("people_wanted", "gauge", "People by what they should show.");
    for pair in Presence::ALL.into_iter().map(Presence::as_str).chain(["none"]) {
        let count = census.wanted.get(pair).copied().unwrap_or(0);
        page.line("people_wanted", &format!("presence=\"{pair}\""), number(count));
    }
}

fn counters(bridge: &Bridge, page: &mut Page) {
    let totals = bridge.telemetry.totals();
    for (event, help, reasons) in COUNTERS {
        let name = format!("{event}_total");
        page.head(&name, "counter", help);
        let unseen = reasons.iter().filter(|reason| !totals.iter().any(|(e, r, _)| e == event && r == *reason));
        for reason in unseen {
            page.line(&name, &format!("reason=\"{reason}\""), 0.0);
        }
        for (_, reason, total) in totals.iter().filter(|(other, ..)| other == event) {
            #[allow(clippy::cast_precision_loss, reason = "it takes a while to count to 2^53")]
            page.line(&name, &format!("reason=\"{reason}\""), *total as f64);
        }
    }
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[allow(clippy::cast_precision_loss, reason = "people are fewer than 2^53")]
fn number(count: usize) -> f64 {
    count as f64
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.0 += &format!("# HELP presence_bridge_{name} {help}\n# TYPE presence_bridge_{name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        // Writing into a String does not fail.
        let _written = writeln!(self.0, "presence_bridge_{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }
}
