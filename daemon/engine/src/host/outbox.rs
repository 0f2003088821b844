//! What the host says. Any thread may send: a packet is atomic, and a full socket blocks only the thread that has
//! something to say.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::channel::{self, ChannelError};
use crate::protocol::{FromHost, HostError};

/// Longest message of one error or note, bytes.
pub const MAX_MESSAGE: usize = 1 << 10;
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

/// An error with its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(error.to_string().trim_end());
        cause = error.source();
    }
    text
}

/// Cuts a text to what one packet can carry many times.
pub fn cut(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}

/// An error for the daemon.
pub fn host_error(kind: crate::protocol::ErrorKind, message: impl Into<String>) -> HostError {
    HostError { kind, message: cut(message.into()) }
}
