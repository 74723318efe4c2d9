//! The core by stories, on virtual time: what happened, and what a colleague sees of it.

use std::time::Duration;

use presence_bridge::presence::{
    Alarm, Deadline, Held, Link, Mono, ObjectId, Outcome, Partition, Presence, Rate, Reason, Restart, TenantId,
    Timestamp, Waiting,
};

use crate::support::rig::{Fate, Rig};

const NOBODY: &str = "Offline/Offline";
const CALL: &str = "Busy/InACall";
const MEETING: &str = "Busy/InAConferenceCall";
const PHONE: &str = "pbx/devstate/PJSIP/1001";
const DOOR: &str = "presence-bridge/in/alice/meeting";
const DOWN: Link = Link::Down;
const UP: Link = Link::Up { session_present: false, expiry: Duration::ZERO };

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
fn available_never_fades_in_a_day() {
    let mut rig = Rig::new();
    rig.publish("desk/alice", "on").unwrap();
    rig.drive(1);
    for _ in 0..24 * 60 {
        rig.drive(60);
        rig.sees("alice", "Available/Available");
    }
    // From 150 s, so at most 576 in a day; never later than 240 s, so at least 360.
    assert!((360..=577).contains(&rig.calls.len()), "{} calls", rig.calls.len());
}

#[test]
fn busy_is_refreshed_for_three_hours_and_then_cleared() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    for _ in 0..3 * 60 {
        rig.drive(60);
        rig.sees("alice", CALL);
    }
    // Refreshed from half to six tenths of five minutes: 60 to 72 times in three hours, and the first.
    assert!((60..=73).contains(&rig.calls.len()), "{} calls", rig.calls.len());
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", NOBODY);
}

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
    let mut rig = Rig::with("[presence]\nwhen_free = \"available\"");
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

#[test]
fn the_budget_is_kept() {
    let mut rig = Rig::new();
    let now = rig.now;
    rig.core.handle_budget(
        now,
        TenantId(0),
        Rate { per_second: 1.0, burst: 1 },
        Some(now.mono + Duration::from_secs(30)),
    );
    for label in ["alice", "bob", "carol", "dave", "erin"] {
        rig.publish(&format!("ha/{label}/state"), "on").unwrap();
    }
    rig.drive(29);
    assert!(rig.calls.is_empty(), "the gate is shut");
    rig.drive(10);
    assert_eq!(rig.calls.len(), 5);
    for pair in rig.calls.windows(2) {
        assert!(
            pair[1].0.since(pair[0].0) >= Duration::from_millis(99),
            "a probe first, then one a second: {:?}",
            rig.calls
        );
    }
}

#[test]
fn somebody_no_longer_listed_is_cleared_once() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    rig.reload("");
    rig.drive(1);
    rig.sees("alice", CALL); // the same configuration ends nothing
    let mut plan = crate::support::rig::config("").plan;
    plan.people.remove(0);
    plan.rules = presence_bridge::presence::Rules::default();
    let now = rig.now;
    rig.core.handle_config(now, std::sync::Arc::new(plan));
    rig.drive(3600);
    rig.sees("alice", NOBODY);
    rig.called(&["alice Busy/InACall", "alice clear"]);
}

#[test]
fn a_partition_that_is_lost_is_left_alone_and_one_that_is_gained_is_doubted() {
    let mut rig = Rig::new();
    let tenant: ObjectId = "aaaaaaaa-0000-4000-8000-000000000001".parse().unwrap();
    let alice: ObjectId = crate::support::ALICE.parse().unwrap();
    let partition = Partition::of(tenant, alice);
    let now = rig.now;
    rig.core.handle_ownership(now, partition, None);
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(60);
    rig.called(&[]);
    let now = rig.now;
    rig.core.handle_ownership(now, partition, Some(Mono::MAX));
    rig.drive(1);
    rig.sees("alice", CALL);
}

#[test]
fn the_partition_of_a_person_is_a_format() {
    let tenant: ObjectId = "AAAAAAAA-0000-4000-8000-000000000001".parse().unwrap();
    let alice: ObjectId = crate::support::ALICE.parse().unwrap();
    // printf 'aaaaaaaa-0000-4000-8000-000000000001\0001111…' | sha256sum, first byte modulo 64
    assert_eq!(Partition::of(tenant, alice), Partition(PARTITION_OF_ALICE));
}

const PARTITION_OF_ALICE: u8 = include!("fixtures/partition_of_alice.txt");

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
fn deafness_does_not_end_what_has_a_known_end() {
    let mut rig = Rig::new();
    let end = in_seconds(&rig, 3600);
    rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
    rig.drive(1);
    rig.link(DOWN);
    sees_at(&mut rig, &[(1800, MEETING), (3601, NOBODY)]);
}

