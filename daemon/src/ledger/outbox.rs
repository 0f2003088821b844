//! The outbox on disk: messages for the broker that could not be given to it yet, in chunks.
//!
//! A chunk is what came together within one pause, so that many small messages cost one write and one flush: it is
//! compressed, written once, read once and deleted as a whole. Deletions wait for company, as a message that is sent once too
//! often after a crash does less harm than a worn-out disk.
//!
//! Must not know what a message is, nor what is kept and what is given up: it stores the bytes that it is told.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::mpsc;

use super::journal::{NotTaken, Shut};
use super::schema::Schema;
use super::thread::{Desk, Moved, REOPEN_PAUSE, Trouble, Work};
use super::time::DRIFT_MS;
use super::{LedgerError, database};
use crate::driver::{chain, clock};

/// Orders that wait for the thread.
const WAITING: usize = 256;
/// How long deletions wait for company.
const REMOVAL_PAUSE: Duration = Duration::from_secs(1);
/// Deletions that are not put off any longer.
const MAX_REMOVALS: usize = 512;
/// Fast, and JSON shrinks to a third all the same.
const LEVEL: i32 = 1;
/// A chunk is never larger than this once it is read; a larger one was not written by us.
const MAX_CHUNK: usize = 256 << 20;

/// `newest`: see [`Head::newest`].
const SCHEMA: Schema = Schema { steps: &[FIRST, SECOND], synchronous: "FULL", shrinks: false };
const FIRST: &str = "
    CREATE TABLE chunk (
        id INTEGER PRIMARY KEY, rank INTEGER NOT NULL, made_ms INTEGER NOT NULL, messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL, newest BLOB NOT NULL, data BLOB NOT NULL
    ) STRICT;";
/// See [`Boot`].
const SECOND: &str = "
    ALTER TABLE chunk ADD COLUMN boot TEXT NOT NULL DEFAULT '';
    ALTER TABLE chunk ADD COLUMN boot_ms INTEGER NOT NULL DEFAULT 0;";

/// Which run of the machine this is, and when it began by the wall clock of now. A box whose clock is set after it has started, as
/// those without a battery are, would else find what an earlier daemon left to be years old, and give it up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Boot {
    /// Empty if the kernel does not tell.
    id: String,
    /// Milliseconds since 1970.
    at_ms: i64,
}

impl Boot {
    fn now() -> Boot {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let since = clock::wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Boot { id, at_ms: ms(since).saturating_sub(ms(clock::boot_time())) }
    }

    /// A time that was noted in `then`, by the clock of now.
    fn corrected(&self, then: &Boot, ms: i64) -> i64 {
        let set = self.at_ms.saturating_sub(then.at_ms);
        let is_same = !self.id.is_empty() && self.id == then.id;
        if is_same && set.saturating_abs() > DRIFT_MS { ms.saturating_add(set) } else { ms }
    }
}

/// What is known of a chunk without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The transport's number for it; later chunks have larger ones.
    pub id: i64,
    /// Which of the outbox's rows it stands in.
    pub rank: u8,
    /// When the youngest of its messages was made, milliseconds since 1970.
    pub made_ms: i64,
    pub messages: u32,
    /// Of the messages, as the outbox counts them.
    pub bytes: u64,
    /// Of those messages that a later one of the same topic replaces: place in the chunk and a digest of the topic.
    pub newest: Vec<(u32, u64)>,
}

/// What the thread says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The file is open, and this is in it, in the order of the numbers.
    Opened { chunks: Vec<Head>, moved: Moved },
    /// The file cannot be opened; tried again every 2 s. What is ordered meanwhile is refused.
    Shut(Shut),
    /// On disk; survives kill -9 and the loss of power.
    Written(i64),
    /// Not on disk, and why.
    Failed(i64, String),
    /// Gone from the disk.
    Removed(i64),
    /// The content of a chunk; nothing if it is gone or cannot be read.
    Fetched(i64, Option<Bytes>),
}

#[derive(Debug)]
enum Order {
    Write(Box<(Head, Bytes)>),
    Fetch(i64),
    Remove(i64),
}

/// The transport's end of the outbox on disk. Orders never wait.
#[derive(Debug)]
pub struct OutboxFile {
    desk: Desk<Order>,
}

impl OutboxFile {
    /// Starts the thread, which opens the file at `path` and says so by [`Report::Opened`].
    pub fn start(path: &Path, reports: mpsc::Sender<Report>) -> Result<OutboxFile, LedgerError> {
        let work = Worker { path: path.to_owned(), moved: None, removals: Vec::new() };
        Ok(OutboxFile { desk: Desk::start(work, "outbox", path, WAITING, reports)? })
    }

    /// Keeps a chunk: [`Report::Written`] or [`Report::Failed`].
    pub fn write(&self, head: Head, content: Bytes) -> Result<(), NotTaken> {
        self.desk.order(Order::Write(Box::new((head, content))))
    }

