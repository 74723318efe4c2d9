//! Read-back: what Graph holds for us, compared with what colleagues see.

use std::time::Duration;

use presence_bridge::presence::{Alarm, Outcome, Policy, Presence, Rate, TenantId};

use crate::support::rig::Rig;

const CALL: &str = "Busy/InACall";
const PHONE: &str = "pbx/devstate/PJSIP/1001";
const ALICE: &str = "11111111-1111-4111-8111-111111111111";

/// Reads every ten minutes; alice is in a call, bob is not.
fn rig() -> Rig {
    let mut rig = Rig::with(Policy { verify: Some(Duration::from_secs(600)), ..Policy::default() });
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(30);
    rig
}

fn seen(rig: &Rig) -> Option<Result<Presence, &str>> {
    rig.core.view(rig.id("alice")).seen()
}

/// To the end of the next round.
fn round(rig: &mut Rig) {
    let reads = rig.reads.len();
    for _ in 0..1_300 {
        rig.drive(1);
        if rig.reads.len() > reads {
            rig.drive(1);
            return;
        }
    }
    panic!("nothing was read");
}

#[test]
fn who_is_seen_as_held_costs_one_read_a_round_and_no_call() {
    let mut rig = rig();
    rig.calls.clear();
    let before = rig.reads.len();
    rig.drive(3_600);
    let reads = rig.reads[before..].to_vec();
    assert!((5..=7).contains(&reads.len()), "{reads:?}");
    assert!(reads.iter().all(|&(_, people)| people == 1), "only who holds something is read: {reads:?}");
    assert!(rig.calls.len() <= 24, "refreshes alone: {:?}", rig.calls);
    assert_eq!(seen(&rig), Some(Ok(Presence::InACall)));
}

#[test]
fn nothing_is_read_where_nobody_asked_for_it_or_nobody_holds_anything() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(3_600);
    assert_eq!((rig.reads.len(), seen(&rig)), (0, None));
    let mut rig = Rig::with(Policy { verify: Some(Duration::from_secs(600)), ..Policy::default() });
    rig.drive(3_600);
    assert_eq!(rig.reads.len(), 0);
}

#[test]
fn what_graph_lost_is_asserted_once_and_seen_again() {
    let mut rig = rig();
    round(&mut rig);
    // Just before the next round, and just after a refresh.
    while rig.now.mono < rig.reads[rig.reads.len() - 1].0 + Duration::from_secs(590) {
        rig.drive(1);
    }
    let refreshed = rig.calls.len();
    rig.tenant.clear(rig.now.mono.as_millis(), ALICE);
    assert_ne!(rig.seen("alice"), CALL);
    round(&mut rig);
    rig.sees("alice", CALL);
    assert_eq!(rig.calls.len(), refreshed + 1);
}

#[test]
fn a_persons_own_choice_is_overridden_after_one_more_try_and_left_alone() {
    let mut rig = rig();
    rig.tenant.prefer(ALICE, Some("Away/Away"));
    round(&mut rig); // not seen: asserted once more
    rig.calls.clear();
    round(&mut rig);
    assert_eq!(seen(&rig), Some(Err("Away/Away")));
    rig.drive(3_600);
    assert!(rig.calls.len() <= 26, "refreshes alone: {:?}", rig.calls);
    assert!(rig.alarms.is_empty(), "no fault: {:?}", rig.alarms);
    // Once the choice is gone, the next round sees it.
    rig.tenant.prefer(ALICE, None);
    round(&mut rig);
    assert_eq!(seen(&rig), Some(Ok(Presence::InACall)));
}

#[test]
fn something_else_instead_is_tried_once_more_each_time_it_changes() {
    let mut rig = rig();
    for choice in ["Away/Away", "Available/Available", "Away/Away"] {
        rig.tenant.prefer(ALICE, Some(choice));
        rig.drive(170); // the refreshes' turn is over
        let calls = rig.calls.len();
        round(&mut rig);
        assert!(rig.calls.len() > calls, "{choice}: asserted once more");
        round(&mut rig);
        assert_eq!(seen(&rig), Some(Err(choice)));
    }
}

#[test]
fn something_more_taken_is_the_persons_own_client_and_costs_no_call() {
    let mut rig = rig();
    rig.tenant.prefer(ALICE, Some("DoNotDisturb/DoNotDisturb"));
    let refreshes = |rig: &Rig| rig.calls.len();
    let before = refreshes(&rig);
    round(&mut rig);
    assert_eq!(seen(&rig), Some(Err("DoNotDisturb/DoNotDisturb")));
    assert!(refreshes(&rig) - before <= 8, "{:?}", rig.calls);
}

