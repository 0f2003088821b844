//! The spool: deferred requests that wait on disk until something can serve them, and the replies that they got.
//!
//! What is [`Report::Stored`] survives kill -9 and the loss of power. A row leaves only by [`Spool::answered`], in the
//! same transaction that keeps its reply, so a request is never lost and never gets two answers that differ: whoever
//! asks again with the same caller, id and model gets the bytes of the first. A request that was handed out
//! ([`Spool::alive`]) when the daemon crashed has one death more; after [`MAX_DEATHS`] it is never handed out again.
//!
//! Time is told with each order ([`Now`]). A request expires when its span of running time is over or its deadline by
//! the wall clock, where a clock that is set in this life moves the deadlines along: set back a day, nothing waits a
//! day longer; set forward, nothing expires by that. Over a restart the wall clock says how long the machine was off.
//!
//! Must not know what a request means: head and reply are bytes, class and caller are words of the driver.

mod file;
mod work;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::LedgerError;
use super::journal::{NotTaken, Shut};
use super::thread::Desk;
pub use super::thread::Moved;
pub use super::time::Now;

/// Deaths after which a request is not handed out again (contract, section 4).
pub const MAX_DEATHS: u8 = 2;
/// Orders that wait for the thread.
const WAITING: usize = 1024;
/// Payload bytes that wait for the thread; beyond, a request is [`NotTaken::Behind`], unless it is the only one.
const WAITING_BYTES: u64 = 64 << 20;
/// Rows that one order gives back at most.
pub const PAGE: usize = 256;

/// How much may wait, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Requests that wait.
    pub rows: u64,
    /// Bytes of their payloads and heads.
    pub bytes: u64,
    /// How long one waits at most, milliseconds; also the deadline of one that has none.
    pub age_ms: i64,
    /// How long a reply is kept for whoever asks again, milliseconds.
    pub reply_age_ms: i64,
    /// Replies that are kept; at either bound the oldest goes.
    pub replies: u64,
    pub reply_bytes: u64,
    /// Bytes that the spool leaves free on its disk for the others (journal, audit).
    pub keep_free: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            rows: 10_000,
            bytes: 1 << 30,
            age_ms: 7 * 86_400_000,
            reply_age_ms: super::replies::WINDOW_MS,
            replies: 10_000,
            reply_bytes: 64 << 20,
            keep_free: 64 << 20,
        }
    }
}

/// Who is served first; within one priority the earlier deadline, then who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    High,
    Normal,
    Low,
}

/// What a request is known by: asked again with the same, it is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// Whose `request_id` it is.
    pub caller: String,
    pub request_id: String,
    pub model: String,
}

/// A request to keep until it can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferred {
    /// Milliseconds since 1970, wall clock.
    pub received_ms: i64,
    /// After this the answer has no value, milliseconds since 1970; `None` if it has until the age bound.
    pub deadline_ms: Option<i64>,
    pub rank: Rank,
    /// The word of its data class.
    pub class: String,
    pub key: Key,
    /// What the driver needs to take it up again.
    pub head: Vec<u8>,
    pub payload: Bytes,
}

/// A request that waits; its payload stays on disk until [`Spool::fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub id: i64,
    pub received_ms: i64,
    pub deadline_ms: Option<i64>,
    /// Milliseconds until it expires, by both clocks; 0 if it has. The driver goes by this, not by `deadline_ms`.
    pub left_ms: i64,
    pub rank: Rank,
    /// The word of its data class; empty in a file of a time that did not tell.
    pub class: String,
    pub key: Key,
    /// Crashes of the daemon at which it was handed out.
    pub deaths: u8,
    pub head: Vec<u8>,
    pub payload_len: u64,
}

/// What can be served now. Nothing given restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Only these models.
    pub models: Option<Vec<String>>,
    /// None of these.
    pub except_models: Vec<String>,
    /// Only these data classes.
    pub classes: Option<Vec<String>>,
    /// None of these.
    pub except: HashSet<i64>,
}

/// How full it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    pub rows: u64,
    pub bytes: u64,
    /// When the oldest of them was received, milliseconds since 1970.
    pub oldest_ms: Option<i64>,
    pub replies: u64,
    pub reply_bytes: u64,
}

