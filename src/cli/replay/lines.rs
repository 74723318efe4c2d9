//! Lines of a file of any size, none of which is held beyond a bound.

use std::io::{self, BufRead};

/// Splits what it reads into lines.
pub(in crate::cli) struct Lines<R> {
    reader: R,
    most: usize,
    line: Vec<u8>,
}

/// A line that is longer than so many bytes; it was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Long(pub(in crate::cli) usize);

impl<R: BufRead> Lines<R> {
    pub(in crate::cli) fn new(reader: R, most: usize) -> Self {
        Lines { reader, most, line: Vec::new() }
    }

    /// The next line without its end, if there is one.
    pub(in crate::cli) fn next(&mut self) -> io::Result<Option<Result<&[u8], Long>>> {
        self.line.clear();
        let (mut long, mut some) = (false, false);
        loop {
            let room = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                room => room?,
            };
            if room.is_empty() {
                break;
            }
            some = true;
            let end = room.iter().position(|&byte| byte == b'\n');
            let piece = &room[..end.unwrap_or(room.len())];
            long |= self.line.len() + piece.len() > self.most;
            if !long {
                self.line.extend_from_slice(piece);
            }
            let used = end.map_or(room.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        Ok(match (some, long) {
            (false, _) => None,
            (true, true) => Some(Err(Long(self.most))),
            (true, false) => Some(Ok(&self.line)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, most: usize) -> Vec<Result<String, Long>> {
        // A buffer of three bytes: lines lie across its ends.
        let mut lines = Lines::new(io::BufReader::with_capacity(3, text.as_bytes()), most);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(line.map(|line| String::from_utf8(line.to_vec()).unwrap()));
        }
        all
    }

    #[test]
    fn a_line_beyond_the_bound_is_skipped_and_the_next_is_read() {
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(read("ab\n\nabcdefgh\ncd", 5), [ok("ab"), ok(""), Err(Long(5)), ok("cd")]);
        assert_eq!(read("abcde\nabcdef", 5), [ok("abcde"), Err(Long(5))]);
        assert_eq!(read("", 5), []);
    }
}
