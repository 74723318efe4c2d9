//! The broker lets nobody in, or lets in and grants nothing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::mosquitto::{Mosquitto, program};
use crate::support::office::{CALL, NOBODY, Office, dynamic_security, dynsec, plain, publish, readable, within};
use crate::support::skipped;

fn password(dir: &Path, user: &str, password: &str) {
    let mut tool = Command::new(program("mosquitto_passwd").unwrap());
    let made = tool.arg("-b").arg(dir.join("passwd")).args([user, password]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

async fn with_passwords(test: &str) -> Option<Mosquitto> {
    if program("mosquitto_passwd").is_none() {
        skipped(test, "mosquitto_passwd is not installed");
        return None;
    }
    Mosquitto::with(test, |port, dir| {
        readable(dir, "passwd", "");
        password(dir, "bridge", "old");
        password(dir, "phones", "phones");
        let dir = dir.display();
        format!("user root\nlistener {port} 127.0.0.1\nallow_anonymous false\npassword_file {dir}/passwd\n")
    })
    .await
}

/// The password is changed at the broker, and in the bridge's file some time later.
///
/// Red: `LinkTask::refresh` hands over the password at the first attempt only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_11_12_a_login_that_is_refused_takes_nobody_from_a_call_and_heals_without_a_restart() {
    let Some(broker) = with_passwords("fault_11_12").await else { return };
    let office = Office::new(2, 30).await; // an expiration is ten seconds
    let mqtt = format!("{}username = \"bridge\"\npassword_file = \"password\"\n", plain(broker.port));
    let bridge = office.bridge(&mqtt, "blind_hold = \"2h\"", &[("password", "old")]);
    bridge.connected().await;
    let phones = ["-u", "phones", "-P", "phones", "-r"];
    publish(broker.port, "phone/1", "INUSE", &phones);
    office.see(1, CALL).await;
    password(broker.dir.path(), "bridge", "new");
    broker.signal("HUP"); // it ends the connection of who is not let in any more
    let remedy = bridge.alarm(Duration::from_secs(10), "mqtt_login_refused").await;
    assert!(remedy.contains("password"), "{remedy}");
    assert!(!bridge.is_ready().await);
    publish(broker.port, "phone/2", "INUSE", &phones);
    let calls = office.calls(1).len();
    let refreshed = || async { office.calls(1).len() > calls };
    within(Duration::from_secs(10), "refreshed meanwhile", refreshed).await;
    assert_eq!(office.seen(2), NOBODY);
    std::fs::write(bridge.dir.path().join("password"), "new").unwrap();
    office.see_within(Duration::from_secs(30), 2, CALL).await;
    bridge.no_alarm().await;
    office.kept_in_call(1);
    publish(broker.port, "phone/1", "NOT_INUSE", &phones);
    office.see(1, NOBODY).await;
    bridge.stop().await;
}

/// The right to hear is taken from a bridge that is connected, and given back.
///
/// Red: `LinkTask::subscribed` does not look at what was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_12_subscriptions_that_are_refused_are_told_and_granted_again_without_a_restart() {
    let Some(broker) = dynamic_security("fault_12").await else { return };
    let (port, phones) = (broker.port, ["-u", "phones", "-P", "secret", "-r"]);
    let office = Office::new(2, 1).await;
    let mqtt = format!("{}username = \"bridge\"\npassword_file = \"password\"\n", plain(port));
    let bridge = office.bridge(&mqtt, "", &[("password", "secret")]);
    bridge.connected().await;
    publish(port, "phone/1", "INUSE", &phones);
    office.see(1, CALL).await;
    // Each change ends the connections that it is about.
    dynsec(port, &["addRoleACL", "bridge", "subscribePattern", "phone/#", "deny", "1"]);
    let remedy = bridge.alarm(Duration::from_secs(10), "mqtt_subscriptions_refused").await;
    assert!(remedy.contains("phone/+") && remedy.contains("access control"), "{remedy}");
    publish(port, "phone/2", "INUSE", &phones);
    office.kept_in_call(1);
    dynsec(port, &["removeRoleACL", "bridge", "subscribePattern", "phone/#"]);
    office.see_within(Duration::from_secs(10), 2, CALL).await;
    bridge.no_alarm().await;
    office.kept_in_call(1);
    publish(port, "phone/1", "NOT_INUSE", &phones);
    office.see(1, NOBODY).await;
    bridge.stop().await;
}

/// An ACL file that is emptied: Debian's mosquitto grants every subscription and delivers nothing, on a link that lives.
/// Only the canary can tell.
///
/// Red: without `mqtt/canary.rs` nobody notices for as long as the link lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "two minutes: the canary is sent every 30 s and misses twice before anybody is alarmed"]
async fn fault_12_an_acl_file_that_is_emptied_under_a_live_link_is_told_and_nobody_stays_longer_than_blind_hold() {
    const ALL: &str = "topic readwrite #\n";
    let broker = Mosquitto::with("fault_12 acl_file", |port, dir| {
        readable(dir, "acl", ALL);
        format!("listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {}/acl\n", dir.display())
    })
    .await;
    let Some(broker) = broker else { return };
    let office = Office::new(2, 1).await;
    let bridge = office.bridge(&plain(broker.port), "blind_hold = \"1m\"", &[]);
    bridge.connected().await;
    publish(broker.port, "phone/1", "INUSE", &["-r"]);
    office.see(1, CALL).await;
    let rights = |text: &str| {
        readable(broker.dir.path(), "acl", text);
        broker.signal("HUP");
    };
    rights("topic write nothing\n");
    let remedy = bridge.alarm(Duration::from_secs(70), "mqtt_deaf").await;
    assert!(!remedy.is_empty());
    // A minute from the last proof of hearing on, and an attempt.
    office.see_within(Duration::from_secs(75), 1, NOBODY).await;
    assert_eq!(office.story(1), [NOBODY, CALL, NOBODY]);
    rights(ALL);
    publish(broker.port, "phone/2", "INUSE", &["-r"]);
    office.see_within(Duration::from_secs(5), 2, CALL).await;
    bridge.no_alarm().await;
    bridge.stop().await;
}
