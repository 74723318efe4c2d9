//! What the journal says of itself: how many writes, and what somebody has to look at.

use std::io;
use std::path::Path;

use crate::telemetry::{AlarmText, Event, Telemetry};

const NOT_WRITTEN: &str = "state_not_written";

struct Write(Result<(), ()>);

impl Event for Write {
    const NAME: &'static str = "journal";

    fn reason(&self) -> &'static str {
        if self.0.is_ok() { "written" } else { "failed" }
    }

    fn log(&self, _: Option<u64>) {} // a failure is an alarm, and has its line there
}

pub(super) fn written(telemetry: &Telemetry) {
    telemetry.tell(&Write(Ok(())));
    telemetry.end(NOT_WRITTEN, None);
}

pub(super) fn not_written(telemetry: &Telemetry, dir: &Path, error: &io::Error) {
    telemetry.tell(&Write(Err(())));
    let remedy = format!(
        "the journal cannot be written in {}: {error}. Give the bridge's user a directory with room that it may write to, as \
         dir in [state], or say journal = false there. Until then the bridge works from memory: after a restart it \
         knows only what brokers say again",
        dir.display()
    );
    telemetry.raise(AlarmText { name: NOT_WRITTEN, about: None, remedy: remedy.into() });
}

/// It was damaged, and has another name now.
pub(super) fn set_aside(path: &Path, aside: &Path, why: &str) -> AlarmText {
    let remedy = format!(
        "the journal {} was damaged ({why}) and is now {}: look at the disk, then remove it. The bridge began with nothing; \
         brokers and devices say again what is so",
        path.display(),
        aside.display()
    );
    AlarmText { name: "state_damaged", about: None, remedy: remedy.into() }
}

/// It is there, and must stay as it is.
pub(super) fn left_alone(path: &Path, why: &str) -> AlarmText {
    let remedy = format!(
        "the journal {} is left alone: {why}; or move it away and start the bridge again. Until then the bridge works from memory",
        path.display()
    );
    AlarmText { name: "state_not_read", about: None, remedy: remedy.into() }
}
