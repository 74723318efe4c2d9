//! The task that owns rumqttc's event loop, and is the only one to touch it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Filter, Packet, Publish, SubAck, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event as Polled, EventLoop};
use secrecy::ExposeSecret;
use tokio::sync::mpsc;

use super::loss::{Cause, Losses};
use super::{AckToken, Command, Config, Event, Incoming, Message, Qos, Session, Waiting};
use super::{connect, report};
use crate::clock::Clock;
use crate::presence::{Link, Mono};
use crate::telemetry::Telemetry;

pub(super) struct LinkTask {
    config: Config,
    clock: Clock,
    telemetry: Telemetry,
    client: AsyncClient,
    events: mpsc::UnboundedSender<Event>,
    waiting: Arc<Waiting>,
    /// Counts connections and their ends: acknowledgements of another epoch are dropped.
    epoch: u64,
    connected: Option<Mono>,
    losses: Losses,
    /// What the broker takes: bytes of a packet.
    largest: usize,
    /// And whether it retains.
    retains: bool,
    /// What did not fit into rumqttc's channel; nothing else is taken until it does.
    blocked: VecDeque<Request>,
    stopping: bool,
}

enum Request {
    Ack(AckToken),
    Publish(Message),
    Disconnect,
}

enum Next {
    Go,
    Wait(Duration),
    End,
}

impl LinkTask {
    pub(super) fn new(
        config: Config,
        clock: Clock,
        telemetry: Telemetry,
        events: mpsc::UnboundedSender<Event>,
        waiting: Arc<Waiting>,
    ) -> Result<(Self, EventLoop), String> {
        connect::transport(&config)?; // told now, not at the first attempt
        let room = usize::from(config.receive_maximum) + 256;
        let (client, eventloop) = AsyncClient::new(connect::options(&config), room);
        let task = LinkTask {
            config,
            clock,
            telemetry,
            client,
            events,
            waiting,
            epoch: 0,
            connected: None,
            losses: Losses::default(),
            largest: usize::MAX,
            retains: true,
            blocked: VecDeque::new(),
            stopping: false,
        };
        Ok((task, eventloop))
    }

    pub(super) async fn run(
        mut self,
        mut eventloop: EventLoop,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut outbox: mpsc::Receiver<Message>,
    ) {
        loop {
            if self.connected.is_none() {
                self.refresh(&mut eventloop);
            }
            match self.poll(&mut eventloop, &mut commands, &mut outbox).await {
                Next::Go => {}
                Next::End => break,
                Next::Wait(span) => {
                    // What belonged to the old connection must not reach the next one.
                    eventloop.state = connect::state();
                    eventloop.pending.clear();
                    if !self.rest(span, &mut commands, &mut outbox).await {
                        break;
                    }
                }
            }
        }
    }

    /// Credentials and certificates as they are on disk now.
    fn refresh(&self, eventloop: &mut EventLoop) {
        connect::reset(&mut eventloop.options, &self.config, self.retains);
        match connect::transport(&self.config) {
            Ok(transport) => {
                eventloop.options.set_transport(transport);
            }
            Err(error) => {
                self.telemetry.tell(&report::Unreadable::Certificates(error));
            }
        }
        let Some(username) = &self.config.username else { return };
        match self.config.password.as_ref().map_or(Ok("".into()), crate::secret::SecretSource::read) {
            Ok(password) => {
                eventloop.options.set_credentials(username.as_str(), password.expose_secret());
            }
            Err(error) => {
                self.telemetry.tell(&report::Unreadable::Password(error));
            }
        }
    }

    /// One poll to its end, and what comes of it.
    async fn poll(
        &mut self,
        eventloop: &mut EventLoop,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        outbox: &mut mpsc::Receiver<Message>,
    ) -> Next {
        match self.serve(eventloop, commands, outbox).await {
            Some(Ok(Polled::Outgoing(Outgoing::Disconnect))) => {
                // Polled once more, so that it is flushed; after that rumqttc would connect again.
                drop(tokio::time::timeout(Duration::from_millis(250), eventloop.poll()).await);
                Next::End
            }
            Some(Ok(Polled::Outgoing(_))) => Next::Go,
            Some(Ok(Polled::Incoming(packet))) => {
                self.packet(packet, eventloop);
                Next::Go
            }
            Some(Err(error)) if !self.stopping => Next::Wait(self.lost(&error)),
            Some(Err(_)) | None => Next::End,
        }
    }

