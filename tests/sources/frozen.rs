//! A broker that is frozen: its connections stay open, and nothing comes.

use std::process::Command;
use std::time::Duration;

use presence_bridge::clock::Clock;
use presence_bridge::presence::OnStop;
use presence_bridge::sandbox::tenant::Settings;
use presence_bridge::sandbox::{Options, Sandbox};

use super::{people, until_state};
use crate::support::live::{Desk, bridge, configuration_of};
use crate::support::mosquitto::{Mosquitto, program};
use crate::support::{ALICE, BOB, until};

/// With this keep-alive, frozen for as long as it takes to be noticed and `longer`.
async fn frozen(test: &str, keep_alive: u64, speed: u32, longer: Duration) {
    let Some(broker) = Mosquitto::start(test, "").await else { return };
    let clock = Clock::faster(speed);
    let settings = Settings::for_users([ALICE.to_owned(), BOB.to_owned()]);
    let sandbox = Sandbox::start(Options { clock: clock.clone(), settings, tls: false }).await.unwrap();
    let mqtt = format!(
        "[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\nclient_id = \"frozen\"\nkeep_alive = \"{keep_alive}s\"\n",
        broker.port
    );
    // A share must outlive the test, on a clock that runs faster.
    let hold = "[presence]\nblind_hold = \"12h\"\n";
    let text = configuration_of(&mqtt, &sandbox.graph_url(), &format!("{hold}{}", people()));
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::at(broker.port).await;
    let running = bridge(clock, dir.path(), &text);
    until("online", || desk.json("status/frozen")["state"] == "online").await;
    desk.publish("pbx/1001", "INUSE").await;
    until("alice is set", || sandbox.seen(ALICE) == "Busy/InACall").await;
    let sets = || {
        let tenant = sandbox.tenant().lock().unwrap();
        tenant.log().iter().filter(|entry| entry.user == ALICE && entry.what == "setPresence").count()
    };
    broker.signal("STOP");
    let noticed = until_state(dir.path(), 0, "down", Duration::from_secs(2 * keep_alive + 2)).await;
    println!("noticed after {noticed:?}");
    // What happens meanwhile waits at the broker's door: clients without a patience that could end.
    let port = broker.port.to_string();
    let phone = |topic: &str, word: &str| {
        let mut phone = Command::new(program("mosquitto_pub").unwrap());
        phone.args(["-V", "5", "-q", "1", "-k", "600", "-p", &port, "-t", topic, "-m", word]).spawn().unwrap()
    };
    let mut phones = [phone("pbx/1001", "NOT_INUSE"), phone("pbx/1002", "INUSE")];
    let before = sets();
    let refreshes = async {
        while sets() == before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(240), refreshes).await.expect("refreshes go on");
    tokio::time::sleep(longer).await;
    assert_eq!(sandbox.seen(ALICE), "Busy/InACall", "nobody said otherwise");
    broker.signal("CONT");
    let right = async {
        while sandbox.seen(ALICE) == "Busy/InACall" || sandbox.seen(BOB) != "Busy/InACall" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), right).await.expect("right within five seconds");
    assert!(phones.iter_mut().all(|phone| phone.wait().unwrap().success()));
    running.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_is_noticed_refreshes_go_on_and_all_is_right_within_five_seconds_of_its_return() {
    frozen("a_frozen_broker", 5, 30, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute at the real keep-alive"]
async fn a_frozen_broker_at_real_values() {
    frozen("a_frozen_broker_at_real_values", 15, 10, Duration::from_secs(30)).await;
}
