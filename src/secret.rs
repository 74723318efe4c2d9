//! Where a secret comes from. Read again at each use, so that a rotated file needs no restart; never printable.

use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

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
