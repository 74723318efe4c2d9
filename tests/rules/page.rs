//! docs/rules.md: its examples are run. A `messages` block is judged by the `toml` block before it.

use std::path::Path;

use presence_bridge::config::Config;
use presence_bridge::presence::{Plan, SourceId, Timestamp};

use super::messages::{said, utc};

const PAGE: &str = include_str!("../../docs/rules.md");

const AROUND: &str = r#"
[graph]
tenant_id = "aaaaaaaa-0000-4000-8000-000000000001"
client_id = "bbbbbbbb-0000-4000-8000-000000000002"
client_secret_file = "unused"
[mqtt]
url = "mqtt://localhost"
[users]
alice = "11111111-1111-4111-8111-111111111111"
bob = "22222222-2222-4222-8222-222222222222"
carol = "33333333-3333-4333-8333-333333333333"
"#;

fn plan(block: &str) -> Plan {
    let signals = "[signals]\ncall = 'Busy/InACall'\nringing = 'none'\n";
    let signals = if block.contains("[signals]") { "" } else { signals };
    let text = format!("time_zone = 'Europe/Berlin'\n{AROUND}{signals}{block}");
    let config = Config::parse_trusting(&text, "docs/rules.md", Path::new("."));
    config.unwrap_or_else(|problems| panic!("{problems}\nin\n{block}")).plan
}

/// The blocks of a page: language and text.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut open = false;
    for line in page.lines() {
        match (open, line.strip_prefix("```")) {
            (false, Some(language)) => {
                blocks.push((language, String::new()));
                open = true;
            }
            (true, Some(_)) => open = false,
            (true, None) => {
                let (_, text) = blocks.last_mut().unwrap();
                text.push_str(line);
                text.push('\n');
            }
            (false, None) => {}
        }
    }
    blocks
}

/// What the rules make of a message, its windows included.
fn told(plan: &Plan, topic: &str, payload: &str) -> String {
    let mut told = said(plan, topic, payload.as_bytes(), false);
    plan.rules.evaluate(SourceId(0), topic, payload.as_bytes(), &mut |_, result| {
        for window in result.ok().and_then(|effect| effect.more.windows).unwrap_or_default() {
            let end = match window.end {
                Timestamp::MAX => "until its end is known".to_owned(),
                end => format!("to {}", utc(end)),
            };
            told.push(format!("{} {end}", utc(window.start)));
        }
    });
    if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
}

/// A topic may have spaces: it ends where the payload begins, which no topic of the page looks like.
fn split(line: &str) -> (&str, &str) {
    let json = line.find(" {").or_else(|| line.find(" 2026-")).or_else(|| line.find(" <")).or_else(|| line.find(" \""));
    let at = json.unwrap_or_else(|| line.rfind(' ').unwrap());
    (&line[..at], &line[at + 1..])
}

/// Runs the examples of a page; how many messages it has.
pub fn run(page: &str) -> usize {
    let mut current = None;
    let mut messages = 0;
    for (language, text) in blocks(page) {
        match language {
            "toml" => current = Some(plan(&text)),
            "messages" => {
                for line in text.lines() {
                    let (message, wanted) = line.rsplit_once(" => ").unwrap();
                    let (topic, payload) = split(message);
                    assert_eq!(told(current.as_ref().unwrap(), topic, payload), wanted, "{line}");
                    messages += 1;
                }
            }
            other => panic!("a block of {other:?}"),
        }
    }
    messages
}

#[test]
fn the_examples_of_the_page_do_what_it_says() {
    let messages = run(PAGE);
    println!("docs/rules.md: {messages} messages as the page says");
    assert!(messages > 50);
}

#[test]
fn every_key_of_a_rule_is_on_the_page() {
    let text = format!("{AROUND}[[rule]]\nnonsense_key = 1\n");
    let problems = Config::parse_trusting(&text, "t", Path::new(".")).unwrap_err();
    let unknown = problems.problems.iter().find(|problem| problem.key.contains("nonsense_key")).unwrap();
    let known = unknown.hint.strip_prefix("known here: ").unwrap();
    for key in known.split(", ") {
        assert!(PAGE.contains(&format!("`{key}`")), "{key}");
    }
}
