//! The table of the demo: who, by which shares, what is wanted, what colleagues see, and why. On a terminal it stays at the
//! bottom and is redrawn in place, under the lines of the script; elsewhere it is printed whenever it is asked for.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::presence::Timestamp;

const HEADS: [&str; 5] = ["person", "shares that are on", "wanted", "colleagues see", "because"];
/// So that columns seldom jump: the longest lease and the longest pair that can be set.
const WIDTHS: [usize; 5] = [6, 20, 22, 22, 13];
/// Where the terminal does not say how wide it is.
const USUAL_WIDTH: usize = 80;

/// One person.
pub(super) struct Row {
    person: String,
    /// One a line, with what remains of the lease.
    shares: Vec<String>,
    wanted: String,
    seen: String,
    because: String,
}

impl Row {
    /// From what the bridge publishes of the person, and what colleagues see.
    pub(super) fn new(person: &str, state: &Value, seen: String, now: Timestamp) -> Self {
        let text = |key: &str| state[key].as_str().unwrap_or("-").to_owned();
        let on = state["on"].as_array().map_or(&[][..], Vec::as_slice);
        let share = |(place, name): (usize, &Value)| {
            let left = state["until"][place].as_str().and_then(|until| left(until, now)).unwrap_or_default();
            format!("{} {left}", name.as_str().unwrap_or("?")).trim_end().to_owned()
        };
        let shares = on.iter().enumerate().map(share).collect();
        Row { person: person.to_owned(), shares, wanted: text("wanted"), seen, because: text("because") }
    }

    /// As many lines as there are shares, at least one.
    fn lines(&self) -> impl Iterator<Item = [&str; 5]> {
        let first = self.shares.first().map_or("-", String::as_str);
        let rest = self.shares.iter().skip(1).map(|share| ["", share, "", "", ""]);
        std::iter::once([self.person.as_str(), first, &self.wanted, &self.seen, &self.because]).chain(rest)
    }
}

/// `0:19`, or `11h59m` from an hour on; nothing where the lease was renewed since and its new end is not known.
fn left(until: &str, now: Timestamp) -> Option<String> {
    let until: jiff::Timestamp = until.parse().ok()?;
    let seconds = Timestamp::from_millis(until.as_millisecond()).since(now).as_millis().div_ceil(1000);
    match seconds {
        0 => None,
        1..3600 => Some(format!("{}:{:02}", seconds / 60, seconds % 60)),
        _ => Some(format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60)),
    }
}

fn columns(cells: [&str; 5], widths: [usize; 5]) -> String {
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// The head and a line or more for each person.
fn lines(rows: &[Row]) -> Vec<String> {
    let mut widths = WIDTHS;
    for cells in rows.iter().flat_map(Row::lines) {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let people = rows.iter().flat_map(Row::lines).map(|cells| columns(cells, widths));
    std::iter::once(columns(HEADS, widths)).chain(people).collect()
}

/// Standard output, with or without a table that stays at its bottom.
pub(super) struct Screen {
    live: bool,
    /// The table as it stands there.
    drawn: Vec<String>,
}

impl Screen {
    /// `live`: it is a terminal, and nobody else writes there.
    pub(super) fn new(live: bool) -> Self {
        Screen { live, drawn: Vec::new() }
    }

    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// A line that stays, above the table.
    pub(super) fn say(&mut self, line: &str) {
        let table = self.drawn.clone();
        self.draw(Some(line), table);
    }

    /// The table as it is now, `elapsed` after the start.
    pub(super) fn show(&mut self, elapsed: Duration, rows: &[Row]) {
        let mut table = lines(rows);
        if !self.live {
            // A closed pipe is no reason to fail.
            let _written = writeln!(std::io::stdout(), "       {}", table.join("\n       "));
            return;
        }
        let width = width();
        let rule = format!("── {} s {}", elapsed.as_secs(), "─".repeat(width));
        table.insert(0, rule);
        // A line that wraps would be two to the terminal, and the next drawing would begin too low.
        let table: Vec<String> = table.iter().map(|line| line.chars().take(width).collect()).collect();
        if table != self.drawn {
            self.draw(None, table);
        }
    }

    /// In one write, line over line: clearing first would flicker.
    fn draw(&mut self, said: Option<&str>, table: Vec<String>) {
        let mut text = match self.drawn.len() {
            0 => String::new(),
            lines => format!("\x1b[{lines}A"),
        };
        let clear = if self.live { "\x1b[K" } else { "" };
        for line in said.into_iter().chain(table.iter().map(String::as_str)) {
            text += &format!("{line}{clear}\n");
        }
        if self.live {
            text += "\x1b[J";
        }
        let mut out = std::io::stdout().lock();
        // A closed terminal is no reason to fail.
        let _written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.drawn = table;
    }
}

/// One column less than there is: some terminals wrap when the last is filled.
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { USUAL_WIDTH - 1 } else { columns - 1 }
}
