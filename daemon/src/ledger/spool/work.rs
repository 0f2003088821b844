//! What the spool's thread does with its orders: writes in groups, then reads.
//!
//! All writes of a group share one transaction and one flush; reads see them. What cannot be written now is told, and
//! what must not be forgotten (answers, marks) is tried again until it can be.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection;

use super::file::{self, Times};
use super::{Bounds, Deferred, Found, Level, Moved, Now, Order, PAGE, Recalled, Refusal, Report};
use crate::ledger::journal::Shut;
use crate::ledger::thread::{REOPEN_PAUSE, Trouble, Work};
use crate::ledger::time::Steady;
use crate::ledger::{LedgerError, database};

/// Answers and marks that wait for room on the disk, and bytes of the answers. Beyond, the oldest is let go: that
/// request may be run again after a crash.
const BACKLOG: usize = 4096;
const BACKLOG_BYTES: usize = 16 << 20;
/// How often the running time is noted: a crash forgets at most that much of it.
const NOTE_MS: i64 = 60_000;
/// After so many requests in a row that the disk had no room for, the rest of a group is not tried.
const FAILURES: usize = 2;

/// A change to make.
#[derive(Debug)]
enum Write {
    Put { mark: u64, row: Box<Deferred> },
    Alive(i64),
    Back(i64),
    Answered { id: i64, reply: Option<Bytes> },
}

pub(super) struct Worker {
    path: PathBuf,
    bounds: Bounds,
    /// Last told.
    now: Now,
    on_the_way: Arc<AtomicU64>,
    moved: Moved,
    /// Taken out of turn: handed out, answered, or named as expired or dead.
    out: HashSet<i64>,
    /// Those of `out` whose deaths are not counted yet, and whether there is one to count.
    held: Vec<i64>,
    crashed: bool,
    backlog: Vec<Write>,
    /// The last transaction could not be written.
    failing: bool,
    /// It is on disk that this life has begun.
    begun: bool,
}

pub(super) struct File {
    connection: Connection,
    steady: Steady,
    /// By how much the times in the file are to be moved, milliseconds.
    set_ms: i64,
    noted_ms: i64,
    level: Level,
    /// Every commit is flushed now.
    flushes: bool,
}

/// A transaction that is being put together.
struct Draft<'a> {
    bounds: &'a Bounds,
    times: Times,
    wall_ms: i64,
    /// Bytes that may still be written before the disk counts as full.
    room: u64,
    level: Level,
    reports: Vec<Report>,
}

impl Worker {
    pub(super) fn new(path: PathBuf, bounds: Bounds, now: Now, on_the_way: Arc<AtomicU64>) -> Worker {
        let (out, backlog) = (HashSet::new(), Vec::new());
        Worker {
            path,
            bounds,
            now,
            on_the_way,
            moved: None,
            out,
            held: Vec::new(),
            crashed: false,
            backlog,
            failing: false,
            begun: false,
        }
    }

    /// Writes, and says what came of each. An error means that the file is corrupt.
    fn write(&mut self, file: &mut File, new: Vec<Write>, say: &mut dyn FnMut(Report)) -> Result<(), String> {
        let mut writes = std::mem::take(&mut self.backlog);
        writes.extend(new);
        let due = self.failing || !self.begun || file.set_ms != 0 || file.steady.ran_ms() - file.noted_ms >= NOTE_MS;
        if writes.is_empty() && !due {
            return Ok(());
        }
        match self.transact(file, &writes) {
            Ok(reports) => self.wrote(&writes, reports, say),
            Err(error) => self.not_written(file, writes, &Trouble::of(&error), say)?,
        }
        self.begin(file, say);
        Ok(())
    }

