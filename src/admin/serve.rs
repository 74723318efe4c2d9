//! HTTP/1.1, GET only but for the socket, one request a connection, few connections, each of them short.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{Answer, Asked, Pause, Question};
use crate::presence::rule::door::duration;

/// Connections at a time; the next wait in the kernel's queue.
const CONNECTIONS: usize = 16;
/// For the head of a request.
const HEAD: Duration = Duration::from_secs(5);
/// For a whole connection.
const WHOLE: Duration = Duration::from_secs(10);
/// For the loop. It handles a batch of messages in a few milliseconds, a new list of 100,000 people in less than a second.
const PATIENCE: Duration = Duration::from_secs(3);
/// After a connection that could not be taken: out of file descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(100);
/// The least that hyper takes.
const BUFFER: usize = 8192;

const PLACES: &str = "/live, /ready, /metrics";
const NO_NAMES: &str = "the status names people, and anybody on this machine could ask here: use `presence-bridge status`, \
                        which asks through the socket of [admin]";

type Reply = Response<Full<Bytes>>;

/// What may be asked where a connection came in.
#[derive(Clone, Copy)]
struct Door {
    /// Also about people.
    names: bool,
    tcp: bool,
}

/// Both kinds of listener.
trait Accept: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        UnixListener::accept(self).await.map(|(stream, _)| stream)
    }
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        TcpListener::accept(self).await.map(|(stream, _)| stream)
    }
}

pub(super) async fn unix(listener: UnixListener, questions: mpsc::Sender<Asked>) {
    serve(listener, Door { names: true, tcp: false }, questions).await;
}

/// `names`: people may be asked about.
pub(super) async fn tcp(listener: TcpListener, names: bool, questions: mpsc::Sender<Asked>) {
    serve(listener, Door { names, tcp: true }, questions).await;
}

async fn serve(listener: impl Accept, door: Door, questions: mpsc::Sender<Asked>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok(stream) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let questions = questions.clone();
        tokio::spawn(async move {
            connection(stream, door, questions).await;
            drop(permit);
        });
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(stream: S, door: Door, questions: mpsc::Sender<Asked>) {
    let service = service_fn(|request| {
        let questions = questions.clone();
        async move { Ok::<_, Infallible>(answer(&request, door, questions).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    drop(tokio::time::timeout(WHOLE, served).await); // a client that went away, or took too long: its loss
}

async fn answer<B>(request: &Request<B>, door: Door, questions: mpsc::Sender<Asked>) -> Reply {
    if request.method() == Method::POST && !door.tcp {
        return match command(request.uri().path()) {
            Some(command) => reply(ask(command, questions).await),
            None => reply(Answer::text(404, "no such command, or not for so long: 1 s to 31 days\n")),
        };
    }
    if request.method() != Method::GET {
        let mut reply = reply(Answer::text(405, "GET only\n"));
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return reply;
    }
    let question = match request.uri().path() {
        "/live" => Question::Live,
        "/ready" => Question::Ready,
        "/metrics" => Question::Metrics,
        path => match person_or_status(path) {
            Some(question) if door.names && (!door.tcp || is_local(request)) => question,
            Some(_) => return reply(Answer::text(403, format!("{NO_NAMES}\n"))),
            None => return reply(Answer::text(404, format!("nothing here; there is {PLACES}\n"))),
        },
    };
    reply(ask(question, questions).await)
}

/// `/pause/NAME`, `/pause/NAME/SPAN`, `/resume/NAME`, `/forget/NAME`.
fn command(path: &str) -> Option<Question> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let name = percent_decoded(parts.get(1)?)?;
    match parts[..] {
        ["pause", _] => Some(Question::Pause(name, Pause::ForGood)),
        ["pause", _, span] => Some(Question::Pause(name, Pause::For(duration(&percent_decoded(span)?)?))),
        ["resume", _] => Some(Question::Pause(name, Pause::Off)),
        ["forget", _] => Some(Question::Forget(name)),
        _ => None,
    }
}

fn person_or_status(path: &str) -> Option<Question> {
    if path == "/status" {
        return Some(Question::Status);
    }
    if path == "/unmapped" {
        return Some(Question::Unmapped);
    }
    let name = path.strip_prefix("/status/")?;
    percent_decoded(name).map(Question::Person)
}

/// A page in a browser on this machine must not get here under a name of its own (DNS rebinding).
fn is_local<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn ask(question: Question, questions: mpsc::Sender<Asked>) -> Answer {
    let (answer, answered) = oneshot::channel();
    let asked = async move {
        questions.send(Asked { question, answer }).await.ok()?;
        answered.await.ok()
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Some(answer)) => answer,
        Ok(None) => Answer::text(503, "the bridge is stopping\n"),
        Err(_) => Answer::text(503, "the bridge's loop does not answer\n"),
    }
}

fn reply(answer: Answer) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(answer.body)));
    *reply.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(answer.kind));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte == b'%' {
            let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok()
}
