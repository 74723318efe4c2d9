//! The door that needs no rule, compared with a reading of its own. An input is text: name and signal as in a topic on the
//! first line, the payload after it.

use std::time::Duration;

use presence_bridge::presence::rule::LONGEST_TTL;
use presence_bridge::presence::rule::door::Pause;
use presence_bridge::presence::{Reason, Rules, Say, SourceId};

/// What the door documents of payloads that are not JSON.
fn plain(payload: &str) -> Option<Say> {
    match payload.trim_start_matches('\u{feff}').trim().trim_matches('"').to_ascii_lowercase().as_str() {
        "on" | "true" | "1" => Some(Say::On),
        "off" | "false" | "0" => Some(Say::Off),
        "" | "unknown" | "unavailable" => Some(Say::Unknown),
        _ => None,
    }
}

fn spans(span: Option<Duration>) -> bool {
    span.is_none_or(|span| (Duration::from_secs(1)..=LONGEST_TTL).contains(&span))
}

/// The target.
pub fn run(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (Ok(way), payload) = (std::str::from_utf8(&input[..end]), input.get(end + 1..).unwrap_or_default()) else {
        return;
    };
    let people = [("alice".to_owned(), 0), ("Zoë".to_owned(), 1), ("a b".to_owned(), 2)];
    let rules = Rules::new(Vec::new(), people, vec!["call".into(), "meeting".into()], Some("presence-bridge"));
    let topic = format!("presence-bridge/in/{way}");
    let mut said = Vec::new();
    rules.evaluate(SourceId(0), &topic, payload, &mut |_, effect| {
        said.push(effect.map(|effect| {
            assert!(effect.person < 3 && effect.signal.0 < 2 && spans(Some(effect.ttl)), "{effect:?}");
            assert_eq!(rules.resolve(effect.subject), Some(effect.person));
            assert!(!effect.timed || effect.until.is_none(), "two ends contradict each other");
            (effect.person, effect.say)
        }))
    });
    let pause = rules.pause(&topic, payload);
    assert!(said.len() <= 1 && (said.is_empty() || pause.is_none()), "{topic} is for one thing");
    if let Some(Ok(Pause { person, span, until, .. })) = pause {
        assert!(person < 3 && spans(span) && (span.is_none() || until.is_none()), "{pause:?}");
    }
    let is_json =
        std::str::from_utf8(payload).is_ok_and(|text| text.trim_start_matches('\u{feff}').trim().starts_with('{'));
    if let (Some(effect), Ok(payload), false) = (said.first(), std::str::from_utf8(payload), is_json) {
        match (effect, plain(payload)) {
            (Ok((_, say)), plain) => assert_eq!(Some(*say), plain, "{payload:?}"),
            (Err(Reason::OtherValue), plain) => assert_eq!(plain, None, "{payload:?}"),
            (Err(_), _) => {}
        }
    }
}
