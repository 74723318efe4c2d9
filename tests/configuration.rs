//! Configuration files: the sample, all problems at once, and what `init` writes.

mod brokers;
mod program;
mod report;
mod schema;
mod shadows;
mod warnings;

use std::path::Path;

use presence_bridge::cli::{check, init};
use presence_bridge::config::Config;
use presence_bridge::presence::{Habits, parse_duration};

use crate::support::rig::{PEOPLE, RULES};

fn problems(text: &str) -> Vec<(usize, String)> {
    let problems = Config::parse_trusting(text, "t.toml", Path::new(".")).unwrap_err().problems;
    problems
        .into_iter()
        .map(|problem| (problem.line, format!("{}: {} {}", problem.key, problem.text, problem.hint)))
        .collect()
}

#[test]
fn the_sample_parses_and_says_the_defaults() {
    let sample = include_str!("../config/bridge.toml");
    let full = Config::parse_trusting(sample, "config/bridge.toml", Path::new("/etc/presence-bridge")).unwrap();
    // The same without every line that states a default.
    let bare: String =
        sample.lines().filter(|line| !line.contains("# default")).map(|line| format!("{line}\n")).collect();
    assert!(bare.len() < sample.len());
    let bare = Config::parse_trusting(&bare, "bare", Path::new("/etc/presence-bridge")).unwrap();
    assert_eq!(words(&full), words(&bare));
}

/// What a configuration says, without the order in which its tables hash.
fn words(config: &Config) -> Vec<String> {
    let text = format!("{config:?}");
    let mut words: Vec<String> =
        text.split(' ').map(|word| word.trim_matches(['{', '}', ',', '[', ']', '(', ')']).to_owned()).collect();
    words.retain(|word| !word.is_empty());
    words.sort();
    words
}

#[test]
fn every_key_of_the_sample_is_one_that_is_read() {
    // A commented key that is not known would mislead: uncomment them all and look for unknown ones.
    let sample = include_str!("../config/bridge.toml");
    let uncommented: String =
        sample.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).map(|line| format!("{line}\n")).collect();
    let found = match Config::parse_trusting(&uncommented, "t.toml", Path::new(".")) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.problems,
    };
    assert!(found.iter().all(|problem| problem.text != "unknown key"), "{found:?}");
}

#[test]
fn all_problems_come_at_once_with_line_and_hint() {
    let text = format!("{PEOPLE}\n{RULES}")
        .replace("\"1003\" = \"carol\"", "\"1003\" = \"carl\"")
        .replace("meeting = \"Busy/InAConferenceCall\"", "meeting = \"Busy/InAMeeting\"")
        .replace("11111111-1111-4111-8111-111111111111", "alice@example.com")
        .replace("client_id = ", "clientid = ")
        .replace("mqtt://localhost", "mqtt://broker.example")
        .replace("ttl = \"8h\"", "ttl = \"a week\"")
        .replace("subject = \"{ext}\"", "subject = \"{extension}\"");
    let found = problems(&text);
    for part in [
        "devices.1003: nobody of that name in [users] did you mean carol?",
        "nearest: Busy/InAConferenceCall",
        "a user name, not an object id",
        "graph.clientid: unknown key did you mean client_id?",
        "graph.client_id: missing",
        "mqtt.url: plain text over a network",
        "rule 1.ttl: not a duration",
        "rule 1.subject: no capture {extension} in the topic; it has: ext",
    ] {
        assert!(found.iter().any(|(_, text)| text.contains(part)), "{part} is missing in {found:#?}");
    }
    let line = text.lines().position(|line| line.contains("carl")).unwrap() + 1;
    assert!(found.iter().any(|(at, text)| *at == line && text.contains("carol")), "{found:#?}");
}

