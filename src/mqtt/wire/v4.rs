//! MQTT 3.1.1 in rumqttc's words. It knows no expiry, so that sessions are always clean; it grants nothing but a session.

use bytes::Bytes;
use rumqttc::mqttbytes::Error;
use rumqttc::mqttbytes::v4::{ConnectReturnCode, LastWill, Packet, Publish, SubscribeFilter, SubscribeReasonCode};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, QoS, StateError, Transport,
};

use super::super::failure::{Cause, Failure};
use super::super::{Config, Message, Qos, connect};
use super::{Asked, CONNECT_SECONDS, Granted, Heard, IN_FLIGHT, LARGEST_311, Polled};

pub(super) fn new(config: &Config, room: usize) -> (AsyncClient, EventLoop) {
    let (host, port) = connect::place(config);
    let mut options = MqttOptions::new(&config.client_id, host, port);
    options.set_manual_acks(true);
    options.set_clean_session(true);
    options.set_inflight(IN_FLIGHT);
    options.set_max_packet_size(LARGEST_311, usize::MAX);
    let (client, mut ear) = AsyncClient::new(options, room);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_SECONDS);
    ear.set_network_options(network);
    (client, ear)
}

pub(super) fn prepare(
    options: &mut MqttOptions,
    config: &Config,
    asked: Asked,
    transport: Option<Transport>,
    login: Option<(&str, &str)>,
) {
    options.set_keep_alive(connect::keep_alive(config));
    if let Some(will) = &config.will {
        let (qos, retain) = (if asked.qos1 { QoS::AtLeastOnce } else { QoS::AtMostOnce }, will.retain && asked.retains);
        options.set_last_will(LastWill::new(&will.topic, will.payload.to_vec(), qos, retain));
    }
    if let Some(transport) = transport {
        options.set_transport(transport);
    }
    if let Some((user, password)) = login {
        options.set_credentials(user, password);
    }
}

const fn qos(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
    }
}

pub(super) fn ack(client: &AsyncClient, pkid: u16) -> bool {
    let mut publish = Publish::new("", QoS::AtLeastOnce, "");
    publish.pkid = pkid;
    client.try_ack(&publish).is_ok()
}

pub(super) fn publish(client: &AsyncClient, message: &Message) -> bool {
    let Message { topic, payload, retain, qos: at } = message;
    client.try_publish(topic.as_str(), qos(*at), *retain, payload.clone()).is_ok()
}

pub(super) fn subscribe(client: &AsyncClient, filters: &[String]) -> bool {
    client.try_subscribe_many(filters.iter().map(|path| SubscribeFilter::new(path.clone(), QoS::AtLeastOnce))).is_ok()
}

pub(super) fn polled(event: Event) -> Polled {
    match event {
        Event::Incoming(Packet::Publish(publish)) => Polled::Heard(Heard {
            pkid: (publish.qos == QoS::AtLeastOnce).then_some(publish.pkid),
            expiry: None,
            topic: Bytes::from(publish.topic),
            payload: publish.payload,
            retain: publish.retain,
        }),
        Event::Incoming(Packet::ConnAck(ack)) => Polled::Connected(Granted {
            session_present: ack.session_present,
            session_expiry: None,
            keep_alive: None,
            largest: None,
            receive_maximum: None,
            retains: true,
            wildcards: true,
            qos1: true,
        }),
        Event::Incoming(Packet::SubAck(ack)) => {
            let codes = ack.return_codes.iter().map(|code| match code {
                SubscribeReasonCode::Success(_) => Ok(()),
                SubscribeReasonCode::Failure => Err("Failure".to_owned()),
            });
            Polled::Subscribed(ack.pkid, codes.collect())
        }
        Event::Incoming(Packet::PubAck(_)) => Polled::Acknowledged,
        Event::Incoming(_) => Polled::Nothing,
        Event::Outgoing(out) => Polled::Sent(out),
    }
}

pub(super) fn failure(error: &ConnectionError) -> Failure {
    Failure::new(cause(error), error)
}

fn cause(error: &ConnectionError) -> Cause {
    use ConnectReturnCode::{BadUserNamePassword, NotAuthorized, RefusedProtocolVersion};
    match error {
        ConnectionError::ConnectionRefused(BadUserNamePassword | NotAuthorized) => Cause::LoginRefused,
        ConnectionError::ConnectionRefused(RefusedProtocolVersion) => Cause::Unsupported,
        // A broker of MQTT 5 alone may refuse in its own code.
        ConnectionError::MqttState(StateError::Deserialization(Error::InvalidConnectReturnCode(0x84))) => {
            Cause::Unsupported
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => Cause::PeerClosed,
        ConnectionError::MqttState(StateError::Deserialization(Error::PayloadSizeLimitExceeded(_))) => Cause::TooLarge,
        ConnectionError::Io(error)
        | ConnectionError::MqttState(StateError::Io(error) | StateError::Deserialization(Error::Io(error))) => {
            Cause::of_io(error)
        }
        ConnectionError::NetworkTimeout => Cause::Silent,
        _ => Cause::of_tls(error),
    }
}