    /// If the life of a file that was opened on a full disk has begun by now, says anew what is in it: what was held
    /// back has its deaths counted.
    fn begin(&mut self, file: &File, say: &mut dyn FnMut(Report)) {
        if self.failing || std::mem::replace(&mut self.begun, true) {
            return;
        }
        match file::dead(&file.connection, file.times()) {
            Ok(dead) => {
                for id in self.held.drain(..) {
                    self.out.remove(&id);
                }
                self.out.extend(dead.iter().map(|row| row.id));
                say(Report::Opened(Found { level: file.level, dead, crashed: self.crashed, moved: None }));
            }
            // They stay held back until the next start.
            Err(error) => tracing::error!(error = %crate::driver::chain(&error), "read the spool"),
        }
    }

    fn wrote(&mut self, writes: &[Write], reports: Vec<Report>, say: &mut dyn FnMut(Report)) {
        if std::mem::take(&mut self.failing) {
            say(Report::Works);
        }
        for write in writes {
            if let Write::Answered { id, .. } = write {
                self.out.remove(id);
            }
        }
        reports.into_iter().for_each(say);
    }

    /// A group could not be written. A smaller part of it may still fit a full disk.
    fn not_written(
        &mut self,
        file: &mut File,
        writes: Vec<Write>,
        trouble: &Trouble,
        say: &mut dyn FnMut(Report),
    ) -> Result<(), String> {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(error = %trouble.why(), changes = writes.len(), "write the spool");
            say(Report::Failing(trouble.why().to_owned()));
        }
        let parts = !matches!(trouble, Trouble::Corrupt(_)) && writes.len() > 1;
        let (puts, others): (Vec<Write>, Vec<Write>) =
            writes.into_iter().partition(|write| matches!(write, Write::Put { .. }));
        let mut trouble_now = None;
        // Answers first: they make room.
        if parts && !others.is_empty() {
            match self.transact(file, &others) {
                Ok(reports) => self.wrote(&others, reports, say),
                Err(error) => {
                    trouble_now = Some(Trouble::of(&error));
                    self.put_off(others, trouble.why(), say);
                }
            }
        } else {
            self.put_off(others, trouble.why(), say);
        }
        let mut failures = if parts { 0 } else { FAILURES };
        for put in puts {
            let one = std::slice::from_ref(&put);
            let tried = (failures < FAILURES).then(|| self.transact(file, one));
            match (tried, put) {
                (Some(Ok(reports)), _) => {
                    failures = 0;
                    self.wrote(&[], reports, say);
                }
                (Some(Err(error)), Write::Put { mark, .. }) => {
                    failures += 1;
                    let trouble = Trouble::of(&error);
                    say(Report::Refused { mark, refusal: refusal(&trouble) });
                    trouble_now = Some(trouble);
                }
                (None, Write::Put { mark, .. }) => say(Report::Refused { mark, refusal: refusal(trouble) }),
                (_, Write::Alive(_) | Write::Back(_) | Write::Answered { .. }) => {}
            }
        }
        match trouble_now.as_ref().unwrap_or(trouble) {
            Trouble::Corrupt(why) => Err(why.clone()),
            Trouble::Full(_) | Trouble::Disk(_) => Ok(()),
        }
    }

    /// Keeps what must not be forgotten for the next attempt.
    fn put_off(&mut self, writes: Vec<Write>, why: &str, say: &mut dyn FnMut(Report)) {
        for write in writes {
            if let Write::Answered { id, .. } = &write {
                say(Report::NotKept { id: *id, why: why.to_owned() });
            }
            self.backlog.push(write);
        }
        let size = |write: &Write| match write {
            Write::Answered { reply, .. } => reply.as_ref().map_or(0, Bytes::len),
            Write::Put { .. } | Write::Alive(_) | Write::Back(_) => 0,
        };
        let mut bytes: usize = self.backlog.iter().map(size).sum();
        let mut gone = 0;
        while self.backlog.len() - gone > BACKLOG || bytes > BACKLOG_BYTES {
            bytes -= self.backlog.get(gone).map_or(bytes, size);
            gone += 1;
        }
        if gone > 0 {
            tracing::error!(answers = gone, "answers that the disk has no room for are let go");
            self.backlog.drain(..gone);
        }
    }

    fn transact(&self, file: &mut File, writes: &[Write]) -> rusqlite::Result<Vec<Report>> {
        let answers = |write: &Write| matches!(write, Write::Put { .. } | Write::Answered { .. });
        file.flush(file.set_ms != 0 || self.failing || !self.begun || writes.iter().any(answers))?;
        let (mut times, wall_ms) = (file.times(), file.steady.wall_ms());
        let transaction = file.connection.transaction()?;
        if !self.begun {
            file::begin(&transaction)?;
        }
        if file.set_ms != 0 {
            file::move_times(&transaction, file.set_ms)?;
            times.wall_ms = wall_ms;
        }
        let puts = writes.iter().any(|write| matches!(write, Write::Put { .. }));
        let room = if puts { self.room() } else { 0 };
        let (bounds, reports) = (&self.bounds, Vec::new());
        let mut draft = Draft { bounds, times, wall_ms, room, level: file.level, reports };
        for write in writes {
            match write {
                Write::Put { mark, row } => draft.put(&transaction, *mark, row, &self.backlog)?,
                Write::Alive(id) => file::set_alive(&transaction, *id, true)?,
                Write::Back(id) => file::set_alive(&transaction, *id, false)?,
                Write::Answered { id, reply } => draft.answered(&transaction, *id, reply.as_ref())?,
            }
        }
        // Also so that something is written where that has failed: or nothing is found out.
        file::note_ran(&transaction, file.steady.ran_ms())?;
        transaction.commit()?;
        (file.set_ms, file.noted_ms, file.level) = (0, file.steady.ran_ms(), draft.level);
        Ok(draft.reports)
    }

    /// Bytes that may be written before the disk counts as full for the spool. Unknown restricts nothing: the disk
    /// itself says so when it is.
    fn room(&self) -> u64 {
        let dir = self.path.parent().unwrap_or(&self.path);
        let free = rustix::fs::statvfs(dir).map(|found| found.f_bavail.saturating_mul(found.f_frsize));
        free.map_or(u64::MAX, |free| free.saturating_sub(self.bounds.keep_free))
    }

    fn read(&mut self, file: &mut File, order: Order, say: &mut dyn FnMut(Report)) -> rusqlite::Result<()> {
        let times = file.times();
        let mut failed = None;
        let mut told = |error: rusqlite::Error| {
            let why = crate::driver::chain(&error);
            tracing::error!(error = %why, "read the spool");
            failed = Some(error);
            why
        };
        let report = match order {
            Order::Take { mark, n, wish, .. } => {
                let rows = file::next(&file.connection, times, n.min(PAGE), &wish, |id| !self.out.contains(&id));
                Report::Taken { mark, rows: rows.map_err(&mut told) }
            }
            Order::Fetch(id) => Report::Fetched { id, payload: file::fetch(&file.connection, id).map_err(&mut told) },
            Order::Recall { mark, caller, request_id, .. } => {
                let found = file::recall(&file.connection, &caller, &request_id, times);
                Report::Recalled { mark, found: found.map_err(&mut told).map(|found| self.known(found)) }
            }
            Order::Sweep(_) => match self.sweep(file, times) {
                Ok(report) => report,
                Err(error) => {
                    told(error);
                    Report::Swept { expired: Vec::new(), more: false, level: file.level }
                }
            },
            Order::Put { .. } | Order::Alive(_) | Order::Back(_) | Order::Answered { .. } => return Ok(()),
        };
        say(report);
        failed.map_or(Ok(()), Err)
    }

    /// An answer that could not be written yet is an answer.
    fn known(&self, found: Recalled) -> Recalled {
        match found {
            Recalled::Waits(id) => unkept(&self.backlog, id).map_or(found, Recalled::Answered),
            Recalled::Unknown | Recalled::Answered(_) => found,
        }
    }

    fn sweep(&mut self, file: &mut File, times: Times) -> rusqlite::Result<Report> {
        if !self.failing {
            match file::drop_reply(&file.connection, Some(times)) {
                Ok(freed) => file.level.drop_replies(&freed),
                Err(error) => tracing::warn!(%error, "let old replies go"),
            }
            database::shrink(&file.connection)?;
        }
        let mut expired = file::expired(&file.connection, times, PAGE + 1, |id| !self.out.contains(&id))?;
        let more = expired.len() > PAGE;
        expired.truncate(PAGE);
        self.out.extend(expired.iter().map(|row| row.id));
        file.level.oldest_ms = file::oldest_ms(&file.connection)?;
        Ok(Report::Swept { expired, more, level: file.level })
    }

    /// Sorts the orders, and takes note of what they say.
    fn sort(&mut self, file: &mut File, orders: Vec<Order>) -> (Vec<Write>, Vec<Order>) {
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for order in orders {
            if let Some(now) = order.now() {
                self.now = now;
                file.set_ms += file.steady.advance(now);
            }
            match order {
                Order::Put { mark, row, .. } => writes.push(Write::Put { mark, row }),
                Order::Alive(id) => {
                    self.out.insert(id);
                    writes.push(Write::Alive(id));
                }
                Order::Back(id) => {
                    self.out.remove(&id);
                    writes.push(Write::Back(id));
                }
                Order::Answered { id, reply, .. } => {
                    self.out.insert(id);
                    writes.push(Write::Answered { id, reply });
                }
                Order::Take { .. } | Order::Fetch(_) | Order::Recall { .. } | Order::Sweep(_) => reads.push(order),
            }
        }
        (writes, reads)
    }
}

