//! Somebody is forgotten: what devices said of them is gone, here and from what the next process would go on with.

use std::time::Duration;

use presence_bridge::presence::{Held, Link, Reason, Restart, Snapshot};
use proptest::prelude::*;

use super::{CALL, NOBODY, PHONE, UP, sees_at};
use crate::support::rig::Rig;

const FORGET: &str = "presence-bridge/in/alice/forget";

#[test]
fn who_is_forgotten_is_cleared_once_and_followed_from_the_next_message_on() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
    sees_at(&mut rig, &[(1, CALL)]);
    rig.publish(FORGET, "on").unwrap();
    sees_at(&mut rig, &[(1, NOBODY), (3600, NOBODY)]);
    rig.sees("bob", CALL);
    rig.publish(PHONE, "INUSE").unwrap();
    sees_at(&mut rig, &[(1, CALL)]);
    let of_alice: Vec<_> = rig.calls.iter().filter(|(_, call)| call.starts_with("alice")).collect();
    assert_eq!(of_alice.len(), 3, "{of_alice:?}");
}

#[test]
fn to_be_forgotten_is_said_live_by_on_alone() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    for (payload, reason) in [
        ("off", Reason::OtherValue),
        ("", Reason::OtherValue),
        (r#"{"on": true, "for": "2h"}"#, Reason::OtherValue),
        ("please", Reason::OtherValue),
    ] {
        assert_eq!(rig.publish(FORGET, payload), Err(reason), "{payload}");
    }
    assert_eq!(rig.replay(FORGET, "on"), Err(Reason::RetainedIgnored));
    assert_eq!(rig.publish("presence-bridge/in/mallory/forget", "on"), Err(Reason::UnknownSubject));
    sees_at(&mut rig, &[(1, CALL)]);
}

#[test]
fn a_pause_is_forgotten_too_and_its_retained_message_counts_as_new() {
    let mut rig = Rig::new();
    rig.publish("presence-bridge/in/alice/pause", "on").unwrap();
    rig.publish(FORGET, "on").unwrap();
    assert_eq!(rig.core.view(rig.id("alice")).paused(), None);
    rig.replay("presence-bridge/in/alice/pause", "on").unwrap();
    assert!(rig.core.view(rig.id("alice")).paused().is_some());
}

#[test]
fn a_repeat_that_renewed_a_share_of_another_goes_on_renewing_it() {
    let mut rig = Rig::new();
    rig.publish("ring/bob", "on").unwrap(); // five minutes
    rig.drive(200);
    rig.publish("ring/bob", "on").unwrap();
    rig.publish(FORGET, "on").unwrap();
    rig.drive(200);
    rig.sees("bob", CALL);
    rig.drive(101);
    rig.sees("bob", NOBODY);
}

/// Person, topic, payloads.
const TOPICS: [(&str, &str, [&str; 2]); 10] = [
    ("alice", PHONE, ["INUSE", "NOT_INUSE"]),
    ("alice", "yealink/action/off_hook", ["", "x"]),
    ("alice", "desk/alice", ["on", "off"]),
    ("alice", "cam/alice", ["on", "off"]),
    ("alice", "presence-bridge/in/alice/meeting", ["on", r#"{"on": true, "for": "5m"}"#]),
    ("alice", "presence-bridge/in/alice/pause", ["on", "off"]),
    ("bob", "pbx/devstate/PJSIP/1002", ["INUSE", "NOT_INUSE"]),
    ("bob", "ring/bob", ["on", "off"]),
    ("bob", "presence-bridge/in/bob/pause", [r#"{"on": true, "for": "2h"}"#, "off"]),
    ("carol", "desk/carol", ["on", "off"]),
];

#[derive(Clone, Copy, Debug)]
enum Step {
    Say { topic: usize, payload: usize, retain: bool },
    Pass(u64),
    Lose,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let say = (0..TOPICS.len(), 0..2_usize, prop::bool::weighted(0.2));
    prop_oneof![
        8 => say.prop_map(|(topic, payload, retain)| Step::Say { topic, payload, retain }),
        4 => (1..400_u64).prop_map(Step::Pass),
        1 => Just(Step::Lose),
        1 => Just(Step::Restart),
    ]
}

/// What is left after these steps, heard by somebody who is told of everybody but `deaf_to`, and forgets Alice if `forget`.
fn left(steps: &[Step], deaf_to: Option<&str>, forget: bool) -> (Rig, Snapshot) {
    let mut rig = Rig::new();
    for &step in steps {
        match step {
            Step::Say { topic, .. } if deaf_to == Some(TOPICS[topic].0) => {}
            Step::Say { topic, payload, retain } => {
                let (_, topic, payloads) = TOPICS[topic];
                let _said =
                    if retain { rig.replay(topic, payloads[payload]) } else { rig.publish(topic, payloads[payload]) };
            }
            Step::Pass(seconds) => rig.drive(seconds),
            Step::Lose => {
                rig.link(Link::Down);
                rig.drive(5);
                rig.link(UP);
                rig.link(Link::Replayed);
            }
            Step::Restart => {
                rig.drive(60);
                rig.restart(Duration::from_secs(1), Restart { same_boot: true, clean: true });
                rig.link(UP);
                rig.link(Link::Replayed);
            }
        }
    }
    rig.drive(60);
    if forget {
        let alice = rig.id("alice");
        rig.core.handle_forget(rig.now, alice);
    }
    rig.drive(60);
    let snapshot = rig.core.snapshot(rig.now);
    (rig, snapshot)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Nothing of her is left, and of the others everything, as if nobody had ever spoken of her.
    ///
    /// Red: `Memory::forget` keeps the topics; or `handle_forget` keeps the pause, or the shares.
    #[test]
    fn after_it_a_snapshot_is_that_of_a_core_that_never_heard_of_them(steps in prop::collection::vec(step(), 1..40)) {
        let (mut rig, forgotten) = left(&steps, None, true);
        let (_, never) = left(&steps, Some("alice"), false);
        let id = rig.core.person(rig.id("alice")).object_id;
        prop_assert!(!forgotten.people.iter().any(|person| person.object_id == id), "{forgotten:#?}");
        prop_assert!(!serde_json::to_string(&forgotten).unwrap().contains("alice"));
        prop_assert_eq!(&forgotten.topics, &never.topics);
        prop_assert_eq!(&forgotten.events, &never.events);
        prop_assert_eq!(rig.seen("alice"), NOBODY);
        let view = rig.core.view(rig.id("alice"));
        prop_assert!(view.held() == Held::Nothing && view.paused().is_none());
        prop_assert_eq!(view.shares().count(), 0);
    }
}
