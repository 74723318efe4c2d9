//! Floods: very many messages about somebody, very many topics about nobody. By the real program before a broker that sends
//! as fast as it is told, or as the bridge reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use presence_bridge::clock::Clock;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

use super::odd::{framed, packet, suback};
use crate::support::office::{CALL, NOBODY, Office, Program, plain, within};

/// So many a second.
const RATE: usize = 50_000;
/// Messages that are written at once.
const BATCH: usize = 500;
/// What the program may grow, KiB.
const GROWTH: u64 = 5 * 1024;

/// A broker for one client: it grants everything, answers what must be answered, and brings the client's canary back.
struct Flood {
    port: u16,
    writer: Arc<Mutex<Option<OwnedWriteHalf>>>,
    /// What the client published.
    published: Arc<AtomicUsize>,
}

impl Flood {
    async fn start() -> Flood {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let flood = Flood { port, writer: Arc::default(), published: Arc::default() };
        let (writer, published) = (Arc::clone(&flood.writer), Arc::clone(&flood.published));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (reader, half) = stream.into_split();
                *writer.lock().await = Some(half);
                tokio::spawn(serve(reader, Arc::clone(&writer), Arc::clone(&published)));
            }
        });
        flood
    }

    async fn write(&self, bytes: &[u8]) {
        let mut writer = self.writer.lock().await;
        writer.as_mut().unwrap().write_all(bytes).await.expect("the link lives");
    }

    /// At QoS 1, behind all that was written.
    async fn say(&self, topic: &str, payload: &str) {
        self.write(&publish(topic, payload, Some(1))).await;
    }

    /// So many messages, in batches, at most [`RATE`] a second; how long it took.
    async fn pour(&self, count: usize, message: impl Fn(usize) -> (String, &'static str)) -> Duration {
        let clock = Clock::live();
        let began = clock.real();
        for start in (0..count).step_by(BATCH) {
            let batch: Vec<u8> = (start..start + BATCH)
                .flat_map(|number| {
                    let (topic, payload) = message(number);
                    publish(&topic, payload, None)
                })
                .collect();
            self.write(&batch).await;
            let due = Duration::from_secs_f64((start + BATCH) as f64 / RATE as f64);
            tokio::time::sleep(due.saturating_sub(clock.real().since(began))).await;
        }
        clock.real().since(began)
    }
}

fn publish(topic: &str, payload: &str, id: Option<u16>) -> Vec<u8> {
    let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
    body.extend(topic.as_bytes());
    body.extend(id.into_iter().flat_map(u16::to_be_bytes));
    body.push(0);
    body.extend(payload.as_bytes());
    framed(if id.is_some() { 0x32 } else { 0x30 }, &body)
}

