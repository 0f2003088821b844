//! Recorded routing decisions, for replay under another policy: a ring on disk, bounded in rows, bytes and age.
//!
//! All are kept up to a rate; beyond it one in a growing number, and each record says for how many it stands. Must not
//! know what a record says.

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::database::count;

const DAY_MS: i64 = 86_400_000;
const SECOND_MS: i64 = 1_000;
/// Records and bytes of one answer at most.
pub const PAGE: usize = 1_000;
pub const PAGE_BYTES: usize = 1 << 20;
/// A larger record is not kept.
pub const MAX_RECORD: usize = 64 << 10;
/// Records that a query looks at in one turn of the thread, about 5 ms.
const SLICE: i64 = 2_000;
/// Records that are let go at once: what is ordered meanwhile waits no longer than that takes.
const STALE: usize = 1_000;

pub(super) const TABLES: &str = "
    CREATE TABLE decision (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, model TEXT NOT NULL, weight INTEGER NOT NULL,
        record BLOB NOT NULL
    ) STRICT;";

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub rows: u64,
    pub days: u32,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { rows: 200_000, days: 30 }
    }
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    pub model: String,
    /// How many decisions it stands for: 1, or more where not all were kept.
    pub weight: u32,
    /// As the driver wrote it.
    pub record: Bytes,
}

/// Which decisions are kept: all of the first `per_second` in a second, then one when as many were passed over as were
/// kept in that second, so that a second of any load gives a bounded, weighted sample.
#[derive(Clone, Debug)]
pub struct Sampler {
    per_second: u32,
    second: i64,
    kept: u32,
    passed: u32,
}

impl Sampler {
    pub fn new(per_second: u32) -> Sampler {
        Sampler { per_second, second: i64::MIN, kept: 0, passed: 0 }
    }

    /// Whether this decision is kept, and for how many it stands; what was passed over is counted with the next one
    /// that is kept. `boot_ms` is running time.
    pub fn keep(&mut self, boot_ms: i64) -> Option<u32> {
        let second = boot_ms.div_euclid(SECOND_MS);
        if second != self.second {
            (self.second, self.kept) = (second, 0);
        }
        if self.per_second == 0 || (self.kept >= self.per_second && self.passed < self.kept) {
            self.passed = self.passed.saturating_add(1);
            return None;
        }
        self.kept += 1;
        Some(std::mem::take(&mut self.passed).saturating_add(1))
    }
}

/// What to read, oldest first. Nothing given restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionQuery {
    pub from_ms: Option<i64>,
    /// To before this.
    pub to_ms: Option<i64>,
    pub model: Option<String>,
    /// Go on where an earlier answer ended: its `next`.
    pub after: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionAnswer {
    pub rows: Vec<Decision>,
    /// There may be more: ask with this as `after`.
    pub next: Option<i64>,
}

/// A query under way.
#[derive(Debug)]
pub(super) struct DecisionScan {
    query: DecisionQuery,
    after: i64,
    rows: Vec<Decision>,
    bytes: usize,
}

impl DecisionScan {
    pub(super) fn new(query: DecisionQuery) -> DecisionScan {
        let after = query.after.unwrap_or(0);
        DecisionScan { query, after, rows: Vec::new(), bytes: 0 }
    }

    /// Reads on; the answer when there is enough or all is read.
    pub(super) fn step(&mut self, connection: &Connection) -> rusqlite::Result<Option<DecisionAnswer>> {
        let sql =
            format!("SELECT id, at_ms, model, weight, record FROM decision WHERE id > ?1 ORDER BY id LIMIT {SLICE}");
        let mut find = connection.prepare_cached(&sql)?;
        let mut rows = find.query([self.after])?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            self.after = row.get(0)?;
            read += 1;
            let (at_ms, query) = (row.get(1)?, &self.query);
            let model = row.get_ref(2)?.as_str()?;
            if query.from_ms.is_some_and(|from| at_ms < from)
                || query.to_ms.is_some_and(|to| at_ms >= to)
                || query.model.as_ref().is_some_and(|asked| asked != model)
            {
                continue;
            }
            let record = Bytes::copy_from_slice(row.get_ref(4)?.as_blob()?);
            self.bytes += record.len();
            let weight = u32::try_from(count(row, 3)?).unwrap_or(u32::MAX);
            self.rows.push(Decision { at_ms, model: model.to_owned(), weight, record });
            if self.rows.len() >= PAGE || self.bytes >= PAGE_BYTES {
                return Ok(Some(self.answer(Some(self.after))));
            }
        }
        Ok((read < SLICE).then(|| self.answer(None)))
    }

    fn answer(&mut self, next: Option<i64>) -> DecisionAnswer {
        DecisionAnswer { rows: std::mem::take(&mut self.rows), next }
    }
}

