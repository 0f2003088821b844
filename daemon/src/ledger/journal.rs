//! The journal of requests that were acknowledged to the broker before they were answered.
//!
//! A thread writes in groups: all that waits goes to the disk in one transaction with one flush. Removals wait for the
//! next write or a short pause, as a request that is run again once too often does less harm than a worn-out disk.
//! Must not know what a request means: it stores a head (for the transport to read again) and a payload.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::mpsc;

use super::schema::Schema;
use super::{LedgerError, database};
use crate::driver::chain;
use crate::driver::clock::Clock;

/// Orders that wait for the thread; their payloads are shared with the open requests, so they cost little.
const WAITING: usize = 4096;
/// Requests that go into one transaction.
const GROUP: usize = 128;
/// How long removals wait for company.
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);
/// Removals that are not put off any longer.
const MAX_REMOVALS: usize = 512;
/// How long after a failed attempt the file is tried again: room on the disk comes back when a person makes it.
const REOPEN_PAUSE: Duration = Duration::from_secs(2);

const SCHEMA: Schema = Schema { steps: &[FIRST], synchronous: "FULL", shrinks: false };
const FIRST: &str = "
    CREATE TABLE request (
        id INTEGER PRIMARY KEY, received_ms INTEGER NOT NULL, deadline_ms INTEGER, deaths INTEGER NOT NULL,
        head BLOB NOT NULL, payload BLOB NOT NULL
    ) STRICT;
    CREATE TABLE life (clean INTEGER NOT NULL) STRICT;
    INSERT INTO life VALUES (1);";

/// A request to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The transport's number for it; unique in the journal.
    pub id: i64,
    /// Milliseconds since 1970, wall clock.
    pub received_ms: i64,
    /// After this the answer has no value; `None` if it always has.
    pub deadline_ms: Option<i64>,
    /// Daemons that died while it was open.
    pub deaths: u8,
    pub head: Vec<u8>,
    pub payload: Bytes,
}

/// A request that an earlier daemon left behind; its payload is still on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub id: i64,
    pub received_ms: i64,
    pub deadline_ms: Option<i64>,
    /// The last death included.
    pub deaths: u8,
    pub head: Vec<u8>,
    pub payload_len: i64,
}

/// What the thread is told.
#[derive(Debug)]
enum Order {
    Write(Row),
    Remove(i64),
    Fetch(i64),
    Close,
}

/// What the thread says.
#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    /// The file is open. Comes once, before any other report but [`Report::Shut`].
    Opened(Found),
    /// The file cannot be opened; it is tried again every [`REOPEN_PAUSE`]. Comes for the first attempt and for each new
    /// reason. What is ordered meanwhile fails.
    Shut(Shut),
    /// On disk.
    Written(i64),
    /// Not on disk, and why.
    Failed(i64, String),
    /// Nothing can be written now, and why; tried again every [`REOPEN_PAUSE`]. Comes once.
    Failing(String),
    /// What could not be written can be written again.
    Works,
    /// The payload of a request that was left behind; `None` if it cannot be read.
    Fetched(i64, Option<Bytes>),
}

/// Why the file cannot be opened, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shut {
    pub what: String,
    pub remedy: &'static str,
}

/// What was found when the journal was opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub left: Vec<Left>,
    /// The last daemon did not close the journal: it crashed, or was killed.
    pub crashed: bool,
    /// Where an unreadable journal went, with the reason.
    pub moved: Option<(PathBuf, String)>,
}

/// Why the thread takes no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It is behind: later it may.
    Behind,
    /// It has ended, which it never does by itself.
    Gone,
}

/// The journal's end for the transport.
#[derive(Debug)]
pub struct Journal {
    orders: SyncSender<Order>,
    thread: std::thread::JoinHandle<()>,
}

impl Journal {
    /// Starts the thread, which opens the file at `path` and says so by [`Report::Opened`]; by then, if the last daemon
    /// crashed, every request found has one death more, and that is on disk. A file that cannot be opened now (a full
    /// disk, another daemon) is opened later: what is in it was promised an answer.
    pub fn start(path: &Path, reports: mpsc::Sender<Report>) -> Result<Journal, LedgerError> {
        let (orders, inbox) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("journal".into()).stack_size(256 << 10);
        let file = path.to_owned();
        let thread = thread.spawn(move || live(&file, &inbox, reports));
        let thread = thread.map_err(|source| LedgerError::Thread { path: path.to_owned(), source })?;
        Ok(Journal { orders, thread })
    }

