//! Devices that die in the middle of a call.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::mosquitto::{Mosquitto, program};
use crate::support::office::{CALL, NOBODY, Office, publish};
use crate::support::{lines_of, until};

/// With a last will, and without.
///
/// Red: `rule.rs` does not know the words of `unknown`; for the other, `board.rs` lets a share live without its lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_25_whose_phone_dies_off_hook_is_free_after_the_grace_or_when_the_lease_ends() {
    let Some(broker) = Mosquitto::start("fault_25", "").await else { return };
    let office = Office::new(2, 30).await; // the grace is half a second, the lease of `ring/` ten
    let bridge = office.open(broker.port).await;
    publish(broker.port, "commands", "hello", &["-r"]);
    let mut phone = Command::new(program("mosquitto_sub").unwrap())
        .args(["-V", "5", "-p", &broker.port.to_string(), "-t", "commands", "--will-topic", "phone/1"])
        .args(["--will-payload", "UNAVAILABLE", "--will-retain", "--will-qos", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = lines_of(phone.stdout.take().unwrap());
    until("the phone is connected", || said.lock().unwrap().contains("hello")).await;
    publish(broker.port, "phone/1", "INUSE", &["-r"]);
    publish(broker.port, "ring/2", "INUSE", &[]);
    office.see(1, CALL).await;
    office.see(2, CALL).await;
    phone.kill().unwrap();
    phone.wait().unwrap();
    office.see_within(Duration::from_secs(5), 1, NOBODY).await;
    office.kept_in_call(2);
    office.see(2, NOBODY).await;
    assert_eq!(office.story(1), [NOBODY, CALL, NOBODY]);
    assert_eq!(office.story(2), [NOBODY, CALL, NOBODY]);
    bridge.stop().await;
}
