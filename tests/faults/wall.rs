//! The wall clock of the real program is set: to and fro, by years, to 1970. libfaketime does it, by a file that the program
//! reads whenever it asks for the time of day; the clock since boot it does not touch.

use std::path::Path;
use std::time::Duration;

use crate::support::mosquitto::Mosquitto;
use crate::support::office::{CALL, NOBODY, Office, plain, publish, within};
use crate::support::skipped;

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Red: `clock::read` takes both its clocks from the wall.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_56_a_wall_clock_that_is_set_takes_nobody_from_a_call_and_is_told() {
    const TEST: &str = "fault_56";
    if !Path::new(LIBRARY).exists() {
        return skipped(TEST, "libfaketime is not installed");
    }
    let Some(broker) = Mosquitto::start(TEST, "").await else { return };
    let office = Office::new(6, 1).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("time");
    let set = |text: &str| {
        std::fs::write(dir.path().join("new"), format!("{text}\n")).unwrap();
        std::fs::rename(dir.path().join("new"), &file).unwrap();
    };
    set("+0");
    let environment = [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let program = office.program(&plain(broker.port), "", &environment).await;
    publish(broker.port, "phone/1", "INUSE", &[]);
    office.see(1, CALL).await;
    for (step, year, other) in
        [("+3600", "20", 2), ("-3600", "20", 3), ("+315360000", "203", 4), ("@1970-01-01 00:01:00", "1970", 5)]
    {
        set(step);
        let phone = format!("phone/{other}");
        publish(broker.port, &phone, "INUSE", &[]);
        office.see(other, CALL).await;
        let since = program.status(&format!("/status/p{other}")).await["shares"][0]["since"].to_string();
        assert!(since.contains(&format!("\"{year}")), "{step}: the program's clock was set: {since}");
        publish(broker.port, &phone, "NOT_INUSE", &[]);
        office.see(other, NOBODY).await;
        assert_eq!(office.story(other), [NOBODY, CALL, NOBODY], "{step}");
        office.kept_in_call(1);
    }
    set("+0");
    publish(broker.port, "phone/6", "INUSE", &[]);
    office.see(6, CALL).await;
    publish(broker.port, "phone/1", "NOT_INUSE", &[]);
    office.see(1, NOBODY).await;
    for number in 1..=5 {
        assert_eq!(office.calls(number), ["setPresence", "clearPresence"], "p{number}");
    }
    within(Duration::from_secs(5), "no alarm", || async {
        program.status("/status").await["alarms"] == serde_json::json!([])
    })
    .await;
    assert_eq!(office.tokens(), 1, "a token lasts as long as it was said to");
}
