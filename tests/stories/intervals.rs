//! Shares end: by lease, by a known end, after delay and hold.

use super::{CALL, DOOR, MEETING, NOBODY, PHONE, in_seconds, sees_at};
use crate::support::rig::Rig;

#[test]
fn fault_25_a_phone_that_dies_off_hook_is_freed_by_its_lease() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(8 * 3600 - 10);
    rig.sees("alice", CALL);
    rig.drive(15);
    rig.sees("alice", NOBODY);
}

#[test]
fn an_on_counts_after_its_delay_and_an_off_after_its_hold() {
    let mut rig = Rig::new();
    rig.publish("cam/alice", "on").unwrap();
    sees_at(&mut rig, &[(4, NOBODY), (6, MEETING)]);
    rig.publish("cam/alice", "off").unwrap();
    sees_at(&mut rig, &[(29, MEETING), (31, NOBODY)]);
    rig.publish("cam/alice", "on").unwrap();
    rig.drive(4);
    rig.publish("cam/alice", "off").unwrap(); // lifted and replaced: nothing
    sees_at(&mut rig, &[(60, NOBODY)]);
    rig.called(&["alice Busy/InAConferenceCall", "alice clear"]);
}

#[test]
fn an_off_that_is_said_twice_does_not_hold_longer_and_an_on_during_hold_goes_on() {
    let mut rig = Rig::new();
    rig.publish("cam/alice", "on").unwrap();
    rig.drive(40);
    rig.publish("cam/alice", "off").unwrap();
    rig.drive(20);
    rig.publish("cam/alice", "off").unwrap();
    sees_at(&mut rig, &[(9, MEETING), (11, NOBODY)]);
    rig.publish("cam/alice", "on").unwrap();
    rig.drive(40);
    rig.publish("cam/alice", "off").unwrap();
    rig.drive(20);
    rig.publish("cam/alice", "on").unwrap();
    sees_at(&mut rig, &[(1, MEETING), (100, MEETING)]);
}

#[test]
fn a_known_end_replaces_the_lease_and_needs_no_message() {
    let mut rig = Rig::new();
    let end = in_seconds(&rig, 14 * 3600); // longer than a lease without one
    rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
    sees_at(&mut rig, &[(1, MEETING), (13 * 3600, MEETING), (14 * 3600 + 1, NOBODY)]);
}

#[test]
fn a_meeting_that_is_extended_at_its_end_is_woken_and_one_without_an_on_is_not() {
    let mut rig = Rig::new();
    let end = in_seconds(&rig, 600);
    rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
    sees_at(&mut rig, &[(599, MEETING), (610, NOBODY)]);
    let later = in_seconds(&rig, 600);
    rig.publish(DOOR, &format!(r#"{{"until": "{later}"}}"#)).unwrap();
    sees_at(&mut rig, &[(1, MEETING), (599, MEETING), (601, NOBODY)]);
    rig.publish(DOOR, "off").unwrap();
    let later = in_seconds(&rig, 600);
    rig.publish(DOOR, &format!(r#"{{"until": "{later}"}}"#)).unwrap();
    sees_at(&mut rig, &[(1, NOBODY), (300, NOBODY)]);
    rig.publish(DOOR, "on").unwrap(); // the end that came first still holds
    sees_at(&mut rig, &[(1, MEETING), (299, MEETING), (301, NOBODY)]);
}

#[test]
fn an_end_that_is_taken_back_leaves_the_lease() {
    let mut rig = Rig::new();
    let end = in_seconds(&rig, 600);
    rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
    rig.drive(300);
    rig.publish(DOOR, r#"{"until": null}"#).unwrap();
    sees_at(&mut rig, &[(600, MEETING), (12 * 3600 - 301, MEETING), (12 * 3600 - 299, NOBODY)]);
}
