//! Plans and engines that are taken along: exported into a file, imported from one. One at a time, each a job. What is read
//! and written is read and written on a thread of its own; what is part of the cache is the keeper's to change.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use edge_wire::error::ErrorCode;
use tokio::task::JoinHandle;

use super::jobs::{JobId, Operation};
use super::{Driver, chain, clock};
use crate::cache::export::{self, ExportError};
use crate::cache::head::Here;
use crate::cache::import::{self, ImportError, Staged};
use crate::cache::{Ask, Taken, key, shelf};
use crate::request::Failure;
use crate::store::install::Watched;

/// Most models that one export names.
const MOST_NAMES: usize = 256;

/// What is being carried; nothing most of the time.
#[derive(Debug, Default)]
pub(super) struct Carrying(Option<Carry>);

#[derive(Debug)]
struct Carry {
    job: JobId,
    who: String,
    watched: Watched,
    doing: Doing,
}

/// How far it is.
#[derive(Debug)]
enum Doing {
    Exporting(JoinHandle<Result<Vec<String>, Ended>>),
    /// The keeper was asked for a directory.
    Staging(OwnedFd),
    Importing(JoinHandle<Result<Box<Staged>, Ended>>, PathBuf),
    /// The keeper puts it in its place; who signed it, and what is not for this box.
    TakingIn {
        signed: String,
        refused: Vec<String>,
    },
}

/// Why it ended before its end.
#[derive(Debug)]
pub(super) enum Ended {
    Cancelled,
    Why(String),
}

/// What the thread that reads or writes says.
#[derive(Debug)]
pub(super) enum Carried {
    Exported(Result<Vec<String>, Ended>),
    Imported(Result<Box<Staged>, Ended>),
}

impl Carrying {
    /// The end of what is read or written; waits for ever without it. Safe to cancel.
    pub(super) async fn next(&mut self) -> Carried {
        let lost = |error: tokio::task::JoinError| Err(Ended::Why(format!("its thread ended: {error}")));
        match self.0.as_mut().map(|carry| &mut carry.doing) {
            Some(Doing::Exporting(handle)) => {
                let ended = handle.await.unwrap_or_else(lost);
                Carried::Exported(ended)
            }
            Some(Doing::Importing(handle, _)) => {
                let ended = handle.await.unwrap_or_else(|error| Err(Ended::Why(format!("its thread ended: {error}"))));
                Carried::Imported(ended)
            }
            Some(Doing::Staging(_) | Doing::TakingIn { .. }) | None => std::future::pending().await,
        }
    }
}

impl Driver {
    /// Writes what is kept of these models, or of all, into a file.
    pub(super) fn export_cache(&mut self, models: Vec<String>, to: OwnedFd, who: String) -> Result<u64, Failure> {
        self.may_carry()?;
        if models.len() > MOST_NAMES {
            return Err(Failure::invalid(format!("models: takes at most {MOST_NAMES} names")));
        }
        for model in &models {
            super::resolve::model_name(model, None)?;
        }
        let about = if models.is_empty() { "all models".to_owned() } else { models.join(", ") };
        let job = self.jobs.begin(self.now, Operation::Export, about, String::new(), None);
        self.jobs.phase(job, "writing", None);
        let asked = export::Asked {
            models,
            cache_dir: self.config.cache.dir.clone(),
            node: self.config.node.clone(),
            machine: self.facts(),
            made_at: clock::rfc3339(clock::wall()),
        };
        let watched = Watched::default();
        let shared = watched.clone();
        let handle = tokio::task::spawn_blocking(move || {
            export::export(to, &asked, &shared).map_err(|error| match error {
                ExportError::Cancelled => Ended::Cancelled,
                error => Ended::Why(chain(&error)),
            })
        });
        self.carrying.0 = Some(Carry { job, who, watched, doing: Doing::Exporting(handle) });
        self.touch();
        Ok(job.0)
    }

