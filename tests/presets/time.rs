//! What presets show over time, of the same recordings as the rules that somebody wrote by hand (tests/fixtures/rules).

use super::config;
use crate::rules::messages::{play, rig};

const OFFICE: &str = r#"
[[preset]]
use = "yealink2mqtt"
who = "alice"
ringing = "ringing"
[[preset]]
use = "ami2mqtt"
[[preset]]
use = "home-assistant-calendar"
[[preset]]
use = "hass-agent"
[[preset]]
use = "teams-for-linux"
who = "alice"
[[preset]]
use = "shelly1-button"
[devices]
"1001" = "alice"
"PC-ALICE" = "alice"
"shelly1-483FDA91BCEF" = "alice"
"#;

#[test]
fn sequences_of_real_devices_show_what_they_should() {
    play(|| config(OFFICE).unwrap_or_else(|problems| panic!("{problems}")).plan);
}

#[test]
fn a_phone_that_rings_shows_nothing_and_a_call_that_nobody_ends_lapses() {
    let mut rig = rig(config(OFFICE).unwrap().plan);
    rig.publish("yealink/action/incoming_call", "{}").ok(); // other rules of the phone leave it alone
    rig.drive(5);
    rig.sees("alice", "Offline/Offline");
    rig.publish("yealink/action/off_hook", "{}").ok();
    rig.drive(5);
    rig.sees("alice", "Busy/InACall");
    rig.drive(3 * 3600);
    rig.sees("alice", "Busy/InACall");
    rig.drive(3600 + 360);
    rig.sees("alice", "Offline/Offline");
}
