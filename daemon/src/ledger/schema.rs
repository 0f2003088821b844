//! The version of a file's tables, and how an older file becomes a present one.
//!
//! A file's version is the number of steps that it has behind it; the first step makes the tables. Steps are only ever
//! added: one that has been shipped is never changed, or files in the field would differ from what their number says.
//! Must not know what is in the tables.

use std::path::Path;

use rusqlite::Connection;

use super::LedgerError;

/// The tables of one file.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// SQL text of each step, in order.
    pub steps: &'static [&'static str],
    /// `FULL`: what was said to be on disk survives the loss of power, at the price of one flush for each transaction.
    pub synchronous: &'static str,
    /// Pages that fall free can be given back to the file system by and by. For files that grow large and empty again.
    pub shrinks: bool,
}

impl Schema {
    /// The version that this daemon makes and reads.
    pub fn version(&self) -> i64 {
        i64::try_from(self.steps.len()).unwrap_or(i64::MAX)
    }

    /// Version of the file as it is; 0 if it has no tables. One of a newer daemon is an error, and the file stays as it
    /// is: the newer daemon may come back, and what it has kept is not ours to lose.
    pub(super) fn check(&self, connection: &Connection, path: &Path) -> Result<i64, LedgerError> {
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        let found: i64 =
            version.map_err(|source| LedgerError::Sql { action: "read", path: path.to_owned(), source })?;
        if found > self.version() {
            return Err(LedgerError::Newer { path: path.to_owned(), found, known: self.version() });
        }
        if found < 0 {
            let source = rusqlite::Error::IntegralValueOutOfRange(0, found);
            return Err(LedgerError::Sql { action: "read the schema version of", path: path.to_owned(), source });
        }
        Ok(found)
    }

    /// Takes the steps that are missing, each in one piece with its number: a full disk or a crash between two leaves a
    /// file of a version that exists.
    pub(super) fn upgrade(&self, connection: &Connection, path: &Path, from: i64) -> Result<(), LedgerError> {
        let behind = usize::try_from(from).unwrap_or(usize::MAX);
        for (step, sql) in (1_i64..).zip(self.steps).skip(behind) {
            let whole = format!("BEGIN IMMEDIATE; {sql} PRAGMA user_version={step}; COMMIT;");
            if let Err(source) = connection.execute_batch(&whole) {
                // What is half done is taken back; if even that fails, it is taken back when the file is next opened.
                if !connection.is_autocommit()
                    && let Err(error) = connection.execute_batch("ROLLBACK")
                {
                    tracing::debug!(%error, path = %path.display(), "roll an upgrade back");
                }
                let action = if from == 0 { "create tables in" } else { "upgrade the tables of" };
                return Err(LedgerError::Sql { action, path: path.to_owned(), source });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::ledger::database;

    const FIRST: &str = "CREATE TABLE t (n INTEGER NOT NULL) STRICT;";
    const STEPS: [&str; 3] = [
        FIRST,
        "ALTER TABLE t ADD COLUMN word TEXT; UPDATE t SET word = 'old';",
        "CREATE TABLE u (n INTEGER) STRICT; INSERT INTO u SELECT n * 2 FROM t;",
    ];
    const NOW: Schema = Schema { steps: &STEPS, synchronous: "FULL", shrinks: false };

    type Row = (i64, Option<String>, Option<i64>);

    fn rows(connection: &mut Connection) -> rusqlite::Result<Vec<Row>> {
        let sql = "SELECT t.n, t.word, u.n FROM t LEFT JOIN u ON u.n = t.n * 2 ORDER BY t.n";
        let mut rows = connection.prepare(sql)?;
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    }

    fn fixture(dir: &Path, version: usize) -> PathBuf {
        let path = dir.join(format!("v{version}.db"));
        let connection = Connection::open(&path).unwrap();
        for (at, step) in STEPS.iter().take(version).enumerate() {
            connection.execute_batch(step).unwrap();
            if at == 0 {
                connection.execute_batch("INSERT INTO t (n) VALUES (4), (5)").unwrap();
            }
        }
        connection.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
        path
    }

    #[test]
    fn a_file_of_each_older_version_is_upgraded_and_keeps_its_rows() {
        let dir = tempfile::tempdir().unwrap();
        for version in 1..=STEPS.len() {
            let path = fixture(dir.path(), version);
            for _ in 0..2 {
                let mut moved = None;
                let opened = database::open(&path, &NOW, rows, &mut moved).unwrap();
                let word = || Some("old".to_owned());
                assert_eq!(opened.content, [(4, word(), Some(8)), (5, word(), Some(10))], "{version}");
                assert!(moved.is_none());
                assert_eq!(NOW.check(&opened.connection, &path).unwrap(), 3);
            }
        }
    }

    #[test]
    fn a_newer_file_is_refused_by_name_and_stays_byte_for_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE new (n); PRAGMA user_version=7;").unwrap();
        let before = std::fs::read(&path).unwrap();
        let mut moved = None;
        let refused = database::open(&path, &NOW, rows, &mut moved).err().unwrap();
        assert_eq!(refused.to_string(), "ledger.db has schema 7, this edged knows 3");
        assert_eq!(refused.remedy(), "install the newer edged again, or move the file away");
        assert!(moved.is_none());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_upgrade_that_fails_half_way_leaves_the_version_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = fixture(dir.path(), 1);
        let steps = vec![FIRST, "ALTER TABLE t ADD COLUMN word TEXT;", "CREATE TABLE x (n); SELECT nonsense(1);"];
        let broken = Schema { steps: steps.leak(), ..NOW };
        let connection = Connection::open(&path).unwrap();
        assert!(matches!(broken.upgrade(&connection, &path, 1), Err(LedgerError::Sql { .. })));
        assert_eq!(broken.check(&connection, &path).unwrap(), 2);
        let made: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'x'", [], |row| row.get(0)).unwrap();
        assert_eq!(made, 0);
    }
}
