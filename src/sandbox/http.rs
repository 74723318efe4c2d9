//! The tenant behind HTTP, plain or with TLS of its own CA.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response as HttpResponse;
use axum::serve::{IncomingStream, Listener};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::body::{Paced, Step};
use super::certificate::certificate;
use super::tenant::{At, Delivery, Request, Response, Settings, Tenant};
use super::time::Time;
use crate::clock::Clock;

/// A client that does not finish its handshake in this time is gone.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// As many may be at it at once; more wait in the kernel's queue.
const HANDSHAKES: usize = 256;
/// What was sent is on its way after this, before the connection is closed.
const FLUSH: Duration = Duration::from_millis(50);
/// A free port of loopback.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What to start on a free port of loopback.
#[derive(Debug)]
pub struct Options {
    /// The tenant's time.
    pub clock: Clock,
    /// The tenant.
    pub settings: Settings,
    /// With a certificate for `localhost` and `127.0.0.1` by a CA made for this run, or in plain text.
    pub tls: bool,
}

/// Where to listen.
#[derive(Clone, Debug, Default)]
pub struct Listen {
    /// With TLS.
    pub https: Option<SocketAddr>,
    /// In plain text.
    pub http: Option<SocketAddr>,
    /// Names and addresses for the certificate, beside those of loopback.
    pub names: Vec<String>,
}

/// A tenant of this process: Graph, token and identity endpoints at one address.
#[derive(Debug)]
pub struct Sandbox {
    tenant: Arc<Mutex<Tenant>>,
    time: Arc<Time>,
    https: Option<SocketAddr>,
    http: Option<SocketAddr>,
    ca_pem: Option<String>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    tenant: Arc<Mutex<Tenant>>,
    time: Arc<Time>,
    scheme: &'static str,
}

impl Sandbox {
    /// Starts on a free port of loopback.
    ///
    /// # Errors
    /// There is none, or the certificate cannot be made.
    pub async fn start(options: Options) -> Result<Sandbox, String> {
        let Options { clock, settings, tls } = options;
        let (https, http) = if tls { (Some(ANYWHERE), None) } else { (None, Some(ANYWHERE)) };
        Sandbox::listen(clock, settings, Listen { https, http, names: Vec::new() }).await
    }

    /// Starts at these addresses: one tenant, whichever way it is reached.
    ///
    /// # Errors
    /// An address is taken, or the certificate cannot be made.
    pub async fn listen(clock: Clock, settings: Settings, listen: Listen) -> Result<Sandbox, String> {
        let tenant = Arc::new(Mutex::new(Tenant::new(settings)));
        let (stop, stopped) = watch::channel(false);
        let time = Arc::new(Time::new(clock));
        let mut sandbox = Sandbox { tenant, time, https: None, http: None, ca_pem: None, stop, tasks: Vec::new() };
        if let Some(address) = listen.https {
            let (listener, address) = bind(address).await?;
            let (acceptor, ca_pem) = certificate(&listen.names)?;
            let listener = TlsListener { listener, acceptor, handshakes: JoinSet::new() };
            sandbox.tasks.push(sandbox.serve(listener, "https", stopped.clone()));
            (sandbox.https, sandbox.ca_pem) = (Some(address), Some(ca_pem));
        }
        if let Some(address) = listen.http {
            let (listener, address) = bind(address).await?;
            sandbox.tasks.push(sandbox.serve(listener, "http", stopped));
            sandbox.http = Some(address);
        }
        Ok(sandbox)
    }

