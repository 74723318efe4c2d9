//! What a link keeps over restarts: who we are, so that another bridge with our client id can be told from our own past,
//! and what was last subscribed, since a persistent session goes on with filters that nobody wants any more. A small
//! file, written seldom and before anything is asked of the broker that it would have to undo.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) filters: Vec<String>,
}

impl Kept {
    /// What the file says; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, or is not ours.
    pub(super) fn load(path: &Path) -> Result<Option<Kept>, String> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        let kept: Kept =
            serde_json::from_str(&text).map_err(|error| format!("{} is not ours: {error}", path.display()))?;
        Ok(Some(kept).filter(|kept| !kept.id.is_empty()))
    }

    /// Under another name first, so that a crash leaves the old one whole. For nobody else to read: who knows the id can
    /// pass for us.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn save(&self, path: &Path) -> Result<(), String> {
        let new = path.with_extension("new");
        let text = serde_json::to_string(self).unwrap_or_default();
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        let written = || {
            // A leftover would keep its own mode.
            drop(std::fs::remove_file(&new));
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, path)
        };
        written().map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }
}
