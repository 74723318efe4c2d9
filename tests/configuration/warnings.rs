//! What is legal and unwise: each warning where it belongs, and nowhere else.

use std::collections::BTreeSet;
use std::path::Path;

use presence_bridge::cli::check;
use presence_bridge::config::warnings::{TOO_MANY_PEOPLE, WARNINGS};
use presence_bridge::config::{Config, Look, report};
use presence_bridge::presence::Habits;

use crate::support::rig::{PEOPLE, RULES};

fn load(text: &str) -> Config {
    Config::parse_trusting(text, "t", Path::new(".")).unwrap_or_else(|problems| panic!("{problems}\nin\n{text}"))
}

/// Without the desk that shows Available.
fn people() -> String {
    PEOPLE.replace("desk = \"Available/Available\"\n", "")
}

/// Names of the warnings, each with its key.
fn warned(text: &str) -> Vec<String> {
    let warnings = load(text).warnings;
    warnings.iter().map(|problem| format!("{} {}", problem.name().unwrap(), problem.key)).collect()
}

fn shown(text: &str) -> String {
    report("bridge.toml", &load(text).warnings, Look::PLAIN)
}

/// A rule about nothing special; `more` adds to it.
fn rule(more: &str) -> String {
    let usual = [("topic", "'x/{id}'"), ("signal", "'call'"), ("subject", "'{id}'"), ("ttl", "'8h'")];
    let said = |key: &str| more.lines().any(|line| line.starts_with(&format!("{key} =")));
    let usual = usual.iter().filter(|(key, _)| !said(key)).map(|(key, value)| format!("{key} = {value}\n"));
    format!("[[rule]]\n{}{more}\n", usual.collect::<String>())
}

fn of_rules(rules: &[String]) -> Vec<String> {
    warned(&format!("{}{}", people(), rules.concat()))
}

const NONE: [String; 0] = [];

#[test]
fn the_files_that_we_give_away_are_without_warnings() {
    for text in [include_str!("../../config/bridge.toml"), include_str!("../../config/demo.toml")] {
        assert_eq!(warned(text), NONE);
    }
    let busy = warned(&format!("{PEOPLE}{RULES}"));
    assert_eq!(busy, ["available-masks signals.desk", "no-ttl rule 3.ttl", "no-ttl rule 5.ttl"]);
    // They are not without by being allowed all there is.
    let sample = include_str!("../../config/bridge.toml").replace("allow = [\"available-masks\"]", "allow = []");
    assert_eq!(warned(&sample), ["available-masks signals.at_desk"]);
}

#[test]
fn a_warning_is_shown_as_a_problem_is_with_its_name() {
    let text = people().replace("[signals]\n", "[signals]\nabsent = \"Away/Away\"\n");
    let shown = shown(&text);
    assert!(shown.starts_with("warning[away-is-weak]: signals.absent: shows Away, the weakest presence\n"), "{shown}");
    assert!(shown.contains("\n   = help: expect it to show"), "{shown}");
    assert!(
        shown.contains(
            "\n19 | absent = \"Away/Away\"\n   |          ^^^^^^^^^^^\n   |\n   = note: while a Teams client"
        ),
        "{shown}"
    );
}

#[test]
fn away_is_weak() {
    let text = people().replace("[signals]\n", "[signals]\nabsent = \"away/away\"\n");
    assert_eq!(warned(&text), ["away-is-weak signals.absent"]);
    assert_eq!(warned(&people()), NONE);
}

#[test]
fn available_masks_and_says_what_it_costs() {
    let free = people().replace("[signals]", "[presence]\nwhen_free = \"available\"\n[signals]");
    assert_eq!(warned(&free), ["available-masks presence.when_free"]);
    let shown = shown(&free);
    assert!(shown.contains("For the 5 people listed, 0.03 calls/s instead of 0.01;"), "{shown}");
    assert!(shown.contains("carry ") && shown.contains(" people instead of "), "{shown}");
    assert_eq!(warned(PEOPLE), ["available-masks signals.desk"]);
    assert_eq!(warned(&free.replace("\"available\"", "\"nothing\"")), NONE);
}

