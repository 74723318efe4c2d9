//! What is said on one connection of a probe.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::Outgoing;
use secrecy::ExposeSecret;

use super::super::failure::Failure;
use super::super::wire::{self, Asked, Ear, Granted, Heard, Polled, Version, Voice};
use super::super::{Config, Message, connect};

/// For an answer that may never come.
const ANSWER: Duration = Duration::from_secs(5);
/// Until what was written is flushed.
const FLUSH: Duration = Duration::from_millis(250);
/// Filters in one SUBSCRIBE, as of the link itself.
const TOGETHER: usize = 8;

pub(super) struct Connection {
    voice: Voice,
    ear: Ear,
    pub(super) version: Version,
    pub(super) granted: Granted,
    /// Messages that came before the answer to their SUBSCRIBE.
    early: Vec<Heard>,
}

/// Why there is none.
pub(super) enum Attempt {
    File(String),
    Failed(Failure),
}

/// What came of it.
#[derive(Default)]
pub(super) struct Found {
    pub(super) refused: Vec<(String, String)>,
    pub(super) canary: Option<bool>,
    pub(super) replays: Option<bool>,
}

impl Connection {
    /// Up to CONNACK.
    pub(super) async fn attempt(config: &Config, version: Version) -> Result<Self, Attempt> {
        let transport = connect::transport(config).map_err(Attempt::File)?;
        let password = config.password.as_ref().map_or(Ok("".into()), crate::secret::SecretSource::read);
        let password = password.map_err(Attempt::File)?;
        let login = config.username.as_deref().map(|name| (name, password.expose_secret()));
        let (voice, mut ear) = wire::new(config, version);
        ear.prepare(config, Asked { retains: true, qos1: true }, Some(transport), login);
        loop {
            if let Polled::Connected(granted) = ear.poll().await.map_err(Attempt::Failed)? {
                ear.begin(granted.window());
                return Ok(Connection { voice, ear, version, granted, early: Vec::new() });
            }
        }
    }

    pub(super) async fn look(&mut self, config: &Config) -> Result<Found, Failure> {
        let mut found = Found::default();
        let sibling = config.canary.as_ref().map(|topic| format!("{topic}/retained"));
        let filters: Vec<String> = config.filters.iter().chain(&config.canary).chain(&sibling).cloned().collect();
        for filters in filters.chunks(TOGETHER) {
            let answers = self.subscribe(filters).await?;
            let refused = filters.iter().zip(answers);
            found.refused.extend(refused.filter_map(|(filter, answer)| Some((filter.clone(), answer.err()?))));
        }
        let (Some(canary), Some(sibling)) = (&config.canary, sibling) else { return Ok(found) };
        let nonce = Bytes::from(fastrand::u64(..).to_string());
        self.voice.publish(&Message::new(canary.clone(), nonce.clone()).at_least_once());
        let heard = self.hears(canary, &nonce, false).await?;
        found.canary = Some(heard);
        if heard && self.granted.retains {
            found.replays = Some(self.replays(sibling, &nonce).await?);
        }
        Ok(found)
    }

    /// The level-triggered half of what a bridge knows after a gap.
    async fn replays(&mut self, topic: String, nonce: &Bytes) -> Result<bool, Failure> {
        self.voice.publish(&Message::new(topic.clone(), nonce.clone()).retained().at_least_once());
        let stored = self.hears(&topic, nonce, false).await?;
        self.subscribe(std::slice::from_ref(&topic)).await?;
        let replayed = stored && self.hears(&topic, nonce, true).await?;
        self.voice.publish(&Message::new(topic.clone(), Bytes::new()).retained().at_least_once());
        self.hears(&topic, &Bytes::new(), false).await?; // gone from the broker before we are
        Ok(replayed)
    }

    /// `Ok` for a filter that is granted; else in the broker's words.
    async fn subscribe(&mut self, filters: &[String]) -> Result<Vec<Result<(), String>>, Failure> {
        self.voice.subscribe(filters);
        loop {
            match self.next().await? {
                Polled::Subscribed(_, answers) => return Ok(answers),
                // A broker may replay before it answers. Of others there may be many.
                Polled::Heard(heard) if filters.len() == 1 => self.early.push(heard),
                _ => {}
            }
        }
    }

    /// Waits for a message of ours; `false`: it does not come.
    async fn hears(&mut self, topic: &str, payload: &Bytes, retain: bool) -> Result<bool, Failure> {
        let is_it =
            |heard: &Heard| heard.topic == topic.as_bytes() && heard.payload == *payload && heard.retain == retain;
        let early = std::mem::take(&mut self.early);
        if early.iter().any(is_it) {
            return Ok(true);
        }
        let hearing = async {
            loop {
                if let Polled::Heard(heard) = self.next().await?
                    && is_it(&heard)
                {
                    return Ok(());
                }
            }
        };
        match tokio::time::timeout(ANSWER, hearing).await {
            Ok(Err(failure)) => Err(failure),
            Ok(Ok(())) => Ok(true),
            Err(_) => Ok(false),
        }
    }

    /// Everything is acknowledged, so that more comes.
    async fn next(&mut self) -> Result<Polled, Failure> {
        let polled = self.ear.poll().await?;
        if let Polled::Heard(Heard { pkid: Some(pkid), .. }) = polled {
            self.voice.ack(pkid);
        }
        Ok(polled)
    }

    /// A broker that is gone by then has heard enough.
    pub(super) async fn close(mut self) {
        if !self.voice.disconnect() {
            return;
        }
        let flushed = async {
            while !matches!(self.ear.poll().await, Ok(Polled::Sent(Outgoing::Disconnect)) | Err(_)) {}
            drop(tokio::time::timeout(FLUSH, self.ear.poll()).await);
        };
        drop(tokio::time::timeout(ANSWER, flushed).await);
    }
}
