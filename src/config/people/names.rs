//! User names (`alice@example.com`) and the object ids that Graph gave for them, kept on disk: a restart must not depend
//! on looking everybody up again, and a name that cannot be looked up today keeps the id of yesterday.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::presence::{ObjectId, Timestamp};

/// The file in the state directory.
const FILE: &str = "names.json";
/// Of its format.
const VERSION: u32 = 1;
/// Larger ones are not ours.
const LARGEST: u64 = 256 << 20;

/// What is known of user names.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// In lower case.
    known: HashMap<Box<str>, Known>,
}

/// What Graph said of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    id: ObjectId,
    /// When it was last asked for.
    asked: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    /// Names of one tenant say nothing about another.
    tenant: ObjectId,
    names: HashMap<Box<str>, Known>,
}

impl Names {
    /// What was kept in `dir` for `tenant`; nothing if nothing was, or if it cannot be read: then it is asked for again.
    #[must_use]
    pub fn load(dir: &Path, tenant: ObjectId) -> Names {
        let path = dir.join(FILE);
        let small = std::fs::metadata(&path).is_ok_and(|found| found.len() <= LARGEST);
        let saved: Option<Saved> =
            small.then(|| std::fs::read(&path).ok()).flatten().and_then(|json| serde_json::from_slice(&json).ok());
        let saved = saved.filter(|saved| saved.version == VERSION && saved.tenant == tenant);
        Names { known: saved.map(|saved| saved.names).unwrap_or_default() }
    }

    /// Writes what is known, for the user of the bridge only; the old file stays until the new one is whole.
    ///
    /// # Errors
    /// Those of the file system; the text names the file.
    pub fn save(&self, dir: &Path, tenant: ObjectId) -> Result<(), String> {
        let path = dir.join(FILE);
        let saved = Saved { version: VERSION, tenant, names: self.known.clone() };
        let text = serde_json::to_vec(&saved).map_err(|error| error.to_string())?;
        write(&path, &text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }

    /// The id of a user name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<ObjectId> {
        self.known.get(&*name.to_lowercase()).map(|known| known.id)
    }

    /// When it was last asked for.
    #[must_use]
    pub fn asked(&self, name: &str) -> Option<Timestamp> {
        self.known.get(&*name.to_lowercase()).map(|known| known.asked)
    }

    /// What Graph says now. Whether that is news.
    pub fn learn(&mut self, name: &str, id: ObjectId, now: Timestamp) -> bool {
        let before = self.known.insert(name.to_lowercase().into(), Known { id, asked: now });
        before.is_none_or(|before| before.id != id)
    }

    /// Graph does not know the name, or would not say: what is known stays, and is asked for again in a day.
    pub fn postpone(&mut self, name: &str, now: Timestamp) {
        if let Some(known) = self.known.get_mut(&*name.to_lowercase()) {
            known.asked = now;
        }
    }

    /// Forgets names that nobody lists any more.
    pub fn retain<'a>(&mut self, listed: impl Iterator<Item = &'a str>) {
        let listed: std::collections::HashSet<String> = listed.map(str::to_lowercase).collect();
        self.known.retain(|name, _| listed.contains(&**name));
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
        std::fs::DirBuilder::new().mode(0o700).create(dir)?;
    }
    let new: PathBuf = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// Whether it looks like a user name, guests' (`bob_example.org#EXT#@…`) included.
pub(super) fn is_user_name(text: &str) -> bool {
    let Some((user, domain)) = text.rsplit_once('@') else { return false };
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '/' | '\\' | '?' | '"');
    !user.is_empty() && domain.contains('.') && text.len() <= 1024 && text.chars().all(plain)
}