    /// Keeps a request; answered by [`Report::Written`] or [`Report::Failed`].
    pub fn write(&self, row: Row) -> Result<(), NotTaken> {
        self.order(Order::Write(row))
    }

    /// Forgets a request.
    pub fn remove(&self, id: i64) -> Result<(), NotTaken> {
        self.order(Order::Remove(id))
    }

    /// Reads a payload; answered by [`Report::Fetched`].
    pub fn fetch(&self, id: i64) -> Result<(), NotTaken> {
        self.order(Order::Fetch(id))
    }

    fn order(&self, order: Order) -> Result<(), NotTaken> {
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => NotTaken::Behind,
            TrySendError::Disconnected(_) => NotTaken::Gone,
        })
    }

    /// Notes that this daemon ended in good order. Blocks on the disk: not for the loop.
    pub fn close(self) {
        if self.orders.send(Order::Close).is_err() || self.thread.join().is_err() {
            tracing::error!("the journal's thread ended before it was closed");
        }
    }
}

/// The life of the thread: waits for the file, then for orders.
fn live(path: &Path, inbox: &Receiver<Order>, reports: mpsc::Sender<Report>) {
    let (mut said, mut moved) = (None, None);
    loop {
        match database::open(path, &SCHEMA, start_life, &mut moved) {
            Ok(opened) => {
                let (crashed, left) = opened.content;
                report(&reports, Report::Opened(Found { left, crashed, moved }));
                let worker = Worker { connection: opened.connection, reports, removals: Vec::new(), failing: false };
                return worker.run(inbox);
            }
            Err(error) => {
                let shut = Shut { what: chain(&error), remedy: error.remedy() };
                if said.as_ref() != Some(&shut) {
                    report(&reports, Report::Shut(shut.clone()));
                }
                if !refuse_orders(inbox, &reports, &shut.what) {
                    return;
                }
                said = Some(shut);
            }
        }
    }
}

