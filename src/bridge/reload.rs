//! Takes up changes of the configuration while the bridge runs: who is listed, by which names, signals and rules. All or
//! nothing: a file that is wrong anywhere changes nothing, and an alarm says why.
//!
//! Files are looked at every second rather than watched: that works on every file system, also where a file is replaced,
//! or is a link into a volume that somebody else mounts. A file counts as changed when it has not changed any more for a
//! second, so that one that is still being written is not taken for one that lists fewer people.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::links::source_id;
use super::lookup::Lookups;
use crate::clock::Clock;
use crate::config::{Config, Names, PeopleSection, Problem, Problems, SourceSection};
use crate::graph::Graph;
use crate::mqtt;
use crate::presence::{Mono, ObjectId, Plan};
use crate::service::Manager;
use crate::telemetry::{AlarmText, Event, Telemetry};

const LOOK: Duration = Duration::from_secs(1);
/// What was refused may be right by now without having changed: a file that it names is back.
const AGAIN: Duration = Duration::from_secs(10);
const ALARM: &str = "configuration_refused";
const WAITS: &str = "restart_needed";
/// As many problems as an alarm shows; `check` shows all.
const SHOWN: usize = 3;
/// As many as the log shows, a line each.
const LOGGED: usize = 20;

/// What there is to know for the loop.
#[derive(Debug)]
pub enum News {
    /// A new plan, how its people are listed, and what is new for each link.
    Plan(Arc<Plan>, Box<PeopleSection>, Vec<mqtt::Change>),
    /// User names are being looked up at Graph, or no longer: so many calls a second are not the core's.
    Lookups(f64),
}

/// A configuration on disk, and what of it runs.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    tenant: ObjectId,
    people: PeopleSection,
    /// What a running bridge is built on.
    basis: String,
    fixed: [(&'static str, String); 7],
    manager: Manager,
}

impl Source {
    /// The file that `config` was read from.
    #[must_use]
    pub fn new(path: &Path, config: &Config) -> Self {
        Source {
            path: path.to_owned(),
            tenant: config.graph.tenant_id,
            people: config.people.clone(),
            basis: basis(config),
            fixed: fixed(config),
            manager: Manager::default(),
        }
    }

    /// The service manager, who may have asked for a reload and waits for its end.
    pub fn tell(&mut self, manager: Manager) {
        self.manager = manager;
    }

    /// How its people are listed.
    #[must_use]
    pub fn people(&self) -> &PeopleSection {
        &self.people
    }
}

/// What rules and topics of our own stand on: with another, a new plan would mean something else than the links do.
fn basis(config: &Config) -> String {
    let brokers: Vec<_> = config.sources.iter().map(|source| (&source.name, source.own_topics)).collect();
    format!("{brokers:?} {}", config.topic_prefix)
}

/// What is new for each link.
fn changes(config: &Config) -> Vec<mqtt::Change> {
    let of = |(place, source): (usize, &SourceSection)| mqtt::Change {
        filters: config.plan.rules.filters_of(source_id(place), source.own_topics),
        username: source.username.clone(),
        password: source.password.clone(),
        tls: tls(source),
    };
    config.sources.iter().enumerate().map(of).collect()
}

/// What the adapter needs for TLS.
#[must_use]
pub fn tls(source: &SourceSection) -> Option<mqtt::TlsConfig> {
    let config = || mqtt::TlsConfig { ca_file: source.ca_file.clone(), client: source.client_certificate.clone() };
    source.tls.then(config)
}

/// Everything of a broker but what [`changes`] can bring.
fn unchangeable(source: &SourceSection) -> String {
    let (username, password, ca_file, client_certificate) = (None, None, None, None);
    format!("{:?}", SourceSection { username, password, ca_file, client_certificate, ..source.clone() })
}

/// What needs a restart. Secrets have no words here, and need none: they are read at each use.
fn fixed(config: &Config) -> [(&'static str, String); 7] {
    [
        ("[graph]", format!("{:?}", config.graph)),
        ("[mqtt], [[source]]", config.sources.iter().map(unchangeable).collect()),
        ("[home_assistant]", format!("{:?}", config.home_assistant)),
        ("[admin]", format!("{:?}", config.admin)),
        ("[state]", format!("{:?}", config.people.state_dir)),
        ("[log]", format!("{:?}", config.log)),
        ("presence.on_stop", format!("{:?}", config.on_stop)),
    ]
}

/// Starts the task that looks. It ends when nobody takes its news any more. `hangups`: look now, whatever the files say.
#[must_use]
pub fn start(
    source: Source,
    graph: Option<Graph>,
    clock: Clock,
    telemetry: Telemetry,
    hangups: mpsc::Receiver<()>,
) -> mpsc::Receiver<News> {
    let (news, receiver) = mpsc::channel(4);
    let names = source.people.resolve_names.then(|| Names::load(&source.people.state_dir, source.tenant));
    let lookups = Lookups::new(graph, clock.clone(), telemetry.clone());
    let stamps = stamps(&source);
    let watcher = Watcher {
        source,
        names,
        lookups,
        clock,
        telemetry,
        news,
        taken: stamps,
        seen: stamps,
        fresh: false,
        shares: false,
        refused: None,
        asked: false,
    };
    tokio::spawn(watcher.run(hangups));
    receiver
}

struct Watcher {
    source: Source,
    /// Once user names are used.
    names: Option<Names>,
    lookups: Lookups,
    clock: Clock,
    telemetry: Telemetry,
    news: mpsc::Sender<News>,
    /// What the files were when they were last read, and when they were last looked at.
    taken: Stamps,
    seen: Stamps,
    /// Something was learnt of names that the plan does not have yet.
    fresh: bool,
    /// Whether a part of the rate is taken off the core's for lookups.
    shares: bool,
    /// What is wrong with the configuration on disk, and when that was last found (real time).
    refused: Option<(String, Mono)>,
    /// Somebody asked, and waits for the answer.
    asked: bool,
}

/// Of the configuration and of the people file: when written, how long, which.
type Stamps = [Option<(SystemTime, u64, u64)>; 2];

fn stamps(source: &Source) -> Stamps {
    use std::os::unix::fs::MetadataExt;
    let stamp = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len(), found.ino()))
    };
    [stamp(&source.path), source.people.file.as_deref().and_then(stamp)]
}

