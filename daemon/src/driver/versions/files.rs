//! Bundles that come and go: what the store's thread is asked for, and what follows from its answers.

use std::os::fd::OwnedFd;

use edge_core::{Event, ModelState};
use edge_wire::error::ErrorCode;
use tokio::sync::oneshot;

use super::super::jobs::{JobId, Operation};
use super::super::models::{Bundle, Life};
use super::super::{Driver, answer};
use super::{Install, MOST_INSTALLS, Removal};
use crate::handle::Activate;
use crate::request::Failure;
use crate::store::Found;
use crate::store::install::Watched;
use crate::store::keeper::{Ask, Beside, Failed};
use crate::store::records::Record;

/// What a job is about before its manifest was read.
pub(super) const A_BUNDLE: &str = "a bundle";

impl Install {
    /// What is noted of it, with the file that it came as.
    fn told(&self, what: &str) -> String {
        self.file.as_ref().map_or_else(|| what.to_owned(), |file| format!("{file}: {what}"))
    }
}

impl Driver {
    /// Puts the bundle of an archive into the store.
    pub(in super::super) fn install(
        &mut self,
        from: OwnedFd,
        activate: Option<bool>,
        how: Activate,
        who: String,
    ) -> Result<u64, Failure> {
        if self.versions.installs.len() >= MOST_INSTALLS {
            let text = format!("{MOST_INSTALLS} bundles are being installed, or wait for it: no more are taken");
            return Err(Failure { retry_after_ms: Some(5000), ..Failure::new(ErrorCode::Overloaded, text) });
        }
        let watched = Watched::default();
        // The job's number is the store's, so that its answer finds it.
        let job = self.jobs.begin(self.now, Operation::Install, A_BUNDLE.into(), String::new(), None);
        self.jobs.phase(job, "checking and unpacking", None);
        let beside = self.beside(activate);
        let asked = self.ask_store_as(job.0, |id| Ask::Install { id, from, watched: watched.clone(), beside });
        if let Err(failure) = asked {
            self.jobs.finish(self.now, job, Err(failure.message.clone()));
            return Err(failure);
        }
        self.versions.installs.insert(job.0, Install { watched, activate, how, who, file: None, quiet: false });
        Ok(job.0)
    }

    /// What is to be recorded before a bundle gets its place.
    pub(super) fn beside(&self, activate: Option<bool>) -> Beside {
        let unrecorded = |name: &str| !self.versions.records.contains_key(name);
        let models = self.models.bundles().iter().map(|bundle| &bundle.found);
        let names = models.map(|found| &found.name).filter(|name| unrecorded(name));
        let served = names.filter_map(|name| Some((name, &self.models.find(name, None).ok()?.found.version)));
        let parts = self.parts.iter().map(|part| &part.name).filter(|name| unrecorded(name));
        let used = parts.filter_map(|name| Some((name, &self.parts.current(name, None)?.version)));
        let serving = served.chain(used).map(|(name, version)| (name.clone(), version.clone())).collect();
        Beside { serving, rests: activate == Some(false) }
    }

    /// What was just put into the store must not be there.
    fn put_out(&mut self, dir: std::path::PathBuf) {
        // Nobody waits for it; should it stay, it is found at the next start, and does not serve either.
        if let Err(failure) = self.ask_store(|id| Ask::Remove { id, dir }) {
            tracing::error!(why = %failure.message, "a revoked version stays in the store");
        }
    }

    /// Shows how far installs are.
    pub(super) fn show_installs(&mut self) {
        for (id, install) in &self.versions.installs {
            self.jobs.phase(JobId(*id), "checking and unpacking", Some(install.watched.percent()));
        }
    }

    /// Gives an install up, or an activation.
    pub(in super::super) fn cancel_change(&mut self, id: JobId) {
        if let Some(install) = self.versions.installs.get(&id.0) {
            // Its thread says when it has ended.
            install.watched.cancel();
        } else if !self.cancel_pull(id) {
            self.cancel_activation(id);
        }
    }

