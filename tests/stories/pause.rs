//! A pause that is asked for at the door: whoever is paused wants nothing, and is right again at once afterwards.

use std::time::Duration;

use presence_bridge::presence::{Deadline, Link, Mono, Reason, Restart};

use super::{CALL, DOWN, NOBODY, PHONE, UP, in_seconds, sees_at};
use crate::support::rig::Rig;

const PAUSE: &str = "presence-bridge/in/alice/pause";

#[test]
fn a_pause_clears_once_keeps_shares_up_to_date_and_ends() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    rig.publish(PAUSE, "on").unwrap();
    sees_at(&mut rig, &[(1, NOBODY), (60, NOBODY)]);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish(PAUSE, "on").unwrap(); // again
    sees_at(&mut rig, &[(3600, NOBODY)]);
    rig.publish(PAUSE, "off").unwrap();
    sees_at(&mut rig, &[(1, CALL)]);
    rig.called(&["alice Busy/InACall", "alice clear", "alice Busy/InACall"]);
}

#[test]
fn a_pause_ends_after_its_time_or_at_its_time() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish(PAUSE, r#"{"on": true, "for": "2h"}"#).unwrap();
    sees_at(&mut rig, &[(1, NOBODY), (7190, NOBODY), (7210, CALL)]);
    let until = format!(r#"{{"on": true, "until": "{}"}}"#, in_seconds(&rig, 600));
    rig.publish(PAUSE, &until).unwrap();
    sees_at(&mut rig, &[(1, NOBODY), (590, NOBODY), (610, CALL)]);
    let past = format!(r#"{{"on": true, "until": "{}"}}"#, in_seconds(&rig, -600));
    rig.publish(PAUSE, &past).unwrap();
    sees_at(&mut rig, &[(10, CALL)]);
}

#[test]
fn a_retained_pause_is_a_level_and_a_timed_one_counts_live_only() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    assert_eq!(rig.replay(PAUSE, r#"{"on": true, "for": "2h"}"#), Err(Reason::RetainedIgnored));
    sees_at(&mut rig, &[(10, CALL)]);
    rig.replay(PAUSE, "on").unwrap();
    sees_at(&mut rig, &[(1, NOBODY)]);
    // Somebody lets her go on by other means: the broker says the old level again and again, and nobody is paused anew.
    rig.pause("alice", None);
    for _ in 0..3 {
        rig.link(DOWN);
        rig.link(UP);
        assert_eq!(rig.replay(PAUSE, "on"), Err(Reason::Replay));
        rig.link(Link::Replayed);
    }
    sees_at(&mut rig, &[(10, CALL)]);
    rig.publish(PAUSE, "on").unwrap(); // live, it counts
    sees_at(&mut rig, &[(1, NOBODY)]);
    rig.publish(PAUSE, "").unwrap(); // the level is taken back
    sees_at(&mut rig, &[(1, CALL)]);
}

#[test]
fn a_pause_survives_a_restart_and_so_does_its_memory() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish(PAUSE, "on").unwrap();
    rig.drive(10);
    rig.restart(Duration::from_secs(5), Restart { same_boot: true, clean: true });
    rig.link(UP);
    assert_eq!(rig.replay(PAUSE, "on"), Err(Reason::Replay));
    rig.drive(60);
    rig.sees("alice", NOBODY);
    rig.publish(PAUSE, "off").unwrap();
    rig.replay(PHONE, "INUSE").unwrap_err();
    rig.drive(10);
    rig.sees("alice", CALL);
}

#[test]
fn a_timed_pause_that_waited_at_the_broker_has_run_since() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    rig.link(DOWN);
    rig.drive(100);
    rig.link(Link::Up { session_present: true, expiry: Duration::from_secs(300) });
    rig.publish(PAUSE, r#"{"on": true, "for": "110s"}"#).unwrap();
    sees_at(&mut rig, &[(1, NOBODY), (15, CALL)]);
}

#[test]
fn what_is_no_pause_is_refused_with_its_reason() {
    let mut rig = Rig::new();
    for (topic, payload, reason) in [
        ("presence-bridge/in/mallory/pause", "on", Reason::UnknownSubject),
        (PAUSE, "maybe", Reason::OtherValue),
        (PAUSE, "unavailable", Reason::OtherValue),
        (PAUSE, "{", Reason::BadJson),
        (PAUSE, "{}", Reason::Missing),
        (PAUSE, r#"{"until": "2126-11-24T17:00:00Z"}"#, Reason::Missing),
        (PAUSE, r#"{"on": true, "for": "32d"}"#, Reason::BadJson),
        ("presence-bridge/in/alice/error", r#"{"reason": "missing"}"#, Reason::NoRule),
        ("presence-bridge/in/alice/x/pause", "on", Reason::NoRule),
    ] {
        assert_eq!(rig.publish(topic, payload), Err(reason), "{topic} {payload}");
    }
    assert_eq!(rig.core.view(rig.id("alice")).paused(), None);
}

#[test]
fn the_view_tells_what_the_door_holds_and_the_pause() {
    let mut rig = Rig::new();
    rig.publish("presence-bridge/in/alice/meeting", r#"{"on": true, "for": "30m"}"#).unwrap();
    rig.publish("presence-bridge/in/alice/call", "on").unwrap();
    rig.publish("presence-bridge/in/alice/desk", "off").unwrap();
    rig.publish("desk/alice", "on").unwrap(); // not through the door
    rig.publish(PAUSE, "on").unwrap();
    let id = rig.id("alice");
    let door = |rig: &Rig| {
        let mut door: Vec<String> = rig.core.view(id).door().map(str::to_owned).collect();
        door.sort();
        door
    };
    assert_eq!(door(&rig), ["call", "meeting"]);
    assert_eq!(rig.core.view(id).paused(), Some(Deadline::NEVER));
    rig.drive(1801);
    assert_eq!(door(&rig), ["call"]);
    rig.publish(PAUSE, r#"{"on": true, "for": "1m"}"#).unwrap();
    assert!(rig.core.view(id).paused().is_some_and(|until| until.mono < Mono::MAX));
    rig.drive(61);
    assert_eq!(rig.core.view(id).paused(), None);
}