    fn serve<L>(&self, listener: L, scheme: &'static str, mut stopped: watch::Receiver<bool>) -> JoinHandle<()>
    where
        L: Listener<Addr = SocketAddr>,
        for<'a> Peer: Connected<IncomingStream<'a, L>>,
    {
        let shared = Shared { tenant: Arc::clone(&self.tenant), time: Arc::clone(&self.time), scheme };
        let router = Router::new().fallback(answer).with_state(shared);
        let server = axum::serve(listener, router.into_make_service_with_connect_info::<Peer>());
        let server = server.with_graceful_shutdown(async move { drop(stopped.wait_for(|stop| *stop).await) });
        tokio::spawn(async move { drop(server.await) })
    }

    /// Where it listens with TLS.
    #[must_use]
    pub fn https(&self) -> Option<SocketAddr> {
        self.https
    }

    /// Where it listens in plain text.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where Graph is, without the version; with TLS where it has it.
    #[must_use]
    pub fn graph_url(&self) -> String {
        let secure = self.https.map(|address| format!("https://{address}"));
        secure.or_else(|| self.http.map(|address| format!("http://{address}"))).unwrap_or_default()
    }

    /// Where tokens come from.
    #[must_use]
    pub fn login_url(&self) -> String {
        self.graph_url()
    }

    /// The CA to trust, if it speaks TLS.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The tenant itself: evidence and faults.
    #[must_use]
    pub fn tenant(&self) -> &Arc<Mutex<Tenant>> {
        &self.tenant
    }

    /// The tenant's time, as it is for a request that arrives now.
    #[must_use]
    pub fn at(&self) -> At {
        self.time.at()
    }

    /// What a colleague sees now, as `availability/activity`.
    #[must_use]
    pub fn seen(&self, user: &str) -> String {
        lock(&self.tenant).seen(self.at().virtual_ms, user).to_string()
    }

    /// Closes the ports.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in &mut self.tasks {
            drop(tokio::time::timeout(Duration::from_secs(1), task).await);
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn lock(tenant: &Mutex<Tenant>) -> MutexGuard<'_, Tenant> {
    tenant.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let failed = |error: io::Error| format!("the sandbox cannot listen at {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn answer(
    State(shared): State<Shared>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> HttpResponse {
    let request = request(shared.scheme, &method, &uri, &headers, &body);
    if uri.path() == "/_sim" || uri.path().starts_with("/_sim/") {
        return respond(control(&shared, peer, &request));
    }
    let reply = lock(&shared.tenant).handle(shared.time.at(), &request);
    match reply.delivery {
        Delivery::Answer => respond(reply.response),
        Delivery::Late(span) => {
            tokio::time::sleep(span).await;
            respond(reply.response)
        }
        Delivery::Halting(span) => halved(reply.response, vec![Step::wait(span)]),
        Delivery::Cut => halved(reply.response, vec![Step::wait(FLUSH), Step::Break]),
        Delivery::Reset => reset(),
    }
}

fn request(scheme: &str, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Request {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // HTTP/2 has no Host header, but an authority.
    let host = text("host").or_else(|| uri.authority().map(ToString::to_string));
    Request {
        scheme: scheme.to_owned(),
        method: method.to_string(),
        path: uri.path_and_query().map_or_else(String::new, ToString::to_string),
        authorization: text("authorization"),
        content_type: text("content-type"),
        client_request_id: text("client-request-id"),
        metadata: text("metadata"),
        identity_header: text("x-identity-header"),
        host: host.unwrap_or_default(),
        body: body.to_vec(),
    }
}

/// Whoever may say what goes wrong is on this machine.
fn control(shared: &Shared, peer: SocketAddr, request: &Request) -> Response {
    if !peer.ip().to_canonical().is_loopback() {
        return Response::json(403, &json!({ "error": "/_sim is for this machine only" }));
    }
    if request.path.split('?').next() == Some("/_sim/clock") {
        return shared.time.control(&request.method, &request.body);
    }
    lock(&shared.tenant).control(shared.time.at(), request)
}

fn respond(response: Response) -> HttpResponse {
    let Response { status, headers, body } = response;
    build(status, headers, Body::from(body))
}

fn build(status: u16, headers: Vec<(String, String)>, body: Body) -> HttpResponse {
    let mut built = HttpResponse::builder().status(status);
    for (name, value) in headers {
        built = built.header(name, value);
    }
    built.body(body).unwrap_or_else(|_| reset())
}

/// The head and half of the body at once; then something else.
fn halved(response: Response, then: Vec<Step>) -> HttpResponse {
    let Response { status, headers, body } = response;
    let mut first = Bytes::from(body);
    let second = first.split_off(first.len() / 2);
    let steps = std::iter::once(Step::Send(first)).chain(then).chain([Step::Send(second)]);
    build(status, headers, Body::new(Paced::new(steps)))
}

/// No answer arrives whole, and without Graph's headers the head says nothing.
fn reset() -> HttpResponse {
    let mut response = HttpResponse::new(Body::new(Paced::new([Step::Break])));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Peer(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Peer(*stream.remote_addr())
    }
}

/// Shakes hands beside the accept loop, so that a client that says nothing keeps nobody waiting.
struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let room = self.handshakes.len() < HANDSHAKES;
            tokio::select! {
                // axum's own accept waits a second after a failure that is not the client's.
                (stream, address) = Listener::accept(&mut self.listener), if room => {
                    let handshake = tokio::time::timeout(HANDSHAKE, self.acceptor.accept(stream));
                    self.handshakes.spawn(async move { Some((handshake.await.ok()?.ok()?, address)) });
                }
                Some(done) = self.handshakes.join_next() => {
                    // A client that does not trust us ends here; the next one may.
                    if let Ok(Some(accepted)) = done {
                        return accepted;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(&self.listener)
    }
}
