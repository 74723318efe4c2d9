//! docs/presets.md lists every preset.

use presence_bridge::config::presets::{self, Parameter};

use crate::rules::page::run;

const PAGE: &str = include_str!("../../docs/presets.md");

fn parameter(parameter: &Parameter) -> String {
    let name = parameter.name;
    match parameter.default() {
        Some(default) => format!("`{name}` = `{default}`"),
        None if parameter.optional => format!("`{name}` (optional)"),
        None if parameter.required() => format!("**`{name}`**"),
        None => format!("`{name}`"),
    }
}

#[test]
fn the_table_is_that_of_the_files() {
    let mut table = String::from("| `use` | for | chosen by |\n|---|---|---|\n");
    for preset in presets::all() {
        let parameters: Vec<String> = preset.parameters.iter().map(parameter).collect();
        let (name, about) = (preset.name, &preset.about);
        let calendar = if preset.calendar { " (a calendar)" } else { "" };
        table +=
            &format!("| [{name}](../config/presets/{name}.toml) | {about}{calendar} | {} |\n", parameters.join(" "));
    }
    assert!(PAGE.contains(&table), "docs/presets.md should have\n\n{table}");
}

#[test]
fn the_examples_of_the_page_do_what_it_says() {
    assert!(run(PAGE) >= 4);
}
