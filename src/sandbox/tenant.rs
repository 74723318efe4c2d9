//! A pure model of presence in one tenant: sessions, fade, expiry, aggregation; token and identity endpoints; throttling.
//!
//! Time is an argument, in milliseconds on a virtual clock; the lifetimes of tokens alone are real ([`At`]). What Graph is
//! taken to do stands in one table, each row with what it rests on: [`assumptions`]. Nothing here shares code with the
//! bridge: it could not judge it otherwise.

mod assertion;
mod assumptions;
mod batch;
mod context;
mod control;
mod dice;
mod encoding;
mod evidence;
mod faults;
mod front;
mod managed;
mod presence;
mod routes;
mod session;
mod settings;
mod throttle;
mod token;
mod wire;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use serde_json::Value;

pub use self::assumptions::{Basis, Row, assumptions};
use self::dice::Dice;
pub use self::evidence::{Entry, Metrics};
pub use self::faults::{Fault, Match, What};
pub use self::session::Shown;
use self::session::{Key, Sessions, parse_pair};
pub use self::settings::{
    App, Cloud, Federated, Kind, Person, Profile, Settings, Switches, Times, Trusted, Unsupported,
};
pub use self::wire::{At, Delivery, Reply, Request, Response};

/// The first application's session.
const FIRST: Key = 0;

/// The tenant.
#[derive(Debug)]
pub struct Tenant {
    settings: Settings,
    /// What a reset goes back to.
    initial: Settings,
    /// The people of the settings, to be asked quickly; `None` after a change of these.
    known: Option<HashSet<String>>,
    sessions: HashMap<String, Sessions>,
    /// Sessions as they were before each write of the last minutes, with the time until which they were so.
    history: HashMap<String, VecDeque<(u64, Sessions)>>,
    /// Session ids by their keys.
    session_ids: Vec<String>,
    sequences: HashMap<String, (u64, Shown)>,
    tokens: HashMap<String, token::Grant>,
    counts: HashMap<usize, throttle::Count>,
    told: HashMap<usize, evidence::Told>,
    faults: Vec<faults::Waiting>,
    /// Writes that a fault holds back, by the time at which they land.
    landing: BTreeMap<(u64, u64), Landing>,
    log: Vec<Entry>,
    metrics: Metrics,
    dice: Dice,
    serial: u64,
}

#[derive(Clone, Debug)]
struct Landing {
    user: String,
    write: Write,
}

#[derive(Clone, Debug, PartialEq)]
enum Write {
    Set { key: Key, pair: Shown, expires_in_ms: u64 },
    Clear { key: Key },
    Prefer { pair: Option<Shown>, expires_in_ms: u64 },
    Status { message: Value, ends: Option<i64> },
}

