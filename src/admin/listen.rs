//! Sockets that can be had, and words for those that cannot.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use crate::telemetry::{Event, Telemetry};

/// Binds `address`; port 0 is one that is free.
pub(super) fn tcp(address: SocketAddr, telemetry: &Telemetry) -> Option<(SocketAddr, TcpListener)> {
    let bound = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, TcpListener::from_std(listener)?))
    });
    let failed = |error: io::Error| Deaf {
        place: address.to_string(),
        error,
        remedy: "another program, or another bridge, listens there: give another address as listen in [admin], or \"off\"",
    };
    bound.map_err(|error| telemetry.tell(&failed(error))).ok()
}

/// Binds the first of `paths` whose directory is there or can be made.
pub(super) fn unix(paths: &[PathBuf], telemetry: &Telemetry) -> Option<(PathBuf, UnixListener)> {
    let mut last = None;
    for path in paths {
        match bind(path) {
            Ok(listener) => return Some((path.clone(), listener)),
            Err(error) => last = Some((path, error)),
        }
    }
    let (path, error) = last?;
    telemetry.tell(&Deaf {
        place: path.display().to_string(),
        error,
        remedy: "give a path that the bridge's user can write as socket in [admin], or \"off\"; `status` needs it",
    });
    None
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(dir) = path.parent()
        && !dir.as_os_str().is_empty()
        && !dir.exists()
    {
        std::fs::DirBuilder::new().mode(0o700).create(dir)?;
    }
    clear_away(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A socket that nobody listens on was left by a bridge that died.
fn clear_away(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Err(_) => Ok(()), // nothing is there
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket stands there"))
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another bridge of this client_id answers there"))
        }
        Ok(_) => std::fs::remove_file(path),
    }
}

/// Nobody can ask there.
struct Deaf {
    place: String,
    error: io::Error,
    remedy: &'static str,
}

impl Event for Deaf {
    const NAME: &'static str = "admin";

    fn reason(&self) -> &'static str {
        "not_listening"
    }

    fn log(&self, _: Option<u64>) {
        let (place, error, remedy) = (self.place.as_str(), &self.error, self.remedy);
        tracing::warn!(place, %error, remedy, "The bridge cannot be asked there how it is; it runs on without.");
    }
}
