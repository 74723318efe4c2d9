//! Going on from a snapshot.

use std::sync::Arc;
use std::time::Duration;

use presence_bridge::presence::{
    Core, Held, Link, Mono, Now, Outcome, Partition, Policy, Presence, Reason, Restart, Timestamp,
};

use super::{CALL, DOOR, DOWN, NOBODY, PHONE, UP, in_seconds};
use crate::support::plan::desks;
use crate::support::rig::{Fate, Rig};

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
fn a_call_that_was_out_at_a_crash_may_land_after_what_the_next_process_says() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::AppliedLate(Duration::from_secs(20)));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.restart(Duration::from_secs(2), CRASH);
    rig.link(UP);
    rig.replay(PHONE, "NOT_INUSE").unwrap();
    rig.link(Link::Replayed);
    rig.drive(5);
    rig.sees("alice", NOBODY);
    rig.drive(40);
    rig.sees("alice", NOBODY);
    rig.called(&["alice clear", "alice clear"]);
}

#[test]
fn a_refresh_that_is_refused_does_not_hide_that_the_session_has_ended() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(150);
    for _ in 0..2 {
        rig.fates.push(Fate::Refused(Outcome::Forbidden { role_missing: false }));
    }
    rig.drive(200);
    rig.sees("alice", NOBODY);
    assert_eq!(rig.core.view(rig.id("alice")).held(), Held::Nothing);
}

#[test]
fn a_gap_that_the_session_bridged_goes_on_where_its_replay_never_came() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(10);
    for _ in 0..20 {
        rig.link(Link::Down);
        rig.drive(60);
        rig.link(Link::Up { session_present: true, expiry: Duration::from_secs(300) });
        rig.drive(5);
    }
    rig.sees_wanted("alice", None); // 21 minutes with nothing heard, and blind_hold is 15
}

#[test]
fn a_crash_before_the_replay_was_through_does_not_shorten_the_gap() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(10);
    rig.link(Link::Down);
    rig.drive(100);
    rig.link(Link::Up { session_present: true, expiry: Duration::from_secs(300) });
    rig.drive(1);
    rig.restart(Duration::from_secs(780), CRASH); // 881 s since anything was heard
    rig.sees_wanted("alice", Some(Presence::InACall));
    rig.drive(30);
    rig.sees_wanted("alice", None);
}

#[test]
fn after_a_crash_who_is_wanted_is_set_and_who_is_not_is_cleared_once() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    rig.drive(10);
    rig.publish("pbx/devstate/PJSIP/1002", "NOT_INUSE").unwrap();
    rig.drive(1);
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
    for known_end in [false, true] {
        let mut rig = Rig::new();
        let end = in_seconds(&rig, 3_600);
        let until = format!(r#"{{"on": true, "until": "{end}"}}"#);
        let (topic, payload, shows) = match known_end {
            false => (PHONE, "INUSE", Presence::InACall),
            true => (DOOR, until.as_str(), Presence::InAConferenceCall),
        };
        rig.publish(topic, payload).unwrap();
        rig.drive(100);
        let snapshot = serde_json::to_string(&rig.core.snapshot(rig.now)).unwrap();
        rig.now.wall = Timestamp::from_millis(1_000); // a machine without a clock of its own, just booted
        rig.restart_from(&snapshot, Duration::from_secs(1), Restart { same_boot: false, clean: true });
        rig.drive(1);
        rig.sees_wanted("alice", None);
        // And once more, before anything was heard.
        let snapshot = serde_json::to_string(&rig.core.snapshot(rig.now)).unwrap();
        rig.restart_from(&snapshot, Duration::from_secs(1), Restart { same_boot: false, clean: true });
        rig.drive(1);
        rig.sees_wanted("alice", None);
        rig.link(UP);
        rig.replay(topic, payload).unwrap(); // not a mere replay: nobody knows how old what it repeats is
        rig.link(Link::Replayed);
        rig.drive(1);
        rig.sees_wanted("alice", Some(shows));
    }
}

