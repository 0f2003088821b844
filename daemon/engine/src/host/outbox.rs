//! What the host says. Any thread may send: a packet is atomic, and a full socket blocks only the thread that has
//! something to say.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use super::clock;
use crate::channel::{self, ChannelError};
use crate::fault::{chain, cut};
use crate::protocol::FromHost;

/// Notes in one minute; the runtime has something to say about each request that it fails.
const NOTES_A_MINUTE: u32 = 20;
const MINUTE_NS: u64 = 60_000_000_000;

/// The way to the daemon.
#[derive(Clone)]
pub struct Outbox {
    socket: Arc<OwnedFd>,
    notes: Arc<Mutex<Notes>>,
}

impl Outbox {
    /// Sends over `socket`, whose other end is the daemon.
    pub fn new(socket: Arc<OwnedFd>) -> Outbox {
        Outbox { socket, notes: Arc::default() }
    }

    /// Sends a message. If the daemon is gone the reader thread sees it too and ends the process, so nothing is
    /// reported here; a message that cannot be sent at all is a fault of this program and is said as a note.
    pub fn send(&self, message: &FromHost, fds: &[BorrowedFd<'_>]) {
        match channel::send(self.socket.as_fd(), message, fds) {
            Ok(()) | Err(ChannelError::Closed) => {}
            Err(error) => {
                let note = FromHost::Note { message: format!("a message could not be sent: {}", chain(&error)) };
                let _ = channel::send(self.socket.as_fd(), &note, &[]);
            }
        }
    }

    /// Says something that is worth a line in the log, so many times a minute.
    pub fn note(&self, message: impl Into<String>) {
        let said = self.notes.lock().unwrap_or_else(PoisonError::into_inner).count(clock::now_ns());
        let mut message = cut(message.into());
        match said {
            1..NOTES_A_MINUTE => {}
            NOTES_A_MINUTE => message.push_str(" (further notes of this minute are left out)"),
            _ => return,
        }
        self.send(&FromHost::Note { message }, &[]);
    }
}

/// Notes of the present minute.
#[derive(Default)]
struct Notes {
    minute: u64,
    said: u32,
}

impl Notes {
    /// Counts one more and says the how many-th of its minute it is.
    fn count(&mut self, now: u64) -> u32 {
        let minute = now / MINUTE_NS;
        if minute != self.minute {
            *self = Notes { minute, said: 0 };
        }
        self.said = self.said.saturating_add(1);
        self.said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_counted_by_the_minute() {
        let mut notes = Notes::default();
        assert_eq!([10, 20, 30].map(|now| notes.count(now)), [1, 2, 3]);
        assert_eq!([MINUTE_NS, MINUTE_NS + 1].map(|now| notes.count(now)), [1, 2]);
    }
}
