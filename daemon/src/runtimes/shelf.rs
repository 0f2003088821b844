//! The directory of installed runtimes: one directory each, a link `current` to the one that is used and a link `previous` to the
//! one before. Every change takes effect by one rename, so that whoever is killed leaves the state before or after it; what was
//! half there has a name of its own, which the next run takes away. Without `current` the package's runtime is used.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use edge_engine::library::CURRENT;
use edge_wire::runtime::{InstalledRuntime, Removed, Switched};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The link to the one that can be gone back to.
const PREVIOUS: &str = "previous";
/// What a runtime's directory says of itself.
const RECORD: &str = "runtime.json";
/// How names of unfinished things begin.
const UNFINISHED: &str = ".part-";
/// Held by whoever changes something.
const LOCK: &str = ".work";
/// Most runtimes that are listed.
const MOST: usize = 64;
/// Longest record, bytes.
const RECORD_BYTES: u64 = 256 << 10;

/// Why the directory cannot be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    #[error("{what} {}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is being worked on by another run", dir.display())]
    Busy { dir: PathBuf },
    #[error("there is no runtime {id}; there are {}", there(.known))]
    Unknown { id: String, known: Vec<String> },
    #[error("the runtime {id} is the current one: `edgectl runtime rollback` first")]
    Current { id: String },
    #[error(
        "unpacking takes {} MiB on the disk of {}, which has {} MiB left: make room there (nothing was changed)",
        needs >> 20,
        dir.display(),
        has >> 20
    )]
    Room { dir: PathBuf, needs: u64, has: u64 },
}

fn there(known: &[String]) -> String {
    if known.is_empty() { "none".into() } else { known.join(", ") }
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ShelfError {
    let path = path.to_owned();
    move |source| ShelfError::File { what, path, source }
}

/// The directory.
#[derive(Debug)]
pub struct Shelf {
    dir: PathBuf,
}

/// The directory while nobody else changes it.
#[derive(Debug)]
pub struct Held<'a> {
    shelf: &'a Shelf,
    _lock: File,
}

/// A directory that becomes a runtime, or goes.
#[derive(Debug)]
pub struct Stage<'a> {
    held: &'a Held<'a>,
    path: PathBuf,
}

impl Shelf {
    /// The one at this place, which need not be there.
    pub fn at(dir: &Path) -> Shelf {
        Shelf { dir: dir.to_owned() }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Everything that is installed, in the order of names.
    pub fn list(&self) -> Vec<InstalledRuntime> {
        let (current, previous) = (self.link(CURRENT), self.link(PREVIOUS));
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
            entry.file_type().is_ok_and(|kind| kind.is_dir()).then_some(name)
        });
        let mut names: Vec<String> = names.take(MOST).collect();
        names.sort();
        let runtime = |id: String| {
            let path = self.dir.join(&id);
            let record = read(&path.join(RECORD)).and_then(|text| serde_json::from_str(&text).ok());
            let record: InstalledRuntime = record.unwrap_or_default();
            let is = |link: &Option<String>| link.as_deref() == Some(&id);
            let (current, previous) = (is(&current), is(&previous) && !is(&current));
            InstalledRuntime { path: path.display().to_string(), id, current, previous, ..record }
        };
        names.into_iter().map(runtime).collect()
    }

    /// The name that a link leads to.
    fn link(&self, name: &str) -> Option<String> {
        fs::read_link(self.dir.join(name)).ok()?.to_str().map(str::to_owned)
    }

    /// Takes it for a change, makes it where it is not there, and takes away what earlier runs left.
    pub fn hold(&self) -> Result<Held<'_>, ShelfError> {
        fs::create_dir_all(&self.dir).map_err(file("make", &self.dir))?;
        let path = self.dir.join(LOCK);
        let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = opened.map_err(file("open", &path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(ShelfError::Busy { dir: self.dir.clone() }),
            Err(errno) => return Err(file("lock", &path)(errno.into())),
        }
        let held = Held { shelf: self, _lock: lock };
        held.clean();
        Ok(held)
    }
}

