//! Faults in turn over a live system, in real time: `tests/soak`. What the simulation shows on virtual time in every
//! combination, this shows of the real program, with real sockets and a real broker, one at a time.
#![allow(clippy::disallowed_methods, reason = "a stopwatch needs a clock of its own, tests/soak its arguments")]

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use presence_bridge::sandbox::tenant::{Fault, Match, What};
use tokio::task::JoinSet;

use crate::support::mosquitto::{Mosquitto, program};
use crate::support::office::{CALL, NOBODY, Office, Program, plain};
use crate::support::skipped;

const PEOPLE: usize = 20;
/// A phone that goes off and on more often than that is damped, which is no fault.
const RESTS: Duration = Duration::from_secs(15);
/// Between two that change: as fast as that allows, all the time.
const PACE: Duration = Duration::from_millis(750);
/// Longer than that after the last fault, and something does not heal: what told and alive, the network's time-outs, and the
/// canary take together.
const HEALS: Duration = Duration::from_secs(90);
/// KiB that a process may have grown from its second round on.
const GROWTH: u64 = 5 * 1024;

/// One thing that goes wrong, and is put right again.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Nothing,
    BrokerKilled,
    BrokerFrozen,
    GraphFails,
    GraphThrottles,
    GraphDrops,
    GraphLate,
    TokenRevoked,
    Flood,
    ProgramFrozen,
    ProgramKilled,
}

const TROUBLES: [Trouble; 10] = [
    Trouble::Nothing,
    Trouble::BrokerKilled,
    Trouble::BrokerFrozen,
    Trouble::GraphFails,
    Trouble::GraphThrottles,
    Trouble::GraphDrops,
    Trouble::GraphLate,
    Trouble::TokenRevoked,
    Trouble::Flood,
    Trouble::ProgramFrozen,
];

/// A phone: whether it is off-hook, and since when.
#[derive(Clone, Copy)]
struct Phone {
    off_hook: bool,
    since: Instant,
}

/// Somebody was seen as something else than they were for so long; in which trouble it began to be right again.
#[derive(Clone, Copy, Debug)]
struct Wrong {
    span: Duration,
    person: usize,
    trouble: Trouble,
}

type Shared<T> = Arc<Mutex<T>>;

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Soak {
    office: Arc<Office>,
    program: Program,
    broker: Mosquitto,
    phones: Shared<Vec<Phone>>,
    trouble: Shared<Trouble>,
    wrong: Shared<Vec<Wrong>>,
    /// What phones are saying; each waits for the broker's acknowledgement.
    saying: JoinSet<usize>,
    busy: Vec<usize>,
    dice: fastrand::Rng,
}

/// As a phone does: again and again until the broker has it.
fn say(port: u16, number: usize, off_hook: bool) {
    let payload = if off_hook { "INUSE" } else { "NOT_INUSE" };
    for _ in 0..600 {
        let mut command = Command::new(program("mosquitto_pub").unwrap());
        command.args(["-q", "1", "-r", "-p", &port.to_string(), "-t", &format!("phone/{number}"), "-m", payload]);
        if command.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap().success() {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("the broker does not come back");
}

/// A colleague who looks fifty times a second, and knows better.
async fn watch(office: Arc<Office>, phones: Shared<Vec<Phone>>, trouble: Shared<Trouble>, wrong: Shared<Vec<Wrong>>) {
    let mut since: Vec<Option<Instant>> = vec![None; PEOPLE];
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let truth = lock(&phones).clone();
        for (person, phone) in truth.iter().enumerate() {
            if office.seen(person + 1) != shown(*phone) {
                since[person].get_or_insert_with(Instant::now);
            } else if let Some(began) = since[person].take() {
                lock(&wrong).push(Wrong { span: began.elapsed(), person: person + 1, trouble: *lock(&trouble) });
            }
        }
    }
}

fn shown(phone: Phone) -> &'static str {
    if phone.off_hook { CALL } else { NOBODY }
}

