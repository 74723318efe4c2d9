//! Notable events of the adapter. What somebody has to do something about is an alarm besides.

use super::token::NoToken;
use crate::telemetry::Event;

/// A request for a token brought none.
impl Event for NoToken {
    const NAME: &'static str = "token";

    fn reason(&self) -> &'static str {
        if self.permanent { "refused" } else { "failed" }
    }

    fn log(&self, due: Option<u64>) {
        if let Some(times) = due {
            let NoToken { error, remedy, permanent, .. } = self;
            tracing::warn!(error, remedy, permanent, times, "No token for Graph; trying again.");
        }
    }
}

/// A credential ends within so many days; 0: it has ended.
pub(super) struct CredentialEnds<'a> {
    pub(super) credential: &'static str,
    pub(super) date: &'a str,
    pub(super) days: u32,
    pub(super) remedy: &'static str,
}

impl Event for CredentialEnds<'_> {
    const NAME: &'static str = "credential";

    fn reason(&self) -> &'static str {
        match self.days {
            0 => "ended",
            1 => "ends_in_a_day",
            7 => "ends_in_7_days",
            _ => "ends_in_30_days",
        }
    }

    fn log(&self, _: Option<u64>) {
        let &CredentialEnds { credential, date: ends, days, remedy } = self;
        if days > 1 {
            tracing::warn!(credential, ends, days, remedy, "The credential for Graph ends soon.");
        }
    }
}
