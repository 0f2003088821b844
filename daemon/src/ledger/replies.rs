//! Replies by who asked and by which id, written before they are published: when a daemon dies between answering and
//! acknowledging, the broker gives the request to the next one, which then gives the same bytes and runs nothing.
//!
//! The file lies in the runtime directory (memory), so it survives a crash and not a reboot, and nothing is flushed.
//! Must not know what a reply says.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::mpsc;

use super::{Key, LedgerError, database};
use crate::driver::chain;

/// How long a reply is kept, in milliseconds (docs/json.md, `duplicate`).
pub const WINDOW_MS: i64 = 600_000;
/// Replies that are kept at most.
const MAX_REPLIES: usize = 8192;
/// Bytes of replies that are kept at most; they are memory.
const MAX_BYTES: usize = 16 << 20;
/// A larger reply is not kept: it would push out too many others.
const MAX_REPLY: usize = 1 << 20;
/// Orders that wait for the thread.
const WAITING: usize = 256;
/// Orders that go into one transaction.
const GROUP: usize = 64;

const CREATE: &str = "
    CREATE TABLE reply (
        hash INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, topic TEXT NOT NULL, id TEXT NOT NULL, model TEXT NOT NULL,
        passing INTEGER NOT NULL, info_at INTEGER NOT NULL, body BLOB NOT NULL
    ) STRICT;";

/// A reply as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub body: Bytes,
    /// Where the content of `info` begins.
    pub info_at: u32,
    /// A failure that may pass: good enough for a redelivery, but not for somebody who asks again.
    pub passing: bool,
}

/// What the thread is told.
#[derive(Debug)]
enum Order {
    Keep { job: i64, at_ms: i64, key: Key, reply: Stored },
    Recall { job: i64, now_ms: i64, key: Key },
}

/// What the thread says.
#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    /// Kept, or not worth keeping; either way the reply may go out.
    Kept(i64),
    Recalled(i64, Option<Stored>),
}

/// The store's end for the transport.
#[derive(Debug)]
pub struct Replies {
    orders: SyncSender<Order>,
    earlier: HashSet<i64>,
}

impl Replies {
    /// Opens the store at `path`. Blocks on the file: not for the loop.
    pub fn open(path: &Path, reports: mpsc::Sender<Report>) -> Result<Replies, LedgerError> {
        let opened = database::open(path, CREATE, "OFF", load)?;
        if let Some((aside, why)) = opened.moved {
            tracing::error!(path = %aside.display(), %why, "kept replies were unreadable and are moved aside");
        }
        let kept = opened.content;
        let earlier = kept.iter().map(|reply| reply.hash).collect();
        let (orders, inbox) = sync_channel(WAITING);
        let bytes = kept.iter().map(|reply| reply.bytes).sum();
        let worker = Worker { connection: opened.connection, reports, kept, bytes };
        let thread = std::thread::Builder::new().name("replies".into()).stack_size(256 << 10);
        let spawned = thread.spawn(move || worker.run(&inbox));
        spawned.map_err(|source| LedgerError::Thread { path: path.to_owned(), source })?;
        Ok(Replies { orders, earlier })
    }

    /// Whether an earlier daemon may have answered this request.
    pub fn may_know(&self, key: &Key) -> bool {
        !self.earlier.is_empty() && self.earlier.contains(&hash(key))
    }

    /// Keeps a reply; answered by [`Report::Kept`]. `false` if the thread is behind: then it is not kept.
    pub fn keep(&self, job: i64, at_ms: i64, key: Key, reply: Stored) -> bool {
        self.order(Order::Keep { job, at_ms, key, reply })
    }

    /// Looks a reply up; answered by [`Report::Recalled`]. `false` if the thread is behind: then nothing is known.
    pub fn recall(&self, job: i64, now_ms: i64, key: Key) -> bool {
        self.order(Order::Recall { job, now_ms, key })
    }

    fn order(&self, order: Order) -> bool {
        match self.orders.try_send(order) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => false,
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!("the thread that keeps replies is gone");
                false
            }
        }
    }
}

/// Rows are found by this; the key's text is compared as well, so a collision only means "not known".
fn hash(key: &Key) -> i64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish().cast_signed()
}

struct Kept {
    hash: i64,
    at_ms: i64,
    bytes: usize,
}

fn load(connection: &mut Connection) -> rusqlite::Result<VecDeque<Kept>> {
    let mut rows = connection.prepare("SELECT hash, at_ms, length(body) FROM reply ORDER BY at_ms")?;
    let kept = rows.query_map([], |row| {
        let bytes: i64 = row.get(2)?;
        Ok(Kept { hash: row.get(0)?, at_ms: row.get(1)?, bytes: usize::try_from(bytes).unwrap_or(usize::MAX) })
    })?;
    kept.collect()
}

