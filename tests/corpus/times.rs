//! Times as devices write them. An input is text: the name of a zone on the first line, a time, a duration or a number
//! after it. It is read as a payload of JSON, as a text in JSON, and as one side of a regular expression.

use std::time::Duration;

use presence_bridge::presence::rule::{Format, LONGEST_TTL, Place, Regex, Rule, Rules, Template, Words, Zone};
use presence_bridge::presence::topic::Pattern;
use presence_bridge::presence::{Reason, SourceId, Timestamp};

/// An `until` and a `ttl`, or why not.
type Read = Result<(Option<Timestamp>, Duration), Reason>;

fn rule(zone: &Zone, topic: &str) -> Rule {
    let pattern = Pattern::parse(topic).unwrap();
    let value = Place::Topic(Template::constant("on"));
    let subject = Place::Topic(Template::constant("alice"));
    Rule { value, on: Words::new(["on"]), zone: zone.clone(), ..Rule::new(pattern, subject, "call") }
}

fn field(name: &str) -> Option<Place> {
    Some(Place::Field(name.into()))
}

fn rules(zone: &Zone) -> Rules {
    let json = |topic| Rule { format: Format::Json, ..rule(zone, topic) };
    let until = Rule { until: field("/t"), made: field("/t"), ..json("until") };
    let lasts = Rule { lasts: field("/t"), ..json("lasts") };
    let regex = Regex::parse("^t=(?<t>.*)$").ok();
    let words = Rule { format: Format::Match, regex, until: field("t"), ..rule(zone, "words") };
    Rules::new(vec![until, lasts, words], [("alice".to_owned(), 0)], vec!["call".into()], None)
}

/// The one that the rule of `topic` comes to.
fn read(rules: &Rules, topic: &str, payload: &str) -> Read {
    let mut found = Vec::new();
    rules.evaluate(SourceId(0), topic, payload.as_bytes(), &mut |_, effect| {
        found.push(effect.map(|effect| (effect.until, effect.ttl)));
    });
    let [found] = found.try_into().unwrap_or_else(|found| panic!("{topic} came to {found:?}"));
    if let Ok((until, ttl)) = found {
        assert!((Duration::from_secs(1)..=LONGEST_TTL).contains(&ttl), "{payload}: {ttl:?}");
        let possible = jiff::Timestamp::MIN.as_millisecond()..=jiff::Timestamp::MAX.as_millisecond();
        assert!(until.is_none_or(|until| possible.contains(&until.as_millis())), "{payload}: {until:?}");
    }
    found
}

/// The target.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (name, time) = text.split_once('\n').unwrap_or(("UTC", text));
    let Some(zone) = Zone::named(name) else { return };
    let rules = rules(&zone);
    let quoted = serde_json::json!({ "t": time }).to_string();
    let bare = format!("{{\"t\":{time}}}");
    let inside = serde_json::json!({ "t": { "dateTime": time, "timeZone": name } }).to_string();
    for (topic, payload) in [("until", &bare), ("until", &inside), ("lasts", &quoted), ("lasts", &bare)] {
        assert_eq!(read(&rules, topic, payload), read(&rules, topic, payload), "{payload}");
    }
    let until = read(&rules, "until", &quoted);
    let word = read(&rules, "words", &format!("t={time}"));
    let is_plain = !time.contains(['\u{feff}', '"']);
    if is_plain && !word.is_err_and(|reason| reason == Reason::Guard) {
        assert_eq!(until, word, "{time:?} in JSON and in text");
    }
    // What RFC 3339 says is never another instant than RFC 3339 says.
    if let (Ok(strict), Ok((Some(until), _))) = (time.trim().parse::<jiff::Timestamp>(), until)
        && until.as_millis() != jiff::Timestamp::MAX.as_millisecond()
    {
        let apart = until.as_millis().abs_diff(strict.as_millisecond());
        assert!(apart <= 1, "{time:?} is {strict}, read as {until:?}");
    }
}
