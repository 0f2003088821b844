//! Usage: how many requests, tokens, bytes, money and energy, per minute, model, site and verdict.
//!
//! The driver counts in memory ([`Usage`]) and hands over each minute that is over; a crash loses the minute under way.
//! Minutes become hours and hours become days as they age. A clock that is set back counts into minutes that exist: rows
//! are added to, never replaced. Must not know what a verdict means.

mod scan;
mod table;

pub(super) use self::scan::UsageScan;
pub use self::scan::{MAX_LINES, UsageAnswer, UsageLine, UsageQuery};
pub use self::table::Retention;
pub(super) use self::table::{TABLES, add, age};
use super::histogram::Histogram;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Keys of one minute; what comes beyond is counted under [`OTHER`].
pub const MAX_KEYS: usize = 128;
/// Model and site of what had no key of its own.
pub const OTHER: &str = "(other)";

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

fn floor(ms: i64, step_ms: i64) -> i64 {
    ms - ms.rem_euclid(step_ms)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    pub(super) const KEY: Key<'_> = Key { model: "m", site: "s", verdict: "spill" };

    pub(super) fn sample(us: u64) -> Sample {
        Sample { ok: true, input_tokens: 3, micro_usd: 10, energy_mj: Some(4), total_us: Some(us), ..Sample::default() }
    }

    pub(super) fn tables() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        connection
    }

    pub(super) fn ask(connection: &Connection, query: UsageQuery) -> Vec<UsageLine> {
        let mut scan = UsageScan::new(query);
        loop {
            if let Some(answer) = scan.step(connection).unwrap() {
                assert!(!answer.cut);
                return answer.lines;
            }
        }
    }

    pub(super) const ALL: UsageQuery = UsageQuery {
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
}