struct Worker {
    connection: Connection,
    reports: mpsc::Sender<Report>,
    /// What is in the file, the oldest first.
    kept: VecDeque<Kept>,
    bytes: usize,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Order>) {
        let mut group = Vec::with_capacity(GROUP);
        while let Ok(first) = inbox.recv() {
            group.push(first);
            while group.len() < GROUP
                && let Ok(order) = inbox.try_recv()
            {
                group.push(order);
            }
            let reports = self.carry_out(&mut group);
            for report in reports {
                // The transport takes reports in its loop and never waits for this thread; when it is gone nobody
                // needs them.
                drop(self.reports.blocking_send(report));
            }
        }
    }

    fn carry_out(&mut self, group: &mut Vec<Order>) -> Vec<Report> {
        let mut reports = Vec::with_capacity(group.len());
        let writes = group.iter().any(|order| matches!(order, Order::Keep { .. }));
        let result = self.transact(group, writes, &mut reports);
        if let Err(error) = result {
            tracing::error!(error = %chain(&error), "keep replies");
            if writes && let Err(error) = self.connection.execute_batch("ROLLBACK") {
                tracing::debug!(%error, "nothing to roll back");
            }
            // What was counted may have been rolled back.
            if let Ok(kept) = load(&mut self.connection) {
                self.bytes = kept.iter().map(|reply| reply.bytes).sum();
                self.kept = kept;
            }
            // Whatever failed, the replies go out and the questions are answered.
            reports.clear();
            reports.extend(group.iter().map(|order| match order {
                Order::Keep { job, .. } => Report::Kept(*job),
                Order::Recall { job, .. } => Report::Recalled(*job, None),
            }));
        }
        group.clear();
        reports
    }

    fn transact(&mut self, group: &[Order], writes: bool, reports: &mut Vec<Report>) -> rusqlite::Result<()> {
        if writes {
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        }
        for order in group {
            match order {
                Order::Keep { job, at_ms, key, reply } => {
                    self.keep(*at_ms, key, reply)?;
                    reports.push(Report::Kept(*job));
                }
                Order::Recall { job, now_ms, key } => {
                    let found = self.recall(*now_ms, key)?;
                    reports.push(Report::Recalled(*job, found));
                }
            }
        }
        if writes {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }

    fn keep(&mut self, at_ms: i64, key: &Key, reply: &Stored) -> rusqlite::Result<()> {
        let bytes = reply.body.len();
        if bytes > MAX_REPLY {
            return Ok(());
        }
        self.make_room(at_ms, bytes)?;
        let hash = hash(key);
        let sql = "INSERT OR REPLACE INTO reply VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let body: &[u8] = &reply.body;
        let mut insert = self.connection.prepare_cached(sql)?;
        insert.execute(params![
            hash,
            at_ms,
            key.reply_topic,
            key.request_id,
            key.model,
            reply.passing,
            reply.info_at,
            body
        ])?;
        self.bytes += bytes;
        self.kept.push_back(Kept { hash, at_ms, bytes });
        Ok(())
    }

    fn make_room(&mut self, now_ms: i64, bytes: usize) -> rusqlite::Result<()> {
        while let Some(oldest) = self.kept.front()
            && (oldest.at_ms < now_ms - WINDOW_MS || self.kept.len() >= MAX_REPLIES || self.bytes + bytes > MAX_BYTES)
        {
            // The time is compared too: the same key may have been kept again since.
            let mut remove = self.connection.prepare_cached("DELETE FROM reply WHERE hash = ?1 AND at_ms = ?2")?;
            remove.execute(params![oldest.hash, oldest.at_ms])?;
            self.bytes -= oldest.bytes;
            self.kept.pop_front();
        }
        Ok(())
    }

    fn recall(&self, now_ms: i64, key: &Key) -> rusqlite::Result<Option<Stored>> {
        let sql = "SELECT body, info_at, passing FROM reply
                   WHERE hash = ?1 AND topic = ?2 AND id = ?3 AND model = ?4 AND at_ms >= ?5";
        let mut select = self.connection.prepare_cached(sql)?;
        let oldest = now_ms - WINDOW_MS;
        let found = select.query_row(params![hash(key), key.reply_topic, key.request_id, key.model, oldest], |row| {
            Ok(Stored { body: Bytes::from(row.get::<_, Vec<u8>>(0)?), info_at: row.get(1)?, passing: row.get(2)? })
        });
        found.optional()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> Key {
        Key { reply_topic: "edge/r".into(), request_id: id.into(), model: "m".into() }
    }

    fn stored(body: &[u8]) -> Stored {
        Stored { body: Bytes::copy_from_slice(body), info_at: 3, passing: true }
    }

    fn worker(path: &Path) -> (Worker, mpsc::Receiver<Report>) {
        let opened = database::open(path, CREATE, "OFF", load).unwrap();
        let (reports, receiver) = mpsc::channel(64);
        (Worker { connection: opened.connection, reports, kept: VecDeque::new(), bytes: 0 }, receiver)
    }

    #[test]
    fn a_reply_is_known_to_the_next_daemon_by_its_whole_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replies.db");
        let (sender, mut reports) = mpsc::channel(64);
        let replies = Replies::open(&path, sender).unwrap();
        assert!(!replies.may_know(&key("a")));
        assert!(replies.keep(1, 1000, key("a"), stored(b"{}")));
        assert_eq!(reports.blocking_recv(), Some(Report::Kept(1)));
        drop(replies);
        // The thread ends with its last order; its end of the channel closes when the file is free.
        assert_eq!(reports.blocking_recv(), None);

        let (sender, mut reports) = mpsc::channel(64);
        let replies = Replies::open(&path, sender).unwrap();
        assert!(replies.may_know(&key("a")) && !replies.may_know(&key("b")));
        let cases = [(key("a"), 1000 + WINDOW_MS, true), (key("a"), 1001 + WINDOW_MS, false), (key("b"), 1000, false)];
        for (key, now, known) in cases {
            assert!(replies.recall(2, now, key));
            assert_eq!(reports.blocking_recv(), Some(Report::Recalled(2, known.then(|| stored(b"{}")))));
        }
        let other = Key { model: "n".into(), ..key("a") };
        assert!(replies.recall(3, 1000, other));
        assert_eq!(reports.blocking_recv(), Some(Report::Recalled(3, None)));
    }

    #[test]
    fn the_store_is_bounded_in_age_number_and_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (mut worker, _reports) = worker(&dir.path().join("replies.db"));
        let count = |worker: &Worker| -> usize {
            let rows: i64 = worker.connection.query_row("SELECT count(*) FROM reply", [], |row| row.get(0)).unwrap();
            usize::try_from(rows).unwrap()
        };
        worker.connection.execute_batch("BEGIN").unwrap();
        for n in 0..MAX_REPLIES + 5 {
            worker.keep(0, &key(&n.to_string()), &stored(b"{}")).unwrap();
        }
        assert_eq!((count(&worker), worker.kept.len()), (MAX_REPLIES, MAX_REPLIES));
        worker.keep(WINDOW_MS + 1, &key("late"), &stored(b"{}")).unwrap();
        assert_eq!((count(&worker), worker.bytes), (1, 2));
        for n in 0..40 {
            worker.keep(WINDOW_MS + 1, &key(&format!("big{n}")), &stored(&vec![0; MAX_REPLY])).unwrap();
        }
        assert!(worker.bytes <= MAX_BYTES && count(&worker) == MAX_BYTES / MAX_REPLY);
        worker.keep(WINDOW_MS + 1, &key("huge"), &stored(&vec![0; MAX_REPLY + 1])).unwrap();
        assert_eq!(worker.recall(WINDOW_MS + 1, &key("huge")).unwrap(), None);
    }

    #[test]
    fn a_key_that_is_kept_again_outlives_its_first_reply() {
        let dir = tempfile::tempdir().unwrap();
        let (mut worker, _reports) = worker(&dir.path().join("replies.db"));
        worker.keep(0, &key("a"), &stored(b"1")).unwrap();
        worker.keep(WINDOW_MS, &key("a"), &stored(b"2")).unwrap();
        worker.keep(WINDOW_MS + 1, &key("b"), &stored(b"3")).unwrap();
        assert_eq!(worker.recall(WINDOW_MS + 1, &key("a")).unwrap(), Some(stored(b"2")));
    }

    #[test]
    fn a_store_that_cannot_be_written_still_lets_replies_out() {
        let dir = tempfile::tempdir().unwrap();
        let (mut worker, _reports) = worker(&dir.path().join("replies.db"));
        worker.connection.execute_batch("DROP TABLE reply").unwrap();
        let mut group = vec![
            Order::Keep { job: 1, at_ms: 0, key: key("a"), reply: stored(b"{}") },
            Order::Recall { job: 2, now_ms: 0, key: key("a") },
        ];
        assert_eq!(worker.carry_out(&mut group), [Report::Kept(1), Report::Recalled(2, None)]);
        assert!(group.is_empty());
    }
}
