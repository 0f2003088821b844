//! Usage: how many requests, tokens, bytes, money and energy, per minute, model, site and verdict.
//!
//! The driver counts in memory ([`Usage`]) and hands over each minute that is over; a crash loses the minute under way.
//! Minutes become hours and hours become days as they age. A clock that is set back counts into minutes that exist: rows
//! are added to, never replaced. Must not know what a verdict means.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::database::count;
use super::histogram::Histogram;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Keys of one minute; what comes beyond is counted under [`OTHER`].
pub const MAX_KEYS: usize = 128;
/// Model and site of what had no key of its own.
pub const OTHER: &str = "(other)";
/// Lines of one answer at most.
pub const MAX_LINES: usize = 5_000;
/// Rows that a query reads in one turn of the thread, about 5 ms.
const SLICE: i64 = 1_000;
/// Rows in all; beyond, the oldest go, whatever their age: a clock that was far ahead must not fill the disk.
const MAX_ROWS: u64 = 400_000;

pub(super) const TABLES: &str = "
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

/// What a request is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key<'a> {
    pub model: &'a str,
    pub site: &'a str,
    pub verdict: &'a str,
}

/// One settled request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub ok: bool,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// To another site.
    pub bytes_sent: u64,
    pub micro_usd: u64,
    /// Where a power rail is known.
    pub energy_mj: Option<u64>,
    /// From receipt to completion; `None` where that says nothing (a request that was refused).
    pub total_us: Option<u64>,
}

/// The sum of some requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub ok: u64,
    pub failed: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub bytes_sent: u64,
    pub micro_usd: u64,
    pub energy_mj: u64,
    /// Requests whose energy is in `energy_mj`.
    pub energy_known: u64,
    pub latency: Histogram,
}

impl Tally {
    /// Requests in all.
    pub fn count(&self) -> u64 {
        self.ok.saturating_add(self.failed)
    }

    pub fn add(&mut self, sample: &Sample) {
        *if sample.ok { &mut self.ok } else { &mut self.failed } += 1;
        self.input_tokens = self.input_tokens.saturating_add(sample.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(sample.output_tokens);
        self.bytes_sent = self.bytes_sent.saturating_add(sample.bytes_sent);
        self.micro_usd = self.micro_usd.saturating_add(sample.micro_usd);
        self.energy_mj = self.energy_mj.saturating_add(sample.energy_mj.unwrap_or(0));
        self.energy_known += u64::from(sample.energy_mj.is_some());
        if let Some(us) = sample.total_us {
            self.latency.add(us);
        }
    }

    pub fn merge(&mut self, other: &Tally) {
        for (sum, more) in [
            (&mut self.ok, other.ok),
            (&mut self.failed, other.failed),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.bytes_sent, other.bytes_sent),
            (&mut self.micro_usd, other.micro_usd),
            (&mut self.energy_mj, other.energy_mj),
            (&mut self.energy_known, other.energy_known),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.latency.merge(&other.latency);
    }

    fn clear(&mut self) {
        let mut latency = std::mem::take(&mut self.latency);
        latency.clear();
        *self = Tally { latency, ..Tally::default() };
    }
}

/// What one key has in one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// Milliseconds since 1970.
    pub start_ms: i64,
    pub model: String,
    pub site: String,
    pub verdict: String,
    pub tally: Tally,
}

impl UsageRow {
    fn key(&self) -> Key<'_> {
        Key { model: &self.model, site: &self.site, verdict: &self.verdict }
    }
}

/// The minute under way, in memory. After every key has come once, counting allocates nothing.
#[derive(Debug, Default)]
pub struct Usage {
    minute_ms: i64,
    /// In the order of their keys.
    rows: Vec<UsageRow>,
}

