//! Who is listed, owned and paused.

use std::time::Duration;

use presence_bridge::presence::rule::Rule;
use presence_bridge::presence::{
    Action, Deadline, Mono, ObjectId, Outcome, Partition, Policy, Publish, Rules, SourceId,
};

use super::{CALL, MEETING, NOBODY, PHONE, sees_at};
use crate::support::ALICE;
use crate::support::plan::{desks, desks_changed};
use crate::support::rig::{Fate, Rig};

#[test]
fn somebody_no_longer_listed_is_cleared_once() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    rig.reload(desks(Policy::default()));
    rig.drive(1);
    rig.sees("alice", CALL); // the same configuration ends nothing
    let mut plan = desks(Policy::default());
    plan.people.remove(0);
    plan.rules = Rules::default();
    rig.calls.clear();
    rig.reload(plan);
    rig.drive(3600);
    assert!(rig.calls.iter().all(|(_, call)| call.ends_with("clear")), "(i) set, and not listed: {:?}", rig.calls);
    rig.called(&["alice clear"]);
    rig.sees("alice", NOBODY);
}

#[test]
fn who_was_parked_and_is_taken_off_the_list_and_on_it_again_is_tried_at_once() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::Refused(Outcome::NoSuchUser));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    assert!(rig.core.view(rig.id("alice")).waiting().is_some());
    let mut plan = desks(Policy::default());
    plan.people.remove(0);
    plan.rules = Rules::default();
    rig.reload(plan);
    rig.drive(1);
    rig.reload(desks(Policy::default()));
    rig.publish("ha/alice/state", "on").unwrap();
    rig.drive(1);
    rig.sees("alice", MEETING);
}

#[test]
fn a_share_lives_on_under_new_rules_if_its_own_is_the_same_and_leads_to_the_same_person() {
    let held = |edit: fn(&mut Vec<Rule>, &mut Vec<(String, usize)>)| {
        let mut rig = Rig::new();
        rig.publish(PHONE, "INUSE").unwrap();
        rig.publish("presence-bridge/in/bob/meeting", "on").unwrap();
        rig.drive(1);
        rig.reload(desks_changed(Policy::default(), edit));
        rig.drive(1);
        rig.sees("bob", MEETING); // the door stays
        rig.seen("alice")
    };
    assert_eq!(held(|_, _| ()), CALL);
    assert_eq!(held(|rules, _| rules.rotate_right(1)), CALL, "it stands elsewhere");
    assert_eq!(held(|rules, _| drop(rules.remove(0))), NOBODY, "it is gone");
    assert_eq!(held(|rules, _| rules[0].ttl /= 2), NOBODY, "it says something else");
    assert_eq!(held(|_, devices| devices.retain(|device| device.0 != "1001")), NOBODY, "the phone is nobody's");
    let moved: fn(&mut Vec<Rule>, &mut Vec<(String, usize)>) =
        |_, devices| devices.iter_mut().filter(|device| device.0 == "1001").for_each(|device| device.1 = 1);
    assert_eq!(held(moved), NOBODY, "the phone is another's");
}

#[test]
fn a_partition_that_is_lost_is_left_alone_and_one_that_is_gained_is_doubted() {
    let mut rig = Rig::new();
    let tenant: ObjectId = "aaaaaaaa-0000-4000-8000-000000000001".parse().unwrap();
    let alice: ObjectId = ALICE.parse().unwrap();
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
fn a_call_may_start_only_as_long_as_its_attempt_ends_within_the_ownership() {
    let mut rig = Rig::new();
    let partition = Partition::of("aaaaaaaa-0000-4000-8000-000000000001".parse().unwrap(), ALICE.parse().unwrap());
    for owned in [12, 60] {
        let until = rig.now.mono + Duration::from_secs(owned);
        rig.core.handle_ownership(rig.now, partition, Some(until));
        let publish = Publish { topic: PHONE.as_bytes(), payload: b"INUSE", retain: false, expiry: None };
        let mut core = rig.core.clone();
        core.handle_publish(rig.now, SourceId(0), &publish);
        let starts_by = std::iter::from_fn(|| core.poll_action()).find_map(|action| match action {
            Action::SetPresence { not_after, .. } => Some(not_after.since(rig.now.mono).as_secs()),
            _ => None,
        });
        assert_eq!(starts_by, Some(5.min(owned - 10)), "(e) an attempt takes ten seconds");
    }
}

#[test]
fn the_partition_of_a_person_is_a_format() {
    let tenant: ObjectId = "AAAAAAAA-0000-4000-8000-000000000001".parse().unwrap();
    let alice: ObjectId = ALICE.parse().unwrap();
    // printf 'aaaaaaaa-0000-4000-8000-000000000001\0001111…' | sha256sum, first byte modulo 64
    assert_eq!(Partition::of(tenant, alice), Partition(PARTITION_OF_ALICE));
}

const PARTITION_OF_ALICE: u8 = include!("../fixtures/partition_of_alice.txt");

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
fn a_reload_does_not_lift_the_back_off_of_a_clear_that_fails() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    let without_alice = || {
        let mut plan = desks(Policy::default());
        plan.people.remove(0);
        plan.rules = Rules::default();
        plan
    };
    rig.calls.clear();
    rig.fates.push(Fate::Refused(Outcome::NotSent));
    rig.reload(without_alice());
    for _ in 0..10 {
        rig.pass(Duration::from_millis(20));
        rig.reload(without_alice());
    }
    rig.called(&["alice clear"]); // a tenth of a second after it failed, and a second is to pass
    rig.drive(5);
    rig.called(&["alice clear", "alice clear"]);
    rig.sees("alice", NOBODY);
}
