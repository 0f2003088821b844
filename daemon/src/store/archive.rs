//! `.edgemodel`: a bundle as one file, tar within zstd. The manifest comes first and its signature second, so that whoever
//! unpacks knows who speaks and what is promised before the first weight is written; then the files in the manifest's
//! order. Two archives of one bundle are the same bytes.
//!
//! Nothing is taken on trust: names come from the manifest, sizes are held to it while they stream, the form's extensions
//! (long names, links, devices, sparse files) are refused unread, and memory stays below [`WINDOW_LOG`]'s window.
//!
//! What stands first is a [`Promise`]: a manifest here; what a box exports of its cache travels by the same rules.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use edge_engine::bundle::{Bundle, BundleError, FileEntry, MANIFEST, Manifest, ManifestError};
use sha2::{Digest, Sha256};

/// The signature's file.
pub const SIGNATURE: &str = "model.toml.minisig";
/// Largest manifest, bytes.
const MOST_MANIFEST: u64 = 1 << 20;
/// Largest signature, bytes.
const MOST_SIGNATURE: u64 = 64 << 10;
/// Logarithm of the largest window: what a reader keeps in memory, 8 MiB.
const WINDOW_LOG: u32 = 23;
/// Weights hardly shrink; more effort would gain a per cent.
const LEVEL: i32 = 6;
/// Most directories, which some programs put in; they are made as files need them.
const MOST_DIRECTORIES: usize = 4096;