pub(super) fn add(connection: &Connection, decision: &Decision) -> rusqlite::Result<()> {
    let sql = "INSERT INTO decision (at_ms, model, weight, record) VALUES (?1, ?2, ?3, ?4)";
    let record: &[u8] = &decision.record;
    connection.prepare_cached(sql)?.execute(params![decision.at_ms, decision.model, decision.weight, record]).map(drop)
}

/// Lets go what is too old or too much, and says whether there may be more of it.
pub(super) fn age(connection: &Connection, wall_ms: i64, keep: Retention) -> rusqlite::Result<bool> {
    let sql = format!(
        "DELETE FROM decision WHERE id IN (SELECT id FROM (SELECT id, at_ms FROM decision ORDER BY id LIMIT {STALE})
         WHERE at_ms < ?1 OR id <= (SELECT max(id) FROM decision) - ?2)"
    );
    let before = wall_ms.saturating_sub(i64::from(keep.days) * DAY_MS);
    let rows = i64::try_from(keep.rows).unwrap_or(i64::MAX);
    Ok(connection.prepare_cached(&sql)?.execute([before, rows])? == STALE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_kept_up_to_the_rate_and_the_weights_add_up_to_all_that_came() {
        for (per_second, came) in [(10, 7), (10, 500), (1, 100)] {
            let mut sampler = Sampler::new(per_second);
            let (mut kept, mut stand_for) = (0, 0);
            for second in 0..3 {
                for n in 0..came {
                    if let Some(weight) = sampler.keep(second * 1000 + n * 1000 / came) {
                        kept += 1;
                        stand_for += i64::from(weight);
                    }
                }
            }
            assert_eq!(stand_for + i64::from(sampler.passed), 3 * came);
            assert!(if came <= 10 { kept == 3 * came } else { kept < came * 3 / 2 }, "{came}: {kept}");
        }
        assert_eq!(Sampler::new(0).keep(0), None);
    }

    #[test]
    fn the_ring_is_read_from_its_oldest_in_pages_and_bounded_in_rows_and_age() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        for n in 0..3_000 {
            let model = if n % 3 == 0 { "a" } else { "b" };
            let record = Bytes::from(n.to_string());
            add(&connection, &Decision { at_ms: n, model: model.into(), weight: 1, record }).unwrap();
        }
        let read = |mut query: DecisionQuery| {
            let mut all = Vec::new();
            loop {
                let mut scan = DecisionScan::new(query.clone());
                let answer = loop {
                    if let Some(answer) = scan.step(&connection).unwrap() {
                        break answer;
                    }
                };
                assert!(answer.rows.len() <= PAGE);
                all.extend(answer.rows.into_iter().map(|row| row.at_ms));
                query.after = answer.next;
                if answer.next.is_none() {
                    return all;
                }
            }
        };
        assert_eq!(read(DecisionQuery::default()), (0..3_000).collect::<Vec<_>>());
        let some = DecisionQuery { from_ms: Some(30), to_ms: Some(41), model: Some("a".into()), after: None };
        assert_eq!(read(some), [30, 33, 36, 39]);
        assert!(!age(&connection, DAY_MS + 100, Retention { rows: 5_000, days: 1 }).unwrap());
        assert_eq!(read(DecisionQuery::default()).first(), Some(&100));
        while age(&connection, DAY_MS, Retention { rows: 10, days: 1 }).unwrap() {}
        assert_eq!(read(DecisionQuery::default()), (2_990..3_000).collect::<Vec<_>>());
    }
}
