//! What was spent today at each site: reserved before a request leaves, settled after, kept over restarts.
//!
//! A day is one of UTC by the wall clock, and never goes back: a clock that is set back a day stays in the day that the
//! file knows, and its budget stays spent. So that a clock that was once far ahead does not stop the budget for ever, a
//! day also ends after 24 h of running time in it. What a former daemon had reserved and not settled counts as spent:
//! it may have been. Amounts are millionths of a US dollar. Must not know what a budget is.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::database::count;
use super::time::{Now, Steady};

const DAY_MS: i64 = 86_400_000;
/// Days that are kept for reports.
const KEPT_DAYS: i64 = 400;

pub(super) const TABLES: &str = "
    CREATE TABLE spent (
        day INTEGER NOT NULL, site TEXT NOT NULL, spent INTEGER NOT NULL, reserved INTEGER NOT NULL,
        PRIMARY KEY (day, site)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE spent_day (day INTEGER NOT NULL, ran_ms INTEGER NOT NULL) STRICT;
    INSERT INTO spent_day VALUES (0, 0);";

/// What the file knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Days since 1970, UTC.
    pub day: i64,
    /// How long the daemon ran in that day, milliseconds.
    pub ran_ms: i64,
    /// What was spent in it.
    pub sites: Vec<(String, u64)>,
}

/// A change for the file: [`Records::spend`](super::records::Records::spend).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The day that it counts for.
    pub day: i64,
    pub site: String,
    pub spent: i64,
    pub reserved: i64,
    /// The day under way, and how long the daemon ran in it.
    pub today: i64,
    pub ran_ms: i64,
}

/// Money set aside for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub day: i64,
    pub site: String,
    pub micro_usd: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    spent: u64,
    reserved: u64,
}

/// The day under way, in memory.
#[derive(Debug)]
pub struct Spent {
    steady: Steady,
    day: i64,
    /// Running time at which the day began.
    began_ms: i64,
    sites: BTreeMap<String, Line>,
}

impl Spent {
    /// Goes on with what the file knows.
    pub fn start(found: Found, now: Now) -> Spent {
        let sites = found.sites.into_iter().map(|(site, spent)| (site, Line { spent, reserved: 0 })).collect();
        let mut spent = Spent { steady: Steady::start(now, found.ran_ms), day: found.day, began_ms: 0, sites };
        spent.advance(now);
        spent
    }

    /// What was spent and is reserved today at this site, millionths of a US dollar.
    pub fn today(&mut self, now: Now, site: &str) -> u64 {
        self.advance(now);
        self.sites.get(site).map_or(0, |line| line.spent.saturating_add(line.reserved))
    }

    /// The day under way, days since 1970.
    pub fn day(&mut self, now: Now) -> i64 {
        self.advance(now);
        self.day
    }

    /// Sets money aside. Whether there is enough is for the caller to say, by [`Spent::today`], before.
    pub fn reserve(&mut self, now: Now, site: &str, micro_usd: u64) -> (Reservation, Entry) {
        self.advance(now);
        if !self.sites.contains_key(site) {
            self.sites.insert(site.to_owned(), Line::default());
        }
        if let Some(line) = self.sites.get_mut(site) {
            line.reserved = line.reserved.saturating_add(micro_usd);
        }
        let reservation = Reservation { day: self.day, site: site.to_owned(), micro_usd };
        let entry = self.entry(&reservation, 0, number(micro_usd));
        (reservation, entry)
    }

    /// What was set aside has become `micro_usd`, perhaps nothing. It counts for the day in which it was set aside.
    pub fn settle(&mut self, now: Now, reservation: &Reservation, micro_usd: u64) -> Entry {
        self.advance(now);
        if reservation.day == self.day
            && let Some(line) = self.sites.get_mut(&reservation.site)
        {
            line.reserved = line.reserved.saturating_sub(reservation.micro_usd);
            line.spent = line.spent.saturating_add(micro_usd);
        }
        self.entry(reservation, number(micro_usd), -number(reservation.micro_usd))
    }

    fn entry(&self, of: &Reservation, spent: i64, reserved: i64) -> Entry {
        let ran_ms = self.steady.ran_ms() - self.began_ms;
        Entry { day: of.day, site: of.site.clone(), spent, reserved, today: self.day, ran_ms }
    }

    fn advance(&mut self, now: Now) {
        self.steady.advance(now);
        let by_clock = now.wall_ms.div_euclid(DAY_MS);
        let ran_ms = self.steady.ran_ms() - self.began_ms;
        let day = if by_clock > self.day { by_clock } else { self.day + ran_ms.div_euclid(DAY_MS) };
        if day != self.day {
            self.day = day;
            self.began_ms = self.steady.ran_ms();
            self.sites.clear();
        }
    }
}

/// An amount of which a thousand can be added up: nine thousand million dollars.
fn number(value: u64) -> i64 {
    i64::try_from(value.min(1 << 53)).unwrap_or(i64::MAX)
}

