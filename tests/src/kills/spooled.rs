//! What a daemon that is dead had on its disk of requests that wait: a witness that needs no daemon. It reads a copy, because whoever
//! opens such a file changes it, and the next daemon has to find it as the last one left it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::Connection;

/// Whose request it is and its id, in one word.
pub type Known = (String, String);

/// What the file has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spooled {
    /// Requests that wait, and whether they were handed out when the daemon died.
    pub waits: BTreeMap<Known, bool>,
    /// Replies that are kept.
    pub replies: BTreeMap<Known, Vec<u8>>,
}

impl Spooled {
    /// Reads the file of a daemon that is dead, by way of the directory `copies`.
    pub fn read(state: &Path, copies: &Path) -> Result<Spooled> {
        let file = state.join("spool.db");
        if !file.exists() {
            return Ok(Spooled::default());
        }
        fs::create_dir_all(copies)?;
        let copy = copies.join("spool.db");
        for end in ["", "-wal", "-shm"] {
            let (from, to) = (format!("{}{end}", file.display()), format!("{}{end}", copy.display()));
            match fs::remove_file(&to) {
                Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => return Err(fault.into()),
                Ok(()) | Err(_) => {}
            }
            // What the processes share about the log is made anew.
            if end != "-shm" && Path::new(&from).exists() {
                fs::copy(&from, &to).with_context(|| format!("copy {from}"))?;
            }
        }
        let connection = Connection::open(&copy)?;
        let whole: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        anyhow::ensure!(whole == "ok", "the file of requests that wait is broken: {whole}");
        let has_tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'reply'", [], |row| row.get(0))?;
        if has_tables == 0 {
            return Ok(Spooled::default());
        }
        let waits = connection
            .prepare("SELECT caller, request_id, alive FROM request")?
            .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let replies = connection
            .prepare("SELECT caller, request_id, bytes FROM reply")?
            .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Spooled { waits, replies })
    }

    /// Whether it has a request or its reply.
    pub fn has(&self, known: &Known) -> bool {
        self.waits.contains_key(known) || self.replies.contains_key(known)
    }
}
