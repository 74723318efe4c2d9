//! A TCP proxy that does to a connection what networks do: cuts it, delays it, drips it, stops carrying it, corrupts it.
//! What it forwards is opaque to it but for one thing: it can read MQTT's fixed headers, to swallow a packet of a kind.
//!
//! It lives in the runtime of the test and ends with it. Faults are said per direction ([`Lane`]), for the next connection
//! only ([`Proxy::next`]) or for each one from now on ([`Proxy::each`]); holding, cutting and refusing act at once.
#![allow(clippy::disallowed_methods, reason = "delays need a clock of their own")]

use std::collections::VecDeque;
use std::future::pending;
use std::io::Result;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// A direction, as an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From who connected.
    Up,
    /// To who connected.
    Down,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// In order: both sides read an end of stream.
    Fin,
    /// Both sides get ECONNRESET.
    Reset,
}

/// What one direction of a connection suffers. Offsets count the bytes of this connection and direction from 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lane {
    /// Ends the connection, both ways, once so many bytes passed; 0: at its begin.
    pub cut: Option<(usize, Cut)>,
    /// Each read is delayed by the first, and up to the second more, in order.
    pub delay: Option<(Duration, Duration)>,
    /// Byte by byte, with this pause before each.
    pub drip: Option<Duration>,
    /// This byte arrives with its bits inverted.
    pub flip: Option<usize>,
    /// MQTT packets of this type (the high half of its first byte) do not arrive, the first so many of them.
    pub swallow: Option<(u8, usize)>,
}

/// What a connection suffers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub up: Lane,
    pub down: Lane,
}

impl Faults {
    pub fn on(way: Way, lane: Lane) -> Faults {
        match way {
            Way::Up => Faults { up: lane, ..Faults::default() },
            Way::Down => Faults { down: lane, ..Faults::default() },
        }
    }
}

/// What a connection carried.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// Per direction, all bytes that arrived at the other side; the first 64 KiB of them.
    pub bytes: [Vec<u8>; 2],
    /// It has ended.
    pub over: bool,
}

#[derive(Default)]
struct Shared {
    next: VecDeque<Faults>,
    each: Faults,
    /// In the order of their acceptance.
    connections: Vec<Carried>,
}

/// Told to all connections that are open.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    /// Counts the orders to cut, and how.
    cut: Option<(usize, Cut)>,
    /// Connections up to this number carry nothing in these directions. Their sockets stay open.
    held: [usize; 2],
}

pub struct Proxy {
    pub port: u16,
    target: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    orders: watch::Sender<Order>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// On a port of its own, towards this port of the loopback.
    pub async fn to(port: u16) -> Proxy {
        Proxy::towards(([127, 0, 0, 1], port).into()).await
    }

    pub async fn towards(target: SocketAddr) -> Proxy {
        let mut proxy =
            Proxy { port: 0, target, shared: Arc::default(), orders: watch::Sender::default(), accepting: None };
        proxy.accept().await;
        proxy
    }

    /// The next connection that is accepted suffers this; called again, the one after it.
    pub fn next(&self, faults: Faults) {
        lock(&self.shared).next.push_back(faults);
    }

    /// Connections accepted from now on suffer this.
    pub fn each(&self, faults: Faults) {
        lock(&self.shared).each = faults;
    }

    /// A black hole: connections that are open now carry nothing this way any more, and nobody is told. New ones do.
    pub fn hold(&self, way: Way) {
        let open = lock(&self.shared).connections.len();
        self.orders.send_modify(|order| order.held[way as usize] = open);
    }

    /// What was held arrives.
    pub fn release(&self) {
        self.orders.send_modify(|order| order.held = [0, 0]);
    }

    /// Ends every connection that is open.
    pub fn cut(&self, how: Cut) {
        self.orders.send_modify(|order| order.cut = Some((order.cut.map_or(1, |(count, _)| count + 1), how)));
    }

    /// The port refuses from now on. Connections that are open stay.
    pub async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            drop(accepting.await);
        }
    }

    /// It accepts again, on the same port.
    pub async fn accept(&mut self) {
        self.refuse().await;
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let (target, shared, orders) = (self.target, Arc::clone(&self.shared), self.orders.subscribe());
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (number, faults) = admit(&mut lock(&shared));
                let connection = Connection { number, shared: Arc::clone(&shared), orders: orders.clone() };
                tokio::spawn(connection.serve(client, target, faults));
            }
        }));
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        lock(&self.shared).connections.len()
    }

    /// How many of them are open.
    pub fn open(&self) -> usize {
        lock(&self.shared).connections.iter().filter(|one| !one.over).count()
    }

    /// What the connection with this number, from 0, carried.
    pub fn carried(&self, number: usize) -> Carried {
        lock(&self.shared).connections[number].clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        self.cut(Cut::Reset);
    }
}

