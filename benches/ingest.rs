//! What hearing costs: processor time of this process for 100,000 messages, beside a bare client in the same run.
//!
//! One mosquitto on loopback, and a publisher in a process of its own, so that neither counts. 500 phones say what they said
//! before in 95 % of the messages. Six listeners take the same stream in turn, so that what one costs more than the one
//! before it is visible: a bare rumqttc client; one that acknowledges message by message; our adapter; the adapter and the
//! core; the whole bridge, which also counts, decides, publishes people's states and asks (an absent) Graph; and the whole
//! bridge with its journal, in the directory for temporary files or in `BENCH_DIR`.
//!
//! At QoS 1 the flood shows the rate too: there the disk bounds it, by how many messages the broker lets be unacknowledged.
//!
//! `cargo bench --bench ingest`; for a profiler, one listener in a flood: `-- bridge 1` (its name in the table, and the
//! QoS; a third word puts everything into one thread).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, reason = "benches may")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use presence_bridge::admin;
use presence_bridge::bridge::{self, Bridge, Parts, Source};
use presence_bridge::clock::Clock;
use presence_bridge::config::{BrokerAddress, Config};
use presence_bridge::mqtt::{self, Address, Event, Handle, Session};
use presence_bridge::presence::{Core, Mono, OnStop, Publish, SourceId};
use presence_bridge::store;
use presence_bridge::telemetry::Telemetry;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet};
use rumqttc::v5::{AsyncClient, Event as Polled, MqttOptions};
use rustix::time::{ClockId, clock_gettime};

