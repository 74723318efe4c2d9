//! `pause`: somebody shows nothing of the bridge's for a while. The same as saying so at the door, `in/<name>/pause`.

use std::process::ExitCode;

use super::finish;
use super::status::{Place, in_a_path};
use crate::presence::rule::door::duration;

/// Options of `pause`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// A name from [users] or the people file.
    person: String,
    /// So long, 1s to 31d: 30m, 2h, "1d 4h". Without it until somebody says otherwise.
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    span: Option<String>,
    /// It ends.
    #[arg(long, conflicts_with = "span")]
    off: bool,
}

fn span(text: &str) -> Result<String, &'static str> {
    duration(text).map(|_| text.to_owned()).ok_or("say how long, from 1s to 31d: 30m, 2h, \"1d 4h\"")
}

/// Tells the bridge, and prints until when; exit code 1 if none answers or nobody of that name is listed.
#[must_use]
pub fn pause(args: &Args) -> ExitCode {
    let person = in_a_path(&args.person);
    let path = match (&args.span, args.off) {
        (_, true) => format!("/resume/{person}"),
        (Some(span), false) => format!("/pause/{person}/{}", in_a_path(span)),
        (None, false) => format!("/pause/{person}"),
    };
    finish(args.place.tell(&path).map(|said| say!("{said}")))
}
