//! `record`: what a broker delivers, as the lines that `replay` plays. Listens beside the bridge: with a client id of its
//! own, without a session that the broker would keep, and publishes nothing.

mod redact;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing_subscriber::filter::LevelFilter;

use self::redact::Redact;
use super::{ConfigArg, block_on, finish, logs, run, signals};
use crate::clock::Clock;
use crate::config::{Config, LogFormat, LogSection, SourceSection};
use crate::mqtt::{self, Event, Events, Handle, Incoming, Session};
use crate::presence::{Link, Mono, parse_duration};
use crate::replay::tell::{rfc3339, words};
use crate::telemetry::Telemetry;

/// Packets beyond this stay at the broker: a line of `replay` must hold one.
const LARGEST: u32 = 2 << 20;

/// Options of `record`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Topic filter to record, again for more of them; else those of the rules
    #[arg(short, long, value_name = "FILTER", value_parser = filter_of)]
    filter: Vec<String>,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// End after so long: 30s, 10m, 8h
    #[arg(long = "for", value_name = "DURATION", value_parser = span)]
    span: Option<Duration>,
    /// Replace numbers, names and addresses by stand-ins, so that the recording can be shown to others
    #[arg(long)]
    redact: bool,
    /// The file to write; never overwritten. Else standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn span(text: &str) -> Result<Duration, String> {
    let span = parse_duration(text).filter(|span| !span.is_zero());
    span.ok_or_else(|| "not a duration like 30s, 10m, 8h".to_owned())
}

fn filter_of(text: &str) -> Result<String, String> {
    let levels: Vec<&str> = text.split('/').collect();
    let last = levels.len() - 1;
    let good = |(place, level): (usize, &&str)| {
        *level == "+" || *level == "#" && place == last || !level.contains(['+', '#', '\0'])
    };
    if text.is_empty() || text.len() > 65_535 || !levels.iter().enumerate().all(good) {
        return Err("not a topic filter: + stands alone in a level, # alone in the last".to_owned());
    }
    Ok(text.to_owned())
}

/// Records until the limit, the time, or a signal.
#[must_use]
pub fn record(args: &Args) -> ExitCode {
    let config = match super::load_offline(&args.config.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    logs::start(&LogSection { level: LevelFilter::WARN, format: LogFormat::Text });
    let recorded = Output::open(args.out.as_deref())
        .and_then(|output| block_on(listen(args, &config, output)).flatten())
        .map(|said| eprintln!("{said}"));
    finish(recorded)
}

/// Says what was recorded.
async fn listen(args: &Args, config: &Config, output: Output) -> Result<String, String> {
    let clock = Clock::live();
    let telemetry = Telemetry::new(clock.clone());
    let (heard, mut events) = mpsc::channel(1);
    let mut links = JoinSet::new();
    for (place, (bridge, source)) in run::mqtt_configs(config).into_iter().zip(&config.sources).enumerate() {
        let link = mqtt::start(adapter(args, bridge, source), clock.clone(), telemetry.clone())?;
        links.spawn(pass_on(place, link, heard.clone()));
    }
    drop(heard);
    let redact = args.redact.then(|| {
        let text = Config::text(&args.config.config).unwrap_or_default();
        Redact::new(&text, config, clock.now().wall)
    });
    let sources = config.sources.iter().map(|source| source.name.clone()).collect();
    let connected = vec![false; config.sources.len()];
    let mut recorder =
        Recorder { output, gone: false, redact, clock, sources, first: None, count: 0, retained: 0, connected };
    let ended = tokio::select! {
        ended = recorder.run(&mut events, args.limit) => ended,
        () = after(args.span) => Ok(()),
        _ = signals::asked_to_end() => Ok(()),
    };
    drop(events);
    while links.join_next().await.is_some() {}
    ended?;
    recorder.summary(&config.sources)
}

/// What one broker delivers, acknowledged when it was taken; until nobody takes it any more.
async fn pass_on(place: usize, (handle, mut events): (Handle, Events), heard: mpsc::Sender<(usize, Event)>) {
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = heard.closed() => None,
        };
        let Some(mut event) = event else { break };
        let token = match &mut event {
            Event::Publish(incoming) => incoming.token.take(),
            Event::Link(_) => None,
        };
        if heard.send((place, event)).await.is_err() {
            break;
        }
        if let Some(token) = token {
            handle.ack(token);
        }
    }
    handle.stop(None).await;
}

/// Ready after the time, if there is one.
async fn after(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}

/// As the bridge connects, but as somebody else who leaves nothing behind.
fn adapter(args: &Args, bridge: mqtt::Config, source: &SourceSection) -> mqtt::Config {
    mqtt::Config {
        client_id: format!("{}-record-{}", source.client_id, std::process::id()),
        session: Session::Clean,
        max_packet_size: bridge.max_packet_size.min(LARGEST),
        filters: if args.filter.is_empty() { bridge.filters.clone() } else { args.filter.clone() },
        will: None,
        canary: None,
        kept: None,
        ..bridge
    }
}

