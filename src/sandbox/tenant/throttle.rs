//! How Graph counts calls, and what it says when there are too many.

use super::assumptions::{self as known, Refusal};
use super::context::Context;
use super::settings::Settings;
use super::wire::Response;
use super::{Dice, Tenant};

/// The calls of one application.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    presence: Window,
    all: Window,
    /// Until when and for how long the last 429 told it to wait.
    told: Option<(u64, u64)>,
}

#[derive(Clone, Debug, Default)]
struct Window {
    at: u64,
    calls: u32,
}

impl Window {
    /// One more call; how many seconds to wait if that is too many.
    fn count(&mut self, now_ms: u64, limit: u32, length_ms: u64) -> Option<u64> {
        let at = now_ms / length_ms;
        if self.at != at {
            *self = Window { at, calls: 0 };
        }
        let full = self.calls >= limit;
        if !full || known::THROTTLED_COUNT {
            self.calls += 1;
        }
        let left_ms = (at + 1) * length_ms - now_ms;
        full.then_some(left_ms.div_ceil(1000).max(known::RETRY_AFTER_LEAST))
    }
}

impl Count {
    /// One more call; how many seconds to wait if it is not answered.
    pub(super) fn count(&mut self, settings: &Settings, now_ms: u64, presence: bool) -> Option<u64> {
        let all = self.all.count(now_ms, settings.global_limit, known::GLOBAL_LIMIT.1);
        let ours = presence.then(|| self.presence.count(now_ms, settings.limit, known::PRESENCE_LIMIT.1)).flatten();
        let early = match self.told {
            Some((until_ms, wait)) if settings.switches.early_repeat_doubles && now_ms < until_ms => {
                Some(wait.saturating_mul(known::EARLY_REPEAT_FACTOR))
            }
            _ => None,
        };
        let full = all.max(ours).map(|rest| settings.times.retry_after_s.unwrap_or(rest));
        let wait = full.max(early)?;
        self.told = Some((now_ms.saturating_add(wait.saturating_mul(1000)), wait));
        Some(wait)
    }
}

impl Tenant {
    /// Counts a call of an application; the refusal if that is one too many.
    pub(super) fn throttled(&mut self, context: &Context<'_>, app: usize, presence: bool) -> Option<Response> {
        let count = self.counts.entry(app).or_default();
        let wait = count.count(&self.settings, context.at.virtual_ms, presence)?;
        let chaos = self.settings.switches.chaos;
        Some(if chaos { other(context, &mut self.dice, wait) } else { said(context, wait) })
    }
}

fn said(context: &Context<'_>, wait: u64) -> Response {
    context.throttle(known::THROTTLED, Some(wait.to_string()))
}

/// As the manual says, or one of the others that were seen, or nothing at all.
fn other(context: &Context<'_>, dice: &mut Dice, wait: u64) -> Response {
    let choice = dice.roll(known::OTHER_THROTTLES.len() + 2);
    if let Some((code, message)) = known::OTHER_THROTTLES.get(choice) {
        return context.throttle(Refusal(429, code, message), Some(wait.to_string()));
    }
    if choice == known::OTHER_THROTTLES.len() { said(context, wait) } else { context.respond(429, String::new()) }
}
