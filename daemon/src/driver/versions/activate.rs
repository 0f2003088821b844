//! One version takes over from another: it is loaded beside what serves, gives its golden answers, its record is written,
//! and from then on requests go to it; what served is let go when what is on it has ended.

use edge_core::memory::Admission;
use edge_core::{Event, RequestId};
use edge_wire::error::ErrorCode;

use super::super::entry::{Entry, Place};
use super::super::jobs::{JobId, Operation};
use super::super::models::{Bundle, Kind, Life, Model};
use super::super::{Driver, clock};
use super::{Activation, Back, ITSELF, Stage, revoke};
use crate::handle::Activate;
use crate::request::{Failure, Payload};
use crate::store::keeper::Ask;
use crate::store::records::Record;

impl Activation {
    /// The deed, as the history calls it.
    fn what(&self) -> &'static str {
        if self.back.is_some() { "rollback" } else { "activate" }
    }
}

impl Driver {
    /// Makes a version the active one.
    pub(in super::super) fn activate(&mut self, model: &str, how: Activate, who: String) -> Result<u64, Failure> {
        if let Some(part) = self.part_called(model).cloned() {
            return self.activate_part(&part, how, who);
        }
        let index = self.version_of(model)?;
        let label = self.label(index);
        self.may_begin(&label)?;
        let job = self.jobs.begin(self.now, Operation::Activate, label.clone(), String::new(), None);
        match self.begin_activation(job, &label, how, who) {
            Ok(()) => Ok(job.0),
            Err(failure) => {
                self.jobs.finish(self.now, job, Err(failure.message.clone()));
                Err(failure)
            }
        }
    }

    /// Takes the version before back.
    pub(in super::super) fn rollback(&mut self, model: &str, who: String) -> Result<u64, Failure> {
        let (name, _) = super::super::resolve::model_name(model, None)?;
        let name = name.to_owned();
        if self.parts.has(&name) {
            return self.rollback_part(&name, who);
        }
        self.back(&name, None, who)
    }

    /// The same, for a reason that counts against what serves.
    pub(super) fn back(&mut self, name: &str, why: Option<String>, who: String) -> Result<u64, Failure> {
        let record = self.versions.records.get(name).cloned().unwrap_or_default();
        let Some(previous) = record.previous else {
            let text = format!("model: {name} has no version before the active one that it could go back to");
            return Err(Failure::invalid(text));
        };
        if let Some(why) = self.versions.fleet.is_revoked(name, &previous) {
            let text = format!("model: {name}:{previous}, which was active before, {}", revoke::words(why));
            return Err(Failure::new(ErrorCode::Unavailable, text));
        }
        let Some(to) = self.models.place(name, &previous) else {
            let text = format!("model: {name}:{previous}, which was active before, is not there any more");
            return Err(Failure::new(ErrorCode::Unavailable, text));
        };
        self.may_begin(&format!("{name}:{previous}"))?;
        self.stays(to)?;
        let label = self.label(to);
        let job = self.jobs.begin(self.now, Operation::Rollback, label, String::new(), None);
        let from = record.active.and_then(|active| self.models.place(name, &active));
        self.versions.on_probation.remove(name);
        self.enter(Activation {
            job,
            name: name.to_owned(),
            to,
            from,
            who,
            back: Some(Back { why }),
            stage: Stage::Loading,
            record: Record::default(),
        });
        Ok(job.0)
    }

    /// One version of a model at a time.
    fn may_begin(&self, label: &str) -> Result<(), Failure> {
        let name = label.split(':').next().unwrap_or_default();
        if let Some(job) = self.is_recomposed(name) {
            let text = format!("model: {name} is being loaded with another part (job {}): wait for its end", job.0);
            return Err(Failure { retry_after_ms: Some(5000), ..Failure::new(ErrorCode::Unavailable, text) });
        }
        match self.versions.activations.iter().find(|activation| activation.name == name) {
            Some(other) => {
                let (to, job) = (self.label(other.to), other.job.0);
                let text = format!("model: {to} is being activated (job {job}): wait for its end, or cancel it");
                Err(Failure { retry_after_ms: Some(5000), ..Failure::new(ErrorCode::Unavailable, text) })
            }
            None => Ok(()),
        }
    }

    /// What is being taken out of the store is not made the active version.
    fn stays(&self, index: usize) -> Result<(), Failure> {
        match self.versions.removals.values().any(|removal| removal.index == Some(index)) {
            false => Ok(()),
            true => {
                let text = format!("model: {} is being removed", self.label(index));
                Err(Failure::new(ErrorCode::Unavailable, text))
            }
        }
    }