    /// Polls; `poll` may not be cancelled, so commands are served beside it. `None`: stop at once.
    async fn serve(
        &mut self,
        eventloop: &mut EventLoop,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        outbox: &mut mpsc::Receiver<Message>,
    ) -> Option<Result<Polled, ConnectionError>> {
        let mut poll = pin!(eventloop.poll());
        loop {
            self.unblock();
            let free = self.blocked.is_empty() && !self.stopping;
            tokio::select! {
                // Commands first: a flood of messages must not keep acknowledgements or a stop waiting. An acknowledgement
                // that meets a loss here is dropped by rumqttc, which clears its channel of them.
                biased;
                command = commands.recv(), if free => match command? {
                    Command::Ack(token) => self.request(Request::Ack(token)),
                    Command::Stop(_) if self.connected.is_none() => return None,
                    Command::Stop(farewell) => self.say_goodbye(farewell),
                },
                Some(message) = outbox.recv(), if free => self.request(Request::Publish(message)),
                polled = &mut poll => return Some(polled),
            }
        }
    }

    /// Queued behind what is on its way: a channel that is full now has room once the broker has read from it.
    fn say_goodbye(&mut self, farewell: Option<Message>) {
        self.stopping = true;
        self.blocked.extend(farewell.map(Request::Publish));
        self.blocked.push_back(Request::Disconnect);
        self.unblock();
    }

    fn request(&mut self, request: Request) {
        self.blocked.push_back(request);
        self.unblock();
    }

    fn unblock(&mut self) {
        while let Some(request) = self.blocked.pop_front() {
            if !self.fits(&request) {
                self.blocked.push_front(request);
                break;
            }
        }
    }

    fn fits(&self, request: &Request) -> bool {
        match request {
            Request::Ack(token) if token.epoch != self.epoch => true, // of a connection that is gone
            Request::Ack(token) => {
                let mut publish = Publish::new("", QoS::AtLeastOnce, "", None);
                publish.pkid = token.pkid;
                self.client.try_ack(&publish).is_ok()
            }
            Request::Publish(_) if self.connected.is_none() => true, // said again when connected
            Request::Publish(message) => self.says(message),
            Request::Disconnect => self.client.try_disconnect().is_ok(),
        }
    }

    fn says(&self, message: &Message) -> bool {
        let qos = match message.qos {
            Qos::AtMostOnce => QoS::AtMostOnce,
            Qos::AtLeastOnce => QoS::AtLeastOnce,
        };
        let publish = Publish::new(message.topic.as_str(), qos, message.payload.clone(), None);
        if publish.size() > self.largest {
            // rumqttc would end the connection for it.
            self.telemetry.tell(&report::Dropped::TooLarge { topic: &message.topic, largest: self.largest });
            return true;
        }
        let retain = message.retain && self.retains;
        self.client.try_publish(message.topic.as_str(), qos, retain, publish.payload).is_ok()
    }

    fn packet(&mut self, packet: Packet, eventloop: &mut EventLoop) {
        match packet {
            Packet::ConnAck(ack) => {
                self.heed(&ack, eventloop);
                self.up(&ack);
            }
            Packet::SubAck(ack) => self.subscribed(&ack),
            Packet::Publish(publish) => self.publish(publish),
            _ => {}
        }
    }

    /// What the broker grants for this connection.
    fn heed(&mut self, ack: &ConnAck, eventloop: &mut EventLoop) {
        // Under a receive maximum of 0, which MQTT forbids, rumqttc would not even subscribe; we publish at QoS 0 only.
        eventloop.state = connect::state();
        let said = ack.properties.as_ref();
        let own = connect::keep_alive(&self.config);
        // 0 means never, but rumqttc would ping without a pause; and a longer one notices a dead connection later.
        if said
            .and_then(|said| said.server_keep_alive)
            .is_some_and(|it| it == 0 || Duration::from_secs(it.into()) > own)
        {
            eventloop.options.set_keep_alive(own);
        }
        self.largest =
            said.and_then(|said| said.max_packet_size).map_or(usize::MAX, |it| it.try_into().unwrap_or(usize::MAX));
        self.retains = said.and_then(|said| said.retain_available) != Some(0);
        if !self.retains {
            self.telemetry.tell(&report::RetainsNothing);
        }
    }