/// Refuses what is ordered until it is time to try the file again; `false` when nothing more will be ordered.
fn refuse_orders(inbox: &Receiver<Order>, reports: &mpsc::Sender<Report>, why: &str) -> bool {
    let clock = Clock::start();
    let until = clock.now().after(REOPEN_PAUSE);
    loop {
        match inbox.recv_timeout(until.since(clock.now())) {
            Ok(Order::Write(row)) => report(reports, Report::Failed(row.id, why.to_owned())),
            Ok(Order::Fetch(id)) => report(reports, Report::Fetched(id, None)),
            // Nothing was written.
            Ok(Order::Remove(_)) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Ok(Order::Close) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

fn report(reports: &mpsc::Sender<Report>, report: Report) {
    // The transport takes reports in its loop and never waits for this thread, so this cannot wait for ever; when it is
    // gone nobody needs the report.
    drop(reports.blocking_send(report));
}

/// Counts the deaths, and marks the journal as open.
fn start_life(connection: &mut Connection) -> rusqlite::Result<(bool, Vec<Left>)> {
    let transaction = connection.transaction()?;
    let clean: i64 = transaction.query_row("SELECT clean FROM life", [], |row| row.get(0))?;
    let crashed = clean == 0;
    if crashed {
        transaction.execute("UPDATE request SET deaths = min(deaths + 1, 255)", [])?;
    }
    transaction.execute("UPDATE life SET clean = 0", [])?;
    let left = {
        let sql = "SELECT id, received_ms, deadline_ms, deaths, head, length(payload) FROM request ORDER BY id";
        let mut rows = transaction.prepare(sql)?;
        let left = rows.query_map([], |row| {
            Ok(Left {
                id: row.get(0)?,
                received_ms: row.get(1)?,
                deadline_ms: row.get(2)?,
                deaths: row.get(3)?,
                head: row.get(4)?,
                payload_len: row.get(5)?,
            })
        })?;
        left.collect::<rusqlite::Result<Vec<Left>>>()?
    };
    transaction.commit()?;
    if left.is_empty() {
        // Gives the space of past floods back while nothing waits.
        connection.execute_batch("VACUUM")?;
    }
    Ok((crashed, left))
}

struct Worker {
    connection: Connection,
    reports: mpsc::Sender<Report>,
    removals: Vec<i64>,
    /// The last transaction could not be written.
    failing: bool,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Order>) {
        let mut open = true;
        while open {
            let first = match (self.failing, self.removals.is_empty()) {
                (true, _) => inbox.recv_timeout(REOPEN_PAUSE),
                (false, false) => inbox.recv_timeout(REMOVAL_PAUSE),
                (false, true) => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let mut rows = Vec::new();
            let mut next = match first {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                // The transport is gone without closing: what is written stays for the next daemon.
                Err(RecvTimeoutError::Disconnected) => return self.commit(rows),
            };
            let pause_over = next.is_none();
            while let Some(order) = next {
                match order {
                    Order::Write(row) => rows.push(row),
                    Order::Remove(id) => self.removals.push(id),
                    Order::Fetch(id) => self.fetch(id),
                    Order::Close => open = false,
                }
                next = if rows.len() < GROUP && open { inbox.try_recv().ok() } else { None };
            }
            if pause_over || !open || !rows.is_empty() || self.removals.len() >= MAX_REMOVALS {
                self.commit(rows);
            }
        }
        if let Err(error) = self.connection.execute("UPDATE life SET clean = 1", []) {
            tracing::error!(error = %chain(&error), "close the journal");
        }
    }

    fn fetch(&mut self, id: i64) {
        let found =
            self.connection.query_row("SELECT payload FROM request WHERE id = ?1", [id], |row| row.get(0)).optional();
        let payload = found.unwrap_or_else(|error| {
            tracing::error!(error = %chain(&error), "read a request from the journal");
            None
        });
        report(&self.reports, Report::Fetched(id, payload.map(Vec::into)));
    }

    fn commit(&mut self, rows: Vec<Row>) {
        match self.transact(&rows) {
            Ok(()) => {
                self.removals.clear();
                if std::mem::take(&mut self.failing) {
                    report(&self.reports, Report::Works);
                }
                for row in rows {
                    report(&self.reports, Report::Written(row.id));
                }
            }
            Err(error) => {
                let why = chain(&error);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(error = %why, requests = rows.len(), "write the journal");
                    report(&self.reports, Report::Failing(why.clone()));
                }
                // Removals that cannot be written now are tried again with the next write; more of them than fit are
                // let go: those requests may be answered twice after a crash, which the protocol allows.
                self.removals.truncate(MAX_REMOVALS * 8);
                for row in rows {
                    report(&self.reports, Report::Failed(row.id, why.clone()));
                }
            }
        }
    }

    fn transact(&mut self, rows: &[Row]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT OR REPLACE INTO request VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            for row in rows {
                let payload: &[u8] = &row.payload;
                insert.execute(params![row.id, row.received_ms, row.deadline_ms, row.deaths, row.head, payload])?;
            }
            let mut remove = transaction.prepare_cached("DELETE FROM request WHERE id = ?1")?;
            for id in &self.removals {
                remove.execute([id])?;
            }
            if self.failing {
                // Something has to be written, or nothing is found out.
                transaction.execute("UPDATE life SET clean = 0", [])?;
            }
        }
        transaction.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64) -> Row {
        Row { id, received_ms: 5, deadline_ms: Some(9), deaths: 0, head: vec![1], payload: Bytes::from_static(b"abc") }
    }

    fn open(path: &Path) -> (Journal, Found, mpsc::Receiver<Report>) {
        let (sender, mut reports) = mpsc::channel(64);
        let journal = Journal::start(path, sender).unwrap();
        let Some(Report::Opened(found)) = reports.blocking_recv() else { panic!("not opened") };
        (journal, found, reports)
    }

    fn crash(journal: Journal) {
        let Journal { orders, thread } = journal;
        drop(orders);
        thread.join().unwrap();
    }

    #[test]
    fn a_request_is_found_again_after_a_crash_with_one_death_more_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let (journal, found, mut reports) = open(&path);
        assert!(found.left.is_empty() && !found.crashed && found.moved.is_none());
        for id in [7, 8] {
            assert_eq!(journal.write(row(id)), Ok(()));
            assert_eq!(reports.blocking_recv(), Some(Report::Written(id)));
        }
        assert_eq!(journal.remove(8), Ok(()));
        crash(journal);
        for deaths in 1..=2 {
            let (journal, found, mut reports) = open(&path);
            assert!(found.crashed);
            let left = Left { id: 7, received_ms: 5, deadline_ms: Some(9), deaths, head: vec![1], payload_len: 3 };
            assert_eq!(found.left, [left]);
            assert_eq!((journal.fetch(7), journal.fetch(8)), (Ok(()), Ok(())));
            assert_eq!(reports.blocking_recv(), Some(Report::Fetched(7, Some(Bytes::from_static(b"abc")))));
            assert_eq!(reports.blocking_recv(), Some(Report::Fetched(8, None)));
            crash(journal);
        }
    }

    #[test]
    fn a_thread_that_is_gone_is_told_from_one_that_is_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _, mut reports) = open(&dir.path().join("journal.db"));
        let (orders, inbox) = sync_channel(1);
        drop(std::mem::replace(&mut journal.orders, orders));
        assert_eq!(reports.blocking_recv(), None);
        assert_eq!((journal.remove(1), journal.remove(2)), (Ok(()), Err(NotTaken::Behind)));
        drop(inbox);
        assert_eq!(journal.write(row(3)), Err(NotTaken::Gone));
    }

    #[test]
    fn an_orderly_end_is_no_death() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let (journal, _, mut reports) = open(&path);
        assert_eq!(journal.write(row(1)), Ok(()));
        reports.blocking_recv().unwrap();
        journal.close();
        let (journal, found, _reports) = open(&path);
        assert_eq!((found.crashed, found.left[0].deaths), (false, 0));
        assert_eq!(journal.remove(1), Ok(()));
        journal.close();
        assert!(open(&path).1.left.is_empty());
    }

    #[test]
    fn a_full_disk_is_told_and_the_journal_works_again_when_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let opened = database::open(&path, &SCHEMA, start_life, &mut None).unwrap();
        let (sender, mut reports) = mpsc::channel(64);
        let connection = opened.connection;
        let mut worker = Worker { connection, reports: sender, removals: Vec::new(), failing: false };
        worker.connection.pragma_update(None, "max_page_count", 8).unwrap();
        let large = Row { payload: Bytes::from(vec![0; 100_000]), ..row(1) };
        worker.commit(vec![large]);
        let Ok(Report::Failing(why)) = reports.try_recv() else { panic!("written to a full disk") };
        assert!(why.contains("full"), "{why}");
        assert!(matches!(reports.try_recv(), Ok(Report::Failed(1, _))));
        // Looked at by and by, also when nothing is asked for.
        worker.commit(Vec::new());
        assert_eq!(reports.try_recv(), Ok(Report::Works));
        worker.commit(vec![row(2)]);
        assert_eq!(reports.try_recv(), Ok(Report::Written(2)));
    }

    #[test]
    fn a_corrupt_journal_is_moved_aside_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        std::fs::write(&path, [9; 4096]).unwrap();
        let (journal, found, mut reports) = open(&path);
        assert!(found.moved.unwrap().1.contains("not a database"));
        assert_eq!(journal.write(row(1)), Ok(()));
        assert_eq!(reports.blocking_recv(), Some(Report::Written(1)));
    }

    #[test]
    fn a_file_that_cannot_be_opened_at_first_is_opened_later_with_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let (journal, _, mut reports) = open(&path);
        assert_eq!(journal.write(row(7)), Ok(()));
        assert_eq!(reports.blocking_recv(), Some(Report::Written(7)));
        crash(journal);
        let holder = database::open(&path, &SCHEMA, start_life, &mut None).unwrap();
        let (sender, mut reports) = mpsc::channel(64);
        let journal = Journal::start(&path, sender).unwrap();
        let Some(Report::Shut(shut)) = reports.blocking_recv() else { panic!("opened a file that is in use") };
        assert!(shut.what.contains("locked") && shut.remedy.contains("another edged"), "{shut:?}");
        assert_eq!((journal.write(row(8)), journal.fetch(7), journal.remove(7)), (Ok(()), Ok(()), Ok(())));
        assert!(matches!(reports.blocking_recv(), Some(Report::Failed(8, why)) if why.contains("locked")));
        assert_eq!(reports.blocking_recv(), Some(Report::Fetched(7, None)));
        drop(holder.connection);
        let Some(Report::Opened(found)) = reports.blocking_recv() else { panic!("not opened when it was free") };
        assert_eq!(found.left.iter().map(|left| left.id).collect::<Vec<_>>(), [7]);
        assert_eq!(journal.write(row(8)), Ok(()));
        assert_eq!(reports.blocking_recv(), Some(Report::Written(8)));
        journal.close();
    }

    #[test]
    fn a_thread_that_waits_for_its_file_ends_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        std::fs::create_dir(&path).unwrap();
        let (sender, mut reports) = mpsc::channel(64);
        let journal = Journal::start(&path, sender).unwrap();
        assert!(matches!(reports.blocking_recv(), Some(Report::Shut(_))));
        journal.close();
        assert_eq!(reports.blocking_recv(), None);
    }
}