    pub(super) fn begin_activation(
        &mut self,
        job: JobId,
        label: &str,
        how: Activate,
        who: String,
    ) -> Result<(), Failure> {
        self.may_begin(label)?;
        let to = self.version_of(label)?;
        let Some(found) = self.models.bundle(to).map(|bundle| bundle.found.clone()) else {
            return Err(super::super::internal("model table"));
        };
        self.stays(to)?;
        if let Some(fault) = &found.fault {
            return Err(Failure::new(ErrorCode::Unavailable, format!("model `{label}`: {fault}")));
        }
        if let Some(why) = self.models.bundle(to).and_then(|bundle| bundle.revoked.clone()) {
            return Err(Failure::new(ErrorCode::Unavailable, format!("model: {label} {}", revoke::words(&why))));
        }
        let record = self.versions.records.get(&found.name).cloned().unwrap_or_default();
        if let Some(why) = record.bad.get(&found.version).filter(|_| !how.force) {
            return Err(Failure::invalid(format!(
                "model: {label} was taken back here: {why}; `--force` activates it all the same"
            )));
        }
        let serving = self.models.find(&found.name, None).ok().and_then(|bundle| self.models.get(bundle.root()));
        let from = serving.map(|model| model.bundle).filter(|from| *from != to);
        let stage = match from {
            Some(from) => self.room_beside(to, from, how.pause)?,
            None => Stage::Loading,
        };
        self.enter(Activation {
            job,
            name: found.name.clone(),
            to,
            from,
            who,
            back: None,
            stage,
            record: Record::default(),
        });
        Ok(())
    }

    /// Whether a version fits beside the one that serves; if not, whether that may be let go first.
    fn room_beside(&self, to: usize, from: usize, pause: bool) -> Result<Stage, Failure> {
        let Some(id) = self.models.bundle(to).map(Bundle::shown) else { return Ok(Stage::Loading) };
        let loaded = self.models.bundle(to).into_iter().flat_map(Bundle::ids).filter_map(|id| self.models.get(id));
        if self.outside.library.is_none() || loaded.into_iter().any(|model| model.life == Life::Ready) {
            return Ok(Stage::Loading);
        }
        match self.admit_beside(id, from) {
            Admission::Fits | Admission::Unload(_) => Ok(Stage::Loading),
            Admission::Refuse { .. } if pause => Ok(Stage::Clearing),
            Admission::Refuse { needed, free, .. } => Err(Failure::new(
                ErrorCode::Unavailable,
                format!(
                    "model: {} needs {} MiB, and {} MiB are left beside {}, which serves: `--pause` lets that go first, so that \
                     requests wait until the new version is loaded",
                    self.label(to),
                    needed.div_ceil(1 << 20),
                    free >> 20,
                    self.label(from)
                ),
            )),
        }
    }

    fn enter(&mut self, activation: Activation) {
        let to = activation.to;
        let clearing = activation.stage == Stage::Clearing;
        self.jobs.phase(activation.job, if clearing { "ending what serves" } else { "loading" }, None);
        self.versions.activations.push(activation);
        if !clearing {
            self.load_version(to);
        }
        self.drive_activations();
        self.touch();
    }

    /// A version that rests, or failed before, is loaded.
    pub(super) fn load_version(&mut self, index: usize) {
        let ids: Vec<_> = self.models.bundle(index).into_iter().flat_map(Bundle::ids).collect();
        for id in ids {
            let Some(model) = self.models.get_mut(id) else { continue };
            model.rest.clear();
            if matches!(model.life, Life::Failed(_) | Life::Unloaded) && model.found.fault.is_none() {
                model.life = Life::Standby;
                self.recovery.forget(id);
            }
        }
        self.choose_setups();
    }

    /// Each activation goes as far as it can.
    pub(super) fn drive_activations(&mut self) {
        for at in 0..self.versions.activations.len() {
            let Some(Activation { to, from, stage, .. }) = self.versions.activations.get(at) else { break };
            let (to, from) = (*to, *from);
            match stage {
                Stage::Clearing => {
                    let done = from.is_none_or(|from| !self.is_used(from));
                    if done {
                        from.into_iter().for_each(|from| self.let_go(from));
                        self.stage(at, Stage::Loading, "loading");
                        self.load_version(to);
                    }
                }
                Stage::Loading => self.loading(at, to, from),
                Stage::Recording => {}
            }
        }
        self.versions.activations.retain(|activation| self.jobs.is_running(activation.job));
    }

