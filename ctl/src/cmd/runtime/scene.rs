//! What there is before a runtime is changed: the daemon, if one runs, its configuration, and the runtimes that are installed. And
//! what keeps this run from changing it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use edge_wire::dto::Status;
use edge_wire::error::ErrorCode;
use edge_wire::runtime::Runtimes;
use rustix::fs::{Access, FlockOperation, Mode};
use rustix::io::Errno;

use super::marked;
use super::settle::Target;
use crate::cli::Common;
use crate::client::Client;
use crate::edged::{self, RUNTIME, Words};
use crate::failure::Failure;

/// Held by whoever changes something; the programs that it starts have one of their own.
const LOCK: &str = ".edgectl";
/// The way that the daemon names a library that `edgectl runtime` made the current one.
const FOUND_INSTALLED: &str = "installed";
/// Ways that come before that one.
const NAMED: [(&str, &str); 2] = [("config", "`engine.library`"), ("ORT_DYLIB_PATH", "the variable ORT_DYLIB_PATH")];

/// The box before a change.
#[derive(Debug)]
pub struct Scene {
    /// The daemon, if one runs.
    pub client: Option<Client>,
    /// Its state.
    pub status: Option<Status>,
    /// Which bus was asked.
    pub bus: &'static str,
    /// The file that it was given, or that the command line names.
    config: Option<PathBuf>,
    pub runtimes: Runtimes,
}

/// Nobody else changes runtimes while this lives.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "closing it lets go")] File);

impl Scene {
    /// Looks at the box.
    pub async fn look(common: &Common, config: Option<&Path>) -> Result<Scene, Failure> {
        let bus = crate::cmd::bus(common)?.as_str();
        let client = match crate::cmd::connect(common).await {
            Ok(client) => Some(client),
            Err(Failure::Unreachable { .. }) => None,
            Err(other) => return Err(other),
        };
        let mut scene = Scene {
            client: None,
            status: None,
            bus,
            config: config.map(Path::to_owned),
            runtimes: Runtimes::default(),
        };
        if let Some(client) = client {
            // One that is there and does not answer is no reason to go on without it.
            if client.owner().await?.is_some() {
                scene.status = Some(client.status().await?);
                scene.client = Some(client);
            }
        }
        let given = scene.status.as_ref().and_then(|status| edged::given(&status.config_files));
        scene.config = scene.config.or(given);
        (scene.runtimes, _) = scene.bare("list").ask().await?;
        Ok(scene)
    }

    /// `edged runtime VERB` with the configuration of the daemon.
    pub fn bare(&self, verb: &str) -> Words {
        let mut words = Words::bare(RUNTIME, verb);
        words.option("--config", self.config.as_deref());
        words
    }

    /// The same about something.
    pub fn words(&self, verb: &str, about: &OsStr) -> Words {
        let mut words = Words::new(RUNTIME, verb, about);
        words.option("--config", self.config.as_deref());
        words
    }

    /// The name of the current runtime; empty for the package's.
    pub fn current(&self) -> String {
        marked(&self.runtimes, |runtime| runtime.current)
    }

    /// The one that can be gone back to; empty for the package's.
    pub fn previous(&self) -> String {
        marked(&self.runtimes, |runtime| runtime.previous)
    }

    /// The version that the daemon serves with; empty if none runs.
    pub fn serving(&self) -> String {
        self.status.as_ref().map(|status| status.engine.version.clone()).unwrap_or_default()
    }

    /// The runtime of this name, as the daemon will see it.
    pub fn target(&self, id: &str) -> Target {
        // The daemon names the place that links lead to.
        let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
        let shelf = real(PathBuf::from(&self.runtimes.dir));
        match id {
            "" => Target::Package { shelf },
            id => Target::Installed { id: id.into(), dir: real(shelf.join(id)) },
        }
    }

    /// Whether the daemon uses it already.
    pub fn serves(&self, target: &Target) -> bool {
        self.status.as_ref().is_none_or(|status| target.is(&status.engine.library))
    }

    /// Refuses where a library is named, which comes before what is current.
    pub fn follows_the_link(&self) -> Result<(), Failure> {
        let found_by = self.status.as_ref().map_or("", |status| status.engine.found_by.as_str());
        let configured = if self.runtimes.configured.is_empty() { "" } else { "config" };
        let named = NAMED.into_iter().find(|(way, _)| *way == found_by || *way == configured);
        match named {
            Some((_, what)) if found_by != FOUND_INSTALLED => Err(Failure::local(format!(
                "{what} names the library that edged uses, so an installed runtime would not be used: take that out and restart \
                 edged first (nothing was changed)"
            ))),
            _ => Ok(()),
        }
    }

    /// Keeps everybody else from changing runtimes. Whoever may not do it, hears that before anything is done.
    pub fn hold(&self) -> Result<Hold, Failure> {
        let dir = Path::new(&self.runtimes.dir);
        let nearest = dir.ancestors().find(|place| place.exists()).unwrap_or(Path::new("/"));
        match rustix::fs::access(nearest, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => {}
            Err(Errno::ACCESS | Errno::PERM) => return Err(not_root(dir)),
            Err(errno) => return Err(failed("write to", nearest, errno.into())),
        }
        // What is made is for everybody to read, above all for the user of the service, whatever the caller's habits.
        rustix::process::umask(Mode::WGRP | Mode::WOTH);
        fs::create_dir_all(dir).map_err(|error| failed("make", dir, error))?;
        open_to_all(dir)?;
        // A file that nobody else can open, or else anybody could hold it for ever.
        let lock = dir.join(LOCK);
        let held = File::options().create(true).truncate(false).write(true).mode(0o600).open(&lock);
        let held = held.map_err(|error| failed("open", &lock, error))?;
        match rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Hold(held)),
            Err(Errno::WOULDBLOCK) => {
                Err(Failure::local("another `edgectl runtime` is at work on this box: wait until it has ended"))
            }
            Err(errno) => Err(failed("lock", dir, errno.into())),
        }
    }
}

/// That the user of the service may read what is there.
fn open_to_all(dir: &Path) -> Result<(), Failure> {
    let about = fs::metadata(dir).map_err(|error| failed("look at", dir, error))?;
    if about.permissions().mode() & 0o005 == 0o005 {
        return Ok(());
    }
    let dir = dir.display();
    Err(Failure::local(format!(
        "{dir} is closed to the user of the service, who has to load what is installed there: chmod 755 {dir} (nothing was changed)"
    )))
}

fn not_root(dir: &Path) -> Failure {
    let what = format!("runtimes are installed in {}, where you may not write: run this as root (sudo)", dir.display());
    Failure::refused(ErrorCode::NotAuthorized, what)
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Failure {
    Failure::local(format!("{what} {}: {error}", path.display()))
}
