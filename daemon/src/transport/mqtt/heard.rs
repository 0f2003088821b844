//! Sources of which bindings have published values: those values stay with the broker when the daemon ends, and if the source has
//! ended too, nobody would say that they are old. A file in the state directory remembers them from one life of the daemon to the
//! next; it is written only when a source or a field is added, so it costs a flash next to nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

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
    /// `None` if it could not be read: then it is left as it is.
    file: Option<PathBuf>,
    writing: Option<JoinHandle<()>>,
}

impl Memo {
    /// Gives the sources of earlier lives too. Blocks on the disk.
    pub fn open(file: &Path) -> std::io::Result<(Memo, Vec<Heard>)> {
        let heard = match File::open(file) {
            Ok(open) => serde_json::from_reader(BufReader::new(open))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok((Memo { file: Some(file.to_owned()), writing: None }, heard))
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
        let (mut memo, before) = Memo::open(&file).unwrap();
        assert_eq!(before, []);
        for list in [vec![heard("a")], vec![heard("a"), heard("b \"c\"\n")]] {
            memo.write(list.clone());
            memo.writing.take().unwrap().await.unwrap();
            assert!(!memo.is_busy());
            assert_eq!(Memo::open(&file).unwrap().1, list);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_and_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sources.json");
        std::fs::write(&file, "[{\"binding\":").unwrap();
        assert!(Memo::open(&file).unwrap_err().to_string().contains("EOF"));
        Memo::default().write(vec![heard("a")]);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "[{\"binding\":");
    }
}
