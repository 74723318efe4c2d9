//! What is wrong with the use of a preset, and what may be chosen.

use std::time::Duration;

use presence_bridge::presence::RuleId;
use presence_bridge::presence::rule::Rule;

use super::{SITE, config, told};

/// Problems as `line of the usage: key = found: text; hint`.
fn problems(usage: &str) -> Vec<String> {
    let Err(problems) = config(usage) else { return Vec::new() };
    let before = SITE.lines().count();
    let each = problems.problems.into_iter().map(|problem| {
        let line = problem.line.saturating_sub(before);
        format!("{line}: {} = {}: {}; {}", problem.key, problem.found, problem.text, problem.hint)
    });
    each.collect()
}

fn rules(usage: &str) -> Vec<Rule> {
    let config = config(usage).unwrap_or_else(|problems| panic!("{problems}"));
    config.presets.iter().flat_map(|used| used.rules.clone()).map(|id| rule(&config, id)).collect()
}

fn rule(config: &presence_bridge::config::Config, id: usize) -> Rule {
    config.plan.rules.get(RuleId(u32::try_from(id).unwrap())).unwrap().clone()
}

#[test]
fn each_mistake_is_told_of_the_users_line() {
    for (usage, parts) in [
        ("[[preset]]", vec!["1: preset 1.use = : missing; the name of a preset"]),
        ("[[preset]]\nuse = 'ami2mqt'", vec!["2: preset 1.use = 'ami2mqt': no such preset; did you mean ami2mqtt?"]),
        ("[[preset]]\nuse = 'zigbee2mqtt'", vec!["did you mean zigbee2mqtt-"]),
        ("[[preset]]\nuse = 'coffee'", vec!["no such preset; `presence-bridge presets` lists them"]),
        ("[[preset]]\nuse = 5", vec!["preset 1.use = 5: must be text"]),
        ("[[preset]]\nuse = 'ami2mqtt'\nbas = 'pbx'", vec!["3: preset 1.bas = : unknown key; did you mean base?"]),
        ("[[preset]]\nuse = 'yealink2mqtt'", vec!["1: preset 1.who = : missing; whose phone it is"]),
        (
            "[[preset]]\nuse = 'ami2mqtt'\n\nbase = 'pbx/#'",
            vec![
                "4: preset 1.base = 'pbx/#': # must be the last level; use {name...} inside a pattern, as topic of a rule of the preset;",
            ],
        ),
        ("[[preset]]\nuse = 'ami2mqtt'\nbase = 'pbx/'", vec!["3: preset 1.base = 'pbx/': ends with a /"]),
        ("[[preset]]\nuse = 'ami2mqtt'\nbase = 7", vec!["3: preset 1.base = 7: must be text, as topic of a rule"]),
        (
            "[[preset]]\nuse = 'ami2mqtt'\nwho = '{extension}'",
            vec!["3: preset 1.who = '{extension}': no capture {extension} in the topic; it has: tech, ext, as subject"],
        ),
        (
            "[[preset]]\nuse = 'ami2mqtt'\nsignal = 'cal'",
            vec![
                "3: preset 1.signal = 'cal': turns the signal cal on, and there is none of that name in [signals]; did \
                 you mean call? Or add cal = \"Busy/InACall\" to [signals]",
            ],
        ),
        ("[[preset]]\nuse = 'ami2mqtt'\nttl = '0s'", vec!["3: preset 1.ttl = '0s': out of range; allowed: 1s to"]),
        ("[[preset]]\nuse = 'ami2mqtt'\nhold = true", vec!["3: preset 1.hold = true: must be text"]),
        ("[[preset]]\nuse = 'ami2mqtt'\nretained = 'no'", vec!["retained = 'no': not one of the choices"]),
        (
            "[[preset]]\nuse = 'ami2mqtt'\nsource = 'pbx'",
            vec!["3: preset 1.source = 'pbx': no [[source]] of that name"],
        ),
        (
            "[[preset]]\nuse = 'yealink2mqtt'\nwho = 'alise'",
            vec!["3: preset 1.who = 'alise': nobody of that name in [users] or [devices]; did you mean alice?"],
        ),
        (
            "[[preset]]\nuse = 'ami2mqtt'\nbase = 'x'\n[preset.who]\nfrom = '{ext}'\nass = 'mac'",
            vec!["6: preset 1.who = : unknown key, as subject.ass of a rule of the preset; did you mean as?"],
        ),
        (
            "[[preset]]\nuse = 'esphome'\nsensor = 'seat'\nbase = 'desk-7'",
            vec![
                "1: preset 1.who = : missing; what stands in base does not tell: who = \"alice\", or a capture that base has",
            ],
        ),
        (
            "[[preset]]\nuse = 'freeswitch'\ntopic = 'teams/status'",
            vec!["3: preset 1.topic = 'teams/status': takes teams/status, where presence itself is published"],
        ),
        (
            "[[preset]]\nuse = 'espresense'\nroom = 'office'\nnear = 'two'",
            vec!["4: preset 1.near = 'two': not a number in range, as on.below of a rule of the preset"],
        ),
        (
            "[[preset]]\nuse = 'ami2mqtt'\nbase = 'site'\ntech = '#'",
            vec!["4: preset 1.tech = '#': # must be the last level"],
        ),
    ] {
        let found = problems(usage);
        for part in parts {
            assert!(found.iter().any(|text| text.contains(part)), "{usage}\n{part} is missing in {found:#?}");
        }
        assert_eq!(found.len(), 1, "said once: {found:#?}");
    }
}

