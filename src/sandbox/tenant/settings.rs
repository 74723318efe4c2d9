//! What a tenant is made of, and the switches of everything about it that is not certain. All of it can be changed while
//! the tenant runs, through [`Tenant::settings`](super::Tenant::settings) or `/_sim/config`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::assumptions::{self as known, Limit};

/// The tenant and its applications.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Directory id.
    pub tenant_id: String,
    /// The first application's id; also its session id.
    pub client_id: String,
    /// Secrets that are accepted now; one that begins with `expired:` is known but expired.
    pub secrets: Vec<String>,
    /// Application permissions of the application.
    pub roles: Vec<String>,
    /// Object ids of the people, lower case.
    pub users: Vec<String>,
    /// Calls to presence in 30 s.
    pub limit: u32,
    /// Lifetime of tokens, seconds.
    pub token_ttl: u64,
    /// Assertions and names by which the first application is known beside its secrets.
    pub trusted: Trusted,
    /// More applications of the same tenant.
    pub apps: Vec<App>,
    /// Of people who are not plain, and of those with a name: more about them, by object id.
    pub people: BTreeMap<String, Person>,
    /// What App Service would put into `IDENTITY_HEADER`.
    pub identity_header: String,
    /// Which cloud it is.
    pub cloud: Cloud,
    /// All calls of one application in 10 s.
    pub global_limit: u32,
    /// Where all chance comes from.
    pub seed: u64,
    /// What lasts how long.
    pub times: Times,
    /// What is switchable because nobody knows, or because it varies.
    pub switches: Switches,
}

/// Spans, in milliseconds where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Times {
    /// Available fades to AvailableInactive after this,
    pub fade_ms: u64,
    /// and to Away after this.
    pub away_ms: u64,
    /// The shortest `expirationDuration`.
    pub expiration_least_ms: u64,
    /// The longest.
    pub expiration_most_ms: u64,
    /// Where there is none.
    pub expiration_default_ms: u64,
    /// A Teams client looks this often.
    pub teams_poll_ms: u64,
    /// Every Retry-After, seconds; else it is the rest of the window.
    pub retry_after_s: Option<u64>,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            fade_ms: known::FADE_MS,
            away_ms: 2 * known::FADE_MS,
            expiration_least_ms: known::EXPIRATION_LEAST_MS,
            expiration_most_ms: known::EXPIRATION_MOST_MS,
            expiration_default_ms: known::EXPIRATION_DEFAULT_MS,
            teams_poll_ms: known::TEAMS_POLL_MS,
            retry_after_s: None,
        }
    }
}

/// One more application.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its id; also its session id.
    pub client_id: String,
    /// As [`Settings::secrets`].
    #[serde(default)]
    pub secrets: Vec<String>,
    /// As [`Settings::roles`].
    #[serde(default)]
    pub roles: Vec<String>,
    /// As [`Settings::trusted`].
    #[serde(default)]
    pub trusted: Trusted,
}

/// How an application can be known without a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trusted {
    /// Federated credentials: who vouches, and for whom.
    pub federated: Vec<Federated>,
    /// Certificates by what an assertion calls them: its `x5t#S256` or its `x5t`. Signatures are not checked.
    pub certificates: Vec<String>,
    /// The object id of a managed identity.
    pub object_id: String,
    /// The resource id of a managed identity.
    pub resource_id: String,
}

/// A federated credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federated {
    /// `iss`
    pub issuer: String,
    /// `sub`
    pub subject: String,
}

/// What is special about somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Person {
    /// Which kind of person.
    pub kind: Kind,
    /// User principal name.
    pub upn: String,
    /// Display name.
    pub name: String,
}

/// Which kind of person presence takes somebody for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// With Teams.
    #[default]
    Normal,
    /// In the directory, without Teams.
    NoTeams,
    /// A guest.
    Guest,
}

/// The cloud that a tenant is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// Global, and GCC.
    #[default]
    Global,
    /// GCC High (L4).
    GccHigh,
    /// DoD (L5).
    Dod,
    /// China, by 21Vianet.
    China,
}

impl Cloud {
    fn row(self) -> (&'static str, &'static str, bool) {
        match self {
            Cloud::Global => known::GLOBAL,
            Cloud::GccHigh => known::GCC_HIGH,
            Cloud::Dod => known::DOD,
            Cloud::China => known::CHINA,
        }
    }

    /// Where its tokens come from in life.
    #[must_use]
    pub fn login(self) -> &'static str {
        self.row().0
    }

    /// Its Graph in life: the audience of tokens.
    #[must_use]
    pub fn graph(self) -> &'static str {
        self.row().1
    }

    pub(super) fn has_presence(self) -> bool {
        self.row().2
    }
}

