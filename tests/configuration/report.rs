//! Problems as people see them: the line, the piece underlined, what is allowed; and nothing that is secret.

use std::path::Path;

use presence_bridge::config::{Config, Look, Problems};
use proptest::prelude::*;

use crate::support::rig::{PEOPLE, RULES};

fn problems(text: &str) -> Problems {
    Config::parse_trusting(text, "bridge.toml", Path::new(".")).unwrap_err()
}

fn report(text: &str) -> String {
    problems(text).report(Look::PLAIN)
}

#[test]
fn a_problem_is_shown_with_its_line_the_piece_underlined_and_the_nearest_name() {
    let shown = report(&PEOPLE.replace("client_id = ", "clientid = "));
    let wanted = r#"
error: unknown key graph.clientid
 --> bridge.toml:4:1
  |
4 | clientid = "bbbbbbbb-0000-4000-8000-000000000002"
  | ^^^^^^^^ did you mean client_id?
"#;
    assert!(shown.contains(wanted), "{shown}");
    let missing = r#"
error: graph.client_id is missing
 --> bridge.toml:2:1
  |
2 | [graph]
  | ^^^^^^^
  |
  = help: the Application (client) ID on the app registration's overview page
"#;
    assert!(format!("\n{shown}").contains(missing), "{shown}");
    assert!(shown.ends_with("\n\n2 problems in bridge.toml"), "{shown}");
    let shown = report(&PEOPLE.replace("[graph]", "[graph]\ncloud = \"gcc-hihg\"\ncredential = \"certificat\""));
    assert!(shown.contains("^^^^^^^^^^^^ did you mean certificate?\n"), "{shown}");
    assert!(shown.contains("= help: allowed: client-secret, certificate, "), "{shown}");
}

#[test]
fn wide_letters_tabs_and_long_lines_keep_the_marks_in_place() {
    let under = |shown: &str, piece: &str| {
        let lines: Vec<&str> = shown.lines().collect();
        let marks = lines.iter().position(|line| line.contains("^")).unwrap();
        let (line, mark) = (lines[marks - 1], lines[marks]);
        // Columns of a terminal: a wide letter takes two.
        let before = &line[..line.find(piece).unwrap_or_else(|| panic!("{piece} is not in\n{shown}"))];
        let columns: usize = before.chars().map(|c| if c > '\u{2e80}' { 2 } else { 1 }).sum();
        assert_eq!(mark.find('^'), Some(columns), "{shown}");
    };
    let tabs = PEOPLE.replace("url = \"mqtt://localhost\"", "\turl\t=\t\"http://localhost\"");
    under(&report(&tabs), "\"http://localhost\"");
    let wide = PEOPLE.replace("\"1003\" = \"carol\"", "\"日本語の電話\" = \"caroll\"");
    under(&report(&wide), "\"caroll\"");
    let long = format!("'{}' = 1", "/x".repeat(5_000));
    let longer = long.replace("/x'", "/z'");
    let rule = format!(
        "[[rule]]\ntopic = 'x'\nsubject = '=alice'\nsignal = 'call'\non = 'x'\nformat = 'json'\nwhen = {{ {long}, '/y' = {{ abov = 1 }}, {longer} }}\n"
    );
    let shown = report(&format!("{PEOPLE}{rule}"));
    under(&shown, "abov");
    assert!(shown.lines().all(|line| line.chars().count() < 400), "{shown}");
    assert!(shown.contains("bridge.toml:29:10027\n"), "the column is that of the whole line: {shown}");
}

#[test]
fn what_looks_like_a_secret_is_blotted_out_in_every_form() {
    let secret = "abc8Q~defghijklmnopqrstuvwxyz0123456789";
    for line in [
        format!("client_secret = \"{secret}\""),
        format!("client_secret_file = {secret}"),
        format!("client_secret_file = \"{secret}\""),
        format!("clientsecret=\"{secret}"),
        "password = 'hunter22'".to_owned(),
        "proxy = \"http://bridge:hunter22@proxy\"".to_owned(),
        "passwords = hunter22".to_owned(),
        "nonsense = { password = \"hunter22\" }".to_owned(),
        "cloud = \"http://me:hunter22@x\"".to_owned(),
    ] {
        let found = problems(&PEOPLE.replace("client_secret_file = \"unused\"", &line));
        for shown in [found.report(Look::PLAIN), found.to_string(), format!("{found:?}")] {
            assert!(!shown.contains("hunter22") && !shown.contains(secret), "{line}\n{shown}");
        }
    }
    let password = PEOPLE.replace("[mqtt]\nurl = \"mqtt://", "[mqtt]\nurl = \"mqtt://me:hunter22@");
    let found = problems(&password);
    for shown in [found.report(Look::PLAIN), found.to_string(), format!("{found:?}")] {
        assert!(!shown.contains("hunter22") && shown.contains("localhost"), "{shown}");
    }
}

#[test]
fn colours_are_for_terminals() {
    let found = problems(&PEOPLE.replace("client_id = ", "clientid = "));
    assert!(!found.report(Look::PLAIN).contains('\u{1b}'));
    assert!(found.report(Look { colour: true, width: 80 }).contains("\u{1b}["));
    assert_eq!(Look::on(None), Look::PLAIN);
}

#[test]
fn control_characters_of_a_file_reach_no_terminal() {
    let shown = report(&PEOPLE.replace("1003", "10\\u001b[2J03").replace("\"carol\"", "\"car\\u0007l\""));
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown}");
    let raw = report(&format!("{PEOPLE}\u{1b}[2J = 1\n"));
    assert!(!raw.contains('\u{1b}'), "{raw}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// A panic would end the program in the place of a report.
    #[test]
    fn any_text_can_be_reported(noise in "[\\PC\\s]{0,60}", at in 0usize..2_000, width in 0usize..300) {
        let mut text = format!("{PEOPLE}{RULES}");
        let at = (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap();
        text.insert_str(at, &noise);
        if let Err(found) = Config::parse_trusting(&text, "t", Path::new(".")) {
            let shown = found.report(Look { colour: false, width });
            prop_assert!(!shown.is_empty());
            prop_assert!(found.problems.iter().all(|problem| !problem.line("t").contains('\n')));
        }
    }
}
