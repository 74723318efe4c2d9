//! The MQTT adapter against Debian's mosquitto.

mod canary;
mod contract;
mod filters;
mod goodbye;
mod grants;
mod limits;
mod lines;
mod probe;
mod protocols;
pub mod reach;
mod transports;
mod traps;
mod twins;
mod websocket;

use std::path::Path;
use std::time::Duration;

use presence_bridge::clock::Clock;
use presence_bridge::mqtt::{self, Address, Config, Event, Events, Handle, Incoming, Message};
use presence_bridge::presence::Link;
use presence_bridge::secret::SecretSource;
use presence_bridge::telemetry::Telemetry;

use crate::support::mosquitto::{Mosquitto, free_port, program};
use crate::support::{stays, until};

pub fn config(port: u16, client_id: &str) -> Config {
    let will = Message::new(format!("status/{client_id}"), "gone").retained();
    Config {
        keep_alive: Duration::from_secs(5),
        max_packet_size: 65_536,
        filters: vec!["in/#".into()],
        will: Some(will),
        ..Config::new(Address::Tcp { host: "127.0.0.1".into(), port }, client_id)
    }
}

pub fn start(config: Config) -> (Handle, Events, Telemetry) {
    let telemetry = Telemetry::new(Clock::live());
    let (handle, events) = mqtt::start(config, Clock::live(), telemetry.clone()).unwrap();
    (handle, events, telemetry)
}

async fn next(events: &mut Events) -> Event {
    tokio::time::timeout(Duration::from_secs(10), events.next()).await.expect("an event within ten seconds").unwrap()
}

pub async fn up(events: &mut Events) -> bool {
    loop {
        if let Event::Link(Link::Up { session_present, .. }) = next(events).await {
            return session_present;
        }
    }
}

/// The connection is lost; what was not heard since the last message is told first.
pub async fn down(events: &mut Events) {
    assert!(matches!(next(events).await, Event::Link(Link::Deaf { .. })));
    assert!(matches!(next(events).await, Event::Link(Link::Down)));
}

async fn message(events: &mut Events) -> Incoming {
    loop {
        if let Event::Publish(incoming) = next(events).await {
            return incoming;
        }
    }
}

async fn says(events: &mut Events, payload: &str) -> Incoming {
    let incoming = message(events).await;
    assert_eq!(String::from_utf8_lossy(&incoming.payload), payload);
    incoming
}

#[tokio::test]
async fn a_retained_message_is_a_replay_and_a_live_one_is_not() {
    let Some(broker) = Mosquitto::start("mqtt retained", "").await else { return };
    broker.publish("in/a", "old", true);
    let (handle, mut events, _) = start(config(broker.port, "retained"));
    assert!(!up(&mut events).await);
    assert!(says(&mut events, "old").await.retain);
    broker.publish("in/a", "new", true);
    let live = says(&mut events, "new").await;
    assert!(!live.retain);
    handle.ack(live.token.unwrap());
    handle.stop(None).await;
}

#[tokio::test]
async fn fault_01_a_broker_killed_and_restarted_is_subscribed_again_within_five_seconds() {
    let Some(mut broker) = Mosquitto::start("fault_01", "").await else { return };
    let (_handle, mut events, _) = start(config(broker.port, "restart"));
    up(&mut events).await;
    broker.kill();
    down(&mut events).await;
    broker.resume().await;
    let back = tokio::time::timeout(Duration::from_secs(5), up(&mut events)).await;
    assert!(!back.expect("back within five seconds"), "mosquitto forgot the session");
    broker.publish("in/a", "after", false);
    says(&mut events, "after").await;
}

#[tokio::test]
async fn unacknowledged_messages_come_again_and_nothing_of_the_old_connection_after_down() {
    let Some(mut broker) = Mosquitto::start("mqtt redelivery", "persistence true\nautosave_interval 1").await else {
        return;
    };
    let (handle, mut events, _) = start(config(broker.port, "acks"));
    up(&mut events).await;
    for n in 1..=3 {
        broker.publish("in/a", &n.to_string(), false);
    }
    let first = says(&mut events, "1").await;
    let second = says(&mut events, "2").await;
    says(&mut events, "3").await;
    handle.ack(first.token.unwrap());
    // A second client of our id takes the connection over, and leaves.
    broker.publish("in/b", "ignored", false);
    says(&mut events, "ignored").await;
    let (other, mut others, _) = start(config(broker.port, "acks"));
    assert!(up(&mut others).await, "the session was kept");
    // The acknowledged one is gone, the others come again, in order.
    says(&mut others, "2").await;
    says(&mut others, "3").await;
    down(&mut events).await;
    handle.ack(second.token.unwrap()); // of an epoch that is over: must not go out
    other.stop(None).await;
    handle.stop(None).await;
    broker.kill();
}

