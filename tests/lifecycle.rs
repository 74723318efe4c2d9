//! The core beyond a working day: it stops, it is one of several replicas, its budget does not suffice.

use std::time::Duration;

use presence_bridge::presence::{Alarm, Held, Link, Mono, OnStop, Outcome, Partition, Policy, Rate, Restart, TenantId};

use crate::support::rig::{Fate, Rig};

const CALL: &str = "Busy/InACall";
const NOBODY: &str = "Offline/Offline";

fn partition(rig: &Rig, label: &str) -> Partition {
    let tenant = "aaaaaaaa-0000-4000-8000-000000000001".parse().unwrap();
    Partition::of(tenant, rig.core.person(rig.id(label)).object_id)
}

fn own(rig: &mut Rig, label: &str, until: Option<Mono>) {
    let partition = partition(rig, label);
    rig.core.handle_ownership(rig.now, partition, until);
    rig.drive(0);
}

#[test]
fn a_stop_that_clears_leaves_nothing_and_the_next_process_sets_it_again() {
    let mut rig = Rig::new();
    rig.publish("pbx/devstate/PJSIP/1001", "INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", CALL);
    rig.core.handle_stop(rig.now, OnStop::Clear);
    assert!(!rig.core.is_idle());
    rig.drive(1);
    rig.sees("alice", NOBODY);
    assert!(rig.core.is_idle());
    // The call goes on. The broker says what it said before, which alone would mean nothing new.
    rig.restart(Duration::from_secs(5), Restart { same_boot: true, clean: true });
    rig.link(Link::Up { session_present: false, expiry: Duration::ZERO });
    let _same = rig.replay("pbx/devstate/PJSIP/1001", "INUSE");
    rig.link(Link::Replayed);
    rig.drive(2);
    rig.sees("alice", CALL);
}

#[test]
fn a_stop_that_leaves_sends_what_changed_and_refreshes_nobody() {
    let mut rig = Rig::new();
    rig.publish("pbx/devstate/PJSIP/1001", "INUSE").unwrap();
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    rig.drive(178);
    rig.publish("pbx/devstate/PJSIP/1001", "NOT_INUSE").unwrap();
    rig.calls.clear();
    rig.core.handle_stop(rig.now, OnStop::Leave);
    rig.drive(20);
    assert!(rig.core.is_idle());
    rig.sees("alice", NOBODY);
    rig.sees("bob", CALL);
    assert!(!rig.calls.iter().any(|(_, call)| call.starts_with("bob")), "{:?}", rig.calls);
}

#[test]
fn no_call_is_given_out_whose_attempt_could_outlast_the_ownership() {
    let mut rig = Rig::new();
    let ends = rig.now.mono + Duration::from_secs(60);
    own(&mut rig, "alice", Some(ends));
    rig.drive(49);
    rig.publish("pbx/devstate/PJSIP/1001", "INUSE").unwrap();
    rig.drive(2); // an attempt takes ten seconds: the last moment is at fifty
    rig.sees("alice", CALL);
    rig.calls.clear();
    rig.publish("pbx/devstate/PJSIP/1001", "NOT_INUSE").unwrap();
    rig.drive(30);
    rig.called(&[]);
}

#[test]
fn who_gains_a_partition_sets_who_is_wanted_and_clears_who_may_be_held_once() {
    let mut rig = Rig::new();
    for label in ["alice", "bob", "carol"] {
        own(&mut rig, label, None);
    }
    // Warm, but not ours: another replica does this.
    rig.publish("pbx/devstate/PJSIP/1001", "INUSE").unwrap();
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    rig.drive(5);
    rig.publish("pbx/devstate/PJSIP/1002", "NOT_INUSE").unwrap();
    rig.drive(60);
    rig.called(&[]);
    for label in ["alice", "bob", "carol"] {
        own(&mut rig, label, Some(Mono::MAX));
    }
    rig.drive(1);
    rig.calls.sort_by(|one, other| one.1.cmp(&other.1));
    rig.called(&["alice Busy/InACall", "bob clear"]);
}