    /// Takes over what another box exported, as far as it is for this one.
    pub(super) fn import_cache(&mut self, from: OwnedFd, who: String) -> Result<u64, Failure> {
        self.may_carry()?;
        let job = self.jobs.begin(self.now, Operation::Import, "plans and engines".into(), String::new(), None);
        if !self.ask_cache(Ask::Stage { job: job.0 }) {
            let why = super::builds::STUCK;
            self.jobs.finish(self.now, job, Err(why.into()));
            return Err(Failure::new(ErrorCode::Unavailable, format!("the cache: {why}")));
        }
        self.jobs.phase(job, "checking and unpacking", None);
        self.carrying.0 = Some(Carry { job, who, watched: Watched::default(), doing: Doing::Staging(from) });
        self.touch();
        Ok(job.0)
    }

    fn may_carry(&self) -> Result<(), Failure> {
        let unavailable = |text: &str| Failure::new(ErrorCode::Unavailable, text.to_owned());
        if let Some(carry) = &self.carrying.0 {
            let text =
                format!("plans and engines are being exported or imported (job {}): wait for its end", carry.job.0);
            return Err(Failure { retry_after_ms: Some(5000), ..Failure::new(ErrorCode::Overloaded, text) });
        }
        if self.outside.cache.is_none() {
            return Err(unavailable("nothing is kept: this is a simulator, or the disk of the cache is stuck"));
        }
        if self.hosts.library().is_none() {
            let text = "which ONNX Runtime is here is not known yet: the first engine host is not up";
            return Err(Failure { retry_after_ms: Some(2000), ..unavailable(text) });
        }
        Ok(())
    }

    /// Shows how far it is.
    pub(super) fn show_carrying(&mut self) {
        let Some(carry) = &self.carrying.0 else { return };
        let phase = match carry.doing {
            Doing::Exporting(_) => "writing",
            Doing::Staging(_) | Doing::Importing(..) => "checking and unpacking",
            Doing::TakingIn { .. } => "putting in place",
        };
        let (job, percent) = (carry.job, carry.watched.percent());
        self.jobs.phase(job, phase, Some(percent));
    }

    /// Gives it up; its thread says when it has ended.
    pub(super) fn cancel_carrying(&self) {
        if let Some(carry) = &self.carrying.0 {
            carry.watched.cancel();
        }
    }

    /// The keeper has a directory for an import, or not.
    pub(super) fn staged(&mut self, job: u64, dir: Result<PathBuf, String>) {
        let here = self.here();
        let Some(carry) = self.carrying.0.as_mut().filter(|carry| carry.job.0 == job) else { return };
        let dir = match dir {
            Ok(dir) => dir,
            Err(why) => return self.carried_to_end(Err(Ended::Why(why))),
        };
        // Only a staging import has a descriptor to give.
        let doing = std::mem::replace(&mut carry.doing, Doing::TakingIn { signed: String::new(), refused: Vec::new() });
        let Doing::Staging(from) = doing else {
            carry.doing = doing;
            return;
        };
        let asked = import::Asked {
            dir: dir.clone(),
            here,
            models: self.config.models.clone(),
            most: self.config.cache.max_bytes,
            now: clock::wall(),
        };
        let watched = carry.watched.clone();
        let handle = tokio::task::spawn_blocking(move || {
            import::import(from, &asked, &watched).map(Box::new).map_err(|error| match error {
                ImportError::Cancelled => Ended::Cancelled,
                error => Ended::Why(chain(&error)),
            })
        });
        carry.doing = Doing::Importing(handle, dir);
    }

