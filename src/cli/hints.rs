//! What is legal and may surprise: said by `check` and by `doctor`.

use crate::config::Config;
use crate::presence::Presence;

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    /// Somebody may want another setting.
    pub(super) warns: bool,
    pub(super) text: String,
    pub(super) remedy: &'static str,
}

pub(super) fn hints(config: &Config) -> Vec<Hint> {
    let signals = |pair| {
        let signals = config.plan.signals.iter().filter(move |signal| signal.presence == Some(pair));
        signals.map(|signal| format!("signals.{}", signal.name))
    };
    let mut available: Vec<String> = signals(Presence::Available).collect();
    if config.plan.policy.when_free == Some(Presence::Available) {
        available.push("presence.when_free".to_owned());
    }
    let away: Vec<String> = signals(Presence::Away).collect();
    let mut hints = Vec::new();
    if !available.is_empty() {
        hints.push(Hint {
            warns: false,
            text: format!(
                "{} show Available: Graph lets it fade to Away after five minutes, whatever its expirationDuration (it \
                 \"times out\"), so the bridge sets it again every three minutes; and it hides a real Away of the person's own \
                 clients",
                available.join(", ")
            ),
            remedy: "to leave free people to their own Teams clients, let nothing show Available: when nothing is on, the \
                     bridge clears its session",
        });
    }
    if !away.is_empty() {
        hints.push(Hint {
            warns: true,
            text: format!(
                "{} show Away, the weakest presence: while a Teams client of the person says Available, Busy or DoNotDisturb, \
                 colleagues see that (Graph: DoNotDisturb > Busy > Available > Away)",
                away.join(", ")
            ),
            remedy: "expect it to show only while the person is signed in nowhere, or their clients are away too",
        });
    }
    hints
}
