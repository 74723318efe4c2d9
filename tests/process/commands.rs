//! `pause` and `forget`, by the real program through the socket, and what a colleague sees of them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use presence_bridge::admin::{Address, tell};
use presence_bridge::clock::Clock;
use presence_bridge::presence::OnStop;
use presence_bridge::sandbox::Sandbox;

use super::{CALL, NOBODY};
use crate::binary::{PROGRAM, seen};
use crate::support::live::Live;
use crate::support::{ALICE, BOB, sandbox, stays, until};

async fn office(sandbox: &Sandbox) -> Live {
    let people =
        format!("[users]\nalice = \"{ALICE}\"\nbob = \"{BOB}\"\n[devices]\n1001 = \"alice\"\n1002 = \"bob\"\n");
    let live = Live::start(&sandbox.graph_url(), &people, &[]).await;
    live.publish("pbx/1001", "INUSE").await;
    live.publish("pbx/1002", "INUSE").await;
    until("both are seen", || seen(sandbox, ALICE) == CALL && seen(sandbox, BOB) == CALL).await;
    live
}

/// Exit code and everything that is said.
async fn say(arguments: &[&str], config: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).arg("-c").arg(config);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_by_command_shows_nothing_until_its_end_or_until_it_is_taken_back() {
    let sandbox = sandbox(false).await;
    let live = office(&sandbox).await;
    let (code, said) = say(&["pause", "Alice", "--for", "2h"], &live.config()).await;
    assert!(code == Some(0) && said.starts_with("alice is paused until 20"), "{said}");
    until("alice shows nothing", || seen(&sandbox, ALICE) == NOBODY).await;
    until("her topic says so", || live.topic("people/alice").is_some_and(|text| text.contains(r#""paused":true"#)))
        .await;
    assert!(live.topic("people/alice").unwrap().contains(r#""paused_until":"20"#));
    let (_, status) = say(&["status", "alice"], &live.config()).await;
    assert!(status.contains("Nothing, because paused, until 20"), "{status}");
    assert_eq!(seen(&sandbox, BOB), CALL);
    let (code, said) = say(&["pause", "alice", "--off"], &live.config()).await;
    assert_eq!((code, said.as_str()), (Some(0), "alice is not paused.\n"));
    until("the call is back", || seen(&sandbox, ALICE) == CALL).await;
    // Of its own, in its time.
    say(&["pause", "alice", "--for", "1s"], &live.config()).await;
    until("nothing", || seen(&sandbox, ALICE) == NOBODY).await;
    until("the call again", || seen(&sandbox, ALICE) == CALL).await;
    let (_, said) = say(&["pause", "alice"], &live.config()).await;
    assert_eq!(said, "alice is paused until somebody says otherwise.\n");
    until("nothing", || seen(&sandbox, ALICE) == NOBODY).await;
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_forgotten_by_command_or_topic_is_cleared_and_nobody_else() {
    let sandbox = sandbox(false).await;
    let live = office(&sandbox).await;
    let (code, said) = say(&["forget", "alice"], &live.config()).await;
    assert!(code == Some(0) && said.starts_with("What was known of alice is forgotten"), "{said}");
    until("alice shows nothing", || seen(&sandbox, ALICE) == NOBODY).await;
    until("nor does her topic", || live.topic("people/alice").is_some_and(|text| text.contains(r#""on":[]"#))).await;
    live.publish("presence-bridge/in/bob/forget", "off").await;
    until("that is answered", || live.topic("in/bob/error").is_some_and(|text| text.contains("say on"))).await;
    assert_eq!(seen(&sandbox, BOB), CALL);
    live.publish("presence-bridge/in/bob/forget", "on").await;
    until("bob shows nothing", || seen(&sandbox, BOB) == NOBODY).await;
    live.publish("pbx/1001", "INUSE").await;
    until("she is followed again", || seen(&sandbox, ALICE) == CALL).await;
    live.stop(OnStop::Leave).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_said_in_words_and_changes_nothing() {
    let sandbox = sandbox(false).await;
    let live = office(&sandbox).await;
    for (arguments, code, part) in [
        (&["pause", "mallory"][..], 1, "nobody is listed as mallory"),
        (&["forget", "mallory"], 1, "nobody is listed as mallory"),
        (&["pause", "alice", "--for", "soon"], 64, "say how long, from 1s to 31d"),
        (&["pause", "alice", "--for", "2y"], 64, "say how long, from 1s to 31d"),
        (&["pause", "alice", "--for", "2h", "--off"], 64, "cannot be used with"),
        (&["pause"], 64, "required"),
    ] {
        let (ended, said) = say(arguments, &live.config()).await;
        assert!(ended == Some(code) && said.contains(part), "{arguments:?}: {ended:?} {said}");
    }
    let socket = Address::Unix(live.socket());
    for path in ["/pause", "/pause/", "/pause/alice/2y", "/pause/alice/2h/x", "/forget/", "/status", "/nonsense/alice"]
    {
        let (status, said) = tell(&socket, path).await.unwrap();
        assert_eq!(status, 404, "{path}: {said}");
    }
    stays("nobody is paused", Duration::from_millis(500), || seen(&sandbox, ALICE) == CALL).await;
    live.stop(OnStop::Leave).await;
}

/// Anybody on the machine may open the port: it takes no commands, whatever the configuration.
///
/// Red: `!door.tcp` in serve.rs is not asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_takes_no_commands() {
    use presence_bridge::admin::{Answer, Config, start};
    use presence_bridge::telemetry::Telemetry;
    let config = Config { listen: Some(([127, 0, 0, 1], 0).into()), sockets: Vec::new() };
    let mut questions = start(&config, &Telemetry::new(Clock::live()));
    let address = Address::Tcp(questions.listens().unwrap());
    tokio::spawn(async move {
        while let Some(asked) = questions.next().await {
            asked.answer(Answer::text(200, "done"));
        }
    });
    for path in ["/pause/alice", "/resume/alice", "/forget/alice"] {
        let (status, said) = tell(&address, path).await.unwrap();
        assert_eq!((status, said.as_str()), (405, "GET only\n"), "{path}");
    }
}