/// Programs fill up the last block, of 10 KiB usually.
const MOST_PADDING: u64 = 1 << 20;

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{what} {}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("read the archive")]
    Read(#[source] io::Error),
    #[error("write the archive")]
    Write(#[source] io::Error),
    #[error("the archive begins with {found:?}; it must begin with {first}: {how}")]
    First { found: String, first: &'static str, how: &'static str },
    #[error("the archive is empty")]
    Empty,
    #[error("the archive's {file}")]
    Promise {
        file: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{name}: {what}")]
    Entry { name: String, what: String },
    #[error("{name} has {bytes} bytes, at most {most} are taken")]
    TooLarge { name: &'static str, bytes: u64, most: u64 },
    #[error("{name} has sha256 {found}, the manifest promises {expected}")]
    Digest { name: String, expected: String, found: String },
    #[error("the archive ends without {0}, which the manifest promises")]
    Missing(String),
    #[error(transparent)]
    Refused(Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// What stands first in an archive, and promises every file that follows.
pub trait Promise: Sized {
    /// Name of its own file.
    const FILE: &'static str;
    /// Name of the file with its signature.
    const SIGNATURE: &'static str;
    /// How such an archive is made.
    const HOW: &'static str;
    /// Why a text is none.
    type Fault: std::error::Error + Send + Sync + 'static;

    /// Reads it, and checks the names of the files.
    fn parse(text: &str) -> Result<Self, Self::Fault>;

    /// The files that follow.
    fn files(&self) -> &[FileEntry];
}

impl Promise for Manifest {
    const FILE: &'static str = MANIFEST;
    const SIGNATURE: &'static str = SIGNATURE;
    const HOW: &'static str = "pack it with `edgectl models pack`";
    type Fault = ManifestError;

    fn parse(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(text)
    }

    fn files(&self) -> &[FileEntry] {
        &self.file
    }
}

/// What such a file is called.
pub fn file_name(manifest: &Manifest) -> String {
    format!("{}-{}.edgemodel", manifest.name, manifest.version)
}

/// Packs a bundle, whose files were proven, and returns the archive's size. The file is there whole or not at all.
pub fn pack(opened: &Bundle, out: &Path) -> Result<u64, ArchiveError> {
    whole(out, |file| stream(opened, file))
}

/// Has `write` write a file that is there whole or not at all; returns its size.
pub fn whole(
    out: &Path,
    write: impl FnOnce(BufWriter<File>) -> Result<BufWriter<File>, ArchiveError>,
) -> Result<u64, ArchiveError> {
    let failed = |what| move |source| ArchiveError::File { what, path: out.to_owned(), source };
    let name = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if out.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        let source = io::Error::other("it is no regular file, and would be replaced");
        return Err(failed("write the archive to")(source));
    }
    let part = out.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = File::create(&part).map_err(failed("make")).and_then(|file| {
        write(BufWriter::new(file)).and_then(|mut file| {
            file.flush().and_then(|()| file.get_ref().sync_all()).map_err(failed("write"))?;
            file.get_ref().metadata().map(|found| found.len()).map_err(failed("look at"))
        })
    });
    match written {
        Ok(bytes) => std::fs::rename(&part, out).map_err(failed("rename the archive to")).map(|()| bytes),
        Err(error) => {
            // The first error is the one to tell; what is left over has a name of its own.
            let _ = std::fs::remove_file(&part);
            Err(error)
        }
    }
}

/// Packs a bundle into `out`.
pub fn stream<W: Write>(opened: &Bundle, out: W) -> Result<W, ArchiveError> {
    let mut packing = Packing::begin(out)?;
    let signature = opened.dir().join(SIGNATURE);
    let mut names = vec![MANIFEST];
    if signature.symlink_metadata().is_ok() {
        names.push(SIGNATURE);
    }
    names.extend(opened.manifest().file.iter().map(|file| file.path.as_str()));
    for name in names {
        let path = opened.dir().join(name);
        let failed = |source| ArchiveError::File { what: "pack", path: path.clone(), source };
        let file = File::open(&path).map_err(failed)?;
        packing.add(name, file.metadata().map_err(failed)?.len(), BufReader::new(file)).map_err(failed)?;
        // Whoever fetches it over a network can judge manifest and signature as soon as they have come.
        if name == MANIFEST || name == SIGNATURE {
            packing.flush()?;
        }
    }
    packing.finish()
}

/// An archive that is being written.
pub struct Packing<W: Write>(tar::Builder<zstd::Encoder<'static, W>>);

impl<W: Write> Packing<W> {
    /// Begins one.
    pub fn begin(out: W) -> Result<Packing<W>, ArchiveError> {
        let mut encoder = zstd::Encoder::new(out, LEVEL).map_err(ArchiveError::Write)?;
        encoder.window_log(WINDOW_LOG).map_err(ArchiveError::Write)?;
        encoder.include_checksum(true).map_err(ArchiveError::Write)?;
        Ok(Packing(tar::Builder::new(encoder)))
    }

    /// Adds a file of so many bytes. Nothing of when and by whom: two archives of the same files are the same bytes.
    pub fn add(&mut self, name: &str, bytes: u64, from: impl Read) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(bytes);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        self.0.append(&header, from)
    }

    /// What was added can be read from now on, also if nothing more comes for a while.
    pub fn flush(&mut self) -> Result<(), ArchiveError> {
        self.0.get_mut().flush().map_err(ArchiveError::Write)
    }

    /// Ends it.
    pub fn finish(self) -> Result<W, ArchiveError> {
        self.0.into_inner().and_then(|encoder| encoder.finish()).map_err(ArchiveError::Write)
    }
}

/// What stands at the head of an archive, before any file is written.
#[derive(Debug)]
pub struct Announced<'a, P = Manifest> {
    pub manifest: &'a P,
    /// The manifest's own bytes, which are signed.
    pub text: &'a str,
    /// The signature's text; `None` if there is none.
    pub signature: Option<&'a str>,
}

impl<P: Promise> Announced<'_, P> {
    /// Bytes on disk when it is unpacked.
    pub fn bytes(&self) -> u64 {
        let files = self.manifest.files().iter().map(|file| file.bytes).fold(0u64, u64::saturating_add);
        let own = self.text.len() + self.signature.map_or(0, str::len);
        files.saturating_add(own as u64)
    }
}

/// Unpacks an archive into the empty directory `dir`, in one pass: every file is held against its promised size and digest
/// while it is written, and is on the disk when this returns. `judge` is asked once, when manifest and signature are known
/// and nothing was written; what it refuses is not unpacked.
pub fn unpack<E: std::error::Error + Send + Sync + 'static>(
    from: impl Read,
    dir: &Path,
    judge: impl FnOnce(&Announced<'_>) -> Result<(), E>,
) -> Result<Manifest, ArchiveError> {
    unpack_as(from, dir, judge)
}

/// The same of an archive with another promise.
pub fn unpack_as<P: Promise, E: std::error::Error + Send + Sync + 'static>(
    from: impl Read,
    dir: &Path,
    judge: impl FnOnce(&Announced<'_, P>) -> Result<(), E>,
) -> Result<P, ArchiveError> {
    let mut decoder = zstd::Decoder::new(from).map_err(ArchiveError::Read)?;
    decoder.window_log_max(WINDOW_LOG).map_err(ArchiveError::Read)?;
    let mut archive = tar::Archive::new(decoder);
    let entries = archive.entries().map_err(ArchiveError::Read)?.raw(true);
    let mut unpacking = Unpacking { dir, judge: Some(judge), head: None, left: BTreeMap::new(), directories: 0 };
    for entry in entries {
        unpacking.take(entry.map_err(ArchiveError::Read)?)?;
    }
    // To its end, where the compressed form has its checksum: an archive that was cut has lost that at least.
    let rest = io::copy(&mut archive.into_inner().take(MOST_PADDING + 1), &mut io::sink());
    match rest.map_err(ArchiveError::Read)? {
        padding if padding <= MOST_PADDING => unpacking.finish(),
        _ => Err(ArchiveError::Entry { name: "the archive".into(), what: "more follows behind its end".into() }),
    }
}

/// Asks `judge` what it thinks of an archive, of which perhaps only the begin is there, and writes nothing.
pub fn peek<T>(from: impl Read, judge: impl FnOnce(&Announced<'_>) -> T) -> Result<T, ArchiveError> {
    let mut judged = None;
    let seen = |announced: &Announced<'_>| {
        judged = Some(judge(announced));
        Err(Seen)
    };
    let over = unpack(from, Path::new(""), seen);
    match (judged, over) {
        (Some(judged), _) => Ok(judged),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(ArchiveError::Empty),
    }
}

/// The end of a look at an archive.
#[derive(Debug, thiserror::Error)]
#[error("seen")]
struct Seen;

/// Manifest and signature of an archive, once they were read.
struct Head<P> {
    manifest: P,
    text: String,
    signature: Option<String>,
}

struct Unpacking<'a, J, P> {
    dir: &'a Path,
    /// Until it was asked.
    judge: Option<J>,
    head: Option<Head<P>>,
    /// Files that are still to come.
    left: BTreeMap<String, FileEntry>,
    directories: usize,
}

impl<E, J, P> Unpacking<'_, J, P>
where
    E: std::error::Error + Send + Sync + 'static,
    J: FnOnce(&Announced<'_, P>) -> Result<(), E>,
    P: Promise,
{
    fn take<R: Read>(&mut self, mut entry: tar::Entry<'_, R>) -> Result<(), ArchiveError> {
        let raw = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = raw.strip_prefix("./").unwrap_or(&raw).to_owned();
        let wrong = |what: &str| ArchiveError::Entry { name: raw.clone(), what: what.into() };
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            self.directories += 1;
            return match self.directories <= MOST_DIRECTORIES {
                true => Ok(()),
                false => Err(wrong("too many directories")),
            };
        }
        if !matches!(kind, tar::EntryType::Regular) {
            return Err(wrong(&refused(kind, P::HOW)));
        }
        let Some(head) = &mut self.head else {
            if name != P::FILE {
                return Err(ArchiveError::First { found: raw, first: P::FILE, how: P::HOW });
            }
            let text = text(&mut entry, P::FILE, MOST_MANIFEST)?;
            let manifest =
                P::parse(&text).map_err(|source| ArchiveError::Promise { file: P::FILE, source: Box::new(source) })?;
            self.left = manifest.files().iter().map(|file| (file.path.clone(), file.clone())).collect();
            self.head = Some(Head { manifest, text, signature: None });
            return Ok(());
        };
        if name == P::SIGNATURE && self.judge.is_some() && head.signature.is_none() {
            head.signature = Some(text(&mut entry, P::SIGNATURE, MOST_SIGNATURE)?);
            return Ok(());
        }
        self.announce()?;
        let Some(promised) = self.left.remove(&name) else {
            let known =
                self.head.as_ref().is_some_and(|head| head.manifest.files().iter().any(|file| file.path == name));
            let behind = format!("must come right behind {}: {}", P::FILE, P::HOW);
            return Err(wrong(match name.as_str() {
                name if known || name == P::FILE => "stands in the archive twice",
                name if name == P::SIGNATURE => &behind,
                _ => "the manifest does not name this file",
            }));
        };
        if entry.size() != promised.bytes {
            let what = format!("{} bytes, the manifest promises {}", entry.size(), promised.bytes);
            return Err(wrong(&what));
        }
        self.write(&mut entry, &promised)
    }

    /// Asks the judge, and writes what he has seen.
    fn announce(&mut self) -> Result<(), ArchiveError> {
        let (Some(judge), Some(head)) = (self.judge.take(), &self.head) else { return Ok(()) };
        let announced = Announced { manifest: &head.manifest, text: &head.text, signature: head.signature.as_deref() };
        judge(&announced).map_err(|error| ArchiveError::Refused(Box::new(error)))?;
        let texts = [(P::FILE, Some(&head.text)), (P::SIGNATURE, head.signature.as_ref())];
        for (name, text) in texts {
            let Some(text) = text else { continue };
            put(&self.dir.join(name), &mut text.as_bytes())?;
        }
        Ok(())
    }

    fn write(&self, from: &mut impl Read, promised: &FileEntry) -> Result<(), ArchiveError> {
        let path = self.dir.join(&promised.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|source| ArchiveError::File {
                what: "make",
                path: parent.to_owned(),
                source,
            })?;
        }
        let mut hashed = Hashed::new(from);
        put(&path, &mut hashed)?;
        let found = hashed.digest();
        match found == promised.sha256 {
            true => Ok(()),
            false => {
                Err(ArchiveError::Digest { name: promised.path.clone(), expected: promised.sha256.clone(), found })
            }
        }
    }

    fn finish(mut self) -> Result<P, ArchiveError> {
        self.announce()?;
        let head = self.head.ok_or(ArchiveError::Empty)?;
        match self.left.into_keys().next() {
            Some(missing) => Err(ArchiveError::Missing(missing)),
            None => Ok(head.manifest),
        }
    }
}

