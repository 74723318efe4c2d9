//! Where two readers of one payload would disagree, and where numbers are more than doubles hold: as properties.

use presence_bridge::presence::rule::Regex;
use presence_bridge::presence::topic::{Pattern, minimal_filters};
use presence_bridge::presence::{Plan, Reason, SourceId};
use proptest::prelude::*;

use super::language::plan;
use super::messages::{rig, said};

fn json_rule(more: &str) -> Plan {
    plan(&format!("[[rule]]\ntopic = 'j'\nformat = 'json'\nsubject = '=alice'\nsignal = 'call'\n{more}\n"))
}

/// Whether a rule that turns on at `word` does so at the value of this JSON text.
fn turns_on(word: &str, json: &str) -> bool {
    let plan = json_rule(&format!("value = '/v'\non = {word}"));
    said(&plan, "j", format!("{{\"v\":{json}}}").as_bytes(), false) == ["call on"]
}

#[test]
fn numbers_beyond_two_to_the_53rd_are_their_digits() {
    let one = 9_007_199_254_740_992_u64; // 2^53: the next one is no double
    assert!(turns_on(&one.to_string(), &one.to_string()));
    assert!(!turns_on(&one.to_string(), &(one + 1).to_string()));
    assert!(!turns_on(&(one + 1).to_string(), &one.to_string()));
    assert!(turns_on("'1234567'", "1234567.0"));
    for (word, json) in [("0", "-0"), ("0", "0.0"), ("1", "1e0"), ("-1", "-1.0"), ("'100'", "1e2")] {
        assert!(turns_on(word, json), "{json} is {word}");
    }
    for json in ["1e999", "-1e999", "NaN", "01", "+1", ".1", "1.", "0x1", "1_0", "18446744073709551617"] {
        assert!(!turns_on("['inf', 'nan', '1', '-inf', '1e999', '18446744073709551616']", json), "{json}");
    }
}

