//! Opens a SQLite file of ours; one that cannot be read is moved aside, because a daemon that refuses to start over it
//! would serve nobody, and one that deletes it would leave nothing to look into.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::LedgerError;

/// Version of the tables; a file of another one is moved aside like a corrupt one.
const SCHEMA: i64 = 1;

/// How long a daemon that is just ending may still hold the file.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// An open database.
pub struct Opened<T> {
    pub connection: Connection,
    /// What `load` found in it.
    pub content: T,
}

/// Opens or creates `path`, readable by the daemon alone, runs `create` on a new file and `load` on any. Where an
/// unreadable file went, with the reason, is told by `moved`, also when no new one can be made in its place.
pub fn open<T>(
    path: &Path,
    create: &str,
    synchronous: &str,
    load: impl Fn(&mut Connection) -> rusqlite::Result<T>,
    moved: &mut Option<(PathBuf, String)>,
) -> Result<Opened<T>, LedgerError> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|source| LedgerError::Directory { path: dir.to_owned(), source })?;
    }
    match attempt(path, create, synchronous, &load) {
        Ok((connection, content)) => Ok(Opened { connection, content }),
        Err(LedgerError::Sql { source, .. }) if is_unreadable(&source) => {
            *moved = Some((move_aside(path)?, source.to_string()));
            let (connection, content) = attempt(path, create, synchronous, &load)?;
            Ok(Opened { connection, content })
        }
        Err(error) => Err(error),
    }
}

/// Whether the file itself is at fault, and not the disk or its permissions.
fn is_unreadable(error: &rusqlite::Error) -> bool {
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

fn attempt<T>(
    path: &Path,
    create: &str,
    synchronous: &str,
    load: &impl Fn(&mut Connection) -> rusqlite::Result<T>,
) -> Result<(Connection, T), LedgerError> {
    // SQLite gives its side files the mode of the main file.
    let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.map_err(|source| LedgerError::File { path: path.to_owned(), source })?;
    let sql = |action| move |source| LedgerError::Sql { action, path: path.to_owned(), source };
    let mut connection = Connection::open(path).map_err(sql("open"))?;
    connection.busy_timeout(LOCK_WAIT).map_err(sql("set up"))?;
    // Exclusive: nobody else writes here, so the index of the log needs no shared memory, and a second daemon is
    // noticed. Small caches: the daemon's memory is promised to be small.
    let settings = format!(
        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous};
         PRAGMA cache_size=-256; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=4194304;"
    );
    connection.execute_batch(&settings).map_err(sql("set up"))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sql("read"))?;
    match version {
        SCHEMA => {}
        0 => {
            // In one piece: a full disk must not leave a half that is taken for a corrupt file at the next try.
            let whole = format!("BEGIN; {create} PRAGMA user_version={SCHEMA}; COMMIT;");
            connection.execute_batch(&whole).map_err(sql("create tables in"))?;
        }
        other => {
            let source = rusqlite::Error::IntegralValueOutOfRange(0, other);
            return Err(LedgerError::Sql { action: "read the schema version of", path: path.to_owned(), source });
        }
    }
    let content = load(&mut connection).map_err(sql("read"))?;
    Ok((connection, content))
}

/// Renames the file and its side files; an older one of that name is replaced, so that they cannot fill the disk.
fn move_aside(path: &Path) -> Result<PathBuf, LedgerError> {
    let named = |suffix: &str| {
        let mut name = OsString::from(path);
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = named(".corrupt");
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

    const CREATE: &str = "CREATE TABLE t (n INTEGER) STRICT;";

    fn open_with(path: &Path, synchronous: &str) -> (Opened<i64>, Option<(PathBuf, String)>) {
        let mut moved = None;
        let opened = open(path, CREATE, synchronous, count, &mut moved).unwrap();
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
        let (opened, moved) = open_with(&path, "FULL");
        let (aside, why) = moved.unwrap();
        assert_eq!(std::fs::read(aside).unwrap(), vec![7_u8; 8192]);
        assert!(why.contains("not a database"), "{why}");
        assert_eq!(opened.content, 0);
        drop(opened.connection);
        assert!(open_with(&path, "FULL").1.is_none());
    }

    #[test]
    fn tables_of_another_version_or_shape_are_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        for (name, sql) in
            [("a.db", "PRAGMA user_version=9"), ("b.db", "PRAGMA user_version=1"), ("c.db", "CREATE TABLE t (m TEXT)")]
        {
            let path = dir.path().join(name);
            Connection::open(&path).unwrap().execute_batch(sql).unwrap();
            assert!(open_with(&path, "OFF").1.is_some(), "{name}");
        }
    }

    #[test]
    fn the_file_is_for_the_daemon_alone_and_a_second_daemon_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let (first, _) = open_with(&path, "OFF");
        first.connection.execute("INSERT INTO t VALUES (1)", []).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let Err(LedgerError::Sql { source, .. }) = open(&path, CREATE, "OFF", count, &mut None) else {
            panic!("opened twice")
        };
        assert!(source.to_string().contains("locked"), "{source}");
    }
}
