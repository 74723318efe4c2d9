//! `schema`: what an editor needs to complete and check a configuration as it is written; docs/check.md says how.

use std::process::ExitCode;

use crate::config::schema::SCHEMA;

/// Prints the schema.
#[must_use]
pub(super) fn schema() -> ExitCode {
    say!("{}", SCHEMA.trim_end());
    ExitCode::SUCCESS
}
