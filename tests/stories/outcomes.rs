//! How calls to Graph end, and what follows for the person, for everybody, and for the next call.

use std::time::Duration;

use presence_bridge::presence::{Alarm, Outcome, TenantId, Waiting};

use super::{CALL, MEETING, NOBODY, PHONE};
use crate::support::rig::{Fate, Rig};

#[test]
fn fault_47_three_repeats_while_the_first_post_is_throttled() {
    let mut rig = Rig::new();
    let throttled = Outcome::Throttled { retry_after: Some(Duration::from_secs(2)) };
    rig.fates.push(Fate::Refused(throttled));
    for _ in 0..3 {
        rig.publish(PHONE, "INUSE").unwrap();
    }
    rig.drive(1);
    rig.sees("alice", NOBODY);
    rig.drive(2);
    rig.sees("alice", CALL);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", NOBODY);
    rig.called(&["alice Busy/InACall", "alice Busy/InACall", "alice clear"]);
}

#[test]
fn fault_47_a_call_that_was_applied_and_throttled_is_repeated() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::AppliedBut(Outcome::Throttled { retry_after: None }));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(3);
    rig.called(&["alice Busy/InACall", "alice Busy/InACall"]);
    rig.sees("alice", CALL);
}

#[test]
fn fault_46_nothing_is_sent_while_the_gate_is_shut() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::Refused(Outcome::Throttled { retry_after: Some(Duration::from_secs(60)) }));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    rig.drive(50);
    rig.called(&["alice Busy/InACall"]);
    rig.drive(20);
    rig.sees("alice", CALL);
    rig.sees("bob", CALL);
}

#[test]
fn fault_49_a_set_whose_answer_was_lost_then_hang_up_is_cleared_twice() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::AppliedLate(Duration::from_secs(25)));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(2);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(60);
    rig.sees("alice", NOBODY);
    rig.called(&["alice Busy/InACall", "alice clear", "alice clear"]);
}

#[test]
fn fault_52_an_old_write_that_lands_late_is_overwritten() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::AppliedLate(Duration::from_secs(20)));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(5);
    rig.publish("ha/alice/state", "on").unwrap();
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(40);
    rig.sees("alice", MEETING);
}

#[test]
fn an_answer_lost_is_asked_again_with_the_newest_wish() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::AnswerLost);
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(15);
    rig.called(&["alice Busy/InACall", "alice Busy/InACall"]);
    rig.drive(60);
    rig.called(&["alice Busy/InACall", "alice Busy/InACall"]);
}

#[test]
fn fault_44_a_person_whom_graph_does_not_know_is_parked_and_others_go_on() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::Refused(Outcome::NoSuchUser));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    rig.drive(600);
    rig.sees("bob", CALL);
    assert_eq!(rig.calls.iter().filter(|(_, call)| call.starts_with("alice")).count(), 1);
    let alice = rig.id("alice");
    assert_eq!(rig.core.view(alice).waiting().map(|(why, _)| why), Some(Waiting::NoSuchUser));
    assert_eq!(rig.alarms, [(Alarm::NoSuchUser(alice), true)]);
    rig.drive(3600);
    rig.sees("alice", CALL);
    assert_eq!(rig.alarms.last(), Some(&(Alarm::NoSuchUser(alice), false)));
}

#[test]
fn fault_43_three_refused_people_in_a_row_are_the_applications_fault() {
    let mut rig = Rig::new();
    let forbidden = Fate::Refused(Outcome::Forbidden { role_missing: false });
    rig.fates.extend([forbidden; 7]);
    for label in ["alice", "bob", "carol", "dave"] {
        rig.publish(&format!("ha/{label}/state"), "on").unwrap();
    }
    rig.drive(3600);
    assert!(rig.alarms.contains(&(Alarm::ApplicationRefused(TenantId(0)), true)), "{:?}", rig.alarms);
    assert!(rig.alarms.contains(&(Alarm::ApplicationRefused(TenantId(0)), false)), "{:?}", rig.alarms);
    for label in ["alice", "bob", "carol", "dave"] {
        rig.sees(label, MEETING); // healed: nobody stays parked
    }
}

