//! The file itself.

use std::hash::Hasher;

use presence_bridge::presence::Held;
use presence_bridge::store::{VERSION, Written};
use siphasher::sip::SipHasher13;

use super::{id, open, person, record, three, topic, write};
use crate::support::{ALICE, BOB};

const DURABLE: Written = Written::Durable { long: false };

#[tokio::test]
async fn what_was_written_is_found_as_it_was_last() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(open(dir.path()).1, None);
    assert_eq!(write(dir.path(), three()).await, [DURABLE; 3]);
    let (_, found, alarms) = open(dir.path());
    let found = found.unwrap();
    assert_eq!(found.snapshot.people, [person(ALICE, Held::Nothing)]);
    assert_eq!(found.snapshot.topics, [topic(1, 12), topic(2, 22)]);
    assert_eq!((found.boot.as_deref(), found.clean), (Some("this boot"), true));
    assert!(alarms.is_empty());
}

#[tokio::test]
async fn it_is_for_nobody_else_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("state");
    write(&dir, three()).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("journal"))), (0o700, 0o600));
}

/// Row 61, and law 7: whatever byte changes, the answer is what was written, or that it is damaged.
#[tokio::test]
async fn fault_61_whatever_byte_is_changed_nothing_wrong_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), three()).await;
    let path = dir.path().join("journal");
    let (bytes, right) = (std::fs::read(&path).unwrap(), open(dir.path()).1.unwrap());
    let (mut aside, mut believed) = (0, 0);
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            std::fs::write(&path, &changed).unwrap();
            let (store, found, alarms) = open(dir.path());
            assert!(store.is_some(), "it can be written anew");
            match found {
                Some(found) => {
                    assert_eq!(found, right, "byte {at} ^ {change:#x}");
                    believed += 1;
                }
                None => {
                    assert_eq!(alarms, ["state_damaged"], "byte {at} ^ {change:#x}");
                    let kept = dir.path().join("journal.corrupt-1");
                    assert_eq!(
                        std::fs::read(&kept).unwrap(),
                        changed,
                        "byte {at}: what cannot be read is kept as it is"
                    );
                    std::fs::remove_file(kept).unwrap();
                    aside += 1;
                }
            }
        }
    }
    // What no byte of depends on: the marks, of which one is enough, and the room between them.
    let records = bytes.len() - 4096;
    assert_eq!(aside, (records + 32) * 3, "every byte of head and records counts");
    assert_eq!(believed, (4096 - 32) * 3);
}

#[tokio::test]
async fn fault_61_wherever_it_is_cut_off_nothing_old_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), three()).await;
    let path = dir.path().join("journal");
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let (_, found, alarms) = open(dir.path());
        assert_eq!((found, alarms), (None, vec!["state_damaged"]), "cut at {length} of {}", bytes.len());
        std::fs::remove_file(dir.path().join("journal.corrupt-1")).unwrap();
    }
}

/// Row 62: what a crash breaks off was not acknowledged; all before it is there.
#[tokio::test]
async fn fault_62_a_write_that_was_broken_off_is_as_if_it_had_never_begun() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), three()).await;
    let path = dir.path().join("journal");
    let (bytes, right) = (std::fs::read(&path).unwrap(), open(dir.path()).1);
    let next = frame(&serde_json::to_vec(&three()[1]).unwrap(), 4);
    for length in 0..next.len() {
        for rest in [0, next.len() - length] {
            // Broken off, or a page of it never written.
            let torn = [&bytes[..], &next[..length], &vec![0; rest][..]].concat();
            std::fs::write(&path, torn).unwrap();
            assert_eq!(open(dir.path()).1, right, "{length} bytes of the next record, then {rest} zeros");
        }
    }
    // Whole, but the mark behind it was lost: it is there.
    std::fs::write(&path, [bytes, next].concat()).unwrap();
    assert_eq!(open(dir.path()).1.unwrap().snapshot.topics, [topic(1, 12), topic(2, 21)]);
    // A new file that was never renamed is no file.
    std::fs::write(dir.path().join("journal.new"), "half of").unwrap();
    assert!(open(dir.path()).1.is_some());
}

#[tokio::test]
async fn fault_61_a_foreign_or_empty_file_is_set_aside_nine_times_and_then_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    for n in 1..=9 {
        let text = if n == 1 { String::new() } else { format!("shopping list {n}") };
        std::fs::write(&path, &text).unwrap();
        let (store, found, alarms) = open(dir.path());
        assert_eq!((store.is_some(), found, alarms), (true, None, vec!["state_damaged"]));
        assert_eq!(std::fs::read_to_string(dir.path().join(format!("journal.corrupt-{n}"))).unwrap(), text);
    }
    std::fs::write(&path, "the tenth").unwrap();
    let (store, found, alarms) = open(dir.path());
    assert_eq!((store.is_none(), found, alarms), (true, None, vec!["state_not_read"]));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "the tenth");
}

