//! How far an order has come, and what of its body has left: seen by the order's task, by the body that is sent, and by the
//! connecting. Once it is closed, nothing more of the body is handed out.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use edge_core::Mono;
use http_body::{Frame, SizeHint};
use sha2::{Digest as _, Sha256};

use super::error::Phase;
use crate::driver::clock::Clock;

/// A larger piece of a body is handed out in parts, so that its digest holds nobody up for long.
const FRAME: usize = 256 << 10;

/// What was out when the order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Nothing.
    Nothing,
    /// Of the request only its head: method, path with the model's name, headers. No byte of the payload.
    Headers,
    /// A part of the payload: the site cannot have served it.
    Part,
    /// All of it: the site may have served it.
    All,
}

impl Sent {
    /// Whether a byte of the payload was out.
    pub fn payload(self) -> bool {
        matches!(self, Sent::Part | Sent::All)
    }
}

/// Shared by those who see to one order. All of them are on one thread, so that nobody ever waits for the lock; it is there
/// because the body of a request must be such that it could go to another one.
#[derive(Debug)]
pub struct Meter {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When a connection of its own was begun, and when it was there.
    connecting: Option<Mono>,
    connected: Option<Mono>,
    first_byte: Option<Mono>,
    head: bool,
    whole: bool,
    sent: u64,
    received: u64,
    /// Of what was sent, where it is noted.
    digest: Option<Sha256>,
    closed: bool,
}

/// What the meter says at the end.
#[derive(Clone, Debug)]
pub struct Read {
    pub sent: Sent,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub digest: Option<[u8; 32]>,
    pub connect: Option<Duration>,
    pub first_byte: Option<Mono>,
}

impl Meter {
    /// `noted`: a digest is made of what is sent.
    pub fn new(clock: Clock, noted: bool) -> Arc<Meter> {
        let state = State {
            phase: Phase::Waiting,
            connecting: None,
            connected: None,
            first_byte: None,
            head: false,
            whole: false,
            sent: 0,
            received: 0,
            digest: noted.then(Sha256::new),
            closed: false,
        };
        Arc::new(Meter { clock, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// It goes on to this.
    pub fn enter(&self, phase: Phase) {
        self.state().phase = phase;
    }

    /// A connection is being made for it.
    pub fn connecting(&self) {
        let now = self.clock.now();
        self.state().connecting.get_or_insert(now);
    }

    /// That connection is there.
    pub fn connected(&self) {
        let now = self.clock.now();
        self.state().connected.get_or_insert(now);
    }

    /// So many bytes of the answer came.
    pub fn received(&self, bytes: usize) {
        let mut state = self.state();
        state.received += bytes as u64;
        state.phase = Phase::Reading;
    }

    /// The answer has begun: its first byte, or the first chunk of a stream.
    pub fn begun(&self) {
        let mut state = self.state();
        if state.first_byte.is_none() {
            state.first_byte = Some(self.clock.now());
        }
    }

    /// Nothing goes out from here on; what was out.
    pub fn close(&self) -> Read {
        let mut state = self.state();
        state.closed = true;
        let sent = match (state.sent, state.whole, state.head) {
            (_, true, _) => Sent::All,
            (1.., false, _) => Sent::Part,
            (0, false, true) => Sent::Headers,
            (0, false, false) => Sent::Nothing,
        };
        let connect = state.connecting.zip(state.connected).map(|(from, to)| to.since(from));
        Read {
            sent,
            sent_bytes: state.sent,
            received_bytes: state.received,
            digest: state.digest.clone().map(|digest| digest.finalize().into()),
            connect,
            first_byte: state.first_byte,
        }
    }

    /// A connection has taken the request.
    fn head(&self, whole: bool) {
        let mut state = self.state();
        state.head = true;
        state.whole |= whole;
        if matches!(state.phase, Phase::Waiting | Phase::Connecting) {
            state.phase = Phase::Sending;
        }
    }

    /// Whether this may go out; counted, if so.
    fn give(&self, piece: &[u8], last: bool) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        state.head = true;
        if let Some(digest) = &mut state.digest {
            digest.update(piece);
        }
        state.sent += piece.len() as u64;
        state.whole = last;
        state.phase = if last { Phase::Answer } else { Phase::Sending };
        true
    }
}

/// The body of a request: pieces that are not put together, so that nothing large is copied.
#[derive(Debug)]
pub struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
    meter: Arc<Meter>,
}

/// The order has ended while its body was still being sent.
#[derive(Debug, thiserror::Error)]
#[error("the request was given up")]
pub struct Ended;

impl Pieces {
    pub fn new(pieces: Vec<Bytes>, meter: Arc<Meter>) -> Pieces {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Pieces { pieces: pieces.into(), left, meter }
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Ended;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Ended>>> {
        while let Some(mut piece) = self.pieces.pop_front() {
            if piece.is_empty() {
                continue;
            }
            let rest = piece.split_off(piece.len().min(FRAME));
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
            self.left -= piece.len() as u64;
            let given = self.meter.give(&piece, self.left == 0);
            return Poll::Ready(Some(if given { Ok(Frame::data(piece)) } else { Err(Ended) }));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        // It is asked for the first time when a connection writes the head of the request.
        self.meter.head(self.left == 0);
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
