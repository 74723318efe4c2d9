//! The command line: one file a command. Exit codes: 0 done, 64 usage, 65 data (`replay`), 70 a fault of the program, 75
//! another bridge runs with the same state directory, 78 configuration, 1 the rest.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "talking to a person is what a command line is for")]

/// Prints a line for a person, as `println!` does. Whoever stopped reading (`| head`) has seen enough, and is no reason to
/// stop in the middle of a probe, or to panic.
macro_rules! say {
    ($($words:tt)*) => {
        drop(std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($words)*))))
    };
}

pub mod check;
#[cfg(feature = "sandbox")]
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod forget;
pub mod init;
mod instance;
pub mod logs;
mod panics;
pub mod pause;
pub mod presets;
pub mod record;
pub mod replay;
pub mod run;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod schema;
mod signals;
#[cfg(feature = "sandbox")]
mod speed;
pub mod status;
pub mod unmapped;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, Config, Look, Problems};

/// `EX_USAGE` of sysexits.h
const USAGE: u8 = 64;
/// `EX_TEMPFAIL` of sysexits.h: somebody else has what this command needs for itself.
const IN_USE: u8 = 75;
/// `EX_CONFIG` of sysexits.h
const CONFIG: u8 = 78;

/// Keeps Microsoft Teams presence in step with desk phones, calendars and sensors: MQTT in, Microsoft Graph out.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the bridge until it is told to stop.
    Run(run::Args),
    /// Read the configuration and name every problem at once, or what it will cost at Graph. Connects to nothing.
    Check(check::Args),
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
    /// Say why it does not work: broker, token, permissions, clock, people, budget. Calls Graph, but changes nobody's presence.
    Doctor(doctor::Args),
    /// Ask the running bridge how it is, or why somebody shows what they show.
    Status(status::Args),
    /// List whom messages name and no device or person is called: lift a handset to see which line is missing.
    Unmapped(unmapped::Args),
    /// Say what the configuration makes of one message: which rules take it, which do not and why, and what would be wanted.
    Explain(explain::Args),
    /// Record what the broker delivers, for `replay`.
    Record(record::Args),
    /// Play a recording through the configuration, offline: what would be wanted, called and seen.
    Replay(replay::Args),
    /// Let somebody show nothing of the bridge's for a while; their devices are followed meanwhile.
    Pause(pause::Args),
    /// Forget what devices said of somebody, and a pause.
    Forget(forget::Args),
    /// List the presets: rules for common devices, used by name. `presets show NAME` prints one.
    Presets(presets::Args),
    /// Ask a few questions and write a commented configuration.
    Init {
        /// The file to write; never overwritten.
        #[arg(default_value = "bridge.toml")]
        path: PathBuf,
    },
    /// Show the main job on an embedded broker and a simulated Graph: no account, no broker, no phone needed.
    #[cfg(feature = "sandbox")]
    Demo(demo::Args),
    /// Serve a simulated tenant alone, to test other software against it: Graph presence, tokens, managed identities.
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Args),
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub struct ConfigArg {
    /// The configuration file.
    #[arg(short, long, default_value = "/etc/presence-bridge/bridge.toml")]
    pub config: PathBuf,
}

/// Parses the command line, runs the command, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap, not to us.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let shown = error.print();
            return if shown.is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
    };
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check_config(&args),
        Command::Schema => schema::schema(),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Status(args) => status::status(&args),
        Command::Unmapped(args) => unmapped::unmapped(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Record(args) => record::record(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Pause(args) => pause::pause(&args),
        Command::Forget(args) => forget::forget(&args),
        Command::Presets(args) => presets::presets(&args),
        Command::Init { path } => init_config(&path),
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => demo::demo(&args),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => sandbox::sandbox(&args),
    }
}

fn check_config(args: &check::Args) -> ExitCode {
    match check::check(&args.config.config, args.habits()) {
        Ok(checked) => {
            let file = args.config.config.display().to_string();
            eprint!("{}", config::report(&file, &checked.warnings, look()));
            if !checked.warnings.is_empty() {
                eprintln!("{}", config::count(&file, &checked.warnings));
            }
            say!("{}", checked.summary);
            match args.deny_warnings && !checked.warnings.is_empty() {
                true => ExitCode::from(CONFIG),
                false => ExitCode::SUCCESS,
            }
        }
        Err(problems) => {
            eprintln!("{}", problems.report(look()));
            ExitCode::from(CONFIG)
        }
    }
}

fn init_config(path: &Path) -> ExitCode {
    let result = init::init(std::io::stdin().lock(), std::io::stdout().lock(), path);
    finish(result)
}

/// How problems are shown on standard error.
fn look() -> Look {
    let stderr = std::io::stderr();
    let width = || rustix::termios::tcgetwinsize(&stderr).map_or(0, |size| usize::from(size.ws_col));
    Look::on(stderr.is_terminal().then(|| Some(width()).filter(|&width| width > 0).unwrap_or(Look::PLAIN.width)))
}

/// Loads the configuration, or prints all its problems.
fn load(path: &Path) -> Result<Config, ExitCode> {
    Config::load(path).map_err(|problems: Problems| {
        eprintln!("{}", problems.report(look()));
        ExitCode::from(CONFIG)
    })
}

/// As [`load`], without its secrets and the network; says who takes no part because an id would have to be looked up.
fn load_offline(path: &Path) -> Result<Config, ExitCode> {
    let config = Config::load_offline(path).map_err(|problems: Problems| {
        eprintln!("{}", problems.report(look()));
        ExitCode::from(CONFIG)
    })?;
    let waiting: Vec<&str> = config.people.waiting.iter().map(|(name, _)| &**name).take(5).collect();
    if !waiting.is_empty() {
        let (count, names) = (config.people.waiting.len(), waiting.join(", "));
        eprintln!("presence-bridge: {count} people take no part, their ids are not known yet: {names}.");
    }
    Ok(config)
}

fn finish<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("presence-bridge: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One runtime for a command. Two workers: one may be busy with a flood of messages while the other serves Graph.
fn block_on<F: Future>(future: F) -> Result<F::Output, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot start: {error}"))?;
    let output = runtime.block_on(future);
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok(output)
}