fn sum(kind: u64, parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = SipHasher13::new_with_keys(kind, 1);
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish().to_le_bytes()
}

/// A record as the format says, written here a second time.
fn frame(body: &[u8], count: u64) -> Vec<u8> {
    let head = [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], &count.to_le_bytes()].concat();
    [&head[..], &sum(3, &[&head, body]), body].concat()
}

/// A file of another version, with these records.
fn file(version: u32, readable_since: u32, bodies: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[..16].copy_from_slice(b"presence-bridge\n");
    bytes[16..20].copy_from_slice(&version.to_le_bytes());
    bytes[20..24].copy_from_slice(&readable_since.to_le_bytes());
    let head = sum(1, &[&bytes[..24]]);
    bytes[24..32].copy_from_slice(&head);
    for (body, count) in bodies.iter().zip(1..) {
        bytes.extend(frame(body, count));
    }
    let mark = [(bodies.len() as u64).to_le_bytes(), (bytes.len() as u64).to_le_bytes()].concat();
    let mark = [&mark[..], &sum(2, &[&mark])].concat();
    for at in [512, 1024] {
        bytes[at..at + 24].copy_from_slice(&mark);
    }
    bytes
}

#[tokio::test]
async fn the_next_version_is_read_where_it_says_so_and_what_it_has_more_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut next = serde_json::to_value(&three()[0]).unwrap();
    next["mood"] = "sunny".into();
    next["changes"]["part"]["people"][0]["office"] = "3.14".into();
    next["changes"]["part"]["topics"][0]["colour"] = 7.into();
    next["changes"]["part"]["weather"] = serde_json::json!([1, 2]);
    let body = serde_json::to_vec(&next).unwrap();
    std::fs::write(dir.path().join("journal"), file(VERSION + 1, 1, &[&body])).unwrap();
    let found = open(dir.path()).1.unwrap();
    assert_eq!(found.snapshot.people, [person(ALICE, Held::Unknown), person(BOB, Held::Unknown)]);
    assert_eq!(found.snapshot.topics, [topic(1, 11)]);
}

#[tokio::test]
async fn a_newer_version_that_cannot_be_read_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let words = serde_json::to_vec(&three()[0]).unwrap();
    let words = String::from_utf8(words).unwrap().replace("\"Unknown\"", "\"Superposed\"");
    for bytes in [
        file(VERSION + 1, VERSION + 1, &[b"\x00 no JSON any more"]),
        file(VERSION + 1, 1, &[words.as_bytes()]), // it says that it can be read, and has a word that is not known here
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let (store, found, alarms) = open(dir.path());
        assert_eq!((store.is_none(), found, alarms), (true, None, vec!["state_not_read"]));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

/// The first format, as it was first written: every later version reads it.
#[tokio::test]
async fn the_format_of_version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = include_bytes!("../fixtures/journal-1");
    std::fs::write(dir.path().join("journal"), fixture).unwrap();
    let found = open(dir.path()).1.unwrap();
    assert_eq!((found.sources, found.boot.as_deref()), (vec!["mqtt".to_owned()], Some("this boot")));
    assert_eq!(found.snapshot.people.len(), 1);
    let alice = &found.snapshot.people[0];
    assert_eq!((alice.object_id, alice.shares.len()), (id(ALICE), 1));
    let share = &alice.shares[0];
    assert_eq!(
        (&*share.signal, &*share.share.device, &*share.share.subject),
        ("call", "pbx/devstate/PJSIP/1001", "1001")
    );
    assert!(matches!(alice.held, Held::Pair { .. }));
    assert_eq!(found.snapshot.topics.len(), 1);
}

#[tokio::test]
#[ignore = "wrote the fixture, and is kept to show how; a format that changes gets a fixture of its own"]
async fn write_the_fixture() {
    let mut rig = crate::support::rig::Rig::new();
    rig.publish("pbx/devstate/PJSIP/1001", "INUSE").unwrap();
    rig.drive(10);
    let mut record = record(true, Vec::new(), Vec::new());
    record.changes.part = rig.core.snapshot(rig.now);
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), [record]).await;
    std::fs::copy(dir.path().join("journal"), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/journal-1"))
        .unwrap();
}

#[tokio::test]
async fn a_file_that_has_grown_long_asks_for_everything_and_is_short_again() {
    let dir = tempfile::tempdir().unwrap();
    let many = |from: u64| record(false, Vec::new(), (from..from + 20_000).map(|n| topic(n, n)).collect());
    let records = [three()[0].clone()].into_iter().chain((0..4).map(|n| many(n * 20_000)));
    let written = write(dir.path(), records).await;
    assert!(written.contains(&Written::Durable { long: true }), "{written:?}");
    let length = || std::fs::metadata(dir.path().join("journal")).unwrap().len();
    let long = length();
    assert_eq!(write(dir.path(), [three()[0].clone()]).await, [DURABLE]);
    assert!(length() < long / 100, "{long} {}", length());
}