#[test]
fn words_nobody_knows_and_either_letter_case_do_no_harm() {
    let mut rig = rig();
    let id = rig.id("alice");
    rig.read_out = Some(None);
    round(&mut rig);
    let serial = rig.read_out.take().flatten().unwrap();
    let calls = rig.calls.len();
    rig.core.handle_read(rig.now, TenantId(0), serial + 1, Ok(&[(id, "Away", "Away")])); // of no read that is out
    assert_eq!(seen(&rig), None);
    rig.core.handle_read(rig.now, TenantId(0), serial, Ok(&[(id, "busy", "BUSY")])); // as reads often put it
    rig.drive(1);
    assert_eq!((seen(&rig), rig.calls.len()), (Some(Ok(Presence::InACall)), calls));
    rig.read_out = Some(None);
    round(&mut rig);
    let serial = rig.read_out.take().flatten().unwrap();
    let (calls, long) = (rig.calls.len(), "Ж".repeat(1_000));
    rig.core.handle_read(rig.now, TenantId(0), serial, Ok(&[(id, &long, "")]));
    rig.drive(1);
    assert_eq!(rig.calls.len(), calls + 1, "asserted once: {:?}", rig.calls);
}

#[test]
fn who_changed_while_the_read_was_out_is_not_judged_by_it() {
    let mut rig = rig();
    let id = rig.id("alice");
    rig.read_out = Some(None);
    round(&mut rig);
    let serial = rig.read_out.take().flatten().unwrap();
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    let calls = rig.calls.len();
    rig.core.handle_read(rig.now, TenantId(0), serial, Ok(&[(id, "Offline", "Offline")]));
    rig.drive(5);
    assert_eq!((seen(&rig), rig.calls.len()), (None, calls));
}

#[test]
fn reads_that_are_refused_raise_one_alarm_and_are_tried_again_in_an_hour() {
    let mut rig = rig();
    rig.refuses_reads = Some(Outcome::Forbidden { role_missing: false });
    round(&mut rig);
    let reads = rig.reads.len();
    rig.drive(3_500);
    assert_eq!(rig.reads.len(), reads);
    rig.drive(200);
    assert_eq!(rig.reads.len(), reads + 1);
    assert_eq!(rig.alarms, [(Alarm::ReadRefused(TenantId(0)), true)]);
    rig.refuses_reads = None;
    rig.drive(3_700);
    assert_eq!(rig.alarms.last(), Some(&(Alarm::ReadRefused(TenantId(0)), false)));
    rig.sees("alice", CALL);
}

#[test]
fn a_read_counts_as_a_call_does_and_waits_for_the_gate() {
    let mut rig = rig();
    rig.refuses_reads = Some(Outcome::Throttled { retry_after: Some(Duration::from_secs(40)) });
    round(&mut rig);
    assert!(rig.core.gate(TenantId(0)).is_some(), "a 429 to a read is one to the application");
    rig.refuses_reads = None;
    let (calls, reads) = (rig.calls.len(), rig.reads.len());
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(35);
    assert_eq!((rig.calls.len(), rig.reads.len()), (calls, reads));
    rig.drive(10);
    assert!(rig.calls.len() > calls);
}

#[test]
fn who_was_set_just_now_is_left_for_the_next_round() {
    let mut rig = rig();
    round(&mut rig);
    let next = rig.reads[rig.reads.len() - 1].0 + Duration::from_secs(600);
    rig.drive(next.since(rig.now.mono).as_secs() - 5);
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    for people in [1, 2] {
        round(&mut rig);
        assert_eq!(rig.reads[rig.reads.len() - 1].1, people);
    }
}

#[test]
fn nothing_is_read_while_the_gate_is_shut_and_before_its_probe_is_answered() {
    let mut rig = rig();
    round(&mut rig);
    rig.drive(500);
    // Bob alone holds something, and needs no refresh before the gate has opened.
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(40);
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    rig.drive(30);
    let (reads, calls) = (rig.reads.len(), rig.calls.len());
    let opens = rig.now.mono + Duration::from_secs(60);
    rig.core.handle_budget(rig.now, TenantId(0), Rate { per_second: 45.0, burst: 60 }, Some(opens));
    rig.drive(70); // the round's time was in between
    assert_eq!((rig.reads.len(), rig.calls.len()), (reads, calls));
    rig.drive(90);
    assert_eq!((rig.reads.len(), rig.calls.len()), (reads + 1, calls + 1), "bob's refresh was the probe");
}

#[test]
fn a_read_goes_after_the_calls_that_are_due_and_takes_one_of_the_budget() {
    let mut rig =
        Rig::with(Policy { verify: Some(Duration::from_secs(600)), rate: 0.1, burst: 1, ..Policy::default() });
    rig.publish(PHONE, "INUSE").unwrap();
    round(&mut rig);
    let next = rig.reads[rig.reads.len() - 1].0 + Duration::from_secs(600);
    rig.drive(next.since(rig.now.mono).as_secs() - 25);
    // Five changes, one call in ten seconds: the round's time comes while they wait.
    let (reads, calls) = (rig.reads.len(), rig.calls.len());
    for label in ["bob", "carol", "dave", "erin"] {
        rig.publish(&format!("ha/{label}/state"), "on").unwrap();
    }
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    while rig.reads.len() == reads {
        rig.drive(1);
    }
    assert!(rig.calls.len() >= calls + 5, "{:?}", &rig.calls[calls..]);
    let (last, read) = (rig.calls[rig.calls.len() - 1].0, rig.reads[reads].0);
    assert!(read.since(last) >= Duration::from_secs(10), "a call at {last:?}, the read at {read:?}");
}
