//! `index.json`: what is remembered of entries and of how long they took. Times only: without the file nothing else is lost,
//! as each entry says itself what it is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::super::key::FORMAT;
use super::super::seal;
use super::{Shelf, remove_whatever};
use crate::driver::clock::wall;

/// What is remembered of an entry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Known {
    pub(super) model: String,
    pub(super) took_ms: u64,
    /// Milliseconds since 1970.
    pub(super) built: u64,
    pub(super) last_used: u64,
}

/// `index.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Index {
    format: u32,
    pub(super) entries: BTreeMap<String, Known>,
    /// How long something took to compile when it was compiled last, milliseconds; by model, variant, provider, precision.
    pub(super) took_ms: BTreeMap<String, u64>,
}

impl Shelf {
    /// What is remembered. At the first question also clears away what dead daemons were at.
    pub(super) fn index(&mut self) -> &mut Index {
        if self.index.is_none() {
            self.sweep();
        }
        let file = self.root.join("index.json");
        self.index.get_or_insert_with(|| {
            let read = || -> Option<Index> {
                let index: Index = serde_json::from_str(&edge_engine::bundle::read_text(&file, 8 << 20).ok()?).ok()?;
                (index.format == FORMAT).then_some(index)
            };
            // Without it nothing is lost but times: each entry says itself what it is.
            read().unwrap_or(Index { format: FORMAT, ..Index::default() })
        })
    }

    fn sweep(&self) {
        for entry in fs::read_dir(self.building()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.split_once('-')).map_or("", |(pid, _)| pid);
            let alive =
                !owner.is_empty() && owner != std::process::id().to_string() && Path::new("/proc").join(owner).exists();
            if !alive && let Err(error) = remove_whatever(&entry.path()) {
                tracing::warn!(dir = %entry.path().display(), %error, "remove what another daemon had begun to compile");
            }
        }
    }

    pub(super) fn write_index(&mut self) {
        let file = self.root.join("index.json");
        let written =
            serde_json::to_vec_pretty(self.index()).map_err(io::Error::from).and_then(|text| seal::put(&file, &text));
        if let Err(error) = written {
            tracing::debug!(file = %file.display(), %error, "the times of the cache are not remembered");
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn at(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{asked, holder};
    use super::*;

    #[test]
    fn what_a_dead_daemon_had_begun_is_swept_and_that_of_a_living_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        let building = root.path().join("building");
        // No process has the first of these numbers; the second one is always there.
        for name in ["999999999-1", "1-1", "stray"] {
            fs::create_dir_all(building.join(name)).unwrap();
        }
        fs::write(building.join("stray.new"), "").unwrap();
        Shelf::new(root.path().into(), 1 << 20).open(holder(1), &asked("a", 1)).unwrap();
        assert!(building.join("1-1").exists() && !building.join("999999999-1").exists());
        assert!(!building.join("stray").exists() && !building.join("stray.new").exists());
    }
}