const MESSAGES: u64 = 100_000;
const PHONES: usize = 500;
/// A second: more than any office has, and slow enough that each message finds its listener asleep.
const EVEN: u64 = 10_000;
/// As fast as mosquitto takes them.
const FLOOD: u64 = 1_000_000;
const ROUNDS: usize = 3;
const RECEIVE_MAXIMUM: u16 = 100;
const LARGEST: u32 = 1 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    if arguments.first().is_some_and(|it| it == "publish") {
        let number = |at: usize| arguments[at].parse::<u64>().unwrap();
        return publish(u16::try_from(number(1)).unwrap(), number(2) == 1, number(3));
    }
    let Some(broker) = Broker::start() else { return println!("mosquitto is not installed; nothing is measured.") };
    if let [name, qos, rest @ ..] = arguments.as_slice() {
        let (_, listener) = LISTENERS.into_iter().find(|(known, _)| known == name).expect("a listener");
        let cost = measure(listener, broker.port, qos == "1", FLOOD, !rest.is_empty());
        return println!("{name} at QoS {qos}: {cost}");
    }
    println!("{MESSAGES} messages over {PHONES} topics; ms of processor time per 100,000 heard, and in brackets");
    println!("how often, per 100 messages, one of the threads went to sleep");
    println!(
        "{:>7} {:>5} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}  bridge/bare  journal/bare",
        "pace", "QoS", "bare", "by-hand", "adapter", "core", "bridge", "journal"
    );
    for (pace, rate) in [("even", EVEN), ("flood", FLOOD)] {
        for at_least_once in [false, true] {
            for _ in 0..ROUNDS {
                let found = LISTENERS.map(|(_, listener)| measure(listener, broker.port, at_least_once, rate, false));
                let [bare, by_hand, adapter, core, whole, journal] = found.each_ref().map(Cost::to_string);
                let (qos, ratio) = (u8::from(at_least_once), |at: usize| found[at].processor / found[0].processor);
                println!(
                    "{pace:>7} {qos:>5} {bare:>10} {by_hand:>10} {adapter:>10} {core:>10} {whole:>10} {journal:>10}  {:.2}  {:.2}",
                    ratio(4),
                    ratio(5)
                );
                if rate == FLOOD && at_least_once {
                    let [bare, _, _, _, whole, journal] = found.each_ref().map(|cost| cost.rate);
                    let ratio = journal / bare;
                    println!(
                        "        a second: bare {bare:.0}, bridge {whole:.0}, journal {journal:.0} ({ratio:.2} of bare)"
                    );
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listener {
    Bare,
    /// Bare, but it acknowledges message by message, as whoever wants to be done with a message first has to.
    ByHand,
    Adapter,
    Core,
    Bridge,
    /// With its journal.
    Journal,
}

const LISTENERS: [(&str, Listener); 6] = [
    ("bare", Listener::Bare),
    ("by-hand", Listener::ByHand),
    ("adapter", Listener::Adapter),
    ("core", Listener::Core),
    ("bridge", Listener::Bridge),
    ("journal", Listener::Journal),
];

/// Counts what it hears.
type Heard = Arc<AtomicU64>;

fn name(listener: Listener) -> &'static str {
    LISTENERS.into_iter().find(|(_, known)| *known == listener).map_or("", |(name, _)| name)
}

struct Cost {
    /// Milliseconds for 100,000 messages.
    processor: f64,
    /// For 100 messages.
    sleeps: f64,
    /// Messages a second, from the first to the last.
    rate: f64,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} ({:.0})", self.processor, self.sleeps)
    }
}

/// On a runtime like that of the program, and like the program in the main thread; or all in one thread.
fn measure(listener: Listener, port: u16, at_least_once: bool, rate: u64, single: bool) -> Cost {
    let mut builder = match single {
        true => tokio::runtime::Builder::new_current_thread(),
        false => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let cost = runtime.block_on(async {
        let (count, work) = start(listener, port).await;
        tokio::select! {
            () = work => panic!("a listener ended"),
            cost = published(name(listener), &count, port, at_least_once, rate) => cost,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    cost
}

/// What it costs this process that another one publishes.
async fn published(name: &str, count: &Count, port: u16, at_least_once: bool, rate: u64) -> Cost {
    tokio::time::sleep(Duration::from_millis(500)).await; // connected and subscribed: on loopback long since
    let qos = if at_least_once { "1" } else { "0" };
    let arguments = ["publish", &port.to_string(), qos, &rate.to_string()].map(str::to_owned);
    let (before, slept) = (processor(), sleeps());
    let mut publisher =
        Command::new(std::env::current_exe().unwrap()).args(arguments).stdin(Stdio::null()).spawn().unwrap();
    let (mut last, mut idle) = (0, 0);
    let (clock, mut first, mut latest) = (Clock::live(), None, Mono::ZERO);
    while publisher.try_wait().unwrap().is_none() || (count.heard() < MESSAGES && idle < 300) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = count.heard();
        idle = if now == last { idle + 1 } else { 0 };
        if now != last {
            latest = clock.real();
            first.get_or_insert((latest, now));
        }
        last = now;
    }
    let (spent, slept) = (processor() - before, sleeps() - slept);
    let heard = count.heard();
    if heard != MESSAGES {
        println!("        {name}: heard {heard} of {MESSAGES}");
    }
    let (began, before) = first.unwrap_or_default();
    let rate = (heard - before) as f64 / latest.since(began).as_secs_f64().max(0.001);
    let heard = heard as f64;
    Cost { processor: spent.as_secs_f64() * 1e3 * 1e5 / heard, sleeps: slept as f64 * 100.0 / heard, rate }
}

/// Of all threads of this process.
fn processor() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.try_into().unwrap(), spent.tv_nsec.try_into().unwrap())
}

/// Of all threads that live; elsewhere than on Linux none is known.
fn sleeps() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let status = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    let of = |text: String| {
        text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok())
    };
    status.filter_map(of).sum()
}

/// How many were heard: what a listener counts itself, or what the bridge's counters say.
enum Count {
    Own(Heard),
    Told(Telemetry),
}

impl Count {
    fn heard(&self) -> u64 {
        let messages = |telemetry: &Telemetry| {
            telemetry.totals().into_iter().filter(|(event, ..)| *event == "message").map(|it| it.2).sum()
        };
        match self {
            Count::Own(heard) => heard.load(Ordering::Relaxed),
            Count::Told(telemetry) => messages(telemetry),
        }
    }
}

/// Hears until it is dropped.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn start(listener: Listener, port: u16) -> (Count, Work) {
    let heard = Heard::default();
    let work = match listener {
        Listener::Bare | Listener::ByHand => bare(port, listener == Listener::ByHand, Arc::clone(&heard)).await,
        Listener::Adapter | Listener::Core => ours(listener, port, Arc::clone(&heard)).await,
        Listener::Bridge => return whole(port, false).await,
        Listener::Journal => return whole(port, true).await,
    };
    (Count::Own(heard), work)
}

