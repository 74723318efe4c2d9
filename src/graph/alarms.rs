//! What somebody has to do something about, until it ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::telemetry::{AlarmText, Telemetry};

/// An alarm of the adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What is the matter, without any secret.
    pub about: String,
    /// What to do.
    pub remedy: &'static str,
}

/// Those that are on, by name. Cheap to clone; all clones agree.
#[derive(Clone, Debug)]
pub(super) struct Alarms {
    on: Arc<watch::Sender<BTreeMap<&'static str, Alarm>>>,
    telemetry: Telemetry,
}

impl Alarms {
    pub(super) fn new(telemetry: Telemetry) -> Self {
        Alarms { on: Arc::default(), telemetry }
    }

    pub(super) fn watch(&self) -> watch::Receiver<BTreeMap<&'static str, Alarm>> {
        self.on.subscribe()
    }

    /// Begins, or goes on in other words (a trace id is another each time). Another remedy is another trouble, and is told.
    pub(super) fn begin(&self, name: &'static str, about: String, remedy: &'static str) {
        let alarm = Alarm { about, remedy };
        self.on.send_if_modified(|on| {
            let before = on.insert(name, alarm.clone());
            let text = AlarmText { name, about: None, remedy: format!("{}: {remedy}", alarm.about).into() };
            match &before {
                Some(before) if before.remedy != remedy => self.telemetry.raise_anew(text),
                _ => self.telemetry.raise(text),
            }
            before.as_ref() != Some(&alarm)
        });
    }

    pub(super) fn end(&self, name: &'static str) {
        self.on.send_if_modified(|on| {
            self.telemetry.end(name, None);
            on.remove(name).is_some()
        });
    }

    /// As the one or the other.
    pub(super) fn set(&self, name: &'static str, on: Option<(String, &'static str)>) {
        match on {
            Some((about, remedy)) => self.begin(name, about, remedy),
            None => self.end(name),
        }
    }
}
