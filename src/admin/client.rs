//! The other end: `status` asks a running bridge, `pause` and `forget` tell it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// The bridge answers within three seconds, or says that it does not.
const PATIENCE: Duration = Duration::from_secs(5);
const LARGEST: usize = 16 << 20;

/// Where a bridge may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Its socket.
    Unix(PathBuf),
    /// Its port on loopback.
    Tcp(SocketAddr),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "{}", path.display()),
            Address::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// Status and body of `GET path`; the path is percent-encoded here.
///
/// # Errors
/// Nobody answers there, and why.
pub async fn ask(address: &Address, path: &str) -> Result<(u16, String), String> {
    send(Method::GET, address, path).await
}

/// Status and body of `POST path`; the path is percent-encoded here.
///
/// # Errors
/// Nobody answers there, and why.
pub async fn tell(address: &Address, path: &str) -> Result<(u16, String), String> {
    send(Method::POST, address, path).await
}

async fn send(method: Method, address: &Address, path: &str) -> Result<(u16, String), String> {
    let asked = async {
        match address {
            Address::Unix(path_of_socket) => {
                answer(method, UnixStream::connect(path_of_socket).await.map_err(|error| error.to_string())?, path)
                    .await
            }
            Address::Tcp(address) => {
                answer(method, TcpStream::connect(address).await.map_err(|error| error.to_string())?, path).await
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

async fn answer<S>(method: Method, stream: S, path: &str) -> Result<(u16, String), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let request =
        Request::builder().method(method).uri(encoded(path)).header(HOST, "localhost").body(Empty::<Bytes>::new());
    let response = sender.send_request(request.map_err(|error| error.to_string())?).await.map_err(failed)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|error| error.to_string())?;
    connection.abort();
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~');
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