#[tokio::test]
async fn fault_30_a_message_over_the_limit_neither_kills_the_connection_nor_loops() {
    let Some(broker) = Mosquitto::start("fault_30", "").await else { return };
    let (handle, mut events, telemetry) = start(config(broker.port, "limit"));
    up(&mut events).await;
    broker.publish("in/big", &"x".repeat(100_000), true);
    broker.publish("in/a", "small", false);
    let small = says(&mut events, "small").await;
    handle.ack(small.token.unwrap());
    assert_eq!(telemetry.total("mqtt_lost", "other"), 0);
    handle.stop(None).await;
}

#[tokio::test]
async fn the_password_is_read_again_for_each_attempt() {
    let Some(tool) = program("mosquitto_passwd") else {
        return crate::support::skipped("mqtt password", "mosquitto_passwd is not installed");
    };
    let broker = Mosquitto::with("mqtt password", |port, dir| {
        let passwd = dir.join("passwd");
        let made = std::process::Command::new(tool).args(["-c", "-b"]).arg(&passwd).args(["bridge", "right"]).status();
        assert!(made.unwrap().success());
        readable(&passwd);
        format!("listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\n", passwd.display())
    })
    .await;
    let Some(broker) = broker else { return };
    let secret = broker.dir.path().join("secret");
    std::fs::write(&secret, "wrong\n").unwrap();
    let mut config = config(broker.port, "password");
    config.username = Some("bridge".into());
    config.password = Some(SecretSource::File(secret.clone()));
    let (handle, mut events, telemetry) = start(config);
    until("the login is refused", || telemetry.total("mqtt_lost", "login_refused") > 0).await;
    std::fs::write(&secret, "right\n").unwrap();
    up(&mut events).await;
    handle.stop(None).await;
}

/// mosquitto drops its rights and reads as a user of its own.
pub fn readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    for dir in path.ancestors().skip(1).take(1) {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[tokio::test]
async fn a_stop_says_farewell_and_a_death_leaves_the_will() {
    let Some(broker) = Mosquitto::start("mqtt will", "").await else { return };
    let mut watch = config(broker.port, "watch");
    watch.filters = vec!["status/#".into()];
    let (_watch, mut seen, _) = start(watch);
    up(&mut seen).await;
    let (handle, mut events, _) = start(config(broker.port, "leaves"));
    up(&mut events).await;
    let farewell = Message::new("status/leaves", "bye").retained();
    handle.stop(Some(farewell)).await;
    says(&mut seen, "bye").await;
    // A runtime that is dropped takes its sockets with it: a death without a word.
    let port = broker.port;
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (_handle, mut events, _) = start(config(port, "dies"));
            up(&mut events).await;
        });
    })
    .join()
    .unwrap();
    says(&mut seen, "gone").await;
}

#[tokio::test]
async fn a_stop_ends_while_the_broker_is_away_and_a_closed_port_is_not_hammered() {
    let (handle, _events, telemetry) = start(config(free_port(), "nobody"));
    until("two attempts", || telemetry.total("mqtt_lost", "port_refuses") >= 2).await;
    tokio::time::timeout(Duration::from_secs(2), handle.stop(None)).await.expect("a stop within two seconds");
    assert!(telemetry.total("mqtt_lost", "port_refuses") < 5);
}

#[tokio::test]
async fn publishes_arrive() {
    let Some(broker) = Mosquitto::start("mqtt publish", "").await else { return };
    let (handle, mut events, _) = start(config(broker.port, "publish"));
    up(&mut events).await;
    let permit = handle.permit().await.unwrap();
    permit.publish(Message::new("in/mine", "hello").retained());
    says(&mut events, "hello").await;
    handle.stop(None).await;
}

