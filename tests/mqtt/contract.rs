//! What brokers do, as far as the link leans on it: one list of cases, run against Debian's mosquitto and the embedded broker,
//! by a bare client of MQTT 5 and of 3.1.1, and through our adapter where it shows there.
//!
//! A case says what it saw, in words; the list says what each broker is known to show. Where they differ, it says so.

mod adapter;
mod bare;
mod delivery;
mod dial;
mod limits;
mod own;
mod sessions;
mod subscriptions;

use std::future::Future;
use std::pin::Pin;

use presence_bridge::sandbox::broker::Broker;

use crate::support::mosquitto::Mosquitto;

/// A broker, and room of a case's own at it.
#[derive(Clone)]
pub struct At {
    pub port: u16,
    /// First level of its topics, and what its client ids begin with.
    pub own: String,
    pub version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V5,
    V311,
}

pub type Saw = Pin<Box<dyn Future<Output = String> + Send>>;

/// A case, and what is seen of each broker in each version: `None` where there is nothing to see.
pub struct Case {
    name: &'static str,
    run: fn(At) -> Saw,
    mosquitto: [Option<&'static str>; 2],
    embedded: [Option<&'static str>; 2],
}

impl Case {
    /// Seen of both brokers, in both versions.
    pub const fn both(name: &'static str, run: fn(At) -> Saw, seen: &'static str) -> Case {
        Case { name, run, mosquitto: [Some(seen), Some(seen)], embedded: [Some(seen), Some(seen)] }
    }

    /// Of MQTT 5 only.
    pub const fn of_5(name: &'static str, run: fn(At) -> Saw, seen: &'static str) -> Case {
        Case { name, run, mosquitto: [Some(seen), None], embedded: [Some(seen), None] }
    }

    /// mosquitto shows something else in 3.1.1.
    pub const fn but_mosquitto_311(self, seen: &'static str) -> Case {
        Case { mosquitto: [self.mosquitto[0], Some(seen)], ..self }
    }

    /// The embedded broker shows something else: in MQTT 5, and in 3.1.1.
    pub const fn but_embedded(self, of_5: &'static str, of_311: &'static str) -> Case {
        let embedded = match self.embedded {
            [_, Some(_)] => [Some(of_5), Some(of_311)],
            [_, None] => [Some(of_5), None],
        };
        Case { embedded, ..self }
    }
}

fn cases() -> Vec<Case> {
    [delivery::CASES, subscriptions::CASES, sessions::CASES, limits::CASES, adapter::CASES]
        .into_iter()
        .flat_map(|cases| cases.iter())
        .map(|case| Case { ..*case })
        .collect()
}

/// Runs every case at a broker, all at once; what differs from what is known, and how many ran.
async fn run(broker: &str, port: u16, known: fn(&Case) -> [Option<&'static str>; 2]) -> (Vec<String>, usize) {
    let mut running = tokio::task::JoinSet::new();
    for (n, case) in cases().into_iter().enumerate() {
        for (version, expected) in [Version::V5, Version::V311].into_iter().zip(known(&case)) {
            let Some(expected) = expected else { continue };
            let at = At { port, own: format!("c{n}{version:?}"), version };
            let limit = std::time::Duration::from_secs(20);
            running.spawn(async move {
                let saw = tokio::time::timeout(limit, (case.run)(at)).await;
                (case.name, version, expected, saw.unwrap_or_else(|_| "nothing in twenty seconds".to_owned()))
            });
        }
    }
    let (mut wrong, mut count) = (Vec::new(), 0);
    while let Some(done) = running.join_next().await {
        count += 1;
        match done {
            Ok((name, version, expected, saw)) if saw != expected => {
                wrong.push(format!("{broker}, {version:?}: {name}\n   known: {expected}\n    seen: {saw}"));
            }
            Ok(_) => {}
            Err(error) => wrong.push(format!("{broker}: {error}")),
        }
    }
    wrong.sort();
    (wrong, count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_keeps_the_contract() {
    let Some(broker) = Mosquitto::start("the contract of mosquitto", "").await else { return };
    let (wrong, count) = run("mosquitto", broker.port, |case| case.mosquitto).await;
    println!("{count} cases ran against mosquitto");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_broker_keeps_the_contract() {
    let broker = Broker::start(0).await.unwrap();
    let (wrong, count) = run("embedded", broker.port(), |case| case.embedded).await;
    println!("{count} cases ran against the embedded broker");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
