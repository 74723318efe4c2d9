//! The core by stories, on virtual time: what happened, and what a colleague sees of it.

use std::time::Duration;

use presence_bridge::presence::{
    Alarm, Held, Link, Mono, ObjectId, Outcome, Partition, Presence, Rate, Reason, TenantId, Waiting,
};

use crate::support::rig::{Fate, Rig};

const NOBODY: &str = "Offline/Offline";
const CALL: &str = "Busy/InACall";
const MEETING: &str = "Busy/InAConferenceCall";
const PHONE: &str = "pbx/devstate/PJSIP/1001";
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
    rig.drive(1);
    rig.sees("alice", MEETING);
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", CALL);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", MEETING);
    rig.publish("ha/alice/state", "off").unwrap();
    rig.drive(1);
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
