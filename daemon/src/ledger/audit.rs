//! The audit: one row for each request that leaves the device, written before its first byte does. Never its content.
//!
//! A row is flushed to the disk before its ticket is given out: a box that loses its power has a trace of what it had
//! sent. All rows that wait share one flush. What came of it follows within about a second, in company; a row without
//! an outcome is a request that was under way when the daemon ended. Must not know why something may leave.

use rusqlite::{Connection, Row, params};

use super::database::count;

const DAY_MS: i64 = 86_400_000;
/// Rows of one answer at most.
pub const PAGE: usize = 1_000;
/// Rows that a query reads in one turn of the thread, about 5 ms.
const SLICE: i64 = 4_000;
/// Rows that are let go at once: what is ordered meanwhile waits no longer than that takes.
const STALE: usize = 1_000;

pub(super) const TABLES: &str = "
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, request_id TEXT NOT NULL, caller TEXT NOT NULL,
        model TEXT NOT NULL, site TEXT NOT NULL, zone TEXT NOT NULL, protocol TEXT NOT NULL, claimed TEXT,
        effective TEXT NOT NULL, rule TEXT NOT NULL, redacted INTEGER NOT NULL, bytes INTEGER NOT NULL,
        sha256 BLOB, attempt INTEGER NOT NULL, kind TEXT NOT NULL,
        ended_ms INTEGER, outcome TEXT, reply_bytes INTEGER, micro_usd INTEGER
    ) STRICT;";

/// How long rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub days: u32,
    pub rows: u64,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { days: 400, rows: 1_000_000 }
    }
}

/// A request that is about to leave the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    pub request_id: String,
    pub caller: String,
    pub model: String,
    pub site: String,
    pub zone: String,
    pub protocol: String,
    /// The data class that the caller claimed, if any, and the one that holds.
    pub claimed: Option<String>,
    pub effective: String,
    /// The rule that let it leave, and why.
    pub rule: String,
    /// Places that were made unreadable in it.
    pub redacted: u32,
    /// Length of what is sent.
    pub bytes: u64,
    /// 1 for the first time that this request leaves.
    pub attempt: u32,
    /// The word for this attempt: first, retry, hedge.
    pub kind: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub ended_ms: i64,
    /// The word of the outcome.
    pub word: String,
    pub reply_bytes: u64,
    /// `None` where no price is known.
    pub micro_usd: Option<u64>,
    /// Digest of what was sent, as far as it was; `None` if nothing was.
    pub sha256: Option<[u8; 32]>,
}

/// The proof that a departure is in the file; its row's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub i64);

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    pub id: i64,
    pub departure: Departure,
    /// `None`: under way, or the daemon ended before the answer.
    pub outcome: Option<Outcome>,
}

/// What to read, newest first. Nothing given restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
    pub site: Option<String>,
    pub model: Option<String>,
    /// The effective data class.
    pub class: Option<String>,
    pub request_id: Option<String>,
    /// Go on where an earlier answer ended: its `next`.
    pub before: Option<i64>,
    /// At most [`PAGE`].
    pub limit: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditAnswer {
    pub rows: Vec<Audited>,
    /// There may be more: ask with this as `before`.
    pub next: Option<i64>,
}

/// A query under way.
#[derive(Debug)]
pub(super) struct AuditScan {
    query: AuditQuery,
    before: i64,
    rows: Vec<Audited>,
}

impl AuditScan {
    pub(super) fn new(query: AuditQuery) -> AuditScan {
        let before = query.before.unwrap_or(i64::MAX);
        AuditScan { query, before, rows: Vec::new() }
    }

    /// Reads on; the answer when there is enough or all is read. Looks at every row, as the times of a clock that was
    /// set are in no order.
    pub(super) fn step(&mut self, connection: &Connection) -> rusqlite::Result<Option<AuditAnswer>> {
        let limit = self.query.limit.clamp(1, PAGE);
        let sql = format!("SELECT * FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT {SLICE}");
        let mut find = connection.prepare_cached(&sql)?;
        let mut rows = find.query([self.before])?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            self.before = row.get(0)?;
            read += 1;
            if self.query.allows(row)? {
                self.rows.push(read_row(row)?);
                if self.rows.len() == limit {
                    return Ok(Some(self.answer(Some(self.before))));
                }
            }
        }
        Ok((read < SLICE).then(|| self.answer(None)))
    }

    fn answer(&mut self, next: Option<i64>) -> AuditAnswer {
        AuditAnswer { rows: std::mem::take(&mut self.rows), next }
    }
}

