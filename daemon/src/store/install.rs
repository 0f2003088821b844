//! Puts a bundle into the store, or takes one out, so that at any instant it is there whole or not at all: it is unpacked
//! beside the others under a hidden name, every file synchronised, and gets its place by one rename. What a crash leaves
//! over has a hidden name, and goes at the next start.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::SystemTime;

use edge_engine::bundle::{self, Manifest};

use super::archive::{self, Announced, ArchiveError, SIGNATURE};
use super::records::{RecordError, sync_dir};
use super::trust::{Trust, TrustError};
use crate::config::ModelsConfig;

/// Begin of the names of what is being put in.
const STAGED: &str = ".staged-";
/// Begin of the names of what is being taken out.
const REMOVED: &str = ".removed-";

/// Why a bundle was not put in, or taken out.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("there is no directory to install into: set `models.dirs`")]
    NoPlace,
    #[error("{what} {}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("bundle: takes a file that is a .edgemodel, and nothing that has no size")]
    NoFile,
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("{name}:{version} is installed already, with other content: give it another version")]
    Other { name: String, version: String },
    #[error("it takes {needed} MiB, and {free} MiB are left: {setting}")]
    NoRoom { needed: u64, free: u64, setting: String },
    #[error("cancelled")]
    Cancelled,
}

/// What a thread that installs and those who watch it share.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    cancelled: Arc<AtomicBool>,
    percent: Arc<AtomicU8>,
}

impl Watched {
    /// It is to be given up.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// How far it is, of 100.
    pub fn percent(&self) -> u8 {
        self.percent.load(Ordering::Relaxed)
    }

    /// It is at so many of so many bytes.
    pub fn is_at(&self, done: u64, of: u64) {
        let percent = u8::try_from(done.saturating_mul(99) / of.max(1)).unwrap_or(99).min(99);
        self.percent.store(percent, Ordering::Relaxed);
    }

    /// Whether it is to be given up.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// What was put in.
#[derive(Debug)]
pub struct Installed {
    pub dir: PathBuf,
    /// The very same bundle was there before, and nothing was written.
    pub before: bool,
}

/// Where bundles are installed: the first directory of models.
pub fn place(config: &ModelsConfig) -> Result<&Path, InstallError> {
    config.dirs.first().map(PathBuf::as_path).ok_or(InstallError::NoPlace)
}

/// Reads an archive out of `from`, and puts its bundle into the store. Takes as long as reading, hashing and writing it.
/// `before_place` is done when all of it is right, just before it gets its place.
pub fn install(
    from: OwnedFd,
    config: &ModelsConfig,
    now: SystemTime,
    watched: &Watched,
    before_place: impl FnOnce(&Manifest) -> Result<(), RecordError>,
) -> Result<Installed, InstallError> {
    let root = place(config)?;
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::File { what, path, source }
    };
    let file = File::from(from);
    let found = file.metadata().map_err(failed("look at", Path::new("the bundle")))?;
    if !found.is_file() {
        return Err(InstallError::NoFile);
    }
    std::fs::create_dir_all(root).map_err(failed("make", root))?;
    let trust = Trust::read(config)?;
    let staged = root.join(format!("{STAGED}{:016x}", number_of(&file)));
    std::fs::create_dir(&staged).map_err(failed("make", &staged))?;
    let counted = Counted::new(file, found.len(), watched.clone());
    let judge = |announced: &Announced<'_>| judge(announced, &trust, config, root, now);
    let done = archive::unpack(io::BufReader::with_capacity(256 << 10, counted), &staged, judge)
        .map_err(InstallError::from)
        .and_then(|manifest| {
            before_place(&manifest)?;
            settle(&staged, root, &manifest)
        });
    if done.as_ref().map_or(true, |installed| installed.before) {
        // The first error is the one to tell; what is left over goes at the next start.
        let _ = std::fs::remove_dir_all(&staged);
    }
    match done {
        Err(_) if watched.is_cancelled() => Err(InstallError::Cancelled),
        done => done,
    }
}

/// Whether a bundle may be unpacked: somebody trusted signed it, and there is room for it.
fn judge(
    announced: &Announced<'_>,
    trust: &Trust,
    config: &ModelsConfig,
    root: &Path,
    now: SystemTime,
) -> Result<(), InstallError> {
    trust.judge(announced.text, announced.signature, now)?;
    within_quota(announced.bytes(), config)?;
    fits_disk(announced.bytes(), root, config)
}

/// The same before the whole archive is there; `Some` is the directory of the very same bundle, if it is in the store.
pub fn foresee(
    announced: &Announced<'_>,
    config: &ModelsConfig,
    now: SystemTime,
) -> Result<Option<PathBuf>, InstallError> {
    let root = place(config)?;
    let failed = |source| InstallError::File { what: "make", path: root.to_owned(), source };
    std::fs::create_dir_all(root).map_err(failed)?;
    let dir = root.join(format!("{}-{}", announced.manifest.name, announced.manifest.version));
    if bundle::read_text(&dir.join(bundle::MANIFEST), 1 << 20).is_ok_and(|text| text == announced.text) {
        Trust::read(config)?.judge(announced.text, announced.signature, now)?;
        return Ok(Some(dir));
    }
    judge(announced, &Trust::read(config)?, config, root, now).map(|()| None)
}

fn no_room(needed: u64, free: u64, setting: String) -> InstallError {
    InstallError::NoRoom { needed: needed.div_ceil(1 << 20), free: free >> 20, setting }
}

/// Whether installed bundles may take so many bytes more.
pub fn within_quota(needed: u64, config: &ModelsConfig) -> Result<(), InstallError> {
    let within = config.quota_bytes.saturating_sub(used(place(config)?));
    let quota = config.quota_bytes >> 20;
    match needed > within {
        true => Err(no_room(needed, within, format!("remove models, or raise `models.quota_mib` ({quota})"))),
        false => Ok(()),
    }
}

