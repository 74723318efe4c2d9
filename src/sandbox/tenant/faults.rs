//! What can go wrong on purpose, for the next calls that match.

use std::time::Duration;

use super::front::Route;

/// Which calls a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// `setPresence`
    Set,
    /// `clearPresence`
    Clear,
    /// Every call to presence.
    AnyPresence,
    /// The token endpoint.
    Token,
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
    /// 429 with this header, or none.
    Throttle {
        /// The value of Retry-After.
        retry_after: Option<String>,
    },
    /// Applied, and answered 429 all the same.
    AppliedThrottle,
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
    /// 200 without effect.
    NoEffect,
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

pub(super) fn take(faults: &mut Vec<Fault>, route: &Route) -> Option<What> {
    let place = faults.iter().position(|fault| match (fault.on, route) {
        (Match::Set, Route::Set(_)) | (Match::Clear, Route::Clear(_)) | (Match::Token, Route::Token(_)) => true,
        (Match::AnyPresence, route) => matches!(route, Route::Set(_) | Route::Clear(_) | Route::Get(_)),
        _ => false,
    })?;
    let fault = &mut faults[place];
    fault.times = fault.times.saturating_sub(1);
    let what = fault.what.clone();
    if fault.times == 0 {
        faults.remove(place);
    }
    Some(what)
}
