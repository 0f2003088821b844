//! A wheel of ONNX Runtime as it comes: a zip file by strangers. Says what is in it, and takes the libraries out; nothing else of
//! it is ever written. Must not know whether they fit this box.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use zip::ZipArchive;
use zip::result::ZipError;

/// Most files in a wheel; ONNX Runtime's have about 500.
const MOST_ENTRIES: usize = 20_000;
/// Largest library. That of CUDA with kernels for every card has less than one gigabyte.
const MOST_BYTES: u64 = 3 << 30;
/// Most that all libraries take together.
const MOST_TOTAL: u64 = 6 << 30;
/// Most libraries that are taken out.
const MOST_LIBRARIES: usize = 32;
/// Libraries shrink to a fourth in a wheel; what swells more than this is no library.
const MOST_SWELL: u64 = 100;
/// Longest metadata that is read, bytes.
const METADATA: u64 = 1 << 20;
/// Where ONNX Runtime has its libraries in a wheel.
const LIBRARIES: &str = "onnxruntime/capi/";
/// What they are called.
const LIBRARY: &str = "libonnxruntime.so";
const PROVIDER: &str = "libonnxruntime_providers_";

/// Why a file is no wheel of ONNX Runtime, or cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    #[error("open {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{} is no wheel: it cannot be read as a zip file, or was cut short", path.display())]
    NoZip { path: PathBuf, source: ZipError },
    #[error("{} is no wheel: {what}", path.display())]
    NoWheel { path: PathBuf, what: &'static str },
    #[error("{} has {found} files, more than the {MOST_ENTRIES} that a wheel may have", path.display())]
    Entries { path: PathBuf, found: usize },
    #[error("{} is a wheel of {name}, not of ONNX Runtime (onnxruntime-gpu, onnxruntime)", path.display())]
    Other { path: PathBuf, name: String },
    #[error("{}: the file {entry:?} in it {what}: this is no honest wheel", path.display())]
    Entry { path: PathBuf, entry: String, what: String },
    #[error(
        "{} has no {LIBRARIES}{LIBRARY}*: wheels of ONNX Runtime for Linux have it since 1.17; is it one for another system?",
        path.display()
    )]
    NoLibrary { path: PathBuf },
    #[error("write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// One library in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Place in the archive.
    at: usize,
    /// File name, without directories.
    pub name: String,
    /// Its size as the archive promises it.
    pub bytes: u64,
}

/// A wheel whose names and sizes were looked at.
#[derive(Debug)]
pub struct Wheel {
    archive: ZipArchive<File>,
    path: PathBuf,
    /// As the metadata says.
    pub version: String,
    /// ONNX Runtime's own first.
    pub libraries: Vec<Entry>,
}

impl Wheel {
    /// Looks at a wheel; reads its table and its metadata only.
    pub fn open(path: &Path) -> Result<Wheel, WheelError> {
        let here = || path.to_owned();
        let file = File::open(path).map_err(|source| WheelError::Open { path: here(), source })?;
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return Err(WheelError::NoWheel { path: here(), what: "it is no file" });
        }
        let mut archive = ZipArchive::new(file).map_err(|source| WheelError::NoZip { path: here(), source })?;
        if archive.len() > MOST_ENTRIES {
            return Err(WheelError::Entries { path: here(), found: archive.len() });
        }
        let (name, version) = identity(&mut archive, path)?;
        if name != "onnxruntime" && !name.starts_with("onnxruntime-") {
            return Err(WheelError::Other { path: here(), name });
        }
        let libraries = libraries(&mut archive, path)?;
        if !libraries.first().is_some_and(|first| first.name.starts_with(LIBRARY)) {
            return Err(WheelError::NoLibrary { path: here() });
        }
        Ok(Wheel { archive, path: here(), version, libraries })
    }

    /// Bytes of all its libraries, as it promises them.
    pub fn bytes(&self) -> u64 {
        self.libraries.iter().map(|entry| entry.bytes).sum()
    }

    /// Takes the libraries out, into a directory of nobody else. Writes no more than was promised, and makes the disk keep it.
    pub fn unpack(&mut self, into: &Path) -> Result<(), WheelError> {
        for entry in self.libraries.clone() {
            self.take(&entry, &into.join(&entry.name))?;
        }
        let synced = File::open(into).and_then(|dir| dir.sync_all());
        synced.map_err(|source| WheelError::Write { path: into.to_owned(), source })
    }

    fn take(&mut self, entry: &Entry, to: &Path) -> Result<(), WheelError> {
        let bad =
            |path: &Path, what: String| WheelError::Entry { path: path.to_owned(), entry: entry.name.clone(), what };
        let path = self.path.clone();
        let member = self.archive.by_index(entry.at).map_err(|error| bad(&path, format!("cannot be read: {error}")))?;
        let mut member = member.take(entry.bytes.saturating_add(1));
        let failed = |source| WheelError::Write { path: to.to_owned(), source };
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(to).map_err(failed)?;
        let mut buffer = vec![0; 256 << 10];
        let (mut written, mut begun) = (0_u64, false);
        loop {
            let read = match member.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                // What the disk says comes from the write; this is what the archive says of itself.
                Err(error) => return Err(bad(&path, format!("cannot be read: {error}"))),
            };
            let some = buffer.get(..read).unwrap_or_default();
            if !begun && !some.starts_with(b"\x7fELF") {
                return Err(bad(&path, "is no library (no ELF file)".into()));
            }
            begun = true;
            written += some.len() as u64;
            if written > entry.bytes {
                return Err(bad(&path, format!("is larger than the {} bytes that it promises", entry.bytes)));
            }
            file.write_all(some).map_err(failed)?;
        }
        if written != entry.bytes {
            return Err(bad(&path, format!("has {written} bytes of the {} that it promises", entry.bytes)));
        }
        file.sync_all().map_err(failed)
    }
}

