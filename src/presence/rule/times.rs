//! Times as devices and calendars write them. What has no offset is local time of the rule's zone.

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};

use super::json::Json;
use super::zones;
use crate::presence::now::Timestamp;

/// Longer texts are no times.
const LONGEST: usize = 64;

/// A time zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: Box<str>,
    zone: TimeZone,
}

impl Default for Zone {
    fn default() -> Self {
        Zone { name: "UTC".into(), zone: TimeZone::UTC }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Zone {
    /// By its name in the IANA database (`Europe/Berlin`), on Windows (`W. Europe Standard Time`), or as an offset
    /// (`+01:00`). `None` if there is no such zone.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.trim();
        let name = name.strip_prefix("tzone://Microsoft/").unwrap_or(name);
        let zone = match name {
            "" => return None,
            _ if ["UTC", "GMT", "Z"].iter().any(|utc| utc.eq_ignore_ascii_case(name)) => TimeZone::UTC,
            _ if name.starts_with(['+', '-']) => TimeZone::fixed(offset(name)?),
            _ if name.len() > LONGEST => return None,
            _ => TimeZone::get(zones::iana(name).unwrap_or(name)).ok()?,
        };
        Some(Zone { name: name.into(), zone })
    }

    fn at(&self, local: DateTime) -> Option<Timestamp> {
        // In the hour that is skipped or doubled, as the calendars do: the later offset, the earlier time.
        let zoned = self.zone.to_ambiguous_zoned_datetime(local).compatible();
        zoned.map_or_else(|_| for_ever(local), |zoned| Some(stamp(zoned.timestamp())))
    }
}

fn stamp(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millisecond())
}

/// The last day of all is how calendars write that there is no end; it is beyond what can be told on a clock.
fn for_ever(local: DateTime) -> Option<Timestamp> {
    (local.year() == 9999).then(|| stamp(jiff::Timestamp::MAX))
}

/// A time in JSON: a number since the epoch, a text, or an object with `dateTime` and `timeZone`, or with `date`.
pub(super) fn json(value: &Json, zone: &Zone) -> Option<Timestamp> {
    match value {
        Json::Number(number) => epoch(number.as_f64()?),
        Json::Text(word) => text(word, zone),
        Json::Object(_) => {
            let word = |key| value.at(key).and_then(Json::word);
            let zone = match word("/timeZone") {
                Some(name) => &Zone::named(&name)?,
                None => zone,
            };
            text(&word("/dateTime").or_else(|| word("/date"))?, zone)
        }
        _ => None,
    }
}

/// A time as text: RFC 3339 with some freedom, RFC 2822, `24.11.2026 10:30`, a bare date, or a number since the epoch.
pub(super) fn text(text: &str, zone: &Zone) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > LONGEST || !text.is_ascii() {
        return None;
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && text.len() == 8 {
        return zone.at(date(text)?.at(0, 0, 0, 0)); // iCalendar's DATE
    }
    if digits || text.parse::<f64>().is_ok() {
        return epoch(text.parse().ok()?);
    }
    local(text, zone).or_else(|| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(stamp))
}

/// Seconds, milliseconds, micro- or nanoseconds since the epoch, told apart by their size: each until the year 5138.
fn epoch(number: f64) -> Option<Timestamp> {
    let millis = match number.abs() {
        size if !size.is_finite() => return None,
        size if size < 1e11 => number * 1e3,
        size if size < 1e14 => number,
        size if size < 1e17 => number / 1e3,
        size if size < 1e20 => number / 1e6,
        _ => return None,
    };
    #[allow(clippy::cast_possible_truncation, reason = "below 1e14")]
    let millis = millis.round() as i64;
    Some(Timestamp::from_millis(millis))
}

/// Date, then `T` or spaces, then a time of day, then perhaps an offset or a zone in brackets.
fn local(text: &str, zone: &Zone) -> Option<Timestamp> {
    let (text, zone) = match text.split_once('[') {
        Some((text, name)) => (text.trim_end(), &Zone::named(name.strip_suffix(']')?)?),
        None => (text, zone),
    };
    let end = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let day = date(&text[..end])?;
    let rest = text.get(end + 1..).unwrap_or_default().trim();
    if rest.is_empty() {
        return (end == text.len()).then(|| zone.at(day.at(0, 0, 0, 0)))?;
    }
    let end = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.' | ',')).unwrap_or(rest.len());
    let local = day.to_datetime(time(&rest[..end])?);
    match rest[end..].trim() {
        "" => zone.at(local),
        word if ["z", "utc", "gmt"].iter().any(|utc| utc.eq_ignore_ascii_case(word)) => Zone::default().at(local),
        word => offset(word)?.to_timestamp(local).map_or_else(|_| for_ever(local), |at| Some(stamp(at))),
    }
}

/// `2026-11-24`, `20261124`, `24.11.2026` or `24.11.26`.
fn date(text: &str) -> Option<Date> {
    let parts: Vec<&str> = text.split(['-', '.', '/']).collect();
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        (digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<i16>().ok())?
    };
    let (year, month, day) = match parts.as_slice() {
        [whole] if whole.len() == 8 && whole.is_ascii() => (&whole[..4], &whole[4..6], &whole[6..]),
        [year, month, day] if year.len() == 4 && !text.contains('.') => (*year, *month, *day),
        [day, month, year] if text.contains('.') && !text.contains(['-', '/']) => (*year, *month, *day),
        _ => return None,
    };
    let century = if year.len() == 2 { 2000 } else { 0 };
    let year = number(year, if century == 0 { 4..=4 } else { 2..=2 })? + century;
    Date::new(year, i8::try_from(number(month, 1..=2)?).ok()?, i8::try_from(number(day, 1..=2)?).ok()?).ok()
}

/// `10:30`, `10:30:00`, `10:30:00.1234567`, `103000`.
fn time(text: &str) -> Option<Time> {
    let (clock, fraction) = match text.split_once(['.', ',']) {
        Some((clock, fraction)) => (clock, fraction),
        None => (text, ""),
    };
    let digits = |text: &str| (text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty()).then(|| text.to_owned());
    let parts: Vec<&str> = match clock.contains(':') {
        true => clock.split(':').collect(),
        false if clock.len() == 6 || clock.len() == 4 => {
            (0..clock.len() / 2).map(|part| clock.get(2 * part..2 * part + 2).unwrap_or_default()).collect()
        }
        false => return None,
    };
    let part = |at: usize| match parts.get(at) {
        Some(text) if text.len() <= 2 => digits(text)?.parse::<i8>().ok(),
        Some(_) => None,
        None => Some(0),
    };
    if !(2..=3).contains(&parts.len()) || !fraction.is_empty() && digits(fraction).is_none() {
        return None;
    }
    // A leap second is the end of its minute: clocks of ours have none.
    let second = if part(2)? == 60 { 59 } else { part(2)? };
    let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Time::new(part(0)?, part(1)?, second, nanos.parse().ok()?).ok()
}

/// `+01:00`, `+0100`, `+01`.
fn offset(text: &str) -> Option<Offset> {
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = text[1..].replace(':', "");
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits[..2].parse().ok()?;
    let minutes: i32 = digits.get(2..).filter(|rest| !rest.is_empty()).map_or(Ok(0), str::parse).ok()?;
    (minutes < 60).then(|| Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok())?
}
