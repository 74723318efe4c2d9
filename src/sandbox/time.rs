//! The tenant's time: a clock, which can be stood still and put forward from outside (`/_sim/clock`).

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::tenant::{At, Response};
use crate::clock::Clock;

#[derive(Debug)]
pub(super) struct Time {
    clock: Clock,
    hands: Mutex<Hands>,
}

#[derive(Debug, Default)]
struct Hands {
    /// How far all clocks are from those of `clock`.
    ahead: Ahead,
    /// Where they stand, if they do.
    still: Option<At>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ahead {
    virtual_ms: i64,
    wall_ms: i64,
    real_ms: i64,
}

impl Time {
    pub(super) fn new(clock: Clock) -> Time {
        Time { clock, hands: Mutex::default() }
    }

    pub(super) fn at(&self) -> At {
        let hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        self.read(&hands)
    }

    fn read(&self, hands: &Hands) -> At {
        if let Some(still) = hands.still {
            return still;
        }
        let (now, ahead) = (self.clock.now(), hands.ahead);
        At {
            virtual_ms: now.mono.as_millis().saturating_add_signed(ahead.virtual_ms),
            wall_ms: now.wall.as_millis().saturating_add(ahead.wall_ms),
            real_ms: self.clock.real_wall().as_millis().saturating_add(ahead.real_ms),
        }
    }

    /// `GET` shows it; `POST` puts it forward (`{"advance": "PT5M"}`), stands it still or lets it run (`{"mode": "manual"}`,
    /// `"running"`). Standing still it can begin anywhere (`"at": "2026-01-05T09:00:00Z"`), so that two runs are alike.
    pub(super) fn control(&self, method: &str, body: &[u8]) -> Response {
        if method == "POST"
            && let Err(error) = self.order(body)
        {
            return Response::json(400, &json!({ "error": error }));
        }
        let at = self.at();
        let mode = if self.hands.lock().unwrap_or_else(PoisonError::into_inner).still.is_some() {
            "manual"
        } else {
            "running"
        };
        let shown = json!({
            "now_ms": at.virtual_ms, "wall_ms": at.wall_ms, "token_ms": at.real_ms, "mode": mode,
            "speed": self.clock.speed(),
        });
        Response::json(200, &shown)
    }

    fn order(&self, body: &[u8]) -> Result<(), String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let advance = match body.get("advance") {
            None => 0,
            Some(span) => span.as_str().and_then(millis).ok_or(r#"advance is a duration: "PT5M""#)?,
        };
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = self.read(&hands);
        // Whoever puts the clock forward means all of it, the lifetimes of tokens too.
        at.virtual_ms = at.virtual_ms.saturating_add_signed(advance);
        at.wall_ms = at.wall_ms.saturating_add(advance);
        at.real_ms = at.real_ms.saturating_add(advance);
        if let Some(begin) = body.get("at") {
            let begin = begin.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            let begin = begin.ok_or(r#"at is a time: "2026-01-05T09:00:00Z""#)?.as_millisecond();
            at = At { virtual_ms: 0, wall_ms: begin, real_ms: begin };
        }
        let manual = match body.get("mode").map(Value::as_str) {
            None => hands.still.is_some(),
            Some(Some("manual")) => true,
            Some(Some("running")) => false,
            Some(_) => return Err(r#"mode is "manual" or "running""#.to_owned()),
        };
        if !manual && body.get("at").is_some() {
            return Err(r#"at goes with "mode": "manual""#.to_owned());
        }
        if manual {
            hands.still = Some(at);
            return Ok(());
        }
        *hands = Hands::default();
        let plain = self.read(&hands);
        hands.ahead = Ahead {
            virtual_ms: at.virtual_ms.cast_signed().saturating_sub(plain.virtual_ms.cast_signed()),
            wall_ms: at.wall_ms - plain.wall_ms,
            real_ms: at.real_ms - plain.real_ms,
        };
        Ok(())
    }
}

/// A duration that is not negative, in milliseconds.
fn millis(text: &str) -> Option<i64> {
    let span: jiff::Span = text.parse().ok()?;
    let span = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    i64::try_from(span.as_millis()).ok().filter(|millis| *millis >= 0)
}
