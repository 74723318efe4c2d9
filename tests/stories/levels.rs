//! What shares add up to: what a phone, a meeting and the door say, and what is seen of it.

use presence_bridge::presence::{Held, Policy, Presence, Reason};

use super::{CALL, MEETING, NOBODY, PHONE, sees_at};
use crate::support::rig::Rig;

#[test]
fn off_hook_is_seen_and_on_hook_clears() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", CALL);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", NOBODY);
    rig.called(&["alice Busy/InACall", "alice clear"]);
}

#[test]
fn a_call_inside_a_meeting_gives_the_meeting_back() {
    let mut rig = Rig::new();
    rig.publish("ha/alice/state", "on").unwrap();
    rig.drive(10);
    rig.sees("alice", MEETING);
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(10);
    rig.sees("alice", CALL);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(10);
    rig.sees("alice", MEETING);
    rig.publish("ha/alice/state", "off").unwrap();
    rig.drive(10);
    rig.sees("alice", NOBODY);
}

#[test]
fn a_meeting_that_begins_during_a_call_does_not_hide_it() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish("ha/alice/state", "on").unwrap();
    rig.publish("desk/alice", "on").unwrap();
    rig.drive(10);
    rig.sees("alice", CALL);
    rig.called(&["alice Busy/InACall"]);
}

#[test]
fn of_two_phones_the_one_that_rang_first_is_named() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish("yealink/action/off_hook", "").unwrap();
    assert_eq!(rig.core.view(rig.id("alice")).because().unwrap().device, PHONE);
}

#[test]
fn two_topics_of_one_phone_are_one_level() {
    let mut rig = Rig::new();
    rig.publish("yealink/action/off_hook", r#"{"triggered":true}"#).unwrap();
    rig.drive(1);
    rig.sees("alice", CALL);
    rig.publish("yealink/action/on_hook", r#"{"triggered":true}"#).unwrap();
    rig.drive(1);
    rig.sees("alice", NOBODY);
}

#[test]
fn what_one_topic_said_before_is_no_repeat_once_another_has_spoken() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        for (event, shows) in [("off_hook", CALL), ("off_hook", CALL), ("on_hook", NOBODY), ("on_hook", NOBODY)] {
            rig.publish(&format!("yealink/action/{event}"), "").unwrap();
            rig.drive(20);
            rig.sees("alice", shows);
        }
    }
}

#[test]
fn two_phones_of_one_person_are_ored() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish("yealink/action/off_hook", "").unwrap();
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", CALL);
    rig.publish("yealink/action/on_hook", "").unwrap();
    rig.drive(1);
    rig.sees("alice", NOBODY);
}

#[test]
fn repeats_cost_nothing() {
    let mut rig = Rig::new();
    for _ in 0..50 {
        rig.publish(PHONE, "INUSE").unwrap();
        rig.drive(1);
    }
    rig.called(&["alice Busy/InACall"]);
}

#[test]
fn unknown_waits_for_grace_and_off_does_not() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(10);
    rig.publish(PHONE, "UNAVAILABLE").unwrap();
    rig.drive(10);
    rig.sees("alice", CALL);
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(20);
    rig.sees("alice", CALL);
    rig.publish(PHONE, "UNAVAILABLE").unwrap();
    rig.drive(20);
    rig.sees("alice", NOBODY);
}

#[test]
fn when_free_acts_on_free_only() {
    let mut rig = Rig::with(Policy { when_free: Some(Presence::Available), ..Policy::default() });
    rig.drive(10);
    rig.sees("alice", NOBODY); // nothing is known
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", "Available/Available");
    rig.drive(3600);
    rig.sees("alice", "Available/Available");
    rig.publish(PHONE, "UNAVAILABLE").unwrap();
    rig.drive(20);
    rig.sees("alice", NOBODY); // a dead phone is not a free person
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.publish(PHONE, "UNAVAILABLE").unwrap();
    sees_at(&mut rig, &[(14, "Available/Available"), (16, NOBODY)]); // a hub that restarts does not flash
}

#[test]
fn the_door_needs_no_rule() {
    let mut rig = Rig::new();
    rig.publish("presence-bridge/in/carol/meeting", r#"{"on": true, "for": "30m"}"#).unwrap();
    rig.drive(1795);
    rig.sees("carol", MEETING);
    rig.drive(10);
    rig.sees("carol", NOBODY);
    rig.publish("presence-bridge/in/carol/call", "on").unwrap();
    rig.drive(1);
    rig.sees("carol", CALL);
    rig.publish("presence-bridge/in/carol/call", "off").unwrap();
    rig.drive(1);
    rig.sees("carol", NOBODY);
    assert_eq!(rig.publish("presence-bridge/in/mallory/call", "on"), Err(Reason::UnknownSubject));
    assert_eq!(rig.publish("presence-bridge/in/carol/nonsense", "on"), Err(Reason::UnknownSignal));
}

#[test]
fn view_says_why() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    let view = rig.core.view(rig.id("alice"));
    assert_eq!(view.wanted(), Some(Presence::InACall));
    assert!(matches!(view.held(), Held::Pair { presence: Presence::InACall, .. }));
    let because = view.because().unwrap();
    assert_eq!((because.signal, because.subject, because.device), ("call", "1001", PHONE));
}
