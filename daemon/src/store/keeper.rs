//! The thread that changes the store: installs, removes, writes records and the history. One thread, so that two changes
//! never meet, and the loop never waits for a disk. Decides nothing: what is to be done is the driver's to say.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use edge_core::inbox::{End, Fate, Stamp};
use edge_engine::bundle::Manifest;
use edge_wire::history::HistoryEntry;
use tokio::sync::{mpsc, oneshot};

use super::history::History;
use super::inbox::{self, Seen, Taken};
use super::install::{self, InstallError, Watched};
use super::records::{self, Record, RecordError};
use super::{Found, inspect, proven};
use crate::config::ModelsConfig;
use crate::driver::{chain, clock};

/// Changes that wait: more than anybody has a use for.
const WAITING: usize = 64;

/// What is to be recorded before a bundle gets its place, so that whenever the daemon ends, the next one does not take the bundle
/// for the active version.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Versions that serve, or are used, without a record that says so, by name.
    pub serving: BTreeMap<String, String>,
    /// The bundle is not to be activated, even if it is the only version.
    pub rests: bool,
}

impl Beside {
    /// The record to be written before this bundle gets its place, if there is none.
    fn record(&self, manifest: &Manifest) -> Option<Record> {
        let active = self.serving.get(&manifest.name);
        let other = active.is_some_and(|active| *active != manifest.version);
        let rests = active.is_none() && self.rests && manifest.pipeline.is_none();
        (other || rests).then(|| Record { active: active.cloned(), ..Record::default() })
    }
}

/// What is to be done; the number comes back with the answer.
#[derive(Debug)]
pub enum Ask {
    /// Put the bundle of this archive into the store.
    Install { id: u64, from: OwnedFd, watched: Watched, beside: Beside },
    /// Say what lies in the folder of dropped bundles.
    LookIn,
    /// Put the bundle of this file of that folder into the store.
    Take { id: u64, name: OsString, watched: Watched, beside: Beside },
    /// Do with a file of that folder what follows from how it ended, and why.
    Settle { name: OsString, taken: Stamp, fate: Fate, why: String },
    /// Answer as if the bundle in this directory had just been installed: it is there already.
    Look { id: u64, dir: PathBuf },
    /// Take a bundle out.
    Remove { id: u64, dir: PathBuf },
    /// Put the record of a model in place.
    Record { id: u64, name: String, record: Box<Record> },
    /// Note a deed; nothing is answered.
    Note { entry: Box<HistoryEntry> },
    /// Write what of the history could not be written before.
    Flush,
    /// Every deed that is remembered.
    History { done: oneshot::Sender<Result<Vec<HistoryEntry>, String>> },
}

/// What became of it.
#[derive(Debug)]
pub enum Answer {
    /// The bundle as it was found in its place; whether it was there before.
    Installed {
        id: u64,
        result: Result<(Box<Found>, bool), Failed>,
    },
    /// Whether the history can be written has changed: why it cannot.
    History {
        fault: Option<String>,
    },
    /// What lies in the folder of dropped bundles.
    Lying(Result<Seen, String>),
    /// The same as `Installed`, of a file of that folder.
    Taken {
        id: u64,
        result: Result<(Box<Found>, bool), Failed>,
        taken: Taken,
    },
    /// A file of that folder went, was put aside or stays; why that could not be done.
    Settled {
        name: OsString,
        stuck: Option<String>,
    },
    Removed {
        id: u64,
        result: Result<(), String>,
    },
    Recorded {
        id: u64,
        result: Result<(), String>,
    },
}

/// Why something was not put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    Cancelled,
    Why(String),
}

/// The driver's end.
#[derive(Debug)]
pub struct Keeper {
    asks: std::sync::mpsc::SyncSender<Ask>,
    answers: mpsc::Receiver<Answer>,
    /// What was decided about each model when the daemon started.
    pub records: BTreeMap<String, Record>,
    /// What is wrong with the store.
    pub faults: Vec<String>,
}

/// What the thread works with.
struct Place {
    models: ModelsConfig,
    cache_dir: PathBuf,
    records_dir: PathBuf,
    history: History,
    /// What was told of the history last: why it cannot be written.
    told: Option<String>,
}

impl Keeper {
    /// Reads the records, removes what an end in the middle left over, and starts the thread.
    pub fn start(models: &ModelsConfig, state_dir: &std::path::Path, cache_dir: PathBuf) -> std::io::Result<Keeper> {
        let (asks, questions) = std::sync::mpsc::sync_channel(WAITING);
        let (out, answers) = mpsc::channel(WAITING);
        let records_dir = state_dir.join("models");
        let (records, mut faults) = records::read_all(&records_dir);
        faults.extend(install::clear(models));
        let mut place =
            Place { models: models.clone(), cache_dir, records_dir, history: History::new(state_dir), told: None };
        std::thread::Builder::new().name("store".into()).spawn(move || {
            while let Ok(ask) = questions.recv() {
                if let Some(answer) = place.carry_out(ask)
                    && out.blocking_send(answer).is_err()
                {
                    return;
                }
            }
        })?;
        Ok(Keeper { asks, answers, records, faults })
    }

