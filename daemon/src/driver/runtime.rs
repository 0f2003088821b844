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
use crate::config::EngineConfig;

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
    /// Somebody asked while it was looked for: what was found may be out of date.
    again: bool,
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

/// Providers that run on NVIDIA's graphics processors.
const ON_GRAPHICS: [&str; 3] = ["cuda", "tensorrt", "tensorrt-rtx"];

/// What is said of a graphics processor that nothing here can use, unless nobody wants it: which one there is, what models may
/// run on, and what this runtime has.
fn idle_graphics(name: &str, allowed: &[String], has: &[String]) -> Option<Problem> {
    let on_graphics = |names: &[String]| names.iter().any(|name| ON_GRAPHICS.contains(&name.as_str()));
    (on_graphics(allowed) && !on_graphics(has)).then(|| Problem {
        subject: "runtime".into(),
        what: format!("CPU only: no GPU runtime. This is {name}, and the ONNX Runtime that serves has no provider for it"),
        remedy: "get a wheel of onnxruntime-gpu for this box (docs/runtime.md says which), then `edgectl runtime install FILE.whl`"
            .into(),
    })
}

/// Looks for the library, and tries one that is another file.
async fn look(engine: EngineConfig, program: PathBuf, before: Option<Stamp>) -> Looked {
    let found = tokio::task::spawn_blocking(move || {
        let env = |name: &str| std::env::var_os(name);
        let found = edge_engine::library::find(engine.places(), &env).map_err(|error| chain(&error))?;
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
    /// A graphics processor that lies idle because of the runtime, once the runtime has said what it has.
    pub(super) fn graphics_note(&self) -> Option<Problem> {
        let name = self.outside.graphics.as_deref()?;
        let (_, compiled) = self.hosts.library()?;
        let up = self.hosts.iter().filter(|host| host.is_up()).map(|host| host.provider.clone());
        let has: Vec<String> = compiled.iter().cloned().chain(up).collect();
        idle_graphics(name, &self.config.engine.providers, &has)
    }

    /// Looks for the runtime's library again.
    pub(super) fn look_for_runtime(&mut self) {
        if self.outside.library.is_none() {
            return;
        }
        if self.runtime.looking.is_some() {
            self.runtime.again = true;
            return;
        }
        // Whoever asks meanwhile is not told of a library that may be gone.
        self.runtime.fault = None;
        let (program, before) = (self.outside.program.clone(), self.runtime.stamp.clone());
        self.runtime.looking = Some(tokio::spawn(look(self.config.engine.clone(), program, before)));
    }

    /// Takes over another library, if there is one that loads.
    pub(super) fn on_runtime(&mut self, looked: Looked) {
        self.now = self.clock.now();
        if std::mem::take(&mut self.runtime.again) {
            return self.look_for_runtime();
        }
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
                    let now = self.now;
                    match self.hosts.get_mut(id) {
                        Some(state) if state.is_up() => state.replace(),
                        Some(state) => state.retry(now),
                        None => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graphics_processor_that_lies_idle_is_told_of_unless_nobody_wants_it() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let all = ["cpu", "cuda", "tensorrt", "tensorrt-rtx", "openvino"];
        for (allowed, has, told) in [
            (&all[..], &["cpu"][..], true),
            (&all, &["cpu", "openvino"], true),
            (&all, &["cpu", "cuda"], false),
            (&all, &["cpu", "tensorrt-rtx"], false),
            (&["cpu"], &["cpu"], false),
            (&["cpu", "cuda"], &["cpu"], true),
        ] {
            let note = idle_graphics("a board", &words(allowed), &words(has));
            assert_eq!(note.is_some(), told, "{allowed:?} {has:?}");
            assert!(note.is_none_or(|note| note.what.starts_with("CPU only: no GPU runtime")));
        }
    }
}
