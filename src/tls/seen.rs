//! What a server shows in a handshake: for people who look for what is wrong.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::der::{element, time};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
/// 2.5.29.17, subject alternative name.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// How TLS was agreed on, and the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `TLSv1_3`
    pub version: String,
    /// `TLS13_AES_256_GCM_SHA384`
    pub cipher: String,
    /// The names that the certificate is for: DNS names and addresses.
    pub names: Vec<String>,
    /// Its last moment, seconds since 1970; `None`: not to be read.
    pub ends: Option<i64>,
}

/// A handshake of its own, which blocks for some of `patience` at each step.
///
/// # Errors
/// The server is not to be had, or shows what is not trusted.
pub fn look(config: ClientConfig, host: &str, port: u16, patience: Duration) -> io::Result<Seen> {
    let address = (host, port).to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut socket = TcpStream::connect_timeout(&address, patience)?;
    socket.set_read_timeout(Some(patience))?;
    socket.set_write_timeout(Some(patience))?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    let (names, ends) = certificate.and_then(|certificate| read(certificate)).unwrap_or_default();
    Ok(Seen {
        version: connection.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default(),
        cipher: connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default(),
        names,
        ends,
    })
}

/// Names and end of an X.509 certificate, which rustls has judged already.
fn read(certificate: &[u8]) -> Option<(Vec<String>, Option<i64>)> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if *rest.first()? == VERSION {
        (_, _, rest) = element(rest)?;
    }
    for _ in ["serial number", "algorithm", "issuer"] {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, rest) = element(rest)?;
    let (_, _, second) = element(validity)?;
    let (kind, text, _) = element(second)?;
    let ends = time(kind, std::str::from_utf8(text).ok()?);
    let names = elements(rest).find(|&(tag, _)| tag == EXTENSIONS).and_then(|(_, list)| names(list));
    Some((names.unwrap_or_default(), ends))
}

fn names(list: &[u8]) -> Option<Vec<String>> {
    let (_, list, _) = element(list)?;
    for (_, extension) in elements(list).filter(|&(tag, _)| tag == SEQUENCE) {
        let mut parts = elements(extension);
        if parts.next() == Some((OID, ALTERNATIVE_NAMES)) {
            let (_, value) = parts.find(|&(tag, _)| tag == OCTETS)?;
            let (_, value, _) = element(value)?;
            return Some(elements(value).filter_map(|(tag, name)| shown(tag, name)).collect());
        }
    }
    None
}

fn shown(tag: u8, name: &[u8]) -> Option<String> {
    match (tag, name.len()) {
        (0x82, _) => String::from_utf8(name.to_vec()).ok(),
        (0x87, 4) => <[u8; 4]>::try_from(name).ok().map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
        (0x87, 16) => <[u8; 16]>::try_from(name).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
        _ => None,
    }
}

fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, rest) = element(bytes)?;
        bytes = rest;
        Some((tag, content))
    })
}
