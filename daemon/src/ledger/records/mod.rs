//! What the box knows of its past: usage, the audit of all that left it, what was spent, the routing decisions. One file,
//! one thread.
//!
//! A departure is on disk, flushed, before [`Report::Intended`] says so; with it goes all that was ordered before it,
//! so money that was reserved first is on disk as well. Everything else waits about a second for company. Long
//! questions are answered in slices, so that no departure waits for one.
//! Must not decide anything: whether something may leave that cannot be audited is the policy's to say.

mod work;

use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::LedgerError;
use super::audit::{self, AuditAnswer, AuditQuery, Departure, Outcome, Ticket};
use super::decisions::{self, Decision, DecisionAnswer, DecisionQuery};
use super::journal::{NotTaken, Shut};
use super::spent;
use super::thread::{Desk, Moved};
use super::time::Now;
use super::usage::{self, UsageAnswer, UsageQuery, UsageRow};

/// Orders that wait for the thread.
const WAITING: usize = 4096;
/// Questions that are under way; beyond, one is refused.
pub const QUESTIONS: usize = 16;

/// How long each kind is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub audit: audit::Retention,
    pub usage: usage::Retention,
    pub decisions: decisions::Retention,
}

/// What was found when the file was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// For [`spent::Spent::start`].
    pub spent: spent::Found,
    /// The last daemon crashed, or was killed.
    pub crashed: bool,
    /// Where an unreadable file went.
    pub moved: Moved,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    Audit(AuditQuery),
    Usage(UsageQuery),
    Decisions(DecisionQuery),
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Audit(AuditAnswer),
    Usage(UsageAnswer),
    Decisions(DecisionAnswer),
}

/// What the thread says. `mark` is the driver's own number for the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The file is open. Comes before any other report but [`Report::Shut`] and refusals; again if the file had to be
    /// moved aside while it was used: then what was spent is what the driver knows.
    Opened(Found),
    /// The file cannot be opened; it is tried again every 2 s. Comes for each new reason.
    Shut(Shut),
    /// The departure is on disk: it may leave.
    Intended {
        mark: u64,
        ticket: Ticket,
    },
    /// The departure is not on disk, and why.
    NotIntended {
        mark: u64,
        why: String,
    },
    Answered {
        mark: u64,
        answer: Result<Answer, String>,
    },
    /// Nothing can be written now, and why. Comes once; what can wait does.
    Failing(String),
    /// What could not be written can be written again. `lost`: changes that were too many to wait.
    Works {
        lost: u64,
    },
}

/// What the thread is told.
#[derive(Debug)]
enum Order {
    Intend { mark: u64, row: Box<Departure> },
    Outcome(Ticket, Outcome),
    Spend(spent::Entry),
    Usage(Vec<UsageRow>),
    Decision(Decision),
    Tick(Now),
    Ask { mark: u64, query: Query },
}

/// The driver's end. Orders never wait.
#[derive(Debug)]
pub struct Records {
    desk: Desk<Order>,
}

impl Records {
    /// Starts the thread, which opens the file at `path` and says so by [`Report::Opened`].
    pub fn start(
        path: &Path,
        keep: Retention,
        now: Now,
        reports: mpsc::Sender<Report>,
    ) -> Result<Records, LedgerError> {
        let work = work::Worker::new(PathBuf::from(path), keep, now);
        Ok(Records { desk: Desk::start(work, "ledger", path, WAITING, reports)? })
    }

    /// A request is about to leave: [`Report::Intended`] or [`Report::NotIntended`]. It leaves after that.
    pub fn intend(&self, mark: u64, row: Departure) -> Result<(), NotTaken> {
        self.desk.order(Order::Intend { mark, row: Box::new(row) })
    }

    /// What came of it.
    pub fn outcome(&self, ticket: Ticket, outcome: Outcome) -> Result<(), NotTaken> {
        self.desk.order(Order::Outcome(ticket, outcome))
    }

    /// A change of what is spent or reserved; on disk at the latest with the next departure that is intended.
    pub fn spend(&self, entry: spent::Entry) -> Result<(), NotTaken> {
        self.desk.order(Order::Spend(entry))
    }

    /// A minute that is over.
    pub fn usage(&self, rows: Vec<UsageRow>) -> Result<(), NotTaken> {
        if rows.is_empty() { Ok(()) } else { self.desk.order(Order::Usage(rows)) }
    }

    /// A decision to keep; one above [`decisions::MAX_RECORD`] bytes is not.
    pub fn decision(&self, decision: Decision) -> Result<(), NotTaken> {
        if decision.record.len() > decisions::MAX_RECORD {
            return Ok(());
        }
        self.desk.order(Order::Decision(decision))
    }

    /// Rolls up and lets go what is old. To be ordered once a minute.
    pub fn tick(&self, now: Now) -> Result<(), NotTaken> {
        self.desk.order(Order::Tick(now))
    }

    /// Asks: [`Report::Answered`].
    pub fn ask(&self, mark: u64, query: Query) -> Result<(), NotTaken> {
        self.desk.order(Order::Ask { mark, query })
    }

    /// Has all orders carried out and notes that this daemon ended in good order. Gives back what nobody has taken of
    /// `reports`. Blocks on the disk: not for the loop.
    pub fn close(self, reports: mpsc::Receiver<Report>) -> Vec<Report> {
        self.desk.close(reports)
    }
}

#[cfg(test)]
mod tests;