struct Recorder {
    output: Output,
    /// Nobody reads any more (`| head`).
    gone: bool,
    redact: Option<Redact>,
    clock: Clock,
    /// When the first message came.
    first: Option<Mono>,
    count: u64,
    retained: u64,
    /// Names of the brokers.
    sources: Vec<String>,
    /// Which of them were there, in their order.
    connected: Vec<bool>,
}

impl Recorder {
    async fn run(&mut self, events: &mut mpsc::Receiver<(usize, Event)>, limit: Option<u64>) -> Result<(), String> {
        while let Some((place, event)) = events.recv().await {
            match event {
                Event::Link(Link::Up { .. }) if !self.connected[place] => {
                    self.connected[place] = true;
                    match self.sources.as_slice() {
                        [_] => eprintln!("Recording; end it with Ctrl-C."),
                        names => eprintln!("Recording at {}; end it with Ctrl-C.", names[place]),
                    }
                }
                Event::Link(_) => {}
                Event::Publish(incoming) => {
                    self.write(place, &incoming)?;
                    if self.gone || limit.is_some_and(|limit| self.count >= limit) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, place: usize, incoming: &Incoming) -> Result<(), String> {
        // MQTT demands UTF-8; what is not could not be played, and no rule takes it.
        let Ok(topic) = std::str::from_utf8(&incoming.topic) else { return Ok(()) };
        let now = self.clock.now();
        let first = match self.first {
            Some(first) => first,
            None => {
                let head = serde_json::json!({ "start": rfc3339(now.wall), "redacted": self.redact.is_some() });
                self.gone |= !self.output.line(&head.to_string())?;
                *self.first.insert(now.mono)
            }
        };
        let source = self.sources.get(place).filter(|_| self.sources.len() > 1).map(String::as_str);
        let line = match &mut self.redact {
            Some(redact) => {
                let payload = redact.payload(&incoming.payload);
                line(now.mono.since(first), &redact.topic(topic), &payload, incoming.retain, source)
            }
            None => line(now.mono.since(first), topic, &incoming.payload, incoming.retain, source),
        };
        self.gone |= !self.output.line(&line)?;
        self.count += 1;
        self.retained += u64::from(incoming.retain);
        Ok(())
    }

    fn summary(&self, sources: &[SourceSection]) -> Result<String, String> {
        let deaf = sources.iter().zip(&self.connected).filter(|(_, connected)| !**connected);
        let deaf: Vec<String> = deaf.map(|(source, _)| source.url()).collect();
        if deaf.len() == sources.len() {
            return Err(format!("nothing was recorded: no connection to the broker at {}", deaf.join(", ")));
        }
        let without = match deaf.as_slice() {
            [] => String::new(),
            deaf => format!(" There was no connection to the broker at {}.", deaf.join(", ")),
        };
        let span = self.first.map_or(Duration::ZERO, |first| self.clock.now().mono.since(first));
        let (count, retained, file) = (self.count, self.retained, &self.output.name);
        let messages = if count == 1 { "message" } else { "messages" };
        Ok(format!("Recorded {count} {messages}, {retained} of them retained, in {} to {file}.{without}", words(span)))
    }
}

/// As `replay` reads it. A payload that JSON would blow up is written in base64, as is one that is not UTF-8.
fn line(t: Duration, topic: &str, payload: &[u8], retain: bool, source: Option<&str>) -> String {
    let t = match t.subsec_millis() {
        0 => t.as_secs().to_string(),
        _ => t.as_secs_f64().to_string(),
    };
    let text = std::str::from_utf8(payload).ok();
    let controls = payload.iter().filter(|byte| byte.is_ascii_control()).count();
    let (key, payload) = match text.filter(|text| controls <= 64 + text.len() / 8) {
        Some(text) => ("payload", text.to_owned()),
        None => ("payload_b64", STANDARD.encode(payload)),
    };
    let (topic, payload) = (serde_json::Value::from(topic), serde_json::Value::from(payload));
    let source = source.map_or_else(String::new, |name| format!(r#","source":{}"#, serde_json::Value::from(name)));
    format!(r#"{{"t":{t},"topic":{topic},"{key}":{payload},"retain":{retain}{source}}}"#)
}

/// Where the lines go.
struct Output {
    to: Box<dyn Write + Send>,
    name: String,
}

impl Output {
    /// What is recorded tells who was on the phone: nobody else may read the file.
    fn open(path: Option<&Path>) -> Result<Output, String> {
        let Some(path) = path else {
            return Ok(Output { to: Box::new(io::stdout()), name: "standard output".to_owned() });
        };
        let file: io::Result<File> = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let name = path.display().to_string();
        match file {
            Ok(file) => Ok(Output { to: Box::new(file), name }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(format!("{name} is there already, and a recording is not overwritten; name another file"))
            }
            Err(error) => Err(format!("{name} cannot be written: {error}")),
        }
    }

    /// At once, whole: what was recorded before a crash or a power cut is worth having. `false`: nobody reads it.
    fn line(&mut self, line: &str) -> Result<bool, String> {
        match self.to.write_all(format!("{line}\n").as_bytes()).and_then(|()| self.to.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(format!("{} cannot be written: {error}", self.name)),
        }
    }
}
