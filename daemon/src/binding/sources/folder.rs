//! A folder whose files are frames. Each is read when it is complete, in the order of the names, and goes when its answer is
//! safe: after a crash it lies there still, and comes again.
//!
//! The kernel tells of files that were closed or moved here (inotify), so that these are taken at once. The folder is listed
//! every second all the same: network disks tell of nothing, and what lay there before was told to nobody.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edge_core::Mono;
use edge_core::inbox::Stamp;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{AtFlags, CWD, RenameFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::shelf::Shelf;
use super::{Fate, Frame, Outlet, pause};
use crate::binding::reference::file::{self, FileError};
use crate::config::bindings::{After, Folder};
use crate::driver::chain;

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// After the kernel told of a file others may follow at once.
const GATHER: Duration = Duration::from_millis(20);
/// Files that are known at once; the others come when these have gone.
const MOST: usize = 4096;

/// What a source is called by what the stars of the pattern stood for.
pub type Naming = Arc<dyn Fn(&[&str]) -> String + Send + Sync>;

/// Gives the files until nobody takes them any more; `ahead` of them may be under way at once.
pub async fn run(outlet: Outlet, folder: Folder, ahead: usize, naming: Naming) {
    let mut work = Work {
        outlet,
        folder: Arc::new(folder),
        ahead: ahead.max(1),
        naming,
        shelf: Shelf::default(),
        running: JoinSet::new(),
        failures: 0,
        watch: None,
    };
    let mut due = work.outlet.clock.now();
    loop {
        let at = work.outlet.clock.instant(due);
        tokio::select! {
            () = work.outlet.frames.closed() => return,
            Some(ended) = work.running.join_next(), if !work.running.is_empty() => {
                if let Ok((name, stamp, fate)) = ended {
                    work.ended(&name, stamp, fate).await;
                }
            }
            (names, is_alive) = told(work.watch.as_ref()) => {
                work.closed(&names, is_alive);
                due = due.min(work.outlet.clock.now().after(GATHER));
            }
            () = tokio::time::sleep_until(at) => due = work.look().await,
        }
        if !work.fill().await {
            return;
        }
    }
}

struct Work {
    outlet: Outlet,
    folder: Arc<Folder>,
    ahead: usize,
    naming: Naming,
    shelf: Shelf,
    /// Frames that are under way, and what became of them.
    running: JoinSet<(OsString, Stamp, Fate)>,
    /// Looks that failed one after the other.
    failures: u32,
    watch: Option<AsyncFd<OwnedFd>>,
}

impl Work {
    /// Lists the folder; when it is looked at next.
    async fn look(&mut self) -> Mono {
        if self.watch.is_none() {
            // Without it the files come a little later.
            self.watch = watch(&self.folder.dir).ok();
        }
        let folder = Arc::clone(&self.folder);
        let found = blocking(move || list(&folder)).await;
        let now = self.outlet.clock.now();
        match found {
            Ok(lying) => {
                self.failures = 0;
                self.shelf.looked(now, &lying);
                self.leave().await;
                now.after(LOOK)
            }
            Err(error) => {
                self.failures += 1;
                self.watch = None;
                self.outlet.failed(format!("look into {}: {}", self.folder.dir.display(), chain(&error)));
                now.after(pause(self.failures))
            }
        }
    }

    /// The kernel told of these files; perhaps it is the last time.
    fn closed(&mut self, names: &[OsString], is_alive: bool) {
        let now = self.outlet.clock.now();
        for name in names.iter().filter(|name| captures(&self.folder, name).is_some()) {
            self.shelf.closed(now, name);
        }
        if !is_alive {
            self.watch = None;
        }
    }

    /// Gives frames while there is room. False: nobody takes them any more.
    async fn fill(&mut self) -> bool {
        while self.shelf.taken() < self.ahead {
            let Some((name, stamp)) = self.shelf.next(self.outlet.clock.now()) else { break };
            let (folder, most) = (Arc::clone(&self.folder), self.outlet.max_bytes);
            let below = name.clone();
            let read = tokio::task::spawn_blocking(move || file::read(&folder.dir, Path::new(&below), most)).await;
            match read {
                Ok(Ok(payload)) => {
                    let (done, fate) = oneshot::channel();
                    let captures = captures(&self.folder, &name).unwrap_or_default();
                    let parts: Vec<&str> = captures.iter().map(String::as_str).collect();
                    let frame = Frame {
                        binding: Arc::clone(&self.outlet.binding),
                        source: (self.naming)(&parts),
                        captures,
                        payload,
                        content_type: None,
                        at: (self.outlet.wall)(),
                        done: Some(done),
                    };
                    if !self.outlet.give(frame).await {
                        return false;
                    }
                    self.running.spawn(async move { (name, stamp, fate.await.unwrap_or(Fate::Dropped)) });
                }
                // It went meanwhile, or the whole folder: the next look says.
                Ok(Err(FileError::Open { source, .. })) if source.kind() == io::ErrorKind::NotFound => {
                    self.shelf.dropped(self.outlet.clock.now(), &name);
                }
                Ok(Err(error)) => {
                    self.shelf.unfit(&name);
                    self.outlet.failed(chain(&error));
                }
                Err(error) => {
                    self.shelf.unfit(&name);
                    self.outlet.failed(chain(&error));
                }
            }
        }
        true
    }

    async fn ended(&mut self, name: &OsStr, stamp: Stamp, fate: Fate) {
        match fate {
            Fate::Dropped => self.shelf.dropped(self.outlet.clock.now(), name),
            Fate::Settled => {
                self.shelf.settled(name);
                self.go(name, stamp).await;
            }
            Fate::Failed { passes: true } => self.shelf.put_off(self.outlet.clock.now(), name),
            Fate::Failed { passes: false } => {
                self.shelf.unfit(name);
                let file = self.folder.dir.join(name);
                self.outlet.failed(format!(
                    "{} could not be answered and stays: it is taken again when it changes, or the daemon starts",
                    file.display()
                ));
            }
        }
    }

    /// Tries again what could not be removed.
    async fn leave(&mut self) {
        let mut left: Vec<(OsString, Stamp)> = Vec::new();
        if self.folder.after != After::Keep {
            left.extend(self.shelf.left().map(|(name, stamp)| (name.to_owned(), stamp)));
        }
        let mut is_well = true;
        for (name, stamp) in left {
            // The others have the same fate, and are tried again with it.
            if !self.go(&name, stamp).await {
                is_well = false;
                break;
            }
        }
        if is_well && !self.shelf.has_unfit() {
            self.outlet.well();
        }
    }

    /// False: the file could not be removed or moved.
    async fn go(&mut self, name: &OsStr, stamp: Stamp) -> bool {
        let (folder, owned) = (Arc::clone(&self.folder), name.to_owned());
        match blocking(move || go(&folder, &owned, stamp)).await {
            Ok(()) => true,
            Err(error) => {
                let file = self.folder.dir.join(name);
                self.outlet.failed(format!("remove {} after its answer: {}", file.display(), chain(&error)));
                false
            }
        }
    }
}

/// On a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The files whose names match, the first [`MOST`] by their names.
fn list(folder: &Folder) -> io::Result<Vec<(OsString, Stamp)>> {
    let mut lying = BTreeMap::new();
    for entry in std::fs::read_dir(&folder.dir)? {
        let name = entry?.file_name();
        if captures(folder, &name).is_none() {
            continue;
        }
        // One that went meanwhile is none.
        let Ok(found) = folder.dir.join(&name).symlink_metadata() else { continue };
        if found.is_file() {
            lying.insert(name, stamp(&found));
        }
        if lying.len() > MOST {
            lying.pop_last();
        }
    }
    Ok(lying.into_iter().collect())
}

/// What the stars stand for; `None` for a file that is not taken: hidden ones are being written by their custom.
fn captures(folder: &Folder, name: &OsStr) -> Option<Vec<String>> {
    let name = name.to_str().filter(|name| !name.starts_with('.'))?;
    Some(folder.pattern.captures(name)?.into_iter().map(str::to_owned).collect())
}

fn stamp(found: &std::fs::Metadata) -> Stamp {
    let changed = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
    Stamp { file: found.ino(), bytes: found.len(), changed }
}

/// Does with an answered file what follows, unless another one has its name by now.
fn go(folder: &Folder, name: &OsStr, seen: Stamp) -> io::Result<()> {
    let path = folder.dir.join(name);
    let is_other = match path.symlink_metadata() {
        Ok(found) => stamp(&found) != seen,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error),
    };
    match &folder.after {
        After::Keep => Ok(()),
        After::Delete | After::Move(_) if is_other => Ok(()),
        After::Delete => rustix::fs::unlinkat(CWD, &path, AtFlags::empty()).map_err(io::Error::from),
        After::Move(dir) => moved(&path, dir, name),
    }
}

