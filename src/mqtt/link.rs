//! The task that owns rumqttc's event loop, and is the only one to touch it.

mod hearing;
mod requests;
mod turns;

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rumqttc::Outgoing;
use secrecy::ExposeSecret;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, Sleep};

use self::hearing::Echoes;
use self::requests::Request;
use super::canary::Canary;
use super::failure::{Cause, Failure};
use super::kept::Kept;
use super::loss::{self, Losses};
use super::subscriptions::Subscriptions;
use super::version::Versions;
use super::wire::{self, Asked, Ear, Polled, Version, Voice};
use super::{Command, Config, Event, Message, Waiting};
use super::{connect, report};
use crate::clock::Clock;
use crate::presence::Mono;
use crate::telemetry::Telemetry;

/// How long the socket is left alone while the reader does not keep up.
const BREATH: Duration = Duration::from_millis(20);
/// A task that waits shows so often that it only waits.
const TURN: Duration = Duration::from_secs(1);

pub(super) struct LinkTask {
    config: Config,
    clock: Clock,
    telemetry: Telemetry,
    voice: Voice,
    versions: Versions,
    events: mpsc::UnboundedSender<Event>,
    waiting: Arc<Waiting>,
    /// Counts connections and their ends: acknowledgements of another epoch are dropped.
    epoch: u64,
    /// Since when, in real time.
    connected: Option<Mono>,
    losses: Losses,
    asked: Asked,
    /// What the broker takes: bytes of a packet.
    largest: usize,
    canary: Canary,
    subscriptions: Subscriptions,
    kept: Kept,
    /// The last proof of hearing, in the core's time.
    heard: Mono,
    /// The same in real time.
    heard_real: Mono,
    /// The last connection ended deaf: what the broker keeps of the MQTT session has holes.
    deafened: bool,
    /// Tokens that were given out and did not come back.
    tokens: usize,
    /// Publishes of ours at QoS 1 without a PUBACK.
    unacknowledged: usize,
    /// How many of those the broker takes at a time.
    window: usize,
    /// Messages of ours at QoS 1 that wait for room in it; a few, since the outbox waits for them.
    late: VecDeque<Message>,
    /// Echoes that wait for the acknowledgement of what came before them.
    echoes: Echoes,
    /// What did not fit into rumqttc's channel; nothing else is taken until it does.
    blocked: VecDeque<Request>,
    stopping: bool,
    /// Another client has our id: we go, for now.
    yielding: bool,
    /// DISCONNECT is on its way.
    parted: bool,
    /// Connections in a row that the broker ended in the place of an answer to our subscription.
    closed_at_subscribe: u32,
    /// Counts up as long as the task does anything, be it to wait.
    turns: Arc<AtomicU64>,
}

enum Next {
    Go,
    Wait(Duration),
    End,
}

/// The timers of a task. The one is armed again only when what it waits for has changed.
struct Alarm {
    at: Mono,
    sleep: Pin<Box<Sleep>>,
    /// Of [`TURN`]s, whatever else is awaited.
    turn: Interval,
}

impl LinkTask {
    pub(super) fn new(
        mut config: Config,
        clock: Clock,
        telemetry: Telemetry,
        events: mpsc::UnboundedSender<Event>,
        waiting: Arc<Waiting>,
    ) -> Result<(Self, Ear), String> {
        connect::transport(&config)?; // told now, not at the first attempt
        config.filters.retain(hearing::is_filter);
        if let Some(topic) = config.canary.take_if(|topic| topic.is_empty() || !rumqttc::mqttbytes::valid_topic(topic))
        {
            tracing::error!(topic, "Not a topic of MQTT; the bridge will not notice a broker that delivers nothing.");
        }
        let versions = Versions::new(config.protocol);
        let (voice, ear) = wire::new(&config, versions.current);
        let (kept, is_kept) = remembered(&config, &telemetry);
        let canary = Canary::new(kept.id.clone(), is_kept, fastrand::u64(..), config.canary_every);
        let now = clock.now().mono;
        let task = LinkTask {
            config,
            telemetry,
            voice,
            versions,
            events,
            waiting,
            epoch: 0,
            connected: None,
            losses: Losses::default(),
            asked: Asked { retains: true, qos1: true },
            largest: usize::MAX,
            canary,
            subscriptions: Subscriptions::default(),
            kept,
            heard: now,
            heard_real: Mono::ZERO,
            deafened: false,
            tokens: 0,
            unacknowledged: 0,
            window: 1,
            late: VecDeque::new(),
            echoes: Echoes::default(),
            blocked: VecDeque::new(),
            stopping: false,
            yielding: false,
            parted: false,
            closed_at_subscribe: 0,
            turns: Arc::default(),
            clock,
        };
        Ok((task, ear))
    }

