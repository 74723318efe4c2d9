//! The core by stories, on virtual time: what happened, and what a colleague sees of it. One file a theme.

mod forget;
mod hearing;
mod intervals;
mod levels;
mod order;
mod outcomes;
mod patience;
mod pause;
mod people;
mod refresh;
mod restart;
mod shares;

use std::time::Duration;

use presence_bridge::presence::Link;

use crate::support::rig::Rig;

const NOBODY: &str = "Offline/Offline";
const CALL: &str = "Busy/InACall";
const MEETING: &str = "Busy/InAConferenceCall";
const PHONE: &str = "pbx/devstate/PJSIP/1001";
const DOOR: &str = "presence-bridge/in/alice/meeting";
const DOWN: Link = Link::Down;
const UP: Link = Link::Up { session_present: false, expiry: Duration::ZERO };

/// At these seconds from now on, what colleagues see of Alice.
#[track_caller]
fn sees_at(rig: &mut Rig, expected: &[(u64, &str)]) {
    let mut at = 0;
    for &(second, what) in expected {
        rig.drive(second - at);
        at = second;
        rig.sees("alice", what);
    }
}

fn in_seconds(rig: &Rig, seconds: i64) -> String {
    jiff::Timestamp::from_millisecond(rig.now.wall.as_millis() + seconds * 1000).unwrap().to_string()
}

/// All calls, after checking how many name `what`.
#[track_caller]
fn calls_of<'a>(rig: &'a Rig, what: &str, count: usize) -> Vec<&'a str> {
    let calls: Vec<&str> = rig.calls.iter().map(|(_, call)| call.as_str()).collect();
    assert_eq!(calls.iter().filter(|call| call.contains(what)).count(), count, "{calls:?}");
    calls
}
