//! From a TOML file to what the program needs. All of it is read, and everything that is wrong with it is known, before any
//! port is touched: somebody who fixes a configuration wants the whole list.

mod admin;
mod bounds;
mod env;
mod graph;
mod home_assistant;
mod mqtt;
mod people;
pub mod presets;
mod problem;
mod reader;
mod rules;
pub mod schema;
mod sections;
pub mod warnings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;
use tracing_subscriber::filter::LevelFilter;

pub use self::people::names::Names;
pub use self::problem::{Look, Piece, Problem, Problems, Severity, count, report};
use self::reader::Reader;
use crate::presence::{ObjectId, Plan, Timestamp};
use crate::secret::{Credential, SecretSource};

/// A configuration that can be run.
#[derive(Debug)]
pub struct Config {
    /// The tenant.
    pub graph: GraphSection,
    /// The brokers, by [`SourceId`](crate::presence::SourceId); at least one.
    pub sources: Vec<SourceSection>,
    /// First levels of our own topics.
    pub topic_prefix: String,
    /// First levels of the topics on which everything announces itself to Home Assistant; `None`: nothing does.
    pub home_assistant: Option<String>,
    /// Who, what, and by which rules.
    pub plan: Plan,
    /// Which rules of the plan come from presets.
    pub presets: Vec<presets::UsedPreset>,
    /// What becomes of sessions when the bridge stops.
    pub on_stop: OnStop,
    /// Log lines.
    pub log: LogSection,
    /// How the people are listed; who they are is in the plan.
    pub people: PeopleSection,
    /// Where the bridge can be asked how it is.
    pub admin: AdminSection,
    /// Where the bridge keeps what must outlive it; `None`: nowhere.
    pub state: Option<PathBuf>,
    /// Whether the journal is kept there.
    pub journal: bool,
    /// What is legal and unwise, without what is allowed.
    pub warnings: Vec<Problem>,
    /// Names of warnings that are allowed: `[check] allow`.
    pub allowed: Vec<String>,
}

/// `[graph]`
#[derive(Clone, Debug)]
pub struct GraphSection {
    /// Directory id.
    pub tenant_id: ObjectId,
    /// Application id, where the credential does not know it.
    pub client_id: Option<ObjectId>,
    /// What the bridge shows to get a token.
    pub credential: Credential,
    /// When the client secret ends, where somebody wrote it down.
    pub secret_expires: Option<Timestamp>,
    /// Where tokens come from.
    pub login_url: String,
    /// Where Graph is.
    pub graph_url: String,
    /// What to trust, instead of the system's certificates.
    pub ca_file: Option<PathBuf>,
    /// The way out.
    pub proxy: ProxySection,
}

/// The way to Graph and to the token endpoint.
#[derive(Clone, Debug)]
pub enum ProxySection {
    /// As the environment says.
    Environment,
    /// Without.
    Direct,
    /// Through this one.
    At {
        /// Its address.
        url: String,
        /// User and password.
        login: Option<(String, SecretSource)>,
    },
}

/// `[mqtt]`, or one `[[source]]`.
#[derive(Clone, Debug)]
pub struct SourceSection {
    /// What rules, logs and topics call it.
    pub name: String,
    /// Where it is.
    pub address: BrokerAddress,
    /// Over TLS.
    pub tls: bool,
    /// Which MQTT is spoken.
    pub protocol: Protocol,
    /// What to trust, instead of the system's certificates.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate (chain) and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Ours at the broker.
    pub client_id: String,
    /// Login.
    pub username: Option<String>,
    /// Login.
    pub password: Option<SecretSource>,
    /// A dead link is noticed within twice this.
    pub keep_alive: Duration,
    /// Whether the broker keeps our session while we are away.
    pub session_persistent: bool,
    /// For how long.
    pub session_expiry: Duration,
    /// Bytes.
    pub max_packet_size: u32,
    /// Messages at QoS 1 on the way.
    pub receive_maximum: u16,
    /// Status, people and the door are on this broker.
    pub own_topics: bool,
}

