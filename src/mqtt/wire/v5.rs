//! MQTT 5 in rumqttc's words.

use rumqttc::Transport;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, DisconnectReasonCode, Filter, LastWill, Packet, Publish, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};

use super::super::failure::{Cause, Failure};
use super::super::{Config, Message, Qos, Session, connect};
use super::{Asked, CONNECT_SECONDS, Granted, Heard, IN_FLIGHT, Polled};

pub(super) fn new(config: &Config, room: usize) -> (AsyncClient, EventLoop) {
    let (host, port) = connect::place(config);
    let mut options = MqttOptions::new(&config.client_id, host, port);
    options.set_connection_timeout(CONNECT_SECONDS);
    options.set_manual_acks(true);
    options.set_max_packet_size(Some(config.max_packet_size));
    options.set_receive_maximum(Some(config.receive_maximum.max(1)));
    options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
    let mut network = options.network_options();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    AsyncClient::new(options, room)
}

pub(super) fn prepare(
    options: &mut MqttOptions,
    config: &Config,
    asked: Asked,
    transport: Option<Transport>,
    login: Option<(&str, &str)>,
) {
    options.set_keep_alive(connect::keep_alive(config));
    match config.session {
        Session::Persistent { expiry } => {
            options.set_clean_start(false);
            options.set_session_expiry_interval(Some(u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX)));
        }
        Session::Clean => {
            options.set_clean_start(true);
        }
    }
    if let Some(will) = &config.will {
        let (qos, retain) =
            (qos(if asked.qos1 { Qos::AtLeastOnce } else { Qos::AtMostOnce }), will.retain && asked.retains);
        options.set_last_will(LastWill::new(&will.topic, will.payload.to_vec(), qos, retain, None));
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
    let mut publish = Publish::new("", QoS::AtLeastOnce, "", None);
    publish.pkid = pkid;
    client.try_ack(&publish).is_ok()
}

pub(super) fn publish(client: &AsyncClient, message: &Message) -> bool {
    let Message { topic, payload, retain, qos: at } = message;
    client.try_publish(topic.as_str(), qos(*at), *retain, payload.clone()).is_ok()
}

pub(super) fn subscribe(client: &AsyncClient, filters: &[String]) -> bool {
    client.try_subscribe_many(filters.iter().map(|path| Filter::new(path.as_str(), QoS::AtLeastOnce))).is_ok()
}

pub(super) fn polled(event: Event) -> Polled {
    match event {
        Event::Incoming(Packet::Publish(publish)) => Polled::Heard(Heard {
            pkid: (publish.qos == QoS::AtLeastOnce).then_some(publish.pkid),
            expiry: publish.properties.as_ref().and_then(|properties| properties.message_expiry_interval),
            topic: publish.topic,
            payload: publish.payload,
            retain: publish.retain,
        }),
        Event::Incoming(Packet::ConnAck(ack)) => Polled::Connected(granted(&ack)),
        Event::Incoming(Packet::SubAck(ack)) => subscribed(&ack),
        Event::Incoming(Packet::PubAck(_)) => Polled::Acknowledged,
        Event::Incoming(_) => Polled::Nothing,
        Event::Outgoing(out) => Polled::Sent(out),
    }
}

fn granted(ack: &ConnAck) -> Granted {
    let said = ack.properties.as_ref();
    Granted {
        session_present: ack.session_present,
        session_expiry: said.and_then(|said| said.session_expiry_interval),
        keep_alive: said.and_then(|said| said.server_keep_alive),
        largest: said.and_then(|said| said.max_packet_size),
        receive_maximum: said.and_then(|said| said.receive_max),
        retains: said.and_then(|said| said.retain_available) != Some(0),
        wildcards: said.and_then(|said| said.wildcard_subscription_available) != Some(0),
        qos1: said.and_then(|said| said.max_qos) != Some(0),
    }
}

fn subscribed(ack: &SubAck) -> Polled {
    let codes = ack.return_codes.iter().map(|code| match code {
        SubscribeReasonCode::Success(_) => Ok(()),
        refused => Err(format!("{refused:?}")),
    });
    Polled::Subscribed(ack.pkid, codes.collect())
}

pub(super) fn failure(error: &ConnectionError) -> Failure {
    Failure::new(cause(error), error)
}

fn cause(error: &ConnectionError) -> Cause {
    match error {
        ConnectionError::ConnectionRefused(code) => refused(*code),
        ConnectionError::MqttState(StateError::ConnFail { reason }) => refused(*reason),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => match reason_code {
            DisconnectReasonCode::SessionTakenOver => Cause::TakenOver,
            DisconnectReasonCode::NotAuthorized => Cause::LoginRefused,
            _ => Cause::Other,
        },
        ConnectionError::MqttState(StateError::ConnectionAborted) => Cause::PeerClosed,
        ConnectionError::MqttState(
            StateError::Deserialization(Error::PayloadSizeLimitExceeded { .. })
            | StateError::IncomingPacketTooLarge { .. },
        ) => Cause::TooLarge,
        ConnectionError::Io(error)
        | ConnectionError::MqttState(StateError::Io(error) | StateError::Deserialization(Error::Io(error))) => {
            Cause::of_io(error)
        }
        ConnectionError::Timeout(_) => Cause::Silent,
        _ => Cause::of_tls(error),
    }
}

fn refused(code: ConnectReturnCode) -> Cause {
    use ConnectReturnCode as Code;
    match code {
        Code::BadUserNamePassword | Code::NotAuthorized | Code::Banned | Code::BadAuthenticationMethod => {
            Cause::LoginRefused
        }
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => Cause::Unsupported,
        Code::RetainNotSupported => Cause::RetainRefused,
        Code::QoSNotSupported => Cause::QosRefused,
        _ => Cause::Other,
    }
}

/// Bytes that a publish of ours takes.
pub(super) fn size(message: &Message) -> usize {
    Publish::new(message.topic.as_str(), qos(message.qos), message.payload.clone(), None).size()
}
