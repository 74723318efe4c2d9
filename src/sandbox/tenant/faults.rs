//! What can go wrong on purpose, for the next calls that match, or with a probability.

use std::time::Duration;

use super::dice::Dice;
use super::routes::Route;

/// Which calls a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// `setPresence`
    Set,
    /// `clearPresence`
    Clear,
    /// Reads of presence, one person's or many people's.
    Read,
    /// Every call to presence.
    AnyPresence,
    /// `GET /users/…`
    User,
    /// The token endpoint.
    Token,
    /// The identity endpoints of a machine.
    Identity,
    /// Everything.
    Any,
}

impl Match {
    fn fits(self, route: &Route) -> bool {
        match self {
            Match::Set => matches!(route, Route::Set(_)),
            Match::Clear => matches!(route, Route::Clear(_)),
            Match::Read => matches!(route, Route::Get(_) | Route::Bulk),
            Match::AnyPresence => route.is_presence(),
            Match::User => matches!(route, Route::User(_)),
            Match::Token => matches!(route, Route::Token(_)),
            Match::Identity => matches!(route, Route::Imds | Route::AppService),
            Match::Any => true,
        }
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// This status with this body, as Graph's own (with a `request-id`) or as a proxy's.
    Status {
        /// HTTP status.
        status: u16,
        /// The body.
        body: String,
        /// With Graph's headers.
        by_graph: bool,
    },
    /// The same, with a Retry-After of any kind.
    Answer {
        /// HTTP status.
        status: u16,
        /// The body.
        body: String,
        /// The value of Retry-After.
        retry_after: Option<String>,
        /// With Graph's headers.
        by_graph: bool,
    },
    /// 429 with this header, or none.
    Throttle {
        /// The value of Retry-After.
        retry_after: Option<String>,
    },
    /// 401, as for a token that is over.
    Unauthorised,
    /// 403 with an empty message, as for an application without the role.
    Forbidden,
    /// Applied, and answered 429 all the same.
    AppliedThrottle,
    /// Applied, and answered with this status all the same.
    AppliedStatus {
        /// HTTP status.
        status: u16,
    },
    /// The connection closes before the call is applied.
    ResetBefore,
    /// The connection closes after the call was applied.
    ResetAfter,
    /// The connection closes, and the call is applied later.
    AppliedLate {
        /// After the request.
        after: Duration,
    },
    /// The right answer, late.
    Delay(Duration),
    /// The head and half of the body at once, the rest late.
    DelayBody(Duration),
    /// The head and half of the body; then the connection closes.
    Cut,
    /// Half of the body, as if that were all.
    Truncated,
    /// 200 without effect.
    NoEffect,
    /// Applied, and 204 in the place of an empty 200.
    NoContent,
    /// All tokens end; then the call is judged.
    RevokeTokens,
}

/// A fault for the next `times` calls that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which calls.
    pub on: Match,
    /// How many of them.
    pub times: u32,
    /// What happens to them.
    pub what: What,
}

/// A fault that waits for its calls.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) fault: Fault,
    pub(super) probability: f64,
}

pub(super) fn take(faults: &mut Vec<Waiting>, dice: &mut Dice, route: &Route) -> Option<What> {
    let place = faults.iter().position(|waiting| {
        waiting.fault.on.fits(route) && (waiting.probability >= 1.0 || dice.happens(waiting.probability))
    })?;
    let fault = &mut faults[place].fault;
    fault.times = fault.times.saturating_sub(1);
    let what = fault.what.clone();
    if fault.times == 0 {
        faults.remove(place);
    }
    Some(what)
}