/// What becomes of a pair that cannot be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsupported {
    /// 400
    #[default]
    Reject,
    /// 200 without effect.
    Ignore,
}

/// Switches, each off or at what is likely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Every GUID is somebody, listed or not.
    pub anybody: bool,
    /// The session id must be the application's; else any text is a session of its own.
    pub strict_session_id: bool,
    /// What becomes of a pair that cannot be set.
    pub unsupported_pair: Unsupported,
    /// The activity of somebody in a call is read back as `Busy` or `InACall`, by turns.
    pub activity_noise: bool,
    /// What is read back is so old, milliseconds.
    pub propagation_delay_ms: u64,
    /// Faded sessions are named by the older list of labels.
    pub legacy_names: bool,
    /// A call inside Retry-After makes it longer.
    pub early_repeat_doubles: bool,
    /// 429s come with other bodies, and without Retry-After, too.
    pub chaos: bool,
    /// The `Date` of answers is off by this, milliseconds.
    pub date_skew_ms: i64,
    /// The status of writes for somebody without Teams: 200 (without effect), 403 or 404.
    pub no_teams: u16,
}

impl Default for Switches {
    fn default() -> Self {
        Switches {
            anybody: false,
            strict_session_id: true,
            unsupported_pair: Unsupported::Reject,
            activity_noise: false,
            propagation_delay_ms: 0,
            legacy_names: false,
            early_repeat_doubles: false,
            chaos: false,
            date_skew_ms: 0,
            no_teams: known::NO_TEAMS,
        }
    }
}

/// Both values that Microsoft prints for presence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// 1,500 calls in 30 s.
    #[default]
    Classic,
    /// 10,000 calls in 30 s.
    Of2026,
}

impl Profile {
    /// Calls in 30 s.
    #[must_use]
    pub fn limit(self) -> u32 {
        let (calls, _): Limit = match self {
            Profile::Classic => known::PRESENCE_LIMIT,
            Profile::Of2026 => known::PRESENCE_LIMIT_2026,
        };
        calls
    }
}

impl Settings {
    /// A tenant with these people and sensible ids.
    #[must_use]
    pub fn for_users(users: impl IntoIterator<Item = String>) -> Self {
        Settings {
            tenant_id: "aaaaaaaa-0000-4000-8000-000000000001".to_owned(),
            client_id: "bbbbbbbb-0000-4000-8000-000000000002".to_owned(),
            secrets: vec!["sandbox-secret".to_owned()],
            roles: vec!["Presence.ReadWrite.All".to_owned()],
            users: users.into_iter().map(|user| user.to_lowercase()).collect(),
            limit: Profile::Classic.limit(),
            token_ttl: known::TOKEN_TTL,
            trusted: Trusted::default(),
            apps: Vec::new(),
            people: BTreeMap::new(),
            identity_header: "sandbox-identity-header".to_owned(),
            cloud: Cloud::Global,
            global_limit: known::GLOBAL_LIMIT.0,
            seed: 0,
            times: Times::default(),
            switches: Switches::default(),
        }
    }

    /// An application by its id, whatever the case: its place, the first being 0, and what it has.
    pub(super) fn app(&self, client_id: &str) -> Option<(usize, AppRef<'_>)> {
        self.all_apps().enumerate().find(|(_, app)| app.client_id.eq_ignore_ascii_case(client_id))
    }

    pub(super) fn all_apps(&self) -> impl Iterator<Item = AppRef<'_>> {
        let Settings { client_id, secrets, roles, trusted, .. } = self;
        let first = AppRef { client_id, secrets, roles, trusted };
        let others = self.apps.iter().map(|App { client_id, secrets, roles, trusted }| AppRef {
            client_id,
            secrets,
            roles,
            trusted,
        });
        std::iter::once(first).chain(others)
    }

    /// Somebody by object id or user principal name: their object id.
    pub(super) fn find(&self, who: &str) -> Option<&str> {
        let by_id = self.users.iter().find(|id| *id == who);
        let by_name = || self.people.iter().find(|(_, person)| person.upn.eq_ignore_ascii_case(who)).map(|(id, _)| id);
        by_id.or_else(by_name).map(String::as_str)
    }
}

/// An application, wherever it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct AppRef<'a> {
    pub(super) client_id: &'a str,
    pub(super) secrets: &'a [String],
    pub(super) roles: &'a [String],
    pub(super) trusted: &'a Trusted,
}