/// SHA-256 of a whole file, in hexadecimal digits.
pub fn digest(path: &Path) -> Result<String, WheelError> {
    let opened = |source| WheelError::Open { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(opened)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).map_err(opened)? {
            0 => break,
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Name and version by its metadata.
fn identity(archive: &mut ZipArchive<File>, path: &Path) -> Result<(String, String), WheelError> {
    let no = |what| WheelError::NoWheel { path: path.to_owned(), what };
    let is_metadata = |name: &&str| name.ends_with(".dist-info/METADATA") && name.matches('/').count() == 1;
    let Some(name) = archive.file_names().find(is_metadata).map(str::to_owned) else {
        return Err(no("it has no metadata (NAME.dist-info/METADATA)"));
    };
    let mut text = String::new();
    let member = archive.by_name(&name).map_err(|source| WheelError::NoZip { path: path.to_owned(), source })?;
    if member.take(METADATA).read_to_string(&mut text).is_err() {
        return Err(no("its metadata cannot be read"));
    }
    let of = |key: &str| {
        // The head ends with the first empty line; behind it is the description.
        let mut head = text.lines().take_while(|line| !line.is_empty());
        head.find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(|value| value.trim().to_owned())
    };
    match (of("Name"), of("Version")) {
        (Some(name), Some(version)) if is_version(&version) => Ok((normal(&name), version)),
        _ => Err(no("its metadata do not say which package and version it is")),
    }
}

/// `Onnxruntime_GPU` is `onnxruntime-gpu`.
fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// What may become part of a directory's name.
fn is_version(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+-_".contains(&byte);
    text.len() <= 64 && text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(plain)
}

/// The libraries that are taken out. A name that leads out of the place where it is unpacked, or a link, is no accident, even
/// where nothing is taken of it.
fn libraries(archive: &mut ZipArchive<File>, path: &Path) -> Result<Vec<Entry>, WheelError> {
    let bad = |entry: &str, what: String| WheelError::Entry { path: path.to_owned(), entry: entry.into(), what };
    let (mut found, mut names, mut total) = (Vec::new(), BTreeSet::new(), 0_u64);
    for at in 0..archive.len() {
        let member = archive.by_index_raw(at).map_err(|source| WheelError::NoZip { path: path.to_owned(), source })?;
        let full = member.name().to_owned();
        if member.enclosed_name().is_none() || full.starts_with('/') || full.contains('\\') {
            return Err(bad(&full, "leads out of the directory that it belongs to".into()));
        }
        if member.is_symlink() {
            return Err(bad(&full, "is a link".into()));
        }
        let Some(name) = full.strip_prefix(LIBRARIES).filter(|name| is_wanted(name)) else { continue };
        let (bytes, packed) = (member.size(), member.compressed_size());
        if member.encrypted() {
            return Err(bad(&full, "is encrypted".into()));
        }
        total = total.saturating_add(bytes);
        if bytes > MOST_BYTES || total > MOST_TOTAL {
            return Err(bad(
                &full,
                format!("has {bytes} bytes, more than a library may have ({MOST_BYTES}, all {MOST_TOTAL})"),
            ));
        }
        if bytes > packed.saturating_mul(MOST_SWELL) {
            return Err(bad(&full, format!("would swell from {packed} bytes to {bytes}")));
        }
        if !names.insert(name.to_owned()) || names.len() > MOST_LIBRARIES {
            return Err(bad(&full, "is there twice, or is one of too many libraries".into()));
        }
        found.push(Entry { at, name: name.to_owned(), bytes });
    }
    found.sort_by_key(|entry| (!entry.name.starts_with(LIBRARY), entry.name.clone()));
    Ok(found)
}

/// `libonnxruntime.so.1.24.0`, `libonnxruntime_providers_cuda.so`.
fn is_wanted(name: &str) -> bool {
    let own = name.strip_prefix(LIBRARY).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let provider = name.strip_prefix(PROVIDER).is_some_and(|rest| rest.ends_with(".so"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (own || provider) && name.len() <= 128 && name.bytes().all(plain)
}

#[cfg(test)]
mod tests;
