//! `replay`: a recording through the configuration, offline and on virtual time: what every rule made of every message,
//! what was wanted, what Graph would have been asked, and what colleagues would have seen.

pub(super) mod lines;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use self::lines::{Lines, Long};
use super::ConfigArg;
use crate::clock::Clock;
use crate::config::Config;
use crate::presence::{Plan, Timestamp};
use crate::replay::picture::Picture;
use crate::replay::story::Story;
use crate::replay::{Event, Played, Player, Span};

/// `EX_DATAERR` of sysexits.h
const DATA: u8 = 65;
/// Bad lines that are shown; more are counted.
const SHOWN: u64 = 100;

/// Options of `replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// What the clock reads at t = 0, as 2026-11-24T09:30:00Z; else what the recording says, else now
    #[arg(long, value_name = "RFC3339", value_parser = instant)]
    at: Option<Timestamp>,
    /// Where to end, seconds since t = 0; else an hour after the last message
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    until: Option<Duration>,
    /// For people (a timeline per person) or for programs (a JSON object per line)
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Draw the day as well, into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// The recording; - for standard input
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Jsonl,
}

pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    let at: jiff::Timestamp = text.parse().map_err(|_| "not a time like 2026-11-24T09:30:00Z".to_owned())?;
    Ok(Timestamp::from_millis(at.as_millisecond()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=366.0 * 86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "seconds since the start, 0 to a year".to_owned())
}

/// Plays it, and says which lines could not be played.
#[must_use]
pub fn replay(args: &Args) -> ExitCode {
    let config = match super::load_offline(&args.config.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match play(args, config) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(bad) => {
            let lines = if bad == 1 { "1 line is no message and was" } else { "lines are no messages and were" };
            let count = if bad == 1 { String::new() } else { format!("{bad} ") };
            eprintln!("presence-bridge: {count}{lines} left out.");
            ExitCode::from(DATA)
        }
        Err(error) => {
            eprintln!("presence-bridge: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How many lines were bad.
fn play(args: &Args, config: Config) -> Result<u64, String> {
    let name = args.file.display().to_string();
    let input: Box<dyn Read> = match args.file == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(&args.file).map_err(|error| format!("{name} cannot be read: {error}"))?),
    };
    let span = Span { at: args.at, otherwise: Clock::live().now().wall, until: args.until };
    let names = config.sources.iter().map(|source| source.name.clone()).collect();
    let mut listener = Listener::new(args, &config.plan);
    let mut player = Player::new(config.plan, names, span);
    let mut lines = Lines::new(BufReader::with_capacity(1 << 16, input), crate::replay::line::LONGEST);
    let (mut number, mut bad) = (0_u64, 0_u64);
    while let Some(line) = lines.next().map_err(|error| format!("{name} cannot be read: {error}"))? {
        number += 1;
        let played = match line {
            Ok(line) => player.line(line, &mut |event| listener.hear(event)),
            Err(Long(most)) => Err(format!("longer than {} MiB", most >> 20)),
        };
        if let Err(error) = played {
            bad += 1;
            if bad <= SHOWN {
                eprintln!("{name}:{number}: {error}");
            }
        }
        if listener.gone {
            return Ok(bad);
        }
    }
    let played = player.finish(&mut |event| listener.hear(event));
    listener.finish(&played, args)?;
    Ok(bad)
}

/// Who is told.
struct Listener {
    out: BufWriter<io::Stdout>,
    story: Option<Story>,
    picture: Option<Picture>,
    /// Nobody reads any more (`| head`).
    gone: bool,
}

impl Listener {
    fn new(args: &Args, plan: &Plan) -> Self {
        Listener {
            out: BufWriter::new(io::stdout()),
            story: (args.format == Format::Text).then(Story::default),
            picture: args.svg.as_ref().map(|_| Picture::of(plan)),
            gone: false,
        }
    }

    fn hear(&mut self, event: &Event) {
        if let Some(picture) = &mut self.picture {
            picture.add(event);
        }
        match &mut self.story {
            Some(story) => story.add(event),
            None => {
                if let Some(line) = event.json() {
                    self.gone |= writeln!(self.out, "{line}").is_err();
                }
            }
        }
    }

    fn finish(mut self, played: &Played, args: &Args) -> Result<(), String> {
        if let Some(story) = &self.story {
            self.gone |= self.out.write_all(story.tell(played).as_bytes()).is_err();
        }
        self.gone |= self.out.flush().is_err();
        if played.beyond > 0 {
            eprintln!("presence-bridge: {} messages are later than --until and were not played.", played.beyond);
        }
        if let (Some(picture), Some(path)) = (&self.picture, &args.svg) {
            let written = std::fs::write(path, picture.draw(played));
            written.map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        }
        Ok(())
    }
}
