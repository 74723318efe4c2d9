//! `run`: the bridge itself; with `--sandbox` against the stand-in, with `--dry-run` without a call to Graph.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::instance::{self, Instance};
use super::signals::{self, Heard, Stop};
use super::{ConfigArg, IN_USE, block_on, check, finish, load, logs, panics};
use crate::admin;
use crate::bridge::{self, Bridge, Parts, Source, reload};
use crate::clock::Clock;
use crate::config::{self, BrokerAddress, Config};
use crate::graph::{self, Graph};
use crate::mqtt;
use crate::presence::{Habits, OnStop, SourceId};
use crate::service::Manager;
use crate::store;
use crate::telemetry::Telemetry;

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Decide, log and publish on the real broker, but call nobody at Graph.
    #[arg(long)]
    dry_run: bool,
    /// Put a stand-in in the place of Graph (`graph`), or of Graph and the broker (`all`).
    #[cfg(feature = "sandbox")]
    #[arg(long, value_name = "WHAT", num_args = 0..=1, default_missing_value = "all", conflicts_with = "dry_run")]
    sandbox: Option<StandIn>,
    /// Run faster than life, against a sandbox on this machine only: SPEED, or SPEED@BOOT_MS to agree with another process.
    #[cfg(feature = "sandbox")]
    #[arg(long, hide = true, value_name = "SPEED[@BOOT_MS]")]
    clock: Option<super::speed::Speed>,
}

impl Args {
    #[cfg(not(feature = "sandbox"))]
    #[allow(clippy::unused_self, reason = "with the sandbox it asks its options")]
    fn clock(&self) -> Clock {
        Clock::live()
    }

    #[cfg(feature = "sandbox")]
    fn clock(&self) -> Clock {
        self.clock.map_or_else(Clock::live, super::speed::Speed::clock)
    }
}

/// What the sandbox stands in for.
#[cfg(feature = "sandbox")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum StandIn {
    /// Graph and the broker.
    All,
    /// Graph only: real phones on a real broker, simulated tenant.
    Graph,
}

/// Runs until a signal comes.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match block_on(start(args)) {
        Ok(code) => code,
        Err(error) => finish(Err(error)),
    }
}

/// From reading the configuration to the end. Signals are heard from the beginning.
async fn start(args: &Args) -> ExitCode {
    let mut heard = match signals::listen() {
        Ok(heard) => heard,
        Err(error) => return finish(Err(error)),
    };
    let path = args.config.config.clone();
    // A hundred thousand people take a while to read: a signal does not wait for that.
    let config = tokio::select! {
        read = tokio::task::spawn_blocking(move || load(&path)) => match read {
            Ok(Ok(config)) => config,
            Ok(Err(code)) => return code,
            Err(_) => return ExitCode::FAILURE, // it panicked, and has said so
        },
        _ = &mut heard.stop => return signals::before_the_start(),
    };
    #[cfg(feature = "sandbox")]
    if args.clock.is_some() && args.sandbox.is_none() {
        let urls = [&config.graph.login_url, &config.graph.graph_url];
        if let Err(error) = super::speed::only_on_loopback(urls) {
            eprintln!("presence-bridge: {error}");
            return ExitCode::from(super::USAGE);
        }
    }
    logs::start(&config.log);
    warn(&args.config.config, &config);
    panics::end_the_process();
    run_until_stopped(args, config, heard).await.unwrap_or_else(|error| finish(Err(error)))
}

/// What is legal and unwise, once, a line each: the words of `check`.
fn warn(path: &Path, config: &Config) {
    let file = path.display().to_string();
    for problem in check::warnings(config, Habits::default()) {
        let (warning, remedy) = (problem.name().unwrap_or_default(), &problem.hint);
        tracing::warn!(warning, place = problem.line(&file), remedy, "The configuration is legal and unwise.");
    }
}