/// Never over a file that is there: then a number is put behind the name.
fn moved(path: &Path, dir: &Path, name: &OsStr) -> io::Result<()> {
    for number in 0..1000_u32 {
        let mut to = name.to_owned();
        if number > 0 {
            to.push(format!(".{number}"));
        }
        match rustix::fs::renameat_with(CWD, path, CWD, dir.join(&to), RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => {}
            Err(rustix::io::Errno::XDEV) => return copied(path, dir, name),
            other => return other.map_err(io::Error::from),
        }
    }
    Err(io::Error::other(format!("{} has a thousand files of that name", dir.display())))
}

/// To another disk: under a hidden name first, so that nobody sees half a file.
fn copied(path: &Path, dir: &Path, name: &OsStr) -> io::Result<()> {
    let mut part = OsString::from(".");
    part.push(name);
    let part = dir.join(part);
    let copied = std::fs::copy(path, &part).and_then(|_| std::fs::File::open(&part)?.sync_all());
    let moved = copied.and_then(|()| moved(&part, dir, name));
    if let Err(error) = moved {
        // Whether it is there at all is not known.
        let _ = std::fs::remove_file(&part);
        return Err(error);
    }
    std::fs::remove_file(path)
}

fn watch(dir: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&fd, dir, WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR)?;
    crate::watched::watched(fd, Interest::READABLE)
}

/// Waits until the kernel tells of files that were closed or moved here.
async fn told(watch: Option<&AsyncFd<OwnedFd>>) -> (Vec<OsString>, bool) {
    let Some(watch) = watch else { return std::future::pending().await };
    let mut names = Vec::new();
    let is_alive = match watch.readable().await {
        Ok(mut ready) => {
            let read = read_events(watch.get_ref(), &mut names);
            ready.clear_ready();
            matches!(read, Ok(true))
        }
        Err(_) => false,
    };
    (names, is_alive)
}

/// Names of what was closed or moved here. False: the folder is not watched any more, because it went.
fn read_events(fd: &OwnedFd, names: &mut Vec<OsString>) -> io::Result<bool> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 8192];
    let mut events = inotify::Reader::new(fd, &mut buffer);
    loop {
        match events.next() {
            Ok(event) if event.events().contains(ReadFlags::IGNORED) => return Ok(false),
            Ok(event) => names.extend(event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()).to_owned())),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
