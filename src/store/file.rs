//! How the journal lies on disk.
//!
//! ```text
//! 0     magic, version, the oldest version that can read it, checksum
//! 512   mark A: so many records are durable, and end there; checksum
//! 1024  mark B: the same, one write older or newer
//! 4096  record 1: length, number, checksum, JSON
//!       record 2 …
//! ```
//!
//! Only what ends a log can be broken by a crash, and only what a write has not answered yet. So after each write the
//! marks say how far the file is known to be good, in turn, so that one is whole whatever happens to the other. What
//! lies before the mark must be there and right, or the file is damaged: cut off, or changed. What lies behind it counts
//! if it is whole. The mark itself is not waited for: it goes to disk with the next write, or some seconds later.

use std::fmt;
use std::hash::Hasher;
use std::io;
use std::path::Path;

use siphasher::sip::SipHasher13;

use super::{Found, Record};
use crate::presence::Folded;

/// The format that is written. A new field of JSON is no new version: older readers pass over it.
pub const VERSION: u32 = 1;
/// The oldest version that understands it.
const READABLE_SINCE: u32 = 1;

const MAGIC: &[u8; 16] = b"presence-bridge\n";
/// Where the records begin: a page, so that no write touches what was written before but the marks.
pub(super) const HEAD: usize = 4096;
/// In different sectors, which disks write whole or not at all.
const MARKS: [usize; 2] = [512, 1024];
const MARK: usize = 24;
/// Length, number and checksum of a record.
const FRAME: usize = 20;
/// A longer file is not ours: a hundred thousand people take a tenth.
const LONGEST: u64 = 1 << 30;

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// Changed, cut off, or no journal.
    Damaged(String),
    /// Written by a version that this one does not understand.
    Newer(u32),
    /// The system refuses.
    Refused(io::Error),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Damaged(why) => f.write_str(why),
            Unreadable::Newer(version) => {
                write!(
                    f,
                    "it is of version {version}, newer than this program understands (version {VERSION}): run the newer"
                )
            }
            Unreadable::Refused(error) => write!(f, "it cannot be read: {error}"),
        }
    }
}

fn damaged<T>(why: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable::Damaged(why.into()))
}

/// What a file says; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Found>, Unreadable> {
    let length = match std::fs::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        found => found.map_err(Unreadable::Refused)?.len(),
    };
    if length > LONGEST {
        return damaged("longer than anything that the bridge writes");
    }
    parse(&std::fs::read(path).map_err(Unreadable::Refused)?).map(Some)
}

/// What the bytes of a file say.
pub(super) fn parse(bytes: &[u8]) -> Result<Found, Unreadable> {
    let Some((head, _)) = bytes.split_at_checked(HEAD) else { return damaged("shorter than its head") };
    if !head.starts_with(MAGIC) {
        return damaged("not a journal of the bridge");
    }
    if word(head, 24) != checksum(1, &head[..24]) {
        return damaged("its head is not what was written");
    }
    let version = number(head, 16);
    if number(head, 20) > VERSION {
        return Err(Unreadable::Newer(version));
    }
    let Some(mark) = MARKS.iter().filter_map(|&at| mark(head, at)).max() else {
        return damaged("neither mark is whole");
    };
    let (mut folded, mut last, mut at, mut count) = (Folded::default(), None, HEAD, 0_u64);
    while let Some((body, end)) = frame(bytes, at, count + 1) {
        let record: Record = match serde_json::from_slice(body) {
            Ok(record) => record,
            Err(_) if version > VERSION => return Err(Unreadable::Newer(version)),
            Err(error) => return damaged(format!("record {} is not understood: {error}", count + 1)),
        };
        let Record { boot, clean, sources, changes } = record;
        folded.fold(changes);
        last = Some((boot, clean, sources));
        (at, count) = (end, count + 1);
    }
    if count < mark.0 || u64::try_from(at).unwrap_or(0) < mark.1 {
        return damaged(format!("record {} of {} is not what was written", count + 1, mark.0));
    }
    let (boot, clean, sources) = last.unwrap_or_default();
    Ok(Found { boot, clean, sources, snapshot: folded.into_snapshot() })
}

/// A whole new file with one record.
pub(super) fn whole(record: &Record) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD];
    bytes[..16].copy_from_slice(MAGIC);
    bytes[16..20].copy_from_slice(&VERSION.to_le_bytes());
    bytes[20..24].copy_from_slice(&READABLE_SINCE.to_le_bytes());
    let sum = checksum(1, &bytes[..24]);
    bytes[24..32].copy_from_slice(&sum.to_le_bytes());
    bytes.extend(framed(record, 1)?);
    let end = bytes.len() as u64;
    for at in MARKS {
        bytes[at..at + MARK].copy_from_slice(&marked(1, end));
    }
    Ok(bytes)
}

/// A record as it is appended.
pub(super) fn framed(record: &Record, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; FRAME];
    serde_json::to_writer(&mut bytes, record)?;
    let length = u32::try_from(bytes.len() - FRAME).map_err(|_| io::ErrorKind::FileTooLarge)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..12].copy_from_slice(&count.to_le_bytes());
    let sum = sum_of(&bytes[..12], &bytes[FRAME..]);
    bytes[12..20].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// Where the mark for so many records goes, and what it says.
pub(super) fn mark_for(count: u64, end: u64) -> (u64, [u8; MARK]) {
    let at = if count.is_multiple_of(2) { MARKS[0] } else { MARKS[1] };
    (at as u64, marked(count, end))
}

fn marked(count: u64, end: u64) -> [u8; MARK] {
    let mut mark = [0; MARK];
    mark[..8].copy_from_slice(&count.to_le_bytes());
    mark[8..16].copy_from_slice(&end.to_le_bytes());
    let sum = checksum(2, &mark[..16]);
    mark[16..].copy_from_slice(&sum.to_le_bytes());
    mark
}

fn mark(head: &[u8], at: usize) -> Option<(u64, u64)> {
    let bytes = head.get(at..at + MARK)?;
    (word(bytes, 16) == checksum(2, &bytes[..16])).then(|| (word(bytes, 0), word(bytes, 8)))
}

/// The record with that number, if a whole one lies there; and where it ends.
fn frame(bytes: &[u8], at: usize, count: u64) -> Option<(&[u8], usize)> {
    let head = bytes.get(at..at.checked_add(FRAME)?)?;
    let end = (at + FRAME).checked_add(usize::try_from(number(head, 0)).ok()?)?;
    let body = bytes.get(at + FRAME..end)?;
    (word(head, 4) == count && word(head, 12) == sum_of(&head[..12], body)).then_some((body, end))
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|it| it.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|it| it.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// `kind` keeps apart what is no record, no mark and no head.
fn checksum(kind: u64, bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(kind, u64::from(VERSION));
    hasher.write(bytes);
    hasher.finish()
}

fn sum_of(head: &[u8], body: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(3, u64::from(VERSION));
    hasher.write(head);
    hasher.write(body);
    hasher.finish()
}
