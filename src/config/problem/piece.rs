//! The line that a problem is about, and which part of it. It is shown to people and pasted into tickets, so what looks
//! like a secret is blotted out here, before anything else sees it.

use std::ops::Range;

/// Of a longer line only the surroundings of the piece are kept: a data file may be one line.
const MOST: usize = 2_000;
/// What stands for each byte of what is not shown.
const BLOT: u8 = b'*';

/// A line of a file, and a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The line, or of a long one what is around the part; secrets are blotted out.
    pub text: String,
    /// The part, in bytes of `text`; on boundaries of characters.
    pub at: Range<usize>,
    /// Where it begins in the whole line, in characters, from 1.
    pub column: usize,
}

impl Piece {
    /// `span` (bytes) of `line`; what is not in the line is cut off.
    pub(in crate::config) fn new(line: &str, span: Range<usize>) -> Self {
        let line = line.trim_end_matches(['\r', '\n']);
        let (start, end) = (floor(line, span.start), floor(line, span.end.max(span.start)));
        let column = line[..start].chars().count() + 1;
        let shown = blotted(line);
        let from = floor(line, if line.len() > MOST { start.saturating_sub(MOST / 4) } else { 0 });
        let to = floor(line, (from + MOST).max(start));
        Piece { text: shown[from..to].to_owned(), at: start - from..end.min(to) - from, column }
    }

    /// Whether nothing was cut off before the part.
    pub(super) fn is_whole(&self) -> bool {
        self.text[..self.at.start].chars().count() + 1 == self.column
    }

    /// The piece at `span` of a whole text, in its first line; and the number of that line, from 1.
    pub(in crate::config) fn of(text: &str, span: &Range<usize>) -> (usize, Self) {
        let start = floor(text, span.start);
        let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let number = text[..begin].matches('\n').count() + 1;
        (number, Piece::new(&text[begin..end], start - begin..span.end.clamp(start, end) - begin))
    }
}

/// The next boundary of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// The line with each byte of a secret replaced, so that places stay as they are.
pub(in crate::config) fn blotted(line: &str) -> String {
    let mut bytes = line.as_bytes().to_vec();
    let mut blot = |part: Range<usize>| bytes[part].fill(BLOT);
    for part in logins(line).chain(secrets(line)).chain(values(line)) {
        blot(part);
    }
    // Whole values are replaced, so this is UTF-8 still; else nothing is shown.
    String::from_utf8(bytes).unwrap_or_else(|_| "*".repeat(line.len()))
}

/// `user:password` of URLs.
fn logins(line: &str) -> impl Iterator<Item = Range<usize>> {
    line.match_indices("://").filter_map(|(at, mark)| {
        let start = at + mark.len();
        let end = line[start..].find(['"', '\'', ' ']).map_or(line.len(), |end| start + end);
        line[start..end].rfind('@').map(|end| start..start + end)
    })
}

/// Words like the client secrets that Entra makes: long, with a tilde, and no path.
fn secrets(line: &str) -> impl Iterator<Item = Range<usize>> {
    let words = line.split(['"', '\'', ' ', '\t', '=', ',', ';', '{', '}', '[', ']']);
    let words = words.map(move |word| (word.as_ptr().addr() - line.as_ptr().addr(), word));
    words.filter(|(_, word)| is_secret(word)).map(|(at, word)| at..at + word.len())
}

/// As Entra makes them: 40 characters, a tilde among them. A path with a tilde has a slash as well.
pub(in crate::config) fn is_secret(word: &str) -> bool {
    (32..=64).contains(&word.len()) && word.contains('~') && !word.contains('/')
}

/// What is given to a key by whose name it is a secret, rather than the place of one.
fn values(line: &str) -> impl Iterator<Item = Range<usize>> {
    line.match_indices('=').filter_map(|(at, _)| {
        let key = line[..at].trim_end().trim_end_matches(['"', '\'']);
        let key = key.rsplit(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').next();
        let key = key.unwrap_or_default().to_ascii_lowercase();
        let named = ["secret", "password", "passwd", "passphrase", "token"].iter().any(|word| key.contains(word));
        let elsewhere = ["_file", "_env", "_expires"].iter().any(|end| key.ends_with(end));
        (named && !elsewhere).then(|| value(line, at + 1))
    })
}

/// The value that begins at or after `from`, without its quotes.
fn value(line: &str, from: usize) -> Range<usize> {
    let start = from + (line[from..].len() - line[from..].trim_start().len());
    let rest = &line[start..];
    match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let end = rest[1..].find(quote).map_or(rest.len(), |end| end + 1);
            start + 1..start + end
        }
        _ => start..start + rest.trim_end().len(),
    }
}
