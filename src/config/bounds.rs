//! How much of a configuration is read. Its values take up to a hundred times their bytes in memory, so a file that is none
//! (a disk image, a log) would take the machine down before it is refused.

use std::io::Read;
use std::path::Path;

use super::problem::{Problem, Problems};
use super::reader::Reader;

/// 30,000 people with their devices fit, written into the file itself.
pub(super) const LARGEST: usize = 4 << 20;
/// Keys, values, elements: about so many.
const MOST_VALUES: usize = 160_000;
/// A rule is worth so many more: it is compiled.
const RULE: usize = 16;
/// Of a text that is no TOML only the first error is told, if it is longer.
pub(super) const TELLS_ALL: usize = 64 * 1024;
/// Problems that are told.
pub(super) const MOST_PROBLEMS: usize = 1_000;

const HINT: &str =
    "keep people in a file of their own: [people] file = \"people.csv\"; and one rule with captures for many topics";

/// The text of a file.
///
/// # Errors
/// It cannot be read, is not UTF-8, or is larger than any configuration.
pub(super) fn read(path: &Path) -> Result<String, Box<Problem>> {
    let problem = |text: String, hint: &str| Box::new(Problem::of_file(text, hint));
    let cannot = |error: std::io::Error| {
        problem(
            format!("cannot be read: {error}"),
            "name the file with --config, or write one with `presence-bridge init`",
        )
    };
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut text = String::new();
    let most = u64::try_from(LARGEST).unwrap_or(u64::MAX) + 1;
    file.take(most).read_to_string(&mut text).map_err(cannot)?;
    if text.len() > LARGEST {
        return Err(problem(format!("is larger than {} MiB", LARGEST >> 20), HINT));
    }
    if values(&text) > MOST_VALUES {
        return Err(problem(format!("holds more than {MOST_VALUES} values"), HINT));
    }
    Ok(text)
}

/// The first error of a long text that is no TOML.
pub(super) fn not_toml(text: &str, file: &str, error: &toml::de::Error) -> Problems {
    let reader = Reader::new(text);
    reader.problem(&error.span().unwrap_or(0..0), "", format!("not TOML: {}", error.message()), "");
    Problems { file: file.to_owned(), problems: reader.finish() }
}

/// About how many values there are, by the marks before them; a key takes as much as two. Those in texts and comments are
/// counted too, but for full stops in names.
fn values(text: &str) -> usize {
    let (mut marks, mut quoted) = (0, false);
    for byte in text.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' => quoted = false,
            b'=' => marks += 2,
            b',' | b'[' | b'{' => marks += 1,
            b'.' if !quoted => marks += 1,
            _ => {}
        }
    }
    marks + RULE * text.matches("[[").count()
}
