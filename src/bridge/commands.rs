//! What somebody at the machine asks for: a pause, its end, to be forgotten. It comes through the socket of `[admin]`, which
//! belongs to the bridge's user; whoever may say it at the door says it there.

use serde_json::json;

use super::publish::Topic;
use super::{Bridge, words};
use crate::admin::{Answer, Pause};
use crate::presence::{Deadline, PersonId};
use crate::telemetry::Event;

impl Bridge {
    pub(super) fn pause(&mut self, name: &str, pause: Pause) -> Answer {
        let Some(id) = self.listed(name) else { return self.nobody(name) };
        let now = self.clock.now();
        let until = match pause {
            Pause::For(span) => Some(Deadline { mono: now.mono + span, ..Deadline::NEVER }),
            Pause::ForGood => Some(Deadline::NEVER),
            Pause::Off => None,
        };
        self.core.handle_pause(now, id, until);
        self.mark(Topic::Person(id));
        self.hear_of_end(id);
        let label = self.core.person(id).label.to_string();
        let said = match until.map(|until| words::on_wall(until, now)) {
            None => format!("{label} is not paused."),
            Some(None) => format!("{label} is paused until somebody says otherwise."),
            Some(Some(end)) => format!("{label} is paused until {}.", words::rfc3339(end)),
        };
        self.telemetry.tell(&Asked { what: if until.is_some() { "pause" } else { "resume" }, user: &label });
        Answer::json(200, &json!({ "person": label, "said": said }))
    }

    pub(super) fn forget(&mut self, name: &str) -> Answer {
        let Some(id) = self.called(name) else { return self.nobody(name) };
        let label = self.core.person(id).label.to_string();
        self.core.handle_forget(self.clock.now(), id);
        self.mark(Topic::Person(id));
        self.telemetry.tell(&Asked { what: "forget", user: &label });
        let said = match self.listing.unlisted.contains(&id) {
            true => format!("What was known of {label} is forgotten."),
            false => format!(
                "What was known of {label} is forgotten, a pause too. {label} is listed: the next message of a device counts again."
            ),
        };
        Answer::json(200, &json!({ "person": label, "said": said }))
    }

    /// Somebody who is listed by this name.
    pub(super) fn listed(&self, name: &str) -> Option<PersonId> {
        let is_called = |id: &PersonId| self.core.person(*id).label.eq_ignore_ascii_case(name);
        self.core.people().filter(|id| !self.listing.unlisted.contains(id)).find(is_called)
    }

    /// Somebody who is known by this name, listed or not any more.
    pub(super) fn called(&self, name: &str) -> Option<PersonId> {
        let is_called = |id: &PersonId| self.core.person(*id).label.eq_ignore_ascii_case(name);
        self.listed(name).or_else(|| self.core.people().find(is_called))
    }
}

/// Somebody asked for something about somebody.
struct Asked<'a> {
    what: &'static str,
    user: &'a str,
}

impl Event for Asked<'_> {
    const NAME: &'static str = "command";

    fn reason(&self) -> &'static str {
        self.what
    }

    fn log(&self, _: Option<u64>) {
        let &Asked { what, user } = self;
        tracing::info!(what, user, "Done as asked.");
    }
}
