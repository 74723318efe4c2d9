//! As much of DER as the dates and names of certificates need.

/// One DER element: its tag, its content, and what follows it.
pub(crate) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let digits = rest.get(..usize::from(first & 0x7f).min(8))?;
        length = digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit));
        rest = &rest[digits.len()..];
    }
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

/// Seconds since 1970. `UTCTime` has two digits of the year, from 1950 on; `GeneralizedTime` four.
pub(crate) fn time(kind: u8, text: &str) -> Option<i64> {
    let text = match kind {
        0x17 if text >= "50" => format!("19{text}"),
        0x17 => format!("20{text}"),
        0x18 => text.to_owned(),
        _ => return None,
    };
    let at = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
    Some(jiff::tz::Offset::UTC.to_timestamp(at).ok()?.as_second())
}
