//! What the thread of the records does with its orders.
//!
//! Changes that can wait lie in memory until a departure takes them along, a second has passed, or there are many.
//! What cannot be written stays there, bounded; departures are refused at once instead.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use edge_core::Mono;
use rusqlite::Connection;

use super::{Answer, Found, Order, QUESTIONS, Query, Report, Retention};
use crate::driver::chain;
use crate::driver::clock::Clock;
use crate::ledger::audit::{self, AuditScan, Departure, Outcome, Ticket};
use crate::ledger::decisions::{self, Decision, DecisionScan};
use crate::ledger::journal::Shut;
use crate::ledger::schema::Schema;
use crate::ledger::spent::{self, Entry};
use crate::ledger::thread::{Moved, REOPEN_PAUSE, Trouble, Work};
use crate::ledger::time::Now;
use crate::ledger::usage::{self, UsageRow, UsageScan};
use crate::ledger::{LedgerError, database};

const LIFE: &str = "CREATE TABLE life (clean INTEGER NOT NULL) STRICT; INSERT INTO life VALUES (1);";
/// The first release makes the tables of each module in a step of its own.
pub(super) const STEPS: [&str; 5] = [audit::TABLES, usage::TABLES, spent::TABLES, decisions::TABLES, LIFE];
/// Flushed: a box that loses its power must not forget what left it. What can wait shares a flush each second, so a box
/// that sends nothing away flushes little.
const SCHEMA: Schema = Schema { steps: &STEPS, synchronous: "FULL", shrinks: true };

/// How long what can wait waits for company.
const COMPANY: Duration = Duration::from_secs(1);
/// Changes that are written without waiting any longer.
const MANY: usize = 512;
/// Changes that wait while nothing can be written: about an hour's minutes, and bytes of decisions. Beyond, the oldest
/// are lost, and that is counted.
const MOST: usize = 8192;
const MOST_BYTES: usize = 8 << 20;

/// A change that can wait.
#[derive(Debug)]
enum Change {
    Outcome(Ticket, Outcome),
    Spend(Entry),
    Usage(UsageRow),
    Decision(Decision),
}

/// A question under way.
#[derive(Debug)]
enum Scan {
    Audit(AuditScan),
    Usage(UsageScan),
    Decisions(DecisionScan),
}

pub(super) struct Worker {
    path: PathBuf,
    keep: Retention,
    /// When this life began, and the last time that was told.
    began: Now,
    now: Now,
    clock: Clock,
    moved: Moved,
    changes: VecDeque<Change>,
    bytes: usize,
    /// When the oldest of them came, or the last attempt to write was made.
    since: Option<Mono>,
    lost: u64,
    questions: VecDeque<(u64, Scan)>,
    /// Upkeep is due.
    due: bool,
    failing: bool,
}

pub(super) struct File {
    connection: Connection,
    /// The youngest audit row of former lives.
    former: i64,
}

impl Worker {
    pub(super) fn new(path: PathBuf, keep: Retention, now: Now) -> Worker {
        Worker {
            path,
            keep,
            began: now,
            now,
            clock: Clock::start(),
            moved: None,
            changes: VecDeque::new(),
            bytes: 0,
            since: None,
            lost: 0,
            questions: VecDeque::new(),
            due: false,
            failing: false,
        }
    }

    /// Keeps a change until it is written.
    fn put(&mut self, change: Change) {
        self.bytes += change.bytes();
        self.changes.push_back(change);
        self.since.get_or_insert(self.clock.now());
        while self.changes.len() > MOST || self.bytes > MOST_BYTES {
            self.bytes -= self.changes.pop_front().map_or(0, |change| change.bytes());
            self.lost += 1;
        }
    }

    /// Sorts the orders: departures are given back, the rest is taken note of.
    fn sort(&mut self, orders: Vec<Order>, say: &mut dyn FnMut(Report)) -> Vec<(u64, Box<Departure>)> {
        let mut departures = Vec::new();
        for order in orders {
            match order {
                Order::Intend { mark, row } => departures.push((mark, row)),
                Order::Outcome(ticket, outcome) => self.put(Change::Outcome(ticket, outcome)),
                Order::Spend(entry) => self.put(Change::Spend(entry)),
                Order::Usage(rows) => rows.into_iter().for_each(|row| self.put(Change::Usage(row))),
                Order::Decision(decision) => self.put(Change::Decision(decision)),
                Order::Tick(now) => (self.now, self.due) = (now, true),
                Order::Ask { mark, .. } if self.questions.len() >= QUESTIONS => {
                    let why = format!("{QUESTIONS} questions are under way: ask again when one is answered");
                    say(Report::Answered { mark, answer: Err(why) });
                }
                Order::Ask { mark, query } => self.questions.push_back((mark, Scan::from(query))),
            }
        }
        departures
    }

