//! Sessions are refreshed in time, and no more often than needed.

use std::time::Duration;

use presence_bridge::presence::Policy;

use super::{CALL, DOOR, MEETING, NOBODY, PHONE, in_seconds, sees_at};
use crate::support::rig::{Fate, Rig};

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
fn with_trust_until_the_expiration_is_the_known_end() {
    let mut rig = Rig::with(Policy { trust_until: true, ..Policy::default() });
    let end = in_seconds(&rig, 2 * 3600);
    rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
    sees_at(&mut rig, &[(1, MEETING), (7199, MEETING)]);
    rig.called(&["alice Busy/InAConferenceCall"]); // not one refresh
    rig.drive(5);
    rig.sees("alice", NOBODY);
}

#[test]
fn with_trust_until_an_end_that_moves_in_is_told_and_one_that_moves_out_is_not() {
    let mut rig = Rig::with(Policy { trust_until: true, ..Policy::default() });
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
fn a_bridge_that_died_leaves_nobody_stuck_beyond_max_stale() {
    for max_stale in [300, 1_200] {
        let mut rig = Rig::with(Policy { max_stale: Duration::from_secs(max_stale), ..Policy::default() });
        rig.publish(PHONE, "INUSE").unwrap();
        rig.drive(max_stale + 7); // refreshed at least once
        rig.sees("alice", CALL);
        rig.now.mono = rig.now.mono + Duration::from_secs(max_stale); // and from now on nobody drives it
        let seen = rig.seen("alice");
        assert_eq!(seen, NOBODY, "(c) {max_stale} s after the bridge died");
    }
}

#[test]
fn a_shorter_session_that_may_land_late_is_reckoned_with() {
    let mut rig = Rig::with(Policy { trust_until: true, ..Policy::default() });
    let mut fates = vec![Fate::AppliedLate(Duration::from_secs(25))];
    for seconds in [360, 7_200] {
        rig.fates.append(&mut fates);
        let end = in_seconds(&rig, seconds);
        rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
        rig.drive(5);
    }
    // The second is accepted after eleven seconds; then the first lands, and would end after six minutes.
    sees_at(&mut rig, &[(300, MEETING), (400, MEETING), (7_100, MEETING)]);
    assert!(rig.calls.len() <= 4, "and refreshed once: {:?}", rig.calls);
}
