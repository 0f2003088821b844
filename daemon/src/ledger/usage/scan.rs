//! Questions about usage, answered a slice at a time. Must not change a row.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::table::{COLUMNS, read_row};
use super::{Tally, UsageRow, floor};

/// Lines of one answer at most.
pub const MAX_LINES: usize = 5_000;
/// Rows that a query reads in one turn of the thread, about 5 ms.
const SLICE: i64 = 1_000;

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
pub(in crate::ledger) struct UsageScan {
    query: UsageQuery,
    after: (i64, i64),
    groups: BTreeMap<Group, Tally>,
    cut: bool,
}

impl UsageScan {
    pub(in crate::ledger) fn new(query: UsageQuery) -> UsageScan {
        UsageScan { query, after: (query.from_ms, i64::MIN), groups: BTreeMap::new(), cut: false }
    }

    /// Reads on; the answer when all is read.
    pub(in crate::ledger) fn step(&mut self, connection: &Connection) -> rusqlite::Result<Option<UsageAnswer>> {
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

#[cfg(test)]
mod tests {
    use super::super::tests::{ALL, KEY, ask, sample, tables};
    use super::super::{Key, Sample, Usage, add};
    use super::*;

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
}
