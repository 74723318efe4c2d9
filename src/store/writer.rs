//! The thread that writes. One record at a time; an answer to each.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::UnboundedSender;

use super::file::{HEAD, framed, mark_for, whole};
use super::{FILE, InUse, Record, Written, lock, report};
use crate::telemetry::Telemetry;

/// A file shorter than this is never written anew: what is saved would not be worth a write.
const SHORT: u64 = 4 << 20;

pub(super) struct Writer {
    dir: PathBuf,
    /// Held, not used.
    lock: Option<File>,
    log: Option<Log>,
    telemetry: Telemetry,
}

/// The file that is there, of which every byte is known to be on disk.
struct Log {
    file: File,
    count: u64,
    end: u64,
    /// How long it was when it was new.
    began: u64,
}

impl Writer {
    pub(super) fn new(dir: &Path, lock: Option<File>, telemetry: Telemetry) -> Self {
        Writer { dir: dir.to_owned(), lock, log: None, telemetry }
    }

    /// Until nobody hands over records any more.
    pub(super) fn run(mut self, records: &std::sync::mpsc::Receiver<Record>, told: &UnboundedSender<Written>) {
        while let Ok(record) = records.recv() {
            let written = match self.write(&record) {
                Ok(long) => {
                    report::written(&self.telemetry);
                    Written::Durable { long }
                }
                Err(error) => {
                    self.log = None; // what it holds by now is not known
                    report::not_written(&self.telemetry, &self.dir, &error);
                    Written::Failed
                }
            };
            if told.send(written).is_err() {
                return;
            }
        }
    }

    /// Whether the file has grown long.
    fn write(&mut self, record: &Record) -> io::Result<bool> {
        if record.changes.whole {
            self.log = None;
            self.log = Some(self.begin(record)?);
        }
        let Some(log) = &mut self.log else {
            return Err(io::Error::other("what was written before is lost"));
        };
        if !record.changes.whole {
            log.append(record)?;
        }
        Ok(log.end > SHORT.max(log.began.saturating_mul(2)))
    }

    /// A new file, under another name until it is whole and on disk.
    fn begin(&mut self, record: &Record) -> io::Result<Log> {
        if !self.dir.exists() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
            self.lock = None; // it was in the directory that is gone
        }
        if self.lock.is_none() {
            self.lock = lock(&self.dir).map_err(|in_use: InUse| io::Error::other(in_use))?;
        }
        let (path, new) = (self.dir.join(FILE), self.dir.join(FILE).with_extension("new"));
        let bytes = whole(record)?;
        let written = || -> io::Result<File> {
            drop(std::fs::remove_file(&new)); // a leftover would keep its own mode
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all_at(&bytes, 0)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(&self.dir)?.sync_all()?;
            Ok(file)
        };
        let file = written().inspect_err(|_| drop(std::fs::remove_file(&new)))?;
        let end = bytes.len() as u64;
        debug_assert!(bytes.len() > HEAD);
        Ok(Log { file, count: 1, end, began: end })
    }
}

impl Log {
    fn append(&mut self, record: &Record) -> io::Result<()> {
        if self.file.metadata()?.nlink() == 0 {
            return Err(io::Error::other("somebody removed the file"));
        }
        let count = self.count + 1;
        let bytes = framed(record, count)?;
        self.file.write_all_at(&bytes, self.end)?;
        self.file.sync_data()?;
        let end = self.end + bytes.len() as u64;
        let (at, mark) = mark_for(count, end);
        self.file.write_all_at(&mark, at)?;
        (self.count, self.end) = (count, end);
        Ok(())
    }
}