impl Work for Worker {
    type Order = Order;
    type Report = Report;
    type File = File;

    fn open(&mut self, corrupt: Option<String>) -> Result<(File, Report), LedgerError> {
        if let Some(why) = corrupt {
            self.moved = Some((database::move_aside(&self.path)?, why));
            self.backlog.clear();
        }
        let opened = database::open(&self.path, &file::SCHEMA, file::start_life, &mut self.moved)?;
        let (connection, start) = (opened.connection, opened.content);
        let sql = |source| LedgerError::Sql { action: "read", path: self.path.clone(), source };
        connection.set_prepared_statement_cache_capacity(32);
        let steady = Steady::start(self.now, start.ran_ms);
        let (noted_ms, level) = (start.ran_ms, start.level);
        let file = File { connection, steady, set_ms: 0, noted_ms, level, flushes: true };
        let dead = file::dead(&file.connection, file.times()).map_err(sql)?;
        self.out = dead.iter().map(|row| row.id).collect();
        self.held = if start.begun { Vec::new() } else { file::alive(&file.connection).map_err(sql)? };
        self.out.extend(&self.held);
        (self.begun, self.crashed) = (start.begun, start.crashed);
        let (crashed, moved) = (start.crashed, self.moved.take());
        Ok((file, Report::Opened(Found { level, dead, crashed, moved })))
    }