#[test]
fn a_wall_clock_set_back_later_does_not_bring_back_what_an_off_found_ended() {
    let mut rig = Rig::new();
    rig.publish("cam/alice", "on").unwrap(); // ttl 12 h
    rig.drive(10);
    rig.restart(Duration::from_secs(5), Restart { same_boot: false, clean: false }); // its end is a time of day now
    rig.link(UP);
    rig.replay("cam/alice", "on").unwrap_err();
    rig.link(Link::Replayed);
    rig.drive(13 * 3_600);
    rig.sees_wanted("alice", None);
    rig.publish("cam/alice", "off").unwrap();
    rig.now.wall = Timestamp::from_millis(rig.now.wall.as_millis() - 2 * 3_600_000);
    rig.drive(60);
    rig.sees_wanted("alice", None);
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
fn what_had_ended_before_another_boot_does_not_come_back_where_its_clock_reads_less() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(100);
    rig.publish(PHONE, "NOT_INUSE").unwrap(); // known for eight hours
    rig.drive(3_600);
    let snapshot = serde_json::to_string(&rig.core.snapshot(rig.now)).unwrap();
    let later = Now { mono: Mono::from_millis(5_000), wall: rig.now.wall + Duration::from_secs(60) };
    let restart = Restart { same_boot: false, clean: true };
    let plan = Arc::new(desks(Policy::default()));
    let core = Core::restore(later, plan, serde_json::from_str(&snapshot).unwrap(), restart);
    let alice = core.people().next().unwrap();
    assert_eq!(core.view(alice).wanted(), None);
}

#[test]
fn what_the_replay_did_not_confirm_has_its_end_over_another_boot_too() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(10);
    rig.link(DOWN);
    rig.drive(60);
    rig.link(UP);
    rig.link(Link::Replayed); // without a word of the phone
    rig.drive(60);
    rig.restart(Duration::from_secs(60), Restart { same_boot: false, clean: true });
    rig.link(UP);
    rig.link(Link::Replayed);
    rig.drive(700);
    rig.sees_wanted("alice", Some(Presence::InACall));
    rig.drive(30); // fifteen minutes after the broker was lost
    rig.sees_wanted("alice", None);
}

#[test]
fn what_may_land_after_a_clean_stop_is_written_over_by_the_next_process() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::AppliedLate(Duration::from_secs(25)));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(2);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(13); // the first answer is given up, and the clear accepted
    rig.restart(Duration::from_secs(1), STOP);
    rig.link(UP);
    rig.replay(PHONE, "NOT_INUSE").unwrap_err();
    rig.link(Link::Replayed);
    rig.drive(60);
    rig.sees("alice", NOBODY);
}

/// One partition goes to another replica: its people, and what their topics said last; nobody else.
#[test]
fn a_partition_that_is_handed_over_goes_on_where_it_was_and_takes_nobody_along() {
    let mut rig = Rig::new();
    for (topic, payload) in [("pbx/devstate/PJSIP/1001", "INUSE"), ("pbx/devstate/PJSIP/1002", "INUSE")] {
        rig.publish(topic, payload).unwrap();
    }
    rig.drive(10);
    let snapshot = rig.core.snapshot(rig.now);
    let [alice, bob] = [0, 1].map(|n| Partition::of(snapshot.people[n].tenant, snapshot.people[n].object_id));
    assert_ne!(alice, bob);
    let part = snapshot.part(alice);
    let part = serde_json::from_str(&serde_json::to_string(&part).unwrap()).unwrap();
    let mut other = Rig::new();
    other.core.take_over(rig.now, part, Restart { same_boot: true, clean: true });
    other.sees_wanted("alice", Some(Presence::InACall));
    other.sees_wanted("bob", None);
    // It remembers her phone: a replay of what it said is none to revive anything, for bob it is new.
    assert_eq!(other.replay("pbx/devstate/PJSIP/1001", "INUSE"), Err(Reason::Replay));
    assert_eq!(other.replay("pbx/devstate/PJSIP/1002", "INUSE"), Ok(()));
}
