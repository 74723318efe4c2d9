//! What a broker kept while nobody was there, and what it says again at every connection.

use std::time::Duration;

use super::switch::Switch;
use crate::support::mosquitto::Mosquitto;
use crate::support::office::{CALL, NOBODY, Office, plain, publish, publish_all, within};

/// 5,000 events of 50 phones in the time that nobody was there. The broker keeps the oldest 1,000 of them and the last of each
/// phone. The calls beyond one for each change, as text.
async fn absence(test: &str) -> Vec<String> {
    const PEOPLE: usize = 50;
    let Some(broker) = Mosquitto::start(test, "").await else { return Vec::new() };
    let mut way = Switch::before(broker.port).await;
    let office = Office::new(PEOPLE, 1).await;
    let bridge = office.bridge(&format!("{}session_expiry = \"24h\"\n", plain(way.port)), "", &[]);
    bridge.connected().await;
    let before = |n: usize| n % 4 < 2;
    let after = |n: usize| n.is_multiple_of(2);
    let say = |n: usize, on: bool| (format!("phone/{n}"), if on { "INUSE" } else { "NOT_INUSE" }.to_owned());
    publish_all(broker.port, (1..=PEOPLE).map(|n| say(n, before(n))).collect()).await;
    let all = |is: &dyn Fn(usize) -> bool| (1..=PEOPLE).all(|n| office.seen(n) == if is(n) { CALL } else { NOBODY });
    within(Duration::from_secs(15), "everybody is right beforehand", || async { all(&before) }).await;
    let calls: Vec<usize> = (1..=PEOPLE).map(|n| office.calls(n).len()).collect();
    way.cut().await;
    bridge.disconnected().await;
    let events = (0..100).flat_map(|round| (1..=PEOPLE).map(move |n| (n, round)));
    // The last of the oldest 1,000, those of round 19, are the opposite of the truth.
    let events = events.map(|(n, round)| say(n, after(n) == (round == 99 || round % 2 == 0))).collect::<Vec<_>>();
    assert_eq!(events.len(), 5_000);
    publish_all(broker.port, events).await;
    way.mend().await;
    bridge.connected().await;
    within(Duration::from_secs(15), "everybody is right afterwards", || async { all(&after) }).await;
    office.pass(Duration::from_secs(3)).await; // and stays so
    assert!(all(&after));
    let needless = (1..=PEOPLE)
        .filter(|&n| office.calls(n).len() - calls[n - 1] > usize::from(before(n) != after(n)))
        .map(|n| format!("p{n} {:?} {:?}", office.calls(n), office.story(n)))
        .collect();
    bridge.stop().await;
    needless
}

/// Red: `LinkTask::up` subscribes at the first connection only: then the oldest 1,000 are all there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_20_after_a_long_absence_everybody_is_right() {
    absence("fault_20").await;
}

/// What nobody could see while it happened is not shown afterwards.
///
/// Red: `Source::unsettled` of `core/hearing.rs` says `None`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_20_after_a_long_absence_there_is_one_call_for_each_change_and_none_else() {
    let needless = absence("fault_20 calls").await;
    assert!(needless.is_empty(), "{} people: {needless:#?}", needless.len());
}

/// Debian's mosquitto: messages that have expired in a queue block those behind them, from 20 on. What is retained comes
/// nevertheless, and what expired says nothing.
///
/// Red: `LinkTask::up` subscribes at the first connection only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_21_expired_messages_in_the_queue_hide_nobody() {
    for expired in ["20", "100"] {
        let Some(broker) = Mosquitto::start("fault_21", "").await else { return };
        let mut way = Switch::before(broker.port).await;
        let office = Office::new(3, 1).await;
        let bridge = office.open(way.port).await;
        way.cut().await;
        bridge.disconnected().await;
        let expiring = ["-D", "publish", "message-expiry-interval", "1", "--repeat", expired];
        publish(broker.port, "phone/1", "INUSE", &expiring);
        publish(broker.port, "phone/2", "INUSE", &["-r"]);
        publish(broker.port, "phone/3", "INUSE", &[]); // behind them, and not retained
        office.pass(Duration::from_millis(2_100)).await;
        way.mend().await;
        bridge.connected().await;
        office.see_within(Duration::from_secs(10), 2, CALL).await;
        println!("{expired} expired: p3 is seen as {}", office.seen(3));
        publish(broker.port, "phone/3", "INUSE", &[]); // its next event
        office.see_within(Duration::from_secs(10), 3, CALL).await;
        assert_eq!(office.story(1), [NOBODY], "what expired is not shown");
        publish(broker.port, "phone/2", "NOT_INUSE", &["-r"]);
        office.see_within(Duration::from_secs(10), 2, NOBODY).await;
        bridge.stop().await;
    }
}

/// Fifty reconnects with retained levels in place: two of each of 25 bridges, so that the back-off stays what it is.
///
/// Red: a link that comes up leaves it in doubt what Graph holds (`session.doubt()` for everybody in `handle_link`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_22_fifty_reconnects_call_nobody_and_nobody_flickers() {
    let Some(broker) = Mosquitto::start("fault_22 office", "").await else { return };
    let mut way = Switch::before(broker.port).await;
    let office = Office::new(3, 20).await;
    publish(broker.port, "phone/1", "INUSE", &["-r"]);
    publish(broker.port, "phone/2", "NOT_INUSE", &["-r"]);
    let mqtt = |n: usize| format!("{}client_id = \"bridge-{n}\"\n", plain(way.port));
    // No refresh comes in between.
    let bridges: Vec<_> = (0..25).map(|n| office.bridge(&mqtt(n), "max_stale = \"4h\"", &[])).collect();
    for bridge in &bridges {
        bridge.connected().await;
    }
    within(Duration::from_secs(15), "every bridge has set p1", || async { office.calls(1).len() == 25 }).await;
    office.pass(Duration::from_secs(15)).await;
    let before = office.all_calls();
    for _ in 0..2 {
        way.cut().await;
        for bridge in &bridges {
            bridge.disconnected().await;
        }
        way.mend().await;
        for bridge in &bridges {
            bridge.connected().await;
        }
        office.pass(Duration::from_secs(15)).await; // the replay is through
    }
    assert_eq!(office.all_calls(), before, "{:?}", office.calls(1));
    office.kept_in_call(1);
    assert_eq!(office.story(2), [NOBODY]);
    publish(broker.port, "phone/1", "NOT_INUSE", &["-r"]);
    office.see(1, NOBODY).await;
    for bridge in bridges {
        bridge.stop().await;
    }
}
