//! Sources of which bindings have published values: those values stay with the broker when the daemon ends, and if the source has
//! ended too, nobody would say that they are old. A file in the state directory remembers them from one life of the daemon to the
//! next; it is written only when a source or a field is added, so it costs a flash next to nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

/// A larger file was not written by us: 64 bindings with 1024 sources of 1 kB.
const MOST_BYTES: u64 = 64 << 20;

/// One source of a binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    pub binding: String,
    pub source: String,
    /// What the wildcards of its topic stood for.
    pub captures: Vec<String>,
    /// The topic of each field that was published, by the field's word.
    pub topics: BTreeMap<String, String>,
    /// Written as `{"value", ...}`.
    pub json: bool,
    /// Whether the broker keeps them.
    pub retain: bool,
}

/// The file of them.
#[derive(Debug, Default)]
pub struct Memo {
    /// `None` if it could neither be read nor put aside: then it is left as it is.
    file: Option<PathBuf>,
    writing: Option<JoinHandle<()>>,
}

impl Memo {
    /// Gives the sources of earlier lives too, or why they are not known: what cannot be read is put aside. Blocks on the disk.
    pub fn open(file: &Path) -> (Memo, std::io::Result<Vec<Heard>>) {
        let memo = Memo { file: Some(file.to_owned()), writing: None };
        let error = match read(file) {
            Ok(heard) => return (memo, Ok(heard)),
            Err(error) => error,
        };
        match std::fs::rename(file, file.with_extension("corrupt")) {
            Ok(()) => (memo, Err(error)),
            Err(_) => (Memo::default(), Err(error)),
        }
    }

    /// Whether an earlier list is still on its way to the disk.
    pub fn is_busy(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| !writing.is_finished())
    }

    /// Writes these in place of what was there, on a thread of its own.
    pub fn write(&mut self, heard: Vec<Heard>) {
        let Some(file) = self.file.clone() else { return };
        self.writing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = write(&file, &heard) {
                tracing::warn!(%error, file = %file.display(), "the sources of bindings are not noted: after a crash values of one that ends meanwhile do not go stale");
            }
        }));
    }
}

fn read(file: &Path) -> std::io::Result<Vec<Heard>> {
    match file.symlink_metadata() {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(std::io::Error::other("it is no file")),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    Ok(serde_json::from_reader(BufReader::new(File::open(file)?.take(MOST_BYTES)))?)
}

fn write(file: &Path, heard: &[Heard]) -> std::io::Result<()> {
    let new = file.with_extension("new");
    let mut out = BufWriter::new(File::create(&new)?);
    serde_json::to_writer(&mut out, heard)?;
    out.flush()?;
    out.get_ref().sync_data()?;
    std::fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(source: &str) -> Heard {
        let topics = BTreeMap::from([("class".to_owned(), format!("plc/{source}/class"))]);
        let (binding, captures) = ("line".into(), vec![source.to_owned()]);
        Heard { binding, source: source.into(), captures, topics, json: false, retain: true }
    }

    #[tokio::test]
    async fn what_is_written_is_known_in_the_next_life() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sources.json");
        let (mut memo, before) = Memo::open(&file);
        assert_eq!(before.unwrap(), []);
        for list in [vec![heard("a")], vec![heard("a"), heard("b \"c\"\n")]] {
            memo.write(list.clone());
            memo.writing.take().unwrap().await.unwrap();
            assert!(!memo.is_busy());
            assert_eq!(Memo::open(&file).1.unwrap(), list);
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_told_and_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sources.json");
        std::fs::write(&file, "[{\"binding\":").unwrap();
        let (mut memo, found) = Memo::open(&file);
        assert!(found.unwrap_err().to_string().contains("EOF"));
        assert_eq!(std::fs::read_to_string(dir.path().join("sources.corrupt")).unwrap(), "[{\"binding\":");
        memo.write(vec![heard("a")]);
        memo.writing.take().unwrap().await.unwrap();
        assert_eq!(Memo::open(&file).1.unwrap(), [heard("a")]);
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        assert_eq!(Memo::open(&file).1.unwrap_err().to_string(), "it is no file");
        assert_eq!(Memo::open(&file).1.unwrap(), []);
    }
}
