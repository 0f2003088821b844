//! Which version of a model is active, which one was before, which are bad here, and what is being watched: one small file
//! for each model, put in place by a rename, so that at any instant it is the old one or the new one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Largest file that is read.
const MOST_BYTES: u64 = 1 << 20;
/// Bad versions that are remembered of one model: the last ones.
const MOST_BAD: usize = 64;

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("{what} {}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is no record of a model", path.display())]
    Json {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

/// What was decided about one model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The version that requests without one are given to; `None` if it was decided that there is none.
    pub active: Option<String>,
    /// What was active before, and is taken back by a rollback.
    pub previous: Option<String>,
    /// The active version is watched since then, RFC 3339: it has not passed yet.
    pub probation_since: Option<String>,
    /// Versions that were taken back here, and why.
    pub bad: BTreeMap<String, String>,
    /// The version that the fleet is to have, and in whose place somebody on this box put another one.
    pub aside: Option<String>,
}

impl Record {
    /// Another version becomes active; the one that was stays at hand. Nothing is known against it any more.
    pub fn activated(&self, version: &str, since: Option<String>) -> Record {
        let mut bad = self.bad.clone();
        bad.remove(version);
        let previous = self.active.clone().filter(|active| active != version).or_else(|| self.previous.clone());
        let aside = self.aside.clone().filter(|aside| aside != version);
        Record { active: Some(version.into()), previous, probation_since: since, bad, aside }
    }

    /// The version before becomes active again; what was active counts as bad if there is a reason. `None` without one before.
    pub fn rolled_back(&self, why: Option<&str>) -> Option<Record> {
        let previous = self.previous.clone()?;
        let mut bad = self.bad.clone();
        if let (Some(active), Some(why)) = (&self.active, why) {
            bad.insert(active.clone(), why.into());
            while bad.len() > MOST_BAD {
                bad.pop_first();
            }
        }
        Some(Record { active: Some(previous), previous: None, probation_since: None, bad, aside: self.aside.clone() })
    }

    /// The active version must not serve any more; `instead` does, if there is one.
    pub fn revoked(&self, instead: Option<&str>) -> Record {
        let instead = instead.map(str::to_owned);
        Record { active: instead, previous: None, probation_since: None, ..self.clone() }
    }

    /// The active version has passed.
    pub fn passed(&self) -> Record {
        Record { probation_since: None, ..self.clone() }
    }

    /// A version is not there any more.
    pub fn without(&self, version: &str) -> Record {
        let left = |other: &Option<String>| other.clone().filter(|other| other != version);
        Record { active: left(&self.active), previous: left(&self.previous), ..self.clone() }
    }
}

/// The records of all models in `dir`; what cannot be read is told beside them.
pub fn read_all(dir: &Path) -> (BTreeMap<String, Record>, Vec<String>) {
    let (mut records, mut faults) = (BTreeMap::new(), Vec::new());
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (records, faults),
        Err(error) => return (records, vec![format!("read {}: {error}", dir.display())]),
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) else { continue };
        if name.starts_with('.') {
            continue;
        }
        match read(&path) {
            Ok(record) => drop(records.insert(name.to_owned(), record)),
            Err(error) => faults.push(crate::driver::chain(&error)),
        }
    }
    (records, faults)
}

/// Whether something was decided about a model; also if it cannot be read.
pub fn has(dir: &Path, name: &str) -> bool {
    dir.join(format!("{name}.json")).symlink_metadata().is_ok()
}

fn read(path: &Path) -> Result<Record, RecordError> {
    let failed = |source| RecordError::File { what: "read", path: path.to_owned(), source };
    let text = edge_engine::bundle::read_text(path, MOST_BYTES).map_err(failed)?;
    serde_json::from_str(&text).map_err(|source| RecordError::Json { path: path.to_owned(), source })
}

/// Puts the record of a model in place. When this returns it is on the disk.
pub fn write(dir: &Path, name: &str, record: &Record) -> Result<(), RecordError> {
    let path = dir.join(format!("{name}.json"));
    let part = dir.join(format!(".{name}.json"));
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| RecordError::File { what, path, source }
    };
    std::fs::create_dir_all(dir).map_err(failed("make", dir))?;
    let text = serde_json::to_vec_pretty(record).map_err(|source| RecordError::Json { path: path.clone(), source })?;
    let mut file = File::create(&part).map_err(failed("make", &part))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed("write", &part))?;
    std::fs::rename(&part, &path).map_err(failed("put in place", &path))?;
    sync_dir(dir).map_err(failed("write", dir))
}

/// What was renamed or removed in a directory is so on the disk, too.
pub fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(active: &str, previous: Option<&str>) -> Record {
        Record { active: Some(active.into()), previous: previous.map(str::to_owned), ..Record::default() }
    }

    #[test]
    fn what_was_active_stays_at_hand() {
        let first = Record::default().activated("1.0.0", None);
        assert_eq!(first, record("1.0.0", None));
        let second = first.activated("2.0.0", Some("t".into()));
        assert_eq!((second.previous.as_deref(), second.probation_since.as_deref()), (Some("1.0.0"), Some("t")));
        // Activated again, it is not its own predecessor.
        assert_eq!(second.activated("2.0.0", None), record("2.0.0", Some("1.0.0")));
        assert_eq!(second.passed(), record("2.0.0", Some("1.0.0")));
    }

    #[test]
    fn a_rollback_marks_what_was_bad_and_does_not_go_back_and_forth() {
        let now = record("2.0.0", Some("1.0.0"));
        let back = now.rolled_back(Some("it is slow")).unwrap();
        assert_eq!((back.active.as_deref(), back.previous.as_deref()), (Some("1.0.0"), None));
        assert_eq!(back.bad.get("2.0.0").map(String::as_str), Some("it is slow"));
        assert_eq!(back.rolled_back(None), None);
        // Who activates it all the same takes the blame off it.
        assert!(back.activated("2.0.0", None).bad.is_empty());
        assert!(now.rolled_back(None).unwrap().bad.is_empty(), "by hand nothing is said against it");
        assert_eq!(now.without("1.0.0"), record("2.0.0", None));
    }

    #[test]
    fn records_are_read_as_they_were_written_and_what_is_broken_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("models");
        assert_eq!(read_all(&at), (BTreeMap::new(), Vec::new()));
        write(&at, "a", &record("1.0.0", None)).unwrap();
        write(&at, "a", &record("2.0.0", Some("1.0.0"))).unwrap();
        std::fs::write(at.join("b.json"), "{").unwrap();
        // What a crash left over.
        std::fs::write(at.join(".c.json"), "{}").unwrap();
        let (records, faults) = read_all(&at);
        assert_eq!(records.get("a"), Some(&record("2.0.0", Some("1.0.0"))));
        assert!(faults.len() == 1 && faults[0].contains("b.json is no record of a model"), "{faults:?}");
    }
}