    fn shut(&self, shut: Shut) -> Report {
        Report::Shut(shut)
    }

    fn refuse(&mut self, order: Order, why: &str) -> Option<Report> {
        self.now = order.now().unwrap_or(self.now);
        let why = why.to_owned();
        Some(match order {
            Order::Put { mark, row, .. } => {
                self.arrived(&row);
                Report::Refused { mark, refusal: Refusal::Shut(why) }
            }
            Order::Take { mark, .. } => Report::Taken { mark, rows: Err(why) },
            Order::Fetch(id) => Report::Fetched { id, payload: Err(why) },
            Order::Answered { id, .. } => Report::NotKept { id, why },
            Order::Recall { mark, .. } => Report::Recalled { mark, found: Err(why) },
            Order::Alive(_) | Order::Back(_) | Order::Sweep(_) => return None,
        })
    }

    fn pause(&self) -> Option<Duration> {
        (self.failing || !self.begun || !self.backlog.is_empty()).then_some(REOPEN_PAUSE)
    }

    fn carry_out(&mut self, file: &mut File, orders: Vec<Order>, say: &mut dyn FnMut(Report)) -> Result<(), String> {
        let (writes, reads) = self.sort(file, orders);
        let arrived: Vec<u64> = writes.iter().filter_map(Write::payload).collect();
        let written = self.write(file, writes, say);
        self.on_the_way.fetch_sub(arrived.iter().sum(), Ordering::AcqRel);
        written?;
        for order in reads {
            if let Err(error) = self.read(file, order, say)
                && let Trouble::Corrupt(why) = Trouble::of(&error)
            {
                return Err(why);
            }
        }
        Ok(())
    }

