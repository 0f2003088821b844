//! The seal of an entry: names, sizes and digests of its files, written once its engine gave the right answers. An entry
//! whose files are not those of its seal is not handed to a provider, which would crash on it or answer wrong.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::key::{FORMAT, Key};

/// The key in clear words.
pub const KEY: &str = "key.json";
/// The seal.
pub const SEAL: &str = "seal.json";
/// Largest key or seal that is read.
const MOST_TEXT: u64 = 1 << 20;
/// Directories in directories; providers make none.
const DEPTH: usize = 4;

/// One file of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sealed {
    /// Relative to the entry.
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    format: u32,
    files: Vec<Sealed>,
}

/// Only what any format has.
#[derive(Deserialize)]
struct Formatted {
    format: u32,
}

/// Why an entry is not used.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("it has no seal: the load that compiled it did not end well")]
    Unsealed,
    #[error("its {file} cannot be read")]
    Text { file: &'static str, source: io::Error },
    #[error("its {file} is not of the form that this version writes")]
    Form { file: &'static str, source: serde_json::Error },
    #[error("its {file} has format {found}, this version knows {FORMAT}")]
    Format { file: &'static str, found: u32 },
    #[error("it was compiled for something else: {0}")]
    Foreign(String),
    #[error("its file {name} has {found} bytes, {expected} were sealed")]
    Size { name: String, expected: u64, found: u64 },
    #[error("its file {0} is not the one that was sealed")]
    Digest(String),
    #[error("its file {0} is missing")]
    Missing(String),
    #[error("its file {0} was not there when it was sealed")]
    Extra(String),
    #[error("read it")]
    Read(#[source] io::Error),
}

/// Writes key and seal of what a provider left in `dir`. Returns the bytes of its files; 0, and no seal, if there are none.
pub fn write(dir: &Path, key: &Key) -> io::Result<u64> {
    let files = files(dir)?;
    let bytes = files.iter().map(|file| file.bytes).sum();
    if bytes > 0 {
        put(&dir.join(KEY), key.text().as_bytes())?;
        let text = serde_json::to_vec_pretty(&Seal { format: FORMAT, files })?;
        put(&dir.join(SEAL), &text)?;
    }
    Ok(bytes)
}

/// Makes sure that `dir` holds what was sealed, for this key.
pub fn check(dir: &Path, key: &Key) -> Result<(), Fault> {
    let found: Key = read(dir, KEY)?;
    if found != *key {
        return Err(Fault::Foreign(difference(&found, key)));
    }
    let seal: Seal = read(dir, SEAL)?;
    let found = files(dir).map_err(Fault::Read)?;
    for sealed in &seal.files {
        let Some(file) = found.iter().find(|file| file.name == sealed.name) else {
            return Err(Fault::Missing(sealed.name.clone()));
        };
        if file.bytes != sealed.bytes {
            return Err(Fault::Size { name: file.name.clone(), expected: sealed.bytes, found: file.bytes });
        }
        if file.sha256 != sealed.sha256 {
            return Err(Fault::Digest(file.name.clone()));
        }
    }
    match found.into_iter().find(|file| !seal.files.iter().any(|sealed| sealed.name == file.name)) {
        Some(extra) => Err(Fault::Extra(extra.name)),
        None => Ok(()),
    }
}

/// The key and the files of a sealed entry, not compared with what lies there.
pub fn sealed(dir: &Path) -> Result<(Key, Vec<Sealed>), Fault> {
    let seal: Seal = read(dir, SEAL)?;
    Ok((read(dir, KEY)?, seal.files))
}

/// Writes key and seal of files that were held against these digests while they were written.
pub fn write_known(dir: &Path, key: &Key, mut files: Vec<Sealed>) -> io::Result<()> {
    files.sort();
    put(&dir.join(KEY), key.text().as_bytes())?;
    put(&dir.join(SEAL), &serde_json::to_vec_pretty(&Seal { format: FORMAT, files })?)
}

fn read<T: for<'a> Deserialize<'a>>(dir: &Path, file: &'static str) -> Result<T, Fault> {
    let text = match edge_engine::bundle::read_text(&dir.join(file), MOST_TEXT) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Fault::Unsealed),
        Err(source) => return Err(Fault::Text { file, source }),
    };
    let Formatted { format } = serde_json::from_str(&text).map_err(|source| Fault::Form { file, source })?;
    if format != FORMAT {
        return Err(Fault::Format { file, found: format });
    }
    serde_json::from_str(&text).map_err(|source| Fault::Form { file, source })
}

/// The first line in which two keys differ.
fn difference(found: &Key, wanted: &Key) -> String {
    let (found, wanted) = (found.text(), wanted.text());
    let lines = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    let trim = |line: &str| line.trim().trim_end_matches(',').to_owned();
    lines.map_or_else(String::new, |(found, wanted)| format!("{} instead of {}", trim(found), trim(wanted)))
}

/// The files of an entry besides key and seal, with their digests, in name order.
fn files(dir: &Path) -> io::Result<Vec<Sealed>> {
    let mut files = Vec::new();
    walk(dir, "", DEPTH, &mut |name, path| {
        if name != KEY && name != SEAL {
            let mut file = File::open(path)?;
            let bytes = file.metadata()?.len();
            files.push(Sealed { name, bytes, sha256: edge_engine::bundle::digest(&mut file)? });
        }
        Ok(())
    })?;
    files.sort();
    Ok(files)
}

/// Bytes of all files of an entry.
pub fn size(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    walk(dir, "", DEPTH, &mut |_, path| {
        bytes += path.symlink_metadata()?.len();
        Ok(())
    })?;
    Ok(bytes)
}

/// What tells a file that was written anew from the one that was there, whatever its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    name: String,
    inode: u64,
    bytes: u64,
    /// Seconds since 1970, and nanoseconds of them.
    changed: (i64, i64),
}