fn refused(kind: tar::EntryType, how: &str) -> String {
    let plain = match kind {
        tar::EntryType::Symlink | tar::EntryType::Link => "a link: only files are taken",
        tar::EntryType::Char | tar::EntryType::Block => "a device: only files are taken",
        tar::EntryType::Fifo => "a pipe: only files are taken",
        tar::EntryType::GNUSparse => return format!("a file with holes: {how}"),
        _ => return format!("an extension of the form (a long name, for example): {how}"),
    };
    plain.into()
}

/// A text of the archive, of bounded size.
fn text<R: Read>(entry: &mut tar::Entry<'_, R>, name: &'static str, most: u64) -> Result<String, ArchiveError> {
    let bytes = entry.size();
    if bytes > most {
        return Err(ArchiveError::TooLarge { name, bytes, most });
    }
    let mut text = String::new();
    entry.read_to_string(&mut text).map_err(ArchiveError::Read)?;
    Ok(text)
}

/// Writes a new file, and returns when it is on the disk.
fn put(path: &Path, from: &mut impl Read) -> Result<(), ArchiveError> {
    let failed = |what| move |source| ArchiveError::File { what, path: path.to_owned(), source };
    let mut out = File::options().write(true).create_new(true).open(path).map_err(failed("make"))?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        // Which side failed is worth knowing: a full disk is not a broken archive.
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ArchiveError::Read(error)),
        };
        out.write_all(buffer.get(..read).unwrap_or_default()).map_err(failed("write"))?;
    }
    out.sync_all().map_err(failed("write"))
}