#[test]
fn fault_44_three_people_whom_graph_does_not_know_in_a_row_are_the_routes_fault() {
    let mut rig = Rig::new();
    rig.fates.extend([Fate::Refused(Outcome::NoSuchUser); 3]);
    for label in ["alice", "bob", "carol"] {
        rig.publish(&format!("ha/{label}/state"), "on").unwrap();
        rig.drive(1);
    }
    assert!(rig.alarms.contains(&(Alarm::NobodyKnown(TenantId(0)), true)), "{:?}", rig.alarms);
    let own = |label: &str| Alarm::NoSuchUser(rig.id(label));
    for label in ["alice", "bob"] {
        assert!(rig.alarms.contains(&(own(label), false)), "it was not {label}: {:?}", rig.alarms);
    }
    rig.calls.clear();
    rig.drive(290);
    rig.called(&[]);
    rig.drive(20);
    assert_eq!(rig.alarms.last(), Some(&(Alarm::NobodyKnown(TenantId(0)), false)));
    for label in ["alice", "bob", "carol"] {
        rig.sees(label, MEETING);
    }
}

#[test]
fn fault_43_refused_people_with_others_served_between_them_are_their_own_fault() {
    let mut rig = Rig::new();
    let forbidden = Fate::Refused(Outcome::Forbidden { role_missing: false });
    for (label, refused) in [("alice", true), ("bob", true), ("carol", false), ("dave", true)] {
        rig.fates.extend([forbidden; 2].into_iter().filter(|_| refused));
        rig.publish(&format!("ha/{label}/state"), "on").unwrap();
        rig.drive(1);
        assert_eq!(rig.alarms.contains(&(Alarm::PersonRefused(rig.id(label)), true)), refused, "{label}");
    }
    rig.sees("carol", MEETING);
    assert!(!rig.alarms.contains(&(Alarm::ApplicationRefused(TenantId(0)), true)), "{:?}", rig.alarms);
}

#[test]
fn fault_43_a_token_without_the_role_shuts_the_gate_at_once() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::Refused(Outcome::Forbidden { role_missing: true }));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    rig.drive(280);
    assert!(rig.calls.len() <= 2, "{:?}", rig.calls);
    rig.drive(60);
    rig.sees("alice", CALL);
    rig.sees("bob", CALL);
}

#[test]
fn fault_45_the_same_refused_body_is_not_sent_again() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::Refused(Outcome::Refused));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1800);
    rig.called(&["alice Busy/InACall"]);
    rig.publish("ha/alice/state", "on").unwrap();
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", MEETING);
}

#[test]
fn fault_40_one_401_is_tried_again_at_once() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::Refused(Outcome::Unauthorised));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", CALL);
    assert!(rig.alarms.is_empty());
}

#[test]
fn fault_48_a_storm_of_failures_shuts_the_gate_and_heals() {
    let mut rig = Rig::new();
    rig.fates.extend([Fate::Refused(Outcome::Ambiguous); 30]);
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(600);
    assert!(rig.calls.len() < 50, "{} calls", rig.calls.len());
    rig.drive(600);
    rig.sees("alice", CALL);
}

#[test]
fn fault_54_what_ended_while_graph_was_down_is_not_set_afterwards() {
    let mut rig = Rig::new();
    rig.fates.extend([Fate::Refused(Outcome::NotSent); 20]);
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(20);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(600);
    rig.sees("alice", NOBODY);
    // Nothing was ever sent, so nothing has to be cleared.
    assert!(!rig.calls.iter().any(|(_, call)| call.ends_with("clear")), "{:?}", rig.calls);
}

#[test]
fn one_call_is_in_flight_for_a_person() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::AnswerLost);
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(9);
    assert_eq!(rig.calls.len(), 1);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(60);
    rig.sees("alice", NOBODY);
}
