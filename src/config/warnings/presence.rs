//! Pairs that do not do what people expect of them.

use super::super::reader::{At, Section};
use super::{AVAILABLE_MASKS, AWAY_IS_WEAK, Read};
use crate::presence::{Habits, Presence, forecast};

const WEAK: &str = "shows Away, the weakest presence: while a Teams client of the person says Available, Busy or DoNotDisturb, \
                    colleagues see that (Graph: DoNotDisturb > Busy > Available > Away)";
const MASKS: &str = "shows Available: Graph lets it fade to Away after five minutes, whatever its expirationDuration (it \"times \
                     out\"), so the bridge sets it again every three minutes; and it hides a real Away of the person's own clients";

pub(super) fn find(root: &Section<'_, '_>, read: &Read<'_>) {
    if let Some(signals) = root.table("signals") {
        for (_, value) in signals.each() {
            match signals.as_text(&value).and_then(|text| text.value.parse().ok()) {
                Some(Presence::Available) => masks(&signals, &value, read),
                Some(Presence::Away) => {
                    let hint =
                        "expect it to show only while the person is signed in nowhere, or their clients are away too";
                    signals.warn(AWAY_IS_WEAK, &value, WEAK, hint);
                }
                _ => {}
            }
        }
    }
    if read.plan.policy.when_free == Some(Presence::Available)
        && let Some(section) = root.table("presence")
        && let Some(at) = section.find("when_free")
    {
        masks(&section, &at, read);
    }
}

/// What it costs is worked out for the habits that `check` takes to be usual.
fn masks<T>(section: &Section<'_, '_>, at: &At<T>, read: &Read<'_>) {
    let people = read.plan.people.len();
    let mut policy = read.plan.policy.clone();
    policy.when_free = Some(Presence::Available);
    let with = forecast(people, Habits::default(), &policy);
    policy.when_free = None;
    let without = forecast(people, Habits::default(), &policy);
    let text = format!(
        "{MASKS}. For the {people} people listed, {:.2} calls/s instead of {:.2}; these settings then carry {} people instead of {}",
        with.calls, without.calls, with.largest, without.largest
    );
    let hint = "to leave free people to their own Teams clients, let nothing show Available: when nothing is on, the bridge \
                clears its session";
    section.warn(AVAILABLE_MASKS, at, text, hint);
}
