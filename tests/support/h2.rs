//! A Graph that speaks HTTP/2 over TLS, and can misbehave in the ways of HTTP/2. It counts its connections.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::entra::token;

/// What is done with the next call to presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Play {
    /// GOAWAY, and the call is lost.
    GoAway,
    /// RST_STREAM, REFUSED_STREAM.
    Refuse,
    /// Nothing on this connection is ever answered again, not even a PING.
    Silence,
    /// This status, by Graph.
    Status(u16),
}

#[derive(Clone)]
pub struct Server {
    pub port: u16,
    pub ca: Arc<tempfile::NamedTempFile>,
    state: Arc<State>,
}

type Told = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct State {
    told: Mutex<Option<Told>>,
    connections: AtomicUsize,
    calls: AtomicUsize,
    plays: Mutex<VecDeque<Play>>,
    /// Headers of the last call.
    headers: Mutex<HeaderMap>,
    answer_after: Duration,
}

impl Server {
    /// With a certificate for `localhost` and `graph.test`. `streams`: as many calls at a time on one connection.
    pub async fn start(streams: u32, answer_after: Duration) -> Server {
        let (acceptor, pem) = certificate();
        let mut ca = tempfile::NamedTempFile::new().unwrap();
        ca.write_all(pem.as_bytes()).unwrap();
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { answer_after, ..State::default() });
        let served = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, acceptor.clone(), Arc::clone(&served), streams));
            }
        });
        Server { port, ca: Arc::new(ca), state }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub fn play(&self, play: Play) {
        self.state.plays.lock().unwrap_or_else(PoisonError::into_inner).push_back(play);
    }

    /// Connections so far, those for tokens included.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Calls to presence that arrived.
    pub fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// To be told of each call.
    pub fn on_call(&self, told: impl Fn() + Send + Sync + 'static) {
        *self.state.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(told));
    }

    pub fn headers(&self) -> HeaderMap {
        self.state.headers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<State>, streams: u32) {
    state.connections.fetch_add(1, Ordering::SeqCst);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(streams);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if request.uri().path().ends_with("/token") {
            let serial = state.calls.load(Ordering::SeqCst);
            let token = token(Duration::from_secs(3599), serial, &serde_json::Value::Null);
            let body = serde_json::json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": token });
            send(&mut respond, 200, &body.to_string());
            continue;
        }
        state.calls.fetch_add(1, Ordering::SeqCst);
        if let Some(told) = &*state.told.lock().unwrap_or_else(PoisonError::into_inner) {
            told();
        }
        let headers = request.headers().clone();
        *state.headers.lock().unwrap_or_else(PoisonError::into_inner) = headers;
        let play = state.plays.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match play {
            Some(Play::GoAway) => connection.abrupt_shutdown(h2::Reason::NO_ERROR),
            Some(Play::Refuse) => respond.send_reset(h2::Reason::REFUSED_STREAM),
            Some(Play::Silence) => std::future::pending().await,
            Some(Play::Status(status)) => send(&mut respond, status, ""),
            None => {
                tokio::spawn(answer(request, respond, state.answer_after));
            }
        }
    }
}

/// When the request is whole, and after a while.
async fn answer(request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>, after: Duration) {
    let mut body = request.into_body();
    while let Some(Ok(part)) = body.data().await {
        drop(body.flow_control().release_capacity(part.len()));
    }
    tokio::time::sleep(after).await;
    send(&mut respond, 200, "");
}

fn send(respond: &mut h2::server::SendResponse<Bytes>, status: u16, body: &str) {
    let head = Response::builder().status(status).header("request-id", "id-1").body(()).unwrap();
    if let Ok(mut stream) = respond.send_response(head, false) {
        drop(stream.send_data(Bytes::from(body.to_owned()), true));
    }
}

fn certificate() -> (TlsAcceptor, String) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "graph.test".to_owned()];
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), pem)
}
