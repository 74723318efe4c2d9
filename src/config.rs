//! From a TOML file to what the program needs. All of it is read, and everything that is wrong with it is known, before any
//! port is touched: somebody who fixes a configuration wants the whole list.

mod env;
mod graph;
mod people;
mod problem;
mod reader;
mod rules;
mod sections;

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;
use tracing_subscriber::filter::LevelFilter;

pub use self::problem::{Problem, Problems};
use self::reader::Reader;
use crate::presence::{ObjectId, Plan, Timestamp};
use crate::secret::{Credential, SecretSource};

/// A configuration that can be run.
#[derive(Debug)]
pub struct Config {
    /// The tenant.
    pub graph: GraphSection,
    /// The broker.
    pub mqtt: MqttSection,
    /// First levels of our own topics.
    pub topic_prefix: String,
    /// Who, what, and by which rules.
    pub plan: Plan,
    /// What becomes of sessions when the bridge stops.
    pub on_stop: OnStop,
    /// Log lines.
    pub log: LogSection,
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

/// `[mqtt]`
#[derive(Clone, Debug)]
pub struct MqttSection {
    /// Name or address of the broker.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `mqtts`.
    pub tls: bool,
    /// What to trust, instead of the system's certificates.
    pub ca_file: Option<PathBuf>,
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

/// `[log]`
#[derive(Clone, Debug)]
pub struct LogSection {
    /// Ours; other people's code never logs below INFO.
    pub level: LevelFilter,
    /// For people or for machines.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Config, Problems> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Problems {
            file: file.clone(),
            problems: vec![Problem {
                line: 0,
                key: String::new(),
                found: String::new(),
                text: format!("cannot be read: {error}"),
                hint: "name the file with --config, or write one with `presence-bridge init`".to_owned(),
            }],
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        Config::read(&text, &file, base, true)
    }

    /// Checks a text as if it stood in `file`; relative paths in it start at `base`. Does not look whether files that it
    /// names exist.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse_trusting(text: &str, file: &str, base: &Path) -> Result<Config, Problems> {
        Config::read(text, file, base, false)
    }

    fn read(text: &str, file: &str, base: &Path, files: bool) -> Result<Config, Problems> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let reader = Reader::new(text);
        for error in &errors {
            reader.problem(&error.span().unwrap_or(0..0), "", format!("not TOML: {}", error.message()), "");
        }
        let span = root.span();
        let root = reader.section("", root.get_ref(), span);
        let context = sections::Files { base, check: files };
        let graph = graph::graph(&root, &context);
        let mqtt = sections::mqtt(&root, &context);
        let prefix = mqtt.as_ref().map_or("presence-bridge", |(_, prefix)| prefix).to_owned();
        let (policy, on_stop) = sections::presence(&root);
        let log = sections::log(&root);
        let people = people::read(&root);
        let plan = rules::plan(&root, people, policy, &prefix);
        root.finish();
        drop(root);
        let problems = reader.finish();
        match (graph, mqtt) {
            (Some(mut graph), Some((mqtt, topic_prefix))) if problems.is_empty() => {
                graph.login_url = graph.login_url.trim_end_matches('/').to_owned();
                let mut plan = plan;
                plan.tenants = vec![graph.tenant_id];
                Ok(Config { graph, mqtt, topic_prefix, plan, on_stop, log })
            }
            _ => Err(Problems { file: file.to_owned(), problems }),
        }
    }
}
