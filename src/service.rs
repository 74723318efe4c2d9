//! What a service manager is told: that the bridge is ready, reloads, stops, lives, and how it is in a few words.
//!
//! systemd's protocol is a datagram of lines to the socket that `NOTIFY_SOCKET` names. It is small and promised to stay, so
//! it is spoken here, without a library. Where there is no such socket nothing is said. Nothing here waits: a manager that
//! does not read loses what it did not read, and hears the next word of life.

use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// As much of a status as is told, bytes: it is one line for people.
const LONGEST: usize = 500;

/// The service manager, or nobody. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Manager {
    inner: Option<Arc<Inner>>,
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Inner {
    socket: UnixDatagram,
    address: SocketAddr,
    /// The status that was told last.
    status: Mutex<String>,
}

impl Manager {
    /// Who listens at `socket` (a path, or `@name` in the abstract name space), and ends the process after `watchdog` without
    /// a word of life.
    ///
    /// # Errors
    /// There can be no socket of that name.
    pub fn at(socket: &str, watchdog: Option<Duration>) -> Result<Manager, String> {
        let failed = |error| format!("the service manager cannot be told anything: NOTIFY_SOCKET={socket}: {error}");
        let address = address(socket).map_err(failed)?;
        let own = UnixDatagram::unbound().map_err(failed)?;
        own.set_nonblocking(true).map_err(failed)?;
        let inner = Inner { socket: own, address, status: Mutex::default() };
        Ok(Manager { inner: Some(Arc::new(inner)), watchdog })
    }

    /// How long the manager waits for a word of life; `None`: it does not.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.is_there())
    }

    /// Whether anybody is told anything.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.inner.is_some()
    }

    /// The bridge runs, or has finished reloading.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// The configuration is read again. `monotonic_micros`: now, on the clock that the manager compares with the time of
    /// its own signal.
    pub fn reloading(&self, monotonic_micros: u64) {
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={monotonic_micros}"));
    }

    /// The bridge is about to end.
    pub fn stopping(&self) {
        self.say("STOPPING=1\nWATCHDOG=1");
    }

    /// A word of life.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// How it is, for people; told only when it is something else than before.
    pub fn status(&self, text: &str) {
        let Some(inner) = &self.inner else { return };
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = &line[..line.floor_char_boundary(LONGEST)];
        let mut last = inner.status.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != line {
            line.clone_into(&mut last);
            self.say(&format!("STATUS={line}"));
        }
    }

    fn say(&self, lines: &str) {
        let Some(inner) = &self.inner else { return };
        if let Err(error) = inner.socket.send_to_addr(lines.as_bytes(), &inner.address) {
            tracing::debug!(%error, "The service manager did not take what it was told.");
        }
    }
}

#[cfg(target_os = "linux")]
fn address(socket: &str) -> std::io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(Path::new(socket)),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(socket: &str) -> std::io::Result<SocketAddr> {
    SocketAddr::from_pathname(Path::new(socket))
}
