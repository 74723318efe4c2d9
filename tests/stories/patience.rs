//! How long is waited, and for what: after failures, for people who are refused, for a phone that flaps, for what may land.

use std::time::Duration;

use presence_bridge::presence::{Alarm, Outcome, Policy, Restart, Waiting};

use super::{CALL, DOOR, MEETING, NOBODY, PHONE, in_seconds, sees_at};
use crate::support::rig::{Fate, Rig};

const HOUR: u64 = 3600;
const NOT_SENT: Fate = Fate::Refused(Outcome::NotSent);

fn say(rig: &mut Rig, signal: &str, word: &str) {
    rig.publish(&format!("presence-bridge/in/alice/{signal}"), word).unwrap();
}

/// Seconds between the calls so far, rounded.
fn waits(rig: &Rig) -> Vec<u64> {
    rig.calls.windows(2).map(|pair| (pair[1].0.since(pair[0].0).as_millis() as u64 + 500) / 1_000).collect()
}

#[test]
fn the_wait_after_failures_doubles_up_to_half_a_minute() {
    let mut rig = Rig::new();
    rig.fates.extend([NOT_SENT; 4]);
    say(&mut rig, "call", "on");
    rig.drive(20);
    // Up to a quarter shorter, by jitter; a call's way comes on top.
    for (found, longest) in waits(&rig).into_iter().zip([1, 2, 4, 8]) {
        assert!((longest * 3 / 4..=longest + 1).contains(&found), "{:?}", rig.calls);
    }
    assert_eq!(rig.calls.len(), 5);
    say(&mut rig, "call", "off");
    rig.drive(1);
    rig.fates.push(NOT_SENT);
    rig.calls.clear();
    say(&mut rig, "call", "on");
    rig.drive(3);
    assert_eq!(waits(&rig), [1], "after a success from the beginning");
}

#[test]
fn a_wish_that_rises_does_not_wait_and_every_other_does() {
    for (first, then, at_once) in [("desk", "call", true), ("meeting", "call", false), ("call", "desk", false)] {
        let mut rig = Rig::new();
        rig.fates.extend([NOT_SENT; 3]);
        say(&mut rig, first, "on");
        rig.pass(Duration::from_millis(3_500));
        assert_eq!(rig.calls.len(), 3);
        let (why, until) = rig.core.view(rig.id("alice")).waiting().unwrap();
        assert!(why == Waiting::BackOff && until > rig.now.mono);
        say(&mut rig, then, "on");
        if then == "desk" {
            say(&mut rig, first, "off");
        }
        rig.drive(1);
        assert_eq!(rig.calls.len(), if at_once { 4 } else { 3 }, "{first}, then {then}");
        rig.drive(4);
        assert_eq!(rig.calls.len(), 4, "{first}, then {then}");
        assert_eq!(rig.core.view(rig.id("alice")).waiting(), None);
    }
}

#[test]
fn a_refresh_that_fails_waits_as_well() {
    let mut rig = Rig::new();
    say(&mut rig, "call", "on");
    rig.drive(140);
    rig.fates.extend([NOT_SENT; 3]);
    rig.drive(50);
    let [_, refreshes @ ..] = &waits(&rig)[..] else { panic!("{:?}", rig.calls) };
    assert!(matches!(refreshes, [1, 2, 3 | 4]), "{refreshes:?}");
}

#[test]
fn who_is_unknown_to_graph_is_asked_for_after_hours_that_double_up_to_a_day() {
    let mut rig = Rig::new();
    let unknown = Fate::Refused(Outcome::NoSuchUser);
    rig.fates.extend([unknown; 7]);
    let end = in_seconds(&rig, 30 * 24 * 3600);
    rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
    rig.drive(79 * HOUR + 60);
    let hours: Vec<u64> = waits(&rig).iter().map(|wait| wait / HOUR).collect();
    assert_eq!(hours, [1, 2, 4, 8, 16, 24, 24]);
    rig.sees("alice", MEETING);
    rig.publish(DOOR, "off").unwrap();
    rig.drive(10);
    rig.fates.push(unknown);
    rig.calls.clear();
    rig.publish(DOOR, "on").unwrap();
    rig.drive(HOUR + 1);
    assert_eq!(waits(&rig)[..], [HOUR], "it was known meanwhile: from the beginning");
}