#[test]
fn a_signal_that_the_site_has_not_is_told_with_what_to_add() {
    let usage = "[[preset]]\nuse = 'ami2mqtt'";
    let text = format!("{SITE}{usage}").replace("\ncall =", "\nphone =");
    let problems = presence_bridge::config::Config::parse_trusting(&text, "t", std::path::Path::new("."));
    let problems = problems.unwrap_err().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].key.as_str(), problems[0].found.as_str()), ("preset 1.use", "'ami2mqtt'"));
    for part in ["add call = \"Busy/InACall\" to [signals]", "signal = \"…\"", "known: dnd, phone"] {
        assert!(problems[0].hint.contains(part), "{part}: {problems:?}");
    }
}

#[test]
fn a_half_of_a_level_beside_a_preset_is_refused() {
    let half = "[[rule]]\ntopic = 'desk/{ext}/lifted'\nsubject = '{ext}'\nsignal = 'call'\non = 1\n";
    assert!(problems(&format!("{half}[[preset]]\nuse = 'ami2mqtt'")).is_empty(), "a preset is no half");
    let other = half.replace("lifted", "down").replace("on =", "off =");
    let found = problems(&format!("[[preset]]\nuse = 'ami2mqtt'\n{half}{other}"));
    assert!(found.len() == 1 && found[0].contains("rule 1.device = : missing"), "{found:?}");
}

#[test]
fn three_lines_are_enough() {
    let config = config("[[preset]]\nuse = 'yealink2mqtt'\nwho = 'alice'").unwrap();
    assert_eq!(told(&config.plan, "yealink/action/off_hook", "{}", false), "alice: call on");
    assert_eq!(told(&config.plan, "yealink/action/dnd_on", "{}", false), "nothing", "what was not asked for");
    let used = &config.presets[0];
    assert_eq!((used.name, used.rules.clone(), used.calendar), ("yealink2mqtt", 0..2, false));
    assert_eq!(used.line, SITE.lines().count() + 2);
}

