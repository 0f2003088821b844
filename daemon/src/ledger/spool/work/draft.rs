//! One transaction while it is put together: what each change does to the tables and to what is counted. Must not know
//! what becomes of a group that cannot be written.

use bytes::Bytes;
use rusqlite::Connection;

use super::super::file::{self, Times};
use super::super::{Bounds, Deferred, Level, Recalled, Refusal, Report};
use super::write::{Write, unkept};

/// A transaction that is being put together.
pub(super) struct Draft<'a> {
    pub(super) bounds: &'a Bounds,
    pub(super) times: Times,
    pub(super) wall_ms: i64,
    /// Bytes that may still be written before the disk counts as full.
    pub(super) room: u64,
    pub(super) level: Level,
    pub(super) reports: Vec<Report>,
}

impl Draft<'_> {
    pub(super) fn put(
        &mut self,
        connection: &Connection,
        mark: u64,
        row: &Deferred,
        backlog: &[Write],
    ) -> rusqlite::Result<()> {
        let known = match file::recall(connection, &row.key, self.times)? {
            Recalled::Waits(id) => match unkept(backlog, id) {
                Some(Some(reply)) => Some(Report::Repeated { mark, reply }),
                // It has ended, and there was no room to say so: it makes room for the new one.
                Some(None) => {
                    self.answered(connection, id, None)?;
                    None
                }
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

    pub(super) fn answered(&mut self, connection: &Connection, id: i64, reply: Option<&Bytes>) -> rusqlite::Result<()> {
        let Some(place) = file::remove(connection, id)? else {
            let before = file::reply_to(connection, id)?;
            self.reports.push(before.map_or(Report::Kept { id }, |reply| Report::KeptBefore { id, reply }));
            return Ok(());
        };
        self.level.rows = self.level.rows.saturating_sub(1);
        self.level.bytes = self.level.bytes.saturating_sub(place.bytes);
        if let Some(reply) = reply {
            let stale = file::forget_reply(connection, &place.key)?;
            self.level.drop_replies(stale.as_slice());
            let age = self.bounds.reply_age_ms;
            let due = Times { wall_ms: self.times.wall_ms + age, ran_ms: self.times.ran_ms + age };
            file::keep(connection, id, &place.key, due, reply)?;
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

fn size(row: &Deferred) -> u64 {
    u64::try_from(row.payload.len() + row.head.len()).unwrap_or(u64::MAX)
}
