//! `demo`: the main job on a fresh machine. Embedded broker, simulated Graph and the real bridge between them, over real
//! sockets; a scripted minute at three desks; a live table. `--once` plays it faster and judges what colleagues saw.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::PoisonError;
use std::time::Duration;

use super::{block_on, finish, logs, run};
use crate::bridge::OnStop;
use crate::clock::Clock;
use crate::config::Config;
use crate::mqtt;
use crate::presence::{Deadline, Mono, Timestamp};
use crate::sandbox::broker::Broker;
use crate::sandbox::tenant::{Fault, Match, Settings, What};
use crate::sandbox::{Options, Sandbox};
use crate::telemetry::Telemetry;

/// How much faster than life `--once` is.
const FAST: u32 = 8;
/// After a step, what colleagues see is right within this, on the demo's clock.
const PATIENCE: Duration = Duration::from_secs(6);

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Play it once, faster, compare what was seen with the script, exit 0 or 1.
    #[arg(long)]
    once: bool,
    /// Also show the bridge's own log lines.
    #[arg(short, long)]
    verbose: bool,
}

enum Event {
    Say(&'static str),
    Publish(&'static str, &'static str),
    Throttle,
    See(&'static str, &'static str),
}

/// Seconds from the start, and what happens.
const SCRIPT: &[(u64, Event)] = &[
    (1, Event::Say("Alice's calendar: a meeting starts.")),
    (1, Event::Publish("homeassistant/calendar/alice/state", "on")),
    (2, Event::See("alice", "Busy/InAConferenceCall")),
    (8, Event::Say("Alice's phone goes off-hook inside the meeting.")),
    (8, Event::Publish("pbx/devstate/PJSIP/1001", "INUSE")),
    (9, Event::See("alice", "Busy/InACall")),
    (16, Event::Say("Alice hangs up: the meeting is back.")),
    (16, Event::Publish("pbx/devstate/PJSIP/1001", "NOT_INUSE")),
    (17, Event::See("alice", "Busy/InAConferenceCall")),
    (22, Event::Say("Bob's phone goes off-hook, and dies. Nobody will ever say that he hung up.")),
    (22, Event::Publish("pbx/devstate/PJSIP/1002", "INUSE")),
    (23, Event::See("bob", "Busy/InACall")),
    (29, Event::Say("Carol takes a call while Graph throttles: 429, Retry-After 3.")),
    (29, Event::Throttle),
    (29, Event::Publish("pbx/devstate/PJSIP/1003", "INUSE")),
    (33, Event::See("carol", "Busy/InACall")),
    (38, Event::Say("Carol hangs up.")),
    (38, Event::Publish("pbx/devstate/PJSIP/1003", "NOT_INUSE")),
    (39, Event::See("carol", "Offline/Offline")),
    (42, Event::Say("Bob's lease ends: he is free again.")),
    (43, Event::See("bob", "Offline/Offline")),
    (50, Event::Say("Alice's meeting ends.")),
    (50, Event::Publish("homeassistant/calendar/alice/state", "off")),
    (51, Event::See("alice", "Offline/Offline")),
];

/// The sandbox in the place of the real things.
pub struct StandIns {
    graph: Sandbox,
    broker: Option<Broker>,
}

impl StandIns {
    /// Starts them and points the configuration at them.
    ///
    /// # Errors
    /// No free port on loopback.
    pub async fn start(clock: &Clock, config: &mut Config, broker: bool) -> Result<StandIns, String> {
        let settings = Settings {
            tenant_id: config.graph.tenant_id.to_string(),
            client_id: config.graph.client_id.to_string(),
            secrets: vec![SECRET.to_owned()],
            ..Settings::for_users(config.plan.people.iter().map(|person| person.object_id.to_string()))
        };
        let graph = Sandbox::start(Options { clock: clock.clone(), settings, tls: false }).await?;
        config.graph.login_url = graph.login_url();
        config.graph.graph_url = graph.graph_url();
        config.graph.ca_file = None;
        config.graph.secret = crate::secret::SecretSource::Value(SECRET.to_owned().into());
        let broker = if broker { Some(Broker::start(0).await?) } else { None };
        if let Some(broker) = &broker {
            let mqtt = &mut config.mqtt;
            (mqtt.host, mqtt.port, mqtt.tls) = ("127.0.0.1".to_owned(), broker.port(), false);
            (mqtt.username, mqtt.password) = (None, None);
        }
        Ok(StandIns { graph, broker })
    }

