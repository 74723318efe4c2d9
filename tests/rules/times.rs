//! Times as they are written: each form, zones by both names, and the hours that are doubled and skipped.

use presence_bridge::presence::rule::Zone;
use proptest::prelude::*;

use super::language::plan;
use super::messages::said;

fn until(zone: &str, json: &str) -> Option<String> {
    let rule = format!(
        "[[rule]]\ntopic = 'x'\nformat = 'json'\nsubject = '=alice'\nsignal = 'call'\nvalue = '/s'\non = 'on'\nuntil = '/u'\ntime_zone = '{zone}'\n"
    );
    let found = said(&plan(&rule), "x", format!(r#"{{"s":"on","u":{json}}}"#).as_bytes(), false);
    Some(found.first()?.strip_prefix("call on until ").unwrap_or("none").to_owned())
}

#[test]
fn every_form_of_a_time_is_read() {
    const TEN: &str = "2026-11-24T10:00:00Z";
    for (json, at) in [
        (r#""2026-11-24T11:00:00+01:00""#, TEN),
        (r#""2026-11-24t10:00:00z""#, TEN),
        (r#""2026-11-24T11:00:00+0100""#, TEN),
        (r#""2026-11-24T11:00:00+01""#, TEN),
        (r#""2026-11-24 11:00:00 +01:00""#, TEN),
        (r#""2026-11-24T04:30:00-05:30""#, TEN),
        (r#""2026-11-24 11:00:00""#, TEN),
        (r#""2026-11-24T11:00""#, TEN),
        (r#""2026-11-24 10:00:00Z""#, TEN),
        (r#""2026-11-24 10:00:00 UTC""#, TEN),
        (r#""2026-11-24T10:00:00.0000000Z""#, TEN),
        (r#""2026-11-24T10:00:00,5Z""#, "2026-11-24T10:00:00.5Z"),
        (r#""2026-11-24T11:00:00[Europe/Berlin]""#, TEN),
        (r#""20261124T100000Z""#, TEN),
        (r#""24.11.2026 11:00""#, TEN),
        (r#""24.11.26 11:00:00""#, TEN),
        (r#""2026/11/24 11:00""#, TEN),
        (r#""Tue, 24 Nov 2026 10:00:00 +0000""#, TEN),
        (r#""Tue, 24 Nov 2026 10:00:00 GMT""#, TEN),
        ("1795514400", TEN),
        ("1795514400.0", TEN),
        (r#""1795514400""#, TEN),
        ("1795514400000", TEN),
        (r#""1795514400000000""#, TEN),
        ("1795514400000000000", TEN),
        (r#"{"dateTime":"2026-11-24T10:00:00.0000000","timeZone":"UTC"}"#, TEN),
        (r#"{"dateTime":"2026-11-24T11:00:00","timeZone":"W. Europe Standard Time"}"#, TEN),
        (r#"{"dateTime":"2026-11-24T05:00:00","timeZone":"eastern standard time"}"#, TEN),
        (r#"{"dateTime":"2026-11-24T10:00:00","timeZone":"tzone://Microsoft/Utc"}"#, TEN),
        (r#"{"dateTime":"2026-11-24T15:30:00","timeZone":"Asia/Kolkata"}"#, TEN),
        (r#"{"dateTime":"2026-11-24T11:00:00+01:00"}"#, TEN),
        (r#"{"date":"2026-11-24"}"#, "2026-11-23T23:00:00Z"),
        (r#""2026-11-24""#, "2026-11-23T23:00:00Z"),
        (r#""20261124""#, "2026-11-23T23:00:00Z"),
        // The hour that is doubled: the first of the two; the hour that is skipped: as if it had not been.
        (r#""2026-10-25T02:30:00""#, "2026-10-25T00:30:00Z"),
        (r#""2026-03-29T02:30:00""#, "2026-03-29T01:30:00Z"),
        (r#""2026-07-01T12:00:00""#, "2026-07-01T10:00:00Z"),
        ("null", "none"),
        (r#""""#, "none"),
        (r#""None""#, "none"),
    ] {
        assert_eq!(until("Europe/Berlin", json).as_deref(), Some(at), "{json}");
    }
    for json in [
        r#""soon""#,
        r#""2026-13-01""#,
        r#""2026-02-30T10:00:00""#,
        r#""2026-11-24T25:00""#,
        r#""2026-11-24T""#,
        r#""11/24/2026 10:00 AM""#,
        r#""2026-11-24T10:00:00+99:99""#,
        r#""2026-11-24T10:00:00[Nowhere]""#,
        "true",
        "[]",
        "{}",
        "1e300",
        r#""inf""#,
        r#""١٢""#,
        r#"{"dateTime":"2026-11-24T10:00:00","timeZone":"Nowhere"}"#,
    ] {
        assert_eq!(until("Europe/Berlin", json), None, "{json}");
    }
    assert_eq!(until("UTC", r#""2026-11-24 11:00""#).as_deref(), Some("2026-11-24T11:00:00Z"));
    assert_eq!(until("-03:30", r#""2026-11-24 11:00""#).as_deref(), Some("2026-11-24T14:30:00Z"));
    assert_eq!(until("New Zealand Standard Time", r#""2026-11-24 11:00""#).as_deref(), Some("2026-11-23T22:00:00Z"));
}

#[test]
fn every_windows_zone_is_one_that_is_known() {
    let table = include_str!("../../src/presence/rule/zones.rs");
    let rows = table.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split_once("\", "));
    let mut count = 0;
    for (windows, iana) in rows {
        let iana = iana.trim_start_matches('"').split('"').next().unwrap();
        assert!(Zone::named(windows).is_some(), "{windows}: {iana}");
        assert!(Zone::named(iana).is_some(), "{iana}");
        count += 1;
    }
    assert!(count > 130, "{count}");
    for nonsense in ["", "Nowhere", "+", "+1", "+99", "Europe", "../etc/passwd", "[", "W. Europe"] {
        assert!(Zone::named(nonsense).is_none(), "{nonsense}");
    }
}

proptest! {
    #[test]
    fn no_text_that_may_be_a_time_panics(text in "\\PC{0,40}|[0-9]{0,4}[-./]?[0-9]{0,3}[-./]?[0-9]{0,4}[T ]?[0-9:.,]{0,20}[Z+\\-]?[0-9:]{0,6}(\\[\\PC{0,10}\\]?)?") {
        let json = serde_json::to_string(&text).unwrap();
        until("Europe/Berlin", &json);
    }

    #[test]
    fn an_instant_is_read_back_in_every_form(seconds in 0_i64..4_000_000_000) {
        let at = jiff::Timestamp::from_second(seconds).unwrap().to_string();
        for json in [format!("\"{at}\""), seconds.to_string(), format!("\"{}\"", seconds * 1000)] {
            if seconds > 100_000_000 {
                prop_assert_eq!(until("America/New_York", &json), Some(at.clone()));
            }
        }
    }
}