impl Usage {
    /// Counts a request; before it, gives out what [`Usage::turn`] does.
    pub fn add(&mut self, wall_ms: i64, key: Key<'_>, sample: &Sample) -> Vec<UsageRow> {
        let over = self.turn(wall_ms);
        let own = self.find(key);
        let full = own.is_err() && self.rows.len() >= MAX_KEYS;
        // The verdicts are few and stay apart.
        let key = if full { Key { model: OTHER, site: OTHER, ..key } } else { key };
        let at = if full { self.find(key) } else { own };
        let at = at.unwrap_or_else(|at| {
            let (model, site, verdict) = (key.model.into(), key.site.into(), key.verdict.into());
            self.rows.insert(at, UsageRow { start_ms: 0, model, site, verdict, tally: Tally::default() });
            at
        });
        if let Some(row) = self.rows.get_mut(at) {
            row.tally.add(sample);
        }
        over
    }

    /// What was counted before the minute of `wall_ms`: for [`Records::usage`](super::records::Records::usage).
    pub fn turn(&mut self, wall_ms: i64) -> Vec<UsageRow> {
        let minute_ms = floor(wall_ms, MINUTE_MS);
        if minute_ms == self.minute_ms {
            return Vec::new();
        }
        let over = self.take();
        self.minute_ms = minute_ms;
        over
    }

    /// What was counted since; also to be asked for at the end.
    pub fn take(&mut self) -> Vec<UsageRow> {
        // Keys that were not used in this minute make room.
        self.rows.retain(|row| row.tally.count() > 0);
        let start_ms = self.minute_ms;
        let over = self.rows.iter().map(|row| UsageRow { start_ms, ..row.clone() }).collect();
        self.rows.iter_mut().for_each(|row| row.tally.clear());
        over
    }

    fn find(&self, key: Key<'_>) -> Result<usize, usize> {
        self.rows.binary_search_by(|row| row.key().cmp(&key))
    }
}

/// What to sum up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// From here, milliseconds since 1970; what is kept by hours or days counts where it begins.
    pub from_ms: i64,
    /// To before this.
    pub to_ms: i64,
    pub by_model: bool,
    pub by_site: bool,
    pub by_verdict: bool,
    /// A line for each stretch of so many milliseconds; `None` for one over all.
    pub each_ms: Option<i64>,
}

/// One line of an answer; what was not asked for apart is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    pub start_ms: Option<i64>,
    pub model: Option<String>,
    pub site: Option<String>,
    pub verdict: Option<String>,
    pub tally: Tally,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageAnswer {
    pub lines: Vec<UsageLine>,
    /// There would be more than [`MAX_LINES`].
    pub cut: bool,
}

type Group = (Option<i64>, Option<String>, Option<String>, Option<String>);

/// A query under way.
#[derive(Debug)]
pub(super) struct UsageScan {
    query: UsageQuery,
    after: (i64, i64),
    groups: BTreeMap<Group, Tally>,
    cut: bool,
}

impl UsageScan {
    pub(super) fn new(query: UsageQuery) -> UsageScan {
        UsageScan { query, after: (query.from_ms, i64::MIN), groups: BTreeMap::new(), cut: false }
    }

    /// Reads on; the answer when all is read.
    pub(super) fn step(&mut self, connection: &Connection) -> rusqlite::Result<Option<UsageAnswer>> {
        let sql = format!(
            "SELECT id, {COLUMNS} FROM usage WHERE (start_ms, id) > (?1, ?2) AND start_ms < ?3
             ORDER BY start_ms, id LIMIT {SLICE}"
        );
        let mut find = connection.prepare_cached(&sql)?;
        let mut rows = find.query(params![self.after.0, self.after.1, self.query.to_ms])?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let row = read_row(row, 1)?;
            self.after = (row.start_ms, id);
            self.sum(row);
            read += 1;
        }
        if read == SLICE {
            return Ok(None);
        }
        let line = |((start_ms, model, site, verdict), tally)| UsageLine { start_ms, model, site, verdict, tally };
        let lines = std::mem::take(&mut self.groups).into_iter().map(line).collect();
        Ok(Some(UsageAnswer { lines, cut: self.cut }))
    }

    fn sum(&mut self, row: UsageRow) {
        let query = &self.query;
        let start = query.each_ms.map(|each| floor(row.start_ms, each.max(1)));
        let when = |asked: bool, word: String| asked.then_some(word);
        let group = (
            start,
            when(query.by_model, row.model),
            when(query.by_site, row.site),
            when(query.by_verdict, row.verdict),
        );
        if self.groups.len() >= MAX_LINES && !self.groups.contains_key(&group) {
            self.cut = true;
            return;
        }
        self.groups.entry(group).or_default().merge(&row.tally);
    }
}

