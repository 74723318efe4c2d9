//! Clocks that jump, machines that sleep, and times that calendars and politics make odd: the core on virtual time, and the
//! rules' reading of times. The same by the real program is in `wall`.

use std::time::Duration;

use presence_bridge::presence::{Link, SourceId, Timestamp};

use crate::support::rig::Rig;

const NOBODY: &str = "Offline/Offline";
const CALL: &str = "Busy/InACall";
const MEETING: &str = "Busy/InAConferenceCall";
const PHONE: &str = "pbx/devstate/PJSIP/1001";
const SENSOR: &str = "ha/alice/state";
const DOOR: &str = "presence-bridge/in/alice/meeting";
const HOUR: i64 = 3_600_000;
const MINUTE: u64 = 60;

fn at(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn in_millis(rig: &Rig, millis: i64) -> String {
    jiff::Timestamp::from_millisecond(rig.now.wall.as_millis() + millis).unwrap().to_string()
}

/// Somebody sets the wall clock; the loop is woken by that.
fn set_clock(rig: &mut Rig, wall: Timestamp) {
    rig.now.wall = wall;
    rig.core.handle_timeout(rig.now);
    rig.drive(0);
}

/// Red: the `lease` of `Board::apply` ends on the wall clock as well (`wall: now.wall + effect.ttl`).
#[test]
fn fault_56_a_wall_clock_that_jumps_moves_no_call_and_no_refresh() {
    let now = Rig::new().now.wall.as_millis();
    for wall in [now + HOUR, now - HOUR, now + 10 * 365 * 24 * HOUR, 1_000] {
        let mut rig = Rig::new();
        rig.publish(PHONE, "INUSE").unwrap();
        rig.drive(10);
        set_clock(&mut rig, Timestamp::from_millis(wall));
        for _ in 0..2 * MINUTE {
            rig.sees("alice", CALL);
            rig.drive(30);
        }
        let calls = rig.calls.len();
        assert!((10..=30).contains(&calls), "an hour of refreshes and no more: {:?}", rig.calls);
        assert!(rig.calls.iter().all(|(_, call)| call == "alice Busy/InACall"), "{:?}", rig.calls);
        rig.publish(PHONE, "NOT_INUSE").unwrap();
        rig.drive(1);
        rig.sees("alice", NOBODY);
    }
}

/// Red: `Core::tick` does not judge anew when the wall clock was set back.
#[test]
fn fault_56_only_an_end_that_is_a_time_of_day_follows_the_wall_clock_there_and_back() {
    let mut rig = Rig::new();
    let end = in_millis(&rig, HOUR / 2);
    rig.publish(DOOR, &format!("{{\"on\": true, \"until\": \"{end}\"}}")).unwrap();
    rig.drive(5);
    rig.sees("alice", MEETING);
    let right = rig.now.wall.as_millis();
    set_clock(&mut rig, Timestamp::from_millis(right + HOUR));
    rig.drive(2);
    rig.sees("alice", NOBODY); // the meeting is over, says the clock
    let back = rig.now.wall.as_millis() - HOUR;
    set_clock(&mut rig, Timestamp::from_millis(back));
    rig.drive(2);
    rig.sees("alice", MEETING); // the clock was wrong
    rig.drive(30 * MINUTE);
    rig.sees("alice", NOBODY);
}

/// The machine sleeps: nobody is asked, nothing is heard, Graph's clock goes on. Awake, the loop is told first that
/// nothing was heard, then its timer fires; the connection is gone.
fn sleep(rig: &mut Rig, span: Duration) {
    let since = rig.now.mono;
    rig.now.mono = rig.now.mono + span;
    rig.now.wall = rig.now.wall + span;
    rig.core.handle_link(rig.now, SourceId(0), Link::Deaf { since });
    rig.core.handle_timeout(rig.now);
    rig.drive(0);
    rig.link(Link::Down);
}

fn awake(rig: &mut Rig, retained: &[(&str, &str)]) {
    rig.drive(2);
    rig.link(Link::Up { session_present: false, expiry: Duration::ZERO });
    for (topic, payload) in retained {
        let _unchanged = rig.replay(topic, payload);
    }
    rig.link(Link::Replayed);
    rig.drive(2);
}

/// Red: `Core::take` does not let an equal replay confirm its share (`board.confirm`).
#[test]
fn fault_57_who_is_still_in_a_call_after_a_sleep_is_seen_again_at_once() {
    for (span, topic, payload, seen) in [(10 * MINUTE, PHONE, "INUSE", CALL), (10 * 60 * MINUTE, SENSOR, "on", MEETING)]
    {
        let mut rig = Rig::new();
        rig.publish(topic, payload).unwrap();
        rig.drive(10);
        rig.sees("alice", seen);
        rig.calls.clear();
        sleep(&mut rig, Duration::from_secs(span));
        awake(&mut rig, &[(topic, payload)]);
        rig.sees("alice", seen);
        rig.drive(600);
        rig.sees("alice", seen); // and it is refreshed
        assert!(rig.calls.len() <= 6, "{:?}", rig.calls);
    }
}

/// Red: `Core::handle_link` takes `Deaf` to begin now instead of at the last message: its shares live another 15 minutes.
#[test]
fn fault_57_a_call_that_ended_while_the_machine_slept_is_over() {
    for span in [20 * MINUTE, 10 * 60 * MINUTE] {
        let mut rig = Rig::new();
        rig.publish(PHONE, "INUSE").unwrap();
        rig.drive(10);
        rig.calls.clear();
        sleep(&mut rig, Duration::from_secs(span));
        rig.sees("alice", NOBODY); // Graph's own end of it
        rig.drive(60);
        rig.sees("alice", NOBODY); // and the broker is not there yet
        awake(&mut rig, &[(PHONE, "NOT_INUSE")]);
        rig.sees("alice", NOBODY);
        assert!(rig.calls.iter().all(|(_, call)| call.ends_with("clear")), "nobody is set anew: {:?}", rig.calls);
        rig.publish(PHONE, "INUSE").unwrap();
        rig.drive(1);
        rig.sees("alice", CALL);
    }
}

/// A broker that never comes back: whoever was heard before the sleep is nobody's guess.
///
/// Red: as above.
#[test]
fn fault_57_without_a_broker_nobody_is_set_from_before_the_sleep() {
    for span in [20 * MINUTE, 26 * 60 * MINUTE] {
        let mut rig = Rig::new();
        for (topic, payload) in [(PHONE, "INUSE"), ("pbx/devstate/PJSIP/1002", "INUSE"), (SENSOR, "on")] {
            rig.publish(topic, payload).unwrap();
        }
        rig.drive(10);
        rig.calls.clear();
        sleep(&mut rig, Duration::from_secs(span));
        for _ in 0..20 {
            rig.drive(60);
            rig.sees("alice", NOBODY);
            rig.sees("bob", NOBODY);
        }
        assert!(rig.calls.iter().all(|(_, call)| call.ends_with("clear")), "{:?}", rig.calls);
    }
}

#[cfg(feature = "sandbox")]
mod calendars {
    use super::*;
    use crate::support::rig::config;

    fn rules(zone: &str) -> String {
        format!(
            r#"
time_zone = "{zone}"
[[rule]]
topic = "calendar/{{who}}"
format = "json"
subject = "{{who}}"
signal = "meeting"
value = "/s"
on = "on"
off = "off"
until = "/end"
"#
        )
    }

    /// In the site's zone, at this time.
    fn site(zone: &str, now: &str) -> Rig {
        let mut rig = Rig::new();
        rig.reload(config(&rules(zone)).plan);
        set_clock(&mut rig, at(now));
        rig
    }

    /// A meeting that ends at `end`, as JSON, is seen until that instant and no longer.
    #[track_caller]
    fn ends(zone: &str, now: &str, end: &str, instant: &str) {
        let mut rig = site(zone, now);
        rig.publish("calendar/alice", &format!(r#"{{"s": "on", "end": {end}}}"#)).unwrap();
        let left = at(instant).since(rig.now.wall);
        assert!(left > Duration::from_secs(60), "{end}");
        rig.pass(left - Duration::from_secs(2));
        rig.sees("alice", MEETING);
        rig.drive(3);
        rig.sees("alice", NOBODY);
    }

    /// Red: `Zone::at` takes the later of two times (`compatible` → `later`).
    #[test]
    fn fault_58_a_meeting_over_the_change_of_the_clocks_ends_when_people_leave_it() {
        for (zone, now, end, instant) in [
            // The hour that is doubled: the first of the two.
            ("Europe/Berlin", "2026-10-24T23:00:00Z", r#""2026-10-25T02:30:00""#, "2026-10-25T00:30:00Z"),
            // After it: an hour later than somebody thinks who does not know of it.
            ("Europe/Berlin", "2026-10-24T23:00:00Z", r#""2026-10-25T03:30:00""#, "2026-10-25T02:30:00Z"),
            ("Europe/Berlin", "2026-10-24T23:00:00Z", r#""2026-10-25T02:30:00+01:00""#, "2026-10-25T01:30:00Z"),
            // The hour that is skipped, and after it.
            ("Europe/Berlin", "2026-03-29T00:00:00Z", r#""2026-03-29T02:30:00""#, "2026-03-29T01:30:00Z"),
            ("Europe/Berlin", "2026-03-29T00:00:00Z", r#""2026-03-29T03:30:00""#, "2026-03-29T01:30:00Z"),
            // Half an hour of daylight saving; none; a change a week before Europe's, in the zone of the event.
            ("Australia/Lord_Howe", "2026-10-03T14:00:00Z", r#""2026-10-04T03:00:00""#, "2026-10-03T16:00:00Z"),
            ("Asia/Kolkata", "2026-10-25T00:00:00Z", r#""2026-10-25T06:30:00""#, "2026-10-25T01:00:00Z"),
            (
                "Europe/Berlin",
                "2026-03-20T12:00:00Z",
                r#"{"dateTime": "2026-03-20T09:00:00", "timeZone": "Eastern Standard Time"}"#,
                "2026-03-20T13:00:00Z",
            ),
        ] {
            ends(zone, now, end, instant);
        }
    }

    /// Red: `times::time` refuses a second 60.
    #[test]
    fn fault_58_a_leap_second_ends_a_meeting_like_any_other_second() {
        for end in [
            r#""2026-12-31T23:59:60Z""#,
            r#""2027-01-01T00:59:60+01:00""#,
            r#""2026-12-31T23:59:60.5Z""#,
            r#""20261231T235960Z""#,
            r#""2027-01-01T00:59:60""#,
        ] {
            ends("Europe/Berlin", "2026-12-31T23:30:00Z", end, "2027-01-01T00:00:00Z");
        }
        let mut rig = site("UTC", "2026-12-31T23:30:00Z");
        assert!(rig.publish("calendar/alice", r#"{"s": "on", "end": "2026-12-31T23:59:61Z"}"#).is_err());
    }

    /// Red: `times::epoch` takes seconds through an `i32`.
    #[test]
    fn fault_58_2038_is_a_year_like_any_other() {
        let now = "2038-01-19T03:00:00Z";
        for end in [r#""2038-01-19T03:14:08Z""#, "2147483648", r#""2147483648""#, "2147483648000"] {
            ends("UTC", now, end, "2038-01-19T03:14:08Z");
        }
        ends("Europe/Berlin", "2107-02-01T10:00:00Z", r#""2107-02-01T12:00:00""#, "2107-02-01T11:00:00Z");
        // A clock that passes the end of 32 bits under a call.
        let mut rig = site("UTC", "2038-01-19T03:14:00Z");
        rig.publish(PHONE, "INUSE").unwrap();
        for _ in 0..60 {
            rig.drive(60);
            rig.sees("alice", CALL);
        }
    }

    /// Red: a rule's zone is not that of the site where it has none (config/rules.rs: `unwrap_or_default`).
    #[test]
    fn fault_58_a_site_that_moves_to_another_zone_reads_the_next_message_in_it() {
        let mut rig = site("Europe/Berlin", "2026-11-25T08:00:00Z");
        rig.publish("calendar/alice", r#"{"s": "on", "end": "2026-11-25T10:00:00"}"#).unwrap();
        rig.drive(5);
        rig.reload(config(&rules("America/New_York")).plan);
        rig.drive(5);
        // Of the rule as it was: it is another rule now, and its share went with it.
        rig.sees("alice", NOBODY);
        rig.publish("calendar/alice", r#"{"s": "on", "end": "2026-11-25T10:00:00", "n": 1}"#).unwrap();
        rig.pass(at("2026-11-25T14:59:58Z").since(rig.now.wall));
        rig.sees("alice", MEETING);
        rig.drive(3);
        rig.sees("alice", NOBODY);
    }
}
