//! Comma-separated lines, as spreadsheets write them: a comma or a semicolon between fields, quotes around fields that
//! hold one, a quote in quotes doubled (RFC 4180). A record is one line, so that every problem has one.

/// What is wrong with a line itself.
pub(super) const OPEN_QUOTE: &str = "a quote that does not end on its line";

/// The character between fields: the first of the two that stands outside quotes.
pub(super) fn separator(line: &str) -> char {
    let mut quoted = false;
    let outside = |c: &char| {
        quoted ^= *c == '"';
        !quoted && matches!(c, ',' | ';')
    };
    line.chars().find(outside).unwrap_or(',')
}

/// The fields of a line, without the blanks around them, into `fields`.
pub(super) fn split<'a>(
    line: &'a str,
    separator: char,
    fields: &mut Vec<std::borrow::Cow<'a, str>>,
) -> Result<(), &'static str> {
    fields.clear();
    if !line.contains('"') {
        fields.extend(line.split(separator).map(|field| field.trim().into()));
        return Ok(());
    }
    let mut rest = line;
    loop {
        let trimmed = rest.trim_start();
        let after = match trimmed.strip_prefix('"') {
            Some(inside) => {
                let (field, after) = unquote(inside)?;
                fields.push(field.into());
                after.trim_start()
            }
            None => {
                let end = trimmed.find(separator).unwrap_or(trimmed.len());
                fields.push(trimmed[..end].trim_end().into());
                &trimmed[end..]
            }
        };
        match after.strip_prefix(separator) {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(()),
            None => return Err("text after the closing quote of a field"),
        }
    }
}

/// The field whose opening quote was just passed, and what follows its closing one.
fn unquote(text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or(OPEN_QUOTE)?;
        field += &rest[..end];
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Ok((field, rest)),
        }
    }
}
