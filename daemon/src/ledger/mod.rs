//! What must survive the daemon. On disk: requests that were acknowledged before they were answered ([`journal`]),
//! requests that wait until something can serve them ([`spool`]), and what the box did ([`records`]: usage, audit, money
//! spent, routing decisions). In the runtime directory: replies that may have to be given again with the same bytes
//! ([`replies`]).
//!
//! Each database has a thread of its own, because it waits for the disk; replies are appended to files in memory, which
//! waits for nothing. None of them decides what is kept, refused, sent or run again: they store what they are told.

pub mod audit;
mod database;
pub mod decisions;
pub mod histogram;
pub mod journal;
pub mod outbox;
pub mod records;
pub mod replies;
mod schema;
pub mod spent;
pub mod spool;
mod thread;
pub mod time;
pub mod usage;

use std::path::{Path, PathBuf};

pub use database::aside;

/// By what a reply is known: who asked (the reply topic stands for it), under which id, for which model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub reply_topic: String,
    pub request_id: String,
    pub model: String,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("create directory {path}")]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("create {path}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{action} {path}")]
    Sql { action: &'static str, path: PathBuf, source: rusqlite::Error },
    /// Written by a newer daemon; nothing in it is touched.
    #[error("{} has schema {found}, this edged knows {known}", file_name(path))]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("move the unreadable {path} aside")]
    MoveAside { path: PathBuf, source: std::io::Error },
    #[error("start a thread for {path}")]
    Thread { path: PathBuf, source: std::io::Error },
}

impl LedgerError {
    /// What a person can do about it.
    pub fn remedy(&self) -> &'static str {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
        match self {
            LedgerError::Sql { source: rusqlite::Error::SqliteFailure(failure, _), .. }
                if matches!(failure.code, DatabaseBusy | DatabaseLocked) =>
            {
                "another edged uses this state directory: stop it, or give each its own paths.state_dir"
            }
            LedgerError::Sql { source: rusqlite::Error::SqliteFailure(failure, _), .. } if failure.code == DiskFull => {
                "make room on the disk of the state directory"
            }
            LedgerError::Directory { source, .. }
            | LedgerError::File { source, .. }
            | LedgerError::MoveAside { source, .. }
                if source.kind() == std::io::ErrorKind::StorageFull =>
            {
                "make room on the disk of the state directory"
            }
            LedgerError::Directory { source, .. } | LedgerError::File { source, .. }
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::IsADirectory
                        | std::io::ErrorKind::NotADirectory
                        | std::io::ErrorKind::AlreadyExists
                ) =>
            {
                "move away what lies in its place: the daemon makes the file and its directory by itself"
            }
            LedgerError::Newer { .. } => "install the newer edged again, or move the file away",
            LedgerError::Thread { .. } => "raise the limit of threads (TasksMax, ulimit -u) and restart edged",
            LedgerError::Directory { .. }
            | LedgerError::File { .. }
            | LedgerError::MoveAside { .. }
            | LedgerError::Sql { .. } => {
                "make the state directory writable for the daemon, and look whether its disk is full"
            }
        }
    }
}

fn file_name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn the_remedy_fits_what_is_in_the_way() {
        let path = || PathBuf::from("/state/spool.db");
        let file = |kind: ErrorKind| LedgerError::File { path: path(), source: kind.into() };
        for (error, part) in [
            (file(ErrorKind::IsADirectory), "move away what lies in its place"),
            (LedgerError::Directory { path: path(), source: ErrorKind::NotADirectory.into() }, "move away"),
            (file(ErrorKind::StorageFull), "make room"),
            (file(ErrorKind::PermissionDenied), "writable"),
            (LedgerError::Newer { path: path(), found: 7, known: 1 }, "newer edged"),
        ] {
            assert!(error.remedy().contains(part), "{error}: {}", error.remedy());
        }
        // What the system says of a directory in the place of the file.
        let dir = tempfile::tempdir().unwrap();
        let refused = std::fs::OpenOptions::new().create(true).append(true).open(dir.path()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::IsADirectory);
    }
}
