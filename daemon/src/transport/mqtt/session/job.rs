//! One request of the session.

use edge_core::Mono;

use crate::ledger::Key;
use crate::transport::mqtt::acks::AckId;
use crate::transport::mqtt::packet::Outbound;

/// Where a request is; see the session's drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Left by a former daemon, waits for its turn.
    Parked,
    Recalling,
    Securing,
    Running,
    Keeping,
    Sending,
}

/// What the journal has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Journaled {
    /// QoS 0: nothing is promised.
    Never,
    No,
    Writing,
    Safe,
    /// It was tried, and could not be.
    Failed,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) phase: Phase,
    pub(super) journal: Journaled,
    pub(super) key: Option<Key>,
    /// It is the one that its key names.
    pub(super) leads: bool,
    /// Owed on this connection.
    pub(super) acks: Vec<AckId>,
    pub(super) received: Mono,
    pub(super) bytes: usize,
    /// Payload bytes that count as open.
    pub(super) weight: u64,
    /// Counted as one that the journal had no room for.
    pub(super) unjournaled: bool,
    pub(super) deferrable: bool,
    /// It was open, perhaps, when a daemon died.
    pub(super) suspect: bool,
    pub(super) deaths: u8,
    pub(super) restored: bool,
    /// While it is being stored.
    pub(super) reply: Option<Outbound>,
}

impl Job {
    pub(super) fn new(received: Mono, bytes: usize, key: Option<Key>, deaths: u8) -> Job {
        Job {
            phase: Phase::Running,
            journal: Journaled::No,
            key,
            leads: false,
            acks: Vec::new(),
            received,
            bytes,
            weight: 0,
            unjournaled: false,
            deferrable: false,
            suspect: false,
            deaths,
            restored: false,
            reply: None,
        }
    }
}
