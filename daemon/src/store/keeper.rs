//! The thread that changes the store: installs, removes, writes records and the history. One thread, so that two changes
//! never meet, and the loop never waits for a disk. Decides nothing: what is to be done is the driver's to say.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use edge_wire::history::HistoryEntry;
use tokio::sync::{mpsc, oneshot};

use super::history::History;
use super::install::{self, InstallError, Watched};
use super::records::{self, Record};
use super::{Found, inspect, proven};
use crate::config::ModelsConfig;
use crate::driver::{chain, clock};

/// Changes that wait: more than anybody has a use for.
const WAITING: usize = 64;

/// What is to be done; the number comes back with the answer.
#[derive(Debug)]
pub enum Ask {
    /// Put the bundle of this archive into the store.
    Install { id: u64, from: OwnedFd, watched: Watched },
    /// Answer as if the bundle in this directory had just been installed: it is there already.
    Look { id: u64, dir: PathBuf },
    /// Take a bundle out.
    Remove { id: u64, dir: PathBuf },
    /// Put the record of a model in place.
    Record { id: u64, name: String, record: Box<Record> },
    /// Note a deed; nothing is answered.
    Note { entry: Box<HistoryEntry> },
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
}

impl Keeper {
    /// Reads the records, removes what an end in the middle left over, and starts the thread.
    pub fn start(models: &ModelsConfig, state_dir: &std::path::Path, cache_dir: PathBuf) -> std::io::Result<Keeper> {
        let (asks, questions) = std::sync::mpsc::sync_channel(WAITING);
        let (out, answers) = mpsc::channel(WAITING);
        let records_dir = state_dir.join("models");
        let (records, mut faults) = records::read_all(&records_dir);
        faults.extend(install::clear(models));
        let place = Place { models: models.clone(), cache_dir, records_dir, history: History::new(state_dir) };
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
    fn carry_out(&self, ask: Ask) -> Option<Answer> {
        Some(match ask {
            Ask::Install { id, from, watched } => Answer::Installed { id, result: self.install(from, &watched) },
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
                if let Err(error) = self.history.note(&entry) {
                    tracing::error!(%error, what = %entry.what, model = %entry.model, "the history could not be written");
                }
                return None;
            }
            Ask::History { done } => {
                // One who has gone wants no answer.
                drop(done.send(self.history.read().map_err(|error| format!("read the history: {error}"))));
                return None;
            }
        })
    }

    fn install(&self, from: OwnedFd, watched: &Watched) -> Result<(Box<Found>, bool), Failed> {
        match install::install(from, &self.models, clock::wall(), watched) {
            Ok(installed) => {
                let look = if installed.before { inspect } else { proven };
                let found = look(&installed.dir, &self.models, &self.cache_dir);
                Ok((Box::new(found), installed.before))
            }
            Err(InstallError::Cancelled) => Err(Failed::Cancelled),
            Err(error) => Err(Failed::Why(chain(&error))),
        }
    }
}
