//! What messages may allocate, counted. What they cost in time is in benches/.

use presence_bridge::presence::rule::{Place, Rule, Rules, Template, Words};
use presence_bridge::presence::topic::Pattern;
use presence_bridge::presence::{Publish, SourceId};

use super::language::plan;
use super::messages::rig;

fn rule(topic: &str) -> Rule {
    let pattern = Pattern::parse(topic).unwrap();
    let subject = Place::Topic(Template::parse("{ext}", &pattern).unwrap());
    Rule { on: Words::new(["INUSE"]), ..Rule::new(pattern, subject, "call") }
}

#[test]
fn a_message_for_nobody_allocates_nothing_whatever_the_number_of_patterns() {
    for patterns in [10, 1_000, 10_000] {
        let rules = (0..patterns).map(|n| rule(&format!("site/building{n}/phone/{{ext}}/state"))).collect();
        let rules = Rules::new(rules, [("1001".to_owned(), 0)], vec!["call".into()], Some("presence-bridge"));
        for topic in [
            "site/building7/phone/1001/ringing",
            "site/building7/phone/4711/state", // of a known shape, about nobody who is listed
            "zigbee2mqtt/lamp/set",
            "presence-bridge/out/alice/call",
            "$SYS/broker/uptime",
            "",
        ] {
            let mut effects = 0;
            let counted = allocation_counter::measure(|| {
                rules.evaluate(SourceId(0), topic, b"INUSE", &mut |_, effect| effects += usize::from(effect.is_ok()));
            });
            assert_eq!((counted.count_total, effects), (0, 0), "{topic} among {patterns}");
        }
    }
}

#[test]
fn nor_does_it_in_the_whole_core_and_nor_does_a_repeat() {
    let mut rig =
        rig(plan("[[rule]]\ntopic = 'pbx/{ext}'\nsubject = '{ext}'\nsignal = 'call'\non = 'INUSE'\noff = 'FREE'\n"));
    rig.publish("pbx/1001", "INUSE").unwrap();
    rig.publish("lamp/set", "{}").unwrap_err(); // room for its reason
    for (topic, payload) in [("lamp/set", "{}"), ("pbx/1001", "INUSE"), ("pbx/+", "INUSE")] {
        let publish = Publish { topic: topic.as_bytes(), payload: payload.as_bytes(), retain: false, expiry: None };
        let counted = allocation_counter::measure(|| {
            rig.core.handle_publish(rig.now, SourceId(0), &publish);
        });
        assert_eq!(counted.count_total, 0, "{topic}");
    }
}

/// The counter counts: else the two above could not fail.
#[test]
fn a_change_allocates() {
    let mut rig =
        rig(plan("[[rule]]\ntopic = 'pbx/{ext}'\nsubject = '{ext}'\nsignal = 'call'\non = 'INUSE'\noff = 'FREE'\n"));
    let counted = allocation_counter::measure(|| rig.publish("pbx/1001", "INUSE").unwrap());
    assert!(counted.count_total > 0);
}
