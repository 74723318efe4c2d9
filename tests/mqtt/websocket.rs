//! MQTT over WebSocket. Debian's mosquitto may be built without; so a gate of a page stands in front of the embedded
//! broker: enough of RFC 6455 to open, and frames of one kind.

use std::sync::Arc;

use presence_bridge::mqtt::{Address, Config, Event, Protocol, TlsConfig};
use presence_bridge::presence::Link;
use presence_bridge::sandbox::broker::Broker;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::protocols::speaking;
use super::transports::passes;
use super::{config, next, start, up};
use crate::support::until;

/// RFC 3174, for the one answer that a WebSocket client checks.
fn sha1(text: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = text.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((u64::try_from(text.len()).unwrap() * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut w: Vec<u32> = block.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        for i in 16..80 {
            w.push((w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in w.into_iter().enumerate() {
            let (f, k) = match i / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999_u32),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (kept, new) in state.iter_mut().zip([a, b, c, d, e]) {
            *kept = kept.wrapping_add(new);
        }
    }
    std::array::from_fn(|n| state[n / 4].to_be_bytes()[n % 4])
}

/// Answers the opening; its request line is returned.
async fn open(reader: &mut (impl AsyncBufReadExt + Unpin), writer: &mut (impl AsyncWrite + Unpin)) -> String {
    use base64::Engine;
    let (mut request, mut key) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await.unwrap();
        if line.trim().is_empty() {
            break;
        }
        if request.is_empty() {
            request = line.clone();
        }
        if let Some(value) = line.to_lowercase().strip_prefix("sec-websocket-key:").map(str::len) {
            key = line[line.len() - value..].trim().to_owned();
        }
    }
    let accept = sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes());
    let accept = base64::engine::general_purpose::STANDARD.encode(accept);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    writer.write_all(answer.as_bytes()).await.unwrap();
    request
}

/// The content of the next frame of a client, unmasked; `None` at the end.
async fn frame(reader: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut head = [0; 2];
    reader.read_exact(&mut head).await.ok()?;
    let length = match head[1] & 0x7f {
        126 => usize::from(reader.read_u16().await.ok()?),
        short => usize::from(short),
    };
    let mut mask = [0; 4];
    reader.read_exact(&mut mask).await.ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.ok()?;
    body.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    (head[0] & 0x0f == 2).then_some(body)
}

async fn carry(client: impl AsyncRead + AsyncWrite + Send + 'static, broker: u16) {
    let (reader, mut writer) = tokio::io::split(client);
    let mut reader = BufReader::new(reader);
    assert!(open(&mut reader, &mut writer).await.starts_with("GET /mqtt "), "the path of the URL");
    let (mut from, mut to) = TcpStream::connect(("127.0.0.1", broker)).await.unwrap().into_split();
    let back = async move {
        let mut bytes = [0; 100];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            let frame = [&[0x82, u8::try_from(length).unwrap()], &bytes[..length]].concat();
            if writer.write_all(&frame).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    let forth = async {
        while let Some(body) = frame(&mut reader).await {
            if to.write_all(&body).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = forth => {}
        () = back => {}
    }
}

/// In front of a broker, with TLS or without: its port.
async fn gate(broker: u16, tls: Option<TlsAcceptor>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            match tls.clone() {
                None => drop(tokio::spawn(carry(socket, broker))),
                Some(tls) => drop(tokio::spawn(async move {
                    if let Ok(socket) = tls.accept(socket).await {
                        carry(socket, broker).await;
                    }
                })),
            }
        }
    });
    port
}

/// A certificate for 127.0.0.1 that is its own CA, PEM.
fn acceptor() -> (TlsAcceptor, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), certificate.pem())
}

fn through(port: u16, tls: Option<TlsConfig>) -> Config {
    let address = Address::WebSocket { host: "127.0.0.1".into(), port, path: "/mqtt".into() };
    Config { address, tls, ..config(port, "websocket") }
}

#[tokio::test]
async fn messages_pass_over_websockets_in_both_versions() {
    let broker = Broker::start(0).await.unwrap();
    let port = gate(broker.port(), None).await;
    for protocol in [Protocol::V5, Protocol::V311] {
        passes(speaking(protocol, through(port, None))).await;
    }
}

#[tokio::test]
async fn and_over_tls_with_the_right_ca_only() {
    let broker = Broker::start(0).await.unwrap();
    let (acceptor, pem) = acceptor();
    let port = gate(broker.port(), Some(acceptor)).await;
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, pem).unwrap();
    let right = TlsConfig { ca_file: Some(ca_file), client: None };
    for protocol in [Protocol::V5, Protocol::V311] {
        passes(speaking(protocol, through(port, Some(right.clone())))).await;
        let wrong = TlsConfig { ca_file: None, client: None };
        let (handle, mut events, telemetry) = start(speaking(protocol, through(port, Some(wrong))));
        until("it is refused", || telemetry.total("mqtt_lost", "certificate_unknown_issuer") > 0).await;
        assert!(events.try_next().is_none());
        handle.stop(None).await;
    }
}

#[tokio::test]
async fn a_broker_that_ends_is_noticed_at_once() {
    for protocol in [Protocol::V5, Protocol::V311] {
        let broker = Broker::start(0).await.unwrap();
        let port = gate(broker.port(), None).await;
        let (handle, mut events, _) = start(speaking(protocol, through(port, None)));
        up(&mut events).await;
        broker.stop().await;
        while !matches!(next(&mut events).await, Event::Link(Link::Down)) {}
        handle.stop(None).await;
    }
}
