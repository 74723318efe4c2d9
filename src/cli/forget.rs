//! `forget`: what devices said of somebody is removed, here and from the disk. The same as saying so at the door,
//! `in/<name>/forget`.

use std::process::ExitCode;

use super::finish;
use super::status::{Place, in_a_path};

/// Options of `forget`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// A name from [users] or the people file.
    person: String,
}

/// Tells the bridge; exit code 1 if none answers or nobody of that name is known.
#[must_use]
pub fn forget(args: &Args) -> ExitCode {
    finish(args.place.tell(&format!("/forget/{}", in_a_path(&args.person))).map(|said| say!("{said}")))
}
