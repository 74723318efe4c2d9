//! What tests share.

#[cfg(feature = "sandbox")]
pub mod entra;
#[cfg(feature = "sandbox")]
pub mod fake_broker;
#[cfg(feature = "sandbox")]
pub mod fake_graph;
#[cfg(feature = "sandbox")]
pub mod h2;
#[cfg(feature = "sandbox")]
pub mod live;
#[cfg(feature = "sandbox")]
pub mod mosquitto;
#[cfg(feature = "sandbox")]
pub mod netns;
#[cfg(feature = "sandbox")]
pub mod office;
#[cfg(feature = "sandbox")]
pub mod pki;
pub mod plan;
#[cfg(feature = "sandbox")]
pub mod proxy;
pub mod rig;

#[cfg(feature = "sandbox")]
use std::io::Write;
#[cfg(feature = "sandbox")]
use std::time::Duration;

#[cfg(feature = "sandbox")]
use axum::Router;
#[cfg(feature = "sandbox")]
use axum::body::Body;
#[cfg(feature = "sandbox")]
use axum::http::Request;
#[cfg(feature = "sandbox")]
use axum::response::Response;
#[cfg(feature = "sandbox")]
use presence_bridge::clock::Clock;
#[cfg(feature = "sandbox")]
use presence_bridge::sandbox::tenant::Settings;
#[cfg(feature = "sandbox")]
use presence_bridge::sandbox::{Options, Sandbox};

pub const ALICE: &str = "11111111-1111-4111-8111-111111111111";
#[cfg(feature = "sandbox")]
pub const BOB: &str = "22222222-2222-4222-8222-222222222222";

/// Prints a count that tests/run repeats at its end.
#[cfg(feature = "sandbox")]
pub fn counted(text: &str) {
    println!("{text}");
    #[allow(clippy::disallowed_methods, reason = "tests/run collects what was counted")]
    if let Some(file) = std::env::var_os("TESTS_COUNTED") {
        let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
        writeln!(file, "{text}").unwrap();
    }
}

/// Says loudly that a test did not run.
#[cfg(feature = "sandbox")]
pub fn skipped(test: &str, why: &str) {
    println!("SKIPPED {test}: {why}");
    #[allow(clippy::disallowed_methods, reason = "tests/run collects what was skipped")]
    if let Some(file) = std::env::var_os("TESTS_SKIPPED") {
        let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
        let thread = std::thread::current(); // the harness names it after the test
        writeln!(file, "SKIPPED {test}: {why}\t{}", thread.name().unwrap_or_default()).unwrap();
    }
}

/// Waits until `condition` holds, at most ten seconds.
#[cfg(feature = "sandbox")]
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited ten seconds in vain: {what}");
}

/// That something does not happen takes time to show: `condition` holds for all of `span`.
#[cfg(feature = "sandbox")]
pub async fn stays(what: &str, span: Duration, mut condition: impl FnMut() -> bool) {
    let ends = async {
        while condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(span, ends).await.is_err(), "not any more: {what}");
}

#[cfg(feature = "sandbox")]
pub async fn sandbox(tls: bool) -> Sandbox {
    let settings = Settings::for_users([ALICE.to_owned(), BOB.to_owned()]);
    Sandbox::start(Options { clock: Clock::live(), settings, tls }).await.unwrap()
}

/// A server that answers as `answer` says, and its address.
#[cfg(feature = "sandbox")]
pub async fn server<F, R>(answer: F) -> String
where
    F: Fn(Request<Body>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// What a program under test writes, as it comes.
#[cfg(feature = "sandbox")]
pub fn lines_of(output: impl std::io::Read + Send + 'static) -> std::sync::Arc<std::sync::Mutex<String>> {
    use std::io::BufRead as _;
    let log = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let (lines, kept) = (std::io::BufReader::new(output).lines(), std::sync::Arc::clone(&log));
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let mut log = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
    log
}