/// Passes bytes on, and counts them into a digest.
pub struct Hashed<'a, R> {
    from: &'a mut R,
    hash: Sha256,
}

impl<'a, R> Hashed<'a, R> {
    /// Passes on what `from` gives.
    pub fn new(from: &'a mut R) -> Hashed<'a, R> {
        Hashed { from, hash: Sha256::new() }
    }

    /// The digest of all that was passed on, lower-case hexadecimal.
    pub fn digest(self) -> String {
        self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.hash.update(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// A bundle to look at: a directory as it is, or an archive, unpacked into one that goes away with this value.
#[derive(Debug)]
pub struct Opened {
    dir: PathBuf,
    temporary: bool,
}

impl Opened {
    /// The bundle's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.temporary {
            // What is left in the directory for temporary files is the system's to clear.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Opens the directory or archive at `path`, whoever signed it.
pub fn opened(path: &Path) -> Result<Opened, ArchiveError> {
    if path.is_dir() {
        return Ok(Opened { dir: path.to_owned(), temporary: false });
    }
    let failed = |source| ArchiveError::File { what: "open", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let dir = std::env::temp_dir().join(format!("edged-bundle-{}", std::process::id()));
    std::fs::create_dir(&dir).map_err(|source| ArchiveError::File { what: "make", path: dir.clone(), source })?;
    let opened = Opened { dir, temporary: true };
    unpack(BufReader::new(file), &opened.dir, |_| Ok::<(), std::convert::Infallible>(()))?;
    Ok(opened)
}

#[cfg(test)]
mod tests;
