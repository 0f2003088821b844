//! Opens a SQLite file of ours; one that cannot be read is moved aside, because a daemon that refuses to start over it
//! would serve nobody, and one that deletes it would leave nothing to look into.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::LedgerError;
use super::schema::Schema;

/// How long a daemon that is just ending may still hold the file.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// Free pages that are kept for the next requests, and pages that are given back at once.
const SPARE_PAGES: i64 = 256;
const GIVE_BACK_PAGES: i64 = 512;

/// An open database.
pub struct Opened<T> {
    pub connection: Connection,
    /// What `load` found in it.
    pub content: T,
}

/// Opens or creates `path`, readable by the daemon alone, brings it to the version of `schema` and runs `load` on it.
/// Where an unreadable file went, with the reason, is told by `moved`, also when no new one can be made in its place. A
/// file of a newer daemon is an error and stays where it is.
pub fn open<T>(
    path: &Path,
    schema: &Schema,
    load: impl Fn(&mut Connection) -> rusqlite::Result<T>,
    moved: &mut Option<(PathBuf, String)>,
) -> Result<Opened<T>, LedgerError> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|source| LedgerError::Directory { path: dir.to_owned(), source })?;
    }
    match attempt(path, schema, &load) {
        Ok((connection, content)) => Ok(Opened { connection, content }),
        Err(LedgerError::Sql { source, .. }) if is_unreadable(&source) => {
            *moved = Some((move_aside(path)?, source.to_string()));
            let (connection, content) = attempt(path, schema, &load)?;
            Ok(Opened { connection, content })
        }
        Err(error) => Err(error),
    }
}

/// Whether the file itself is at fault, and not the disk or its permissions.
pub(super) fn is_unreadable(error: &rusqlite::Error) -> bool {
    match error {
        // `Unknown` is SQLite's plain "error": our own statements do not fit the tables.
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
        }
        // Rows or tables of another shape than ours.
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::SqlInputError { .. } => true,
        _ => false,
    }
}

/// Gives space that past floods took back to the file system, a piece at a time.
pub(super) fn shrink(connection: &Connection) -> rusqlite::Result<()> {
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    if free > SPARE_PAGES + GIVE_BACK_PAGES {
        // Each step gives one page back.
        let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({GIVE_BACK_PAGES})"))?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
    }
    Ok(())
}

/// A number that is never negative.
pub(super) fn count(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(at)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, value))
}

fn attempt<T>(
    path: &Path,
    schema: &Schema,
    load: &impl Fn(&mut Connection) -> rusqlite::Result<T>,
) -> Result<(Connection, T), LedgerError> {
    // SQLite gives its side files the mode of the main file.
    let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.map_err(|source| LedgerError::File { path: path.to_owned(), source })?;
    let sql = |action| move |source| LedgerError::Sql { action, path: path.to_owned(), source };
    let mut connection = Connection::open(path).map_err(sql("open"))?;
    connection.busy_timeout(LOCK_WAIT).map_err(sql("set up"))?;
    // Exclusive: nobody else writes here, so the index of the log needs no shared memory, and a second daemon is
    // noticed. Comes before anything is read, and the version before anything is written.
    connection.execute_batch("PRAGMA locking_mode=EXCLUSIVE").map_err(sql("set up"))?;
    let found = schema.check(&connection, path)?;
    if schema.shrinks && found == 0 {
        // Only heeded before the first table.
        connection.execute_batch("PRAGMA auto_vacuum=INCREMENTAL").map_err(sql("set up"))?;
    }
    // Small caches: the daemon's memory is promised to be small.
    let settings = format!(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous={}; PRAGMA cache_size=-256; PRAGMA temp_store=MEMORY;
         PRAGMA journal_size_limit=4194304;",
        schema.synchronous
    );
    connection.execute_batch(&settings).map_err(sql("set up"))?;
    schema.upgrade(&connection, path, found)?;
    let content = load(&mut connection).map_err(sql("read"))?;
    Ok((connection, content))
}

/// Where the file goes if it cannot be read.
pub fn aside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".corrupt");
    PathBuf::from(name)
}

/// Renames the file and its side files; an older one of that name is replaced, so that they cannot fill the disk.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf, LedgerError> {
    let named = |suffix: &str| {
        let mut name = OsString::from(path);
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = aside(path);
    for (from, to) in [
        (path.to_owned(), aside.clone()),
        (named("-wal"), named(".corrupt-wal")),
        (named("-shm"), named(".corrupt-shm")),
    ] {
        match std::fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(LedgerError::MoveAside { path: from, source }),
        }
    }
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Schema = Schema { steps: &["CREATE TABLE t (n INTEGER) STRICT;"], synchronous: "FULL", shrinks: false };
    const OFF: Schema = Schema { synchronous: "OFF", ..FULL };

    fn open_with(path: &Path, schema: &Schema) -> (Opened<i64>, Option<(PathBuf, String)>) {
        let mut moved = None;
        let opened = open(path, schema, count, &mut moved).unwrap();
        (opened, moved)
    }

    fn count(connection: &mut Connection) -> rusqlite::Result<i64> {
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
    }

    #[test]
    fn a_file_that_is_no_database_is_moved_aside_and_a_fresh_one_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/x.db");
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        std::fs::write(&path, vec![7_u8; 8192]).unwrap();
        let (opened, moved) = open_with(&path, &FULL);
        let (aside, why) = moved.unwrap();
        assert_eq!(std::fs::read(aside).unwrap(), vec![7_u8; 8192]);
        assert!(why.contains("not a database"), "{why}");
        assert_eq!(opened.content, 0);
        drop(opened.connection);
        assert!(open_with(&path, &FULL).1.is_none());
    }

    #[test]
    fn tables_of_another_shape_or_an_impossible_version_are_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        for (name, sql) in
            [("a.db", "PRAGMA user_version=-1"), ("b.db", "PRAGMA user_version=1"), ("c.db", "CREATE TABLE t (m TEXT)")]
        {
            let path = dir.path().join(name);
            Connection::open(&path).unwrap().execute_batch(sql).unwrap();
            assert!(open_with(&path, &OFF).1.is_some(), "{name}");
        }
    }

    #[test]
    fn the_file_is_for_the_daemon_alone_and_a_second_daemon_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let (first, _) = open_with(&path, &OFF);
        first.connection.execute("INSERT INTO t VALUES (1)", []).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let Err(LedgerError::Sql { source, .. }) = open(&path, &OFF, count, &mut None) else { panic!("opened twice") };
        assert!(source.to_string().contains("locked"), "{source}");
    }
}
