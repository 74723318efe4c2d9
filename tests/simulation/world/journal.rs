//! What a journal would hold, beside what the core knows: changes folded one upon the other must come to the snapshot, but
//! for renewals that are less than a tenth of their lease old. Letter j.

use presence_bridge::presence::{Folded, Now};
use serde_json::Value;

use super::World;

const NOWHERE: u64 = u64::MAX;

impl World {
    /// As the loop does after each event.
    pub(super) fn write(&mut self) {
        if self.core.has_changes() {
            let changes = self.core.take_changes(self.now());
            self.journal.fold(serde_json::from_value(serde_json::to_value(changes).unwrap()).unwrap());
        }
    }

    /// A new process begins a new file.
    pub(super) fn begin_journal(&mut self) {
        self.core.note_changes();
        self.journal = Folded::default();
        self.write();
    }

    /// At a death: what is known of the core, and what would be read.
    pub(super) fn compare_journal(&mut self) {
        self.write();
        let truth = serde_json::to_value(self.core.snapshot(self.now())).unwrap();
        let read = serde_json::to_value(self.journal.clone().into_snapshot()).unwrap();
        for (place, what) in differences(&truth, &read, self.now()) {
            let person = self.people.iter().enumerate().find(|(n, _)| super::office::object_id(*n) == place);
            self.violation('j', person.map_or(0, |(n, _)| n), &what);
        }
        self.cover("a journal compared");
    }
}

fn differences(truth: &Value, read: &Value, now: Now) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let list = |of: &Value, key: &str| of[key].as_array().cloned().unwrap_or_default();
    for topic in list(truth, "topics") {
        let same =
            |other: &Value| ["source", "topic", "payload", "partitions"].iter().all(|key| other[key] == topic[key]);
        if !list(read, "topics").iter().any(same) {
            found.push((String::new(), format!("the journal does not know what a topic said last: {topic}")));
        }
    }
    let people = list(read, "people");
    for person in list(truth, "people") {
        let id = person["object_id"].as_str().unwrap_or_default().to_owned();
        let mut say = |what: String| found.push((id.clone(), what));
        let Some(known) = people.iter().find(|known| known["object_id"] == person["object_id"]) else {
            say(format!("the journal does not know {person}"));
            continue;
        };
        for key in ["held", "may_land_until"] {
            let ended = known[key]["Pair"]["expires"].as_u64().is_some_and(|expires| expires <= now.mono.as_millis());
            if known[key] != person[key] && !ended {
                say(format!("{key} is {}, the journal says {}", person[key], known[key]));
            }
        }
        if !person["paused"].is_null() && known["paused"] != person["paused"] {
            say(format!("paused until {}, the journal says {}", person["paused"], known["paused"]));
        }
        for share in list(&person, "shares") {
            if !list(known, "shares").iter().any(|other| is_alike(&share, other, now)) {
                say(format!("the journal does not have {share}, but {}", known["shares"]));
            }
        }
    }
    for person in people {
        let id = person["object_id"].as_str().unwrap_or_default().to_owned();
        let expires = person["held"]["Pair"]["expires"].as_u64().unwrap_or(NOWHERE);
        let held = person["held"] != "Nothing" && expires > now.mono.as_millis();
        if held && !list(truth, "people").iter().any(|known| known["object_id"] == person["object_id"]) {
            found.push((id, format!("only the journal has {person}")));
        }
    }
    found
}

/// Whether what was written is the share, at most a tenth of its lease behind.
fn is_alike(share: &Value, written: &Value, now: Now) -> bool {
    let (share_of, written_of) = (&share["share"], &written["share"]);
    let same = ["signal", "source", "rule", "device", "subject", "said", "until", "blind_until"];
    let heard = |of: &Value| of["heard"].as_u64().unwrap_or(0);
    let lease = share_of["lease"]["mono"].as_u64().unwrap_or(NOWHERE);
    let late = if lease == NOWHERE { 0 } else { lease.saturating_sub(heard(share_of)) / 9 + 1 };
    let over = |end: &Value| {
        let wall = end["wall"].as_i64().is_some_and(|wall| wall <= now.wall.as_millis());
        wall || end["mono"].as_u64().is_some_and(|mono| mono <= now.mono.as_millis())
    };
    let soon = |key: &str| {
        if over(&share_of[key]) && over(&written_of[key]) {
            return true; // when it ended bears on nothing
        }
        // Beside an end by the wall clock, the other is but the longest that any share may last.
        let known = share_of[key]["wall"].as_i64().is_some_and(|wall| wall != i64::MAX);
        let late = if known { late.max(3 * 24 * 3_600_000) } else { late };
        let (is, was) = (share_of[key]["mono"].as_u64(), written_of[key]["mono"].as_u64());
        was.zip(is).is_some_and(|(was, is)| was.saturating_add(late) >= is && was <= is)
            && share_of[key]["wall"] == written_of[key]["wall"]
    };
    // Of an on that is over, when it began bears on nothing either.
    let ended = over(&share_of["on_until"]) && over(&written_of["on_until"]);
    share["signal"] == written["signal"]
        && (ended || share_of["on_from"] == written_of["on_from"])
        && share["rule"] == written["rule"]
        && same.iter().all(|key| share_of[key] == written_of[key])
        && ["lease", "on_until", "off_until"].into_iter().all(soon)
}
