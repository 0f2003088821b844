//! What goes into the session and what comes out of it.

use std::time::Duration;

use super::RESTORED_AT_ONCE;
use crate::ledger::Key;
use crate::transport::mqtt::outbox;
use crate::transport::mqtt::packet::Qos;

/// One request, by its number in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub i64);

/// The bounds that it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub journal_after: Duration,
    pub journal_rows: u64,
    pub journal_bytes: u64,
    pub replies_waiting: usize,
    pub inflight: usize,
    /// Payloads of requests that are not answered, together.
    pub inflight_bytes: u64,
    pub outbox: outbox::Bounds,
    /// A broker that acknowledges nothing for so long, while it owes something, is left.
    pub stalled_after: Duration,
}

impl Limits {
    /// Requests that can be open at once: on their way to an acknowledgement, of QoS 0, or in the journal.
    pub fn most_open(&self) -> usize {
        const MOST: usize = 1 << 24;
        let rows = usize::try_from(self.journal_rows).unwrap_or(MOST);
        let all = rows.saturating_add(self.inflight).saturating_add(self.replies_waiting);
        all.saturating_add(RESTORED_AT_ONCE).min(MOST)
    }
}

/// What the session needs to know of a message that carries a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub packet_id: u16,
    pub qos: Qos,
    pub redelivered: bool,
    /// Size of the payload.
    pub bytes: usize,
    /// By what its reply is known, if it has an id.
    pub key: Option<Key>,
    pub deferrable: bool,
    /// A former daemon may have answered it.
    pub maybe_answered: bool,
    /// It is refused by the transport itself: nothing has to be looked up, run or journaled.
    pub refused: bool,
}

/// What is to be done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A request of its own.
    New(JobId),
    /// Known already; nothing to do.
    Known,
    /// Not taken: it stays with the broker, or there is no room for it.
    Left(Why),
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The daemon is stopping; the broker keeps it.
    Stopping,
    /// As many requests are open as may be.
    Full,
    /// As many bytes of requests are open as may be.
    Heavy,
}

/// What the transport is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hand it to the driver.
    Run { job: JobId, deaths: u8 },
    /// Answer it `overloaded`: the journal has no room for a request that may wait long.
    Refuse(JobId),
    /// Look for its reply.
    Recall { job: JobId, key: Key },
    /// Store its reply, then let it out.
    Keep { job: JobId, key: Key },
    /// Put it into the journal.
    Write { job: JobId, deaths: u8 },
    /// Take it out of the journal.
    Remove(JobId),
    /// For its trace.
    Note { job: JobId, step: Noted },
    /// It is over.
    Forget(JobId),
    /// The broker does not take a request to another box.
    OrderRefused(u64),
    /// The results of what came by no message of the broker are with it or on the disk.
    Posted(JobId),
    /// What the outbox has for the disk.
    Outbox(outbox::Action),
    /// Make the connection anew.
    Reconnect,
}

/// What is worth a line in the trace of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    Journaled,
    Replied,
    ReplyRefused,
}

/// Numbers for the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub replies_waiting: usize,
    pub journaled: u64,
    /// Replies of QoS 0 that found no room.
    pub dropped: u64,
    /// Replies that the broker refused.
    pub refused_by_broker: u64,
    /// Requests that the journal had no room for.
    pub unjournaled: u64,
    /// Messages for subscribers.
    pub outbox: outbox::Level,
}