impl Held<'_> {
    /// Removes what was never finished, and what was to be removed.
    fn clean(&self) {
        for entry in fs::read_dir(&self.shelf.dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // What cannot be removed now hinders nothing, and is tried again at the next run.
                let _ = discard(&entry.path());
            }
        }
    }

    /// A fresh directory, on whose disk there is room for so many bytes.
    pub fn stage(&self, bytes: u64) -> Result<Stage<'_>, ShelfError> {
        /// Left over for records and for whoever else writes there.
        const RESERVE: u64 = 16 << 20;
        let dir = &self.shelf.dir;
        let disk = rustix::fs::statvfs(dir).map_err(|errno| file("ask for room on the disk of", dir)(errno.into()))?;
        let (needs, has) = (bytes.saturating_add(RESERVE), disk.f_bavail.saturating_mul(disk.f_frsize));
        if has < needs {
            return Err(ShelfError::Room { dir: dir.clone(), needs, has });
        }
        let path = dir.join(format!("{UNFINISHED}{}", std::process::id()));
        fs::create_dir(&path).map_err(file("make", &path))?;
        Ok(Stage { held: self, path })
    }

    /// Makes another one the current one, and another one that before it; empty for the package's.
    pub fn switch(&self, to: &str, previous: &str) -> Result<Switched, ShelfError> {
        let known: Vec<String> = self.shelf.list().into_iter().map(|runtime| runtime.id).collect();
        for id in [to, previous].into_iter().filter(|id| !id.is_empty()) {
            if !known.iter().any(|other| other == id) {
                return Err(ShelfError::Unknown { id: id.into(), known });
            }
        }
        let was = |link| self.shelf.link(link).unwrap_or_default();
        let (was_current, was_previous) = (was(CURRENT), was(PREVIOUS));
        // The way back first: whoever is killed between has not switched yet.
        self.lead(PREVIOUS, previous)?;
        self.lead(CURRENT, to)?;
        Ok(Switched { current: to.into(), previous: previous.into(), was_current, was_previous })
    }

    /// Lets a link lead to a runtime, at one instant; takes it away for the package's.
    fn lead(&self, link: &str, to: &str) -> Result<(), ShelfError> {
        let dir = &self.shelf.dir;
        let path = dir.join(link);
        let led = if to.is_empty() {
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                done => done,
            }
        } else {
            let fresh = dir.join(format!("{UNFINISHED}{link}-{}", std::process::id()));
            symlink(to, &fresh).and_then(|()| fs::rename(&fresh, &path))
        };
        led.and_then(|()| sync(dir)).map_err(file("set the link", &path))
    }

    /// Removes one that is not current.
    pub fn remove(&self, id: &str) -> Result<Removed, ShelfError> {
        let all = self.shelf.list();
        let known = || all.iter().map(|runtime| runtime.id.clone()).collect();
        match all.iter().find(|runtime| runtime.id == id) {
            None => Err(ShelfError::Unknown { id: id.into(), known: known() }),
            Some(runtime) if runtime.current => Err(ShelfError::Current { id: id.into() }),
            Some(runtime) => {
                if runtime.previous {
                    self.lead(PREVIOUS, "")?;
                }
                self.take_away(id)?;
                Ok(Removed { removed: vec![id.into()], faults: Vec::new() })
            }
        }
    }

    /// Removes all but the current one and the one before.
    pub fn prune(&self) -> Removed {
        let mut done = Removed::default();
        for runtime in self.shelf.list().into_iter().filter(|runtime| !runtime.current && !runtime.previous) {
            match self.take_away(&runtime.id) {
                Ok(()) => done.removed.push(runtime.id),
                Err(error) => done.faults.push(crate::driver::chain(&error)),
            }
        }
        done
    }

    fn take_away(&self, id: &str) -> Result<(), ShelfError> {
        let (from, to) = (self.shelf.dir.join(id), self.shelf.dir.join(format!("{UNFINISHED}{id}")));
        let gone = fs::rename(&from, &to).and_then(|()| discard(&to));
        gone.map_err(file("remove", &from))
    }
}

impl Stage<'_> {
    /// Where it is for now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it the runtime of this record, at one instant.
    pub fn admit(self, record: &InstalledRuntime) -> Result<InstalledRuntime, ShelfError> {
        let dir = self.held.shelf.dir();
        let place = dir.join(&record.id);
        let record = InstalledRuntime { path: place.display().to_string(), ..record.clone() };
        let note = self.path.join(RECORD);
        let text = serde_json::to_string_pretty(&record).unwrap_or_default();
        let written = File::create(&note).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.and_then(|()| sync(&self.path)).map_err(file("write", &note))?;
        let moved = fs::rename(&self.path, &place).and_then(|()| sync(dir));
        moved.map_err(file("put it at", &place))?;
        Ok(record)
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // After it was admitted there is nothing at this place any more.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes a directory, or a link.
fn discard(path: &Path) -> io::Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn read(path: &Path) -> Option<String> {
    use io::Read as _;
    let mut text = String::new();
    File::open(path).ok()?.take(RECORD_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests;