    fn close(&mut self, mut file: File) -> rusqlite::Result<()> {
        file.flush(true)?;
        file::end_life(&file.connection, file.steady.ran_ms())
    }
}

impl Worker {
    fn arrived(&self, row: &Deferred) {
        self.on_the_way.fetch_sub(u64::try_from(row.payload.len()).unwrap_or(u64::MAX), Ordering::AcqRel);
    }
}

impl Draft<'_> {
    fn put(&mut self, connection: &Connection, mark: u64, row: &Deferred, backlog: &[Write]) -> rusqlite::Result<()> {
        let known = match file::recall(connection, &row.caller, &row.request_id, self.times)? {
            Recalled::Waits(id) => match unkept(backlog, id) {
                Some(reply) => Some(Report::Repeated { mark, reply }),
                None => Some(Report::Same { mark, id }),
            },
            Recalled::Answered(reply) => Some(Report::Repeated { mark, reply }),
            Recalled::Unknown => None,
        };
        let report = match (known, self.refusal(row)) {
            (Some(known), _) => known,
            (None, Some(refusal)) => Report::Refused { mark, refusal },
            (None, None) => Report::Stored { mark, id: self.store(connection, row)? },
        };
        self.reports.push(report);
        Ok(())
    }

    fn store(&mut self, connection: &Connection, row: &Deferred) -> rusqlite::Result<i64> {
        let left = self.left_ms(row);
        let due = Times { wall_ms: self.times.wall_ms + left, ran_ms: self.times.ran_ms + left };
        let id = file::put(connection, row, due)?;
        let asked = size(row);
        self.level.rows += 1;
        self.level.bytes += asked;
        self.level.oldest_ms = Some(self.level.oldest_ms.map_or(row.received_ms, |oldest| oldest.min(row.received_ms)));
        self.room = self.room.saturating_sub(asked.saturating_mul(2));
        Ok(id)
    }

    fn refusal(&self, row: &Deferred) -> Option<Refusal> {
        let (asked, bounds, used) = (size(row), self.bounds, self.level.bytes);
        if asked > bounds.bytes {
            return Some(Refusal::TooLarge { asked, bound: bounds.bytes });
        }
        if self.left_ms(row) <= 0 {
            return Some(Refusal::Expired);
        }
        if self.level.rows >= bounds.rows {
            return Some(Refusal::RowsFull { bound: bounds.rows });
        }
        if used.saturating_add(asked) > bounds.bytes {
            return Some(Refusal::BytesFull { used, bound: bounds.bytes, asked });
        }
        // Once to the log of the database and once to its place.
        (asked.saturating_mul(2) > self.room).then(|| {
            let why = format!("{} bytes of it are kept for the rest of the box", bounds.keep_free);
            Refusal::DiskFull(why)
        })
    }

    /// How long a request may wait from now on.
    fn left_ms(&self, row: &Deferred) -> i64 {
        let aged = row.received_ms.saturating_add(self.bounds.age_ms);
        let until = row.deadline_ms.map_or(aged, |deadline| deadline.min(aged));
        // Never longer than from its receipt, also if the clock was set back since.
        until.saturating_sub(self.wall_ms).min(until.saturating_sub(row.received_ms))
    }

    fn answered(&mut self, connection: &Connection, id: i64, reply: Option<&Bytes>) -> rusqlite::Result<()> {
        let Some(place) = file::remove(connection, id)? else {
            let before = file::reply_to(connection, id)?;
            self.reports.push(before.map_or(Report::Kept { id }, |reply| Report::KeptBefore { id, reply }));
            return Ok(());
        };
        self.level.rows = self.level.rows.saturating_sub(1);
        self.level.bytes = self.level.bytes.saturating_sub(place.bytes);
        if let Some(reply) = reply {
            let stale = file::forget_reply(connection, &place.caller, &place.request_id)?;
            self.level.drop_replies(stale.as_slice());
            let age = self.bounds.reply_age_ms;
            let due = Times { wall_ms: self.times.wall_ms + age, ran_ms: self.times.ran_ms + age };
            file::keep(connection, id, &place, due, reply)?;
            self.level.replies += 1;
            self.level.reply_bytes += u64::try_from(reply.len()).unwrap_or(u64::MAX);
            // The youngest stays, however large it is.
            while self.level.replies > 1
                && (self.level.replies > self.bounds.replies || self.level.reply_bytes > self.bounds.reply_bytes)
            {
                let freed = file::drop_reply(connection, None)?;
                if freed.is_empty() {
                    break;
                }
                self.level.drop_replies(&freed);
            }
        }
        self.reports.push(Report::Kept { id });
        Ok(())
    }
}