    fn stage(&mut self, at: usize, stage: Stage, phase: &str) {
        let Some(activation) = self.versions.activations.get_mut(at) else { return };
        activation.stage = stage;
        self.jobs.phase(activation.job, phase, None);
        self.touch();
    }

    fn loading(&mut self, at: usize, to: usize, from: Option<usize>) {
        let is_ready = |index: usize| {
            let setups = self.models.bundle(index).into_iter().flat_map(Bundle::ids);
            setups.filter_map(|id| self.models.get(id)).any(|model| model.life == Life::Ready)
        };
        let Some(activation) = self.versions.activations.get(at) else { return };
        // What is good is not kept waiting for by what is not: a rollback from a version that does not serve is at once.
        let at_once = activation.back.is_some() && from.is_none_or(|from| !is_ready(from));
        if is_ready(to) || at_once {
            return self.record(at);
        }
        if let Some(why) = self.why_not(to) {
            let (who, label, back) = (activation.who.clone(), self.label(to), activation.back.is_some());
            let job = activation.job;
            self.note_deed(&who, if back { "rollback" } else { "activate" }, &label, Err(why.clone()));
            self.lay_failed(to, &why);
            self.jobs.finish(self.now, job, Err(why));
        }
    }

    /// Why a version will not be loaded, if that is known.
    pub(super) fn why_not(&self, index: usize) -> Option<String> {
        let setups: Vec<&Model> =
            self.models.bundle(index).into_iter().flat_map(Bundle::ids).filter_map(|id| self.models.get(id)).collect();
        let fails = |model: &&Model| match &model.life {
            Life::Failed(why) => Some(why.clone()),
            Life::Standby if !model.rest.is_empty() => Some(model.rest.clone()),
            Life::Unloaded => Some("it was unloaded".into()),
            _ => None,
        };
        let whys: Vec<String> = setups.iter().filter_map(fails).collect();
        (whys.len() == setups.len()).then(|| whys.into_iter().next().unwrap_or_default())
    }

    /// A version that could not be activated is no problem of the box: it rests, and says why.
    fn lay_failed(&mut self, index: usize, why: &str) {
        let ids: Vec<_> = self.models.bundle(index).into_iter().flat_map(Bundle::ids).collect();
        for id in ids {
            self.recovery.forget(id);
            if let Some(model) = self.models.get_mut(id).filter(|model| matches!(model.life, Life::Failed(_))) {
                model.life = Life::Standby;
                model.rest = format!("installed, and not active: {why}");
            }
        }
    }

    /// The record of what is to be active is written; requests change over when it is on the disk.
    fn record(&mut self, at: usize) {
        let Some(activation) = self.versions.activations.get(at) else { return };
        let (name, job) = (activation.name.clone(), activation.job);
        let version = |index: usize| self.models.bundle(index).map(|bundle| bundle.found.version.clone());
        let Some(to) = version(activation.to) else { return };
        let mut before = self.versions.records.get(&name).cloned().unwrap_or_default();
        before.active = before.active.or_else(|| activation.from.and_then(version));
        let record = match &activation.back {
            Some(back) => before.rolled_back(back.why.as_deref()).unwrap_or(before),
            None => {
                let watched = activation.from.is_some() && !self.config.models.probation.is_zero();
                before.activated(&to, watched.then(|| clock::rfc3339(clock::wall())))
            }
        };
        let record = Record { aside: self.aside_of(at, record.aside.clone()), ..record };
        self.stage(at, Stage::Recording, "switching");
        let kept = Box::new(record.clone());
        if let Some(activation) = self.versions.activations.get_mut(at) {
            activation.record = record;
        }
        if let Err(failure) = self.ask_store_as(job.0, |id| Ask::Record { id, name, record: kept }) {
            self.not_recorded(at, failure.message);
        }
    }

    fn not_recorded(&mut self, at: usize, why: String) {
        let activation = self.versions.activations.remove(at);
        self.end_unrecorded(&activation, why);
    }

    /// What was to be active is not on the disk: what serves serves on.
    fn end_unrecorded(&mut self, activation: &Activation, why: String) {
        self.note_deed(&activation.who, activation.what(), &self.label(activation.to), Err(why.clone()));
        self.jobs.finish(self.now, activation.job, Err(why));
        if activation.from.is_some() {
            self.versions.retiring.push(activation.to);
        }
    }

    /// A record is on the disk, or not.
    pub(super) fn recorded(&mut self, id: u64, result: Result<(), String>) {
        if self.part_recorded(id, &result) {
            return;
        }
        let at = self.versions.activations.iter().position(|activation| activation.job.0 == id);
        let Some(activation) = at.map(|at| self.versions.activations.remove(at)) else {
            return self.record_kept(id, result);
        };
        let what = activation.what();
        let label = self.label(activation.to);
        if let Err(why) = result {
            return self.end_unrecorded(&activation, why);
        }
        self.switch(activation, what, &label);
    }