#[test]
fn fault_36_a_flapping_phone_rises_at_once_and_falls_when_it_is_quiet() {
    let mut rig = Rig::new();
    for _ in 0..3000 {
        rig.publish(PHONE, "INUSE").unwrap();
        rig.pass(Duration::from_millis(100));
        rig.publish(PHONE, "NOT_INUSE").unwrap();
        rig.pass(Duration::from_millis(100));
    }
    let calls = rig.calls.len();
    assert!((4..=24).contains(&calls), "{calls} calls in ten minutes of flapping: {:#?}", rig.calls);
    rig.drive(7);
    rig.sees("alice", NOBODY);
}

#[test]
fn a_paused_person_is_cleared_once_and_comes_back_by_itself() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    let until = Deadline { mono: rig.now.mono + Duration::from_secs(600), ..Deadline::NEVER };
    rig.pause("alice", Some(until));
    sees_at(&mut rig, &[(1, NOBODY), (599, NOBODY), (601, CALL)]);
    rig.pause("alice", Some(Deadline::NEVER));
    rig.drive(1);
    rig.publish(PHONE, "NOT_INUSE").unwrap(); // shares are kept up to date
    rig.drive(3600);
    rig.pause("alice", None);
    rig.drive(60);
    rig.called(&["alice Busy/InACall", "alice clear", "alice Busy/InACall", "alice clear"]);
}

#[test]
fn with_trust_until_the_expiration_is_the_known_end() {
    let mut rig = Rig::with("[presence]\ntrust_until = true\n");
    let end = in_seconds(&rig, 2 * 3600);
    rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
    sees_at(&mut rig, &[(1, MEETING), (7199, MEETING)]);
    rig.called(&["alice Busy/InAConferenceCall"]); // not one refresh
    rig.drive(5);
    rig.sees("alice", NOBODY);
}

#[test]
fn with_trust_until_an_end_that_moves_in_is_told_and_one_that_moves_out_is_not() {
    let mut rig = Rig::with("[presence]\ntrust_until = true\n");
    let tell = |rig: &mut Rig, seconds: i64| {
        let end = in_seconds(rig, seconds);
        rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
        rig.drive(1);
        rig.calls.len()
    };
    assert_eq!(tell(&mut rig, 7200), 1);
    assert_eq!(tell(&mut rig, 3600), 2);
    assert_eq!(tell(&mut rig, 5400), 2);
    rig.drive(5390);
    rig.sees("alice", MEETING); // refreshed in time for the later end
    rig.drive(20);
    rig.sees("alice", NOBODY);
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

/// All calls, after checking how many name `what`.
#[track_caller]
fn calls_of<'a>(rig: &'a Rig, what: &str, count: usize) -> Vec<&'a str> {
    let calls: Vec<&str> = rig.calls.iter().map(|(_, call)| call.as_str()).collect();
    assert_eq!(calls.iter().filter(|call| call.contains(what)).count(), count, "{calls:?}");
    calls
}

#[test]
fn who_would_lapse_gets_half_of_the_rate_and_changes_the_other_half() {
    // Two calls a second. Five people hold a call; their refreshes are held back by a shut gate until all are urgent.
    let mut rig = Rig::with("[presence]\nrate = 1.0\nburst = 1\n");
    for phone in ["alice", "bob", "carol"] {
        rig.publish(&format!("presence-bridge/in/{phone}/call"), "on").unwrap();
    }
    rig.drive(10);
    let shut = Some(rig.now.mono + Duration::from_secs(260));
    rig.core.handle_budget(rig.now, TenantId(0), Rate { per_second: 1.0, burst: 1 }, shut);
    rig.drive(250);
    rig.calls.clear();
    for phone in ["dave", "erin"] {
        rig.publish(&format!("presence-bridge/in/{phone}/call"), "on").unwrap();
    }
    rig.drive(20);
    let who: Vec<&str> = rig.calls.iter().filter_map(|(_, call)| call.split(' ').next()).collect();
    let changes: Vec<usize> =
        ["dave", "erin"].iter().filter_map(|who_| who.iter().position(|who| who == who_)).collect();
    assert_eq!(changes, [1, 3], "{who:?}");
}

#[test]
fn a_fall_that_waited_long_stands_beside_rises() {
    let mut rig = Rig::with("[presence]\nrate = 1.0\nburst = 1\n");
    rig.publish("presence-bridge/in/alice/call", "on").unwrap();
    rig.drive(10);
    let shut = Some(rig.now.mono + Duration::from_secs(60));
    rig.core.handle_budget(rig.now, TenantId(0), Rate { per_second: 1.0, burst: 1 }, shut);
    rig.publish("presence-bridge/in/alice/call", "off").unwrap();
    rig.drive(20);
    rig.publish("presence-bridge/in/bob/call", "on").unwrap();
    rig.drive(5);
    rig.calls.clear();
    rig.drive(50);
    rig.called(&["alice clear", "bob Busy/InACall"]); // within 30 s it would have been the other way round
}