impl Watcher {
    async fn run(mut self, mut hangups: mpsc::Receiver<()>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.schedule();
        loop {
            tokio::select! {
                () = self.news.closed() => return,
                _ = looks.tick() => self.look().await,
                Some(()) = hangups.recv() => self.read_as_asked().await,
                () = self.lookups.turn() => self.ask().await,
            }
        }
    }

    async fn look(&mut self) {
        let now = stamps(&self.source);
        let settled = now == std::mem::replace(&mut self.seen, now);
        let real = self.clock.real();
        let again = self.refused.as_ref().is_some_and(|(_, when)| real.since(*when) >= AGAIN);
        if settled && (now != self.taken || again) {
            self.read().await;
        }
        if self.lookups.is_time_to_schedule() {
            self.schedule();
        }
    }

    /// On SIGHUP: whoever asked is told when it is done, and in the status line how it went.
    async fn read_as_asked(&mut self) {
        self.source.manager.reloading(self.clock.monotonic_micros());
        self.asked = true;
        self.read().await;
        self.asked = false;
        if let Some((why, _)) = &self.refused {
            self.source.manager.status(&format!("Configuration on disk refused, the last good one stays: {why}"));
        }
        self.source.manager.ready();
    }

    /// Reads the files, and takes them up if they are right.
    async fn read(&mut self) {
        self.taken = stamps(&self.source);
        let file = self.source.people.file.clone();
        self.load_and_take().await;
        if self.refused.is_none() {
            self.lookups.try_unknown_again();
            self.schedule();
        }
        if self.source.people.file != file {
            self.taken = stamps(&self.source);
            self.seen = self.taken;
        }
    }

    async fn load_and_take(&mut self) {
        match self.load().await {
            Ok(config) => self.take(config).await,
            Err(problems) => self.refuse(&Refused::of(&problems)),
        }
    }

    /// A hundred thousand people take a while to read: not on the threads that serve sockets.
    async fn load(&self) -> Result<Box<Config>, Problems> {
        let (path, names) = (self.source.path.clone(), self.names.clone());
        let read = move || Config::load_with(&path, names.as_ref()).map(Box::new);
        match tokio::task::spawn_blocking(read).await {
            Ok(read) => read,
            // It panicked, and that ends the process; or the process ends anyway.
            Err(_) => Err(Problems { file: self.source.path.display().to_string(), problems: Vec::new() }),
        }
    }

    async fn take(&mut self, config: Box<Config>) {
        if config.graph.tenant_id != self.source.tenant {
            return self.refuse(&Refused::of_words("tenant_id in [graph] is another: restart the bridge for that"));
        }
        if basis(&config) != self.source.basis {
            let words = "topic_prefix, or the names, the order or own_topics of the brokers, are others: restart the bridge for that";
            return self.refuse(&Refused::of_words(words));
        }
        let changes = changes(&config);
        let fixed = fixed(&config).into_iter().zip(&self.source.fixed);
        let later: Vec<&str> = fixed.filter(|(new, old)| new != *old).map(|((name, _), _)| name).collect();
        self.tell_what_waits(&later);
        let Config { plan, mut people, .. } = *config;
        people.state_dir.clone_from(&self.source.people.state_dir); // another one waits for a restart
        self.telemetry.tell(&Taken { people: plan.people.len(), waiting: people.waiting.len(), later });
        self.telemetry.end(ALARM, None);
        self.refused = None;
        self.source.people = people;
        if self.source.people.resolve_names && self.names.is_none() {
            self.names = Some(Names::load(&self.source.people.state_dir, self.source.tenant));
        }
        let people = Box::new(self.source.people.clone());
        drop(self.news.send(News::Plan(Arc::new(plan), people, changes)).await); // nobody listens: the stop is on its way
        self.schedule();
    }

