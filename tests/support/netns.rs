//! A network of its own for a broker: a namespace, a veth pair to it, and nft rules in it that lose packets. All of it is
//! removed when it is dropped, also by a test that panics; what a killed test left is removed by the next one.
//!
//! Needs root, `ip` and `nft`; a test that cannot have it says so and is skipped.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::mosquitto::program;
use super::{skipped, until};

const PREFIX: &str = "pbtest";
const PORT: u16 = 1883; // a namespace has its ports for itself

/// What happens to packets between the bridge and the broker.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// Nothing of the bridge's arrives.
    DropToBroker,
    /// Nothing of the broker's arrives.
    DropFromBroker,
    DropBoth,
    /// So many of a hundred are lost, each way.
    Lose(u32),
    /// The bridge's packets are answered by a TCP reset.
    Reject,
}

pub struct Network {
    name: String,
    /// The end of the pair on this side.
    outside: String,
    /// The broker's address.
    pub address: String,
    broker: Option<Child>,
    dir: tempfile::TempDir,
}

impl Network {
    /// With mosquitto in it, started with these lines beside its listener; or says that `test` is skipped.
    pub async fn with_broker(test: &str, lines: &str) -> Option<Network> {
        for tool in ["ip", "nft", "mosquitto", "mosquitto_pub"] {
            if program(tool).is_none() {
                skipped(test, &format!("{tool} is not installed"));
                return None;
            }
        }
        sweep();
        match Network::make() {
            Ok(mut network) => {
                network.start_broker(lines).await;
                Some(network)
            }
            Err(why) => {
                skipped(test, &format!("no network namespace can be made here: {why}"));
                None
            }
        }
    }

    fn make() -> Result<Network, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (id, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = format!("{PREFIX}-{id}-{count}");
        // From the block that is set aside for tests of networks, four addresses each; an interface's name has 15 characters.
        let block = (id.wrapping_mul(16).wrapping_add(count)) % (1 << 15);
        let at = |host: u32| {
            let [_, _, high, low] = (block * 4 + host).to_be_bytes();
            format!("198.{}.{high}.{low}", 18 + (block >> 14))
        };
        let (outside, inside) = (format!("pb{block:x}h"), format!("pb{block:x}n"));
        let network = Network {
            name: name.clone(),
            outside: outside.clone(),
            address: at(2),
            broker: None,
            dir: tempfile::tempdir().unwrap(),
        };
        let (here, there) = (format!("{}/30", at(1)), format!("{}/30", at(2)));
        // From here on dropping `network` removes what was made.
        ip(&["netns", "add", &name])?;
        ip(&["link", "add", &outside, "type", "veth", "peer", "name", &inside])?;
        ip(&["link", "set", &inside, "netns", &name])?;
        ip(&["addr", "add", &here, "dev", &outside])?;
        ip(&["link", "set", &outside, "up"])?;
        ip(&["-n", &name, "addr", "add", &there, "dev", &inside])?;
        ip(&["-n", &name, "link", "set", &inside, "up"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        network.nft("table inet fault {}")?;
        Ok(network)
    }

    async fn start_broker(&mut self, lines: &str) {
        // `user root`: it stays in its directory, which nobody else may enter.
        let config = format!("listener {PORT} 0.0.0.0\nallow_anonymous true\nuser root\n{lines}\n");
        let path = self.dir.path().join("mosquitto.conf");
        std::fs::write(&path, config).unwrap();
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let mut command = self.inside("mosquitto");
        command.arg("-c").arg(&path).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.broker = Some(command.spawn().unwrap());
        let address = (self.address.as_str(), PORT);
        until("mosquitto accepts", || std::net::TcpStream::connect(address).is_ok()).await;
    }

    /// A program in there.
    fn inside(&self, name: &str) -> Command {
        let mut command = Command::new(program("ip").unwrap());
        command.args(["netns", "exec", &self.name]).arg(program(name).unwrap());
        command
    }

    pub fn url(&self) -> String {
        format!("mqtt://{}:{PORT}", self.address)
    }

    /// From within, where no packet is lost.
    pub fn publish(&self, topic: &str, payload: &str, retain: bool) {
        let mut command = self.inside("mosquitto_pub");
        command.args(["-V", "5", "-q", "1", "-t", topic, "-m", payload]);
        if retain {
            command.arg("-r");
        }
        assert!(command.status().unwrap().success(), "mosquitto_pub {topic}");
    }

    /// From now on, in place of what was before.
    pub fn suffer(&self, rule: Rule) {
        let to = format!("iifname != lo tcp dport {PORT}");
        let from = format!("oifname != lo tcp sport {PORT}");
        let (input, output) = match rule {
            Rule::DropToBroker => (format!("{to} drop"), String::new()),
            Rule::DropFromBroker => (String::new(), format!("{from} drop")),
            Rule::DropBoth => (format!("{to} drop"), format!("{from} drop")),
            Rule::Lose(percent) => {
                let lost = format!("numgen random mod 100 < {percent} drop");
                (format!("{to} {lost}"), format!("{from} {lost}"))
            }
            Rule::Reject => (format!("{to} reject with tcp reset"), String::new()),
        };
        let chain =
            |hook: &str, rule: &str| format!("chain {hook} {{ type filter hook {hook} priority 0; {rule}\n}}\n");
        let table = format!("{}{}", chain("input", &input), chain("output", &output));
        self.nft(&format!("flush ruleset\ntable inet fault {{\n{table}}}")).unwrap();
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.nft("flush ruleset").unwrap();
    }

    fn nft(&self, text: &str) -> Result<(), String> {
        let mut command = self.inside("nft");
        command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        child.stdin.take().unwrap().write_all(text.as_bytes()).map_err(|error| error.to_string())?;
        succeeded("nft", &child.wait_with_output().unwrap())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            let _gone = broker.kill();
            let _reaped = broker.wait();
        }
        // The pair first: a namespace goes when its last socket is closed, and takes its end with it only then.
        let _removed = ip(&["link", "del", &self.outside]);
        let _removed = ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program("ip").unwrap()).args(arguments).output().map_err(|error| error.to_string())?;
    succeeded(&format!("ip {}", arguments.join(" ")), &output)
}

fn succeeded(what: &str, output: &Output) -> Result<(), String> {
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Removes the namespaces of tests that were killed: their process is gone, and nothing runs in them.
fn sweep() {
    let listed = Command::new(program("ip").unwrap()).args(["netns", "list"]).output().unwrap();
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let id = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1));
        let Some(id) = id.filter(|id| !Path::new("/proc").join(id).exists()) else { continue };
        let running = Command::new(program("ip").unwrap()).args(["netns", "pids", name]).output().unwrap();
        if running.stdout.is_empty() {
            println!("removing {name}, which test process {id} left behind");
            let _removed = ip(&["netns", "del", name]);
        }
    }
}