    /// Where its turns are counted.
    pub(super) fn turns(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.turns)
    }

    fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) async fn run(
        mut self,
        mut ear: Ear,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut outbox: mpsc::Receiver<Message>,
    ) {
        let mut turn = tokio::time::interval(TURN);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut alarm = Alarm { at: Mono::MAX, sleep: Box::pin(tokio::time::sleep(Duration::MAX)), turn };
        loop {
            self.turn();
            if self.connected.is_none() {
                self.refresh(&mut ear);
            }
            match self.poll(&mut ear, &mut commands, &mut outbox, &mut alarm).await {
                Next::Go => {}
                Next::End => break,
                Next::Wait(span) => {
                    ear.forget();
                    if !self.rest(span, &mut commands, &mut outbox, &mut alarm.turn).await {
                        break;
                    }
                }
            }
        }
    }

    /// Credentials and certificates as they are on disk now.
    fn refresh(&self, ear: &mut Ear) {
        let transport = connect::transport(&self.config);
        if let Err(error) = &transport {
            self.telemetry.tell(&report::Unreadable::Certificates(error.clone()));
        }
        let password = self.config.password.as_ref().map_or(Ok("".into()), crate::secret::SecretSource::read);
        if let Err(error) = &password {
            self.telemetry.tell(&report::Unreadable::Password(error.clone()));
        }
        let login = self.config.username.as_deref().zip(password.as_ref().ok().map(ExposeSecret::expose_secret));
        ear.prepare(&self.config, self.asked, transport.ok(), login);
    }

    /// One poll to its end, and what comes of it and of what was read with it.
    async fn poll(
        &mut self,
        ear: &mut Ear,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        outbox: &mut mpsc::Receiver<Message>,
        alarm: &mut Alarm,
    ) -> Next {
        let mut polled = match self.serve(ear, commands, outbox, alarm).await {
            Some(Ok(polled)) => polled,
            Some(Err(failure)) if !self.stopping => {
                let wait = self.lost(&failure, ear);
                if failure.cause == Cause::Slept {
                    self.renew(ear); // the old one still has its connection
                    return Next::Wait(Duration::ZERO); // that is no fault of anybody's
                }
                return Next::Wait(wait);
            }
            Some(Err(_)) | None => return Next::End,
        };
        let mut read = false;
        loop {
            if let Polled::Heard(_) = polled
                && !std::mem::replace(&mut read, true)
            {
                self.heard = self.clock.now().mono;
                self.heard_real = self.clock.real();
            }
            if let Polled::Sent(Outgoing::Disconnect) = polled {
                // Polled once more, so that it is flushed; after that rumqttc would connect again.
                drop(tokio::time::timeout(Duration::from_millis(250), ear.poll()).await);
                if self.stopping {
                    return Next::End;
                }
                let twin = Failure { cause: Cause::Twin, text: "another client uses our client id".to_owned() };
                let wait = self.lost(&twin, ear);
                self.renew(ear); // the old one still has its connection
                return Next::Wait(wait);
            }
            self.take(polled, ear);
            match ear.read_already() {
                Some(next) => polled = next,
                None => return Next::Go,
            }
        }
    }

    /// Polls; `poll` may not be cancelled, so commands and timers are served beside it. `None`: stop at once.
    async fn serve(
        &mut self,
        ear: &mut Ear,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        outbox: &mut mpsc::Receiver<Message>,
        alarm: &mut Alarm,
    ) -> Option<Result<Polled, Failure>> {
        // MQTT 3.1.1 has no receive maximum: while the reader does not keep up, nothing is read, and TCP says so to the broker.
        let slow = self.versions.current == Version::V311 && self.waiting.is_full_for(0);
        let pause = slow && self.connected.is_some() && !self.stopping;
        let mut poll = pin!(async {
            if pause {
                tokio::time::sleep(BREATH).await;
                return Ok(Polled::Nothing);
            }
            ear.poll().await
        });
        loop {
            self.unblock();
            self.arm(alarm);
            let free = self.blocked.is_empty() && !self.stopping;
            tokio::select! {
                // Commands first: a flood of messages must not keep acknowledgements or a stop waiting. An acknowledgement
                // that meets a loss here is dropped by rumqttc, which clears its channel of them.
                biased;
                command = commands.recv(), if free => match command? {
                    Command::Ack(token) => self.acknowledge(token),
                    Command::Change(change) => self.change(*change),
                    Command::Slept if self.connected.is_none() => {}
                    Command::Slept => {
                        let text = "the machine slept, and the broker may have given us up".to_owned();
                        return Some(Err(Failure { cause: Cause::Slept, text }));
                    }
                    Command::Stop(_) if self.connected.is_none() => return None,
                    Command::Stop(farewell) => {
                        // What was handed over before the stop is said before the farewell.
                        while let Ok(message) = outbox.try_recv() {
                            self.blocked.push_back(Request::Publish(message));
                        }
                        self.say_goodbye(farewell);
                    }
                },
                Some(message) = outbox.recv(), if free && self.late.is_empty() => self.request(Request::Publish(message)),
                polled = &mut poll => return Some(polled),
                () = &mut alarm.sleep, if alarm.at != Mono::MAX => {
                    alarm.at = Mono::MAX;
                    self.timeout();
                }
                _ = alarm.turn.tick() => self.turn(),
            }
        }
    }

    fn arm(&self, alarm: &mut Alarm) {
        let at = if self.connected.is_some() { self.wake() } else { Mono::MAX };
        if at != alarm.at {
            alarm.at = at;
            if at != Mono::MAX {
                alarm.sleep.set(tokio::time::sleep(at.since(self.clock.real())));
            }
        }
    }

    fn take(&mut self, polled: Polled, ear: &mut Ear) {
        match polled {
            Polled::Heard(heard) => self.publish(heard),
            Polled::Connected(granted) => {
                self.heed(&granted, ear);
                self.up(&granted);
            }
            Polled::Subscribed(pkid, codes) => self.subscribed(pkid, codes),
            Polled::Acknowledged => {
                self.unacknowledged = self.unacknowledged.saturating_sub(1);
                if let Some(message) = self.late.pop_front() {
                    self.request(Request::Publish(message));
                }
                self.part();
            }
            Polled::Sent(Outgoing::Subscribe(pkid)) => self.subscriptions.sent(pkid),
            Polled::Sent(_) | Polled::Nothing => {}
        }
    }

    fn tell(&self, event: Event) {
        self.waiting.add(&event);
        drop(self.events.send(event)); // nobody listens: the stop is on its way
    }

    /// Waits before the next attempt; commands are served meanwhile. `false`: stop.
    async fn rest(
        &mut self,
        span: Duration,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        outbox: &mut mpsc::Receiver<Message>,
        turn: &mut Interval,
    ) -> bool {
        let mut rest = pin!(tokio::time::sleep(span));
        loop {
            tokio::select! {
                () = &mut rest => return true,
                _ = turn.tick() => self.turn(),
                command = commands.recv() => match command {
                    Some(Command::Ack(_) | Command::Slept) => {} // of a connection that is gone
                    Some(Command::Change(change)) => self.change(*change),
                    Some(Command::Stop(_)) | None => return false,
                },
                Some(_) = outbox.recv() => {} // said again when connected
            }
        }
    }

    /// When something is due that no packet brings.
    fn wake(&self) -> Mono {
        let peace = self.connected.map_or(Mono::MAX, |since| since + loss::AT_PEACE);
        let peace = if self.losses.at_war() { peace } else { Mono::MAX };
        self.canary.wake().min(self.subscriptions.wake()).min(peace)
    }
}

/// What the file says, or a new identity; and whether it will be the same after a restart.
fn remembered(config: &Config, telemetry: &Telemetry) -> (Kept, bool) {
    let fresh = || Kept { id: format!("{:016x}", fastrand::u64(..)), filters: Vec::new() };
    let Some(path) = &config.kept else { return (fresh(), false) };
    match Kept::load(path) {
        Ok(Some(kept)) => (kept, true),
        Ok(None) => {
            let kept = fresh();
            match kept.save(path) {
                Ok(()) => (kept, true),
                Err(error) => {
                    telemetry.tell(&report::Unkept(error));
                    (kept, false)
                }
            }
        }
        Err(error) => {
            telemetry.tell(&report::Unkept(error));
            (fresh(), false)
        }
    }
}