#[test]
fn who_is_refused_twice_is_left_alone_for_an_hour_and_then_tried_twice_again() {
    let mut rig = Rig::new();
    rig.fates.extend([Fate::Refused(Outcome::Unauthorised); 4]);
    say(&mut rig, "call", "on");
    rig.drive(10);
    assert_eq!(rig.calls.len(), 2, "at once with a fresh token");
    let why = rig.core.view(rig.id("alice")).waiting().map(|(why, _)| why);
    assert_eq!(why, Some(Waiting::NotAllowed));
    rig.drive(HOUR - 20);
    assert_eq!(rig.calls.len(), 2);
    rig.drive(20);
    assert_eq!(rig.calls.len(), 4);
    let own = |&(alarm, _): &(Alarm, bool)| alarm == Alarm::PersonRefused(rig.id("alice"));
    assert!(rig.alarms.iter().all(own), "one person, however often: {:?}", rig.alarms);
    rig.drive(2 * HOUR);
    rig.sees("alice", CALL);
}

#[test]
fn a_refusal_of_what_is_not_wanted_any_more_parks_nobody() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::Refused(Outcome::Refused));
    say(&mut rig, "call", "on");
    say(&mut rig, "meeting", "on");
    say(&mut rig, "call", "off"); // the answer is still out
    rig.drive(1);
    rig.sees("alice", MEETING);
    rig.called(&["alice Busy/InACall", "alice Busy/InAConferenceCall"]);
    assert!(rig.alarms.is_empty());
}

#[test]
fn the_fourth_change_within_half_a_minute_waits_for_quiet_if_it_falls() {
    for (beyond, damped) in [(0, true), (1, false)] {
        let mut rig = Rig::new();
        for word in ["on", "off", "on"] {
            say(&mut rig, "call", word);
            rig.drive(10);
        }
        rig.pass(Duration::from_millis(beyond));
        say(&mut rig, "call", "off");
        rig.drive(1);
        rig.sees("alice", if damped { CALL } else { NOBODY });
        rig.drive(5);
        rig.sees("alice", NOBODY);
    }
}

#[test]
fn whose_falling_waits_rises_at_once_all_the_same() {
    let mut rig = Rig::new();
    for word in ["on", "off", "on", "off"] {
        say(&mut rig, "meeting", word);
        rig.drive(2);
    }
    rig.sees("alice", MEETING);
    say(&mut rig, "desk", "on"); // more than nothing, less than what is held
    rig.drive(2);
    rig.sees("alice", MEETING);
    sees_at(&mut rig, &[(4, "Available/Available")]);
    say(&mut rig, "call", "on");
    rig.drive(1);
    rig.sees("alice", CALL);
}

#[test]
fn no_fall_waits_longer_than_a_minute() {
    let mut rig = Rig::new();
    for word in ["on", "off", "on", "off"] {
        say(&mut rig, "call", word);
        rig.drive(1);
    }
    // Another device keeps the shares from being quiet.
    for _ in 0..29 {
        say(&mut rig, "ringing", "on");
        rig.drive(1);
        say(&mut rig, "ringing", "off");
        rig.drive(1);
    }
    rig.sees("alice", CALL);
    rig.drive(2);
    rig.sees("alice", NOBODY);
}

#[test]
fn the_minute_counts_from_the_fall_that_had_to_wait() {
    let mut rig = Rig::new();
    say(&mut rig, "call", "on");
    rig.drive(100);
    for word in ["off", "on", "off", "on"] {
        say(&mut rig, "call", word);
        rig.drive(1);
    }
    rig.drive(24);
    say(&mut rig, "call", "off"); // the fourth change within half a minute, and the first of them that waits
    let mut quiet = false;
    for _ in 0..59 {
        rig.drive(1);
        say(&mut rig, "ringing", if quiet { "off" } else { "on" });
        quiet = !quiet;
    }
    rig.sees("alice", CALL);
    rig.drive(2);
    rig.sees("alice", NOBODY);
}

#[test]
fn a_rise_in_between_does_not_start_the_minute_anew() {
    let mut rig = Rig::new();
    for word in ["on", "off", "on", "off"] {
        say(&mut rig, "desk", word);
        rig.drive(1);
    }
    rig.sees("alice", "Available/Available"); // its fall waits for quiet
    say(&mut rig, "call", "on");
    rig.drive(22);
    rig.sees("alice", CALL);
    say(&mut rig, "call", "off");
    let mut quiet = false;
    for _ in 0..36 {
        rig.drive(1);
        say(&mut rig, "ringing", if quiet { "off" } else { "on" });
        quiet = !quiet;
    }
    rig.sees("alice", CALL);
    rig.drive(2);
    rig.sees("alice", NOBODY);
}