    /// Where simulated Graph listens.
    #[must_use]
    pub fn graph_url(&self) -> String {
        self.graph.graph_url()
    }

    /// Where the embedded broker listens, if there is one.
    #[must_use]
    pub fn broker_port(&self) -> Option<u16> {
        self.broker.as_ref().map(Broker::port)
    }
}

/// Not a secret: it opens only the sandbox of this process.
const SECRET: &str = "sandbox-secret";

/// Plays the demo.
#[must_use]
pub fn demo(args: &Args) -> ExitCode {
    let text = include_str!("../../config/demo.toml");
    let mut config = match Config::parse_trusting(text, "config/demo.toml", Path::new(".")) {
        Ok(config) => config,
        Err(problems) => return finish(Err(problems)),
    };
    if args.verbose {
        logs::start(&config.log);
    }
    config.on_stop = crate::config::OnStop::Clear;
    finish(block_on(play(args.once, config)).flatten())
}

async fn play(once: bool, mut config: Config) -> Result<(), String> {
    let clock = Clock::faster(if once { FAST } else { 1 });
    let stand_ins = StandIns::start(&clock, &mut config, true).await?;
    let port = stand_ins.broker_port().unwrap_or_default();
    let people: Vec<(String, String)> =
        config.plan.people.iter().map(|person| (person.label.to_string(), person.object_id.to_string())).collect();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let bridge = run::connect(config, clock.clone(), false)?;
    let bridge = tokio::spawn(bridge.run(async move { stopped.await.unwrap_or(OnStop::Clear) }));
    let stage = Stage::new(clock, stand_ins, people, port)?;
    println!("Simulated Graph at {}, embedded broker at mqtt://127.0.0.1:{port}.", stage.stand_ins.graph_url());
    let wrong = stage.script(once).await;
    if once {
        println!("{} of {} sightings as scripted.", sightings() - wrong.len(), sightings());
    } else {
        println!("That was the script. It stays up for you (Ctrl-C ends it):");
        println!("  mosquitto_pub -p {port} -t pbx/devstate/PJSIP/1001 -m INUSE");
        println!(
            "  mosquitto_pub -p {port} -t presence-bridge/in/carol/meeting -m '{{\"on\": true, \"for\": \"30s\"}}'"
        );
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = stage.watch() => {}
        }
    }
    let _gone = stop.send(OnStop::Clear);
    bridge.await.map_err(|error| format!("the bridge ended: {error}"))?;
    stage.end().await;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn sightings() -> usize {
    SCRIPT.iter().filter(|(_, event)| matches!(event, Event::See(..))).count()
}

/// The three desks, and the colleague who watches them.
struct Stage {
    clock: Clock,
    start: Mono,
    stand_ins: StandIns,
    people: Vec<(String, String)>,
    desks: mqtt::Handle,
    heard: tokio::sync::Mutex<(mqtt::Events, Vec<serde_json::Value>)>,
}

impl Stage {
    fn new(clock: Clock, stand_ins: StandIns, people: Vec<(String, String)>, port: u16) -> Result<Self, String> {
        let config = mqtt::Config {
            host: "127.0.0.1".to_owned(),
            port,
            tls: None,
            client_id: "desks".to_owned(),
            username: None,
            password: None,
            keep_alive: Duration::from_secs(15),
            session: mqtt::Session::Clean,
            max_packet_size: 1 << 20,
            receive_maximum: 100,
            filters: vec!["presence-bridge/people/+".to_owned()],
            will: mqtt::Message { topic: "desks/status".to_owned(), payload: "offline".into(), retain: false },
        };
        let (desks, events) = mqtt::start(config, clock.clone(), Telemetry::new(clock.clone()))?;
        let states = vec![serde_json::Value::Null; people.len()];
        let start = clock.now().mono;
        Ok(Stage { clock, start, stand_ins, people, desks, heard: tokio::sync::Mutex::new((events, states)) })
    }

