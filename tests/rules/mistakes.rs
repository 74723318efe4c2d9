//! Mistakes in rules are reported with key, value, and what is allowed.

use std::path::Path;

use presence_bridge::config::Config;

use crate::support::rig::PEOPLE;

fn problems(rule: &str) -> Vec<String> {
    let text = format!("{PEOPLE}\n[[rule]]\n{rule}\n");
    match Config::parse_trusting(&text, "t", Path::new(".")) {
        Ok(_) => Vec::new(),
        Err(problems) => {
            let each = problems.problems.into_iter();
            each.map(|problem| format!("{} = {}: {} {}", problem.key, problem.found, problem.text, problem.hint))
                .collect()
        }
    }
}

const JSON: &str = "topic = 'x/{id}'\nsubject = '{id}'\nsignal = 'call'\nformat = 'json'\n";

#[test]
fn each_mistake_says_what_is_allowed() {
    for (more, parts) in [
        ("", vec!["rule 1.on = : missing"]),
        ("on = []", vec!["asks for nothing"]),
        ("on = {}", vec!["in, not, above, below, contains, exists, match"]),
        ("on = { abov = 1 }", vec!["on.abov = : unknown key did you mean above?"]),
        ("on = { above = 'x' }", vec!["on.above = 'x': not a number in range"]),
        ("on = { above = 3, below = 2 }", vec!["no number is both"]),
        ("on = { match = '(' }", vec!["not a regular expression"]),
        ("on = 'x'\noff = 'X'", vec!["\"X\" cannot mean on and off"]),
        ("on = 'x'\nvalue = 'state'", vec!["value = 'state': neither a capture nor a field", "\"/name\" for a field"]),
        ("on = 'x'\nvalue = '{nope}'", vec!["no capture {nope} in the topic; it has: id"]),
        ("on = 'x'\npattern = 'x'", vec!["format = \"match\""]),
        ("on = 'x'\nwhere = { '/a' = 1 }", vec!["any = \"/events\""]),
        ("on = 'x'\nmax_age = '5m'", vec!["time = \"/timestamp\""]),
        ("on = 'x'\nmissing = 'on'", vec!["allowed: ignore, off, unknown"]),
        ("on = 'x'\nretained = 'yes'", vec!["allowed: accept, ignore"]),
        (
            "on = 'x'\ntime_zone = 'Europe/Berln'",
            vec!["time_zone = 'Europe/Berln': no such time zone", "W. Europe Standard Time"],
        ),
        ("on = 'x'\nttl = '0s'", vec!["ttl = '0s': out of range allowed: 1s to"]),
        ("on = 'x'\nhold = '2h'", vec!["hold = '2h': out of range"]),
        ("on = 'x'\nuntil = 5", vec!["until = 5: must be text"]),
        ("on = 'x'\nexcept = 'a/#/b'", vec!["except = 'a/#/b': # must be the last level"]),
        ("any = '/v'\nwindow = { start = '/s' }", vec!["window.end"]),
        ("any = '/v'\non = 'x'\nwindow = { start = '/s', end = '/e' }", vec!["a window is on by itself"]),
        (
            "on = 'x'\navailability = { topic = 'y/{pc}' }",
            vec!["no capture {pc} in the rule's topic", "the rule's topic has: id"],
        ),
        ("on = 'x'\navailability = 'y'", vec!["must be a table, or a list of them"]),
        ("on = 'x'\navailability = { topic = 'y', on_down = 'drop' }", vec!["allowed: clear, keep"]),
        ("on = 'x'\nattach.unless = { topic = 'y' }", vec!["attach.unless.is"]),
        ("on = 'x'\nattach.untill = { topic = 'y' }", vec!["attach.untill = : unknown key did you mean until?"]),
        ("on = 'x'\nwhen = { 'state' = 1 }", vec!["when.state", "neither a capture nor a field"]),
    ] {
        let found = problems(&format!("{JSON}{more}"));
        for part in parts {
            assert!(found.iter().any(|text| text.contains(part)), "{more}: {part} is missing in {found:#?}");
        }
    }
    assert!(problems(&format!("{JSON}on = 'x'")).is_empty());
}

#[test]
fn subjects_and_patterns_have_theirs() {
    for (rule, part) in [
        ("topic = 'x'\nsignal = 'call'\non = 'x'", "subject = : missing who it is about"),
        ("topic = 'x'\nsignal = 'call'\non = 'x'\nsubject = { as = 'mac' }", "subject.from = : missing"),
        ("topic = 'x'\nsignal = 'call'\non = 'x'\nsubject = { from = '=a', as = 'MAC' }", "allowed: text, mac, phone"),
        ("topic = 'x'\nsignal = 'call'\non = 'x'\nsubject = '=a'\nformat = 'match'", "pattern = : missing"),
        (
            "topic = 'x'\nsignal = 'call'\non = 'x'\nformat = 'match'\npattern = '(?<who>.)'\nsubject = 'whom'",
            "it has: who",
        ),
        ("topic = 'x'\nsignal = 'call'\non = 'x'\nsubject = '=a'\nformat = 'xml'", "allowed: text, json, query, match"),
        (
            "topic = 'teams/status'\nsignal = 'call'\non = 'busy'\nsubject = '=a'",
            "takes teams/status, where presence itself",
        ),
        ("topic = 'teams/{what}'\nsignal = 'call'\non = 'busy'\nsubject = '=a'", "except = [...]"),
        (
            "topic = '#'\nsignal = 'call'\non = 'busy'\nsubject = '=a'\nexcept = 'teams/status'",
            "presence-bridge/people/x",
        ),
        ("topic = 'a/{b'\nsubject = '{b}'\nsignal = 'call'\non = 'x'\nhold = 'long'", "not a duration"),
    ] {
        let found = problems(rule);
        assert!(found.iter().any(|text| text.contains(part)), "{rule}: {part} is missing in {found:#?}");
    }
    for fine in [
        "topic = 'teams/{what}'\nexcept = 'teams/status'\nsignal = 'call'\non = 'busy'\nsubject = '=a'",
        "topic = 'teams/status'\necho = 'allow'\nsignal = 'call'\non = 'busy'\nsubject = '=a'",
    ] {
        assert_eq!(problems(fine), Vec::<String>::new());
    }
}

#[test]
fn a_topic_that_is_wrong_makes_nothing_else_wrong() {
    let found = problems(
        "topic = 'a/{b'\nsubject = '{b}'\nsignal = 'call'\nvalue = '{b}'\non = 'x'\ndevice = '{b}'\navailability = { topic = 'y/{b}' }",
    );
    assert_eq!(found.len(), 1, "{found:?}");
}
