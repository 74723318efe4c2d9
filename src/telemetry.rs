//! What happened, once: an [`Event`] holds its counter and its log line together, so that they cannot drift; an alarm is
//! open here from its beginning to its end, for the status topic, `status` and the counters alike.
//!
//! An event that others can cause at will (a bad message, a lost connection) is counted every time and logged at a
//! bounded rate: the first of its kind at once, then at most one line a minute that says how many there were.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::presence::Mono;

const QUIET: Duration = Duration::from_secs(60);

/// Something notable.
pub trait Event {
    /// Its counter.
    const NAME: &'static str;

    /// Under which it is counted; a word from a short list, never somebody's name.
    fn reason(&self) -> &'static str;

    /// Writes its line. `due`: it happened so often since the last line that was due; `None`: there was one a moment ago.
    fn log(&self, due: Option<u64>);
}

/// A state that somebody has to do something about, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmText {
    /// Its name, for counters and dashboards.
    pub name: &'static str,
    /// The person it is about, if one.
    pub about: Option<String>,
    /// What happened and what to do.
    pub remedy: Cow<'static, str>,
}

/// Counters and open alarms of the process. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Telemetry {
    clock: Clock,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    counts: Mutex<BTreeMap<(&'static str, &'static str), Count>>,
    alarms: watch::Sender<BTreeMap<(&'static str, Option<String>), AlarmText>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    total: u64,
    unlogged: u64,
    logged: Option<Mono>,
}

impl Telemetry {
    /// Everything at zero.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let inner = Inner { counts: Mutex::default(), alarms: watch::Sender::default() };
        Telemetry { clock, inner: Arc::new(inner) }
    }

    /// Counts an event and writes its line, if one is due.
    pub fn tell<E: Event>(&self, event: &E) {
        event.log(self.count(E::NAME, event.reason()));
    }

    /// Counts one `event` under `reason`. `Some(n)` if a line about it is due now: it happened `n` times since the last.
    pub fn count(&self, event: &'static str, reason: &'static str) -> Option<u64> {
        let now = self.clock.real();
        let mut counts = self.counts();
        let count = counts.entry((event, reason)).or_default();
        count.total += 1;
        count.unlogged += 1;
        if count.logged.is_some_and(|last| now.since(last) < QUIET) {
            return None;
        }
        count.logged = Some(now);
        Some(std::mem::take(&mut count.unlogged))
    }

    /// How often `event` happened under `reason`.
    #[must_use]
    pub fn total(&self, event: &'static str, reason: &'static str) -> u64 {
        self.counts().get(&(event, reason)).map_or(0, |count| count.total)
    }

    /// All counters: (event, reason, total), in order of name.
    #[must_use]
    pub fn totals(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.counts().iter().map(|(&(event, reason), count)| (event, reason, count.total)).collect()
    }

    /// An alarm begins: counted, logged, and open from now on. One that is open already only takes the new words.
    pub fn raise(&self, alarm: AlarmText) {
        self.open(alarm, false);
    }

    /// As [`Telemetry::raise`], but one that is open already is told again: there is something else to do now.
    pub fn raise_anew(&self, alarm: AlarmText) {
        self.open(alarm, true);
    }

    fn open(&self, alarm: AlarmText, tell: bool) {
        let key = (alarm.name, alarm.about.clone());
        let mut tell = tell;
        self.inner.alarms.send_if_modified(|open| {
            let before = open.insert(key, alarm.clone());
            tell |= before.is_none();
            before.as_ref() != Some(&alarm)
        });
        if tell {
            let _due = self.count("alarm", alarm.name); // each has its line
            let about = alarm.about.as_deref().unwrap_or("-");
            tracing::error!(alarm = alarm.name, about, remedy = &*alarm.remedy, "Alarm.");
        }
    }

    /// An alarm ends, if it is open.
    pub fn end(&self, name: &'static str, about: Option<&str>) {
        let ended = self.inner.alarms.send_if_modified(|open| open.remove(&(name, about.map(str::to_owned))).is_some());
        if ended {
            tracing::info!(alarm = name, about = about.unwrap_or("-"), "Alarm ended.");
        }
    }

    /// Open alarms, in order of name.
    #[must_use]
    pub fn alarms(&self) -> Vec<AlarmText> {
        self.inner.alarms.borrow().values().cloned().collect()
    }

    /// Wakes at each change of the open alarms.
    #[must_use]
    pub fn watch_alarms(&self) -> AlarmWatch {
        AlarmWatch(self.inner.alarms.subscribe())
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<(&'static str, &'static str), Count>> {
        self.inner.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notices changes of the open alarms.
#[derive(Debug)]
pub struct AlarmWatch(watch::Receiver<BTreeMap<(&'static str, Option<String>), AlarmText>>);

impl AlarmWatch {
    /// Ready when the open alarms are others than at the last time. Safe to cancel.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await; // nobody is left to raise one
        }
    }
}
