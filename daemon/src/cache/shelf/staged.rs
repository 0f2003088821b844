//! What an import has read becomes entries. Must not know where it came from, nor whether it is for this box.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::import::{Staged, StagedEngine};
use super::super::{Taken, seal};
use super::index::{Known, now};
use super::{Shelf, read_only};
use crate::driver::chain;
use crate::plans;

impl Shelf {
    /// An empty directory for what an import reads, on the same disk.
    pub fn stage(&mut self, job: u64) -> Result<PathBuf, String> {
        // Also clears away what dead daemons were at, which must not happen later.
        self.index();
        self.room()?;
        let dir = self.building().join(format!("{}-import-{job}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| format!("make {}: {error}", dir.display()))?;
        Ok(dir)
    }

    /// What an import has read is of no use any more.
    pub fn drop_staged(&self, dir: &Path) {
        if let Err(error) = fs::remove_dir_all(dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %dir.display(), %error, "remove what was imported");
        }
    }

    /// Seals what an import has read, and puts it among the entries; each is there whole or not at all.
    pub fn take_in(&mut self, staged: Staged) -> Taken {
        let mut taken = Taken::default();
        let mut names = Vec::new();
        for engine in staged.engines {
            let what = engine.name.clone();
            match self.put_in(engine) {
                Ok(name) => names.push((name, what)),
                Err(why) => taken.failed.push(format!("{what}: {why}")),
            }
        }
        self.shrink();
        self.write_index();
        for (name, what) in names {
            match self.engines().join(&name).is_dir() {
                true => taken.taken.push(what),
                false => taken.failed.push(format!("{what}: what is in use leaves no room for it (`cache.max_mib`)")),
            }
        }
        for plan in staged.plans {
            let what = format!("plan of {}:{}", plan.model, plan.version);
            match plans::write(&self.root, &plan) {
                Ok(()) => {
                    taken.taken.push(what);
                    taken.plans.push(plan);
                }
                Err(error) => taken.failed.push(format!("{what}: {}", chain(&error))),
            }
        }
        self.drop_staged(&staged.dir);
        taken
    }

    /// Puts an engine in its place; the name of its entry. One that is there already is the same.
    fn put_in(&mut self, engine: StagedEngine) -> Result<String, String> {
        let StagedEngine { model, key, dir, files, .. } = engine;
        let name = key.entry(&model);
        let to = self.engines().join(&name);
        if to.symlink_metadata().is_ok() {
            if seal::check(&to, &key).is_ok() {
                return Ok(name);
            }
            self.remove(&name);
        }
        let said = |what: &str, error: &io::Error| format!("{what} {}: {error}", dir.display());
        seal::write_known(&dir, &key, files).map_err(|error| said("seal", &error))?;
        read_only(&dir).map_err(|error| said("protect", &error))?;
        fs::rename(&dir, &to).map_err(|error| said("move", &error))?;
        let at = now();
        self.index().entries.insert(name.clone(), Known { model, took_ms: 0, built: at, last_used: at });
        Ok(name)
    }
}
