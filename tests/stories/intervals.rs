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

#[test]
fn an_on_that_is_said_again_during_its_delay_does_not_wait_longer() {
    let mut rig = Rig::new();
    rig.publish("cam/alice", "on").unwrap();
    rig.drive(3);
    rig.publish("cam/alice", r#""on""#).unwrap(); // in other words, so that it is no mere repeat
    sees_at(&mut rig, &[(1, NOBODY), (3, MEETING)]);
}

#[test]
fn an_on_after_an_off_waits_anew() {
    let mut rig = Rig::new();
    rig.publish("cam/alice", "on").unwrap();
    rig.drive(10);
    rig.publish("cam/alice", "off").unwrap();
    rig.drive(40);
    rig.publish("cam/alice", "on").unwrap();
    sees_at(&mut rig, &[(4, NOBODY), (6, MEETING)]);
}

#[test]
fn a_meeting_that_was_over_before_it_was_heard_of_is_not_shown() {
    for seconds in [-60, 0] {
        let mut rig = Rig::new();
        let over = in_seconds(&rig, seconds);
        rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{over}"}}"#)).unwrap();
        if seconds < 0 {
            sees_at(&mut rig, &[(1, NOBODY), (60, NOBODY)]);
        }
        rig.publish(DOOR, "on").unwrap(); // that end was not this one's
        sees_at(&mut rig, &[(1, MEETING), (12 * 3600 - 1, MEETING), (12 * 3600 + 1, NOBODY)]);
    }
}

#[test]
fn an_end_that_is_past_says_nothing_with_an_off_and_ends_what_is_on() {
    for seconds in [-60, 0] {
        let mut rig = Rig::new();
        let over = in_seconds(&rig, seconds);
        for first in [r#"{"until": "END"}"#, r#"{"on": false, "until": "END"}"#] {
            rig.publish(DOOR, &first.replace("END", &over)).unwrap();
            rig.publish(DOOR, "on").unwrap();
            sees_at(&mut rig, &[(1, MEETING), (600, MEETING)]);
        }
        let over = in_seconds(&rig, seconds);
        rig.publish(DOOR, &format!(r#"{{"until": "{over}"}}"#)).unwrap(); // a calendar puts it right
        sees_at(&mut rig, &[(1, NOBODY), (600, NOBODY)]);
        rig.publish(DOOR, r#"{"until": null}"#).unwrap_or_default();
        sees_at(&mut rig, &[(1, NOBODY)]);
    }
}

#[test]
fn an_end_may_come_before_the_on_alone_or_with_an_off() {
    for first in [r#"{"until": "END"}"#, r#"{"on": false, "until": "END"}"#] {
        let mut rig = Rig::new();
        let end = in_seconds(&rig, 600);
        rig.publish(DOOR, &first.replace("END", &end)).unwrap();
        rig.drive(60);
        rig.publish(DOOR, "on").unwrap();
        sees_at(&mut rig, &[(1, MEETING), (539, MEETING), (541, NOBODY)]);
    }
}

/// How many shares the core knows of Alice.
fn shares(rig: &Rig) -> usize {
    rig.core.view(rig.id("alice")).shares().count()
}

#[test]
fn what_is_over_is_forgotten() {
    let mut rig = Rig::new();
    rig.publish("ring/alice", "on").unwrap(); // ttl 5 min
    rig.publish("cam/alice", "off").unwrap(); // 12 h
    let end = in_seconds(&rig, 600);
    rig.publish(DOOR, &format!(r#"{{"until": "{end}"}}"#)).unwrap();
    rig.drive(299);
    assert_eq!(shares(&rig), 3);
    rig.drive(2);
    assert_eq!(shares(&rig), 2, "a lease that ended");
    rig.drive(300);
    rig.publish("cam/alice", "on").unwrap();
    assert_eq!(shares(&rig), 1, "an end that nothing began, at the next change");
    rig.drive(10);
    rig.publish("cam/alice", "off").unwrap();
    rig.drive(12 * 3600 + 1);
    assert_eq!(shares(&rig), 0, "an off that nobody repeated");
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish(PHONE, "UNAVAILABLE").unwrap();
    rig.drive(14);
    assert_eq!(shares(&rig), 1);
    rig.drive(2);
    assert_eq!(shares(&rig), 0, "what a device withdrew");
}