impl Tenant {
    /// Nobody has a session yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Tenant {
            initial: settings.clone(),
            known: None,
            sessions: HashMap::new(),
            history: HashMap::new(),
            session_ids: vec![settings.client_id.to_lowercase()],
            sequences: HashMap::new(),
            tokens: HashMap::new(),
            counts: HashMap::new(),
            told: HashMap::new(),
            faults: Vec::new(),
            landing: BTreeMap::new(),
            log: Vec::new(),
            metrics: Metrics::default(),
            dice: Dice::new(settings.seed),
            serial: 0,
            settings,
        }
    }

    /// Settings, to change them while it runs: roles, secrets, limits.
    pub fn settings(&mut self) -> &mut Settings {
        self.known = None;
        &mut self.settings
    }

    /// Adds a fault for the next calls that match.
    pub fn fault(&mut self, fault: Fault) {
        self.fault_sometimes(fault, 1.0);
    }

    /// Adds a fault that each call that matches meets with this probability.
    pub fn fault_sometimes(&mut self, fault: Fault, probability: f64) {
        self.faults.push(faults::Waiting { fault, probability });
    }

    /// Whether a fault still waits for its call.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// What a colleague sees: availability and activity, aggregated over all sessions.
    pub fn seen(&mut self, now_ms: u64, user: &str) -> Shown {
        self.land(now_ms);
        self.sessions.get(user).map_or_else(Shown::offline, |sessions| sessions.seen(now_ms, &self.settings.times))
    }

    /// What a colleague's Teams client shows: it looks every four minutes only.
    pub fn teams_view(&mut self, now_ms: u64, user: &str) -> Shown {
        self.land(now_ms);
        self.seen_at(now_ms - now_ms % self.settings.times.teams_poll_ms.max(1), user)
    }

    /// What a read answers: what was so a while ago, if Graph is slow to tell.
    fn read_back(&mut self, now_ms: u64, user: &str) -> Shown {
        self.land(now_ms);
        self.seen_at(now_ms.saturating_sub(self.settings.switches.propagation_delay_ms), user)
    }

    /// What was seen at an instant of the last minutes.
    fn seen_at(&self, then_ms: u64, user: &str) -> Shown {
        let before = self.history.get(user).and_then(|past| past.iter().find(|(until_ms, _)| then_ms < *until_ms));
        let then = before.map(|(_, sessions)| sessions).or_else(|| self.sessions.get(user));
        then.map_or_else(Shown::offline, |sessions| sessions.seen(then_ms, &self.settings.times))
    }

    /// The first application's session, as Graph holds it: the pair as set, and until when.
    pub fn session(&mut self, now_ms: u64, user: &str) -> Option<(Shown, u64)> {
        self.land(now_ms);
        self.sessions.get(user).and_then(|sessions| sessions.of(now_ms, FIRST))
    }

    /// Opens a Teams client of the person that says `pair` (`Available/Available`), or closes it.
    pub fn client(&mut self, user: &str, pair: Option<&str>) {
        let pair = pair.and_then(|pair| pair.split_once('/')).map(Shown::of);
        // As if it had always been there: of two equals an application's session is the newer.
        self.sessions.entry(user.to_owned()).or_default().client(0, "", pair);
    }

    /// The person chooses a status by hand, or gives that up: it wins over every session while there is one.
    pub fn prefer(&mut self, user: &str, pair: Option<&str>) {
        let pair = pair.and_then(|pair| pair.split_once('/')).map(Shown::of);
        self.sessions.entry(user.to_owned()).or_default().prefer(pair, u64::MAX);
    }

    /// `setPresence` as if the first application had asked for it and been accepted: for simulations without HTTP. `false`:
    /// not a settable pair.
    pub fn set(&mut self, now_ms: u64, user: &str, availability: &str, activity: &str, expires_in: Duration) -> bool {
        self.land(now_ms);
        let Some(pair) = parse_pair(&assumptions::PAIRS, availability, activity) else { return false };
        let expires_in_ms = u64::try_from(expires_in.as_millis()).unwrap_or(u64::MAX);
        self.apply(now_ms, user, &Write::Set { key: FIRST, pair, expires_in_ms });
        true
    }

    /// `clearPresence` as if the first application had asked for it and been accepted. `false`: there was no session.
    pub fn clear(&mut self, now_ms: u64, user: &str) -> bool {
        self.land(now_ms);
        self.apply(now_ms, user, &Write::Clear { key: FIRST })
    }

    /// A write that came over the wire: what was before it is remembered for those who see late.
    fn write(&mut self, now_ms: u64, user: &str, write: &Write) -> bool {
        self.remember(now_ms, user);
        self.apply(now_ms, user, write)
    }

    fn apply(&mut self, now_ms: u64, user: &str, write: &Write) -> bool {
        let sessions = self.sessions.entry(user.to_owned()).or_default();
        match write {
            Write::Set { key, pair, expires_in_ms } => {
                let before = sessions.set(now_ms, *key, pair.clone(), *expires_in_ms);
                self.observe_set(now_ms, pair, before);
            }
            Write::Clear { key } => return sessions.clear(now_ms, *key),
            Write::Prefer { pair, expires_in_ms } => {
                sessions.prefer(pair.clone(), now_ms.saturating_add(*expires_in_ms));
            }
            Write::Status { message, ends } => sessions.status_message = Some((message.clone(), *ends)),
        }
        true
    }

    /// Keeps what is, before it changes, for as long as somebody may still see it.
    fn remember(&mut self, now_ms: u64, user: &str) {
        let longest = self.settings.switches.propagation_delay_ms.max(self.settings.times.teams_poll_ms);
        let now = self.sessions.get(user).cloned().unwrap_or_default();
        let past = self.history.entry(user.to_owned()).or_default();
        while past.front().is_some_and(|(until_ms, _)| until_ms.saturating_add(longest) < now_ms) {
            past.pop_front();
        }
        past.push_back((now_ms, now));
    }

    /// A fault holds a write back.
    fn land_later(&mut self, at_ms: u64, user: &str, write: Write) {
        self.landing.insert((at_ms, self.serial), Landing { user: user.to_owned(), write });
    }

    /// Applies what a fault held back.
    fn land(&mut self, now_ms: u64) {
        while let Some(entry) = self.landing.first_entry()
            && entry.key().0 <= now_ms
        {
            let ((at_ms, _), landing) = entry.remove_entry();
            self.write(at_ms, &landing.user, &landing.write);
        }
    }

    /// Whether somebody is one of the tenant's people, by object id in lower case.
    fn knows(&mut self, user: &str) -> bool {
        let known = self.known.get_or_insert_with(|| self.settings.users.iter().map(|id| id.to_lowercase()).collect());
        known.contains(user) || self.settings.switches.anybody && is_guid(user)
    }

    /// The key of a session id, known or new.
    fn key_of(&mut self, session_id: &str) -> Key {
        let session_id = session_id.to_lowercase();
        let place = self.session_ids.iter().position(|known| *known == session_id).unwrap_or_else(|| {
            self.session_ids.push(session_id);
            self.session_ids.len() - 1
        });
        Key::try_from(place).unwrap_or(Key::MAX)
    }

    /// A version stamp that grows with each change that somebody saw, and sorts as text.
    fn sequence(&mut self, user: &str, shown: &Shown) -> String {
        let (number, last) = self.sequences.entry(user.to_owned()).or_insert_with(|| (1, shown.clone()));
        if assumptions::SEQUENCE_GROWS && last != shown {
            *number += 1;
            last.clone_from(shown);
        }
        format!("A{number:012}")
    }
}

fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}
