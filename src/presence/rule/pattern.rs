//! Regular expressions for payloads that are neither JSON nor a query string. Linear in the payload, whatever the pattern;
//! a pattern that would need much memory is refused when it is read.

use std::fmt;

use regex::RegexBuilder;

/// Memory that one compiled pattern may take, in bytes; a page of XML needs a tenth.
const LARGEST: usize = 512 * 1024;
/// Its text, in bytes.
const LONGEST: usize = 1_000;

/// A regular expression. Letter case does not matter and `.` takes line ends too, unless `(?-i)` or `(?-s)` says otherwise.
#[derive(Clone)]
pub struct Regex(regex::Regex);

impl Regex {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it: its syntax, more than 1,000 bytes, or more than 512 KiB once compiled.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("longer than {LONGEST} bytes"));
        }
        let mut builder = RegexBuilder::new(text);
        builder.case_insensitive(true).dot_matches_new_line(true).nest_limit(50);
        builder.size_limit(LARGEST).dfa_size_limit(LARGEST);
        builder.build().map(Regex).map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
    }

    /// The names of its groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.capture_names().flatten()
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    pub(super) fn captures<'t>(&self, text: &'t str) -> Option<regex::Captures<'t>> {
        self.0.captures(text)
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.as_str())
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Regex {}
