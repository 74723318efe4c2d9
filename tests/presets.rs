//! config/presets: each file is what it says, its own messages come to what they mean, and a mistake in the use of one is
//! told of the user's line.

mod files;
mod mistakes;
mod page;
mod program;
mod time;

use std::path::Path;

use presence_bridge::config::{Config, Problems};
use presence_bridge::presence::rule::Fact;
use presence_bridge::presence::{Plan, SourceId};

use crate::rules::messages::{utc, words};

/// A site without rules: what a preset needs around it.
const SITE: &str = r#"
time_zone = "Europe/Berlin"
[graph]
tenant_id = "aaaaaaaa-0000-4000-8000-000000000001"
client_id = "bbbbbbbb-0000-4000-8000-000000000002"
client_secret_file = "unused"
[mqtt]
url = "mqtt://localhost"
[users]
alice = "11111111-1111-4111-8111-111111111111"
bob = "22222222-2222-4222-8222-222222222222"
[signals]
dnd = "DoNotDisturb/Presenting"
call = "Busy/InACall"
camera = "Busy/InAConferenceCall"
meeting = "Busy/InAConferenceCall"
away = "Away/Away"
at_desk = "Available/Available"
in_office = "none"
ringing = "none"
"#;

fn config(usage: &str) -> Result<Config, Problems> {
    Config::parse_trusting(&format!("{SITE}{usage}"), "bridge.toml", Path::new("."))
}

/// What the rules make of a message, with the names of the people: `alice: call on`.
fn told(plan: &Plan, topic: &str, payload: &str, retain: bool) -> String {
    let mut told: Vec<String> = Vec::new();
    plan.rules.evaluate(SourceId(0), topic, payload.as_bytes(), &mut |_, result| {
        let Ok(effect) = result else { return };
        if retain && !effect.accept_retained {
            return;
        }
        let who = &plan.people[effect.person].label;
        told.push(format!("{who}: {}", words(plan, &effect)));
        for window in effect.more.windows.unwrap_or_default() {
            told.push(format!("{} to {}", utc(window.start), utc(window.end)));
        }
    });
    plan.rules.beside(SourceId(0), topic, payload.as_bytes(), &mut |_, _, fact| {
        let word = match fact {
            Ok(Fact::Until(until)) => format!("until {}", until.map_or("nothing".to_owned(), utc)),
            Ok(Fact::Counts(counts)) => (if counts { "counts" } else { "does not count" }).to_owned(),
            Ok(Fact::Down(down)) => (if down { "down" } else { "up" }).to_owned(),
            Err(_) => return,
        };
        if !told.contains(&word) {
            told.push(word);
        }
    });
    if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
}
