//! `demo`: the main job on a fresh machine. Embedded broker, simulated Graph and the real bridge between them, over real
//! sockets; a scripted minute at three desks; a live table. `--once` plays it faster and judges what colleagues saw.

mod table;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::PoisonError;
use std::time::Duration;

use self::table::{Row, Screen};
use super::{block_on, finish, logs, run};
use crate::clock::Clock;
use crate::config::{BrokerAddress, Config, ProxySection};
use crate::mqtt;
use crate::presence::OnStop;
use crate::presence::{Deadline, Mono, Timestamp};
use crate::sandbox::broker::Broker;
use crate::sandbox::tenant::{Fault, Match, Settings, What};
use crate::sandbox::{Options, Sandbox};
use crate::secret::{Credential, SecretSource};
use crate::telemetry::Telemetry;

/// How much faster than life `--once` is.
const FAST: u32 = 8;
/// After a step, what colleagues see is right within this, on the demo's clock.
const PATIENCE: Duration = Duration::from_secs(6);

/// The table is looked at again this often.
const TICK: Duration = Duration::from_millis(100);

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
            secrets: vec![SECRET.to_owned()],
            ..Settings::for_users(config.plan.people.iter().map(|person| person.object_id.to_string()))
        };
        let settings = match config.graph.client_id {
            Some(client_id) => Settings { client_id: client_id.to_string(), ..settings },
            None => settings,
        };
        config.graph.client_id = settings.client_id.parse().ok();
        let graph = Sandbox::start(Options { clock: clock.clone(), settings, tls: false }).await?;
        config.graph.login_url = graph.login_url();
        config.graph.graph_url = graph.graph_url();
        config.graph.ca_file = None;
        config.graph.credential = Credential::Secret(SecretSource::Value(SECRET.to_owned().into()));
        config.graph.proxy = ProxySection::Direct;
        config.journal = false; // simulated Graph forgets with the process what it held
        let broker = if broker { Some(Broker::start(0).await?) } else { None };
        if let Some(broker) = &broker {
            for source in &mut config.sources {
                source.address = BrokerAddress::Tcp { host: "127.0.0.1".to_owned(), port: broker.port() };
                (source.tls, source.client_certificate) = (false, None);
                (source.username, source.password) = (None, None);
            }
            config.state = None; // a broker that forgets everything
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
    finish(block_on(play(args, config)).flatten())
}

