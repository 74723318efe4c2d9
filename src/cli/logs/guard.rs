//! One event, one line, of a bounded length, whatever stands in it. Topics and answers are escaped and cut where they enter
//! a line; this holds for what nobody thought of there.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::config::LogFormat;

/// Longest line, bytes. An alarm that names a few hundred topic filters fits; the journal would cut at 48 KiB.
pub const LONGEST: usize = 16 * 1024;
/// As much of a longer line of JSON as is told instead of it.
const BEGINNING: usize = 1024;
const ESCAPE: char = '\x1b';

/// Writes each event to standard error as one line. The subscriber hands over one event at a write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guarded(pub(super) LogFormat);

impl Write for Guarded {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(one_line(event, self.0).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The event as one line with its end, at most [`LONGEST`] bytes and a few. Colours pass: the subscriber has escaped every
/// escape sequence that is not its own.
#[must_use]
pub fn one_line(event: &[u8], format: LogFormat) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(event);
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let strange = line.chars().any(breaks);
    if line.len() <= LONGEST && !strange {
        return text;
    }
    // What is escaped grows: first escaped, then cut, and not more of it than can remain.
    let bytes = line.len();
    let line = &line[..line.floor_char_boundary(LONGEST + 1)];
    let line = if strange { Cow::Owned(escaped(line)) } else { Cow::Borrowed(line) };
    Cow::Owned(if line.len() > LONGEST { shortened(&line, bytes, format) } else { line.into_owned() + "\n" })
}

/// What would begin another line, or move the cursor back over this one.
fn breaks(c: char) -> bool {
    (c.is_control() && c != ESCAPE && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}')
}

fn escaped(line: &str) -> String {
    let mut whole = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        match breaks(c) {
            true => whole.extend(c.escape_default()),
            false => whole.push(c),
        }
    }
    whole
}

fn shortened(line: &str, bytes: usize, format: LogFormat) -> String {
    let beginning = |length: usize| &line[..line.floor_char_boundary(length)];
    match format {
        LogFormat::Text => format!("{}… ({bytes} bytes)\n", beginning(LONGEST)),
        LogFormat::Json => {
            let (message, line) = ("A log line was too long; this is its beginning.", beginning(BEGINNING));
            format!("{}\n", serde_json::json!({ "level": "WARN", "message": message, "bytes": bytes, "line": line }))
        }
    }
}