    pub(super) fn installed(&mut self, id: u64, result: Result<(Box<Found>, bool), Failed>) {
        let Some(install) = self.versions.installs.remove(&id) else { return };
        let job = JobId(id);
        let (found, before) = match result {
            Ok(installed) => installed,
            Err(Failed::Cancelled) => {
                self.note_deed(&install.who, "install", A_BUNDLE, Err(install.told("cancelled")));
                return self.jobs.cancelled(self.now, job);
            }
            Err(Failed::Why(why)) => {
                if !install.quiet {
                    self.note_deed(&install.who, "install", A_BUNDLE, Err(install.told(&why)));
                }
                return self.jobs.finish(self.now, job, Err(why));
            }
        };
        let (name, version) = (found.name.clone(), found.version.clone());
        let label = format!("{name}:{version}");
        self.jobs.about(job, &label);
        if let Some(fault) = found.fault.clone() {
            self.note_deed(&install.who, "install", &label, Err(fault.clone()));
            return self.jobs.finish(self.now, job, Err(fault));
        }
        if let Some(why) = self.unwanted(job, &label) {
            self.note_deed(&install.who, "install", &label, Err(why.clone()));
            match self.versions.fleet.is_revoked(&name, &version).is_some() && !before {
                true => self.put_out(found.dir),
                false => self.take_bundle(*found),
            }
            return self.jobs.finish(self.now, job, Err(why));
        }
        self.pull_installed(job, &found.dir);
        let is_pipeline = found.pipeline.is_some();
        let is_part = found.part.is_some();
        let first = if is_part { !self.parts.has(&name) } else { self.models.find(&name, None).is_err() };
        let wanted = install.activate.unwrap_or(first);
        if let Some(other) = self.other_kind(&name, is_part) {
            self.note_deed(&install.who, "install", &label, Err(other.clone()));
            return self.jobs.finish(self.now, job, Err(other));
        }
        // Of the only version of a model that is to be activated nothing is noted before it is: should the daemon end in between, the
        // next one serves it.
        let is_new = self.models.place(&name, &version).is_none() && !is_pipeline;
        match is_part {
            true => self.keep_part(&name),
            false if is_new && !(first && wanted) => self.keep_what_serves(&name),
            false => {}
        }
        let mut found = *found;
        self.compose(&mut found);
        if let Some(fault) = found.fault.clone() {
            // It waits for its part, and says so.
            tracing::warn!(model = %label, %fault, "installed, and not served");
        }
        let signed_by = found.signer.clone();
        self.take_bundle(found);
        if before {
            self.models.set_signer(&name, &version, &signed_by);
        }
        let signer = self.models.place(&name, &version).and_then(|at| self.models.bundle(at));
        let signer = signer.map(|bundle| bundle.found.signer.clone()).or_else(|| self.part_signer(&name, &version));
        let by = match signer.unwrap_or_default().as_str() {
            "" => "unsigned".to_owned(),
            key => format!("signed by the key {key}"),
        };
        let what = if before { format!("it was there already, {by}") } else { by };
        self.note_deed(&install.who, "install", &label, Ok(install.told(&what)));
        // A pipeline has no model to try: it serves as soon as it is there.
        if is_pipeline || !wanted {
            return self.jobs.finish(self.now, job, Ok(()));
        }
        if let Some(part) = self.parts.find(&name, &version).cloned() {
            let begun = self.may_begin_part(&name);
            if let Err(failure) = begun.and_then(|()| self.begin_part(job, &part, install.how, install.who, None)) {
                self.jobs.finish(self.now, job, Err(failure.message));
            }
            return;
        }
        if let Err(failure) = self.begin_activation(job, &label, install.how, install.who.clone()) {
            self.note_deed(&install.who, "activate", &label, Err(failure.message.clone()));
            self.jobs.finish(self.now, job, Err(failure.message));
        }
    }

    /// Why a bundle cannot be called so: models and parts are told apart by their names.
    fn other_kind(&self, name: &str, is_part: bool) -> Option<String> {
        let taken = match is_part {
            true => self.models.bundles().iter().any(|bundle| !bundle.gone && bundle.found.name == name),
            false => self.parts.has(name),
        };
        let kind = if is_part { "a model" } else { "a part of models" };
        taken.then(|| format!("{name} is {kind} on this box: give the bundle another name"))
    }

    /// The first version that is installed beside others must not serve before it was activated: what serves now is noted as
    /// the active one.
    fn keep_what_serves(&mut self, name: &str) {
        if self.versions.records.contains_key(name) {
            return;
        }
        let active = self.models.find(name, None).ok().map(|bundle| bundle.found.version.clone());
        let record = Record { active, ..Record::default() };
        self.models.set_active(name, record.active.as_deref());
        self.versions.records.insert(name.to_owned(), record);
        // Should it not be written, the next start serves the newest; that is told by the store.
        self.keep_record(name);
    }