/// Whether the disk of `at` has so many bytes beside what is left free.
pub fn fits_disk(needed: u64, at: &Path, config: &ModelsConfig) -> Result<(), InstallError> {
    let failed = |errno: rustix::io::Errno| InstallError::File {
        what: "ask for the free space of",
        path: at.to_owned(),
        source: errno.into(),
    };
    let disk = rustix::fs::statvfs(at).map_err(failed)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(config.reserve_bytes);
    let reserve = config.reserve_bytes >> 20;
    let setting = || format!("the disk is full, beside what is left free (`models.disk_reserve_mib` {reserve})");
    if needed > free { Err(no_room(needed, free, setting())) } else { Ok(()) }
}

/// Gives an unpacked bundle its place.
fn settle(staged: &Path, root: &Path, manifest: &Manifest) -> Result<Installed, InstallError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::File { what, path, source }
    };
    let dir = root.join(format!("{}-{}", manifest.name, manifest.version));
    for below in directories(staged) {
        sync_dir(&below).map_err(failed("write", &below))?;
    }
    if dir.symlink_metadata().is_ok() {
        let same = |name: &str| {
            let read = |dir: &Path| bundle::read_text(&dir.join(name), 1 << 20).ok();
            read(staged) == read(&dir)
        };
        return match same(bundle::MANIFEST) {
            // The same, and signed since, or by another key: the signature that was just found good holds from now on.
            true if staged.join(SIGNATURE).is_file() && !same(SIGNATURE) => {
                let (from, to) = (staged.join(SIGNATURE), dir.join(SIGNATURE));
                std::fs::rename(from, &to).map_err(failed("put in place", &to))?;
                sync_dir(&dir).map_err(failed("write", &dir))?;
                Ok(Installed { dir, before: true })
            }
            true => Ok(Installed { dir, before: true }),
            false => Err(InstallError::Other { name: manifest.name.clone(), version: manifest.version.clone() }),
        };
    }
    std::fs::rename(staged, &dir).map_err(failed("put in place", &dir))?;
    sync_dir(root).map_err(failed("write", root))?;
    Ok(Installed { dir, before: false })
}

/// Takes the bundle in `dir` out of the store; one that lies elsewhere is left alone.
pub fn remove(dir: &Path, config: &ModelsConfig) -> Result<(), InstallError> {
    let root = place(config)?;
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::File { what, path, source }
    };
    let own = dir.file_name().filter(|_| dir.parent() == Some(root));
    let Some(name) = own else {
        let source = io::Error::other(format!("it is not in {}, where bundles are installed", root.display()));
        return Err(failed("remove", dir)(source));
    };
    let gone = root.join(format!("{REMOVED}{}", name.to_string_lossy()));
    match std::fs::remove_dir_all(&gone) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("clear", &gone)(error)),
        _ => {}
    }
    std::fs::rename(dir, &gone).map_err(failed("take out", dir))?;
    if let Err(error) = sync_dir(root) {
        // Nobody knows which of both a power cut would leave: it is as before, for now.
        std::fs::rename(&gone, dir).map_err(failed("put back", dir))?;
        return Err(failed("write", root)(error));
    }
    if let Err(error) = std::fs::remove_dir_all(&gone) {
        // It is out of the store; what is left over goes at the next start.
        tracing::error!(path = %gone.display(), %error, "what is left of a bundle could not be removed");
    }
    Ok(())
}

/// Removes what an end in the middle has left over.
pub fn clear(config: &ModelsConfig) -> Vec<String> {
    let Some(entries) = place(config).ok().and_then(|root| std::fs::read_dir(root).ok()) else { return Vec::new() };
    let left = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with(STAGED) || name.starts_with(REMOVED)
    });
    let failed = |path: PathBuf| {
        let removed = std::fs::remove_dir_all(&path);
        removed.err().map(|error| format!("remove {}: {error}", path.display()))
    };
    left.filter_map(failed).collect()
}

/// Bytes of all files of installed bundles, as their manifests tell them; what cannot be read counts nothing.
fn used(root: &Path) -> u64 {
    let entries = std::fs::read_dir(root).into_iter().flatten().filter_map(Result::ok);
    let bundles = entries.filter_map(|entry| bundle::open(&entry.path()).ok());
    bundles.flat_map(|opened| opened.manifest().file.clone()).map(|file| file.bytes).fold(0, u64::saturating_add)
}

/// A directory and all below it, the lowest first.
fn directories(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut all: Vec<PathBuf> = below.flat_map(|entry| directories(&entry.path())).collect();
    all.push(dir.to_owned());
    all
}

/// A number that no two installs share that run at once: by process, descriptor and file.
fn number_of(file: &File) -> u64 {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::MetadataExt as _;
    let inode = file.metadata().map_or(0, |found| found.ino());
    let fd = u64::try_from(file.as_raw_fd()).unwrap_or(0);
    inode.rotate_left(24) ^ (u64::from(std::process::id()) << 32) ^ fd
}

/// An archive that is being read: tells how far it is, and ends when it is to be given up.
pub struct Counted {
    from: File,
    read: u64,
    size: u64,
    watched: Watched,
}

impl Counted {
    /// A file of so many bytes.
    pub fn new(from: File, size: u64, watched: Watched) -> Counted {
        Counted { from, read: 0, size, watched }
    }
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.watched.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        // From its begin on, wherever whoever sent the descriptor has read or written last.
        let read = self.from.read_at(into, self.read)?;
        self.read = self.read.saturating_add(read as u64);
        self.watched.is_at(self.read, self.size);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