async fn serve(mut reader: OwnedReadHalf, writer: Arc<Mutex<Option<OwnedWriteHalf>>>, published: Arc<AtomicUsize>) {
    while let Some((kind, body)) = packet(&mut reader).await {
        let answer = match kind & 0xf0 {
            0x10 => vec![0x20, 3, 0, 0, 0],
            0x80 => suback(&body),
            0xc0 => vec![0xd0, 0],
            0x30 => {
                published.fetch_add(1, Ordering::Relaxed);
                heard(kind, &body)
            }
            _ => continue,
        };
        let mut writer = writer.lock().await;
        let Some(writer) = writer.as_mut() else { return };
        if writer.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The acknowledgement, and the canary itself.
fn heard(kind: u8, body: &[u8]) -> Vec<u8> {
    let end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
    let mut answer = Vec::new();
    if kind & 0x06 != 0 {
        answer.extend([0x40, 2, body[end], body[end + 1]]);
    }
    if body[2..end].windows(6).any(|word| word == b"canary") {
        let payload = end + 3 + usize::from(body[end + 2]);
        answer.extend(framed(0x30, &[&body[..end], &[0], &body[payload..]].concat()));
    }
    answer
}

/// How many messages came to the rules; the rest of a flood at QoS 0 is dropped in front of them.
async fn judged(program: &Program, reasons: &[&str]) -> u64 {
    let page = program.ask("/metrics").await;
    let count = |reason: &&str| {
        let name = format!("presence_bridge_message_total{{reason=\"{reason}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok()).unwrap_or(0)
    };
    reasons.iter().map(count).sum()
}

/// Of a page of metrics: its lines, which must not become more.
async fn lines(program: &Program) -> usize {
    program.ask("/metrics").await.lines().count()
}

/// So many messages about p1 at 50,000 a second, half of them changes; p2 lifts meanwhile.
async fn flood_of_one_person(seconds: usize) {
    let broker = Flood::start().await;
    let office = Office::new(2, 1).await;
    let program = office.program(&plain(broker.port), "", &[]).await;
    let flap = |number: usize| {
        let payload = if number % 4 < 2 { "INUSE" } else { "NOT_INUSE" };
        ("phone/1".to_owned(), payload)
    };
    broker.say("phone/1", "INUSE").await;
    office.see(1, CALL).await;
    broker.pour(RATE, flap).await;
    let before = program.memory();
    let half = seconds * RATE / 2;
    let mut took = broker.pour(half, flap).await;
    broker.say("phone/2", "INUSE").await;
    // The flood goes on while it is waited for.
    let (rest, ()) = tokio::join!(broker.pour(half, flap), office.see_within(Duration::from_secs(5), 2, CALL));
    took += rest;
    let grown = program.memory().saturating_sub(before);
    let (count, seconds) = (2 * half, took.as_secs_f64());
    let calls = office.calls(1).len();
    let judged = judged(&program, &["changed", "renewed"]).await;
    println!(
        "{count} messages about one person in {seconds:.1} s, {:.0}/s, {judged} judged with the first second's; {calls} calls, \
         {} publishes of the bridge, {grown} KiB more",
        count as f64 / seconds,
        broker.published.load(Ordering::Relaxed),
    );
    assert!(grown < GROWTH, "memory grew by {grown} KiB");
    let most = 6 * (1 + took.as_secs() as usize / 60);
    assert!(calls <= most, "{calls} calls, {:?}", office.calls(1));
    assert_eq!(program.ask("/live").await, "live\n");
    broker.say("phone/1", "NOT_INUSE").await;
    office.see(1, NOBODY).await; // it is quiet, so the fall waits no longer
    assert_eq!(office.story(2), [NOBODY, CALL], "the flood was p1's alone");
}

/// Red: `Session::damped` is never true (76 calls); or `Waiting::is_full_for` never is (p2 waits behind the flood).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_34_a_flood_of_one_person_costs_few_calls_no_memory_and_nobody_else() {
    flood_of_one_person(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute of 50,000 messages a second"]
async fn fault_34_for_a_minute() {
    flood_of_one_person(60).await;
}

/// So many topics that a rule takes and whose subject nobody is.
async fn flood_of_topics(count: usize) {
    let broker = Flood::start().await;
    let office = Office::new(2, 1).await;
    let program = office.program(&plain(broker.port), "", &[]).await;
    let random = |salt: u64| {
        move |number: usize| {
            let name = (number as u64 ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (format!("phone/{name:016x}"), "INUSE")
        }
    };
    broker.pour(20_000, random(1 << 40)).await;
    within(Duration::from_secs(15), "the table is full", || async {
        program.status("/status").await["unmapped"].as_u64() >= Some(1_024)
    })
    .await;
    let (before, page) = (program.memory(), lines(&program).await);
    let took = broker.pour(count, random(1 << 41)).await;
    broker.say("phone/1", "INUSE").await;
    office.see_within(Duration::from_secs(5), 1, CALL).await;
    let (after, seconds) = (program.memory(), took.as_secs_f64());
    let judged = judged(&program, &["unknown_subject"]).await;
    println!(
        "{count} topics in {seconds:.1} s, {:.0}/s, {judged} judged with the first 20,000; {after} KiB, {} more than then",
        count as f64 / seconds,
        after.saturating_sub(before),
    );
    assert!(judged as usize > count / 10, "enough of them came so far: {judged}");
    assert!(after.saturating_sub(before) < GROWTH, "memory grew from {before} to {after} KiB");
    assert_eq!(lines(&program).await, page, "no topic becomes a metric");
    assert_eq!(program.status("/status").await["unmapped"], 1024);
    assert_eq!(office.calls(1).len(), 1);
    assert_eq!(office.story(2), [NOBODY]);
}

/// Red: `Unmapped::make_room` returns at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_35_a_flood_of_unknown_topics_is_forgotten_as_it_comes() {
    flood_of_topics(150_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million topics"]
async fn fault_35_a_million_topics() {
    flood_of_topics(1_000_000).await;
}