    /// Plays the script; returns what was not seen as it says.
    async fn script(&self, once: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for (at, event) in SCRIPT {
            self.wait_until(self.start + Duration::from_secs(*at), once).await;
            match event {
                Event::Say(line) => println!("{at:>3} s  {line}"),
                Event::Publish(topic, payload) => self.publish(topic, payload).await,
                Event::Throttle => self.throttle(),
                Event::See(who, what) => {
                    let seen = self.wait_to_see(who, what).await;
                    let mark = if seen == *what { "as scripted" } else { "NOT as scripted" };
                    println!("{at:>3} s  A colleague sees {who}: {seen} ({mark})");
                    if seen != *what {
                        wrong.push(format!("at {at} s colleagues should see {who} as {what}, they saw {seen}"));
                    }
                    if !once {
                        self.table().await;
                    }
                }
            }
        }
        wrong
    }

    async fn publish(&self, topic: &str, payload: &'static str) {
        if let Some(permit) = self.desks.permit().await {
            permit.publish(mqtt::Message { topic: topic.to_owned(), payload: payload.into(), retain: false });
        }
    }

    fn throttle(&self) {
        let what = What::Throttle { retry_after: Some("3".to_owned()) };
        let mut tenant = self.stand_ins.graph.tenant().lock().unwrap_or_else(PoisonError::into_inner);
        tenant.fault(Fault { on: Match::AnyPresence, times: 1, what });
    }

    fn seen(&self, who: &str) -> String {
        let id = self.people.iter().find(|(label, _)| label == who).map_or("", |(_, id)| id);
        let now = self.clock.now().mono.as_millis();
        let mut tenant = self.stand_ins.graph.tenant().lock().unwrap_or_else(PoisonError::into_inner);
        tenant.seen(now, id).to_string()
    }

    async fn wait_to_see(&self, who: &str, what: &str) -> String {
        let patience = self.clock.now().mono + PATIENCE;
        loop {
            let seen = self.seen(who);
            if seen == what || self.clock.now().mono >= patience {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn wait_until(&self, then: Mono, quietly: bool) {
        let mut timer = self.clock.timer();
        while self.clock.now().mono < then {
            let tick = if quietly { then } else { then.min(self.clock.now().mono + Duration::from_secs(1)) };
            timer.until(Deadline { mono: tick, wall: Timestamp::MAX }).await;
        }
    }

    async fn watch(&self) {
        let mut last = String::new();
        loop {
            let now: String = self.people.iter().map(|(label, _)| self.seen(label)).collect();
            if now != last {
                self.table().await;
                last = now;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Person, shares, wanted, seen, why: the first four as the bridge publishes them, `seen` as Graph tells colleagues.
    async fn table(&self) {
        let mut heard = self.heard.lock().await;
        let (events, states) = &mut *heard;
        while let Some(event) = events.try_next() {
            let mqtt::Event::Publish(publish) = event else { continue };
            let topic = String::from_utf8_lossy(&publish.topic).into_owned();
            let who = topic.rsplit('/').next().unwrap_or_default();
            if let Some(at) = self.people.iter().position(|(label, _)| label == who) {
                states[at] = serde_json::from_slice(&publish.payload).unwrap_or_default();
            }
        }
        let (bold, plain) = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let mut text = format!(
            "{bold}       {:<7} {:<24} {:<24} {:<24} {}{plain}\n",
            "person", "shares that are on", "wanted", "colleagues see", "because"
        );
        for ((label, _), state) in self.people.iter().zip(states.iter()) {
            let on: Vec<&str> =
                state["on"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
            text += &format!(
                "       {label:<7} {:<24} {:<24} {:<24} {}\n",
                on.join(", "),
                state["wanted"].as_str().unwrap_or("-"),
                self.seen(label),
                state["because"].as_str().unwrap_or("-"),
            );
        }
        // A closed terminal is no reason to fail.
        let _written = std::io::stdout().write_all(text.as_bytes());
    }

    async fn end(self) {
        self.desks.stop(None).await;
        self.stand_ins.graph.stop().await;
        if let Some(broker) = self.stand_ins.broker {
            broker.stop().await;
        }
    }
}
