//! Which shares there are: one for each device and subject, so many and no more, each from its own broker.

use std::time::Duration;

use presence_bridge::presence::{Applied, Link, Policy, Presence, Publish, Reason, Restart, SourceId};

use super::{CALL, DOOR, DOWN, MEETING, NOBODY, PHONE, UP, in_seconds};
use crate::support::rig::Rig;

const HOUR: u64 = 3600;
const CRASH: Restart = Restart { same_boot: true, clean: false };

/// How many shares the core knows of Alice.
fn count(rig: &Rig) -> usize {
    rig.core.view(rig.id("alice")).shares().count()
}

fn apply(rig: &mut Rig, source: u16, topic: &str, payload: &str) -> Result<Applied, Reason> {
    let publish = Publish { topic: topic.as_bytes(), payload: payload.as_bytes(), retain: false, expiry: None };
    rig.core.handle_publish(rig.now, SourceId(source), &publish).steps[0].result
}

#[test]
fn a_share_changes_or_is_renewed_and_has_said_so_since_it_changed() {
    let mut rig = Rig::new();
    let began = rig.now.wall;
    assert_eq!(apply(&mut rig, 0, PHONE, "INUSE"), Ok(Applied::Changed));
    rig.drive(60);
    assert_eq!(apply(&mut rig, 0, PHONE, "INUSE"), Ok(Applied::Renewed));
    let since = |rig: &Rig| rig.core.view(rig.id("alice")).shares().next().unwrap().since;
    assert_eq!(since(&rig), began);
    assert_eq!(apply(&mut rig, 0, PHONE, "NOT_INUSE"), Ok(Applied::Changed));
    assert_eq!(since(&rig), rig.now.wall);
    assert_eq!(apply(&mut rig, 0, PHONE, "NOT_INUSE"), Ok(Applied::Renewed));
    let end = in_seconds(&rig, 600);
    assert_eq!(apply(&mut rig, 0, DOOR, "on"), Ok(Applied::Changed));
    let until = format!(r#"{{"on": true, "until": "{end}"}}"#);
    assert_eq!(apply(&mut rig, 0, DOOR, &until), Ok(Applied::Changed), "an end that was not known");
    assert_eq!(apply(&mut rig, 0, DOOR, &until), Ok(Applied::Renewed));
}

#[test]
fn a_device_that_knows_nothing_and_never_did_leaves_no_share() {
    let mut rig = Rig::new();
    assert_eq!(apply(&mut rig, 0, PHONE, "UNAVAILABLE"), Ok(Applied::Renewed));
    assert_eq!(count(&rig), 0);
}

#[test]
fn a_person_has_64_shares_and_no_more_before_and_after_a_restart() {
    let mut rig = Rig::new();
    // Subjects as found stay apart: alice, Alice, aLice, …
    let names = (0..32).map(|bits: u32| {
        let letter = |(n, letter): (usize, char)| if bits >> n & 1 == 1 { letter.to_ascii_uppercase() } else { letter };
        "alice".chars().enumerate().map(letter).collect::<String>()
    });
    let topics: Vec<String> = names.flat_map(|name| [format!("desk/{name}"), format!("ha/{name}/state")]).collect();
    for topic in &topics {
        assert_eq!(apply(&mut rig, 0, topic, "on"), Ok(Applied::Changed));
    }
    assert_eq!(count(&rig), 64);
    assert_eq!(apply(&mut rig, 0, PHONE, "INUSE"), Err(Reason::TooManyShares));
    assert_eq!(apply(&mut rig, 0, &topics[63], "on"), Ok(Applied::Renewed), "who is in stays in");
    rig.restart(Duration::from_secs(1), CRASH);
    assert_eq!(count(&rig), 64);
}

#[test]
fn a_broker_that_is_deaf_takes_its_own_shares_with_it_and_no_others() {
    let mut rig = Rig::new();
    rig.core.handle_link(rig.now, SourceId(1), UP);
    apply(&mut rig, 0, "ha/alice/state", "on").unwrap();
    apply(&mut rig, 1, PHONE, "INUSE").unwrap();
    apply(&mut rig, 1, "pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    rig.drive(10);
    rig.core.handle_link(rig.now, SourceId(1), Link::Down);
    rig.drive(899);
    rig.sees("alice", CALL);
    rig.drive(2);
    rig.sees("alice", MEETING); // of the broker that is heard
    rig.sees("bob", NOBODY);
}

#[test]
fn the_replay_of_one_broker_confirms_nothing_of_another() {
    let mut rig = Rig::new();
    rig.core.handle_link(rig.now, SourceId(1), UP);
    apply(&mut rig, 1, PHONE, "INUSE").unwrap();
    rig.drive(10);
    rig.link(DOWN);
    rig.core.handle_link(rig.now, SourceId(1), Link::Down);
    rig.drive(60);
    rig.link(UP);
    rig.link(Link::Replayed);
    rig.core.handle_link(rig.now, SourceId(1), UP);
    let replay = Publish { topic: PHONE.as_bytes(), payload: b"INUSE", retain: true, expiry: None };
    rig.core.handle_publish(rig.now, SourceId(1), &replay);
    rig.core.handle_link(rig.now, SourceId(1), Link::Replayed);
    rig.drive(2 * HOUR);
    rig.sees("alice", CALL);
}

#[test]
fn the_same_topic_of_another_broker_is_another_device() {
    let mut rig = Rig::new();
    apply(&mut rig, 0, PHONE, "INUSE").unwrap();
    apply(&mut rig, 1, PHONE, "INUSE").unwrap();
    assert_eq!(count(&rig), 2);
    apply(&mut rig, 0, PHONE, "NOT_INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", CALL);
}

#[test]
fn after_a_crash_who_was_free_for_longer_than_any_session_lasts_is_left_alone() {
    for (hours, calls) in [(3, 1), (5, 0)] {
        let mut rig = Rig::new();
        rig.publish("ha/alice/state", "on").unwrap();
        rig.drive(10);
        rig.publish("ha/alice/state", "off").unwrap(); // known for 12 h
        rig.drive(hours * HOUR);
        rig.restart(Duration::from_secs(1), CRASH);
        rig.drive(60);
        rig.called(&["alice clear"][..calls]);
    }
}

#[test]
fn after_a_crash_a_meeting_that_ended_by_itself_counts_as_one_that_was() {
    for (hours, calls) in [(3, 1), (5, 0)] {
        let mut rig = Rig::new();
        let end = in_seconds(&rig, 600);
        rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
        rig.drive(300);
        rig.publish(DOOR, r#"{"on": false}"#).unwrap();
        rig.drive(hours * HOUR);
        rig.restart(Duration::from_secs(1), CRASH);
        rig.drive(60);
        rig.called(&["alice clear"][..calls]);
    }
}

#[test]
fn what_had_ended_before_another_boot_stays_ended_and_what_is_on_goes_on_as_long_as_it_would_have() {
    let mut rig = Rig::with(Policy { when_free: Some(Presence::Available), ..Policy::default() });
    rig.publish("cam/alice", "on").unwrap();
    rig.drive(60);
    rig.publish("cam/alice", "off").unwrap(); // held for 30 s, then free for twelve hours
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap(); // eight hours
    rig.drive(HOUR);
    rig.restart(Duration::from_secs(60), Restart { same_boot: false, clean: true });
    rig.link(UP);
    for (topic, payload) in [("cam/alice", "off"), ("pbx/devstate/PJSIP/1002", "INUSE")] {
        rig.replay(topic, payload).unwrap_err();
    }
    rig.link(Link::Replayed);
    rig.drive(1);
    assert!(rig.core.view(rig.id("alice")).because().is_none(), "nothing holds her");
    rig.sees_wanted("bob", Some(Presence::InACall));
    rig.drive(7 * HOUR - 70);
    rig.sees_wanted("bob", Some(Presence::InACall));
    rig.drive(20);
    rig.sees_wanted("bob", None);
}
