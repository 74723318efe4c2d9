//! Says how the bridge is: over a Unix socket for `status`, over HTTP on loopback for probes and metrics.
//!
//! The server knows nothing. It asks the loop, which owns everything, one question at a time, and a loop that does not
//! answer is not alive. Over TCP only reading is possible; what changes something (a pause, to be forgotten) is taken through the
//! socket alone. Who is where on a machine is told through the socket, which belongs to the bridge's user; the TCP port, which anybody on the machine may
//! ask, has no names, unless there is no socket and the port is on loopback.

mod client;
mod listen;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

pub use self::client::{Address, ask, tell};
use crate::telemetry::Telemetry;

/// Where to be asked.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// TCP, for probes and metrics.
    pub listen: Option<SocketAddr>,
    /// Unix sockets: the first that can be had.
    pub sockets: Vec<PathBuf>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether the loop answers at all.
    Live,
    /// Whether people can be set now.
    Ready,
    /// Counters and gauges.
    Metrics,
    /// Everything but people one by one.
    Status,
    /// Whom messages name and nobody knows.
    Unmapped,
    /// Why somebody shows what they show.
    Person(String),
    /// Somebody is to be paused, or to go on.
    Pause(String, Pause),
    /// What devices said of somebody is to be forgotten.
    Forget(String),
}

/// How long a pause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// So long from now on.
    For(Duration),
    /// Until somebody says otherwise.
    ForGood,
    /// It ends.
    Off,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its media type.
    pub kind: &'static str,
    /// What it says.
    pub body: String,
}

impl Answer {
    /// Plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Answer { status, kind: "text/plain; charset=utf-8", body: body.into() }
    }

    /// JSON.
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Answer { status, kind: "application/json", body: body.to_string() }
    }

    /// Prometheus's text format.
    #[must_use]
    pub fn metrics(body: String) -> Self {
        Answer { status: 200, kind: "text/plain; version=0.0.4; charset=utf-8", body }
    }
}

/// A question that waits for its answer.
#[derive(Debug)]
pub struct Asked {
    /// It.
    pub question: Question,
    answer: oneshot::Sender<Answer>,
}

impl Asked {
    /// Gives it.
    pub fn answer(self, answer: Answer) {
        drop(self.answer.send(answer)); // whoever asked is gone
    }
}

/// Questions, in order. The server ends, and its socket goes, when this is dropped.
#[derive(Debug)]
pub struct Questions {
    questions: mpsc::Receiver<Asked>,
    /// Never ends by itself where nothing listens.
    _own: mpsc::Sender<Asked>,
    _listeners: JoinSet<()>,
    socket: Option<PathBuf>,
    listens: Option<SocketAddr>,
}

/// Listens where `config` says, as far as that can be had; what cannot is told, and the bridge runs without.
#[must_use]
pub fn start(config: &Config, telemetry: &Telemetry) -> Questions {
    let (sender, questions) = mpsc::channel(1);
    let mut listeners = JoinSet::new();
    let mut socket = None;
    if let Some((path, listener)) = listen::unix(&config.sockets, telemetry) {
        listeners.spawn(serve::unix(listener, sender.clone()));
        socket = Some(path);
    }
    let mut listens = None;
    if let Some((address, listener)) = config.listen.and_then(|address| listen::tcp(address, telemetry)) {
        let names = config.sockets.is_empty() && address.ip().is_loopback();
        listeners.spawn(serve::tcp(listener, names, sender.clone()));
        listens = Some(address);
    }
    let shown = (socket.as_ref().map(|path| path.display()), listens);
    tracing::info!(
        socket = shown.0.map(tracing::field::display),
        http = shown.1.map(tracing::field::display),
        "Can be asked how it is."
    );
    Questions { questions, _own: sender, _listeners: listeners, socket, listens }
}

impl Questions {
    /// The next one. Safe to cancel.
    pub async fn next(&mut self) -> Option<Asked> {
        self.questions.recv().await
    }

    /// Where HTTP is served, if anywhere.
    #[must_use]
    pub fn listens(&self) -> Option<SocketAddr> {
        self.listens
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        if let Some(path) = &self.socket {
            drop(std::fs::remove_file(path)); // what is left behind is cleared away at the next start
        }
    }
}