pub(super) fn add(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO spent VALUES (?1, ?2, max(?3, 0), max(?4, 0)) ON CONFLICT (day, site)
         DO UPDATE SET spent = max(spent + ?3, 0), reserved = max(reserved + ?4, 0)";
    connection.prepare_cached(sql)?.execute(params![entry.day, entry.site, entry.spent, entry.reserved])?;
    let sql = "UPDATE spent_day SET day = ?1, ran_ms = ?2 WHERE day <= ?1";
    connection.prepare_cached(sql)?.execute([entry.today, entry.ran_ms]).map(drop)
}

/// Begins a life: what is still reserved counts as spent.
pub(super) fn start_life(connection: &Connection) -> rusqlite::Result<Found> {
    connection.execute("UPDATE spent SET spent = spent + reserved, reserved = 0 WHERE reserved > 0", [])?;
    let (day, ran_ms): (i64, i64) =
        connection.query_row("SELECT day, ran_ms FROM spent_day", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut find = connection.prepare("SELECT site, spent FROM spent WHERE day = ?1 ORDER BY site")?;
    let sites = find.query_map([day], |row| Ok((row.get(0)?, count(row, 1)?)))?.collect::<rusqlite::Result<_>>()?;
    Ok(Found { day, ran_ms, sites })
}

/// Lets go days that are too old, by the day that the file knows.
pub(super) fn age(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "DELETE FROM spent WHERE day < (SELECT day FROM spent_day) - ?1";
    connection.prepare_cached(sql)?.execute([KEPT_DAYS]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64, hour: i64, boot_hour: i64) -> Now {
        Now { wall_ms: day * DAY_MS + hour * 3_600_000, boot_ms: boot_hour * 3_600_000 }
    }

    fn tables() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        connection
    }

    #[test]
    fn money_is_set_aside_before_and_settled_after_and_the_file_knows_both() {
        let file = tables();
        let mut spent = Spent::start(start_life(&file).unwrap(), at(100, 1, 0));
        let (first, entry) = spent.reserve(at(100, 1, 0), "s", 70);
        add(&file, &entry).unwrap();
        let (_second, entry) = spent.reserve(at(100, 1, 0), "s", 30);
        add(&file, &entry).unwrap();
        assert_eq!(spent.today(at(100, 1, 0), "s"), 100);
        add(&file, &spent.settle(at(100, 1, 0), &first, 50)).unwrap();
        assert_eq!((spent.today(at(100, 1, 0), "s"), spent.today(at(100, 1, 0), "t")), (80, 0));
        // The daemon dies: what was still reserved counts.
        let found = start_life(&file).unwrap();
        assert_eq!((found.day, found.sites.as_slice()), (100, &[("s".to_owned(), 80)][..]));
        assert_eq!(Spent::start(found, at(100, 2, 0)).today(at(100, 2, 0), "s"), 80);
    }

    #[test]
    fn a_new_day_begins_with_nothing_and_what_was_reserved_before_counts_for_the_day_before() {
        let file = tables();
        let mut spent = Spent::start(Found::default(), at(100, 23, 0));
        let (late, entry) = spent.reserve(at(100, 23, 0), "s", 70);
        add(&file, &entry).unwrap();
        assert_eq!(spent.today(at(101, 0, 1), "s"), 0);
        let entry = spent.settle(at(101, 0, 1), &late, 60);
        assert_eq!((entry.day, entry.today), (100, 101));
        add(&file, &entry).unwrap();
        assert_eq!(spent.today(at(101, 0, 1), "s"), 0);
        let day: i64 = file.query_row("SELECT spent FROM spent WHERE day = 100", [], |row| row.get(0)).unwrap();
        assert_eq!((day, start_life(&file).unwrap().day), (60, 101));
    }

    #[test]
    fn a_clock_that_is_set_back_a_day_gives_no_budget_again_also_over_restarts() {
        let file = tables();
        let mut spent = Spent::start(Found::default(), at(100, 12, 0));
        let (held, entry) = spent.reserve(at(100, 12, 0), "s", 70);
        add(&file, &entry).unwrap();
        for (day, hour, boot) in [(99, 12, 1), (99, 23, 12), (100, 11, 23)] {
            assert_eq!(spent.today(at(day, hour, boot), "s"), 70, "{day} {hour}");
        }
        add(&file, &spent.settle(at(99, 13, 23), &held, 70)).unwrap();
        let mut spent = Spent::start(start_life(&file).unwrap(), at(99, 13, 0));
        assert_eq!((spent.today(at(99, 13, 0), "s"), spent.day(at(99, 13, 0))), (70, 100));
        // After 24 h of running time in it, 23 of them before the restart, the day is over.
        assert_eq!((spent.today(at(99, 14, 1), "s"), spent.day(at(99, 14, 1))), (0, 101));
        // And it is no new one when the clock comes there.
        assert_eq!((spent.day(at(101, 3, 2)), spent.day(at(102, 0, 3))), (101, 102));
    }
}