/// The stamps of all files of an entry, in name order.
pub fn stamps(dir: &Path) -> io::Result<Vec<Stamp>> {
    let mut stamps = Vec::new();
    walk(dir, "", DEPTH, &mut |name, path| {
        let meta = path.symlink_metadata()?;
        let changed = (meta.mtime(), meta.mtime_nsec());
        stamps.push(Stamp { name, inode: meta.ino(), bytes: meta.len(), changed });
        Ok(())
    })?;
    stamps.sort();
    Ok(stamps)
}

/// Every regular file; anything else is an error, as no provider makes it.
fn walk(
    dir: &Path,
    prefix: &str,
    depth: usize,
    each: &mut impl FnMut(String, &Path) -> io::Result<()>,
) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            walk(&entry.path(), &format!("{name}/"), depth - 1, each)?;
        } else if kind.is_file() {
            each(name, &entry.path())?;
        } else {
            return Err(io::Error::other(format!("{name} is neither a file nor a directory near the top")));
        }
    }
    Ok(())
}

/// Writes a file whole or not at all.
pub fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    // What was compiled is worth minutes; that it outlives a power cut is worth a few milliseconds.
    file.sync_all()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key { format: FORMAT, device: "i5".into(), ..Key::default() }
    }

    fn entry() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("one.blob"), "0123456789").unwrap();
        fs::create_dir(dir.path().join("more")).unwrap();
        fs::write(dir.path().join("more/two.blob"), "abc").unwrap();
        assert_eq!(write(dir.path(), &key()).unwrap(), 13);
        dir
    }

    #[test]
    fn what_was_sealed_is_good_and_whatever_was_changed_is_not() {
        assert!(check(entry().path(), &key()).is_ok());
        type Spoil = fn(&Path) -> io::Result<()>;
        let cases: [(Spoil, &str); 9] = [
            (|dir| fs::write(dir.join("one.blob"), "01234"), "its file one.blob has 5 bytes, 10 were sealed"),
            (|dir| fs::write(dir.join("one.blob"), "0123456788"), "its file one.blob is not the one that was sealed"),
            (|dir| fs::remove_file(dir.join("more/two.blob")), "its file more/two.blob is missing"),
            (|dir| fs::write(dir.join("three.blob"), "x"), "its file three.blob was not there when it was sealed"),
            (|dir| fs::remove_file(dir.join(SEAL)), "it has no seal"),
            (|dir| fs::write(dir.join(SEAL), "{"), "its seal.json is not of the form that this version writes"),
            (|dir| fs::write(dir.join(SEAL), "{\"format\": 2}"), "its seal.json has format 2, this version knows 1"),
            (
                |dir| fs::write(dir.join(KEY), Key { device: "i7".into(), ..key() }.text()),
                "it was compiled for something else: \"device\": \"i7\" instead of \"device\": \"i5\"",
            ),
            (|dir| std::os::unix::fs::symlink("/etc/passwd", dir.join("link")), "read it"),
        ];
        for (spoil, expected) in cases {
            let dir = entry();
            spoil(dir.path()).unwrap();
            let fault = check(dir.path(), &key()).unwrap_err().to_string();
            assert!(fault.starts_with(expected), "{fault} instead of {expected}");
        }
    }

    #[test]
    fn a_place_in_which_nothing_was_left_gets_no_seal() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(write(dir.path(), &key()).unwrap(), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
