//! What signals mean to a bridge that runs. SIGTERM and SIGINT let it drain, the second of either ends it at once; SIGHUP
//! reads the configuration again, unless the end has begun.
//!
//! They are heard by a thread of their own, which does nothing else: whatever hangs, be it all of the runtime, cannot keep
//! the process from ending.

use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// A drain takes five seconds; what still runs after these hangs.
const PATIENCE: Duration = Duration::from_secs(8);

/// The exit code of a process that did not wait for its drain.
const AT_ONCE: i32 = 1;

/// What asks for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// SIGTERM: a service manager.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
}

/// What the signals of this process come to.
pub(super) struct Heard {
    /// The first that asks for the end.
    pub(super) stop: oneshot::Receiver<Stop>,
    /// The configuration is to be read again.
    pub(super) hangups: mpsc::Receiver<()>,
}

/// From here on no signal of these ends the process by itself.
///
/// # Errors
/// The system hands out no signals, or no thread.
pub(super) fn listen() -> Result<Heard, String> {
    let failed = |error: std::io::Error| format!("signals cannot be heard: {error}");
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let within = runtime.enter();
    let hear = |kind| signal(kind).map_err(failed);
    let signals = Signals {
        terminate: hear(SignalKind::terminate())?,
        interrupt: hear(SignalKind::interrupt())?,
        hangup: hear(SignalKind::hangup())?,
    };
    drop(within);
    let (told, stop) = oneshot::channel();
    let (asks, hangups) = mpsc::channel(1);
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || runtime.block_on(signals.serve(told, &asks))).map_err(failed)?;
    Ok(Heard { stop, hangups })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    async fn serve(mut self, told: oneshot::Sender<Stop>, asks: &mpsc::Sender<()>) {
        let stop = loop {
            tokio::select! {
                Some(()) = self.terminate.recv() => break Stop::Terminate,
                Some(()) = self.interrupt.recv() => break Stop::Interrupt,
                // One that waits already is as good as two.
                Some(()) = self.hangup.recv() => drop(asks.try_send(())),
                else => return, // the system hands out no more
            }
        };
        let _unheard = told.send(stop); // nobody waits: the process is at its end
        let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
        loop {
            tokio::select! {
                Some(()) = self.terminate.recv() => at_once("A second SIGTERM"),
                Some(()) = self.interrupt.recv() => at_once("A second SIGINT"),
                Some(()) = self.hangup.recv() => tracing::warn!("SIGHUP changes nothing: the bridge is stopping."),
                () = &mut patience => {
                    tracing::error!("The bridge hangs, and did not drain; ended. Please report this.");
                    std::process::exit(AT_ONCE);
                }
            }
        }
    }
}

/// Ends the process.
fn at_once(why: &'static str) {
    let left = "what was under way may still land; sessions at Graph end by their expiration";
    tracing::warn!(left, "{why}: ended at once, without waiting for the drain.");
    std::process::exit(AT_ONCE);
}

/// A signal that came before there was anything to drain.
pub(super) fn before_the_start() -> ExitCode {
    eprintln!("presence-bridge: stopped before it had begun");
    ExitCode::SUCCESS
}

/// Ready at the first SIGTERM or SIGINT, for commands that have nothing to drain and nothing to read again.
pub(super) async fn asked_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