/// The loop that rumqttc's examples show. By itself it acknowledges as it reads, up to ten in one write.
async fn bare(port: u16, by_hand: bool, heard: Heard) -> Work {
    let mut options = MqttOptions::new("bare", "127.0.0.1", port);
    options.set_max_packet_size(Some(LARGEST));
    options.set_receive_maximum(Some(RECEIVE_MAXIMUM));
    options.set_manual_acks(by_hand);
    let (client, mut eventloop) = AsyncClient::new(options, 65_536);
    client.try_subscribe_many([Filter::new("pbx/devstate/PJSIP/+", QoS::AtLeastOnce)]).unwrap();
    while !matches!(eventloop.poll().await.unwrap(), Polled::Incoming(Packet::SubAck(_))) {}
    Box::pin(async move {
        while let Ok(event) = eventloop.poll().await {
            if let Polled::Incoming(Packet::Publish(publish)) = event {
                heard.fetch_add(1, Ordering::Relaxed);
                if by_hand && publish.qos == QoS::AtLeastOnce {
                    client.try_ack(&publish).unwrap();
                }
            }
        }
    })
}

/// The adapter, read and acknowledged as the bridge does it; with the core behind it, or without.
async fn ours(listener: Listener, port: u16, heard: Heard) -> Work {
    let (config, clock) = (configuration(port), Clock::live());
    let telemetry = Telemetry::new(clock.clone());
    let (handle, mut events) = mqtt::start(adapter(&config), clock.clone(), telemetry).unwrap();
    let mut core = (listener == Listener::Core).then(|| Core::new(clock.now(), Arc::new(config.plan)));
    Box::pin(async move {
        while let Some(event) = events.next().await {
            hear(&mut core, &clock, event, &handle, &heard);
            for _ in 1..256 {
                // As many in a row as the bridge takes.
                let Some(event) = events.try_next() else { break };
                hear(&mut core, &clock, event, &handle, &heard);
            }
        }
    })
}

fn hear(core: &mut Option<Core>, clock: &Clock, event: Event, handle: &Handle, heard: &Heard) {
    let Event::Publish(incoming) = event else { return };
    if let Some(core) = core {
        let (topic, payload) = (&incoming.topic, &incoming.payload);
        let publish = Publish { topic, payload, retain: incoming.retain, expiry: incoming.expiry };
        core.handle_publish(clock.now(), SourceId(0), &publish);
        while core.poll_action().is_some() {}
    }
    heard.fetch_add(1, Ordering::Relaxed);
    if let Some(token) = incoming.token {
        handle.ack(token);
    }
}

/// All of it, calling nobody.
async fn whole(port: u16, journal: bool) -> (Count, Work) {
    let (config, clock) = (configuration(port), Clock::live());
    let telemetry = Telemetry::new(clock.clone());
    #[allow(clippy::disallowed_methods, reason = "a bench has no configuration")]
    let disk = std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(disk).unwrap();
    let journal = if journal { store::open(dir.path(), &telemetry).unwrap() } else { (None, None) };
    let mqtt = mqtt::start(adapter(&config), clock.clone(), telemetry.clone()).unwrap();
    let (name, address, instance) = ("mqtt".to_owned(), "bench".to_owned(), "bench".to_owned());
    let source = Source { name, address, instance, own_topics: true, mqtt };
    let questions = admin::start(&admin::Config { listen: None, sockets: Vec::new() }, &telemetry);
    let bridge = Bridge::new(Parts {
        clock,
        telemetry: telemetry.clone(),
        plan: Arc::new(config.plan),
        topic_prefix: config.topic_prefix,
        sources: vec![source],
        state: None,
        journal,
        home_assistant: None,
        graph: None,
        reload: None,
        questions,
    });
    let run = async move {
        bridge.run(std::future::pending::<OnStop>()).await;
        drop(dir);
    };
    (Count::Told(telemetry), Box::pin(run))
}

