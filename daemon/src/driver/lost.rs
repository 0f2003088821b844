//! What was in a file of the ledger that could not be read: the file lies beside the fresh one that took its place, and that is told
//! until somebody has taken it away. Decides nothing; looks at the file now and then.

use std::path::{Path, PathBuf};

use edge_wire::dto::Problem;

use crate::ledger;

/// The file that was moved aside, if there is one.
#[derive(Debug, Default)]
pub(super) struct Lost {
    aside: Option<PathBuf>,
    /// Why it could not be read; empty if that was in an earlier life.
    why: String,
}

impl Lost {
    /// The database at `path` is open; `moved` says where an unreadable one went just now.
    pub fn opened(&mut self, path: &Path, moved: Option<(PathBuf, String)>) {
        match moved {
            Some((aside, why)) => *self = Lost { aside: Some(aside), why },
            None if self.aside.is_none() => self.aside = Some(ledger::aside(path)),
            None => {}
        }
        self.look();
    }

    /// Whether that has changed: somebody took the file away.
    pub fn look(&mut self) -> bool {
        // A link to nowhere is there as well.
        let is_gone = self.aside.as_ref().is_some_and(|aside| aside.symlink_metadata().is_err());
        if is_gone {
            *self = Lost::default();
        }
        is_gone
    }

    /// What is said of it; `loss` is what this box may have lost with it.
    pub fn problem(&self, subject: &str, loss: &str) -> Option<Problem> {
        let aside = self.aside.as_ref()?.display();
        let why = if self.why.is_empty() { String::new() } else { format!(" ({})", self.why) };
        Some(Problem {
            subject: subject.into(),
            what: format!("could not be read{why} and was moved to {aside}: {loss}"),
            remedy: format!(
                "look at {aside}, keep a copy if it is wanted, and remove it: then this is not shown any more"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_aside_is_told_over_restarts_until_it_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool.db");
        let aside = ledger::aside(&path);
        let mut lost = Lost::default();
        lost.opened(&path, None);
        assert_eq!(lost.problem("spool", "x"), None);
        std::fs::write(&aside, "garbage").unwrap();
        lost.opened(&path, Some((aside.clone(), "file is not a database".into())));
        let told = lost.problem("spool", "requests that waited are lost").unwrap();
        assert_eq!(told.subject, "spool");
        for part in ["file is not a database", "spool.db.corrupt", "requests that waited are lost"] {
            assert!(told.what.contains(part), "{told:?}");
        }
        assert!(told.remedy.contains("spool.db.corrupt") && told.remedy.contains("remove it"), "{told:?}");
        let mut next = Lost::default();
        next.opened(&path, None);
        assert!(next.problem("spool", "x").unwrap().what.starts_with("could not be read and was moved to "));
        assert!(!next.look());
        std::fs::remove_file(&aside).unwrap();
        assert!(next.look() && !next.look());
        assert_eq!(next.problem("spool", "x"), None);
    }
}