impl Soak {
    /// One phone that has rested goes off or on, if there is one.
    fn flip(&mut self) {
        while let Some(done) = self.saying.try_join_next() {
            self.busy.retain(|number| *number != done.as_ref().copied().unwrap());
        }
        let mut phones = lock(&self.phones);
        let rested: Vec<usize> = (1..=PEOPLE)
            .filter(|number| phones[number - 1].since.elapsed() > RESTS && !self.busy.contains(number))
            .collect();
        if rested.is_empty() {
            return;
        }
        let number = rested[self.dice.usize(..rested.len())];
        let off_hook = !phones[number - 1].off_hook;
        phones[number - 1] = Phone { off_hook, since: Instant::now() };
        let port = self.broker.port;
        self.busy.push(number);
        self.saying.spawn_blocking(move || {
            say(port, number, off_hook);
            number
        });
    }

    async fn flip_for(&mut self, span: Duration) {
        let began = Instant::now();
        while began.elapsed() < span {
            self.flip();
            tokio::time::sleep(PACE).await;
        }
    }

    fn graph(&self, on: Match, times: u32, what: What) {
        self.office.fault(Fault { on, times, what });
    }

    async fn make(&mut self, trouble: Trouble) {
        *lock(&self.trouble) = trouble;
        let some = Duration::from_secs(5);
        match trouble {
            Trouble::Nothing => self.flip_for(3 * some).await,
            Trouble::BrokerKilled => {
                self.broker.kill();
                self.flip_for(some).await;
                self.broker.resume().await;
                // It kept nothing; phones that connect again say where they are.
                self.quiet().await;
                let phones = lock(&self.phones).clone();
                for (phone, number) in phones.into_iter().zip(1..) {
                    say(self.broker.port, number, phone.off_hook);
                }
            }
            Trouble::BrokerFrozen => {
                self.broker.signal("STOP");
                self.flip_for(2 * some).await;
                self.broker.signal("CONT");
            }
            Trouble::GraphFails => {
                let what = What::Status { status: 503, body: String::new(), by_graph: true };
                // Five shut the gate; then there is one probe after 1 s, 2 s, 4 s ..., so that two more are three seconds.
                self.graph(Match::AnyPresence, 7, what);
            }
            Trouble::GraphThrottles => {
                self.graph(Match::AnyPresence, 3, What::Throttle { retry_after: Some("3".to_owned()) });
            }
            Trouble::GraphDrops => {
                self.graph(Match::AnyPresence, 3, What::ResetAfter);
                self.graph(Match::AnyPresence, 3, What::ResetBefore);
            }
            Trouble::GraphLate => self.graph(Match::AnyPresence, 3, What::AppliedLate { after: 2 * some }),
            Trouble::TokenRevoked => self.graph(Match::AnyPresence, 1, What::RevokeTokens),
            Trouble::Flood => {
                let lines = "INUSE\n".repeat(5_000);
                for stranger in 0..10 {
                    self.broker.publish_lines(&format!("phone/stranger-{stranger}"), &lines);
                    self.flip();
                }
            }
            Trouble::ProgramFrozen => {
                self.program.signal("STOP");
                self.flip_for(some).await;
                self.program.signal("CONT");
            }
            // Nothing happens meanwhile: what ends while nobody is there to hear it ends at Graph by its expiration.
            Trouble::ProgramKilled => self.program.restart().await,
        }
        // What waits for calls to Graph needs some.
        if matches!(trouble, Trouble::GraphFails | Trouble::GraphThrottles | Trouble::GraphDrops)
            || matches!(trouble, Trouble::GraphLate | Trouble::TokenRevoked)
        {
            self.flip_for(2 * some).await;
        }
    }

    /// Nobody is saying anything any more.
    async fn quiet(&mut self) {
        while self.saying.join_next().await.is_some() {}
        self.busy.clear();
    }