#[test]
fn two_halves_of_a_level_must_share_a_device() {
    let halves = r#"
[[rule]]
topic = "phone/{mac}/offhook"
subject = "{mac}"
signal = "call"
on = ["1"]
[[rule]]
topic = "phone/{mac}/onhook"
subject = "{mac}"
signal = "call"
off = ["1"]
"#;
    let found = problems(&format!("{PEOPLE}\n{halves}"));
    assert!(found[0].1.contains("same device"), "{found:?}");
    let shared = halves.replace("signal =", "device = \"{mac}\"\nsignal =");
    let good = |text: &str| Config::parse_trusting(&format!("{PEOPLE}\n{text}"), "t", Path::new(".")).unwrap();
    good(&shared);
    good(&shared.replacen("{mac}", "{id}", 3)); // whatever the captures are called
    let apart = shared.replacen("device = \"{mac}\"", "device = \"{mac}-on\"", 1);
    let found = problems(&format!("{PEOPLE}\n{apart}"));
    assert!(found[0].1.contains("another device than that of \"phone/{mac}/onhook\""), "{found:?}");
    // One topic is one device, and two people have none in common.
    good(&halves.replace("offhook", "hook").replace("onhook", "hook"));
    good(&halves.replacen("\"{mac}\"", "\"=alice\"", 1).replace("\"{mac}\"", "\"=1002\""));
    let one = halves.replacen("\"{mac}\"", "\"=alice\"", 1).replace("\"{mac}\"", "\"=1001\"");
    assert!(problems(&format!("{PEOPLE}\n{one}"))[0].1.contains("same device"), "1001 is Alice's");
    let brokers =
        "[[source]]\nname = 'a'\nurl = 'mqtt://localhost'\n[[source]]\nname = 'b'\nurl = 'mqtt://localhost:1884'\n";
    let people = PEOPLE.replace("[mqtt]\nurl = \"mqtt://localhost\"\n", brokers);
    let two = shared.replacen("signal =", "source = 'a'\nsignal =", 1);
    Config::parse_trusting(&format!("{people}\n{two}"), "t", Path::new(".")).unwrap();
    let two = format!("{people}\n{}source = 'b'\n", two);
    assert!(problems(&two)[0].1.contains("another device than"), "a device is at one broker");
}

#[test]
fn clouds_belong_together_and_china_is_refused() {
    for (cloud, host) in [("global", "graph.microsoft.com"), ("gcc-high", "graph.microsoft.us"), ("dod", "dod-graph")] {
        let text = PEOPLE.replace("[graph]", &format!("[graph]\ncloud = \"{cloud}\""));
        let config = Config::parse_trusting(&text, "t", Path::new(".")).unwrap();
        assert!(config.graph.graph_url.contains(host));
    }
    let found = problems(&PEOPLE.replace("[graph]", "[graph]\ncloud = \"china\""));
    assert!(found[0].1.contains("no presence API in China"), "{found:?}");
    let found = problems(&PEOPLE.replace("[graph]", "[graph]\ngraph_url = \"http://graph.example\""));
    assert!(found[0].1.contains("belong together"), "{found:?}");
}

#[test]
fn nonsense_never_panics() {
    for text in ["", "[graph", "graph = 1", "[[rule]]", "[users]\nalice = 1", "[mqtt]\nurl = \"mqtt://\"", "\u{0}"] {
        assert!(!problems(text).is_empty(), "{text:?}");
    }
}

#[test]
fn what_init_writes_is_good() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bridge.toml");
    let id = "11111111-2222-4333-8444-555555555555";
    let answers = format!("nonsense\n{id}\n{id}\n\n\nbob\n{id}\n\n");
    let mut said = Vec::new();
    init::init(answers.as_bytes(), &mut said, &path).unwrap();
    assert!(String::from_utf8(said).unwrap().contains("not a GUID"));
    let problems = check::check(&path, Habits::default()).unwrap_err().problems;
    assert_eq!(problems.len(), 1, "only the secret is missing: {problems:?}");
    std::fs::write(dir.path().join("client-secret"), "secret").unwrap();
    let good = check::check(&path, Habits::default()).unwrap();
    assert!(good.summary.contains("1 people") && good.summary.contains("Calls to Graph"), "{good:?}");
    assert!(good.warnings.is_empty(), "{good:?}");
    let again = init::init(answers.as_bytes(), Vec::new(), &path).unwrap_err();
    assert!(again.contains("exists already"));
}

#[test]
fn durations_are_read_as_people_and_graph_write_them() {
    for (text, seconds) in
        [("30s", 30), ("1h 30m", 5400), ("PT5M", 300), ("2d", 172_800), ("P1DT1H", 90_000), (" 7 days ", 604_800)]
    {
        assert_eq!(parse_duration(text), Some(std::time::Duration::from_secs(seconds)), "{text}");
    }
    for text in ["", "5", "soon", "-1h", "1 month", "99999999999999999999h"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}