#[test]
fn no_ttl_is_a_warning_where_nothing_else_ends_it() {
    let bare = |more: &str| rule(more).replace("ttl = '8h'\n", "");
    for on in ["on = 'x'\noff = 'y'", "on = 'x'", "toggle = 'x'", "on = { above = 2 }\noff = { below = 1 }"] {
        assert_eq!(of_rules(&[bare(on)]), ["no-ttl rule 1.ttl"], "{on}");
    }
    for ended in [
        "on = 'x'\nttl = '12h'",
        "pulse = 'x'",
        "on = 'x'\navailability = { topic = 'x/{id}/status' }",
        "on = 'x'\nattach.until = { topic = 'x/{id}/end' }",
        "on = 'x'\nformat = 'json'\nvalue = '/a'\nuntil = '/end'",
        "on = 'x'\nsignal = 'ringing'",
    ] {
        assert_eq!(of_rules(&[bare(ended)]), NONE, "{ended}");
    }
    let off = "signal = 'call'\noff = 'y'\ndevice = '{id}'";
    assert_eq!(of_rules(&[bare(off)]), NONE, "it turns nothing on");
    let window = "format = 'json'\nany = '/e'\nwindow = { start = '/s', end = '/e' }";
    assert!(!of_rules(&[bare(window)]).iter().any(|warning| warning.contains("no-ttl")));
}

#[test]
fn retained_edges() {
    assert_eq!(of_rules(&[rule("pulse = 'x'\nretained = 'accept'")]), ["retained-edge rule 1.retained"]);
    assert_eq!(of_rules(&[rule("toggle = 'x'\nretained = 'accept'")]), ["retained-edge rule 1.retained"]);
    for fine in ["pulse = 'x'", "toggle = 'x'\nretained = 'ignore'", "on = 'x'\nretained = 'accept'"] {
        assert_eq!(of_rules(&[rule(fine)]), NONE, "{fine}");
    }
}

#[test]
fn a_calendar_that_teams_may_show_by_itself() {
    let window = "format = 'json'\nany = '/e'\nwindow = { start = '/s', end = '/e' }\nsignal = 'meeting'";
    assert_eq!(of_rules(&[rule(window)]), ["calendar-in-teams rule 1.topic"]);
    let topic = "topic = 'homeassistant/Calendar/{id}/state'\nsignal = 'meeting'\non = 'on'\noff = 'off'";
    assert_eq!(of_rules(&[rule(topic)]), ["calendar-in-teams rule 1.topic"]);
    let focus = people().replace("[signals]\n", "[signals]\nfocus = \"DoNotDisturb/Presenting\"\n");
    assert_eq!(
        warned(&format!("{focus}{}", rule(&topic.replace("meeting", "focus")))),
        NONE,
        "that is more than words"
    );
    let preset = "[[preset]]\nuse = 'teams-for-linux-calendar'\nwho = 'alice'\n".to_owned();
    assert_eq!(of_rules(&[preset]), ["calendar-in-teams preset 1.use"]);
    assert_eq!(of_rules(&["[[preset]]\nuse = 'teams-for-linux'\nwho = 'alice'\n".to_owned()]), NONE);
    assert_eq!(of_rules(&[rule("topic = 'room/{id}/state'\nsignal = 'meeting'\non = 'on'")]), NONE);
}