    /// Reads a chunk: [`Report::Fetched`].
    pub fn fetch(&self, id: i64) -> Result<(), NotTaken> {
        self.desk.order(Order::Fetch(id))
    }

    /// Forgets a chunk, in a while: [`Report::Removed`].
    pub fn remove(&self, id: i64) -> Result<(), NotTaken> {
        self.desk.order(Order::Remove(id))
    }

    /// Has all orders carried out. Blocks on the disk: not for the loop.
    pub fn close(self, reports: mpsc::Receiver<Report>) {
        self.desk.close(reports);
    }
}

struct Worker {
    path: PathBuf,
    moved: Moved,
    removals: Vec<i64>,
}

impl Worker {
    fn write(&mut self, file: &mut Connection, chunks: &[(Head, Bytes)]) -> Result<(), rusqlite::Error> {
        let transaction = file.transaction()?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT OR REPLACE INTO chunk VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
            let boot = Boot::now();
            for (head, content) in chunks {
                let data = zstd::bulk::compress(content, LEVEL).map_err(unusable)?;
                let newest = postcard::to_stdvec(&head.newest).map_err(unusable)?;
                let bytes = i64::try_from(head.bytes).unwrap_or(i64::MAX);
                insert.execute(params![
                    head.id,
                    head.rank,
                    head.made_ms,
                    head.messages,
                    bytes,
                    newest,
                    data,
                    boot.id,
                    boot.at_ms
                ])?;
            }
            let mut delete = transaction.prepare_cached("DELETE FROM chunk WHERE id = ?1")?;
            for id in &self.removals {
                delete.execute([id])?;
            }
        }
        transaction.commit()
    }

    /// Writes all, or what of it fits: an error means that the file is corrupt.
    fn commit(
        &mut self,
        file: &mut Connection,
        chunks: Vec<(Head, Bytes)>,
        say: &mut dyn FnMut(Report),
    ) -> Result<(), String> {
        let Err(error) = self.write(file, &chunks) else {
            self.removals.drain(..).for_each(|id| say(Report::Removed(id)));
            chunks.iter().for_each(|(head, _)| say(Report::Written(head.id)));
            return Ok(());
        };
        let trouble = Trouble::of(&error);
        tracing::error!(error = %trouble.why(), chunks = chunks.len(), "write the outbox");
        for (head, _) in &chunks {
            say(Report::Failed(head.id, trouble.why().to_owned()));
        }
        match trouble {
            Trouble::Corrupt(why) => Err(why),
            Trouble::Full(_) | Trouble::Disk(_) => Ok(()),
        }
    }
}

/// What is no fault of the file, in the words that it uses.
fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

fn read_heads(connection: &mut Connection) -> rusqlite::Result<Vec<Head>> {
    let heads = {
        let sql = "SELECT id, rank, made_ms, messages, bytes, newest, boot, boot_ms FROM chunk ORDER BY id";
        let now = Boot::now();
        let mut rows = connection.prepare(sql)?;
        let heads = rows.query_map([], |row| {
            let newest: Vec<u8> = row.get(5)?;
            // Unreadable: then none of them is skipped.
            let newest = postcard::from_bytes(&newest).unwrap_or_default();
            let (id, rank, messages) = (row.get(0)?, row.get(1)?, row.get(3)?);
            let made_ms = now.corrected(&Boot { id: row.get(6)?, at_ms: row.get(7)? }, row.get(2)?);
            Ok(Head { id, rank, made_ms, messages, bytes: database::count(row, 4)?, newest })
        })?;
        heads.collect::<rusqlite::Result<Vec<Head>>>()?
    };
    if heads.is_empty() {
        // Gives the space of a past outage back while nothing waits.
        connection.execute_batch("VACUUM")?;
    }
    Ok(heads)
}

fn fetch(connection: &Connection, id: i64) -> Result<Option<Bytes>, String> {
    let mut select =
        connection.prepare_cached("SELECT data FROM chunk WHERE id = ?1").map_err(|error| chain(&error))?;
    let data: Option<Vec<u8>> = select.query_row([id], |row| row.get(0)).optional().map_err(|error| chain(&error))?;
    let Some(data) = data else { return Ok(None) };
    let content = zstd::bulk::decompress(&data, MAX_CHUNK).map_err(|error| chain(&error))?;
    Ok(Some(content.into()))
}

impl Work for Worker {
    type Order = Order;
    type Report = Report;
    type File = Connection;

    fn open(&mut self, corrupt: Option<String>) -> Result<(Connection, Report), LedgerError> {
        if let Some(why) = corrupt {
            self.moved = Some((database::move_aside(&self.path)?, why));
            self.removals.clear();
        }
        let opened = database::open(&self.path, &SCHEMA, read_heads, &mut self.moved)?;
        Ok((opened.connection, Report::Opened { chunks: opened.content, moved: self.moved.take() }))
    }

    fn shut(&self, shut: Shut) -> Report {
        Report::Shut(shut)
    }