    fn up(&mut self, ack: &ConnAck) {
        self.epoch += 1;
        self.connected = Some(self.clock.real());
        self.telemetry.end(report::LOGIN_REFUSED, None);
        let wanted = match self.config.session {
            Session::Persistent { expiry } => expiry,
            Session::Clean => Duration::ZERO,
        };
        let granted = ack.properties.as_ref().and_then(|properties| properties.session_expiry_interval);
        let expiry = granted.map_or(wanted, |seconds| Duration::from_secs(seconds.into()));
        // At every connection: a broker that forgot us delivers nothing, and one that did not re-sends what it retains.
        let filters = self.config.filters.iter().map(|path| Filter::new(path.as_str(), QoS::AtLeastOnce));
        if !self.config.filters.is_empty() && self.client.try_subscribe_many(filters).is_err() {
            tracing::error!("Topic filters cannot be subscribed: they are not valid MQTT.");
        }
        let (broker, session_present) = (&self.config.address, ack.session_present);
        tracing::info!(%broker, session_present, "MQTT connected.");
        self.tell(Event::Link(Link::Up { session_present, expiry }));
    }

    fn subscribed(&self, ack: &SubAck) {
        let codes = self.config.filters.iter().zip(&ack.return_codes);
        let refused: Vec<_> = codes.filter(|(_, code)| !matches!(code, SubscribeReasonCode::Success(_))).collect();
        if refused.is_empty() {
            tracing::info!(filters = ack.return_codes.len(), "MQTT subscribed.");
            return self.telemetry.end(report::SUBSCRIPTIONS_REFUSED, None);
        }
        let refused = report::SubscriptionsRefused { refused };
        self.telemetry.tell(&refused);
        self.telemetry.raise(refused.alarm());
    }

    fn publish(&self, publish: Publish) {
        let token = (publish.qos == QoS::AtLeastOnce).then_some(AckToken { epoch: self.epoch, pkid: publish.pkid });
        if token.is_none() && self.waiting.is_full_for(publish.topic.len() + publish.payload.len()) {
            return self.telemetry.tell(&report::Dropped::QueueFull);
        }
        let expiry = publish.properties.as_ref().and_then(|properties| properties.message_expiry_interval);
        self.tell(Event::Publish(Incoming {
            topic: publish.topic,
            payload: publish.payload,
            retain: publish.retain,
            expiry: expiry.map(|seconds| Duration::from_secs(seconds.into())),
            token,
        }));
    }

    fn tell(&self, event: Event) {
        self.waiting.add(&event);
        drop(self.events.send(event)); // nobody listens: the stop is on its way
    }

    /// The connection ended or did not come about; how long to wait before the next attempt.
    fn lost(&mut self, error: &ConnectionError) -> Duration {
        self.epoch += 1;
        self.blocked.clear();
        let lasted = self.connected.take().map(|since| self.clock.real().since(since));
        if lasted.is_some() {
            self.tell(Event::Link(Link::Down));
        }
        if connect::refuses_retained(error) {
            self.retains = false; // the next CONNECT asks for less
            self.telemetry.tell(&report::RetainsNothing);
        }
        let cause = connect::cause(error);
        self.telemetry.tell(&report::Lost { config: &self.config, error, cause });
        if cause == Cause::LoginRefused {
            self.telemetry.raise(report::login_refused());
        }
        let verdict = self.losses.judge(cause, lasted, fastrand::f64());
        if verdict.taken_over {
            self.telemetry.tell(&report::TakenOver { client_id: &self.config.client_id });
        }
        verdict.wait
    }

    /// Waits before the next attempt; commands are served meanwhile. `false`: stop.
    async fn rest(
        &mut self,
        span: Duration,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        outbox: &mut mpsc::Receiver<Message>,
    ) -> bool {
        let mut rest = pin!(tokio::time::sleep(span));
        loop {
            tokio::select! {
                () = &mut rest => return true,
                command = commands.recv() => match command {
                    Some(Command::Ack(_)) => {} // of a connection that is gone
                    Some(Command::Stop(_)) | None => return false,
                },
                Some(_) = outbox.recv() => {} // said again when connected
            }
        }
    }
}
