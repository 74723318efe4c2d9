//! What is said of shadowed rules is true: of random pairs of rules, the one that is said to be shadowed makes nothing of
//! any message that the other does not make of it as well.

use std::path::Path;

use presence_bridge::config::Config;
use presence_bridge::presence::{RuleId, SourceId};

use crate::support::rig::PEOPLE;

const TOPICS: [&str; 9] =
    ["x/{a}", "x/{b}", "x/1001", "x/+", "x/#", "x/{a...}", "x/{a}/{b}", "x/p{a}/{b}", "x/{b}/1001"];
const SUBJECTS: [&str; 5] = ["{a}", "{b}", "=1001", "=alice", "=1002"];
const WORDS: [&str; 6] = [
    "on = 'a'",
    "on = ['a', 'b']",
    "on = 1",
    "on = 'a'\noff = 'b'",
    "off = 'b'\nunknown = 'c'\non = 'a'",
    "on = { not = 'c' }",
];
const MORE: [&str; 14] = [
    "",
    "",
    "",
    "",
    "device = '{a}'",
    "device = '{b}'",
    "device = 'd'",
    "value = '{a}'",
    "when = { '{a}' = '1001' }",
    "when = { '{b}' = ['1001', 'p1'] }",
    "except = 'x/1002'",
    "ttl = '2h'",
    "source = 'two'",
    "hold = '5s'",
];

/// Topic, subject, words, and one thing more.
fn rule(random: &mut fastrand::Rng) -> [&'static str; 4] {
    [&TOPICS[..], &SUBJECTS, &WORDS, &MORE].map(|all| all[random.usize(..all.len())])
}

/// Two that have much in common.
fn pair(random: &mut fastrand::Rng) -> String {
    let (one, mut other) = (rule(random), rule(random));
    for (part, same) in other.iter_mut().zip(one) {
        *part = if random.f32() < 0.6 { same } else { part };
    }
    let written = |[topic, subject, words, more]: [&str; 4]| {
        format!("[[rule]]\ntopic = '{topic}'\nsubject = '{subject}'\nsignal = 'call'\n{words}\n{more}\n")
    };
    written(one) + &written(other)
}

/// What each of two rules makes of a message.
fn told(config: &Config, source: u16, topic: &str, payload: &str) -> [Vec<String>; 2] {
    let mut told = [Vec::new(), Vec::new()];
    config.plan.rules.evaluate(SourceId(source), topic, payload.as_bytes(), &mut |RuleId(id), effect| {
        if let Ok(effect) = effect {
            told[id as usize].push(format!("{effect:?}"));
        }
    });
    told
}

#[test]
fn a_shadowed_rule_makes_nothing_that_the_other_does_not() {
    let brokers =
        "[[source]]\nname = 'one'\nurl = 'mqtt://localhost'\n[[source]]\nname = 'two'\nurl = 'mqtt://localhost:1884'\n";
    let people = PEOPLE.replace("[mqtt]\nurl = \"mqtt://localhost\"\n", brokers);
    let mut random = fastrand::Rng::with_seed(8);
    let (mut shadowed, mut made) = (0, 0);
    for _ in 0..4_000 {
        let text = format!("{people}{}", pair(&mut random));
        let Ok(config) = Config::parse_trusting(&text, "t", Path::new(".")) else { continue };
        let of =
            |rule: &str| config.warnings.iter().any(|p| p.name() == Some("shadowed-rule") && p.key.starts_with(rule));
        let (narrow, wide) = match (of("rule 1"), of("rule 2")) {
            (true, false) => (0, 1),
            (false, true) => (1, 0),
            (false, false) => continue,
            (true, true) => panic!("both are said to be shadowed\n{text}"),
        };
        shadowed += 1;
        for topic in
            ["x", "x/1001", "x/1002", "x/alice", "x/p1/1001", "x/1001/1002", "x/1002/1001", "x/1001/p1", "x/p/p/p"]
        {
            for payload in ["a", "b", "c", "1", "1.0", "", "A"] {
                for source in [0, 1] {
                    let told = told(&config, source, topic, payload);
                    made += told[narrow].len();
                    let missing = told[narrow].iter().find(|effect| !told[wide].contains(effect));
                    assert!(missing.is_none(), "{topic} {payload}: {told:#?}\n{text}");
                }
            }
        }
    }
    println!("{shadowed} pairs, {made} effects");
    assert!(shadowed > 50 && made > 500, "{shadowed} pairs, {made} effects: nothing was tried");
}
