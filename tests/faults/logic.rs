//! The order and the clocks of devices: the core on virtual time.

use crate::support::rig::Rig;

const NOBODY: &str = "Offline/Offline";
const CALL: &str = "Busy/InACall";
const MEETING: &str = "Busy/InAConferenceCall";
const PHONE: &str = "pbx/devstate/PJSIP/1001";
const DOOR: &str = "presence-bridge/in/alice/meeting";
const HOUR: u64 = 3600;
const YEAR: i64 = 365 * 24 * 3600;

/// All orders of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let shorter = orders(last);
    let with = |order: &Vec<usize>, at| {
        let mut order = order.clone();
        order.insert(at, last);
        order
    };
    shorter.iter().flat_map(|order| (0..=last).map(move |at| with(order, at))).collect()
}

/// What three devices say, in every order: on-hook before off-hook, a meeting's end before its beginning.
///
/// Red: `arbiter::decide` takes the last live signal instead of the first.
#[test]
fn fault_24_in_every_order_each_device_is_believed_by_what_came_last() {
    let events = [
        (PHONE, "INUSE"),
        (PHONE, "NOT_INUSE"),
        ("ha/alice/state", "on"),
        ("ha/alice/state", "off"),
        ("desk/alice", "on"),
        ("desk/alice", "off"),
    ];
    let orders = orders(events.len());
    assert_eq!(orders.len(), 720);
    for order in orders {
        let last = |on: usize| order.iter().position(|&n| n == on) > order.iter().position(|&n| n == on + 1);
        let expected = match (last(0), last(2), last(4)) {
            (true, ..) => CALL,
            (_, true, _) => MEETING,
            (.., true) => "Available/Available",
            _ => NOBODY,
        };
        let mut rig = Rig::new();
        for &n in &order {
            rig.publish(events[n].0, events[n].1).unwrap();
            rig.drive(1);
        }
        rig.drive(70); // a fall may be damped for a minute
        rig.sees("alice", expected);
        assert!(rig.calls.len() <= events.len(), "{order:?}: {:?}", rig.calls);
    }
}

/// The phone's last will, and the phone.
///
/// Red: `Policy::grace` is 0 by default.
#[test]
fn fault_26_a_phone_that_is_back_within_the_grace_was_never_away() {
    for away in [1, 5, 14] {
        let mut rig = Rig::new();
        rig.publish(PHONE, "INUSE").unwrap();
        rig.drive(20);
        for _ in 0..5 {
            rig.publish(PHONE, "UNAVAILABLE").unwrap();
            for _ in 0..away {
                rig.drive(1);
                rig.sees("alice", CALL);
            }
            rig.publish(PHONE, "INUSE").unwrap();
            rig.drive(16);
            rig.sees("alice", CALL);
        }
        let clears = rig.calls.iter().filter(|(_, call)| call.ends_with("clear")).count();
        assert_eq!(clears, 0, "{:?}", rig.calls);
    }
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.publish(PHONE, "UNAVAILABLE").unwrap();
    rig.drive(14);
    rig.sees("alice", CALL);
    rig.drive(3);
    rig.sees("alice", NOBODY); // it did not come back
}

/// A device that begins anew says again what it said before: that is news, where a replay of the same is none.
///
/// Red: `core/messages.rs` takes a replay for news.
#[test]
fn fault_27_a_phone_that_begins_anew_is_believed() {
    let mut rig = Rig::new();
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(7 * HOUR);
    rig.publish(PHONE, "INUSE").unwrap(); // after its reboot, the call going on: a new lease of 8 h
    rig.drive(HOUR + 60);
    rig.sees("alice", CALL);
    rig.drive(7 * HOUR);
    rig.sees("alice", NOBODY);
    rig.publish(PHONE, "INUSE").unwrap();
    rig.drive(1);
    rig.sees("alice", CALL);
    rig.publish(PHONE, "NOT_INUSE").unwrap();
    rig.drive(60);
    for _ in 0..3 {
        assert!(rig.replay(PHONE, "NOT_INUSE").is_err(), "nothing new");
        rig.publish(PHONE, "UNAVAILABLE").unwrap();
        rig.publish(PHONE, "NOT_INUSE").unwrap();
        rig.publish(PHONE, "INUSE").unwrap();
        rig.drive(60);
        rig.sees("alice", CALL);
        rig.publish(PHONE, "NOT_INUSE").unwrap();
        rig.drive(60);
        rig.sees("alice", NOBODY);
    }
}

/// Ends that devices name by clocks that are wrong by decades.
///
/// Red: `board.rs`, `say`: an end that has passed is none, so that the share lives for its `ttl`.
#[test]
fn fault_28_a_clock_of_1970_or_of_2036_keeps_nobody_busy_and_touches_nobody_else() {
    for wrong in [-56 * YEAR, -10 * YEAR, -86_400, -3_600, -1, 0] {
        let mut rig = Rig::new();
        rig.publish("pbx/devstate/PJSIP/1002", "INUSE").unwrap();
        let end = jiff::Timestamp::from_millisecond(rig.now.wall.as_millis() + wrong * 1000).unwrap();
        let _refused = rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#));
        for _ in 0..10 {
            rig.drive(60);
            rig.sees("alice", NOBODY);
            rig.sees("bob", CALL);
        }
    }
}

/// What a device says of the future is bounded as every lease is: a month.
///
/// Red: `Share::end` of `board.rs` does not bound a known end.
#[test]
fn fault_28_an_end_ten_years_off_keeps_nobody_busy_for_ten_years() {
    let mut rig = Rig::new();
    let end = jiff::Timestamp::from_millisecond(rig.now.wall.as_millis() + 10 * YEAR * 1000).unwrap();
    rig.publish(DOOR, &format!(r#"{{"on": true, "until": "{end}"}}"#)).unwrap();
    rig.drive(30 * 24 * HOUR);
    rig.sees("alice", "Busy/InAConferenceCall");
    rig.drive(2 * 24 * HOUR);
    rig.sees("alice", NOBODY);
}