impl SourceSection {
    /// Its address as somebody writes it.
    #[must_use]
    pub fn url(&self) -> String {
        let host = |host: &str| if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let secure = if self.tls { "s" } else { "" };
        match &self.address {
            BrokerAddress::Tcp { host: name, port } => format!("mqtt{secure}://{}:{port}", host(name)),
            BrokerAddress::WebSocket { host: name, port, path } => {
                format!("ws{secure}://{}:{port}{path}", host(name))
            }
            BrokerAddress::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerAddress {
    /// `mqtt://`, `mqtts://`
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `ws://`, `wss://`
    WebSocket {
        /// Name or address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
        /// From the first slash on.
        path: String,
    },
    /// `unix:`
    Unix(PathBuf),
}

/// Which MQTT is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 5, and 3.1.1 with a broker that refuses it.
    Auto,
    /// MQTT 5 only.
    V5,
    /// MQTT 3.1.1 only.
    V311,
}

/// What becomes of sessions when the bridge stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// Leave under a service manager, clear on Ctrl-C in a terminal.
    Auto,
    /// They stay until they expire.
    Leave,
    /// They are cleared.
    Clear,
}

/// `[people]`, `[state]`, and what they make of user names.
#[derive(Clone, Debug, Default)]
pub struct PeopleSection {
    /// A people file beside `[users]`.
    pub file: Option<PathBuf>,
    /// User names are looked up at Graph.
    pub resolve_names: bool,
    /// What was looked up is kept here.
    pub state_dir: PathBuf,
    /// Whether the journal is kept there too.
    pub journal: bool,
    /// How many people are listed, those without a known id included.
    pub listed: usize,
    /// All user names that stand for people, in lower case.
    pub user_names: Vec<Box<str>>,
    /// Name and user name of people whose object id is not known: nobody sets them yet.
    pub waiting: Vec<(Box<str>, Box<str>)>,
    /// Name of somebody who turned out to be somebody else that is listed, and is left out; and whom.
    pub doubles: Vec<(Box<str>, Box<str>)>,
}

/// `[admin]`
#[derive(Clone, Debug, Default)]
pub struct AdminSection {
    /// HTTP for probes and metrics.
    pub listen: Option<SocketAddr>,
    /// For `status`: the first whose directory is there. None: `status` is answered where `listen` says.
    pub sockets: Vec<PathBuf>,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct LogSection {
    /// Ours; other people's code never logs below INFO.
    pub level: LevelFilter,
    /// For people or for machines.
    pub format: LogFormat,
}

/// Where a service manager wants to be told how it goes, and how long it waits for a word of life.
#[must_use]
pub fn service_manager() -> (Option<String>, Option<Duration>) {
    env::service_manager()
}

/// A test aid of debug builds: `task` or `thread`, in which to panic once the bridge runs.
#[cfg(debug_assertions)]
#[must_use]
pub fn panics_in() -> Option<String> {
    env::panics_in()
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which files that the configuration names are read.
#[derive(Clone, Copy)]
struct Check {
    secrets: bool,
    people: bool,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Config, Problems> {
        Config::load_with(path, None)
    }

    /// As [`Config::load`], with what is known of user names instead of what the state directory holds.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load_with(path: &Path, names: Option<&Names>) -> Result<Config, Problems> {
        Config::open(path, Check { secrets: true, people: true }, names)
    }

    /// As [`Config::load`], but without its secrets: files with these, and certificates, need not be there.
    ///
    /// # Errors
    /// Everything else that is wrong with it.
    pub fn load_offline(path: &Path) -> Result<Config, Problems> {
        Config::open(path, Check { secrets: false, people: true }, None)
    }

    /// The text of a configuration, bounded: 4 MiB and about 160,000 values.
    ///
    /// # Errors
    /// It cannot be read, or is larger.
    pub fn text(path: &Path) -> Result<String, Problems> {
        let file = path.display().to_string();
        bounds::read(path).map_err(|problem| Problems { file, problems: vec![*problem] })
    }

    fn open(path: &Path, check: Check, names: Option<&Names>) -> Result<Config, Problems> {
        let file = path.display().to_string();
        let text = Config::text(path)?;
        let base = path.parent().unwrap_or(Path::new("."));
        Config::read(&text, &file, base, check, names)
    }

    /// Where a bridge of this configuration may be asked how it is, whatever else is wrong with the text.
    #[must_use]
    pub fn admin_of(text: &str, base: &Path) -> AdminSection {
        let (root, _) = DeTable::parse_recoverable(text);
        let reader = Reader::new(text);
        let root = reader.section("", root.get_ref(), root.span());
        let client_id = mqtt::first_client_id(&root);
        admin::read(&root, &sections::Files { base, check: false, people: false }, &client_id)
    }

    /// Checks a text as if it stood in `file`; relative paths in it start at `base`. Does not look whether files that it
    /// names exist.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse_trusting(text: &str, file: &str, base: &Path) -> Result<Config, Problems> {
        Config::read(text, file, base, Check { secrets: false, people: false }, None)
    }

