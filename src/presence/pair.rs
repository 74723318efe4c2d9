//! The five availability/activity pairs that `setPresence` accepts. Others cannot be written down.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A presence that an application may set, as listed for `presence: setPresence` (Microsoft Graph v1.0).
///
/// In-a-meeting and out-of-office are not among them: Graph derives those from calendar and mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Presence {
    /// `Away/Away`: weak, any Teams client that says Available wins over it.
    Away,
    /// `Available/Available`: fades after 5 minutes unless set again.
    Available,
    /// `Busy/InACall`
    InACall,
    /// `Busy/InAConferenceCall`
    InAConferenceCall,
    /// `DoNotDisturb/Presenting`
    Presenting,
}

impl Presence {
    /// All of them, from the weakest to the strongest.
    pub const ALL: [Presence; 5] =
        [Presence::Away, Presence::Available, Presence::InACall, Presence::InAConferenceCall, Presence::Presenting];

    /// Graph's `availability`.
    #[must_use]
    pub const fn availability(self) -> &'static str {
        match self {
            Presence::Away => "Away",
            Presence::Available => "Available",
            Presence::InACall | Presence::InAConferenceCall => "Busy",
            Presence::Presenting => "DoNotDisturb",
        }
    }

    /// Graph's `activity`.
    #[must_use]
    pub const fn activity(self) -> &'static str {
        match self {
            Presence::Away => "Away",
            Presence::Available => "Available",
            Presence::InACall => "InACall",
            Presence::InAConferenceCall => "InAConferenceCall",
            Presence::Presenting => "Presenting",
        }
    }

    /// `availability/activity`, as configuration, logs and topics write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Presence::Away => "Away/Away",
            Presence::Available => "Available/Available",
            Presence::InACall => "Busy/InACall",
            Presence::InAConferenceCall => "Busy/InAConferenceCall",
            Presence::Presenting => "DoNotDisturb/Presenting",
        }
    }

    /// How taken a person with this presence is. The order of service, not Graph's precedence: towards higher is rising.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Presence::Away => 1,
            Presence::Available => 2,
            Presence::InACall | Presence::InAConferenceCall => 3,
            Presence::Presenting => 4,
        }
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A pair that Graph does not let an application set, with the nearest one that it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSettable {
    /// What was written.
    pub found: String,
    /// What was perhaps meant.
    pub nearest: Presence,
}

impl fmt::Display for NotSettable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} cannot be set through Graph; allowed are ", self.found)?;
        for (i, pair) in Presence::ALL.iter().enumerate() {
            write!(f, "{}{pair}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, "; nearest: {}", self.nearest)
    }
}

impl std::error::Error for NotSettable {}

impl FromStr for Presence {
    type Err = NotSettable;

    /// Letter case does not matter.
    fn from_str(text: &str) -> Result<Self, NotSettable> {
        Presence::ALL
            .into_iter()
            .find(|pair| pair.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| NotSettable { found: text.to_owned(), nearest: nearest(text) })
    }
}

impl TryFrom<String> for Presence {
    type Error = NotSettable;

    fn try_from(text: String) -> Result<Self, NotSettable> {
        text.parse()
    }
}

impl From<Presence> for String {
    fn from(pair: Presence) -> String {
        pair.as_str().to_owned()
    }
}

/// By the words that people write for it, not by spelling: "Busy/InAMeeting" means the conference call.
fn nearest(text: &str) -> Presence {
    let text = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["meeting", "conference"]) {
        Presence::InAConferenceCall
    } else if has(&["disturb", "dnd", "present", "focus", "urgent"]) {
        Presence::Presenting
    } else if has(&["busy", "call"]) {
        Presence::InACall
    } else if has(&["away", "back", "off", "out", "inactive"]) {
        Presence::Away
    } else {
        Presence::Available
    }
}