#[allow(unused_mut, reason = "changed only where the sandbox is built in")]
async fn run_until_stopped(args: &Args, mut config: Config, heard: Heard) -> Result<ExitCode, String> {
    let clock = args.clock();
    let manager = manager()?;
    let mut source = reload::Source::new(&args.config.config, &config);
    source.tell(manager.clone());
    #[cfg(feature = "sandbox")]
    let _stand_in = match args.sandbox {
        Some(what) => Some(stand_in(what, &clock, &mut config).await?),
        None => None,
    };
    let _instance = match config.state.as_deref().map(instance::lock) {
        Some(Instance::Taken(why)) => {
            eprintln!("presence-bridge: {why}");
            return Ok(ExitCode::from(IN_USE));
        }
        Some(Instance::Unlocked(why)) => {
            tracing::warn!(why, "The state directory cannot be locked: see that no second bridge runs with it.");
            None
        }
        Some(Instance::Ours(file)) => Some(file),
        None => None,
    };
    let on_stop = config.on_stop;
    let Heard { stop: stopped, hangups } = heard;
    let bridge = connect(config, clock, args.dry_run, Some((source, hangups)))?.under(manager);
    #[cfg(debug_assertions)]
    panic_for_a_test();
    bridge.run(stop(on_stop, stopped)).await;
    Ok(ExitCode::SUCCESS)
}

/// Who is to be told how it goes.
fn manager() -> Result<Manager, String> {
    let (socket, watchdog) = config::service_manager();
    socket.map_or_else(|| Ok(Manager::default()), |socket| Manager::at(&socket, watchdog))
}

/// That a panic ends the process is tested by one.
#[cfg(debug_assertions)]
fn panic_for_a_test() {
    match config::panics_in().as_deref() {
        Some("task") => drop(tokio::spawn(async { panic!("asked for by a test, in a task") })),
        Some("thread") => drop(std::thread::spawn(|| panic!("asked for by a test, in a thread"))),
        _ => {}
    }
}

/// Starts adapters and core; nothing is connected yet when it returns. `source`: what is looked at for changes, and hints
/// that there may be one.
///
/// # Errors
/// A file that the configuration names cannot be used, or another bridge has the state directory.
pub fn connect(
    config: Config,
    clock: Clock,
    dry_run: bool,
    source: Option<(reload::Source, mpsc::Receiver<()>)>,
) -> Result<Bridge, String> {
    let telemetry = Telemetry::new(clock.clone());
    let people = config.plan.people.len();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), people, dry_run, "Starting.");
    // What nobody was told at Graph must not look held to the next process.
    let journal = match &config.state {
        Some(dir) if config.journal && !dry_run => store::open(dir, &telemetry).map_err(|in_use| in_use.to_string())?,
        _ => (None, None),
    };
    let graph = match dry_run {
        true => None,
        false => Some(Graph::start(graph_config(&config.graph), clock.clone(), telemetry.clone())?),
    };
    let mut sources = Vec::new();
    for (source, mqtt) in config.sources.iter().zip(mqtt_configs(&config)) {
        sources.push(Source {
            name: source.name.clone(),
            address: source.url(),
            instance: source.client_id.clone(),
            own_topics: source.own_topics,
            mqtt: mqtt::start(mqtt, clock.clone(), telemetry.clone())?,
        });
    }
    let plan = Arc::new(config.plan);
    let (topic_prefix, state, home_assistant) = (config.topic_prefix, config.state, config.home_assistant);
    let admin = admin::Config { listen: config.admin.listen, sockets: config.admin.sockets };
    let questions = admin::start(&admin, &telemetry);
    let reload = source.map(|(source, hangups)| {
        let people = source.people().clone();
        (people, reload::start(source, graph.clone(), clock.clone(), telemetry.clone(), hangups))
    });
    Ok(Bridge::new(Parts {
        clock,
        telemetry,
        plan,
        topic_prefix,
        sources,
        state,
        journal,
        home_assistant,
        graph,
        reload,
        questions,
    }))
}

