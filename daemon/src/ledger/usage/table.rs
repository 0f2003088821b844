//! The rows of usage on the disk: added to, made coarser as they age, let go in the end. Must not know who asks for them.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::database::count;
use super::super::histogram::Histogram;
use super::{DAY_MS, HOUR_MS, MAX_KEYS, MINUTE_MS, OTHER, Tally, UsageRow, floor};

/// Rows in all; beyond, the oldest go, whatever their age: a clock that was far ahead must not fill the disk.
const MAX_ROWS: u64 = 400_000;

pub(in crate::ledger) const TABLES: &str = "
    CREATE TABLE usage (
        id INTEGER PRIMARY KEY, span_ms INTEGER NOT NULL, start_ms INTEGER NOT NULL, model TEXT NOT NULL,
        site TEXT NOT NULL, verdict TEXT NOT NULL, ok INTEGER NOT NULL, failed INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, bytes_sent INTEGER NOT NULL,
        micro_usd INTEGER NOT NULL, energy_mj INTEGER NOT NULL, energy_known INTEGER NOT NULL, latency BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX usage_key ON usage (span_ms, start_ms, model, site, verdict);
    CREATE INDEX usage_start ON usage (start_ms);";

/// How long each grain is kept, days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub minutes_days: u32,
    pub hours_days: u32,
    pub days_days: u32,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { minutes_days: 2, hours_days: 35, days_days: 800 }
    }
}

pub(super) const COLUMNS: &str =
    "start_ms, model, site, verdict, ok, failed, input_tokens, output_tokens, bytes_sent, micro_usd,
     energy_mj, energy_known, latency";

pub(super) fn read_row(row: &Row<'_>, at: usize) -> rusqlite::Result<UsageRow> {
    let bytes = row.get_ref(at + 12)?.as_blob()?;
    let tally = Tally {
        ok: count(row, at + 4)?,
        failed: count(row, at + 5)?,
        input_tokens: count(row, at + 6)?,
        output_tokens: count(row, at + 7)?,
        bytes_sent: count(row, at + 8)?,
        micro_usd: count(row, at + 9)?,
        energy_mj: count(row, at + 10)?,
        energy_known: count(row, at + 11)?,
        latency: Histogram::from_bytes(bytes).ok_or(rusqlite::Error::IntegralValueOutOfRange(at + 12, 0))?,
    };
    Ok(UsageRow {
        start_ms: row.get(at)?,
        model: row.get(at + 1)?,
        site: row.get(at + 2)?,
        verdict: row.get(at + 3)?,
        tally,
    })
}

/// Adds a minute.
pub(in crate::ledger) fn add(connection: &Connection, row: &UsageRow) -> rusqlite::Result<()> {
    add_span(connection, MINUTE_MS, row)
}

fn add_span(connection: &Connection, span_ms: i64, row: &UsageRow) -> rusqlite::Result<()> {
    let sql = format!(
        "SELECT {COLUMNS} FROM usage WHERE span_ms = ?1 AND start_ms = ?2 AND model = ?3 AND site = ?4 AND verdict = ?5"
    );
    let key = params![span_ms, row.start_ms, row.model, row.site, row.verdict];
    let before = connection.prepare_cached(&sql)?.query_row(key, |row| read_row(row, 0)).optional()?;
    let mut tally = row.tally.clone();
    if let Some(before) = before {
        tally.merge(&before.tally);
    }
    let sql = "INSERT OR REPLACE INTO usage (span_ms, start_ms, model, site, verdict, ok, failed, input_tokens,
         output_tokens, bytes_sent, micro_usd, energy_mj, energy_known, latency)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let values = params![
        span_ms,
        row.start_ms,
        row.model,
        row.site,
        row.verdict,
        number(tally.ok),
        number(tally.failed),
        number(tally.input_tokens),
        number(tally.output_tokens),
        number(tally.bytes_sent),
        number(tally.micro_usd),
        number(tally.energy_mj),
        number(tally.energy_known),
        tally.latency.to_bytes()
    ];
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

