//! `presets`: which there are, and what one of them does.

use std::fmt::Write;
use std::process::ExitCode;

use crate::config::presets::{self, Parameter, Preset};

/// Options of `presets`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print one: what the device really sends, what can be chosen, its rules, and messages with what they come to.
    Show {
        /// Its name
        name: String,
    },
}

/// Lists them, or prints one.
#[must_use]
pub fn presets(args: &Args) -> ExitCode {
    match &args.command {
        None => say!("{}", list().trim_end()),
        Some(Command::Show { name }) => match presets::find(name) {
            Ok(preset) => say!("{}", preset.text.trim_end()),
            Err(near) => {
                let hint = near.map_or_else(String::new, |near| format!("Did you mean {near}? "));
                eprintln!("presence-bridge: no preset is called {name:?}. {hint}`presence-bridge presets` lists them.");
                return ExitCode::from(super::USAGE);
            }
        },
    }
    ExitCode::SUCCESS
}

fn list() -> String {
    let presets = presets::all();
    let width = presets.iter().map(|preset| preset.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Preset { name, about, parameters, .. } in &presets {
        let required: Vec<&str> =
            parameters.iter().filter(|parameter| parameter.required()).map(|Parameter { name, .. }| *name).collect();
        let needs = if required.is_empty() { String::new() } else { format!("; needs {}", required.join(", ")) };
        let _written = writeln!(text, "{name:width$}  {about}{needs}");
    }
    text + "\nIn the configuration: [[preset]], and below it use = \"NAME\". What can be chosen, and what the device sends:\n\
            presence-bridge presets show NAME\n"
}