    /// Asks for a change. An error hands it back: too much waits, or the thread is gone.
    pub fn ask(&self, ask: Ask) -> Result<(), Box<Ask>> {
        self.asks.try_send(ask).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full(ask) | std::sync::mpsc::TrySendError::Disconnected(ask) => {
                Box::new(ask)
            }
        })
    }

    /// The next answer; waits for ever when there is none to come. Safe to cancel.
    pub async fn next(&mut self) -> Answer {
        match self.answers.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

impl Place {
    fn carry_out(&mut self, ask: Ask) -> Option<Answer> {
        Some(match ask {
            Ask::Install { id, from, watched, beside } => {
                Answer::Installed { id, result: self.install(from, &watched, &beside) }
            }
            Ask::LookIn => Answer::Lying(self.look_in()),
            Ask::Settle { name, taken, fate, why } => {
                let stuck = inbox::settle(self.inbox(), &name, taken, fate, &why).err();
                Answer::Settled { name, stuck }
            }
            Ask::Take { id, name, watched, beside } => {
                let (result, taken) = inbox::take(self.inbox(), &name, |from| {
                    let installed = self.try_install(from, &watched, &beside);
                    let (found, before) = installed.map_err(|error| (inbox::blame(&error), chain(&error)))?;
                    match found.fault.clone() {
                        // What lies in the store is not what was put there: the file is the better one.
                        Some(fault) => Err((End::Hindered, fault)),
                        None => Ok((found, before)),
                    }
                });
                let cancelled = taken.end == End::GivenUp;
                let failed = |why| if cancelled { Failed::Cancelled } else { Failed::Why(why) };
                Answer::Taken { id, result: result.map_err(failed), taken }
            }
            Ask::Look { id, dir } => {
                let found = inspect(&dir, &self.models, &self.cache_dir);
                Answer::Installed { id, result: Ok((Box::new(found), true)) }
            }
            Ask::Remove { id, dir } => {
                Answer::Removed { id, result: install::remove(&dir, &self.models).map_err(|error| chain(&error)) }
            }
            Ask::Record { id, name, record } => {
                let written = records::write(&self.records_dir, &name, &record);
                Answer::Recorded { id, result: written.map_err(|error| chain(&error)) }
            }
            Ask::Note { entry } => {
                let fault = self.history.note(*entry).err();
                return self.history_fault(fault);
            }
            Ask::Flush => {
                let fault = self.history.flush().err();
                return self.history_fault(fault);
            }
            Ask::History { done } => {
                // One who has gone wants no answer.
                drop(done.send(self.history.read().map_err(|error| format!("read the history: {error}"))));
                return None;
            }
        })
    }

    /// What is told of the history, if that is news.
    fn history_fault(&mut self, fault: Option<std::io::Error>) -> Option<Answer> {
        let fault = fault.map(|error| format!("{}: {error}", self.history.path().display()));
        if fault == self.told {
            return None;
        }
        match &fault {
            Some(why) => tracing::error!(%why, "the history of models cannot be written"),
            None => tracing::info!("the history of models is written again"),
        }
        self.told.clone_from(&fault);
        Some(Answer::History { fault })
    }

    fn install(&self, from: OwnedFd, watched: &Watched, beside: &Beside) -> Result<(Box<Found>, bool), Failed> {
        self.try_install(from, watched, beside).map_err(|error| match error {
            InstallError::Cancelled => Failed::Cancelled,
            error => Failed::Why(chain(&error)),
        })
    }

    fn try_install(
        &self,
        from: OwnedFd,
        watched: &Watched,
        beside: &Beside,
    ) -> Result<(Box<Found>, bool), InstallError> {
        let before_place = |manifest: &Manifest| self.record_before(manifest, beside);
        let installed = install::install(from, &self.models, clock::wall(), watched, before_place)?;
        let look = if installed.before { inspect } else { proven };
        Ok((Box::new(look(&installed.dir, &self.models, &self.cache_dir)), installed.before))
    }

    /// Records what has to be before a bundle gets its place.
    fn record_before(&self, manifest: &Manifest, beside: &Beside) -> Result<(), RecordError> {
        match beside.record(manifest).filter(|_| !records::has(&self.records_dir, &manifest.name)) {
            Some(record) => records::write(&self.records_dir, &manifest.name, &record),
            None => Ok(()),
        }
    }

    /// The folder of dropped bundles; empty if there is none.
    fn inbox(&self) -> &Path {
        self.models.inbox.as_deref().unwrap_or(Path::new(""))
    }

    fn look_in(&self) -> Result<Seen, String> {
        let Some(dir) = &self.models.inbox else { return Ok(Seen::default()) };
        inbox::look(dir).map_err(|error| format!("read {}: {error}", dir.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_serves_is_recorded_before_another_version_is_put_beside_it() {
        let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx-models/test/add");
        let add = edge_engine::bundle::open(&at).unwrap();
        for (serving, rests, expected) in [
            // Nothing serves: the first version is to serve at the next start as well, unless it is to rest.
            (None, false, None),
            (None, true, Some(None)),
            (Some(("other", "0.9.0")), false, None),
            (Some(("add", "0.9.0")), false, Some(Some("0.9.0"))),
            (Some(("add", "0.9.0")), true, Some(Some("0.9.0"))),
            // The same version again.
            (Some(("add", "1.0.0")), false, None),
            (Some(("add", "1.0.0")), true, None),
        ] {
            let serving = serving.into_iter().map(|(name, version)| (name.into(), version.into())).collect();
            let record = Beside { serving, rests }.record(add.manifest());
            let active = record.as_ref().map(|record| record.active.as_deref());
            assert_eq!(active, expected, "{record:?} {rests}");
        }
    }
}