    /// What was read or written has come to its end.
    pub(super) fn on_carried(&mut self, carried: Carried) {
        self.now = self.clock.now();
        match carried {
            Carried::Exported(ended) => {
                if let Some(Carry { who, job, .. }) = &self.carrying.0 {
                    let about = self.jobs.get(*job).map(|job| job.model.clone()).unwrap_or_default();
                    let result = match &ended {
                        Ok(lines) => Ok(lines.join("; ")),
                        Err(Ended::Cancelled) => Err("cancelled".into()),
                        Err(Ended::Why(why)) => Err(why.clone()),
                    };
                    self.note_deed(&who.clone(), "export", &about, result);
                }
                self.carried_to_end(ended);
            }
            Carried::Imported(Ok(staged)) => self.take_in(staged),
            Carried::Imported(Err(ended)) => {
                if let Some(Carry { doing: Doing::Importing(_, dir), who, .. }) = &self.carrying.0 {
                    self.ask_cache(Ask::DropStaged { dir: dir.clone() });
                    let why = match &ended {
                        Ended::Cancelled => "cancelled",
                        Ended::Why(why) => why,
                    };
                    self.note_deed(&who.clone(), "import", "plans and engines", Err(why.to_owned()));
                }
                self.carried_to_end(Err(ended));
            }
        }
    }

    fn take_in(&mut self, staged: Box<Staged>) {
        let Some(carry) = self.carrying.0.as_mut() else { return };
        let by = match staged.signer.as_str() {
            "" => "unsigned".to_owned(),
            key => format!("signed by the key {key}"),
        };
        let signed = format!("from {}, {by}", staged.node);
        carry.doing = Doing::TakingIn { signed, refused: staged.refused.clone() };
        let (job, dir) = (carry.job.0, staged.dir.clone());
        if !self.ask_cache(Ask::TakeIn { job, staged }) {
            self.ask_cache(Ask::DropStaged { dir });
            self.carried_to_end(Err(Ended::Why(super::builds::STUCK.into())));
        }
    }

    /// What was imported is in its place, and its plans are served by.
    pub(super) fn taken_in(&mut self, job: u64, taken: Taken) {
        let of_job = |carry: &&mut Carry| carry.job.0 == job;
        let Some(Carry { doing: Doing::TakingIn { signed, refused }, who, .. }) =
            self.carrying.0.as_mut().filter(of_job)
        else {
            return;
        };
        let (signed, refused, who) = (std::mem::take(signed), std::mem::take(refused), who.clone());
        let Taken { taken, failed, plans } = taken;
        let line = |word: &str, lines: &[String]| -> Vec<String> {
            lines.iter().map(|line| format!("{word}: {line}")).collect()
        };
        let refused: Vec<String> = refused.into_iter().chain(failed).collect();
        let result = match taken.is_empty() {
            true => Err(refused.join("; ")),
            false => Ok(format!("{signed}: {} taken, {} refused", taken.len(), refused.len())),
        };
        self.note_deed(&who, "import", "plans and engines", result.clone());
        let lines = [line("taken", &taken), line("refused", &refused)].concat();
        self.take_plans(plans);
        match result {
            Ok(_) => self.carried_to_end(Ok(lines)),
            Err(why) => self.carried_to_end(Err(Ended::Why(why))),
        }
    }

    fn carried_to_end(&mut self, ended: Result<Vec<String>, Ended>) {
        let Some(Carry { job, .. }) = self.carrying.0.take() else { return };
        match ended {
            Ok(lines) => {
                self.jobs.tell(job, lines);
                self.jobs.finish(self.now, job, Ok(()));
            }
            Err(Ended::Cancelled) => self.jobs.cancelled(self.now, job),
            Err(Ended::Why(why)) => self.jobs.finish(self.now, job, Err(why)),
        }
        self.touch();
    }

    /// What this box is, for what comes from another one.
    fn here(&self) -> Here {
        let identities = self.hosts.iter().filter_map(|host| Some((host.provider.clone(), host.identity.clone()?)));
        Here {
            machine: self.facts(),
            runtime: self.hosts.library().map(|(version, _)| version.to_owned()).unwrap_or_default(),
            driver: shelf::driver(),
            options: key::options(&self.config.engine.device),
            providers: identities.filter(|(_, identity)| !identity.digest.is_empty()).collect(),
            plan: self.plan_facts(),
            plans: self.plan_keys(),
        }
    }
}