#[tokio::test]
async fn the_deployed_configuration_lets_the_bridge_in_and_keeps_devices_apart() {
    let Some(tool) = program("mosquitto_passwd") else {
        return crate::support::skipped("deploy/mosquitto", "mosquitto_passwd is not installed");
    };
    let broker = Mosquitto::with("deploy/mosquitto", |port, dir| {
        let (passwd, acl) = (dir.join("passwd"), dir.join("acl"));
        for (flag, user) in [("-c", "bridge"), ("-b", "phone1"), ("-b", "phone2")] {
            let mut command = std::process::Command::new(&tool);
            command.args(if flag == "-c" { vec!["-c", "-b"] } else { vec!["-b"] });
            assert!(command.arg(&passwd).args([user, "secret"]).status().unwrap().success());
        }
        std::fs::write(&acl, include_str!("../deploy/mosquitto/acl")).unwrap();
        readable(&passwd);
        readable(&acl);
        let here = |path: &str| format!("{}/{path}", dir.display());
        include_str!("../deploy/mosquitto/mosquitto.conf")
            .replace("listener 1883", &format!("listener {port}"))
            .replace("/etc/mosquitto/passwd", &here("passwd"))
            .replace("/etc/mosquitto/acl", &here("acl"))
            .replace("persistence true", "persistence false")
            .replace("persistence_location /var/lib/mosquitto/\n", "")
    })
    .await;
    let Some(broker) = broker else { return };
    let login = |client: &str, user: &str, filters: &[&str]| {
        let mut config = config(broker.port, client);
        config.username = Some(user.to_owned());
        config.password = Some(SecretSource::Value("secret".to_owned().into()));
        config.filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
        config
    };
    let (anonymous, _events, telemetry) = start(config(broker.port, "anonymous"));
    until("anonymous is refused", || telemetry.total("mqtt_lost", "login_refused") > 0).await;
    anonymous.stop(None).await;
    let (bridge, mut events, _) = start(login("bridge", "bridge", &["devices/#", "presence-bridge/canary/#"]));
    up(&mut events).await;
    let (phone, mut phone_events, _) = start(login("phone1", "phone1", &["devices/phone2/#"]));
    up(&mut phone_events).await;
    for topic in ["devices/phone2/state", "devices/phone1/state"] {
        let permit = phone.permit().await.unwrap();
        permit.publish(Message::new(topic, topic));
    }
    says(&mut events, "devices/phone1/state").await; // the forged one did not arrive
    let permit = bridge.permit().await.unwrap();
    permit.publish(Message::new("presence-bridge/canary/bridge", "online").retained());
    says(&mut events, "online").await;
    bridge.stop(None).await;
    phone.stop(None).await;
}

/// Fills every queue towards a broker that does not read.
async fn fill(handle: &Handle) {
    let message = Message::new("in/mine", vec![b'x'; 60_000]);
    while let Ok(permit) = tokio::time::timeout(Duration::from_millis(200), handle.permit()).await {
        permit.unwrap().publish(message.clone());
    }
}

#[tokio::test]
async fn fault_03_a_stop_ends_the_task_while_the_broker_is_frozen() {
    let Some(broker) = Mosquitto::start("fault_03", "").await else { return };
    let mut config = config(broker.port, "frozen");
    config.keep_alive = Duration::from_secs(60); // the stop must not owe its end to the keep-alive
    let (handle, mut events, _) = start(config);
    up(&mut events).await;
    broker.signal("STOP");
    fill(&handle).await;
    tokio::time::timeout(Duration::from_secs(7), handle.stop(None)).await.expect("a stop within its bound");
    assert!(events.next().await.is_none(), "the task is gone");
}

#[tokio::test]
async fn a_stop_with_every_queue_full_still_disconnects() {
    let Some(broker) = Mosquitto::start("mqtt full stop", "").await else { return };
    let mut watch = config(broker.port, "watch");
    watch.filters = vec!["status/#".into()];
    let (_watch, mut seen, _) = start(watch);
    up(&mut seen).await;
    let mut config = config(broker.port, "full");
    config.filters = vec!["nothing".into()];
    config.keep_alive = Duration::from_secs(60);
    let (handle, mut events, _) = start(config);
    up(&mut events).await;
    broker.signal("STOP");
    fill(&handle).await;
    let farewell = Message::new("status/full", "bye").retained();
    let stop = tokio::spawn(handle.stop(Some(farewell)));
    tokio::task::yield_now().await;
    broker.signal("CONT");
    stop.await.unwrap();
    says(&mut seen, "bye").await;
    broker.publish("status/end", "end", false);
    says(&mut seen, "end").await; // and no last will in between
}

#[tokio::test]
async fn fault_17_of_two_clients_with_one_id_one_gives_way_for_long_and_says_so_once() {
    let Some(broker) = Mosquitto::start("fault_17", "").await else { return };
    let (one, _events_of_one, of_one) = start(config(broker.port, "twin"));
    let (two, _events_of_two, of_two) = start(config(broker.port, "twin"));
    let alarms = || of_one.total("mqtt_lost", "taken_over") + of_two.total("mqtt_lost", "taken_over");
    let losses = || of_one.total("mqtt_lost", "peer_closed") + of_two.total("mqtt_lost", "peer_closed");
    until("they fight", || losses() >= 3).await;
    until("one gives way", || alarms() > 0).await;
    let so_far = losses();
    assert!((3..=6).contains(&so_far), "three of one client: {so_far}");
    // The other may come back once more and then has peace; without the long wait the next round took 3.2 s at most.
    let peace = || alarms() == 1 && losses() <= so_far + 1;
    stays("one alarm, one loss more", Duration::from_secs(4), peace).await;
    one.stop(None).await;
    two.stop(None).await;
}