fn adapter(config: &Config) -> mqtt::Config {
    let section = &config.sources[0];
    let BrokerAddress::Tcp { host, port } = section.address.clone() else { panic!("a broker by TCP") };
    mqtt::Config {
        session: Session::Clean,
        max_packet_size: LARGEST,
        receive_maximum: RECEIVE_MAXIMUM,
        filters: config.plan.rules.filters(),
        will: Some(bridge::will(&config.topic_prefix, "bench")),
        canary: Some("presence-bridge/canary/bench".to_owned()),
        ..mqtt::Config::new(Address::Tcp { host, port }, section.client_id.as_str())
    }
}

fn configuration(port: u16) -> Config {
    let mut text = format!(
        r#"
[graph]
tenant_id = "aaaaaaaa-0000-4000-8000-000000000001"
client_id = "bbbbbbbb-0000-4000-8000-000000000002"
client_secret_file = "unused"
[mqtt]
url = "mqtt://127.0.0.1:{port}"
client_id = "bench"
[signals]
call = "Busy/InACall"
[[rule]]
topic = "pbx/devstate/PJSIP/{{ext}}"
subject = "{{ext}}"
signal = "call"
on = ["INUSE"]
off = ["NOT_INUSE"]
[users]
"#
    );
    for phone in 0..PHONES {
        text.push_str(&format!("\"{phone}\" = \"11111111-1111-4111-8111-{phone:012}\"\n"));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bridge.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::write(dir.path().join("unused"), "unused").unwrap();
    Config::load(&path).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The other process: as many messages as are heard, at an even pace, from one seed.
fn publish(port: u16, at_least_once: bool, rate: u64) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'p']).unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    let mut answers = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let (mut left, mut buffer) = (if at_least_once { MESSAGES as usize * 4 } else { 0 }, [0; 4096]);
        while left > 0 {
            left -= answers.read(&mut buffer).unwrap();
        }
    });
    let mut random = fastrand::Rng::with_seed(7);
    let mut off_hook = [false; PHONES];
    let (clock, mut sent) = (Clock::live(), 0);
    let began = clock.real();
    while sent < MESSAGES {
        let due = (clock.real().since(began).as_secs_f64() * rate as f64) as u64;
        let mut packets = Vec::new();
        while sent < MESSAGES.min(due + 1) {
            let phone = random.usize(0..PHONES);
            off_hook[phone] ^= random.f64() < 0.05;
            packet(&mut packets, phone, off_hook[phone], at_least_once, sent);
            sent += 1;
        }
        stream.write_all(&packets).unwrap();
        #[allow(clippy::disallowed_methods, reason = "a thread of its own, and a pace to keep")]
        std::thread::sleep(Duration::from_millis(2));
    }
    reading.join().unwrap();
    stream.write_all(&[0xe0, 0]).unwrap();
}

fn packet(into: &mut Vec<u8>, phone: usize, off_hook: bool, at_least_once: bool, number: u64) {
    let (topic, payload) = (format!("pbx/devstate/PJSIP/{phone}"), if off_hook { "INUSE" } else { "NOT_INUSE" });
    let id = u16::try_from(number % 65_000 + 1).unwrap();
    let length = 2 + topic.len() + payload.len() + if at_least_once { 2 } else { 0 };
    into.extend([
        if at_least_once { 0x32 } else { 0x30 },
        u8::try_from(length).unwrap(),
        0,
        u8::try_from(topic.len()).unwrap(),
    ]);
    into.extend(topic.as_bytes());
    into.extend(at_least_once.then_some(id.to_be_bytes()).into_iter().flatten());
    into.extend(payload.as_bytes());
}

struct Broker {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Broker {
    fn start() -> Option<Broker> {
        let programs = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"];
        let program = programs.into_iter().find(|it| std::path::Path::new(it).exists())?;
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 100\nmax_queued_messages 0\nlog_type none\n"
        );
        let path = dir.path().join("mosquitto.conf");
        std::fs::write(&path, text).unwrap();
        let child = Command::new(program).arg("-c").arg(path).stdin(Stdio::null()).spawn().unwrap();
        let broker = Broker { child, port, _dir: dir };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            #[allow(clippy::disallowed_methods, reason = "there is no runtime to block")]
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(broker)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