    /// What is on disk and does not run is to be known, until it does.
    fn tell_what_waits(&self, sections: &[&str]) {
        if sections.is_empty() {
            return self.telemetry.end(WAITS, None);
        }
        let sections = sections.join("; ");
        let remedy = format!(
            "needs a restart: changes of {sections}; restart the bridge, or take them back. The rest is in force"
        );
        self.telemetry.raise(AlarmText { name: WAITS, about: None, remedy: remedy.into() });
    }

    fn refuse(&mut self, refused: &Refused) {
        let known = self.refused.replace((refused.why.clone(), self.clock.real()));
        let asked = std::mem::take(&mut self.asked);
        if known.is_some_and(|(why, _)| why == refused.why) && !asked {
            return;
        }
        self.telemetry.tell(refused);
        let remedy = format!(
            "the configuration on disk is not taken up, the last good one stays in force: {}; mend it, `presence-bridge check` \
             names every problem",
            refused.why
        );
        self.telemetry.raise(AlarmText { name: ALARM, about: None, remedy: remedy.into() });
    }

    /// Who has to be looked up, now that the list is another or time has passed.
    fn schedule(&mut self) {
        if let Some(names) = &self.names {
            self.lookups.schedule(&self.source.people, names);
        }
    }

    /// One user name is looked up; when that is through, or every half a minute, what was learnt is taken up.
    async fn ask(&mut self) {
        self.share(true).await;
        let Some(names) = &mut self.names else { return };
        self.fresh |= self.lookups.ask(names).await;
        if self.lookups.is_idle() || self.fresh && self.lookups.is_time_to_tell() {
            self.keep().await;
            if std::mem::take(&mut self.fresh) {
                self.load_and_take().await;
            }
        }
        if self.lookups.rests() {
            self.share(false).await;
        }
    }

    /// While names are looked up, the core is told to leave room for it.
    async fn share(&mut self, shares: bool) {
        if self.shares != shares {
            self.shares = shares;
            let rate = if shares { self.lookups.rate() } else { 0.0 };
            drop(self.news.send(News::Lookups(rate)).await);
        }
    }

    /// Writes what is known of names to disk.
    async fn keep(&mut self) {
        let Some(names) = &mut self.names else { return };
        names.retain(self.source.people.user_names.iter().map(|name| &**name));
        let (names, dir, tenant) = (names.clone(), self.source.people.state_dir.clone(), self.source.tenant);
        let saved = tokio::task::spawn_blocking(move || names.save(&dir, tenant)).await;
        if let Ok(Err(error)) = saved {
            self.telemetry.tell(&Unsaved { error });
        }
    }
}

/// A configuration was taken up.
struct Taken {
    people: usize,
    waiting: usize,
    later: Vec<&'static str>,
}

impl Event for Taken {
    const NAME: &'static str = "reload";

    fn reason(&self) -> &'static str {
        "taken"
    }

    fn log(&self, _: Option<u64>) {
        let &Taken { people, waiting, .. } = self;
        tracing::info!(people, waiting, "Configuration taken up.");
        if !self.later.is_empty() {
            let sections = self.later.join(", ");
            tracing::warn!(sections, "Changes there need a restart; people, devices, signals and rules were taken up.");
        }
    }
}

/// A configuration was not taken up.
struct Refused {
    /// The first problems, for the alarm.
    why: String,
    /// As many as are logged, each with what is allowed.
    lines: Vec<(String, String)>,
    /// How many there are besides.
    more: usize,
}

impl Refused {
    fn of(problems: &Problems) -> Self {
        let all = &problems.problems;
        let shown: Vec<String> = all.iter().take(SHOWN).map(|problem| problem.line(&problems.file)).collect();
        let more = if all.len() > SHOWN { format!("; and {} more", all.len() - SHOWN) } else { String::new() };
        let line = |problem: &Problem| (problem.line(&problems.file), problem.hint.clone());
        let lines = all.iter().take(LOGGED).map(line).collect();
        Refused { why: shown.join("; ") + &more, lines, more: all.len().saturating_sub(LOGGED) }
    }

    fn of_words(why: &str) -> Self {
        Refused { why: why.to_owned(), lines: vec![(why.to_owned(), String::new())], more: 0 }
    }
}

impl Event for Refused {
    const NAME: &'static str = "reload";

    fn reason(&self) -> &'static str {
        "refused"
    }

    fn log(&self, _: Option<u64>) {
        for (problem, remedy) in &self.lines {
            tracing::error!(problem, remedy, "Configuration on disk refused; the last good one stays in force.");
        }
        if self.more > 0 {
            tracing::error!(
                more = self.more,
                "Configuration on disk refused: `presence-bridge check` names all problems."
            );
        }
    }
}

/// User names could not be kept on disk.
struct Unsaved {
    error: String,
}

impl Event for Unsaved {
    const NAME: &'static str = "state";

    fn reason(&self) -> &'static str {
        "names_not_written"
    }

    fn log(&self, due: Option<u64>) {
        if let Some(times) = due {
            let remedy = "let the bridge's user write there, or name another directory as dir in [state]; until then a restart \
                          looks everybody up again";
            tracing::warn!(times, error = self.error, remedy, "User names cannot be kept.");
        }
    }
}