async fn play(args: &Args, mut config: Config) -> Result<(), String> {
    let once = args.once;
    let clock = Clock::faster(if once { FAST } else { 1 });
    let stand_ins = StandIns::start(&clock, &mut config, true).await?;
    let port = stand_ins.broker_port().unwrap_or_default();
    let people: Vec<(String, String)> =
        config.plan.people.iter().map(|person| (person.label.to_string(), person.object_id.to_string())).collect();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let bridge = run::connect(config, clock.clone(), false, None)?;
    let bridge = tokio::spawn(bridge.run(async move { stopped.await.unwrap_or(OnStop::Clear) }));
    say!("Simulated Graph at {}, embedded broker at mqtt://127.0.0.1:{port}.", stand_ins.graph_url());
    // Log lines between would tear the table apart.
    let logs = args.verbose && std::io::stderr().is_terminal();
    let screen = Screen::new(std::io::stdout().is_terminal() && !once && !logs);
    let stage = Stage::new(clock, stand_ins, people, port, screen)?;
    let wrong = tokio::select! {
        wrong = stage.script(once) => wrong,
        never = stage.watch(), if stage.is_live() => match never {},
    };
    if once {
        say!("{} of {} sightings as scripted.", sightings() - wrong.len(), sightings());
    } else {
        stage.say("That was the script. It stays up for you (Ctrl-C ends it):");
        stage.say(&format!("  mosquitto_pub -p {port} -t pbx/devstate/PJSIP/1001 -m INUSE"));
        let payload = r#"'{"on": true, "for": "30s"}'"#;
        stage.say(&format!("  mosquitto_pub -p {port} -t presence-bridge/in/carol/meeting -m {payload}"));
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            never = stage.watch() => match never {},
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
    /// What the bridge publishes, and the last of it for each person.
    heard: RefCell<(mqtt::Events, Vec<serde_json::Value>)>,
    screen: RefCell<Screen>,
}

impl Stage {
    fn new(
        clock: Clock,
        stand_ins: StandIns,
        people: Vec<(String, String)>,
        port: u16,
        screen: Screen,
    ) -> Result<Self, String> {
        let address = mqtt::Address::Tcp { host: "127.0.0.1".to_owned(), port };
        let config = mqtt::Config {
            session: mqtt::Session::Clean,
            filters: vec!["presence-bridge/people/+".to_owned()],
            ..mqtt::Config::new(address, "desks")
        };
        let (desks, events) = mqtt::start(config, clock.clone(), Telemetry::new(clock.clone()))?;
        let states = vec![serde_json::Value::Null; people.len()];
        let start = clock.now().mono;
        let (heard, screen) = (RefCell::new((events, states)), RefCell::new(screen));
        Ok(Stage { clock, start, stand_ins, people, desks, heard, screen })
    }

    fn say(&self, line: &str) {
        self.screen.borrow_mut().say(line);
    }

    fn is_live(&self) -> bool {
        self.screen.borrow().is_live()
    }

    /// Plays the script; returns what was not seen as it says.
    async fn script(&self, once: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for (at, event) in SCRIPT {
            self.wait_until(self.start + Duration::from_secs(*at), once).await;
            match event {
                Event::Say(line) => self.say(&format!("{at:>3} s  {line}")),
                Event::Publish(topic, payload) => self.publish(topic, payload).await,
                Event::Throttle => self.throttle(),
                Event::See(who, what) => {
                    let seen = self.wait_to_see(who, what).await;
                    let mark = if seen == *what { "as scripted" } else { "NOT as scripted" };
                    self.say(&format!("{at:>3} s  A colleague sees {who}: {seen} ({mark})"));
                    if seen != *what {
                        wrong.push(format!("at {at} s colleagues should see {who} as {what}, they saw {seen}"));
                    }
                    if !once && !self.is_live() {
                        self.show();
                    }
                }
            }
        }
        wrong
    }

    async fn publish(&self, topic: &str, payload: &'static str) {
        if let Some(permit) = self.desks.permit().await {
            permit.publish(mqtt::Message::new(topic, payload));
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

    /// Keeps the table true: in place on a terminal, else printed when colleagues see something else.
    async fn watch(&self) -> Infallible {
        let mut last = String::new();
        loop {
            let now: String = self.people.iter().map(|(label, _)| self.seen(label)).collect();
            if self.is_live() || now != last {
                self.show();
                last = now;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn show(&self) {
        self.hear();
        let now = self.clock.now();
        let (_, states) = &*self.heard.borrow();
        let rows = self.people.iter().zip(states);
        let rows: Vec<Row> =
            rows.map(|((label, _), state)| Row::new(label, state, self.seen(label), now.wall)).collect();
        self.screen.borrow_mut().show(now.mono.since(self.start), &rows);
    }

    fn hear(&self) {
        let (events, states) = &mut *self.heard.borrow_mut();
        while let Some(event) = events.try_next() {
            let mqtt::Event::Publish(publish) = event else { continue };
            let topic = String::from_utf8_lossy(&publish.topic).into_owned();
            let who = topic.rsplit('/').next().unwrap_or_default();
            if let Some(at) = self.people.iter().position(|(label, _)| label == who) {
                states[at] = serde_json::from_slice(&publish.payload).unwrap_or_default();
            }
        }
    }

    async fn end(self) {
        self.desks.stop(None).await;
        self.stand_ins.graph.stop().await;
        if let Some(broker) = self.stand_ins.broker {
            broker.stop().await;
        }
    }
}
