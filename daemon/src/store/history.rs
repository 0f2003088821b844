//! Who did what with models, and when: one line of JSON for each deed, appended and synchronised, kept over restarts. When
//! the file has grown large it becomes the one before, which is kept too; older ones go. What cannot be written, on a disk that
//! is full for example, is kept in memory and written with the next one that can be.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use edge_wire::history::HistoryEntry;

/// Size of the file from which on a new one is begun, bytes: some thousands of deeds.
const LARGE: u64 = 1 << 20;
/// Longest line that is read.
const LONGEST: usize = 16 << 10;

/// Deeds that wait to be written; more, and the oldest of them are lost.
const MOST_WAITING: usize = 256;

/// The file.
#[derive(Clone, Debug)]
pub struct History {
    path: PathBuf,
    /// What could not be written yet, the oldest first.
    waiting: VecDeque<HistoryEntry>,
}

impl History {
    /// The history in this directory.
    pub fn new(state_dir: &Path) -> History {
        History { path: state_dir.join("history.jsonl"), waiting: VecDeque::new() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn before(&self) -> PathBuf {
        self.path.with_extension("jsonl.1")
    }

    /// Notes a deed. When this returns well it is on the disk, as is every one before.
    pub fn note(&mut self, entry: HistoryEntry) -> std::io::Result<()> {
        self.waiting.push_back(entry);
        while self.waiting.len() > MOST_WAITING {
            if let Some(lost) = self.waiting.pop_front() {
                tracing::error!(at = %lost.at, what = %lost.what, model = %lost.model, "a deed is lost to the history");
            }
        }
        self.flush()
    }

    /// Writes what waits.
    pub fn flush(&mut self) -> std::io::Result<()> {
        while let Some(entry) = self.waiting.front() {
            self.write(entry)?;
            self.waiting.pop_front();
        }
        Ok(())
    }

    fn write(&self, entry: &HistoryEntry) -> std::io::Result<()> {
        if std::fs::metadata(&self.path).is_ok_and(|found| found.len() >= LARGE) {
            std::fs::rename(&self.path, self.before())?;
        }
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let mut file = std::fs::File::options().create(true).append(true).open(&self.path)?;
        let length = file.metadata()?.len();
        // Were the last line cut by a crash, this one still begins on its own.
        let mut line = if ends_clean(&self.path) { Vec::new() } else { b"\n".to_vec() };
        line.extend(serde_json::to_vec(entry)?);
        line.push(b'\n');
        let written = file.write_all(&line).and_then(|()| file.sync_data());
        if written.is_err() {
            // The first error is the one to tell; a line that was cut costs itself alone.
            file.set_len(length).ok();
        }
        written
    }

    /// Every deed that is remembered, the oldest first. A line that cannot be read is passed over: it was cut by a crash.
    pub fn read(&self) -> std::io::Result<Vec<HistoryEntry>> {
        let mut entries = Vec::new();
        for path in [self.before(), self.path.clone()] {
            let file = match std::fs::File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for line in BufReader::new(file).split(b'\n') {
                let line = line?;
                if line.len() <= LONGEST {
                    entries.extend(serde_json::from_slice::<HistoryEntry>(&line).ok());
                }
            }
        }
        entries.extend(self.waiting.iter().cloned());
        Ok(entries)
    }
}

fn ends_clean(path: &Path) -> bool {
    let last = || -> std::io::Result<u8> {
        use std::os::unix::fs::FileExt as _;
        let file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        let mut byte = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut byte, length - 1)?;
        }
        Ok(byte[0])
    };
    last().is_ok_and(|byte| byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(what: &str) -> HistoryEntry {
        HistoryEntry { at: "2026-11-27T20:00:00Z".into(), what: what.into(), ..HistoryEntry::default() }
    }

    #[test]
    fn deeds_are_kept_in_order_and_a_line_that_was_cut_costs_itself_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut history = History::new(dir.path());
        assert_eq!(history.read().unwrap(), []);
        history.note(entry("install")).unwrap();
        let path = dir.path().join("history.jsonl");
        let mut file = std::fs::File::options().append(true).open(path).unwrap();
        file.write_all(b"{\"at\": \"2026-11").unwrap();
        history.note(entry("activate")).unwrap();
        assert_eq!(history.read().unwrap(), [entry("install"), entry("activate")]);
    }

    #[test]
    fn the_file_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut history = History::new(dir.path());
        let path = dir.path().join("history.jsonl");
        std::fs::write(&path, vec![b'\n'; usize::try_from(LARGE).unwrap()]).unwrap();
        history.note(entry("install")).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 1000);
        assert_eq!(history.read().unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_written_waits_in_order_and_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut history = History::new(&dir.path().join("state"));
        // A file where the directory has to be: nothing can be written.
        std::fs::write(dir.path().join("state"), "").unwrap();
        assert!(history.note(entry("install")).is_err());
        assert!(history.note(entry("activate")).is_err());
        std::fs::remove_file(dir.path().join("state")).unwrap();
        assert_eq!(history.read().unwrap(), [entry("install"), entry("activate")]);
        history.note(entry("rollback")).unwrap();
        let written = History::new(&dir.path().join("state")).read().unwrap();
        assert_eq!(written, [entry("install"), entry("activate"), entry("rollback")]);
        std::fs::remove_dir_all(dir.path().join("state")).unwrap();
        std::fs::write(dir.path().join("state"), "").unwrap();
        for number in 0..MOST_WAITING + 5 {
            assert!(history.note(entry(&number.to_string())).is_err());
        }
        assert_eq!((history.waiting.len(), history.waiting[0].what.as_str()), (MOST_WAITING, "5"));
    }
}
