//! A repeat is noted in the memory of its topic, and its share asks there later. Nobody may see that: a core that is made
//! to forget the short cut before every event must say, do and save the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use presence_bridge::presence::rule::{Place, Rule, Template, Words};
use presence_bridge::presence::topic::Pattern;
use presence_bridge::presence::{
    Action, Core, Link, Mono, Now, ObjectId, Outcome, PersonPlan, Plan, Policy, Presence, Publish, Restart, Rules,
    Signal, SourceId, TenantId, Timestamp,
};

const SEEDS: u64 = 20;
const STEPS: usize = 400;

/// Topics that share a device, that two rules take, that lead to several people, and the door.
const MESSAGES: [(&str, &str); 20] = [
    ("phone/alice/desk", "on"),
    ("phone/alice/desk", "off"),
    ("phone/alice/desk", "unknown"),
    ("phone/bob/desk", "on"),
    ("phone/bob/desk", "off"),
    ("hook/alice/on", "on"),
    ("hook/alice/off", "off"),
    ("both/alice", "on"),
    ("both/alice", "off"),
    ("room/bob", "on"),
    ("room/bob", "off"),
    ("anybody/hall", "alice"),
    ("anybody/hall", "bob"),
    ("anybody/hall", "nobody"),
    ("presence-bridge/in/alice/call", "on"),
    ("presence-bridge/in/alice/call", "off"),
    ("presence-bridge/in/alice/call", r#"{"on": true, "for": "90s"}"#),
    ("presence-bridge/in/alice/call", r#"{"on": true, "until": "2026-11-24T09:20:00Z"}"#),
    ("presence-bridge/in/alice/call", r#"{"until": "2026-11-24T09:40:00Z"}"#),
    ("presence-bridge/in/bob/meeting", "on"),
];

fn rule(topic: &str, signal: &str, device: Option<&str>, ttl: u64) -> Rule {
    let pattern = Pattern::parse(topic).unwrap();
    let subject = pattern
        .names()
        .next()
        .map_or(Place::Payload, |name| Place::Topic(Template::parse(&format!("{{{name}}}"), &pattern).unwrap()));
    Rule {
        on: Words::new(["on", "alice", "bob"]),
        off: Words::new(["off"]),
        unknown: Words::new(["unknown"]),
        device: device.map(|device| Template::parse(device, &pattern).unwrap()),
        ttl: Duration::from_secs(ttl),
        delay: Duration::from_secs(if signal == "meeting" { 20 } else { 0 }),
        hold: Duration::from_secs(if signal == "meeting" { 30 } else { 0 }),
        ..Rule::new(pattern, subject, signal)
    }
}

fn plan() -> Arc<Plan> {
    let signals = [("call", Presence::InACall), ("meeting", Presence::InAConferenceCall)];
    let people = ["alice", "bob"];
    let rules = vec![
        rule("phone/{who}/desk", "call", None, 60),
        rule("hook/{who}/on", "call", Some("{who}"), 90),
        rule("hook/{who}/off", "call", Some("{who}"), 45),
        rule("both/{who}", "call", None, 60),
        rule("both/{who}", "meeting", None, 120),
        rule("room/{who}", "meeting", None, 7_200),
        rule("anybody/hall", "meeting", None, 120),
        rule("flood/{who}/{n}", "meeting", Some("{who}"), 120),
    ];
    let names = signals.iter().map(|(name, _)| (*name).into()).collect();
    let subjects = people.iter().zip(0..).map(|(name, at)| ((*name).to_owned(), at));
    let who = |(label, n): (&&str, u32)| PersonPlan {
        tenant: TenantId(0),
        object_id: format!("11111111-1111-4111-8111-{n:012x}").parse().unwrap(),
        label: (*label).into(),
    };
    Arc::new(Plan {
        tenants: vec![ObjectId::default()],
        rules: Rules::new(rules, subjects, names, Some("presence-bridge")),
        people: people.iter().zip(0..).map(who).collect(),
        signals: signals.map(|(name, pair)| Signal { name: name.into(), presence: Some(pair) }).into(),
        policy: Policy { blind_hold: Duration::from_secs(100), ..Policy::default() },
    })
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// What happens to both cores.
#[derive(Clone, Copy, Debug)]
enum Event {
    Message { topic: &'static str, payload: &'static str, retain: bool },
    Link(Link),
    Nothing,
}

/// Mostly what was just said, said again.
fn event(dice: &mut Dice, story: &[Event], now: Now) -> Event {
    let up = |dice: &mut Dice| Link::Up { session_present: dice.below(2) == 0, expiry: Duration::from_secs(60) };
    if let Some(Event::Link(Link::Down)) = story.last() {
        return Event::Link(up(dice));
    }
    match dice.below(100) {
        0 => Event::Link(Link::Down),
        1..=2 => Event::Link(up(dice)),
        3..=5 => Event::Link(Link::Replayed),
        6 => Event::Link(Link::Deaf { since: now.mono - Duration::from_secs(dice.below(40)) }),
        7..=15 => Event::Nothing,
        16..=75 if story.len() > 4 => match story[story.len() - 1 - usize::try_from(dice.below(4)).unwrap()] {
            Event::Message { topic, payload, .. } => Event::Message { topic, payload, retain: dice.below(3) == 0 },
            other => other,
        },
        _ => {
            let (topic, payload) = dice.of(&MESSAGES);
            Event::Message { topic, payload, retain: dice.below(3) == 0 }
        }
    }
}

/// Everything that can be seen of a core after an event.
fn step(core: &mut Core, now: Now, event: Event, outcome: Outcome) -> String {
    let mut seen = match event {
        Event::Message { topic, payload, retain } => {
            let publish = Publish { topic: topic.as_bytes(), payload: payload.as_bytes(), retain, expiry: None };
            format!("{:?}\n", core.handle_publish(now, SourceId(0), &publish))
        }
        Event::Link(link) => {
            core.handle_link(now, SourceId(0), link);
            String::new()
        }
        Event::Nothing => String::new(),
    };
    core.handle_timeout(now);
    let mut changed = BTreeSet::new(); // two people's timers at one instant go off in any order
    while let Some(action) = core.poll_action() {
        if let Action::Changed { person } = action {
            changed.insert(person);
            continue;
        }
        seen += &format!("{action:?}\n");
        if let Action::SetPresence { ticket, .. } | Action::ClearPresence { ticket, .. } = action {
            core.handle_outcome(now, ticket, outcome);
        }
    }
    seen += &format!("changed: {changed:?}\n");
    for id in core.people() {
        let view = core.view(id);
        let shares: Vec<_> = view.shares().collect();
        seen += &format!("{:?} {:?} {:?} {shares:?}\n", view.wanted(), view.standing(), view.held());
    }
    seen + &serde_json::to_string_pretty(&core.snapshot(now)).unwrap()
}

#[test]
fn nobody_sees_that_repeats_take_a_short_cut() {
    let mut renewed = 0;
    for seed in 0..SEEDS {
        let plan = plan();
        let mut dice = Dice(seed);
        let mut now = Now { mono: Mono::from_millis(1_000_000), wall: Timestamp::from_millis(1_795_510_800_000) };
        let [mut quick, mut plain] = std::array::from_fn(|_| Core::new(now, Arc::clone(&plan)));
        let mut story = Vec::new();
        for at in 0..STEPS {
            let span = Duration::from_millis(dice.of(&[0, 1, 1_000, 4_000, 9_000, 9_000, 30_000, 130_000]));
            now = Now { mono: now.mono + span, wall: now.wall + span };
            if dice.below(60) == 0 {
                now.wall = Timestamp::from_millis(now.wall.as_millis() - 100_000);
            }
            if dice.below(100) == 0 {
                for core in [&mut quick, &mut plain] {
                    let restart = Restart { same_boot: dice.0.is_multiple_of(2), clean: true };
                    *core = Core::restore(now, Arc::clone(&plan), core.snapshot(now), restart);
                }
            }
            story.push(event(&mut dice, &story, now));
            let outcome = dice.of(&[Outcome::Accepted, Outcome::Accepted, Outcome::Ambiguous]);
            for core in [&mut quick, &mut plain] {
                core.handle_timeout(now);
            }
            plain.handle_config(now, Arc::clone(&plan)); // nothing changes, but no short cut outlives it
            let [seen, expected] = [&mut quick, &mut plain].map(|core| step(core, now, story[at], outcome));
            let recent = &story[story.len().saturating_sub(12)..];
            assert_eq!(seen, expected, "seed {seed}, step {at}, {now:?}, after\n{recent:#?}");
            renewed += usize::from(seen.contains("Ok(Renewed)"));
        }
    }
    assert!(renewed > 1_000, "only {renewed} renewals: this says nothing");
}

/// More topics than are remembered: what was noted for the forgotten ones is not lost.
#[test]
fn what_a_full_memory_forgets_is_written_down() {
    let mut now = Now { mono: Mono::from_millis(1_000_000), wall: Timestamp::from_millis(1_795_510_800_000) };
    let mut core = Core::new(now, plan());
    let say = |core: &mut Core, now: Now, topic: &str| {
        let publish = Publish { topic: topic.as_bytes(), payload: b"on", retain: false, expiry: None };
        core.handle_publish(now, SourceId(0), &publish);
        while core.poll_action().is_some() {}
    };
    say(&mut core, now, "phone/alice/desk"); // for a minute
    now.mono = now.mono + Duration::from_secs(50);
    say(&mut core, now, "phone/alice/desk");
    now.mono = now.mono + Duration::from_secs(1);
    for n in 0..=200_000 {
        say(&mut core, now, &format!("flood/bob/{n}"));
    }
    assert!(core.snapshot(now).topics.len() < 200_000, "nothing was forgotten");
    now.mono = now.mono + Duration::from_secs(50);
    core.handle_timeout(now);
    let alice = core.people().next().unwrap();
    assert_eq!(core.view(alice).wanted(), Some(Presence::InACall));
}
