//! No disk, a full one, a second bridge: the bridge runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use presence_bridge::store::{self, Written};

use super::{open, telemetry, three, write};
use crate::support::mosquitto::Mosquitto;
use crate::support::office::{CALL, NOBODY, Office, plain, publish};
use crate::support::skipped;

const SOON: Duration = Duration::from_secs(15);

/// A file system of its own, gone with the test.
struct Mount(PathBuf);

impl Mount {
    fn new(test: &str, dir: &Path, options: &str) -> Option<Mount> {
        std::fs::create_dir_all(dir).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            skipped(test, "no tmpfs can be mounted here");
            return None;
        }
        Some(Mount(dir.to_owned()))
    }

    fn again(&self, options: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status().unwrap();
        assert!(done.success(), "remount,{options}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_second_bridge_in_the_same_directory_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).0.unwrap();
    let told = store::open(dir.path(), &telemetry()).unwrap_err().to_string();
    assert!(told.contains(&dir.path().display().to_string()) && told.contains("[state]"), "{told}");
    drop(first);
    assert!(store::open(dir.path(), &telemetry()).is_ok());
}

/// Row 59.
///
/// Red: `Writer::begin` writes to `journal` itself in the place of `journal.new`.
#[tokio::test]
async fn fault_59_on_a_full_disk_the_old_file_stays_whole_and_writing_goes_on_when_there_is_room() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("state");
    let Some(_mount) = Mount::new("fault_59", &dir, "size=64k") else { return };
    let [first, second, third] = three();
    assert_eq!(write(&dir, [first.clone(), second]).await, [Written::Durable { long: false }; 2]);
    let before = open(&dir).1;
    let telemetry = telemetry();
    let (store, _) = store::open(&dir, &telemetry).unwrap();
    let mut store = store.unwrap();
    std::fs::write(dir.join("filler"), vec![1; 60 << 10]).unwrap_err();
    store.write(first.clone());
    assert_eq!(store.written().await, Written::Failed);
    assert_eq!(telemetry.alarms()[0].name, "state_not_written");
    store.write(third.clone());
    assert_eq!(store.written().await, Written::Failed, "nothing is put upon what is not there");
    std::fs::remove_file(dir.join("filler")).unwrap();
    assert_eq!(read_beside(&dir), before, "the old file is as it was");
    store.write(first);
    assert_eq!(store.written().await, Written::Durable { long: false });
    assert!(telemetry.alarms().is_empty());
    store.write(third);
    assert_eq!(store.written().await, Written::Durable { long: false });
}

/// What a file says whose directory somebody else has open.
fn read_beside(dir: &Path) -> Option<store::Found> {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir.join("journal"), copy.path().join("journal")).unwrap();
    open(copy.path()).1
}

/// Row 59, by the whole bridge: it works from memory, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_59_a_bridge_on_a_full_disk_goes_on_from_memory_and_the_alarm_ends_with_the_cause() {
    let Some(broker) = Mosquitto::start("fault_59 office", "").await else { return };
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("small");
    let Some(_mount) = Mount::new("fault_59 office", &dir, "size=64k") else { return };
    std::fs::write(dir.join("filler"), vec![1; 65 << 10]).unwrap_err();
    let office = Office::new(1, 1).await;
    let bridge = office.bridge_keeping(&dir, &plain(broker.port));
    bridge.hears(broker.port).await;
    let remedy = bridge.alarm(SOON, "state_not_written").await;
    assert!(remedy.contains(&dir.display().to_string()) && remedy.contains("[state]"), "{remedy}");
    publish(broker.port, "phone/1", "INUSE", &[]);
    office.see(1, CALL).await;
    publish(broker.port, "phone/1", "NOT_INUSE", &[]);
    office.see(1, NOBODY).await;
    std::fs::remove_file(dir.join("filler")).unwrap();
    bridge.no_alarm().await;
    bridge.stop().await;
    assert!(open(&dir).1.unwrap().clean);
}

/// Row 60.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_60_a_bridge_that_may_not_write_runs_with_an_alarm_and_so_does_one_without_a_directory() {
    let Some(broker) = Mosquitto::start("fault_60 office", "").await else { return };
    let temporary = tempfile::tempdir().unwrap();
    let office = Office::new(1, 1).await;
    // A directory that cannot be: there is a file in its way.
    std::fs::write(temporary.path().join("file"), "").unwrap();
    let bridge = office.bridge_keeping(&temporary.path().join("file/state"), &plain(broker.port));
    bridge.hears(broker.port).await;
    bridge.alarm(SOON, "state_not_written").await;
    publish(broker.port, "phone/1", "INUSE", &[]);
    office.see(1, CALL).await;
    publish(broker.port, "phone/1", "NOT_INUSE", &[]);
    office.see(1, NOBODY).await;
    bridge.stop().await;
    let dir = temporary.path().join("fixed");
    let Some(mount) = Mount::new("fault_60", &dir, "size=256k") else { return };
    let bridge = office.bridge_keeping(&dir, &plain(broker.port));
    bridge.hears(broker.port).await;
    publish(broker.port, "phone/1", "INUSE", &[]);
    office.see(1, CALL).await;
    bridge.stop().await;
    let before = std::fs::read(dir.join("journal")).unwrap();
    mount.again("ro");
    let bridge = office.bridge_keeping(&dir, &plain(broker.port));
    bridge.hears(broker.port).await;
    bridge.alarm(SOON, "state_not_written").await;
    publish(broker.port, "phone/1", "NOT_INUSE", &[]);
    office.see(1, NOBODY).await;
    assert_eq!(std::fs::read(dir.join("journal")).unwrap(), before);
    mount.again("rw");
    bridge.no_alarm().await;
    bridge.stop().await;
}

/// Rows 60 and 61, by the whole bridge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_61_a_bridge_with_a_damaged_journal_begins_anew_and_says_where_the_old_one_is() {
    let Some(broker) = Mosquitto::start("fault_61 office", "").await else { return };
    let temporary = tempfile::tempdir().unwrap();
    std::fs::write(temporary.path().join("journal"), "not one").unwrap();
    let office = Office::new(1, 1).await;
    let bridge = office.bridge_keeping(temporary.path(), &plain(broker.port));
    bridge.hears(broker.port).await;
    let remedy = bridge.alarm(SOON, "state_damaged").await;
    assert!(remedy.contains("journal.corrupt-1"), "{remedy}");
    publish(broker.port, "phone/1", "INUSE", &[]);
    office.see(1, CALL).await;
    assert!(bridge.count("journal", "written").await >= 2);
    bridge.stop().await;
}
