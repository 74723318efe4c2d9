//! Retry-After as it comes: whole seconds, fractions, HTTP dates, and nonsense.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::presence::Timestamp;

/// How long to wait, if the header says so in any way that makes sense. A date is read against the answer's own `Date`,
/// since clocks differ; against `now` where there is none.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        let span = Duration::try_from_secs_f64(seconds).ok()?;
        return Some(Duration::from_millis(u64::try_from(span.as_micros().div_ceil(1000)).ok()?));
    }
    let then = date(text)?;
    let sent = headers.get(DATE).and_then(|text| text.to_str().ok()).and_then(date).unwrap_or(now);
    Some(then.since(sent))
}

pub(super) fn date(text: &str) -> Option<Timestamp> {
    // HTTP dates are RFC 2822 dates but for the name of the zone.
    let text = text.trim().replace("GMT", "+0000");
    let at = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(&text).ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}
