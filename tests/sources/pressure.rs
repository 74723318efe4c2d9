//! Back-pressure: while nothing is acknowledged, a broker sends no more than the receive maximum, whatever waits there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use presence_bridge::clock::Clock;
use presence_bridge::presence::OnStop;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::people;
use crate::support::live::{Desk, bridge, configuration_of};
use crate::support::mosquitto::Mosquitto;
use crate::support::{ALICE, sandbox, stays, until};

const MESSAGES: usize = 20_000;
const BYTES: usize = 1_000;

/// Counts the bytes that go to the client.
async fn counted(port: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let broker = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let ((mut from, mut to), (mut down, mut up)) = (client.into_split(), broker.into_split());
            let counts = Arc::clone(&counts);
            tokio::spawn(async move { tokio::io::copy(&mut from, &mut up).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = down.read(&mut buffer).await {
                    counts.fetch_add(read, Ordering::Relaxed);
                    if to.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (own, count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_at_qos_1_waits_at_the_broker_while_the_loop_is_busy() {
    const TEST: &str = "a_flood_at_qos_1_waits_at_the_broker";
    let Some(broker) = Mosquitto::start(TEST, "max_queued_messages 0\nmax_inflight_messages 0").await else { return };
    let sandbox = sandbox(false).await;
    let (port, count) = counted(broker.port).await;
    let mqtt = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\nclient_id = \"flooded\"\nreceive_maximum = 50\n");
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::at(broker.port).await;
    let running = bridge(Clock::live(), dir.path(), &configuration_of(&mqtt, &sandbox.graph_url(), &people()));
    until("online", || desk.json("status/flooded")["state"] == "online").await;
    // The loop neither reads nor acknowledges: a slow journal, or whatever else keeps it.
    running.busy.store(true, Ordering::Relaxed);
    let before = count.load(Ordering::Relaxed);
    let line = format!("{}\n", "x".repeat(BYTES));
    broker.publish_lines("pbx/9999", &line.repeat(MESSAGES));
    broker.publish("pbx/1001", "INUSE", false);
    let sent = || count.load(Ordering::Relaxed) - before;
    // The window, and what else is said.
    stays("no more is sent", Duration::from_secs(2), || sent() <= 50 * (BYTES + 100) + 10_000).await;
    assert!(sent() >= 50 * BYTES, "the window is used: {}", sent());
    assert_ne!(sandbox.seen(ALICE), "Busy/InACall");
    running.busy.store(false, Ordering::Relaxed);
    until("what came last has arrived", || sandbox.seen(ALICE) == "Busy/InACall").await;
    let (_, metrics) = super::get(dir.path(), "/metrics").await;
    let all = format!("message_total{{reason=\"other_value\"}} {MESSAGES}");
    assert!(metrics.contains(&all), "each of them, once:\n{metrics}");
    running.stop(OnStop::Leave).await;
}