/// What was found when the file was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub level: Level,
    /// Requests with [`MAX_DEATHS`], to be answered `internal` by [`Spool::answered`]; they are never taken.
    pub dead: Vec<Waiting>,
    /// The last daemon crashed, or was killed.
    pub crashed: bool,
    /// Where an unreadable spool went; what waited in it is lost to this box.
    pub moved: Moved,
}

/// Why a request is not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the spool is full: {bound} requests wait")]
    RowsFull { bound: u64 },
    #[error("the spool is full: {used} of {bound} bytes wait, and this request has {asked}")]
    BytesFull { used: u64, bound: u64, asked: u64 },
    #[error("a request of {asked} bytes never fits the spool, which holds {bound} bytes")]
    TooLarge { asked: u64, bound: u64 },
    #[error("the deadline of the request has passed")]
    Expired,
    #[error("the disk of the spool is full: {0}")]
    DiskFull(String),
    #[error("the spool cannot be written: {0}")]
    Disk(String),
    #[error("the spool cannot be opened: {0}")]
    Shut(String),
}

impl Refusal {
    /// When asking again may help, milliseconds; `None` if it never does.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            // As soon as something is served or expires.
            Refusal::RowsFull { .. } | Refusal::BytesFull { .. } => Some(5_000),
            // A person has to make room, or something has to be deleted.
            Refusal::DiskFull(_) | Refusal::Disk(_) | Refusal::Shut(_) => Some(60_000),
            Refusal::TooLarge { .. } | Refusal::Expired => None,
        }
    }
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recalled {
    Unknown,
    /// It waits, or is being served.
    Waits(i64),
    /// It was answered by this within the window.
    Answered(Bytes),
}

/// What the thread says. `mark` is the driver's own number for the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The file is open. Comes before any other report but [`Report::Shut`]; again if the file had to be moved aside
    /// while it was used, and if it was opened on a full disk, when there is room: until then what was handed out when
    /// the last daemon crashed is held back.
    Opened(Found),
    /// The file cannot be opened; it is tried again every 2 s. Comes for each new reason. What is ordered meanwhile is
    /// refused.
    Shut(Shut),
    /// On disk; survives kill -9 and the loss of power.
    Stored {
        mark: u64,
        id: i64,
    },
    /// The same request waits already; nothing was stored.
    Same {
        mark: u64,
        id: i64,
    },
    /// The same request was answered by this; nothing was stored.
    Repeated {
        mark: u64,
        reply: Bytes,
    },
    /// Not kept.
    Refused {
        mark: u64,
        refusal: Refusal,
    },
    /// What is to be served next, or why it cannot be read.
    Taken {
        mark: u64,
        rows: Result<Vec<Waiting>, String>,
    },
    /// The payload; `None` if the request is gone.
    Fetched {
        id: i64,
        payload: Result<Option<Bytes>, String>,
    },
    /// Answered, and that is on disk: the reply may go out.
    Kept {
        id: i64,
    },
    /// It was answered before by this, which is what must go out.
    KeptBefore {
        id: i64,
        reply: Bytes,
    },
    /// The answer is not on disk, and why; it is tried again by itself. A reply that goes out now may be followed by
    /// another one if the daemon crashes before there is room.
    NotKept {
        id: i64,
        why: String,
    },
    Recalled {
        mark: u64,
        found: Result<Recalled, String>,
    },
    /// What waits under a caller's id, at most [`PAGE`] of it.
    Named {
        mark: u64,
        rows: Result<Vec<Waiting>, String>,
    },
    /// These have expired and are to be answered; each is named once in a life. `next_ms`: in how many milliseconds the next of
    /// them does that is not handed out; 0 if there are others already, `None` if nothing waits.
    Swept {
        expired: Vec<Waiting>,
        next_ms: Option<i64>,
        level: Level,
    },
    /// Nothing can be written now, and why. Comes once.
    Failing(String),
    /// What could not be written can be written again.
    Works,
}

/// What the thread is told.
#[derive(Debug)]
enum Order {
    Put { mark: u64, now: Now, row: Box<Deferred> },
    Take { mark: u64, now: Now, n: usize, wish: Wish },
    Fetch(i64),
    Alive(i64),
    Back(i64),
    Answered { id: i64, now: Now, reply: Option<Bytes> },
    Recall { mark: u64, now: Now, of: Key },
    Named { mark: u64, now: Now, caller: String, request_id: String },
    Sweep(Now),
}

