//! A link that fails as it is told: a TCP proxy in the test's process that delays, throttles, stalls, swallows, resets and
//! parts, changed while it runs. It counts what either side sent and what was passed on, and keeps a copy of the beginning, so
//! that a test can say that nothing of a payload left the box (without TLS: through TLS there is nothing to be found).

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Sleep;

/// Bytes that are read at a time.
const PIECE: usize = 16 << 10;
/// Pieces under way in one direction of one connection: the link's own buffer.
const UNDER_WAY: usize = 64;
/// Writes in a second of a throttled link.
const WRITES_A_SECOND: u64 = 50;
/// Most bytes of one direction that are kept to be searched.
const KEPT: usize = 8 << 20;

/// What one direction of the link does to each connection. The default passes everything on at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Each byte comes so much later.
    pub delay: Duration,
    /// No more than so many bytes in a second.
    pub bytes_per_second: Option<u64>,
    /// After each so many bytes nothing comes for so long: what the loss of a segment looks like to a stream.
    pub stall: Option<(u64, Duration)>,
    /// After so many bytes of a connection both its ends are reset.
    pub reset_after: Option<u64>,
    /// After so many bytes the receiver sees the end, while the sender sends on.
    pub close_after: Option<u64>,
    /// Everything is taken and nothing is passed on.
    pub black_hole: bool,
}

/// What the link does. The default is a good link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// From the one who connects.
    pub up: Way,
    /// From the one who is connected to.
    pub down: Way,
    /// Nothing passes either way until this ends; connections stay, and new ones get no answer.
    pub parted: bool,
    /// New connections are reset at once.
    pub refusing: bool,
}

/// What went one way, over all connections.
#[derive(Debug, Default)]
struct Counted {
    sent: AtomicU64,
    passed: AtomicU64,
    kept: Mutex<Vec<u8>>,
}

/// One direction, as a test asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the one who connects.
    Up,
    /// Back.
    Down,
}

#[derive(Debug, Default)]
struct Counts {
    up: Counted,
    down: Counted,
    connections: AtomicU64,
}

/// A running link; connections through it end with the value.
#[derive(Debug)]
pub struct Faulty {
    port: u16,
    faults: watch::Sender<Faults>,
    counts: Arc<Counts>,
}

impl Faulty {
    /// A good link to `port` of the loopback.
    pub fn to(port: u16) -> Result<Faulty> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("listen")?;
        listener.set_nonblocking(true)?;
        let own = listener.local_addr()?.port();
        let (faults, told) = watch::channel(Faults::default());
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let target = SocketAddr::from(([127, 0, 0, 1], port));
        std::thread::Builder::new().name("faulty".into()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                accept(&listener, target, told, counted).await;
            });
        })?;
        Ok(Faulty { port: own, faults, counts })
    }

    /// Port on 127.0.0.1 that leads to the other end.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what it does, from the next piece on, for connections that there are as well.
    pub fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }

    /// Parts the two ends, or joins them again.
    pub fn part(&self, parted: bool) {
        self.change(|faults| faults.parted = parted);
    }

    /// Makes it a good link again.
    pub fn heal(&self) {
        self.change(|faults| *faults = Faults::default());
    }

    /// Connections that were taken so far, those that were reset at once included.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Bytes that a side sent into the link: they have left it, whatever became of them.
    pub fn sent(&self, direction: Direction) -> u64 {
        self.counted(direction).sent.load(Ordering::SeqCst)
    }

    /// Bytes that came out at the other end.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.counted(direction).passed.load(Ordering::SeqCst)
    }

    /// Whether these bytes stand, in one piece, in what a side sent. An error if more was sent than is kept: then nobody can
    /// say that they do not.
    pub fn carried(&self, direction: Direction, marker: &[u8]) -> Result<bool> {
        let counted = self.counted(direction);
        let kept = counted.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = !marker.is_empty() && kept.windows(marker.len()).any(|window| window == marker);
        let sent = counted.sent.load(Ordering::SeqCst);
        anyhow::ensure!(found || sent <= KEPT as u64, "{sent} bytes were sent, and only {KEPT} are kept");
        Ok(found)
    }

    fn counted(&self, direction: Direction) -> &Counted {
        match direction {
            Direction::Up => &self.counts.up,
            Direction::Down => &self.counts.down,
        }
    }
}

/// Takes connections until the value is dropped.
async fn accept(listener: &TcpListener, target: SocketAddr, told: watch::Receiver<Faults>, counts: Arc<Counts>) {
    let mut gone = told.clone();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = dropped(&mut gone) => return,
        };
        let Ok((stream, _)) = stream else { return };
        counts.connections.fetch_add(1, Ordering::SeqCst);
        if told.borrow().refusing {
            stream.set_zero_linger().ok();
            continue;
        }
        tokio::spawn(connection(stream, target, told.clone(), Arc::clone(&counts)));
    }
}

/// Waits until the value is dropped.
async fn dropped(told: &mut watch::Receiver<Faults>) {
    while told.changed().await.is_ok() {}
}

/// Why a connection ends early.
#[derive(Debug)]
struct Reset;

