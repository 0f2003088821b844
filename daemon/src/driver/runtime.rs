//! The runtime's library, which is updated by a package of its own: on `edgectl reload` it is looked for again. One that is
//! another file is tried in an engine host that serves nobody; only if it loads there, the hosts are replaced one and all, and
//! what was on them runs once more on the new ones. Every model gives its golden answers again.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use edge_core::HostId;
use edge_wire::dto::Problem;
use tokio::task::JoinHandle;

use super::models::Life;
use super::{Driver, chain};
use crate::bring::room::Room;

/// What tells one file from another, whatever it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    path: PathBuf,
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds since 1970, and nanoseconds of them.
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file that a path leads to; `None` if there is none.
    fn of(path: &Path) -> Option<Stamp> {
        let path = path.canonicalize().ok()?;
        let meta = path.metadata().ok()?;
        let changed = (meta.mtime(), meta.mtime_nsec());
        Some(Stamp { device: meta.dev(), inode: meta.ino(), bytes: meta.len(), changed, path })
    }
}

/// A library that was found, loads, and is another one than before.
#[derive(Debug)]
pub(super) struct Fresh {
    path: PathBuf,
    found_by: String,
    version: String,
    stamp: Option<Stamp>,
}

/// What came of a look; nothing if it is the library of before.
pub(super) type Looked = Result<Option<Fresh>, String>;

/// The library that hosts are started with, and the look for another one.
#[derive(Debug, Default)]
pub(super) struct RuntimeFile {
    stamp: Option<Stamp>,
    looking: Option<JoinHandle<Looked>>,
    /// Why the last one that was found is not taken over.
    fault: Option<String>,
    /// Versions before and after the last change in this life of the daemon.
    change: Option<(String, String)>,
}

impl RuntimeFile {
    /// That of the daemon's start.
    pub(super) fn new(library: Option<&Result<(PathBuf, String), String>>) -> RuntimeFile {
        let stamp = library.and_then(|library| Stamp::of(&library.as_ref().ok()?.0));
        RuntimeFile { stamp, ..RuntimeFile::default() }
    }

    /// What came of a look; waits for ever if nobody looks. Safe to cancel.
    pub(super) async fn next(&mut self) -> Looked {
        let Some(looking) = &mut self.looking else { return std::future::pending().await };
        let looked = looking.await;
        self.looking = None;
        looked.unwrap_or_else(|error| Err(format!("look for ONNX Runtime: {error}")))
    }

    /// What is wrong with the library that was found last.
    pub(super) fn problem(&self) -> Option<Problem> {
        self.fault.as_ref().map(|why| Problem {
            subject: "library".into(),
            what: format!("another ONNX Runtime was found and is not taken over, the one before serves on: {why}"),
            remedy: "put it right, or the one before back in its place, then `edgectl reload`".into(),
        })
    }

    /// What to do about a model that fails since the runtime is another one.
    pub(super) fn remedy(&self) -> Option<String> {
        let (from, to) = self.change.as_ref()?;
        Some(format!(
            "ONNX Runtime {to} is in the place of {from}: put that back, then `edgectl reload`, or install a version of the model for it"
        ))
    }
}

/// Looks for the library, and tries one that is another file.
async fn look(config: Option<PathBuf>, program: PathBuf, before: Option<Stamp>) -> Looked {
    let found = tokio::task::spawn_blocking(move || {
        let env = |name: &str| std::env::var_os(name);
        let found = edge_engine::library::find(config.as_deref(), &env).map_err(|error| chain(&error))?;
        Ok::<_, String>((Stamp::of(&found.path), found))
    });
    let (stamp, found) = found.await.map_err(|error| format!("look for ONNX Runtime: {error}"))??;
    if stamp == before {
        return Ok(None);
    }
    let room = Room::start(&program, &found.path).await.map_err(|error| chain(&error))?;
    let version = room.runtime.clone();
    Ok(Some(Fresh { path: found.path, found_by: found.found_by.to_owned(), version, stamp }))
}

impl Driver {
    /// Looks for the runtime's library again.
    pub(super) fn look_for_runtime(&mut self, config: Option<PathBuf>) {
        if self.outside.library.is_none() || self.runtime.looking.is_some() {
            return;
        }
        let (program, before) = (self.outside.program.clone(), self.runtime.stamp.clone());
        self.runtime.looking = Some(tokio::spawn(look(config, program, before)));
    }

    /// Takes over another library, if there is one that loads.
    pub(super) fn on_runtime(&mut self, looked: Looked) {
        self.now = self.clock.now();
        self.runtime.fault = None;
        match looked {
            Ok(None) => {}
            Ok(Some(Fresh { path, found_by, version, stamp })) => {
                let before = self.hosts.library().map(|(version, _)| version.to_owned()).unwrap_or_default();
                tracing::info!(library = %path.display(), %version, %before, "another ONNX Runtime takes over");
                self.runtime.stamp = stamp;
                self.outside.library = Some(Ok((path, found_by)));
                for at in 0..self.hosts.iter().count() {
                    let id = HostId(u8::try_from(at).unwrap_or(u8::MAX));
                    self.runtime_changed(id, &before, &version);
                    if let Some(state) = self.hosts.get_mut(id).filter(|state| state.is_up()) {
                        state.replace();
                    }
                }
            }
            Err(why) => {
                tracing::error!(%why, "another ONNX Runtime was found and is not taken over");
                self.runtime.fault = Some(why);
            }
        }
        self.touch();
    }

    /// A host runs, or will, with another library than before: its models have to show that they answer right with it, and
    /// those that failed are tried again.
    pub(super) fn runtime_changed(&mut self, host: HostId, before: &str, version: &str) {
        if !before.is_empty() && before != version {
            self.runtime.change = Some((before.to_owned(), version.to_owned()));
        }
        let ids: Vec<_> = self.models.iter().filter(|(_, model)| model.host == host).map(|(id, _)| id).collect();
        for id in ids {
            let Some(model) = self.models.get_mut(id) else { continue };
            model.recheck = true;
            if matches!(model.life, Life::Failed(_)) && model.found.fault.is_none() {
                (model.life, model.loaded) = (Life::Standby, None);
                self.recovery.forget(id);
            }
        }
    }
}
