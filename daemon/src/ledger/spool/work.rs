//! What the spool's thread does with its orders: writes in groups, then reads.
//!
//! All writes of a group share one transaction and one flush; reads see them. What cannot be written now is told, and
//! what must not be forgotten (answers, marks) is tried again until it can be.

mod draft;
mod write;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use self::write::{Write, unkept};
use super::file::{self, Times};
use super::{Bounds, Deferred, Found, Level, Moved, Now, Order, PAGE, Recalled, Refusal, Report, Waiting};
use crate::ledger::journal::Shut;
use crate::ledger::thread::{REOPEN_PAUSE, Trouble, Work};
use crate::ledger::time::Steady;
use crate::ledger::{LedgerError, database};

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
            Order::Recall { mark, of, .. } => {
                let found = file::recall(&file.connection, &of, times);
                Report::Recalled { mark, found: found.map_err(&mut told).map(|found| self.known(found)) }
            }
            Order::Named { mark, caller, request_id, .. } => {
                let rows = file::named(&file.connection, times, PAGE, (&caller, &request_id));
                let open = |rows: Vec<Waiting>| {
                    rows.into_iter().filter(|row| unkept(&self.backlog, row.id).is_none()).collect()
                };
                Report::Named { mark, rows: rows.map_err(&mut told).map(open) }
            }
            Order::Sweep(_) => match self.sweep(file, times) {
                Ok(report) => report,
                Err(error) => {
                    told(error);
                    Report::Swept { expired: Vec::new(), next_ms: None, level: file.level }
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
            Recalled::Waits(id) => match unkept(&self.backlog, id) {
                Some(Some(reply)) => Recalled::Answered(reply),
                Some(None) => Recalled::Unknown,
                None => found,
            },
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
        let expired = file::expired(&file.connection, times, PAGE, |id| !self.out.contains(&id))?;
        self.out.extend(expired.iter().map(|row| row.id));
        let next_ms = file::next_due(&file.connection, times, |id| !self.out.contains(&id))?;
        file.level.oldest_ms = file::oldest_ms(&file.connection)?;
        Ok(Report::Swept { expired, next_ms, level: file.level })
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
                Order::Take { .. } | Order::Fetch(_) | Order::Recall { .. } | Order::Named { .. } | Order::Sweep(_) => {
                    reads.push(order)
                }
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
            Order::Named { mark, .. } => Report::Named { mark, rows: Err(why) },
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
            | Order::Named { now, .. }
            | Order::Sweep(now) => Some(*now),
            Order::Fetch(_) | Order::Alive(_) | Order::Back(_) => None,
        }
    }
}