const CRASH: Restart = Restart { same_boot: true, clean: false };
const STOP: Restart = Restart { same_boot: true, clean: true };

#[test]
fn after_a_clean_stop_nothing_is_sent_again() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(10);
    rig.restart(Duration::from_secs(20), STOP);
    rig.link(UP);
    rig.replay(PHONE, "INUSE").unwrap_err();
    rig.link(Link::Replayed);
    rig.drive(60);
    rig.called(&[]);
    rig.drive(600);
    rig.sees("alice", CALL); // and it is refreshed
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", NOBODY);
}

#[test]
fn after_a_crash_who_is_wanted_is_set_and_who_is_not_is_cleared_once() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    rig.drive(10);
    rig.publish("pbx/devstate/PJSIP/1002", "NOT_INUSE").unwrap();
    rig.restart(Duration::from_secs(5), CRASH);
    rig.link(UP);
    rig.replay(PHONE, "INUSE").unwrap_err();
    rig.link(Link::Replayed);
    rig.drive(60);
    rig.sees("alice", CALL);
    rig.sees("bob", NOBODY);
    let mut calls = rig.calls.iter().map(|(_, call)| call.as_str()).collect::<Vec<_>>();
    calls.sort_unstable();
    assert_eq!(calls, ["alice Busy/InACall", "bob clear"], "carol, dave and erin are left alone");
}

#[test]
fn what_ended_while_the_process_was_gone_is_cleared_although_nobody_says_so() {
    let mut rig = Rig::new();
    rig.publish("ring/alice", "on").unwrap(); // ttl 5 min
    rig.drive(200);
    rig.restart(Duration::from_secs(120), STOP);
    rig.drive(1);
    rig.sees("alice", NOBODY);
}

#[test]
fn a_long_downtime_is_deafness() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(200);
    rig.restart(Duration::from_secs(14 * 60), STOP);
    rig.drive(30); // the broker does not come: known until blind_hold is over
    rig.sees("alice", CALL);
    rig.drive(60);
    rig.sees("alice", NOBODY);
    rig.link(UP);
    rig.replay(PHONE, "INUSE").unwrap_err();
    rig.link(Link::Replayed);
    rig.drive(1);
    rig.sees("alice", CALL); // it was only not heard; the lease still runs
}

#[test]
fn another_boot_is_judged_by_the_wall_clock() {
    let mut rig = Rig::new();
    rig.publish("ring/alice", "on").unwrap(); // ttl 5 min
    rig.drive(100);
    rig.restart(Duration::from_secs(120), Restart { same_boot: false, clean: true });
    rig.link(UP);
    rig.replay("ring/alice", "on").unwrap_err();
    rig.link(Link::Replayed);
    rig.drive(1);
    rig.sees_wanted("alice", Some(Presence::InACall));
    rig.drive(85); // 306 s after the ring
    rig.sees_wanted("alice", None);
}

#[test]
fn fault_56_a_clock_that_reads_earlier_than_the_journal_proves_nothing() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(100);
    let snapshot = serde_json::to_string(&rig.core.snapshot(rig.now)).unwrap();
    rig.now.wall = Timestamp::from_millis(1_000); // a machine without a clock of its own, just booted
    rig.restart_from(&snapshot, Duration::from_secs(1), Restart { same_boot: false, clean: true });
    rig.drive(1);
    rig.sees_wanted("alice", None);
    rig.link(UP);
    rig.replay(PHONE, "INUSE").unwrap_err();
    rig.link(Link::Replayed);
    rig.drive(1);
    rig.sees_wanted("alice", Some(Presence::InACall));
}

#[test]
fn a_gate_survives_a_restart() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::Refused(Outcome::Throttled { retry_after: Some(Duration::from_secs(300)) }));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(10);
    rig.restart(Duration::from_secs(100), CRASH);
    rig.link(UP);
    rig.replay(PHONE, "INUSE").unwrap_err();
    rig.link(Link::Replayed);
    rig.drive(180);
    rig.called(&[]);
    rig.drive(20);
    rig.called(&["alice Busy/InACall"]);
}

#[test]
fn a_person_no_longer_listed_after_a_restart_is_cleared_once() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(10);
    let json = serde_json::to_string(&rig.core.snapshot(rig.now)).unwrap();
    let json = json.replace("11111111-1111-4111-8111-111111111111", "99999999-1111-4111-8111-111111111111");
    rig.restart_from(&json, Duration::from_secs(1), STOP);
    rig.drive(60);
    rig.called(&["99999999-1111-4111-8111-111111111111 clear"]);
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