#[test]
fn names_that_some_brokers_read_otherwise() {
    let dotted = people().replace("alice =", "\"alice.b\" =").replace("\"1001\" = \"alice\"\n", "");
    assert_eq!(warned(&dotted), ["dots-in-names users"]);
    assert!(shown(&dotted).contains("in what stands in topics, \"alice.b\"\n"), "{}", shown(&dotted));
    assert!(shown(&dotted).contains("| \"alice.b\" = "), "{}", shown(&dotted));
    let quiet = dotted.replace("[mqtt]\n", "[mqtt]\nown_topics = false\n");
    assert_eq!(warned(&quiet), NONE, "no such topic is published");
    let signal = people().replace("ringing =", "\"ring.ing\" =");
    assert_eq!(warned(&signal), ["dots-in-names signals"]);
    for (id, wanted) in [("bridge.office", 1), ("my bridge", 1), ("bridge-office", 0)] {
        let text = people().replace("[mqtt]\n", &format!("[mqtt]\nclient_id = \"{id}\"\n"));
        assert_eq!(warned(&text).len(), wanted, "{id}: the canary is named after it");
        assert_eq!(warned(&text.replace("[mqtt]\n", "[mqtt]\nown_topics = false\n")).len(), wanted, "{id}");
    }
    let many: String = (0..9).map(|n| format!("\"p.{n}\" = \"99999999-1111-4111-8111-11111111111{n}\"\n")).collect();
    let many = people().replace("[devices]", &format!("{many}[devices]"));
    assert_eq!(warned(&many).len(), 1, "one for all");
    assert!(shown(&many).contains("and 6 more"), "{}", shown(&many));
}

#[test]
fn a_rule_that_another_shadows() {
    let base = "on = ['a', 'b']\noff = 'c'";
    let shadowed = |wide: &str, narrow: &str| {
        let [there, back] = [[wide, narrow], [narrow, wide]].map(|order| of_rules(&order.map(rule)));
        let count = |warnings: &[String]| warnings.iter().filter(|name| name.contains("shadowed-rule")).count();
        assert_eq!(count(&there), count(&back), "the order does not matter: {wide}\n{narrow}");
        assert!(there.iter().all(|warning| warning == "shadowed-rule rule 2"), "{there:?}");
        count(&there)
    };
    for (wide, narrow) in [
        (base, base),
        (base, "name = 'other'\non = ['a', 'b']\noff = 'c'"),
        (base, "on = 'A'"),
        (base, "on = 'a'\nwhen = { '{id}' = '1001' }"),
        ("on = 1\noff = 0", "on = [1.0]"),
        (base, "topic = 'x/1001'\nsubject = '=1001'\non = 'a'"),
        (base, "topic = 'x/{ext}'\nsubject = '{ext}'\non = 'a'"),
        ("topic = 'x/{a}/{b}'\nsubject = '{b}'\non = 'a'", "topic = 'x/y/{id}'\non = 'a'"),
        ("topic = 'y/{a...}'\nsubject = '{a}'\non = 'a'", "topic = 'y/{b}'\nsubject = '{b}'\non = 'a'"),
        ("except = 'x/9'\non = 'a'", "except = ['x/9', 'x/8']\non = 'a'"),
        ("pulse = 'a'", "pulse = 'a'"),
        ("device = '{id}'\non = 'a'", "topic = 'x/{ext}'\nsubject = '{ext}'\ndevice = '{ext}'\non = 'a'"),
    ] {
        assert_eq!(shadowed(wide, narrow), 1, "{wide}\n---\n{narrow}");
    }
    for (one, other) in [
        (base, "on = 'd'"),
        (base, "on = 'c'"),
        (base, "on = 'a'\nttl = '4h'"),
        (base, "on = 'a'\nsignal = 'meeting'"),
        (base, "on = 'a'\ndevice = 'other'"),
        (base, "on = 'a'\nhold = '5s'"),
        (base, "topic = 'x/{id}/y'\non = 'a'"),
        (base, "topic = 'x/+'\nsubject = '=1001'\non = 'a'"),
        ("topic = 'x/{a}/{b}'\nsubject = '{a}'\non = 'a'", "topic = 'x/{c}/{d}'\nsubject = '{d}'\non = 'a'"),
        (base, "topic = 'x/1001'\nsubject = '=1002'\non = 'a'"),
        ("topic = 'x/{id}_y'\non = 'a'", "on = 'a'"),
        ("topic = 'y/{b}'\nsubject = '{b}'\non = 'a'", "topic = 'y/{b...}'\nsubject = '{b}'\non = 'b'"),
        ("on = 'a'\nwhen = { '{id}' = '1001' }", "on = 'a'\nwhen = { '{id}' = '1002' }"),
        ("on = { above = 2 }", "on = { above = 3 }"),
        ("except = 'x/9'\non = 'a'", "except = 'x/8'\non = 'a'"),
        ("toggle = 'a'", "toggle = 'a'"),
        ("on = 'a'\nformat = 'json'\nvalue = '/a'", "on = 'a'\nformat = 'json'\nvalue = '/b'"),
        (
            "topic = 'y/{e}'\nsubject = '=alice'\nvalue = '{e}'\non = 'a'",
            "topic = 'y/{f}'\nsubject = '=alice'\nvalue = '{f}'\non = 'a'",
        ),
    ] {
        assert_eq!(shadowed(one, other), 0, "{one}\n---\n{other}");
    }
}

