//! `[admin]`: where the bridge can be asked how it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::reader::Section;
use super::sections::Files;
use super::{AdminSection, env};

/// The port that exporters of metrics use by custom.
const PORT: u16 = 9464;

pub(super) fn read(root: &Section<'_, '_>, files: &Files<'_>, client_id: &str) -> AdminSection {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let mut admin = AdminSection { listen: Some(default), sockets: usual_sockets(client_id) };
    let Some(section) = root.table("admin") else { return admin };
    if let Some(at) = section.text("listen") {
        admin.listen = match (at.value.as_str(), address(&at.value)) {
            ("off", _) => None,
            (_, Some(address)) => Some(address),
            (_, None) => {
                section.problem(&at, "not an address to listen on", r#""127.0.0.1:9464", "[::1]:9464", or "off""#);
                None
            }
        };
    }
    if let Some(at) = section.text("socket") {
        admin.sockets = match at.value.as_str() {
            "auto" => admin.sockets,
            "off" => Vec::new(),
            path => vec![files.base.join(path)],
        };
    }
    section.finish();
    admin
}

fn address(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)).or_else(|| text.parse().ok())
}

/// Named after the bridge, so that several on one machine do not meet.
fn usual_sockets(client_id: &str) -> Vec<PathBuf> {
    let own = |dir: PathBuf| dir.join("presence-bridge");
    let dirs = [env::runtime_directory(), env::user_runtime_directory().map(own), Some(own("/run".into()))];
    dirs.into_iter().flatten().map(|dir| dir.join(format!("{client_id}.sock"))).collect()
}
