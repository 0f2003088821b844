//! What the host says. Any thread may send: a packet is atomic, and a full socket blocks only the thread that has
//! something to say.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::channel::{self, ChannelError};
use crate::fault::{chain, cut};
use crate::protocol::FromHost;

/// Notes that the runtime may cause in the life of one host.
const MAX_NOTES: u32 = 200;

/// The way to the daemon.
#[derive(Clone)]
pub struct Outbox {
    socket: Arc<OwnedFd>,
    notes: Arc<AtomicU32>,
}

impl Outbox {
    /// Sends over `socket`, whose other end is the daemon.
    pub fn new(socket: Arc<OwnedFd>) -> Outbox {
        Outbox { socket, notes: Arc::new(AtomicU32::new(0)) }
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

    /// Says something that is worth a line in the log; falls silent after a bounded number of lines.
    pub fn note(&self, message: impl Into<String>) {
        match self.notes.fetch_add(1, Ordering::Relaxed) {
            MAX_NOTES.. => {}
            said => {
                let mut message = cut(message.into());
                if said + 1 == MAX_NOTES {
                    message.push_str(" (further notes are left out)");
                }
                self.send(&FromHost::Note { message }, &[]);
            }
        }
    }
}