/// Makes an hour of minutes and a day of hours, the oldest that are due, and lets go what is too old. To be called once
/// a minute: it keeps up sixty times over.
pub(in crate::ledger) fn age(connection: &Connection, wall_ms: i64, keep: Retention) -> rusqlite::Result<()> {
    let before = |days: u32| wall_ms.saturating_sub(i64::from(days) * DAY_MS);
    roll_up(connection, MINUTE_MS, HOUR_MS, floor(before(keep.minutes_days), HOUR_MS))?;
    roll_up(connection, HOUR_MS, DAY_MS, floor(before(keep.hours_days), DAY_MS))?;
    let sql = "DELETE FROM usage WHERE id IN (SELECT id FROM usage WHERE start_ms < ?1 LIMIT 1000)";
    connection.prepare_cached(sql)?.execute([before(keep.days_days)])?;
    let rows = connection.prepare_cached("SELECT count(*) FROM usage")?.query_row([], |row| count(row, 0))?;
    if rows > MAX_ROWS {
        let sql = "DELETE FROM usage WHERE id IN (SELECT id FROM usage ORDER BY start_ms LIMIT 1000)";
        connection.prepare_cached(sql)?.execute([])?;
    }
    Ok(())
}

fn roll_up(connection: &Connection, from_ms: i64, to_ms: i64, before_ms: i64) -> rusqlite::Result<()> {
    let sql = "SELECT min(start_ms) FROM usage WHERE span_ms = ?1 AND start_ms < ?2";
    let oldest: Option<i64> = connection.prepare_cached(sql)?.query_row([from_ms, before_ms], |row| row.get(0))?;
    let Some(oldest) = oldest else { return Ok(()) };
    let start_ms = floor(oldest, to_ms);
    let range = [from_ms, start_ms, start_ms + to_ms];
    let mut sums: BTreeMap<(String, String, String), Tally> = BTreeMap::new();
    {
        let sql = format!("SELECT {COLUMNS} FROM usage WHERE span_ms = ?1 AND start_ms >= ?2 AND start_ms < ?3");
        let mut find = connection.prepare_cached(&sql)?;
        for row in find.query_map(range, |row| read_row(row, 0))? {
            let row = row?;
            let key = (row.model, row.site, row.verdict);
            let full = sums.len() >= MAX_KEYS && !sums.contains_key(&key);
            let key = if full { (OTHER.into(), OTHER.into(), key.2) } else { key };
            sums.entry(key).or_default().merge(&row.tally);
        }
    }
    for ((model, site, verdict), tally) in sums {
        add_span(connection, to_ms, &UsageRow { start_ms, model, site, verdict, tally })?;
    }
    let sql = "DELETE FROM usage WHERE span_ms = ?1 AND start_ms >= ?2 AND start_ms < ?3";
    connection.prepare_cached(sql)?.execute(range).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ALL, ask, sample, tables};
    use super::*;

    #[test]
    fn minutes_become_hours_and_hours_days_without_losing_anything() {
        let connection = tables();
        let minutes = 3 * 24 * 60;
        for n in 0..minutes {
            let mut tally = Tally::default();
            tally.add(&sample(u64::try_from(n).unwrap()));
            let row = UsageRow {
                start_ms: n * MINUTE_MS,
                model: "m".into(),
                site: "s".into(),
                verdict: "spill".into(),
                tally,
            };
            add(&connection, &row).unwrap();
        }
        let before = ask(&connection, ALL);
        let keep = Retention { minutes_days: 1, hours_days: 2, days_days: 5 };
        let rows = || {
            let sql = "SELECT span_ms, count(*) FROM usage GROUP BY span_ms ORDER BY span_ms";
            let mut rows = connection.prepare(sql).unwrap();
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.collect::<rusqlite::Result<Vec<(i64, i64)>>>().unwrap()
        };
        for _ in 0..60 {
            age(&connection, 3 * DAY_MS, keep).unwrap();
        }
        assert_eq!(rows(), [(MINUTE_MS, 24 * 60), (HOUR_MS, 24), (DAY_MS, 1)]);
        assert_eq!(ask(&connection, ALL), before);
        assert_eq!(before[0].tally.count(), u64::try_from(minutes).unwrap());
        for _ in 0..60 {
            age(&connection, 100 * DAY_MS, keep).unwrap();
        }
        // A thousand a minute.
        assert_eq!(rows(), []);
    }
}