/// The spool's end for the driver. Orders never wait; each is answered by the report that it names.
#[derive(Debug)]
pub struct Spool {
    desk: Desk<Order>,
    /// Payload bytes on their way to the thread.
    on_the_way: Arc<AtomicU64>,
}

impl Spool {
    /// Starts the thread, which opens the file at `path` and says so by [`Report::Opened`].
    pub fn start(path: &Path, bounds: Bounds, now: Now, reports: mpsc::Sender<Report>) -> Result<Spool, LedgerError> {
        let on_the_way = Arc::new(AtomicU64::new(0));
        let work = work::Worker::new(PathBuf::from(path), bounds, now, Arc::clone(&on_the_way));
        Ok(Spool { desk: Desk::start(work, "spool", path, WAITING, reports)?, on_the_way })
    }

    /// Keeps a request: [`Report::Stored`], [`Report::Same`], [`Report::Repeated`] or [`Report::Refused`].
    pub fn put(&self, mark: u64, now: Now, row: Deferred) -> Result<(), NotTaken> {
        let bytes = u64::try_from(row.payload.len()).unwrap_or(u64::MAX);
        let before = self.on_the_way.fetch_add(bytes, Ordering::AcqRel);
        let fits = before == 0 || before.saturating_add(bytes) <= WAITING_BYTES;
        let put = || self.desk.order(Order::Put { mark, now, row: Box::new(row) });
        let taken = if fits { put() } else { Err(NotTaken::Behind) };
        if taken.is_err() {
            self.on_the_way.fetch_sub(bytes, Ordering::AcqRel);
        }
        taken
    }

    /// The next requests, at most `n` and [`PAGE`]: [`Report::Taken`]. Neither those that are handed out, nor dead or
    /// expired ones. They can be taken again until they are told to be [`Spool::alive`].
    pub fn take(&self, mark: u64, now: Now, n: usize, wish: Wish) -> Result<(), NotTaken> {
        self.desk.order(Order::Take { mark, now, n, wish })
    }

    /// Reads a payload: [`Report::Fetched`].
    pub fn fetch(&self, id: i64) -> Result<(), NotTaken> {
        self.desk.order(Order::Fetch(id))
    }

    /// Notes that a request is handed out: from here on a crash counts against it. When a [`Report::Fetched`] that was
    /// ordered after this comes, the file knows.
    pub fn alive(&self, id: i64) -> Result<(), NotTaken> {
        self.desk.order(Order::Alive(id))
    }

    /// Takes a request back that was handed out and could not be served: it waits again, in its old place.
    pub fn back(&self, id: i64) -> Result<(), NotTaken> {
        self.desk.order(Order::Back(id))
    }

    /// A request has its answer, which is kept for whoever asks again (`None` keeps nothing, for one that was
    /// cancelled): [`Report::Kept`], [`Report::KeptBefore`] or [`Report::NotKept`]. The reply goes out after that.
    pub fn answered(&self, id: i64, now: Now, reply: Option<Bytes>) -> Result<(), NotTaken> {
        self.desk.order(Order::Answered { id, now, reply })
    }

    /// What is known of a key: [`Report::Recalled`].
    pub fn recall(&self, mark: u64, now: Now, of: Key) -> Result<(), NotTaken> {
        self.desk.order(Order::Recall { mark, now, of })
    }

    /// What waits under a caller's id, whatever the model: [`Report::Named`]. It is answered already, or on its way here, if it is
    /// not among them.
    pub fn named(&self, mark: u64, now: Now, caller: String, request_id: String) -> Result<(), NotTaken> {
        self.desk.order(Order::Named { mark, now, caller, request_id })
    }

    /// Looks for what has expired, and lets old replies go: [`Report::Swept`]. To be ordered every few seconds.
    pub fn sweep(&self, now: Now) -> Result<(), NotTaken> {
        self.desk.order(Order::Sweep(now))
    }

    /// Has all orders carried out and notes that this daemon ended in good order; a request that is still handed out is
    /// no death. Gives back what nobody has taken of `reports`. Blocks on the disk: not for the loop.
    pub fn close(self, reports: mpsc::Receiver<Report>) -> Vec<Report> {
        self.desk.close(reports)
    }
}

#[cfg(test)]
mod tests;