#[test]
fn an_ownership_that_had_run_out_before_it_was_renewed_counts_as_gained() {
    let mut rig = Rig::new();
    rig.publish("pbx/devstate/PJSIP/1001", "INUSE").unwrap();
    rig.drive(1);
    let ends = rig.now.mono + Duration::from_secs(20);
    own(&mut rig, "alice", Some(ends));
    rig.drive(21);
    rig.calls.clear();
    let ends = rig.now.mono + Duration::from_secs(60);
    own(&mut rig, "alice", Some(ends));
    rig.drive(1);
    rig.called(&["alice Busy/InACall"]);
    rig.calls.clear();
    let ends = rig.now.mono + Duration::from_secs(60); // in time: nobody else can have called
    own(&mut rig, "alice", Some(ends));
    rig.drive(1);
    rig.called(&[]);
}

#[test]
fn a_call_that_is_out_when_ownership_goes_may_still_land() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::AppliedLate(Duration::from_secs(20)));
    rig.publish("pbx/devstate/PJSIP/1001", "INUSE").unwrap();
    own(&mut rig, "alice", None);
    rig.publish("pbx/devstate/PJSIP/1001", "NOT_INUSE").unwrap();
    own(&mut rig, "alice", Some(Mono::MAX));
    rig.drive(60);
    rig.sees("alice", NOBODY);
}

#[test]
fn what_another_replica_sent_before_a_restart_of_ours_is_settled_when_the_partition_comes_back() {
    let mut rig = Rig::new();
    rig.publish("pbx/devstate/PJSIP/1001", "INUSE").unwrap();
    rig.drive(1);
    rig.restart(Duration::from_secs(1_200), Restart { same_boot: false, clean: true }); // too long to be set again
    own(&mut rig, "alice", None);
    rig.calls.clear();
    own(&mut rig, "alice", Some(Mono::MAX));
    rig.drive(60);
    // Once now, and once more when nothing of the other can land any more. By simulation seed 1795614629002.
    rig.called(&["alice clear", "alice clear"]);
}

/// Expiration of what is held for `label`, seconds.
fn span(rig: &Rig, label: &str) -> u64 {
    match rig.core.view(rig.id(label)).held() {
        Held::Pair { sent, expires, .. } => expires.since(sent).as_secs(),
        held => panic!("{label} holds {held:?}"),
    }
}

#[test]
fn sessions_stretch_while_the_budget_does_not_suffice_and_only_then() {
    let mut rig = Rig::with(Policy { max_stale_ceiling: Some(Duration::from_secs(1_200)), ..Policy::default() });
    rig.publish("pbx/devstate/PJSIP/1001", "INUSE").unwrap();
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    rig.publish("desk/carol", "on").unwrap();
    rig.drive(170);
    assert_eq!((span(&rig, "alice"), rig.alarms.len()), (300, 0));
    // Three people, refreshed at 80 % of five minutes, need 0.0125 calls a second.
    let short = Rate { per_second: 0.0125, burst: 5 };
    rig.core.handle_budget(rig.now, TenantId(0), short, None);
    rig.drive(1_500);
    assert_eq!(rig.alarms, [(Alarm::BudgetShort(TenantId(0)), true)]);
    assert_eq!(span(&rig, "alice"), 1_200);
    assert_eq!(span(&rig, "carol"), 300, "Available fades all the same");
    for label in ["alice", "bob"] {
        rig.sees(label, CALL);
    }
    rig.core.handle_budget(rig.now, TenantId(0), Rate { per_second: 45.0, burst: 60 }, None);
    rig.drive(1_200);
    assert_eq!(rig.alarms.last(), Some(&(Alarm::BudgetShort(TenantId(0)), false)));
    assert_eq!(span(&rig, "alice"), 300);
}

#[test]
fn nothing_stretches_where_no_ceiling_is_set() {
    let mut rig = Rig::new();
    rig.publish("pbx/devstate/PJSIP/1001", "INUSE").unwrap();
    rig.drive(1);
    rig.core.handle_budget(rig.now, TenantId(0), Rate { per_second: 0.005, burst: 5 }, None);
    rig.drive(600);
    assert_eq!((span(&rig, "alice"), rig.alarms.len()), (300, 0));
}

#[test]
fn a_probe_that_went_with_its_partition_does_not_keep_the_gate_shut() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::Refused(Outcome::Throttled { retry_after: Some(Duration::from_secs(5)) }));
    rig.publish("pbx/devstate/PJSIP/1001", "INUSE").unwrap();
    rig.drive(4);
    rig.fates.push(Fate::AnswerLost);
    rig.pass(Duration::from_millis(1_200)); // the probe for alice is out
    assert!(rig.core.view(rig.id("alice")).in_flight());
    own(&mut rig, "alice", None);
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    rig.drive(2);
    rig.sees("bob", CALL);
}