/// What tells one event from the next, or one person from another, must not be rounded.
#[test]
fn an_id_whose_digits_are_lost_is_nobodys() {
    let rules = "[devices]\n'18446744073709552000' = 'alice'\n'1.8446744073709552e19' = 'alice'\n";
    let rule = "[[rule]]\ntopic = 'j'\nformat = 'json'\nsubject = '/id'\nsignal = 'call'\non = { exists = true }\nvalue = '/id'\n";
    let text = crate::support::rig::PEOPLE.replace("[devices]\n", rules);
    let read =
        |text: &str| presence_bridge::config::Config::parse_trusting(text, "t", std::path::Path::new(".")).unwrap();
    let mut rig = rig(read(&format!("{text}\n{rule}")).plan);
    for id in ["18446744073709551616", "18446744073709551617", "18446744073709552000", "1.8446744073709552e19"] {
        assert_eq!(rig.publish("j", &format!("{{\"id\":{id}}}")), Err(Reason::Missing), "{id}");
    }
    rig.publish("j", "{\"id\":\"18446744073709552000\"}").unwrap();
    let press = json_rule("value = '/e'\ntoggle = 'S'\ndedupe = '/n'\nttl = '1h'");
    let mut rig = super::messages::rig(press);
    rig.publish("j", r#"{"e":"S","n":100000000000000000001}"#).unwrap();
    rig.drive(5);
    rig.publish("j", r#"{"e":"S","n":100000000000000000002}"#).unwrap(); // another press, not the same again
    rig.sees_wanted("alice", None);
}

#[test]
fn texts_around_a_word_are_the_word_and_texts_within_are_not() {
    for json in [r#""INUSE""#, r#""INUSE ""#, r#"" INUSE\n""#, r#""\u0049NUSE""#, r#""inuse""#] {
        assert!(turns_on("'INUSE'", json), "{json}");
    }
    for json in
        [r#""IN USE""#, r#""INUSE\u0000""#, r#""\ufeffINUSE""#, r#""INUSE\ud800""#, r#""\udc00INUSE""#, r#"["INUSE"]"#]
    {
        assert!(!turns_on("'INUSE'", json), "{json}");
    }
}

/// A way down into JSON: arrays and objects around what is at its end.
fn nested(way: &[bool], inner: &str) -> String {
    way.iter().rev().fold(inner.to_owned(), |inner, array| match array {
        true => format!("[0,{inner},null]"),
        false => format!("{{\"a\":1,\"b\":{inner},\"c\":[]}}"),
    })
}

/// Small objects and large ones are looked through in two ways.
#[test]
fn a_key_twice_is_refused_wherever_the_two_stand() {
    for count in [1, 2, 15, 16, 17, 18, 40] {
        let fields: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
        assert!(judged(&fields.join(",")).is_ok(), "{count} keys");
        for (first, place) in (0..count).flat_map(|first| (0..=count).map(move |place| (first, place))) {
            let mut twice = fields.clone();
            twice.insert(place, format!("\"k{first}\":0"));
            assert_eq!(judged(&twice.join(",")), Err(Reason::DuplicateKey), "k{first} again at {place} of {count}");
        }
    }
}

fn judged(fields: &str) -> Result<(), Reason> {
    thread_local!(static PLAN: Plan = json_rule("value = '/k0'\non = 0"));
    let mut found = Err(Reason::NoRule);
    let payload = format!("{{{fields}}}");
    PLAN.with(|plan| {
        plan.rules.evaluate(SourceId(0), "j", payload.as_bytes(), &mut |_, effect| found = effect.map(|_| ()))
    });
    found
}

proptest! {
    #[test]
    fn different_whole_numbers_are_different(a in any::<i64>(), near in -3i64..=3, word in any::<bool>()) {
        let b = a.saturating_add(near);
        let word = if word { format!("'{a}'") } else { a.to_string() };
        prop_assert_eq!(turns_on(&word, &b.to_string()), a == b, "{} and {}", word, b);
    }

    #[test]
    fn a_key_twice_is_refused_at_any_depth(way in proptest::collection::vec(any::<bool>(), 0..29), key in "\\PC{0,5}", escaped in any::<bool>()) {
        let first = serde_json::to_string(&key).unwrap();
        let units: String = key.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let second = if escaped { format!("\"{units}\"") } else { first.clone() };
        let plan = json_rule("value = '/v'\non = 'on'");
        let payload = format!("{{\"v\":\"on\",\"x\":{}}}", nested(&way, &format!("{{{first}:1,\"other\":2,{second}:1}}")));
        let mut reasons = Vec::new();
        plan.rules.evaluate(SourceId(0), "j", payload.as_bytes(), &mut |_, effect| reasons.push(effect.map(|_| ())));
        prop_assert_eq!(reasons, [Err(if key == "other" || way.len() < 30 { Reason::DuplicateKey } else { Reason::TooDeep })]);
        let once = payload.replacen(&format!(",{second}:1"), "", 1);
        prop_assert!(key == "other" || said(&plan, "j", once.as_bytes(), false) == ["call on"], "{}", once);
    }

    #[test]
    fn a_lone_surrogate_is_no_text(high in 0xd800u32..0xdc00, low in 0xdc00u32..0xe000, at in 0usize..3) {
        let json = [format!("\\u{high:x}"), format!("\\u{low:x}"), format!("\\u{low:x}\\u{high:x}")];
        let plan = json_rule("value = '/v'\non = 'on'");
        let mut rig = rig(plan);
        let lone = format!("{{\"v\":\"on\",\"x\":\"{}\"}}", json[at]);
        prop_assert_eq!(rig.publish("j", &lone), Err(Reason::BadJson));
        rig.publish("j", &format!("{{\"v\":\"on\",\"x\":\"\\u{high:x}\\u{low:x}\"}}")).unwrap();
    }

    #[test]
    fn topics_that_are_none_set_nobody(front in "[a-z/]{0,8}", odd in prop_oneof![Just("\0"), Just("+"), Just("#")], back in "[a-z/]{0,8}") {
        let mut rig = rig(plan("[[rule]]\ntopic = '#'\necho = 'allow'\nsubject = '=alice'\nsignal = 'call'\non = 'on'\n"));
        let topic = format!("{front}{odd}{back}");
        prop_assert_eq!(rig.publish(&topic, "on"), Err(Reason::BadTopic));
        rig.sees_wanted("alice", None);
    }

    #[test]
    fn filters_are_covered_as_when_each_is_compared_with_each(filters in proptest::collection::vec("(\\$?[ab]|[+])(/[ab+]){0,3}(/#)?|#", 0..12)) {
        let mut plain = filters.clone();
        plain.sort();
        plain.dedup();
        let all = plain.clone();
        plain.retain(|filter| !all.iter().any(|other| other != filter && covers(other, filter)));
        prop_assert_eq!(minimal_filters(filters), plain);
    }
}

/// Whether everything that `inner` matches is matched by `outer`, level by level.
fn covers(outer: &str, inner: &str) -> bool {
    if inner.starts_with('$') && outer.starts_with(['+', '#']) {
        return false;
    }
    let (mut outer, mut inner) = (outer.split('/'), inner.split('/'));
    loop {
        match (outer.next(), inner.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[test]
fn the_longest_topics_are_looked_at_like_others() {
    let mut rig = rig(plan(
        "[[rule]]\ntopic = 'a/{x}'\nsubject = '=alice'\nsignal = 'call'\non = 'on'\n[[rule]]\ntopic = 'b/{x...}'\nsubject = '=alice'\nsignal = 'meeting'\non = 'on'\n",
    ));
    rig.publish(&format!("a/{}", "x".repeat(65_533)), "on").unwrap();
    rig.publish(&format!("b/{}", "ü".repeat(32_766)), "on").unwrap();
    for topic in [
        "/".repeat(65_535),
        format!("b{}", "/".repeat(65_534)),
        format!("b{}", "/x".repeat(32_767)),
        "$".repeat(65_535),
    ] {
        assert_eq!(rig.publish(&topic, "on"), Err(Reason::NoRule), "{topic:.8}…");
    }
}

/// Thousands of levels in one pattern took the stack of whoever asked the index.
#[test]
fn a_pattern_of_very_many_levels_is_refused() {
    for levels in [65, 30_000] {
        let error = Pattern::parse(&vec!["+"; levels].join("/")).unwrap_err().to_string();
        assert!(error.contains("at most 64 levels"), "{error}");
    }
    let levels = vec!["+"; 64].join("/");
    assert!(Pattern::parse(&levels).unwrap().captures(&vec!["a"; 64].join("/")).is_some());
}

/// In the payload's length, whatever the expression: the largest that are allowed, over the largest payload.
#[test]
fn expressions_that_others_choke_on_are_refused_or_linear() {
    let evil = [
        "(a*)*(?<v>b)",
        "(a|aa)+(?<v>b)$",
        "(?<v>(a|b|ab)*c)",
        "(?<v>(.*)*x)",
        "(?<v>(.{0,40}a){0,9}z)",
        "(?<v>a?{300}a{300}z)",
    ];
    let text = "ab".repeat(16_000);
    for expression in evil {
        if let Err(refusal) = Regex::parse(expression) {
            println!("{expression}: {refusal}");
            continue;
        }
        let rule = format!(
            "[[rule]]\ntopic = 'x'\nformat = 'match'\npattern = '{expression}'\nsubject = '=alice'\nsignal = 'call'\nvalue = 'v'\non = 'never'\n"
        );
        let plan = plan(&rule);
        let whole = super::hostile::took(|| {
            assert!(said(&plan, "x", [&text[..], &text[..]].concat().as_bytes(), false).is_empty())
        });
        println!("{expression}: {whole:?} for 64,000 bytes");
        assert!(whole.as_secs() < 10, "{expression}: {whole:?}");
    }
}
