//! Any messages, under the rules of an office with a bit of everything: tests/fixtures/rules/site.toml.
//!
//! An input is a list of messages, each `clock retain topic FS payload`, separated by RS (the ASCII separators 1C and
//! 1E): texts that a fuzzer can cut and join, and that people can read. `clock` is a letter that says how long nothing
//! happens before, `retain` is `R` or anything else.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use presence_bridge::config::Config;
use presence_bridge::presence::board::MAX_SHARES;
use presence_bridge::presence::rule::LONGEST_TTL;
use presence_bridge::presence::{
    Action, Core, Link, Mono, Now, Outcome, Plan, Presence, Publish, Restart, Snapshot, SourceId, Timestamp,
};

/// More messages tell nothing more, and cost time.
const MOST: usize = 200;

fn site() -> Arc<Plan> {
    static SITE: OnceLock<Arc<Plan>> = OnceLock::new();
    let text = include_str!("../fixtures/rules/site.toml");
    let read =
        || Config::parse_trusting(text, "site.toml", Path::new(".")).unwrap_or_else(|problems| panic!("{problems}"));
    Arc::clone(SITE.get_or_init(|| Arc::new(read().plan)))
}

struct World {
    plan: Arc<Plan>,
    core: Core,
    now: Now,
    shown: Vec<Presence>,
}

impl World {
    fn new() -> World {
        let plan = site();
        let now = Now { mono: Mono::from_millis(1_000_000), wall: Timestamp::from_millis(1_795_512_600_000) };
        let mut core = Core::new(now, Arc::clone(&plan));
        core.handle_link(now, SourceId(0), Link::Up { session_present: false, expiry: Duration::from_secs(300) });
        let shown = plan.signals.iter().filter_map(|signal| signal.presence).collect();
        World { plan, core, now, shown }
    }

    /// Every call is accepted at once; each is about somebody listed, and sets a pair that the configuration names.
    fn perform(&mut self) {
        for _ in 0..1_000 {
            let Some(action) = self.core.poll_action() else { return };
            let (ticket, person) = match action {
                Action::SetPresence { ticket, person, presence, expiration, .. } => {
                    assert!(self.shown.contains(&presence), "{presence} is the pair of no signal");
                    assert!((300..=4 * 3_600).contains(&expiration.as_secs()), "{expiration:?}");
                    (ticket, person)
                }
                Action::ClearPresence { ticket, person, .. } => (ticket, person),
                _ => continue,
            };
            assert!(self.core.people().any(|listed| listed == person), "somebody who is not listed is set");
            self.core.handle_outcome(self.now, ticket, Outcome::Accepted);
        }
        panic!("actions without end");
    }

    /// At most a few timers for each span: what is skipped is late, as after a suspend.
    fn pass(&mut self, span: Duration) {
        let end = self.now.mono + span;
        for _ in 0..20 {
            let Some(deadline) = self.core.poll_timeout() else { break };
            let wall = deadline.wall.as_millis().saturating_sub(self.now.wall.as_millis()).max(0);
            let wall = self.now.mono + Duration::from_millis(wall.unsigned_abs());
            let next = deadline.mono.min(wall).max(self.now.mono);
            if next >= end {
                break;
            }
            self.jump(next.since(self.now.mono));
        }
        self.jump(end.since(self.now.mono));
    }

    fn jump(&mut self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).unwrap();
        self.now.mono = self.now.mono + span;
        self.now.wall = Timestamp::from_millis(self.now.wall.as_millis() + millis);
        self.core.handle_timeout(self.now);
        self.perform();
    }

    fn publish(&mut self, topic: &[u8], payload: &[u8], retain: bool) {
        if let Ok(topic) = std::str::from_utf8(topic) {
            self.effects(topic, payload);
        }
        let publish = Publish { topic, payload, retain, expiry: None };
        let _handled = self.core.handle_publish(self.now, SourceId(0), &publish);
        self.perform();
        self.bounds();
    }

    /// Effects are on listed people and signals, lead where their subject leads, and are the same at every look.
    fn effects(&self, topic: &str, payload: &[u8]) {
        let look = || {
            let mut found = Vec::new();
            self.plan.rules.evaluate(SourceId(0), topic, payload, &mut |rule, effect| {
                if let Ok(effect) = &effect {
                    assert!(
                        effect.person < self.plan.people.len()
                            && usize::from(effect.signal.0) < self.plan.signals.len()
                    );
                    assert_eq!(self.plan.rules.resolve(effect.subject), Some(effect.person), "{:?}", effect.subject);
                    assert!(effect.ttl <= LONGEST_TTL && effect.ttl >= Duration::from_secs(1), "{:?}", effect.ttl);
                    assert!(effect.more.windows.unwrap_or_default().iter().all(|window| window.start < window.end));
                }
                found.push(format!("{rule:?} {effect:?}"));
            });
            found
        };
        assert_eq!(look(), look(), "the same message, another meaning");
    }

    fn bounds(&self) {
        for person in self.core.people() {
            let shares = self.core.view(person).shares().count();
            assert!(shares <= MAX_SHARES, "{shares} shares");
        }
    }

    /// What is written down is read again, and the next process wants the same.
    fn restart(&mut self) {
        let json = serde_json::to_string(&self.core.snapshot(self.now)).unwrap();
        let snapshot: Snapshot = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&snapshot).unwrap(), json, "what is written is not what is read");
        let wanted = |core: &Core| core.people().map(|person| core.view(person).wanted()).collect::<Vec<_>>();
        let before = wanted(&self.core);
        let how = Restart { same_boot: true, clean: true };
        self.core = Core::restore(self.now, Arc::clone(&self.plan), snapshot, how);
        self.perform();
        assert_eq!(wanted(&self.core), before, "a restart changes what is wanted");
        self.bounds();
    }
}

fn wait(letter: u8) -> Duration {
    match letter {
        b'm' => Duration::from_secs(60),
        b'h' => Duration::from_secs(3_600),
        b'd' => Duration::from_secs(24 * 3_600),
        b'0'..=b'9' => Duration::from_secs(u64::from(letter - b'0')),
        _ => Duration::ZERO,
    }
}

/// The target.
pub fn run(input: &[u8]) {
    let mut world = World::new();
    for message in input.split(|byte| *byte == 0x1e).take(MOST) {
        let [clock, retain, message @ ..] = message else { continue };
        world.pass(wait(*clock));
        let end = message.iter().position(|byte| *byte == 0x1c).unwrap_or(message.len());
        let payload = message.get(end + 1..).unwrap_or_default();
        world.publish(&message[..end], payload, *retain == b'R');
    }
    world.restart();
    // A known end replaces the lease, and is itself within the same bound; so nobody is on for ever.
    world.pass(LONGEST_TTL + LONGEST_TTL);
    world.pass(Duration::from_secs(60));
    for person in world.core.people() {
        assert_eq!(world.core.view(person).wanted(), None, "nobody is on for ever");
    }
}