#[test]
fn whom_it_is_about_may_be_said_in_every_way_of_a_rule() {
    for (who, topic, wanted) in [
        ("who = 'bob'", "pbx/devstate/PJSIP/7", "bob: call on"),
        ("who = '=bob'", "pbx/devstate/PJSIP/7", "bob: call on"),
        ("who = '{tech}'", "pbx/devstate/alice/7", "alice: call on"),
        ("who = { from = '{ext}', strip_prefix = 'x-' }", "pbx/devstate/SIP/x-alice", "alice: call on"),
        ("tech = 'PJSIP'\nwho = '{ext}'", "pbx/devstate/PJSIP/alice", "alice: call on"),
        ("tech = 'PJSIP'\nwho = '{ext}'", "pbx/devstate/SIP/alice", "nothing"),
        ("base = 'site/{tree}'\nwho = '{ext}'", "site/a/devstate/SIP/bob", "bob: call on"),
        ("signal = 'meeting'\nwho = '{ext}'", "pbx/devstate/SIP/bob", "bob: meeting on"),
    ] {
        let config = config(&format!("[[preset]]\nuse = 'ami2mqtt'\n{who}")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(told(&config.plan, topic, "INUSE", false), wanted, "{who}");
    }
}

#[test]
fn what_is_chosen_is_not_looked_at_again() {
    // A topic may hold what looks like a placeholder; it is none.
    let rules = rules("[[preset]]\nuse = 'ami2mqtt'\nbase = '$x'\ntech = '\"]$'");
    assert_eq!(rules[0].pattern.as_str(), "$x/devstate/\"]$/{ext}");
}

#[test]
fn keys_of_a_rule_go_to_the_main_signal_or_to_all() {
    let usage = "[[preset]]\nuse = 'ami2mqtt'\nringing = 'ringing'\n";
    let plain = rules(usage);
    let changed =
        rules(&format!("{usage}ttl = '1h'\nhold = '20s'\ndelay = '2s'\nretained = 'ignore'\nsource = 'mqtt'"));
    let [call, ringing] = [&changed[0], &changed[1]];
    let times = (call.ttl, call.hold, call.delay, call.accept_retained);
    assert_eq!(times, (Duration::from_secs(3600), Duration::from_secs(20), Duration::from_secs(2), false));
    assert_eq!((ringing.ttl, ringing.hold), (plain[1].ttl, plain[1].hold), "ringing lasts as it did");
    assert!(ringing.accept_retained);
    assert!(call.source.is_some() && ringing.source.is_some() && plain[0].source.is_none());
    assert_eq!([&*call.name, &*ringing.name], ["ami2mqtt: call", "ami2mqtt: ringing"]);
}

#[test]
fn one_preset_serves_twice_and_beside_rules() {
    let usage = "[[rule]]\ntopic = 'x'\nsubject = '=bob'\nsignal = 'call'\non = 1\noff = 0\n
        [[preset]]\nuse = 'yealink2mqtt'\nbase = 'a'\nwho = 'alice'\n[[preset]]\nuse = 'yealink2mqtt'\nbase = 'b'\nwho = 'bob'";
    let config = config(usage).unwrap();
    assert_eq!(told(&config.plan, "a/action/off_hook", "", false), "alice: call on");
    assert_eq!(told(&config.plan, "b/action/off_hook", "", false), "bob: call on");
    assert_eq!(told(&config.plan, "x", "1", false), "bob: call on");
    let ranges: Vec<_> = config.presets.iter().map(|used| used.rules.clone()).collect();
    assert_eq!(ranges, [1..3, 3..5], "after the rules of the file");
}

#[test]
fn names_that_cannot_be_known_yet_are_no_mistake() {
    let usage = "[[preset]]\nuse = 'yealink2mqtt'\nwho = 'Carol'\n";
    assert_eq!(problems(usage).len(), 1);
    let waiting = "[people]\nresolve_names = true\n";
    let text = format!("{SITE}{waiting}{usage}").replace("\n[signals]", "\ncarol = 'carol@example.com'\n[signals]");
    let parse = |text: &str| presence_bridge::config::Config::parse_trusting(text, "t", std::path::Path::new("."));
    parse(&text).unwrap_or_else(|problems| panic!("looked up later: {problems}"));
    let file = format!("{SITE}[people]\nfile = 'people.csv'\n{usage}");
    parse(&file).unwrap_or_else(|problems| panic!("in a file that was not read: {problems}"));
    let device = format!("{usage}[devices]\n'CAROL' = 'bob'");
    assert_eq!(problems(&device), Vec::<String>::new(), "letter case aside");
}

#[test]
fn nonsense_in_any_key_of_any_preset_is_told_of_that_key() {
    let nonsense = [
        "5",
        "-1.5",
        "true",
        "[]",
        "[1, 'x', []]",
        "{}",
        "{ from = 1 }",
        "''",
        "'='",
        "'/'",
        "'//'",
        "'#'",
        "'+/#'",
        "'{'",
        "'}'",
        "'{x}{y}'",
        "'{x...}'",
        "'${who}'",
        "'${'",
        "\"\\u0000\"",
        "1979-05-27",
        "'teams/status'",
        "inf",
    ];
    let (mut tried, mut wrong) = (0, 0);
    for preset in presence_bridge::config::presets::all() {
        let all = ["ttl", "delay", "hold", "retained", "source", "time_zone", "echo"];
        let all = all.into_iter().filter(|_| ["ami2mqtt", "owntracks"].contains(&preset.name)); // they are the same for all
        let keys = preset.parameters.iter().map(|parameter| parameter.name).chain(all);
        for key in keys {
            let others = preset.parameters.iter().filter(|parameter| parameter.required() && parameter.name != key);
            let others: String = others.map(|other| format!("{} = 'alice'\n", other.name)).collect();
            for value in nonsense {
                let usage = format!("[[preset]]\nuse = '{}'\n{others}\n{key} = {value}\n", preset.name);
                let line = usage.lines().count();
                let found = problems(&usage);
                tried += 1;
                wrong += usize::from(!found.is_empty());
                for problem in found {
                    let who =
                        problem.starts_with("1: preset 1.who = : missing; what stands in ") && problem.contains(key);
                    let here = who || problem.starts_with(&format!("{line}: preset 1.{key} = "));
                    assert!(here, "{usage}\n{problem}");
                }
            }
        }
    }
    println!("presets: {wrong} of {tried} odd values refused, each at its key");
    assert!(wrong > tried / 2);
}