    fn transact(
        &self,
        connection: &mut Connection,
        departures: &[(u64, Box<Departure>)],
    ) -> rusqlite::Result<Vec<Report>> {
        let transaction = connection.transaction()?;
        for change in &self.changes {
            match change.write(&transaction) {
                Err(error) if Trouble::is_of_the_row(&error) => {
                    // It would fail again and again, and take everything else along.
                    tracing::error!(error = %chain(&error), ?change, "a change that does not fit the ledger is let go");
                }
                written => written?,
            }
        }
        let mut reports = Vec::with_capacity(departures.len());
        for (mark, row) in departures {
            reports.push(Report::Intended { mark: *mark, ticket: audit::intend(&transaction, row)? });
        }
        if self.failing {
            // Something has to be written, or nothing is found out.
            transaction.execute("UPDATE life SET clean = 0", [])?;
        }
        transaction.commit()?;
        Ok(reports)
    }

    fn write(
        &mut self,
        file: &mut File,
        departures: Vec<(u64, Box<Departure>)>,
        say: &mut dyn FnMut(Report),
    ) -> Result<(), String> {
        match self.transact(&mut file.connection, &departures) {
            Ok(reports) => {
                self.changes.clear();
                (self.bytes, self.since) = (0, None);
                if std::mem::take(&mut self.failing) {
                    say(Report::Works { lost: std::mem::take(&mut self.lost) });
                }
                reports.into_iter().for_each(say);
                Ok(())
            }
            Err(error) => {
                let trouble = Trouble::of(&error);
                self.since = Some(self.clock.now());
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(error = %trouble.why(), departures = departures.len(), "write the ledger");
                    say(Report::Failing(trouble.why().to_owned()));
                }
                for (mark, _) in departures {
                    say(Report::NotIntended { mark, why: trouble.why().to_owned() });
                }
                match trouble {
                    Trouble::Corrupt(why) => Err(why),
                    Trouble::Full(_) | Trouble::Disk(_) => Ok(()),
                }
            }
        }
    }

    /// Whether what waits has waited long enough.
    fn ripe(&self) -> bool {
        let wait = if self.failing { REOPEN_PAUSE } else { COMPANY };
        self.since.is_some_and(|since| self.clock.now() >= since.after(wait))
            || (!self.failing && self.changes.len() >= MANY)
    }

    /// Goes on with the oldest question.
    fn answer(&mut self, file: &File, say: &mut dyn FnMut(Report)) -> Result<(), String> {
        let Some((mark, mut scan)) = self.questions.pop_front() else { return Ok(()) };
        match scan.step(&file.connection) {
            Ok(None) => self.questions.push_front((mark, scan)),
            Ok(Some(answer)) => say(Report::Answered { mark, answer: Ok(answer) }),
            Err(error) => {
                let trouble = Trouble::of(&error);
                tracing::error!(error = %trouble.why(), "read the ledger");
                say(Report::Answered { mark, answer: Err(trouble.why().to_owned()) });
                if let Trouble::Corrupt(why) = trouble {
                    return Err(why);
                }
            }
        }
        Ok(())
    }

    /// Rolls up and lets go what is old; not while a question is under way, which would miss or count twice what moves.
    fn upkeep(&mut self, file: &mut File) -> Result<(), String> {
        self.due = false;
        match self.age(file) {
            Ok(more) => {
                self.due = more;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "let go what is old in the ledger");
                match Trouble::of(&error) {
                    Trouble::Corrupt(why) => Err(why),
                    Trouble::Full(_) | Trouble::Disk(_) => Ok(()),
                }
            }
        }
    }

    fn age(&self, file: &mut File) -> rusqlite::Result<bool> {
        let wall_ms = self.now.wall_ms;
        let lived_ms = self.now.boot_ms.saturating_sub(self.began.boot_ms);
        let old = lived_ms >= i64::from(self.keep.audit.days) * 86_400_000;
        let spared = if old { i64::MAX } else { file.former };
        let transaction = file.connection.transaction()?;
        let audit = audit::age(&transaction, wall_ms, self.keep.audit, spared)?;
        let decisions = decisions::age(&transaction, wall_ms, self.keep.decisions)?;
        usage::age(&transaction, wall_ms, self.keep.usage)?;
        spent::age(&transaction)?;
        transaction.commit()?;
        database::shrink(&file.connection)?;
        Ok(audit || decisions)
    }
}

