//! A people file: a line each, with `id`, `name` and the `devices` that messages call them by. Everything that is wrong
//! with it comes at once, by line; a file that is wrong anywhere lists nobody.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::list::{self, Complaint, List};
use super::table;
use crate::config::problem::{Piece, Problem, nearest};

/// Larger files are refused unread: a million people are half of this.
const LARGEST: u64 = 128 << 20;
/// Shown; the rest is only counted.
const MOST_PROBLEMS: usize = 1_000;
const COLUMNS: [&str; 3] = ["id", "name", "devices"];
const HEADER: &str = "the first line names the columns: id,name,devices (devices may be left out)";

/// Reads `path` into `list`.
pub(super) fn read(path: &Path, resolve_names: bool, list: &mut List) -> Vec<Problem> {
    let text = text(path);
    let mut found = Found { file: path.display().to_string().into(), line: "", problems: Vec::new(), more: 0 };
    match &text {
        Ok(text) => records(text, resolve_names, list, &mut found),
        Err((line, complaint)) => found.add(*line, "", "", complaint.clone()),
    }
    if found.more > 0 {
        let text = format!("{} more lines are wrong", found.more);
        found.problems.push(Problem { text, ..found.at(0) });
    }
    found.problems
}

struct Found<'t> {
    file: Arc<str>,
    /// The one that is looked at.
    line: &'t str,
    problems: Vec<Problem>,
    more: usize,
}

impl Found<'_> {
    fn at(&self, line: usize) -> Problem {
        Problem { file: Some(Arc::clone(&self.file)), line, ..Problem::of_file("", "") }
    }

    fn add(&mut self, line: usize, key: &str, found: &str, Complaint { text, hint }: Complaint) {
        if self.problems.len() >= MOST_PROBLEMS {
            self.more += 1;
            return;
        }
        let piece = (line > 0 && !self.line.is_empty()).then(|| self.piece(found));
        let found = found.chars().take(80).flat_map(char::escape_debug).collect();
        self.problems.push(Problem { key: key.to_owned(), found, text, hint, piece, ..self.at(line) });
    }
}

impl Found<'_> {
    /// A field of the line, or all of it.
    fn piece(&self, field: &str) -> Piece {
        let start = if field.is_empty() { None } else { self.line.find(field) };
        Piece::new(self.line, start.map_or(0..self.line.len(), |start| start..start + field.len()))
    }
}

fn text(path: &Path) -> Result<String, (usize, Complaint)> {
    let failed = |error: std::io::Error| {
        let hint =
            "file in [people] names it, relative to the configuration; the bridge's user must be able to read it";
        (0, Complaint { text: format!("cannot be read: {error}"), hint: hint.to_owned() })
    };
    if std::fs::metadata(path).map_err(failed)?.len() > LARGEST {
        let text = format!("larger than {} MiB", LARGEST >> 20);
        return Err((0, Complaint { text, hint: "a people file has one short line for each person".to_owned() }));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|&&byte| byte == b'\n').count() + 1;
        (line, Complaint { text: "not UTF-8".to_owned(), hint: "save the file as UTF-8".to_owned() })
    })
}

fn records<'t>(text: &'t str, resolve_names: bool, list: &mut List, found: &mut Found<'t>) {
    let lines = text.trim_start_matches('\u{feff}').lines().zip(1..);
    let mut lines = lines.filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    let Some((header, number)) = lines.next() else {
        return found.add(1, "", "", Complaint { text: "empty".to_owned(), hint: HEADER.to_owned() });
    };
    found.line = header;
    let separator = table::separator(header);
    let Some(columns) = columns(header, number, separator, found) else { return };
    list.reserve(text.lines().count());
    let (mut fields, mut any) = (Vec::new(), false);
    for (line, number) in lines {
        any = true;
        found.line = line;
        match table::split(line, separator, &mut fields) {
            Err(text) => {
                let hint = "a field with a separator or a quote stands in quotes, quotes inside are doubled";
                found.add(number, "", "", Complaint { text: text.to_owned(), hint: hint.to_owned() });
            }
            Ok(()) => person(&columns, &fields, number, resolve_names, list, found),
        }
    }
    if !any {
        let hint = "a file that lists nobody would have everybody cleared; to do that, take file out of [people]";
        found.add(number, "", "", Complaint { text: "lists nobody".to_owned(), hint: hint.to_owned() });
    }
}

/// Where id, name and devices stand.
struct Columns {
    count: usize,
    id: usize,
    name: usize,
    devices: Option<usize>,
}

fn columns(header: &str, line: usize, separator: char, found: &mut Found<'_>) -> Option<Columns> {
    let mut fields = Vec::new();
    if let Err(text) = table::split(header, separator, &mut fields) {
        found.add(line, "", header, Complaint { text: text.to_owned(), hint: HEADER.to_owned() });
        return None;
    }
    let before = found.problems.len();
    for (place, field) in fields.iter().enumerate() {
        let known = COLUMNS.iter().any(|known| field.eq_ignore_ascii_case(known));
        let twice = fields[..place].iter().any(|other| field.eq_ignore_ascii_case(other));
        if !known || twice {
            let hint = match nearest(field, COLUMNS) {
                Some(near) if !known => format!("did you mean {near}?"),
                _ => HEADER.to_owned(),
            };
            let text = if twice { "the same column twice" } else { "unknown column" };
            found.add(line, "column", field, Complaint { text: text.to_owned(), hint });
        }
    }
    let place = |name: &str| fields.iter().position(|field| field.eq_ignore_ascii_case(name));
    for name in &COLUMNS[..2] {
        if place(name).is_none() {
            let text = format!("there is no column {name}");
            found.add(line, "", "", Complaint { text, hint: HEADER.to_owned() });
        }
    }
    (found.problems.len() == before).then_some(())?;
    Some(Columns { count: fields.len(), id: place("id")?, name: place("name")?, devices: place("devices") })
}

fn person(
    columns: &Columns,
    fields: &[Cow<'_, str>],
    line: usize,
    resolve_names: bool,
    list: &mut List,
    found: &mut Found<'_>,
) {
    if fields.len() > columns.count {
        let text = format!("{} fields where the first line names {}", fields.len(), columns.count);
        let hint = "devices are parted by blanks, or the whole field stands in quotes";
        found.add(line, "", "", Complaint { text, hint: hint.to_owned() });
        return;
    }
    let field = |place: usize| fields.get(place).map_or("", |field| &**field);
    let (id, name) = (field(columns.id), field(columns.name));
    let label = list::label(name).map_err(|complaint| found.add(line, "name", name, complaint));
    let account = list::account(id, resolve_names).map_err(|complaint| found.add(line, "id", id, complaint));
    let (Ok(()), Ok(account)) = (label, account) else { return };
    let place = match list.add(name, account) {
        Ok(place) => place,
        Err(complaint) => return found.add(line, "id", id, complaint),
    };
    let devices = columns.devices.map_or("", field);
    for device in devices.split([' ', '\t', ';', '|']).filter(|device| !device.is_empty()) {
        if let Err(complaint) = list.device(device, place) {
            found.add(line, "devices", device, complaint);
        }
    }
}