    /// From now on requests that name no version go to another one.
    fn switch(&mut self, activation: Activation, what: &str, label: &str) {
        let Activation { job, name, to, from, who, back, record, .. } = activation;
        let Some(version) = self.models.bundle(to).map(|bundle| bundle.found.version.clone()) else { return };
        self.versions.records.insert(name.clone(), record);
        self.models.set_active(&name, Some(&version));
        self.follow(to);
        self.versions.retiring.retain(|retiring| *retiring != to);
        let detail = match (&back, from) {
            (Some(Back { why: Some(why) }), Some(from)) => format!("{} is taken back: {why}", self.label(from)),
            (_, Some(from)) => format!("instead of {}", self.label(from)),
            (_, None) => String::new(),
        };
        if back.is_some() && who == ITSELF {
            tracing::error!(model = %label, why = %detail, "a version is taken back");
        }
        self.note_deed(&who, what, label, Ok(detail));
        self.jobs.finish(self.now, job, Ok(()));
        match back {
            Some(_) => from.into_iter().for_each(|from| self.versions.retiring.push(from)),
            None => self.watch(&name, to, from),
        }
        self.retire();
        self.touch();
    }

    /// What waits for no version in particular waits for the new one: beside it the old one would have half of the box until its
    /// line is empty. Only requests that mean the same there: their tensors must be as before.
    fn follow(&mut self, to: usize) {
        let Some(new) = self.models.bundle(to) else { return };
        let (name, new) = (new.found.name.clone(), new.root());
        let spec =
            |id| self.models.spec(id).map(|spec| (&spec.inputs, &spec.outputs, &spec.content_types, spec.batched));
        // What came for a version before the one that served until now may still wait as well, if they change quickly.
        let means_the_same = |entry: &Entry| {
            let meant = self.models.bundle_of(entry.model).filter(|meant| meant.found.name == name);
            meant.is_some_and(|meant| spec(meant.root()).is_some_and(|meant| Some(meant) == spec(new)))
        };
        let follows = |entry: &Entry| !entry.pinned && matches!(entry.place, Place::Single) && means_the_same(entry);
        let mut ids: Vec<RequestId> =
            self.entries.iter().filter(|(_, entry)| follows(entry)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        for id in ids {
            let Some(entry) = self.entries.get(&id) else { continue };
            let kind = if matches!(entry.payload, Payload::Encoded { .. }) { Kind::Encoded } else { Kind::Tensors };
            let Some(to) = self.models.bundle(to).map(|bundle| bundle.serves(kind)) else { return };
            self.core.handle(self.now, Event::Follow { id, to });
        }
        self.act();
    }

    fn cancel_activation_at(&mut self, at: usize) {
        let activation = self.versions.activations.remove(at);
        self.note_deed(&activation.who, "activate", &self.label(activation.to), Err("cancelled".into()));
        self.jobs.cancelled(self.now, activation.job);
        if activation.from.is_some() {
            self.versions.retiring.push(activation.to);
        }
    }

    /// Gives an activation up, unless its record is being written.
    pub(super) fn cancel_activation(&mut self, id: JobId) {
        self.cancel_part(id);
        let of_job = |activation: &Activation| activation.job == id && activation.stage != Stage::Recording;
        if let Some(at) = self.versions.activations.iter().position(of_job) {
            self.cancel_activation_at(at);
        }
    }

    /// What served before is let go when nothing is on it any more.
    pub(super) fn retire(&mut self) {
        let due: Vec<usize> = self.versions.retiring.iter().copied().filter(|index| !self.is_used(*index)).collect();
        for index in due {
            self.versions.retiring.retain(|other| *other != index);
            match self.models.bundle(index).is_some_and(|bundle| bundle.gone) {
                true => self.forget_bundle(index),
                false => self.let_go(index),
            }
        }
    }

    /// Whether requests are on a bundle.
    fn is_used(&self, index: usize) -> bool {
        let of_bundle = |id| self.models.get(id).is_some_and(|model| model.bundle == index);
        self.entries.values().any(|entry| of_bundle(entry.model))
    }

    fn let_go(&mut self, index: usize) {
        let Some(root) = self.models.bundle(index).map(Bundle::root) else { return };
        let why = "another version is active";
        self.rest(root, why);
        self.lay_to_rest(index, "installed, and not active: a request that names its version loads it");
    }
}
