//! What the core works to, without a configuration file: so that its tests build with the pure core alone.

use std::time::Duration;

use presence_bridge::presence::rule::{Place, Rule, Template, Words};
use presence_bridge::presence::topic::Pattern;
use presence_bridge::presence::{ObjectId, PersonPlan, Plan, Policy, Presence, Rules, Signal, TenantId};

/// `p0`, `p1`, … with one signal, `call`, that is said through the door.
pub fn office(people: usize, policy: Policy) -> Plan {
    let labels = (0..people).map(|n| (format!("p{n}"), n));
    let who = |(label, n): (String, usize)| person(&label, &format!("11111111-1111-4111-8111-{n:012x}"));
    Plan {
        tenants: vec![ObjectId::default()],
        people: labels.clone().map(who).collect(),
        signals: vec![Signal { name: "call".into(), presence: Some(Presence::InACall) }],
        rules: Rules::new(Vec::new(), labels, vec!["call".into()], Some("presence-bridge")),
        policy,
    }
}

/// Five people, three phones, and one rule of each kind: what [`super::rig::PEOPLE`] and [`super::rig::RULES`] say.
pub fn desks(policy: Policy) -> Plan {
    desks_changed(policy, |_, _| ())
}

/// The same after an edit of its rules and of the table of devices.
pub fn desks_changed(policy: Policy, edit: impl FnOnce(&mut Vec<Rule>, &mut Vec<(String, usize)>)) -> Plan {
    let labels = ["alice", "bob", "carol", "dave", "erin"];
    let id = |n: usize| format!("{0}-{1}-4{2}-8{2}-{3}", d(n, 8), d(n, 4), d(n, 3), d(n, 12));
    let signals = [
        ("call", Some(Presence::InACall)),
        ("meeting", Some(Presence::InAConferenceCall)),
        ("desk", Some(Presence::Available)),
        ("ringing", None),
    ];
    let subjects = labels.into_iter().chain(["1001", "1002", "1003"]).map(str::to_owned).zip([0, 1, 2, 3, 4, 0, 1, 2]);
    let names = signals.map(|(name, _)| name.into()).into();
    let (mut rules, mut subjects) = (rules(), subjects.collect());
    edit(&mut rules, &mut subjects);
    Plan {
        tenants: vec!["aaaaaaaa-0000-4000-8000-000000000001".parse().unwrap()],
        people: labels.into_iter().zip(1..).map(|(label, n)| person(label, &id(n))).collect(),
        signals: signals.map(|(name, presence)| Signal { name: name.into(), presence }).into(),
        rules: Rules::new(rules, subjects, names, Some("presence-bridge")),
        policy,
    }
}

/// The digit `n`, so many times.
fn d(n: usize, times: usize) -> String {
    n.to_string().repeat(times)
}

fn person(label: &str, object_id: &str) -> PersonPlan {
    PersonPlan { tenant: TenantId(0), object_id: object_id.parse().unwrap(), label: label.into() }
}

fn rules() -> Vec<Rule> {
    const HOUR: Duration = Duration::from_secs(3600);
    vec![
        Rule {
            on: Words::new(["INUSE", "BUSY"]),
            off: Words::new(["NOT_INUSE"]),
            unknown: Words::new(["UNAVAILABLE"]),
            ttl: 8 * HOUR,
            ..rule("pbx/devstate/PJSIP/{ext}", "{ext}", "call")
        },
        Rule {
            value: Place::Topic(template("{event}", "yealink/action/{event}")),
            on: Words::new(["off_hook"]),
            off: Words::new(["on_hook"]),
            accept_retained: false,
            ttl: 4 * HOUR,
            ..rule("yealink/action/{event}", "=1001", "call")
        },
        rule("ha/{who}/state", "{who}", "meeting"),
        Rule { ttl: 48 * HOUR, ..rule("desk/{who}", "{who}", "desk") },
        Rule { delay: Duration::from_secs(5), hold: Duration::from_secs(30), ..rule("cam/{who}", "{who}", "meeting") },
        Rule { ttl: HOUR / 12, ..rule("ring/{who}", "{who}", "call") },
    ]
}

fn rule(topic: &str, subject: &str, signal: &str) -> Rule {
    let subject = subject.strip_prefix('=').map_or_else(|| template(subject, topic), Template::constant);
    Rule {
        on: Words::new(["on"]),
        off: Words::new(["off"]),
        ..Rule::new(Pattern::parse(topic).unwrap(), Place::Topic(subject), signal)
    }
}

fn template(text: &str, topic: &str) -> Template {
    Template::parse(text, &Pattern::parse(topic).unwrap()).unwrap()
}

#[cfg(feature = "sandbox")]
#[test]
fn the_desks_of_stories_are_what_their_configuration_says() {
    use presence_bridge::presence::RuleId;

    let (told, read) = (desks(Policy::default()), super::rig::config("").plan);
    assert_eq!((&told.tenants, &told.people, &told.signals), (&read.tenants, &read.people, &read.signals));
    assert_eq!(told.policy, read.policy);
    for id in (0..).map(RuleId).take_while(|id| told.rules.get(*id).or(read.rules.get(*id)).is_some()) {
        let named =
            told.rules.get(id).map(|rule| Rule { name: read.rules.get(id).unwrap().name.clone(), ..rule.clone() });
        assert_eq!(named.as_ref(), read.rules.get(id));
    }
    for subject in ["alice", "erin", "1001", "1003"] {
        assert_eq!(told.rules.resolve(subject), read.rules.resolve(subject), "{subject}");
    }
}