    /// Takes a version out of the store; `done` is answered when it is gone.
    pub(in super::super) fn remove(
        &mut self,
        model: &str,
        force: bool,
        who: String,
        done: oneshot::Sender<Result<(), Failure>>,
    ) {
        if self.part_called(model).is_some() {
            return self.remove_part(model, who, done);
        }
        let begun = self.may_remove(model, force).and_then(|index| {
            let dir = self.models.bundle(index).map(|bundle| bundle.found.dir.clone()).unwrap_or_default();
            Ok((index, self.ask_store(|id| Ask::Remove { id, dir })?))
        });
        match begun {
            Err(failure) => answer(done, Err(failure)),
            Ok((index, id)) => {
                // Until it is out of the store it is as it was: that may fail.
                self.versions.removals.insert(id, Removal { label: self.label(index), index: Some(index), who, done });
            }
        }
    }

    fn remove_part(&mut self, model: &str, who: String, done: oneshot::Sender<Result<(), Failure>>) {
        let begun = super::super::resolve::model_name(model, None).and_then(|(name, version)| {
            let text = || format!("model: `{name}`: takes NAME:VERSION, so that nothing else is removed");
            let version = version.ok_or_else(|| Failure::invalid(text()))?;
            self.may_remove_part(name, version)?;
            let dir = self.parts.find(name, version).map(|part| part.dir.clone()).unwrap_or_default();
            Ok((name.to_owned(), version.to_owned(), self.ask_store(|id| Ask::Remove { id, dir })?))
        });
        match begun {
            Err(failure) => answer(done, Err(failure)),
            Ok((name, version, id)) => {
                // Until it is out of the store it is as it was: that may fail.
                let label = format!("{name}:{version}");
                self.versions.removals.insert(id, Removal { label, index: None, who, done });
            }
        }
    }

    fn may_remove(&self, model: &str, force: bool) -> Result<usize, Failure> {
        let (name, version) = super::super::resolve::model_name(model, None)?;
        if version.is_none() {
            return Err(Failure::invalid(format!(
                "model: `{name}`: takes NAME:VERSION, so that nothing else is removed"
            )));
        }
        let index = self.version_of(model)?;
        let active = self.models.find(name, None).ok().map(|bundle| bundle.found.version.as_str());
        let is_other = |bundle: &&Bundle| !bundle.gone && bundle.found.name == name;
        let others =
            self.models.bundles().iter().filter(is_other).any(|bundle| Some(bundle.found.version.as_str()) != version);
        if active == version && (others || !force) {
            let remedy = match others {
                true => format!("activate another one first, or `edgectl models rollback {name}`"),
                false => format!(
                    "the box has no other one: `edgectl models remove {model} --force` removes it, and nothing answers for \
                     {name} then"
                ),
            };
            return Err(Failure::invalid(format!("model: {model} is the active version: {remedy}")));
        }
        if self.versions.removals.values().any(|removal| removal.index == Some(index)) {
            return Err(Failure::new(ErrorCode::Unavailable, format!("model: {model} is being removed already")));
        }
        if self.is_protected(index) {
            return Err(Failure::invalid(format!("model: {model} is being activated")));
        }
        Ok(index)
    }

    /// Nothing is given to a bundle any more, and what it has loaded is let go.
    pub(super) fn forget_bundle(&mut self, index: usize) {
        let ids: Vec<_> = self.models.bundle(index).into_iter().flat_map(Bundle::ids).collect();
        for id in ids {
            self.recovery.forget(id);
            let Some(model) = self.models.get_mut(id) else { continue };
            let was_there = matches!(model.life, Life::Ready | Life::Loading | Life::Found);
            model.life = Life::Unloaded;
            model.rest.clear();
            self.build_over(id, super::super::builds::Over::GivenUp);
            self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
            if was_there {
                self.tell_unload(id);
            }
        }
        if let Some(bundle) = self.models.bundle_mut(index) {
            bundle.gone = true;
        }
        self.touch();
    }

    pub(super) fn removed(&mut self, id: u64, result: Result<(), String>) {
        let Some(Removal { label, index, who, done }) = self.versions.removals.remove(&id) else { return };
        self.note_deed(&who, "remove", &label, result.clone().map(|()| String::new()));
        if result.is_ok() {
            match (index, label.split_once(':')) {
                (Some(index), _) => {
                    self.versions.on_probation.retain(|_, watched| watched.bundle != index);
                    self.forget_bundle(index);
                }
                (None, Some((name, version))) => self.parts.remove(name, version),
                (None, None) => {}
            }
            self.touch();
            if let Some((name, version)) = label.split_once(':')
                && let Some(record) = self.versions.records.get(name).map(|record| record.without(version))
            {
                if index.is_some() {
                    self.models.set_active(name, record.active.as_deref());
                }
                self.versions.records.insert(name.to_owned(), record);
                self.keep_record(name);
            }
        }
        answer(done, result.map_err(|why| Failure::new(ErrorCode::Internal, why)));
    }
}