    fn read(text: &str, file: &str, base: &Path, check: Check, names: Option<&Names>) -> Result<Config, Problems> {
        Config::read_traced(text, file, base, check, names, None)
    }

    fn read_traced(
        text: &str,
        file: &str,
        base: &Path,
        check: Check,
        names: Option<&Names>,
        trace: Option<&schema::Trace>,
    ) -> Result<Config, Problems> {
        // As many errors as characters would take more than the machine has.
        let first = (text.len() > bounds::TELLS_ALL).then(|| DeTable::parse(text).err()).flatten();
        if let Some(error) = first {
            return Err(bounds::not_toml(text, file, &error));
        }
        let (root, errors) = DeTable::parse_recoverable(text);
        let reader = Reader::traced(text, trace);
        for error in &errors {
            reader.problem(&error.span().unwrap_or(0..0), "", format!("not TOML: {}", error.message()), "");
        }
        let span = root.span();
        let root = reader.section("", root.get_ref(), span);
        let context = sections::Files { base, check: check.secrets, people: check.people };
        let graph = graph::graph(&root, &context);
        let brokers = mqtt::read(&root, &context);
        let (policy, on_stop) = sections::presence(&root);
        let log = sections::log(&root);
        let home_assistant = home_assistant::read(&root, brokers.sections.as_deref());
        let first = brokers.sections.as_ref().and_then(|sections| sections.first());
        let admin = admin::read(&root, &context, first.map_or("", |first| &first.client_id));
        let (people, listing) = people::read(&root, &context, |section| match (names, &graph) {
            (Some(names), _) => names.clone(),
            (None, Some(graph)) if check.people && section.resolve_names => {
                Names::load(&section.state_dir, graph.tenant_id)
            }
            _ => Names::default(),
        });
        // Names of a people file that is not looked at cannot be known.
        let known = (listing.file.is_none() || check.people).then_some(&listing);
        let (plan, presets) = rules::plan(&root, people, known, policy, &brokers);
        let allowed = warnings::allowed(&root);
        root.finish();
        reader.allow(&allowed);
        if let Some(sources) = brokers.sections.as_deref().filter(|_| reader.is_clean()) {
            let read = warnings::Read {
                plan: &plan,
                presets: &presets,
                people: &listing,
                sources,
                topic_prefix: &brokers.prefix,
            };
            warnings::find(&root, &read);
        }
        drop(root);
        let problems = reader.finish();
        match (graph, brokers.sections) {
            (Some(mut graph), Some(sources)) if problems.iter().all(|problem| problem.name().is_some()) => {
                let warnings = problems;
                graph.login_url = graph.login_url.trim_end_matches('/').to_owned();
                let mut plan = plan;
                plan.tenants = vec![graph.tenant_id];
                let (topic_prefix, state, journal) = (brokers.prefix, Some(listing.state_dir.clone()), listing.journal);
                let people = listing;
                Ok(Config {
                    graph,
                    sources,
                    topic_prefix,
                    home_assistant,
                    plan,
                    presets,
                    on_stop,
                    log,
                    people,
                    admin,
                    state,
                    journal,
                    warnings,
                    allowed,
                })
            }
            _ => Err(Problems { file: file.to_owned(), problems }),
        }
    }
}