/// What the adapter needs of `[graph]`.
pub(super) fn graph_config(section: &config::GraphSection) -> graph::Config {
    graph::Config {
        tenant_id: section.tenant_id,
        client_id: section.client_id,
        credential: section.credential.clone(),
        secret_expires: section.secret_expires,
        login_url: section.login_url.clone(),
        graph_url: section.graph_url.clone(),
        ca_file: section.ca_file.clone(),
        proxy: match section.proxy.clone() {
            config::ProxySection::Environment => graph::Proxy::Environment,
            config::ProxySection::Direct => graph::Proxy::Direct,
            config::ProxySection::At { url, login } => graph::Proxy::At { url, login },
        },
    }
}

/// What the adapter needs of `[mqtt]`, or of each `[[source]]`.
pub(super) fn mqtt_configs(config: &Config) -> Vec<mqtt::Config> {
    let places = (0..).map(SourceId);
    config.sources.iter().zip(places).map(|(source, place)| mqtt_config(config, source, place)).collect()
}

fn mqtt_config(config: &Config, source: &config::SourceSection, place: SourceId) -> mqtt::Config {
    let address = match source.address.clone() {
        BrokerAddress::Tcp { host, port } => mqtt::Address::Tcp { host, port },
        BrokerAddress::WebSocket { host, port, path } => mqtt::Address::WebSocket { host, port, path },
        BrokerAddress::Unix(path) => mqtt::Address::Unix(path),
    };
    let (prefix, client_id) = (&config.topic_prefix, source.client_id.as_str());
    mqtt::Config {
        name: source.name.clone(),
        tls: reload::tls(source),
        protocol: match source.protocol {
            config::Protocol::Auto => mqtt::Protocol::Newest,
            config::Protocol::V5 => mqtt::Protocol::V5,
            config::Protocol::V311 => mqtt::Protocol::V311,
        },
        username: source.username.clone(),
        password: source.password.clone(),
        keep_alive: source.keep_alive,
        session: match source.session_persistent {
            true => mqtt::Session::Persistent { expiry: source.session_expiry },
            false => mqtt::Session::Clean,
        },
        max_packet_size: source.max_packet_size,
        receive_maximum: source.receive_maximum,
        filters: config.plan.rules.filters_of(place, source.own_topics),
        will: source.own_topics.then(|| bridge::will(prefix, client_id)),
        canary: Some(format!("{prefix}/canary/{client_id}")),
        kept: config.state.as_ref().map(|dir| dir.join(format!("mqtt-{}.json", source.name))),
        ..mqtt::Config::new(address, client_id)
    }
}

/// Ready when a signal asks for the end, with the policy that then holds.
async fn stop(policy: config::OnStop, asked: oneshot::Receiver<Stop>) -> OnStop {
    let by_hand = asked.await == Ok(Stop::Interrupt);
    match policy {
        config::OnStop::Leave => OnStop::Leave,
        config::OnStop::Clear => OnStop::Clear,
        // Ctrl-C in a terminal: somebody is trying it out. A service manager: it will be back in a moment.
        config::OnStop::Auto if by_hand && std::io::stdin().is_terminal() => OnStop::Clear,
        config::OnStop::Auto => OnStop::Leave,
    }
}

/// Starts the stand-ins and points the configuration at them.
#[cfg(feature = "sandbox")]
async fn stand_in(what: StandIn, clock: &Clock, config: &mut Config) -> Result<super::demo::StandIns, String> {
    let stand_ins = super::demo::StandIns::start(clock, config, what == StandIn::All).await?;
    say!("Simulated Graph at {}; nothing leaves this machine.", stand_ins.graph_url());
    if let Some(port) = stand_ins.broker_port() {
        say!("Embedded broker at mqtt://127.0.0.1:{port}; try: mosquitto_pub -p {port} -t TOPIC -m PAYLOAD");
    }
    Ok(stand_ins)
}
