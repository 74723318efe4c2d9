//! Whose topics are retained at which broker, in a small file: what is retained outlives the bridge. Without it, the busy
//! light of somebody who was taken off the list while the bridge was away would glow for ever.
//!
//! The names that may have a topic are written down when they are listed, not when they are published: so that the file
//! is small work, and names nobody too few. It is written a few seconds after a change, to a temporary name and renamed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::announce::Announced;
use super::{Bridge, publish};
use crate::presence::Mono;
use crate::telemetry::{Event, Telemetry};

/// The file in the state directory.
const FILE: &str = "published.json";
/// Of its format.
const VERSION: u32 = 1;
/// Larger ones are not ours.
const LARGEST: u64 = 64 << 20;
/// No more often.
const APART: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Saved {
    version: u32,
    /// By the name of the broker.
    sources: BTreeMap<String, SavedSource>,
}

/// What is retained at one broker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct SavedSource {
    /// Another bridge of this machine has another, and its topics are not ours to delete.
    client_id: String,
    /// First levels of its topics.
    prefix: String,
    /// Names of people who may have topics.
    labels: BTreeSet<Box<str>>,
    /// What else they have topics for.
    #[serde(default)]
    announced: Option<Announced>,
    /// Topics that were to be deleted, and perhaps are.
    gone: Vec<String>,
}

/// The file, and what is to be written into it.
pub(super) struct Kept {
    path: Option<PathBuf>,
    telemetry: Telemetry,
    /// What is not on disk yet, and from when on it may be.
    unwritten: Option<(Saved, Mono)>,
    written: Mono,
    writing: Option<JoinHandle<()>>,
}

impl Kept {
    /// In this directory; in none, nothing is kept.
    pub(super) fn new(dir: Option<&Path>, telemetry: Telemetry) -> Self {
        let path = dir.map(|dir| dir.join(FILE));
        Kept { path, telemetry, unwritten: None, written: Mono::ZERO, writing: None }
    }

    fn load(&self) -> Saved {
        let Some(path) = &self.path else { return Saved::default() };
        let read = || -> io::Result<Option<Saved>> {
            let found = match std::fs::metadata(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                found => found?,
            };
            if found.len() > LARGEST {
                return Err(io::Error::other("larger than anything that the bridge writes"));
            }
            Ok(Some(serde_json::from_slice(&std::fs::read(path)?)?))
        };
        match read() {
            Ok(saved) => saved.filter(|saved| saved.version == VERSION).unwrap_or_default(),
            Err(error) => {
                let error = format!("{} cannot be read: {error}", path.display());
                self.telemetry.tell(&Lost { error, reading: true });
                Saved::default()
            }
        }
    }

    fn set(&mut self, saved: Saved, now: Mono) {
        if self.path.is_some() {
            let due = self.unwritten.take().map_or(now.max(self.written + APART), |(_, due)| due);
            self.unwritten = Some((saved, due));
        }
    }

    pub(super) fn wake(&self) -> Mono {
        self.unwritten.as_ref().map_or(Mono::MAX, |(_, due)| *due)
    }

    pub(super) fn write_if_due(&mut self, now: Mono) {
        if now < self.wake() {
            return;
        }
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            // A slow disk: looked at again later, and the loop does not wait.
            self.unwritten.iter_mut().for_each(|(_, due)| *due = now + APART);
            return;
        }
        self.written = now;
        self.writing = self.write();
    }

    fn write(&mut self) -> Option<JoinHandle<()>> {
        let ((saved, _), path) = (self.unwritten.take()?, self.path.clone()?);
        let telemetry = self.telemetry.clone();
        Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = write(&path, &saved) {
                let error = format!("{} cannot be written: {error}", path.display());
                telemetry.tell(&Lost { error, reading: false });
            }
        }))
    }

    /// What is not on disk yet is when this returns.
    pub(super) async fn finish(&mut self) {
        for writing in [self.writing.take(), self.write()].into_iter().flatten() {
            drop(writing.await); // a panic has ended the process
        }
    }
}

fn write(path: &Path, saved: &Saved) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
        std::fs::DirBuilder::new().mode(0o700).create(dir)?;
    }
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(saved)?)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

impl Bridge {
    /// What was retained by the last process and is nobody's any more is to be deleted.
    pub(super) fn recall_published(&mut self) {
        let saved = self.kept.load();
        let (labels, announced) = (self.labels(), self.announced());
        for link in &mut self.links {
            let ours = |before: &&SavedSource| before.client_id == link.instance;
            let Some(before) = saved.sources.get(&link.name).filter(ours) else { continue };
            let same = link.own_topics && before.prefix == self.topic_prefix && before.announced == announced;
            let gone = before.labels.iter().filter(|label| !(same && labels.contains(*label)));
            let mut topics: BTreeSet<String> = before.gone.iter().cloned().collect();
            let then = before.announced.as_ref();
            topics.extend(gone.flat_map(|label| publish::topics_of(&before.prefix, label, then)));
            topics.extend(then.into_iter().flat_map(|then| then.topics_of_bridge(&before.prefix, &link.instance)));
            if link.own_topics {
                let of = |label| publish::topics_of(&self.topic_prefix, label, announced.as_ref());
                let bridge = announced.iter().flat_map(|now| now.topics_of_bridge(&self.topic_prefix, &link.instance));
                labels.iter().flat_map(|label| of(label)).chain(bridge).for_each(|topic| {
                    topics.remove(&topic);
                });
            }
            topics.into_iter().for_each(|topic| link.deletions.add(topic));
        }
        self.keep();
    }

    /// Names of the people who are listed.
    fn labels(&self) -> BTreeSet<Box<str>> {
        let listed = self.core.people().filter(|person| !self.listing.unlisted.contains(person));
        listed.map(|person| self.core.person(person).label.clone()).collect()
    }

    /// Who has topics where is another than what the file says.
    pub(super) fn keep(&mut self) {
        let (labels, announced) = (self.labels(), self.announced());
        let of = |link: &super::links::Link| SavedSource {
            client_id: link.instance.clone(),
            prefix: self.topic_prefix.clone(),
            labels: if link.own_topics { labels.clone() } else { BTreeSet::new() },
            announced: announced.clone().filter(|_| link.own_topics),
            gone: link.deletions.topics().map(str::to_owned).collect(),
        };
        let sources = self.links.iter().map(|link| (link.name.clone(), of(link))).collect();
        self.kept.set(Saved { version: VERSION, sources }, self.clock.now().mono);
    }
}

/// The file could not be read or written.
struct Lost {
    error: String,
    reading: bool,
}

impl Event for Lost {
    const NAME: &'static str = "published";

    fn reason(&self) -> &'static str {
        if self.reading { "not_read" } else { "not_written" }
    }

    fn log(&self, due: Option<u64>) {
        if let Some(times) = due {
            let remedy = "let the bridge's user read and write there, or name another directory as dir in [state]; until then \
                          topics of people who leave the list while the bridge is away stay at the broker";
            tracing::warn!(times, error = self.error, remedy, "Whose topics are published cannot be kept.");
        }
    }
}
