//! The journal: what must outlive the process, on disk before the message that caused it is acknowledged.
//!
//! A log, not a database, because everything in it lies in the core's memory anyway: it is read once, at the start, and
//! otherwise only appended to. One write is one record, whole or not there at all, with a checksum over every byte of it;
//! what gathered while the disk was busy with the last is the next. Grown long, the file is written anew under another
//! name and renamed, so that at every instant one whole file is there.
//!
//! What it protects on the next start: a record that is broken off at the end was never acknowledged, and is left out. A
//! record that was, and cannot be read, is damage: then nothing of the file is believed, it is set aside, and the bridge
//! begins with nothing, as on its first day. An old state that looks like the newest would keep people in calls that ended.
//! `file` says how the two are told apart.
//!
//! Nothing here stops the bridge, except a second one in the same directory: without a journal it runs from memory, with an
//! alarm.

mod file;
mod report;
mod writer;

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use self::file::Unreadable;
pub use self::file::VERSION;
use self::writer::Writer;
use crate::presence::{Changes, Snapshot};
use crate::telemetry::Telemetry;

/// The journal in the state directory.
const FILE: &str = "journal";
/// Held by the process that writes it.
const LOCK: &str = "journal.lock";
/// A disk that has not answered by then is not waited for at the end.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many damaged ones are kept beside it.
const MOST_ASIDE: u32 = 9;

/// One write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Which boot of the machine the clock since boot counts from; `None`: not known, and never the same.
    pub boot: Option<String>,
    /// The process ended after it, and waited for its calls.
    pub clean: bool,
    /// Names of the brokers, by their places in `changes`.
    pub sources: Vec<String>,
    /// What changed.
    pub changes: Changes,
}

/// What an earlier process left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// As in the last [`Record`].
    pub boot: Option<String>,
    /// As in the last [`Record`].
    pub clean: bool,
    /// As in the last [`Record`].
    pub sources: Vec<String>,
    /// Everything.
    pub snapshot: Snapshot,
}

/// Another process has the journal of this directory open. Exit code 1; nothing was touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InUse {
    dir: PathBuf,
}

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.dir.display();
        write!(
            f,
            "another bridge keeps its state in {dir} (it holds {LOCK} there): stop that one, or give this one a directory \
             of its own as dir in [state]"
        )
    }
}

impl std::error::Error for InUse {}

/// Writes, one record after the other, on a thread of its own.
#[derive(Debug)]
pub struct Store {
    /// Taken when it is dropped, which ends the thread.
    records: Option<std::sync::mpsc::Sender<Record>>,
    /// Says nothing; closed when the thread has let go of everything.
    ended: std::sync::mpsc::Receiver<()>,
    written: mpsc::UnboundedReceiver<Written>,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is on disk.
    Durable {
        /// The file has grown long: the next record should be everything there is.
        long: bool,
    },
    /// It is not, and nothing more will be until a record of everything is written.
    Failed,
}

impl Store {
    /// Takes the next record, after the last was answered. [`Store::written`] says how it went.
    pub fn write(&self, record: Record) {
        if let Some(records) = &self.records {
            drop(records.send(record)); // the thread ends only when this is dropped
        }
    }

    /// Ready when the last record was written, or could not be. Safe to cancel.
    pub async fn written(&mut self) -> Written {
        match self.written.recv().await {
            Some(written) => written,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Store {
    /// Lets the last write end, and another process have the directory; but does not wait for a disk that hangs.
    fn drop(&mut self) {
        self.records = None;
        let _ended_or_not = self.ended.recv_timeout(PATIENCE);
    }
}

/// Opens the journal of a directory: what can be written, and what was found. The first record must be everything there is.
/// No [`Store`] where the file there must be left as it is: it is of a newer version, or nobody may read it.
///
/// # Errors
/// Another process has it open.
pub fn open(dir: &Path, telemetry: &Telemetry) -> Result<(Option<Store>, Option<Found>), InUse> {
    let path = dir.join(FILE);
    let lock = lock(dir)?;
    let found = match file::read(&path) {
        Ok(found) => found,
        Err(unreadable) => {
            let left = match unreadable {
                Unreadable::Damaged(why) => set_aside(&path).map(|aside| report::set_aside(&path, &aside, &why)),
                other => Err(other.to_string()),
            };
            match left {
                Ok(alarm) => telemetry.raise(alarm),
                Err(why) => {
                    telemetry.raise(report::left_alone(&path, &why));
                    return Ok((None, None));
                }
            }
            None
        }
    };
    let (records, taken) = std::sync::mpsc::channel();
    let (told, written) = mpsc::unbounded_channel();
    let writer = Writer::new(dir, lock, telemetry.clone());
    let thread = std::thread::Builder::new().name("journal".to_owned());
    let (ends, ended) = std::sync::mpsc::channel::<()>();
    let run = move || {
        writer.run(&taken, &told);
        drop(ends);
    };
    if let Err(error) = thread.spawn(run) {
        telemetry.raise(report::left_alone(&path, &format!("no thread for it: {error}")));
        return Ok((None, found));
    }
    Ok((Some(Store { records: Some(records), ended, written }), found))
}

/// The lock, where there can be one: a directory that cannot be written to is nobody else's to write to either.
fn lock(dir: &Path) -> Result<Option<File>, InUse> {
    let open = || -> io::Result<File> {
        if !dir.exists() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.join(LOCK))
    };
    let Ok(file) = open() else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(_)) => Ok(None), // a file system without locks
    }
}

/// Gives a damaged file another name, so that somebody can look at it; its new name.
fn set_aside(path: &Path) -> Result<PathBuf, String> {
    let names = (1..=MOST_ASIDE).map(|n| path.with_extension(format!("corrupt-{n}")));
    let Some(free) = names.into_iter().find(|name| !name.exists()) else {
        return Err(format!(
            "it is damaged, and {MOST_ASIDE} damaged ones lie beside it already: look at them, and remove them"
        ));
    };
    std::fs::rename(path, &free).map_err(|error| format!("it is damaged, and cannot be renamed: {error}"))?;
    Ok(free)
}