impl File {
    /// Now, as the times in the file mean it.
    fn times(&self) -> Times {
        Times { wall_ms: self.steady.wall_ms().saturating_sub(self.set_ms), ran_ms: self.steady.ran_ms() }
    }

    /// Whether commits are flushed. A mark that is lost with the power costs nothing: only the daemon's own crashes
    /// count as deaths, and those the file outlives without a flush.
    fn flush(&mut self, flushes: bool) -> rusqlite::Result<()> {
        if self.flushes != flushes {
            let how = if flushes { "FULL" } else { "NORMAL" };
            self.connection.execute_batch(&format!("PRAGMA synchronous={how}"))?;
            self.flushes = flushes;
        }
        Ok(())
    }
}

#[cfg(test)]
impl File {
    /// A disk that has so many pages for the file.
    pub(super) fn limit_pages(&self, pages: u32) {
        self.connection.pragma_update(None, "max_page_count", pages).unwrap();
    }
}

impl Level {
    fn drop_replies(&mut self, freed: &[u64]) {
        self.replies = self.replies.saturating_sub(u64::try_from(freed.len()).unwrap_or(u64::MAX));
        self.reply_bytes = self.reply_bytes.saturating_sub(freed.iter().sum());
    }
}

impl Order {
    fn now(&self) -> Option<Now> {
        match self {
            Order::Put { now, .. }
            | Order::Take { now, .. }
            | Order::Answered { now, .. }
            | Order::Recall { now, .. }
            | Order::Sweep(now) => Some(*now),
            Order::Fetch(_) | Order::Alive(_) | Order::Back(_) => None,
        }
    }
}

impl Write {
    fn payload(&self) -> Option<u64> {
        match self {
            Write::Put { row, .. } => u64::try_from(row.payload.len()).ok(),
            Write::Alive(_) | Write::Back(_) | Write::Answered { .. } => None,
        }
    }
}

/// The answer to a request that could not be written yet.
fn unkept(backlog: &[Write], id: i64) -> Option<Bytes> {
    backlog.iter().find_map(|write| match write {
        Write::Answered { id: of, reply } if *of == id => reply.clone(),
        Write::Put { .. } | Write::Alive(_) | Write::Back(_) | Write::Answered { .. } => None,
    })
}

fn size(row: &Deferred) -> u64 {
    u64::try_from(row.payload.len() + row.head.len()).unwrap_or(u64::MAX)
}

fn refusal(trouble: &Trouble) -> Refusal {
    match trouble {
        Trouble::Full(why) => Refusal::DiskFull(why.clone()),
        Trouble::Corrupt(why) | Trouble::Disk(why) => Refusal::Disk(why.clone()),
    }
}
