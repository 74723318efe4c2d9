//! Debian's mosquitto as a child, on a port of its own.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

pub struct Mosquitto {
    child: Option<Child>,
    program: PathBuf,
    address: String,
    pub port: u16,
    pub dir: TempDir,
}

/// Where it is, if it is.
pub fn program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .into_iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
}

pub fn free_port() -> u16 {
    free_port_on("127.0.0.1")
}

fn free_port_on(address: &str) -> u16 {
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port()
}

impl Mosquitto {
    /// Starts it with these lines beside the listener, or says that `test` is skipped.
    pub async fn start(test: &str, lines: &str) -> Option<Mosquitto> {
        Mosquitto::with(test, |port, _| format!("listener {port} 127.0.0.1\nallow_anonymous true\n{lines}\n")).await
    }

    pub async fn with(test: &str, config: impl FnOnce(u16, &Path) -> String) -> Option<Mosquitto> {
        Mosquitto::on(test, "127.0.0.1", config).await
    }

    /// On an address of the loopback.
    pub async fn on(test: &str, address: &str, config: impl FnOnce(u16, &Path) -> String) -> Option<Mosquitto> {
        let Some(program) = program("mosquitto") else {
            super::skipped(test, "mosquitto is not installed");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let port = free_port_on(address);
        std::fs::write(dir.path().join("mosquitto.conf"), config(port, dir.path())).unwrap();
        let mut broker = Mosquitto { child: None, program, address: address.to_owned(), port, dir };
        broker.resume().await;
        Some(broker)
    }

    /// Starts it again, on the same port.
    pub async fn resume(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.dir.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let address = (self.address.as_str(), self.port);
        super::until("mosquitto accepts", || TcpStream::connect(address).is_ok()).await;
    }

    /// SIGKILL: no last words.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// STOP freezes it, CONT lets it go on.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([format!("-{name}"), id]).status().unwrap().success());
    }

    pub fn publish(&self, topic: &str, payload: &str, retain: bool) {
        let mut command = Command::new(program("mosquitto_pub").unwrap());
        command.args(["-V", "5", "-q", "1", "-p", &self.port.to_string(), "-t", topic, "-m", payload]);
        if retain {
            command.arg("-r");
        }
        assert!(command.status().unwrap().success(), "mosquitto_pub {topic}");
    }
}

impl Mosquitto {
    /// Many payloads to one topic, over one connection.
    pub fn publish_lines(&self, topic: &str, lines: &str) {
        let mut child = Command::new(program("mosquitto_pub").unwrap())
            .args(["-V", "5", "-q", "1", "-p", &self.port.to_string(), "-t", topic, "-l"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "mosquitto_pub {topic}");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}
