//! Where a secret comes from. Read again at each use, so that a rotated file needs no restart; never printable, not even
//! where somebody else's words repeat it ([`redact`]).

mod credential;

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

pub use self::credential::Credential;

/// The place of a secret.
#[derive(Clone)]
pub enum SecretSource {
    /// A file; one trailing line break is not part of it.
    File(PathBuf),
    /// Given by value: from the environment, or by the sandbox.
    Value(SecretString),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::File(path) => f.debug_tuple("File").field(path).finish(),
            SecretSource::Value(_) => f.write_str("Value(redacted)"),
        }
    }
}

impl SecretSource {
    /// The secret as it is now.
    ///
    /// # Errors
    /// The file cannot be read, is not UTF-8, or is empty; the text names the file, never its content.
    pub fn read(&self) -> Result<SecretString, String> {
        match self {
            SecretSource::Value(value) => Ok(value.clone()),
            SecretSource::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read the secret file {}: {error}", path.display()))?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                if text.is_empty() {
                    return Err(format!("the secret file {} is empty", path.display()));
                }
                Ok(SecretString::from(text))
            }
        }
    }
}

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

/// `text` by somebody else, without `secrets`, as they are or percent-encoded, and without anything that looks like a
/// token. To be done before the text is cut or escaped: a part of a secret is not found any more.
#[must_use]
pub fn redact(text: &str, secrets: &[&SecretString]) -> String {
    let secrets = || secrets.iter().map(|secret| secret.expose_secret()).filter(|secret| !secret.is_empty());
    let without = |text: &str| secrets().fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED));
    let plain = without(text);
    let decoded = percent_decoded(&plain);
    let hidden = secrets().any(|secret| decoded.contains(secret));
    without_tokens(&if hidden { without(&decoded) } else { plain })
}

/// A token is three parts of base64; the first is a JSON object, and so begins with `eyJ`.
fn without_tokens(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("eyJ") {
        kept += &rest[..start];
        kept += REDACTED;
        rest = rest[start..].trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    }
    kept + rest
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