    /// How long until everybody is right.
    async fn heal(&mut self) -> Duration {
        self.quiet().await;
        let began = Instant::now();
        loop {
            let phones = lock(&self.phones).clone();
            let wrong: Vec<(usize, String)> = phones
                .iter()
                .zip(1..)
                .map(|(phone, number)| (number, self.office.seen(number), shown(*phone)))
                .filter(|(_, seen, truth)| seen != truth)
                .map(|(number, seen, _)| (number, seen))
                .collect();
            if wrong.is_empty() {
                return began.elapsed();
            }
            assert!(began.elapsed() < HEALS, "{:?} does not heal: {wrong:?}", *lock(&self.trouble));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// KiB a minute, by least squares.
fn slope(samples: &[(Duration, u64)]) -> f64 {
    let points: Vec<(f64, f64)> = samples.iter().map(|(at, kib)| (at.as_secs_f64() / 60.0, *kib as f64)).collect();
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), point| {
        (above + (point.0 - x) * (point.1 - y), below + (point.0 - x).powi(2))
    });
    if below > 0.0 { above / below } else { 0.0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "as long as tests/soak says"]
async fn faults_in_turn() {
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (minutes, seed) = (number("SOAK_MINUTES", 5), number("SOAK_SEED", fastrand::u64(..1_000_000)));
    if program("mosquitto_pub").is_none() {
        return skipped("soak", "mosquitto-clients is not installed");
    }
    let Some(broker) = Mosquitto::start("soak", "").await else { return };
    println!("{minutes} minutes, {PEOPLE} people, seed {seed}");
    let office = Arc::new(Office::new(PEOPLE, 1).await);
    let program = office.program(&plain(broker.port), "", &[]).await;
    let now = Instant::now();
    let phones = Arc::new(Mutex::new(vec![Phone { off_hook: false, since: now }; PEOPLE]));
    let trouble = Arc::new(Mutex::new(Trouble::Nothing));
    let wrong: Shared<Vec<Wrong>> = Arc::default();
    let watcher =
        tokio::spawn(watch(Arc::clone(&office), Arc::clone(&phones), Arc::clone(&trouble), Arc::clone(&wrong)));
    let (saying, dice) = (JoinSet::new(), fastrand::Rng::with_seed(seed));
    let mut soak = Soak { office, program, broker, phones, trouble, wrong, saying, busy: Vec::new(), dice };
    let began = Instant::now();
    let mut healed: Vec<(Duration, Trouble)> = Vec::new();
    let mut memory: Vec<(Duration, u64)> = Vec::new();
    let mut round = 0;
    while began.elapsed() < Duration::from_secs(60 * minutes) {
        let first = [Trouble::Nothing, Trouble::ProgramKilled];
        let extra: &[Trouble] = if round == 0 { &first } else { &[] };
        for trouble in extra.iter().chain(&TROUBLES) {
            soak.make(*trouble).await;
            let took = soak.heal().await;
            println!(
                "{:>5} s  {trouble:?}: right after {took:.2?}, {} KiB",
                began.elapsed().as_secs(),
                soak.program.memory()
            );
            healed.push((took, *trouble));
            if round > 0 {
                memory.push((began.elapsed(), soak.program.memory()));
            }
        }
        round += 1;
    }
    watcher.abort();
    let mut wrong = lock(&soak.wrong).clone();
    wrong.sort_by_key(|wrong| wrong.span);
    healed.sort_by_key(|(took, _)| *took);
    let of = |share: f64, count: usize| ((count - 1) as f64 * share).round() as usize;
    let change = |share: f64| wrong[of(share, wrong.len())];
    let heal = |share: f64| healed[of(share, healed.len())];
    let (worst, longest, calls) = (heal(1.0), change(1.0), soak.office.all_calls());
    println!(
        "After a fault: {} of them, everybody right after p50 {:.2?}, p99 {:.2?}, worst {:.2?} ({:?})",
        healed.len(),
        heal(0.5).0,
        heal(0.99).0,
        worst.0,
        worst.1,
    );
    println!(
        "After a change: {} of them, seen after p50 {:.2?}, p99 {:.2?}; longest wrong {:.2?} (p{}, {:?})",
        wrong.len(),
        change(0.5).span,
        change(0.99).span,
        longest.span,
        longest.person,
        longest.trouble,
    );
    println!("{calls} calls; memory {:+.0} KiB a minute over {} samples", slope(&memory), memory.len());
    if let (Some((_, first)), Some((_, last))) = (memory.first(), memory.last()) {
        assert!(last.saturating_sub(*first) < GROWTH, "memory grew from {first} to {last} KiB");
    }
}