const COLUMNS: &str = "start_ms, model, site, verdict, ok, failed, input_tokens, output_tokens, bytes_sent, micro_usd,
     energy_mj, energy_known, latency";

fn read_row(row: &Row<'_>, at: usize) -> rusqlite::Result<UsageRow> {
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
pub(super) fn add(connection: &Connection, row: &UsageRow) -> rusqlite::Result<()> {
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
pub(super) fn age(connection: &Connection, wall_ms: i64, keep: Retention) -> rusqlite::Result<()> {
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

fn floor(ms: i64, step_ms: i64) -> i64 {
    ms - ms.rem_euclid(step_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key<'_> = Key { model: "m", site: "s", verdict: "spill" };

    fn sample(us: u64) -> Sample {
        Sample { ok: true, input_tokens: 3, micro_usd: 10, energy_mj: Some(4), total_us: Some(us), ..Sample::default() }
    }

    fn tables() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        connection
    }

    fn ask(connection: &Connection, query: UsageQuery) -> Vec<UsageLine> {
        let mut scan = UsageScan::new(query);
        loop {
            if let Some(answer) = scan.step(connection).unwrap() {
                assert!(!answer.cut);
                return answer.lines;
            }
        }
    }

    const ALL: UsageQuery = UsageQuery {
        from_ms: i64::MIN,
        to_ms: i64::MAX,
        by_model: false,
        by_site: false,
        by_verdict: false,
        each_ms: None,
    };

    #[test]
    fn a_minute_is_handed_over_when_it_is_over_and_what_is_too_much_is_counted_as_other() {
        let mut usage = Usage::default();
        for n in 0..MAX_KEYS + 5 {
            let model = format!("m{n}");
            assert_eq!(usage.add(60_000, Key { model: &model, ..KEY }, &sample(10)), []);
        }
        assert_eq!(usage.turn(119_999), []);
        let over = usage.add(120_000, KEY, &sample(10));
        assert_eq!(over.len(), MAX_KEYS + 1);
        let other = over.iter().find(|row| row.model == OTHER).unwrap();
        assert_eq!((other.start_ms, other.tally.ok, other.tally.micro_usd), (60_000, 5, 50));
        let over = usage.take();
        assert_eq!(over.iter().map(|row| (row.start_ms, row.tally.count())).collect::<Vec<_>>(), [(120_000, 1)]);
        assert_eq!(usage.take(), []);
    }

    #[test]
    fn rows_are_summed_by_what_is_asked_for_and_a_minute_that_comes_twice_is_added_to() {
        let connection = tables();
        let mut usage = Usage::default();
        for (at, key, ok) in [
            (0, KEY, true),
            (60_000, KEY, false),
            // The clock was set back.
            (1, Key { site: "t", ..KEY }, true),
            (2, KEY, true),
        ] {
            for row in usage.add(at, key, &Sample { ok, ..sample(1000) }) {
                add(&connection, &row).unwrap();
            }
        }
        usage.take().iter().for_each(|row| add(&connection, row).unwrap());
        let told = |query| {
            ask(&connection, query)
                .into_iter()
                .map(|line| (line.start_ms, line.site, line.tally.ok, line.tally.failed))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(ALL), [(None, None, 3, 1)]);
        let by_site = [(None, Some("s".into()), 2, 1), (None, Some("t".into()), 1, 0)];
        assert_eq!(told(UsageQuery { by_site: true, ..ALL }), by_site);
        assert_eq!(
            told(UsageQuery { each_ms: Some(60_000), ..ALL }),
            [(Some(0), None, 3, 0), (Some(60_000), None, 0, 1)]
        );
        assert_eq!(told(UsageQuery { from_ms: 60_000, ..ALL }), [(None, None, 0, 1)]);
        assert_eq!(told(UsageQuery { to_ms: 60_000, ..ALL }), [(None, None, 3, 0)]);
    }

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
