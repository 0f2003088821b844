//! Subscriptions of an earlier configuration: the broker keeps them with the session, and would send frames for bindings that
//! are no more. Decides which those are; a file in the state directory remembers them.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What an earlier daemon subscribed to, and what this one does.
#[derive(Debug, Default)]
pub struct Former {
    file: Option<PathBuf>,
    now: BTreeSet<String>,
    ended: Vec<String>,
}

impl Former {
    /// Reads the file, and notes the filters of now besides: until the others are ended, it names both. Blocks on the disk.
    pub fn open(file: &Path, now: impl Iterator<Item = String>) -> std::io::Result<Former> {
        let now: BTreeSet<String> = now.collect();
        let before = match std::fs::read_to_string(file) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        if !now.is_subset(&before) {
            write(file, before.union(&now))?;
        }
        let ended = before.difference(&now).cloned().collect();
        Ok(Former { file: Some(file.to_owned()), now, ended })
    }

    /// The filters to end, once: then the file may be written anew by the [`Rest`] that comes with them.
    pub fn take(&mut self) -> Option<(Vec<String>, Rest)> {
        let ended = std::mem::take(&mut self.ended);
        if ended.is_empty() {
            return None;
        }
        Some((ended, Rest { file: self.file.take()?, now: std::mem::take(&mut self.now) }))
    }
}

/// The file without what was ended.
#[derive(Debug)]
pub struct Rest {
    file: PathBuf,
    now: BTreeSet<String>,
}

impl Rest {
    /// Writes it. Blocks on the disk.
    pub fn write(self) -> std::io::Result<()> {
        write(&self.file, self.now.iter())
    }
}

fn write<'a>(file: &Path, filters: impl Iterator<Item = &'a String>) -> std::io::Result<()> {
    let text: String = filters.flat_map(|filter| [filter.as_str(), "\n"]).collect();
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(file: &Path, now: &[&str]) -> Former {
        Former::open(file, now.iter().map(|filter| (*filter).to_owned())).unwrap()
    }

    #[test]
    fn what_is_not_subscribed_to_any_more_is_ended_and_remembered_until_then() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("subscriptions");
        assert!(open(&file, &["a/+", "b/#"]).take().is_none());
        // Killed before it could end them: they are known the next time.
        open(&file, &["b/#", "c"]);
        let (ended, rest) = open(&file, &["b/#", "c"]).take().unwrap();
        assert_eq!(ended, ["a/+"]);
        rest.write().unwrap();
        assert!(open(&file, &["b/#", "c"]).take().is_none());
        assert_eq!(open(&file, &[]).take().unwrap().0, ["b/#", "c"]);
    }
}
