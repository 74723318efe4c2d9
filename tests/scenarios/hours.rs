//! What lasts: refreshes, fades, expiry, deaths.

use std::time::Duration;

use super::world::{World, person};
use crate::support::until;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn span(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)] // the clock must not wait for the test
async fn s02_s03_s04_four_hours_without_a_gap_and_what_a_death_leaves() {
    let world = World::new(2, 240).await;
    let bridge = world.bridge("max_stale = \"1h\"").await;
    world.publish("presence-bridge/in/p1/desk", "on").await;
    world.publish("phone/1002", "INUSE").await;
    world.see(1, "Available/Available").await;
    world.see(2, "Busy/InACall").await;
    let start = world.now_ms();
    while world.now_ms() < start + 4 * HOUR {
        // Never faded, never lapsed: looked at a few thousand times, and judged by the log below.
        assert_eq!((world.seen(1), world.seen(2)), ("Available/Available".to_owned(), "Busy/InACall".to_owned()));
        world.pass(span(5_000)).await;
    }
    let available: Vec<u64> = world.calls(1, "setPresence").iter().map(|(_, at_ms)| *at_ms).collect();
    let writes = available.iter().filter(|at_ms| **at_ms < start + 4 * HOUR).count();
    assert!((60..=97).contains(&writes), "the first and 59 to 96 refreshes, not {writes}");
    let longest = available.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < 5 * MINUTE, "a gap of {longest} ms fades");
    let busy = world.calls(2, "setPresence");
    assert!((4..=9).contains(&busy.len()), "an hour each, refreshed from 36 minutes on: {busy:?}");
    assert!(busy.windows(2).all(|pair| pair[1].1 - pair[0].1 < HOUR), "{busy:?}");
    // Nobody refreshes any more: Available fades by itself, Busy holds, both end with their hour.
    bridge.kill();
    let last = |number: usize| world.calls(number, "setPresence").last().unwrap().1;
    let (one, two) = (last(1), last(2));
    let mut tenant = world.sandbox.tenant().lock().unwrap();
    for (after, shown) in [
        (5 * MINUTE - 1, "Available/Available"),
        (5 * MINUTE, "Available/AvailableInactive"),
        (10 * MINUTE, "Away/Away"),
        (HOUR - 1, "Away/Away"),
        (HOUR, "Offline/Offline"),
    ] {
        assert_eq!(tenant.seen(one + after, &person(1)).to_string(), shown, "{after} ms after the last refresh");
    }
    for (after, shown) in [(HOUR - 1, "Busy/InACall"), (HOUR, "Offline/Offline")] {
        assert_eq!(tenant.seen(two + after, &person(2)).to_string(), shown, "{after} ms after the last refresh");
    }
}

#[tokio::test]
async fn s05_an_expiration_outside_five_minutes_and_four_hours_is_refused_before_graph_can() {
    let world = World::new(1, 1).await;
    for (max_stale, code) in [("4m59s", 78), ("5m", 0), ("4h", 0), ("4h1s", 78)] {
        let output = world.check(&world.configuration(&format!("max_stale = \"{max_stale}\"")));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{max_stale}: {said}");
        assert_eq!(said.contains("max_stale"), code == 78, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_ten_minutes_dead_and_back_with_what_the_broker_kept() {
    let world = World::new(2, 120).await;
    let bridge = world.bridge("").await;
    world.retain("phone/1001", "INUSE").await;
    world.publish("phone/1002", "INUSE").await;
    world.see(1, "Busy/InACall").await;
    world.see(2, "Busy/InACall").await;
    bridge.kill();
    world.pass(span(10 * MINUTE)).await;
    assert_eq!([world.seen(1), world.seen(2)], ["Offline/Offline", "Offline/Offline"], "sessions end by themselves");
    let again = world.bridge("").await;
    world.see(1, "Busy/InACall").await;
    until("it says so", || again.log().contains("Presence set.")).await;
    assert_eq!(world.tenant().metrics().inside_retry_after, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_read_back_tells_a_choice_by_hand_from_a_loss() {
    let world = World::new(3, 60).await;
    let bridge = world.bridge("verify = \"1m\"").await;
    for phone in ["phone/1001", "phone/1002", "phone/1003"] {
        world.retain(phone, "INUSE").await;
    }
    for number in 1..=3 {
        world.see(number, "Busy/InACall").await;
    }
    // p1 is left alone, p2 chooses something by hand, p3's session is lost at Graph.
    world.tenant().prefer(&person(2), Some("Available/Available"));
    let now = world.now_ms();
    world.tenant().clear(now, &person(3));
    let reads = || world.tenant().log().iter().filter(|entry| entry.what == "getPresencesByUserId").count();
    let before = reads();
    until("three rounds are read", || reads() >= before + 3).await;
    world.see(3, "Busy/InACall").await;
    until("the choice is known for one", || bridge.log().contains("overridden=true")).await;
    assert_eq!(world.seen(2), "Available/Available", "what somebody chose is theirs");
    let log = bridge.log();
    assert!(log.contains("Presence not seen; set once more."), "{log}");
    assert!(!log.contains("ERROR"), "no fault: {log}");
}
