//! The journal on disk: what was acknowledged is there after a restart, or nothing is; a damaged, foreign or newer file is
//! never believed and never destroyed; and a bridge without one runs. Rows 59 to 62 of the catalogue of faults.

mod format;
mod restart;
mod troubles;

use std::path::Path;

use presence_bridge::clock::Clock;
use presence_bridge::presence::snapshot::{SavedPerson, SavedTopic};
use presence_bridge::presence::{Changes, Held, Mono, Now, ObjectId, SourceId, Timestamp};
use presence_bridge::store::{self, Found, Record, Store, Written};
use presence_bridge::telemetry::Telemetry;

use crate::support::{ALICE, BOB};

fn telemetry() -> Telemetry {
    Telemetry::new(Clock::live())
}

fn id(text: &str) -> ObjectId {
    text.parse().unwrap()
}

fn person(object_id: &str, held: Held) -> SavedPerson {
    let paused = None;
    SavedPerson { tenant: id(BOB), object_id: id(object_id), shares: Vec::new(), held, may_land_until: None, paused }
}

fn topic(topic: u64, payload: u64) -> SavedTopic {
    SavedTopic { source: SourceId(0), topic, payload, at: Mono::BOOT, partitions: 1, about: Default::default() }
}

/// Says that something is held of these people, and that these topics said something.
fn record(whole: bool, people: Vec<SavedPerson>, topics: Vec<SavedTopic>) -> Record {
    let mut changes = Changes { whole, ..Changes::default() };
    changes.part.taken = Now { mono: Mono::BOOT, wall: Timestamp::from_millis(1_795_600_000_000) };
    changes.part.version = 1;
    (changes.part.people, changes.part.topics) = (people, topics);
    Record { boot: Some("this boot".to_owned()), clean: false, sources: vec!["mqtt".to_owned()], changes }
}

/// Three writes: everything, a change, the end.
fn three() -> [Record; 3] {
    let mut gone = record(false, Vec::new(), vec![topic(2, 22)]);
    gone.changes.gone = vec![(id(BOB), id(BOB))];
    gone.clean = true;
    [
        record(true, vec![person(ALICE, Held::Unknown), person(BOB, Held::Unknown)], vec![topic(1, 11)]),
        record(false, vec![person(ALICE, Held::Nothing)], vec![topic(1, 12), topic(2, 21)]),
        gone,
    ]
}

fn open(dir: &Path) -> (Option<Store>, Option<Found>, Vec<&'static str>) {
    let telemetry = telemetry();
    // A program that another test starts in this moment holds the lock of a store that was dropped, until it has begun.
    let mut opened = store::open(dir, &telemetry);
    for _ in 0..200 {
        if opened.is_ok() {
            break;
        }
        #[allow(clippy::disallowed_methods, reason = "the lock is a process's that is just being started")]
        std::thread::sleep(std::time::Duration::from_millis(10));
        opened = store::open(dir, &telemetry);
    }
    let (store, found) = opened.unwrap();
    (store, found, telemetry.alarms().iter().map(|alarm| alarm.name).collect())
}

/// Writes these records, and says how each went.
async fn write(dir: &Path, records: impl IntoIterator<Item = Record>) -> Vec<Written> {
    let mut store = open(dir).0.unwrap();
    let mut written = Vec::new();
    for record in records {
        store.write(record);
        written.push(store.written().await);
    }
    written
}