    fn refuse(&mut self, order: Order, why: &str) -> Option<Report> {
        match order {
            Order::Write(chunk) => Some(Report::Failed(chunk.0.id, why.to_owned())),
            Order::Fetch(id) => Some(Report::Fetched(id, None)),
            Order::Remove(_) => None,
        }
    }

    fn pause(&self) -> Option<Duration> {
        (!self.removals.is_empty()).then_some(REMOVAL_PAUSE.max(REOPEN_PAUSE / 2))
    }

    fn carry_out(
        &mut self,
        file: &mut Connection,
        orders: Vec<Order>,
        say: &mut dyn FnMut(Report),
    ) -> Result<(), String> {
        let (mut chunks, paused) = (Vec::new(), orders.is_empty());
        for order in orders {
            match order {
                Order::Write(chunk) => chunks.push(*chunk),
                Order::Remove(id) => self.removals.push(id),
                Order::Fetch(id) => {
                    let content = fetch(file, id).unwrap_or_else(|why| {
                        tracing::error!(chunk = id, %why, "read the outbox");
                        None
                    });
                    say(Report::Fetched(id, content));
                }
            }
        }
        if !chunks.is_empty() || (paused && !self.removals.is_empty()) || self.removals.len() >= MAX_REMOVALS {
            self.commit(file, chunks, say)?;
        }
        Ok(())
    }

    fn close(&mut self, mut file: Connection) -> rusqlite::Result<()> {
        self.write(&mut file, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(id: i64) -> Head {
        Head { id, rank: 1, made_ms: 1_000 + id, messages: 3, bytes: 700, newest: vec![(2, u64::MAX - 7)] }
    }

    #[test]
    fn a_clock_that_is_set_makes_nothing_older_while_the_machine_runs() {
        let boot = |id: &str, at_ms| Boot { id: id.into(), at_ms };
        for (then, now, expected) in [
            (boot("a", 0), boot("a", 1_790_000_000_000), 1_790_000_005_000),
            (boot("a", 1_790_000_000_000), boot("a", 0), -1_789_999_995_000),
            (boot("a", 0), boot("b", 1_790_000_000_000), 5_000),
            (boot("a", 0), boot("a", 4_000), 5_000),
            (boot("", 0), boot("", 1_790_000_000_000), 5_000),
        ] {
            assert_eq!(now.corrected(&then, 5_000), expected, "{then:?} {now:?}");
        }
        let now = Boot::now();
        assert!(now.at_ms > 1_700_000_000_000 && !now.id.is_empty(), "{now:?}");
    }

    fn start(dir: &Path) -> (OutboxFile, mpsc::Receiver<Report>, Vec<Head>) {
        let (sender, mut reports) = mpsc::channel(64);
        let file = OutboxFile::start(&dir.join("outbox.db"), sender).unwrap();
        let Some(Report::Opened { chunks, moved: None }) = reports.blocking_recv() else { panic!("not opened") };
        (file, reports, chunks)
    }

    #[test]
    fn what_was_written_outlives_a_kill_and_what_was_removed_does_not_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let (file, mut reports, found) = start(dir.path());
        assert_eq!(found, []);
        for id in 1..=3 {
            file.write(head(id), Bytes::from(vec![b'x'; 10_000 * usize::try_from(id).unwrap()])).unwrap();
        }
        for id in 1..=3 {
            assert_eq!(reports.blocking_recv(), Some(Report::Written(id)));
        }
        file.desk.crash();
        let (file, reports, found) = start(dir.path());
        assert_eq!(found, [head(1), head(2), head(3)]);
        file.remove(2).unwrap();
        file.close(reports);
        let (file, mut reports, found) = start(dir.path());
        assert_eq!(found, [head(1), head(3)]);
        file.fetch(3).unwrap();
        assert_eq!(reports.blocking_recv(), Some(Report::Fetched(3, Some(Bytes::from(vec![b'x'; 30_000])))));
        file.fetch(2).unwrap();
        assert_eq!(reports.blocking_recv(), Some(Report::Fetched(2, None)));
        file.close(reports);
    }

    #[test]
    fn an_unreadable_file_goes_aside_and_one_that_cannot_be_opened_is_said() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("outbox.db"), vec![7; 5000]).unwrap();
        let (sender, mut reports) = mpsc::channel(64);
        let file = OutboxFile::start(&dir.path().join("outbox.db"), sender).unwrap();
        let Some(Report::Opened { moved: Some((aside, _)), .. }) = reports.blocking_recv() else {
            panic!("not opened")
        };
        assert!(aside.ends_with("outbox.db.corrupt"));
        file.close(reports);
        std::fs::create_dir(dir.path().join("directory")).unwrap();
        let (sender, mut reports) = mpsc::channel(64);
        let file = OutboxFile::start(&dir.path().join("directory"), sender).unwrap();
        assert!(matches!(reports.blocking_recv(), Some(Report::Shut(_))));
        file.write(head(1), Bytes::new()).unwrap();
        assert!(matches!(reports.blocking_recv(), Some(Report::Failed(1, _))));
        file.close(reports);
    }
}