#[test]
fn what_may_land_late_is_written_over_half_a_minute_after_it_was_asked_for() {
    let mut rig = Rig::new();
    rig.fates.push(Fate::AppliedLate(Duration::from_secs(25)));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(2);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(60);
    let [set, _, clear] = &rig.calls[..] else { panic!("{:?}", rig.calls) };
    assert_eq!(clear.0.since(set.0), Duration::from_secs(30)); // five in which it may start, 25 to land
}

#[test]
fn graph_is_clean_of_us_only_once_nothing_can_land_any_more() {
    let mut rig = Rig::new();
    let clean = |rig: &Rig| rig.core.view(rig.id("alice")).is_clean();
    assert!(clean(&rig));
    rig.publish(PHONE, "INUSE").unwrap();
    assert!(!clean(&rig), "a call is out");
    rig.drive(1);
    assert!(!clean(&rig), "a pair is held");
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    assert!(clean(&rig));
    rig.fates.push(Fate::AppliedLate(Duration::from_secs(25)));
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(20);
    assert!(!clean(&rig), "cleared, but the first may still land");
    rig.drive(20);
    assert!(clean(&rig));
}

#[test]
fn a_stop_with_something_in_the_air_is_not_believed() {
    for stop_after in [1, 20] {
        let mut rig = Rig::new();
        // The first answer takes ten seconds and is no answer; the second call repeats it.
        rig.fates.push(Fate::AnswerLost);
        rig.publish(PHONE, "INUSE").unwrap();
        rig.drive(stop_after);
        rig.restart(Duration::from_secs(1), Restart { same_boot: true, clean: true });
        rig.link(super::UP);
        rig.replay(PHONE, "INUSE").unwrap_err();
        rig.drive(5);
        rig.called(&["alice Busy/InACall"]);
    }
}

#[test]
fn sessions_are_refreshed_between_half_and_six_tenths_and_replicas_sooner_but_not_available() {
    let day = |policy: Policy, topic: &str, on: &str| {
        let mut rig = Rig::with(policy);
        rig.publish(topic, on).unwrap();
        rig.drive(2 * HOUR);
        let waits = waits(&rig);
        assert!(waits.iter().all(|wait| wait.abs_diff(waits[0]) <= 1), "the same each time: {waits:?}");
        waits[0]
    };
    let policy =
        |max_stale, replicas| Policy { max_stale: Duration::from_secs(max_stale), replicas, ..Policy::default() };
    let mut met = Vec::new();
    for phone in ["pbx/devstate/PJSIP/1001", "pbx/devstate/PJSIP/1002", "pbx/devstate/PJSIP/1003"] {
        for (max_stale, replicas, within) in
            [(300, false, 150..=180), (300, true, 120..=150), (1_200, false, 600..=720), (1_200, true, 480..=600)]
        {
            let wait = day(policy(max_stale, replicas), phone, "INUSE");
            assert!(within.contains(&wait), "{max_stale} {replicas}: {wait}");
            met.push(wait);
        }
    }
    for (max_stale, replicas) in [(300, false), (300, true), (1_200, false), (1_200, true)] {
        let wait = day(policy(max_stale, replicas), "desk/alice", "on");
        assert!((150..=180).contains(&wait), "Available, {max_stale} {replicas}: {wait}");
    }
    met.dedup();
    assert!(met.len() > 8, "people are spread: {met:?}");
}

#[test]
fn with_trust_until_nobody_is_told_of_an_end_within_the_shortest_expiration_or_a_second_off() {
    let mut rig = Rig::with(Policy { trust_until: true, ..Policy::default() });
    let mut tell = |seconds: i64| {
        let end = in_seconds(&rig, seconds);
        rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
        rig.drive(1);
        rig.calls.len()
    };
    assert_eq!(tell(600), 1);
    assert_eq!(tell(598), 1, "a second off");
    assert_eq!(tell(200), 2, "five minutes is the least that one can ask for");
    assert_eq!(tell(100), 2, "and it is asked for already");
    rig.drive(99);
    rig.sees("alice", NOBODY);
}

#[test]
fn flapping_between_two_that_are_taken_alike_costs_a_call_a_minute() {
    let mut rig = Rig::new();
    say(&mut rig, "meeting", "on");
    rig.drive(5);
    rig.calls.clear();
    for _ in 0..100 {
        for word in ["on", "off"] {
            say(&mut rig, "call", word);
            rig.drive(3);
        }
    }
    // Ten minutes, with a refresh every three or so, and one change in each minute but the first.
    assert!(rig.calls.len() <= 16, "{} calls", rig.calls.len());
}