/// The number of a new connection, and what it suffers.
fn admit(shared: &mut Shared) -> (usize, Faults) {
    shared.connections.push(Carried::default());
    let faults = shared.next.pop_front().unwrap_or(shared.each);
    (shared.connections.len() - 1, faults)
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Connection {
    number: usize,
    shared: Arc<Mutex<Shared>>,
    orders: watch::Receiver<Order>,
}

impl Connection {
    async fn serve(self, mut client: TcpStream, target: SocketAddr, faults: Faults) {
        if let Ok(mut server) = TcpStream::connect(target).await {
            let _latency = (client.set_nodelay(true), server.set_nodelay(true));
            let how = {
                let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
                tokio::select! {
                    how = self.carry(Way::Up, faults.up, from_client, to_server) => how,
                    how = self.carry(Way::Down, faults.down, from_server, to_client) => how,
                    how = self.ordered() => how,
                }
            };
            close(&mut client, how).await;
            close(&mut server, how).await;
        }
        lock(&self.shared).connections[self.number].over = true;
    }

    /// The order to end.
    async fn ordered(&self) -> Cut {
        let mut orders = self.orders.clone();
        let seen = orders.borrow().cut.map(|(count, _)| count);
        let order = orders.wait_for(|order| order.cut.map(|(count, _)| count) != seen).await.ok().and_then(|it| it.cut);
        match order {
            Some((_, how)) => how,
            None => pending().await, // the proxy is gone
        }
    }

    /// One direction, until it ends; how the connection is to end then.
    async fn carry(&self, way: Way, lane: Lane, from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin) -> Cut {
        let (queue, queued) = mpsc::unbounded_channel();
        // Reading goes on while earlier bytes wait: a delay is a long wire, not a narrow one.
        let (read, written) = tokio::join!(read(from, lane, queue), self.write(way, lane, queued, to));
        read.and(written).unwrap_or(Cut::Reset)
    }

    async fn write(&self, way: Way, lane: Lane, mut queued: Queue, mut to: impl AsyncWrite + Unpin) -> Result<Cut> {
        let mut orders = self.orders.clone();
        let (mut passed, mut packets) = (0, Packets { swallow: lane.swallow, ..Packets::default() });
        if let Some((0, how)) = lane.cut {
            return Ok(how);
        }
        while let Some((due, bytes)) = queued.recv().await {
            sleep_until(due).await;
            let held = |order: &Order| order.held[way as usize] > self.number;
            if orders.wait_for(|order| !held(order)).await.is_err() {
                pending::<()>().await; // the proxy is gone, and the hold with it
            }
            let mut bytes: Vec<u8> = bytes.into_iter().filter(|&byte| packets.let_through(byte)).collect();
            if let Some(at) = lane.flip.and_then(|at| at.checked_sub(passed))
                && let Some(byte) = bytes.get_mut(at)
            {
                *byte = !*byte;
            }
            let left = lane.cut.map_or(usize::MAX, |(at, _)| at - passed);
            bytes.truncate(left);
            for part in bytes.chunks(if lane.drip.is_some() { 1 } else { usize::MAX }) {
                sleep(lane.drip.unwrap_or_default()).await;
                to.write_all(part).await?;
                self.note(way, part);
            }
            passed += bytes.len();
            if let Some((at, how)) = lane.cut
                && passed == at
            {
                return Ok(how);
            }
        }
        Ok(Cut::Fin)
    }

    fn note(&self, way: Way, part: &[u8]) {
        let kept = &mut lock(&self.shared).connections[self.number].bytes[way as usize];
        let room = (64_usize << 10).saturating_sub(kept.len());
        kept.extend(part.iter().take(room));
    }
}

type Queue = mpsc::UnboundedReceiver<(Instant, Vec<u8>)>;

async fn read(
    mut from: impl AsyncRead + Unpin,
    lane: Lane,
    queue: mpsc::UnboundedSender<(Instant, Vec<u8>)>,
) -> Result<()> {
    let (mut buffer, mut due) = (vec![0; 16 << 10], Instant::now());
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read?,
            () = queue.closed() => return Ok(()), // the writer has cut it
        };
        if let Some((delay, jitter)) = lane.delay {
            due = due.max(Instant::now() + delay + jitter.mul_f64(fastrand::f64())); // TCP keeps the order
        }
        if read == 0 || queue.send((due, buffer[..read].to_vec())).is_err() {
            return Ok(());
        }
    }
}

async fn close(stream: &mut TcpStream, how: Cut) {
    match how {
        Cut::Reset => drop(stream.set_zero_linger()),
        Cut::Fin => {
            drop(stream.shutdown().await);
            // Closed with unread bytes it would be a reset.
            let mut rest = Vec::new();
            drop(timeout(Duration::from_millis(500), stream.read_to_end(&mut rest)).await);
        }
    }
}

/// The packets of an MQTT stream, followed byte by byte: type and flags, length in up to four bytes of seven bits, body.
#[derive(Default)]
struct Packets {
    swallow: Option<(u8, usize)>,
    /// Of the packet that is passing: whether it is the one to swallow.
    swallowing: bool,
    inside: Inside,
}

#[derive(Clone, Copy, Default)]
enum Inside {
    #[default]
    Start,
    Length {
        so_far: usize,
        shift: u32,
    },
    Body(usize),
}

impl Packets {
    fn let_through(&mut self, byte: u8) -> bool {
        let Packets { swallow, swallowing, inside } = self;
        *inside = match *inside {
            Inside::Start => {
                *swallowing = swallow.is_some_and(|(kind, left)| kind == byte >> 4 && left > 0);
                *swallow = swallow.map(|(kind, left)| (kind, left - usize::from(*swallowing)));
                Inside::Length { so_far: 0, shift: 0 }
            }
            Inside::Length { so_far, shift } => {
                let length = so_far | usize::from(byte & 0x7f) << shift;
                match (byte & 0x80 != 0, length) {
                    (true, so_far) => Inside::Length { so_far, shift: (shift + 7) % 28 },
                    (false, 0) => Inside::Start,
                    (false, length) => Inside::Body(length),
                }
            }
            Inside::Body(1) => Inside::Start,
            Inside::Body(left) => Inside::Body(left - 1),
        };
        !*swallowing
    }
}

/// The first byte of each whole or begun MQTT packet in these bytes.
pub fn packets(bytes: &[u8]) -> Vec<u8> {
    let mut following = Packets::default();
    let mut found = Vec::new();
    for &byte in bytes {
        if matches!(following.inside, Inside::Start) {
            found.push(byte);
        }
        following.let_through(byte);
    }
    found
}
