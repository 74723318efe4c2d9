//! What happens while the broker cannot be heard, and what its replay may say afterwards.

use std::time::Duration;

use presence_bridge::presence::{Link, Reason};

use super::{CALL, DOOR, DOWN, MEETING, NOBODY, PHONE, UP, calls_of, in_seconds, sees_at};
use crate::support::rig::Rig;

#[test]
fn fault_01_a_broker_that_restarts_clears_nobody() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(10);
    rig.link(DOWN);
    rig.drive(60);
    rig.sees("alice", CALL);
    rig.link(UP);
    rig.drive(60);
    rig.sees("alice", CALL);
    assert!(!rig.calls.iter().any(|(_, call)| call.ends_with("clear")), "{:?}", rig.calls);
}

#[test]
fn fault_03_refreshes_go_on_while_the_broker_is_away() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(10);
    rig.link(DOWN);
    rig.drive(800);
    rig.sees("alice", CALL);
    rig.drive(120);
    rig.sees("alice", NOBODY); // 15 minutes without hearing
}

#[test]
fn what_the_replay_does_not_confirm_ends_when_deafness_would_have_ended_it() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    rig.drive(10);
    rig.link(DOWN);
    rig.drive(60);
    rig.link(UP);
    assert_eq!(rig.replay(PHONE, "INUSE"), Err(Reason::Replay));
    rig.drive(20);
    rig.sees("bob", CALL);
    rig.drive(900);
    rig.sees("alice", CALL);
    rig.sees("bob", NOBODY);
}

#[test]
fn fault_22_replays_of_what_was_heard_do_nothing() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    for _ in 0..1000 {
        rig.link(DOWN);
        rig.link(UP);
        assert_eq!(rig.replay(PHONE, "INUSE"), Err(Reason::Replay));
    }
    rig.called(&["alice Busy/InACall"]);
    // No renewal either: the lease is the one of the live message.
    rig.drive(8 * 3600);
    rig.sees("alice", NOBODY);
    assert_eq!(rig.replay(PHONE, "INUSE"), Err(Reason::Replay));
    rig.drive(1);
    rig.sees("alice", NOBODY);
}

#[test]
fn a_retained_message_never_heard_before_lasts_an_hour() {
    let mut rig = Rig::new();
    rig.replay(PHONE, "INUSE").unwrap();
    rig.drive(3590);
    rig.sees("alice", CALL);
    rig.drive(20);
    rig.sees("alice", NOBODY);
}

#[test]
fn deafness_does_not_end_what_has_a_known_end() {
    let mut rig = Rig::new();
    let end = in_seconds(&rig, 3600);
    rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
    rig.drive(1);
    rig.link(DOWN);
    sees_at(&mut rig, &[(1800, MEETING), (3601, NOBODY)]);
}

#[test]
fn what_the_broker_kept_for_us_is_as_old_as_the_gap() {
    let mut rig = Rig::new();
    rig.link(DOWN);
    rig.drive(120);
    rig.link(Link::Up { session_present: true, expiry: Duration::from_secs(300) });
    rig.publish("ring/alice", "on").unwrap(); // ttl 5 min
    sees_at(&mut rig, &[(179, CALL), (181, NOBODY)]);
}

#[test]
fn nobody_is_newly_set_from_hearsay_before_the_replay_is_through() {
    let mut rig = Rig::new();
    rig.publish("ha/alice/state", "on").unwrap();
    rig.drive(1);
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(60);
    rig.link(DOWN);
    rig.drive(400);
    rig.link(UP);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", CALL); // the meeting is older than the gap, and may be over
    rig.replay("ha/alice/state", "off").unwrap();
    rig.link(Link::Replayed);
    rig.drive(1);
    rig.sees("alice", NOBODY);
    rig.called(&calls_of(&rig, "InAConferenceCall", 1));
}

#[test]
fn fault_20_what_a_backlog_says_first_is_not_shown_before_it_is_through() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(30);
    rig.calls.clear();
    rig.link(DOWN);
    rig.drive(120);
    rig.link(Link::Up { session_present: true, expiry: Duration::from_secs(300) });
    for (phone, other) in [("NOT_INUSE", "off"), ("INUSE", "on")] {
        rig.publish(PHONE, phone).unwrap();
        rig.publish("ha/bob/state", other).unwrap();
        rig.drive(2);
    }
    rig.called(&[]);
    rig.link(Link::Replayed);
    rig.drive(1);
    rig.sees("alice", CALL);
    assert_eq!(rig.calls.len(), 1, "bob's: {:?}", rig.calls);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", NOBODY); // and from now on at once
}

#[test]
fn what_is_heard_before_the_replay_is_through_counts_at_once() {
    let mut rig = Rig::new();
    rig.link(DOWN);
    rig.drive(3600);
    rig.link(UP);
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", CALL); // by simulation seed 16337931512968: it waited for the replay of everything else
}
