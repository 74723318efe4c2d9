//! The tenant behind HTTP on loopback, plain or with TLS of its own CA.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response as HttpResponse;
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::tenant::{At, Delivery, Request, Response, Settings, Tenant};
use crate::clock::Clock;

/// A client that does not finish its handshake in this time is gone.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// As many may be at it at once; more wait in the kernel's queue.
const HANDSHAKES: usize = 256;

/// What to start.
#[derive(Debug)]
pub struct Options {
    /// The tenant's time.
    pub clock: Clock,
    /// The tenant.
    pub settings: Settings,
    /// With a certificate for `localhost` and `127.0.0.1` by a CA made for this run, or in plain text.
    pub tls: bool,
}

/// A tenant of this process: Graph and token endpoint at one address.
#[derive(Debug)]
pub struct Sandbox {
    tenant: Arc<Mutex<Tenant>>,
    origin: String,
    ca_pem: Option<String>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    tenant: Arc<Mutex<Tenant>>,
    clock: Clock,
    scheme: &'static str,
}

impl Sandbox {
    /// Starts on a free port of loopback.
    ///
    /// # Errors
    /// There is none, or the certificate cannot be made.
    pub async fn start(options: Options) -> Result<Sandbox, String> {
        let tenant = Arc::new(Mutex::new(Tenant::new(options.settings)));
        let scheme = if options.tls { "https" } else { "http" };
        let shared = Shared { tenant: Arc::clone(&tenant), clock: options.clock, scheme };
        let router = Router::new().fallback(serve).with_state(shared);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(address).await.map_err(|error| format!("no port for the sandbox: {error}"))?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let (stop, mut stopped) = watch::channel(false);
        let ended = async move { drop(stopped.wait_for(|stop| *stop).await) };
        let (ca_pem, task) = if options.tls {
            let (acceptor, ca_pem) = certificate()?;
            let server = axum::serve(TlsListener { listener, acceptor, handshakes: JoinSet::new() }, router)
                .with_graceful_shutdown(ended);
            (Some(ca_pem), tokio::spawn(async move { drop(server.await) }))
        } else {
            let server = axum::serve(listener, router).with_graceful_shutdown(ended);
            (None, tokio::spawn(async move { drop(server.await) }))
        };
        Ok(Sandbox { tenant, origin: format!("{scheme}://127.0.0.1:{port}"), ca_pem, stop, task })
    }

    /// Where Graph is, without the version.
    #[must_use]
    pub fn graph_url(&self) -> String {
        self.origin.clone()
    }

    /// Where tokens come from.
    #[must_use]
    pub fn login_url(&self) -> String {
        self.origin.clone()
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

    /// Closes the port.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        drop(tokio::time::timeout(Duration::from_secs(1), &mut self.task).await);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> HttpResponse {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let request = Request {
        scheme: shared.scheme.to_owned(),
        method: method.to_string(),
        path: uri.path_and_query().map_or_else(String::new, ToString::to_string),
        authorization: text("authorization"),
        content_type: text("content-type"),
        client_request_id: text("client-request-id"),
        host: text("host").unwrap_or_default(),
        body: body.to_vec(),
    };
    let now = shared.clock.now();
    let at = At {
        virtual_ms: now.mono.as_millis(),
        wall_ms: now.wall.as_millis(),
        real_ms: shared.clock.real_wall().as_millis(),
    };
    let reply = {
        let mut tenant = shared.tenant.lock().unwrap_or_else(PoisonError::into_inner);
        tenant.handle(at, &request)
    };
    match reply.delivery {
        Delivery::Answer => respond(reply.response),
        Delivery::Late(span) => {
            tokio::time::sleep(span).await;
            respond(reply.response)
        }
        Delivery::Reset => reset(),
    }
}

fn respond(response: Response) -> HttpResponse {
    let mut built = HttpResponse::builder().status(response.status);
    for (name, value) in response.headers {
        built = built.header(name, value);
    }
    built.body(Body::from(response.body)).unwrap_or_else(|_| reset())
}

/// hyper closes the connection when a body fails before it has the length that was announced: no answer arrives whole,
/// and without Graph's headers the head says nothing.
fn reset() -> HttpResponse {
    let broken = Body::new(Broken);
    let mut response = HttpResponse::new(broken);
    *response.status_mut() = axum::http::StatusCode::BAD_GATEWAY;
    response
}

struct Broken;

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        std::task::Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
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

/// A CA for this run and a certificate by it, with what strict clients insist on.
fn certificate() -> Result<(TlsAcceptor, String), String> {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
    let failed = |error: rcgen::Error| format!("no certificate for the sandbox: {error}");
    let ca_key = KeyPair::generate().map_err(failed)?;
    let mut ca = CertificateParams::new(Vec::new()).map_err(failed)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key).map_err(failed)?;
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().map_err(failed)?;
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).map_err(failed)?;
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&key, &issuer).map_err(failed)?;
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key))
        .map_err(|error| format!("no TLS for the sandbox: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), ca_certificate.pem()))
}