async fn connection(mut near: TcpStream, target: SocketAddr, told: watch::Receiver<Faults>, counts: Arc<Counts>) {
    let mut whole = told.clone();
    // A parted link does not even say that it is one.
    if whole.wait_for(|faults| !faults.parted).await.is_err() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(target).await else {
        near.set_zero_linger().ok();
        return;
    };
    near.set_nodelay(true).ok();
    far.set_nodelay(true).ok();
    let ended = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let up = pump(near_read, far_write, told.clone(), |faults| faults.up, &counts.up);
        let down = pump(far_read, near_write, told.clone(), |faults| faults.down, &counts.down);
        let both = async { tokio::try_join!(up, down) };
        let mut gone = told.clone();
        tokio::select! {
            ended = both => ended.map(drop),
            () = dropped(&mut gone) => Err(Reset),
        }
    };
    if ended.is_err() {
        near.set_zero_linger().ok();
        far.set_zero_linger().ok();
    }
}

/// A piece under way, with the delay that began when it was sent; empty at the end.
type Piece = (Pin<Box<Sleep>>, Vec<u8>);

async fn pump(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    told: watch::Receiver<Faults>,
    way: fn(&Faults) -> Way,
    counted: &Counted,
) -> Result<(), Reset> {
    let (into, out) = mpsc::channel::<Piece>(UNDER_WAY);
    let delay = told.clone();
    let take = take_in(from, into, move || way(&delay.borrow()).delay, counted);
    tokio::try_join!(take, give_out(to, out, told, way, counted)).map(drop)
}

async fn take_in(
    mut from: impl AsyncRead + Unpin,
    into: mpsc::Sender<Piece>,
    delay: impl Fn() -> Duration,
    counted: &Counted,
) -> Result<(), Reset> {
    let mut buffer = vec![0; PIECE];
    loop {
        let read = from.read(&mut buffer).await.map_err(|_| Reset)?;
        let piece = buffer.get(..read).unwrap_or_default().to_vec();
        counted.sent.fetch_add(read as u64, Ordering::SeqCst);
        {
            let mut kept = counted.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let room = KEPT.saturating_sub(kept.len()).min(piece.len());
            kept.extend_from_slice(&piece[..room]);
        }
        if into.send((Box::pin(tokio::time::sleep(delay())), piece)).await.is_err() || read == 0 {
            return Ok(());
        }
    }
}

async fn give_out(
    mut to: impl AsyncWrite + Unpin,
    mut out: mpsc::Receiver<Piece>,
    mut told: watch::Receiver<Faults>,
    way: fn(&Faults) -> Way,
    counted: &Counted,
) -> Result<(), Reset> {
    let (mut given, mut closed) = (0_u64, false);
    while let Some((delay, piece)) = out.recv().await {
        delay.await;
        let mut rest = piece.as_slice();
        if rest.is_empty() && !closed {
            told.wait_for(|faults| !faults.parted).await.map_err(|_| Reset)?;
            // The receiver may have gone before.
            to.shutdown().await.ok();
        }
        while !rest.is_empty() {
            let now = way(&*told.wait_for(|faults| !faults.parted).await.map_err(|_| Reset)?);
            if now.black_hole || closed {
                break;
            }
            let (piece, later) = rest.split_at(allowed(&now, given, rest.len()));
            to.write_all(piece).await.map_err(|_| Reset)?;
            let before = given;
            given += piece.len() as u64;
            counted.passed.fetch_add(piece.len() as u64, Ordering::SeqCst);
            rest = later;
            if now.reset_after.is_some_and(|most| given >= most) {
                return Err(Reset);
            }
            if now.close_after.is_some_and(|most| given >= most) {
                to.shutdown().await.map_err(|_| Reset)?;
                closed = true;
            }
            tokio::time::sleep(rest_after(&now, before, given)).await;
        }
    }
    Ok(())
}

/// How many of `wanted` bytes may be written at once, of which `given` went before: up to the next thing that happens. At
/// least one, so that a limit that was passed already is met at the next byte.
fn allowed(way: &Way, given: u64, wanted: usize) -> usize {
    let until = |mark: u64| mark.saturating_sub(given).max(1);
    let marks = [
        way.reset_after.map(until),
        way.close_after.map(until),
        way.stall.map(|(every, _)| every.max(1) - given % every.max(1)),
        way.bytes_per_second.map(|rate| (rate / WRITES_A_SECOND).max(1)),
    ];
    let most = marks.into_iter().flatten().min().unwrap_or(u64::MAX);
    usize::try_from(most).map_or(wanted, |most| most.min(wanted))
}

/// The pause after `before..given` was written.
fn rest_after(way: &Way, before: u64, given: u64) -> Duration {
    let throttle = way.bytes_per_second.map_or(Duration::ZERO, |rate| {
        Duration::from_nanos((given - before).saturating_mul(1_000_000_000) / rate.max(1))
    });
    let stall = way.stall.filter(|(every, _)| before / (*every).max(1) != given / (*every).max(1));
    throttle + stall.map_or(Duration::ZERO, |(_, pause)| pause)
}

#[cfg(test)]
mod tests;
