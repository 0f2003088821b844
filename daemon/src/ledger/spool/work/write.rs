//! Writes in groups, each in one transaction; keeps what could not be written and must not be forgotten. Must not know what
//! a row or an answer changes.

use bytes::Bytes;

use super::super::file;
use super::super::{Deferred, Found, Refusal, Report};
use super::draft::Draft;
use super::{File, Worker};
use crate::ledger::thread::Trouble;

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
pub(super) enum Write {
    Put { mark: u64, row: Box<Deferred> },
    Alive(i64),
    Back(i64),
    Answered { id: i64, reply: Option<Bytes> },
}

impl Worker {
    /// Writes, and says what came of each. An error means that the file is corrupt.
    pub(super) fn write(
        &mut self,
        file: &mut File,
        new: Vec<Write>,
        say: &mut dyn FnMut(Report),
    ) -> Result<(), String> {
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
}

impl Write {
    pub(super) fn payload(&self) -> Option<u64> {
        match self {
            Write::Put { row, .. } => u64::try_from(row.payload.len()).ok(),
            Write::Alive(_) | Write::Back(_) | Write::Answered { .. } => None,
        }
    }
}

/// The answer to a request that could not be written yet; `Some(None)` if none is kept of it.
pub(super) fn unkept(backlog: &[Write], id: i64) -> Option<Option<Bytes>> {
    backlog.iter().find_map(|write| match write {
        Write::Answered { id: of, reply } if *of == id => Some(reply.clone()),
        Write::Put { .. } | Write::Alive(_) | Write::Back(_) | Write::Answered { .. } => None,
    })
}

fn refusal(trouble: &Trouble) -> Refusal {
    match trouble {
        Trouble::Full(why) => Refusal::DiskFull(why.clone()),
        Trouble::Corrupt(why) | Trouble::Disk(why) => Refusal::Disk(why.clone()),
    }
}
