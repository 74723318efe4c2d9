//! One bridge for each state directory: two would overwrite what the other keeps, and each would undo what the other sets.
//! The lock is the kernel's and goes with the process, however that ends; the file only carries it.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

const NAME: &str = "lock";

/// Whether a state directory could be had for this process alone.
pub(super) enum Instance {
    /// It is ours while this lives.
    Ours(#[allow(dead_code, reason = "kept for what it holds")] File),
    /// Another bridge runs with it, and what to do.
    Taken(String),
    /// Nothing can be locked there: the bridge runs on without, and this is why.
    Unlocked(String),
}

/// Locks `dir`, which is made if it is not there.
pub(super) fn lock(dir: &Path) -> Instance {
    let path = dir.join(NAME);
    let failed = |error: std::io::Error| Instance::Unlocked(format!("{}: {error}", path.display()));
    if !dir.exists()
        && let Err(error) = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
    {
        return failed(error);
    }
    let opened = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) => return failed(error),
    };
    match file.try_lock() {
        Ok(()) => {
            // For whoever is refused; nothing depends on it.
            drop(file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())));
            Instance::Ours(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            drop(file.read_to_string(&mut owner));
            let owner: String = owner.chars().filter(char::is_ascii_digit).take(10).collect();
            let owner = if owner.is_empty() { String::new() } else { format!(" (process {owner})") };
            Instance::Taken(format!(
                "another bridge{owner} runs with the state directory {}: stop it first, or give this one a directory of its \
                 own as dir in [state]",
                dir.display()
            ))
        }
        Err(TryLockError::Error(error)) => failed(error),
    }
}
