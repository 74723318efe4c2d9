//! Who goes next, how fast, and what flapping costs.

use std::time::Duration;

use presence_bridge::presence::{Policy, Rate, TenantId};

use super::{NOBODY, PHONE};
use crate::support::rig::Rig;

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
fn who_would_lapse_gets_half_of_the_rate_and_changes_the_other_half() {
    // One call a second. Five people hold a call; their refreshes are held back by a shut gate until all are urgent.
    let mut rig = Rig::with(Policy { rate: 1.0, burst: 1, ..Policy::default() });
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
    let mut rig = Rig::with(Policy { rate: 1.0, burst: 1, ..Policy::default() });
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