impl AuditQuery {
    fn allows(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let at_ms: i64 = row.get(1)?;
        if self.since_ms.is_some_and(|since| at_ms < since) || self.until_ms.is_some_and(|until| at_ms >= until) {
            return Ok(false);
        }
        for (asked, column) in [(&self.request_id, 2), (&self.model, 4), (&self.site, 5), (&self.class, 9)] {
            if let Some(asked) = asked
                && row.get_ref(column)?.as_str()? != asked
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<Audited> {
    let small = |at| count(row, at).map(|value| u32::try_from(value).unwrap_or(u32::MAX));
    let departure = Departure {
        at_ms: row.get(1)?,
        request_id: row.get(2)?,
        caller: row.get(3)?,
        model: row.get(4)?,
        site: row.get(5)?,
        zone: row.get(6)?,
        protocol: row.get(7)?,
        claimed: row.get(8)?,
        effective: row.get(9)?,
        rule: row.get(10)?,
        redacted: small(11)?,
        bytes: count(row, 12)?,
        attempt: small(14)?,
        kind: row.get(15)?,
    };
    let word: Option<String> = row.get(17)?;
    let outcome = word.map(|word| {
        let micro_usd = row.get::<_, Option<i64>>(19)?.map(|value| u64::try_from(value).unwrap_or(0));
        let sha256 = row.get(13)?;
        Ok::<_, rusqlite::Error>(Outcome {
            ended_ms: row.get(16)?,
            word,
            reply_bytes: count(row, 18)?,
            micro_usd,
            sha256,
        })
    });
    Ok(Audited { id: row.get(0)?, departure, outcome: outcome.transpose()? })
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn intend(connection: &Connection, row: &Departure) -> rusqlite::Result<Ticket> {
    let sql = "INSERT INTO audit (at_ms, request_id, caller, model, site, zone, protocol, claimed, effective, rule,
         redacted, bytes, attempt, kind) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    connection.prepare_cached(sql)?.execute(params![
        row.at_ms,
        row.request_id,
        row.caller,
        row.model,
        row.site,
        row.zone,
        row.protocol,
        row.claimed,
        row.effective,
        row.rule,
        row.redacted,
        number(row.bytes),
        row.attempt,
        row.kind
    ])?;
    Ok(Ticket(connection.last_insert_rowid()))
}

pub(super) fn outcome(connection: &Connection, ticket: Ticket, outcome: &Outcome) -> rusqlite::Result<()> {
    let sql =
        "UPDATE audit SET ended_ms = ?2, outcome = ?3, reply_bytes = ?4, micro_usd = ?5, sha256 = ?6 WHERE id = ?1";
    let (reply_bytes, micro_usd) = (number(outcome.reply_bytes), outcome.micro_usd.map(number));
    let sha256 = outcome.sha256.as_ref().map(<[u8; 32]>::as_slice);
    let values = params![ticket.0, outcome.ended_ms, outcome.word, reply_bytes, micro_usd, sha256];
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

/// The youngest row's id.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(id), 0) FROM audit", [], |row| row.get(0))
}

/// Lets go what is too old or too much, and says whether there may be more of it. Rows above `spared` are spared for their age: they are of this life, which is
/// younger than that whatever the clock says (a box that starts in 1970 and then learns the time).
pub(super) fn age(connection: &Connection, wall_ms: i64, keep: Retention, spared: i64) -> rusqlite::Result<bool> {
    let sql = format!(
        "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at_ms < ?1 AND id <= ?2 ORDER BY id LIMIT {STALE})"
    );
    let before = wall_ms.saturating_sub(i64::from(keep.days) * DAY_MS);
    let old = connection.prepare_cached(&sql)?.execute([before, spared])?;
    // Rows are only ever let go at the old end, but for those of a clock that was set, so this is close enough.
    let youngest = last(connection)?;
    let sql = format!("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id <= ?1 ORDER BY id LIMIT {STALE})");
    let many = connection.prepare_cached(&sql)?.execute([youngest.saturating_sub(number(keep.rows))])?;
    Ok(old == STALE || many == STALE)
}