impl Work for Worker {
    type Order = Order;
    type Report = Report;
    type File = File;

    fn open(&mut self, corrupt: Option<String>) -> Result<(File, Report), LedgerError> {
        if let Some(why) = corrupt {
            self.moved = Some((database::move_aside(&self.path)?, why));
        }
        let opened = database::open(&self.path, &SCHEMA, start_life, &mut self.moved)?;
        let (connection, (crashed, spent, former)) = (opened.connection, opened.content);
        connection.set_prepared_statement_cache_capacity(48);
        let moved = self.moved.take();
        Ok((File { connection, former }, Report::Opened(Found { spent, crashed, moved })))
    }

    fn shut(&self, shut: Shut) -> Report {
        Report::Shut(shut)
    }

    fn refuse(&mut self, order: Order, why: &str) -> Option<Report> {
        match order {
            Order::Intend { mark, .. } => Some(Report::NotIntended { mark, why: why.to_owned() }),
            Order::Ask { mark, .. } => Some(Report::Answered { mark, answer: Err(why.to_owned()) }),
            waits => {
                // Nothing is asked and nothing leaves: all of these wait.
                let none = self.sort(vec![waits], &mut |_| {});
                debug_assert!(none.is_empty());
                None
            }
        }
    }

    fn pause(&self) -> Option<Duration> {
        if !self.questions.is_empty() || self.due {
            return Some(Duration::ZERO);
        }
        let wait = if self.failing { REOPEN_PAUSE } else { COMPANY };
        let since = self.since.or_else(|| self.failing.then(|| self.clock.now()))?;
        Some(since.after(wait).since(self.clock.now()))
    }

    fn carry_out(&mut self, file: &mut File, orders: Vec<Order>, say: &mut dyn FnMut(Report)) -> Result<(), String> {
        let asked = orders.iter().any(|order| matches!(order, Order::Ask { .. }));
        let departures = self.sort(orders, say);
        // Whoever asks sees all that was ordered before.
        let is_told = asked && !self.changes.is_empty() && !self.failing;
        if !departures.is_empty() || is_told || self.ripe() {
            self.write(file, departures, say)?;
        }
        if self.due && self.questions.is_empty() {
            self.upkeep(file)?;
        }
        self.answer(file, say)
    }

    fn close(&mut self, mut file: File) -> rusqlite::Result<()> {
        self.transact(&mut file.connection, &[])?;
        file.connection.execute("UPDATE life SET clean = 1", []).map(drop)
    }
}

fn start_life(connection: &mut Connection) -> rusqlite::Result<(bool, spent::Found, i64)> {
    let transaction = connection.transaction()?;
    let clean: bool = transaction.query_row("SELECT clean FROM life", [], |row| row.get(0))?;
    transaction.execute("UPDATE life SET clean = 0", [])?;
    let (spent, former) = (spent::start_life(&transaction)?, audit::last(&transaction)?);
    transaction.commit()?;
    Ok((!clean, spent, former))
}

impl Change {
    fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        match self {
            Change::Outcome(ticket, outcome) => audit::outcome(connection, *ticket, outcome),
            Change::Spend(entry) => spent::add(connection, entry),
            Change::Usage(row) => usage::add(connection, row),
            Change::Decision(decision) => decisions::add(connection, decision),
        }
    }

    /// What it takes in memory, as far as that is not small.
    fn bytes(&self) -> usize {
        match self {
            Change::Decision(decision) => decision.record.len(),
            Change::Outcome(..) | Change::Spend(_) | Change::Usage(_) => 0,
        }
    }
}

impl From<Query> for Scan {
    fn from(query: Query) -> Scan {
        match query {
            Query::Audit(query) => Scan::Audit(AuditScan::new(query)),
            Query::Usage(query) => Scan::Usage(UsageScan::new(query)),
            Query::Decisions(query) => Scan::Decisions(DecisionScan::new(query)),
        }
    }
}

impl Scan {
    fn step(&mut self, connection: &Connection) -> rusqlite::Result<Option<Answer>> {
        Ok(match self {
            Scan::Audit(scan) => scan.step(connection)?.map(Answer::Audit),
            Scan::Usage(scan) => scan.step(connection)?.map(Answer::Usage),
            Scan::Decisions(scan) => scan.step(connection)?.map(Answer::Decisions),
        })
    }
}

#[cfg(test)]
impl File {
    /// A disk that has so many pages for the file.
    pub(super) fn limit_pages(&self, pages: u32) {
        self.connection.pragma_update(None, "max_page_count", pages).unwrap();
    }
}
