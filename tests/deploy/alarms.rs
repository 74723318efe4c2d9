//! No alarm without its remedy in docs/operations.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{file, read};

/// Names in files that raise alarms, and which are none themselves: events, fields, reasons.
const NO_ALARMS: &[&str] = &["client_request_id", "object_id", "request_id", "shown_as", "token_good"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(path),
        }
    }
}

/// Literals like `mqtt_deaf` in what could name an alarm: after `name:`, at the head of a tuple, in a constant, as the first
/// argument of what raises one.
fn names_in(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let flat =
        text.lines().map(|line| line.split("//").next().unwrap_or_default().trim()).collect::<Vec<_>>().join(" ");
    for (at, _) in flat.match_indices('"') {
        let (before, after) = (flat[..at].trim_end(), &flat[at + 1..]);
        let Some((name, _)) = after.split_once('"') else { continue };
        let is_name = name.contains('_') && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let leads = ["name:", "=> (", "&str =", "alarms.begin(", "alarms.set(", "raise("];
        if is_name && leads.iter().any(|lead| before.ends_with(lead)) {
            found.insert(name.to_owned());
        }
    }
    found
}

/// Every alarm that the sources can raise.
fn alarms() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&file("src"), &mut files);
    let mut found = BTreeSet::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        if ["AlarmText", "alarms.begin(", "alarms.set("].iter().any(|word| text.contains(word)) {
            found.extend(names_in(&text));
        }
    }
    found.retain(|name| !NO_ALARMS.contains(&name.as_str()));
    found
}

#[test]
fn every_alarm_has_its_remedy_in_operations() {
    let (page, alarms) = (read("docs/operations.md"), alarms());
    let section = page.split("\n## Alarms\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: BTreeSet<String> =
        section.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
    let missing: Vec<_> = alarms.difference(&rows).collect();
    assert!(missing.is_empty(), "no row in docs/operations.md, or a name for NO_ALARMS: {missing:?}");
    let gone: Vec<_> = rows.difference(&alarms).collect();
    assert!(gone.is_empty(), "in docs/operations.md, and nothing raises it: {gone:?}");
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(
            cells.len() == 3 && cells.iter().all(|cell| cell.len() > 8),
            "what is the matter, and what to do: {line}"
        );
    }
}

#[test]
fn alarms_are_found_in_every_form_in_which_they_are_written() {
    for text in [
        r#"AlarmText { name: "is_one", about: None }"#,
        "let (name, remedy) = match alarm {\n Alarm::X(_) => (\n \"is_one\",\n None",
        r#"const DEAF: &str = "is_one";"#,
        r#"alarms.set("is_one", role);"#,
        "self.parts.alarms.begin(\n    \"is_one\", error",
    ] {
        assert_eq!(names_in(text).into_iter().collect::<Vec<_>>(), ["is_one"], "{text}");
    }
    assert!(names_in("// name: \"no_one\"\nprintln!(\"two words_here\")").is_empty());
    assert!(alarms().len() > 20, "{:?}", alarms());
}