#[test]
fn a_source_of_its_own_does_not_shadow_and_is_shadowed() {
    let brokers =
        "[[source]]\nname = 'a'\nurl = 'mqtt://localhost'\n[[source]]\nname = 'b'\nurl = 'mqtt://localhost:1884'\n";
    let text = people().replace("[mqtt]\nurl = \"mqtt://localhost\"\n", brokers);
    let two = |one: &str, other: &str| warned(&format!("{text}{}{}", rule(one), rule(other)));
    assert_eq!(two("on = 'x'", "source = 'b'\non = 'x'"), ["shadowed-rule rule 2"]);
    assert_eq!(two("source = 'b'\non = 'x'", "on = 'x'"), ["shadowed-rule rule 1"]);
    assert_eq!(two("source = 'a'\non = 'x'", "source = 'b'\non = 'x'"), NONE);
}

#[test]
fn what_is_meant_is_allowed_by_name() {
    let text = format!(
        "{PEOPLE}{}[check]\nallow = [\"available-masks\", \"no-ttl\"]\n",
        rule("on = 'x'").replace("ttl = '8h'\n", "")
    );
    assert_eq!(warned(&text), NONE);
    let wrong = text.replace("no-ttl", "no-tll");
    let problems = Config::parse_trusting(&wrong, "t", Path::new(".")).unwrap_err();
    assert!(problems.to_string().contains("there is no warning no-tll\n    did you mean no-ttl?"), "{problems}");
}

#[test]
fn too_many_people_is_a_warning_like_the_others() {
    let mut users = String::new();
    for n in 0..9_000 {
        users += &format!("p{n} = \"99999999-1111-4111-8111-{n:012}\"\n");
    }
    let text = people()
        .replace("[devices]", &format!("{users}[devices]"))
        .replace("[signals]", "[presence]\nrate = 5\n[signals]");
    let config = load(&text);
    let named =
        |config: &Config| check::warnings(config, Habits::default()).iter().any(|p| p.name() == Some(TOO_MANY_PEOPLE));
    assert!(named(&config));
    assert!(!named(&load(&format!("{text}[check]\nallow = 'too-many-people'\n"))));
    assert!(!named(&load(&people())));
    let quiet = Habits { changes_per_day: 0.0, taken: 0.0 };
    assert!(check::warnings(&config, quiet).is_empty(), "it depends on what people do");
}

#[test]
fn every_warning_is_on_the_page_and_in_these_tests() {
    let page = include_str!("../../docs/check.md");
    let listed: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("### `")).filter_map(|line| line.strip_suffix('`')).collect();
    let known: BTreeSet<&str> = WARNINGS.iter().map(|(name, _)| *name).collect();
    assert_eq!(known.len(), WARNINGS.len());
    assert_eq!(listed, known);
    let own = include_str!("warnings.rs");
    assert!(known.iter().all(|name| own.contains(&format!("\"{name}")) || *name == TOO_MANY_PEOPLE));
}
