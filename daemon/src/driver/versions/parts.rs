//! A version of a part takes over from another. Each model that is active and needs the part is loaded a second time, with
//! the new part, beside what serves; it has to give its golden answers. Then the part's record is written, and from then on
//! requests go to what was loaded. If one of the models fails, nothing changes, and the part's activation says why.
//!
//! The second one is a bundle of its own in the table of models, of the same name and version, that nobody finds until it
//! takes over.

use edge_engine::bundle::{PartFault, PartKind};
use edge_wire::dto::ModelStatus;
use edge_wire::error::ErrorCode;

use super::super::Driver;
use super::super::jobs::{JobId, Operation};
use super::super::models::{Bundle, Life};
use super::super::parts::{takes, used};
use super::Back;
use crate::handle::Activate;
use crate::request::Failure;
use crate::store::Found;
use crate::store::keeper::Ask;
use crate::store::records::Record;

/// A version of a part that is to become the active one.
pub(super) struct PartActivation {
    job: JobId,
    name: String,
    version: String,
    who: String,
    /// Of a rollback.
    back: Option<Back>,
    /// Indices of the bundles that serve, and of the same ones with the new part.
    pairs: Vec<(usize, usize)>,
    /// Its record is being written.
    recording: bool,
    record: Record,
}

impl Driver {
    /// The part that `name` or `name:version` means, if it is one: without a version the current one.
    pub(super) fn part_called(&self, model: &str) -> Option<&Found> {
        match model.split_once(':') {
            Some((name, version)) => self.parts.find(name, version),
            None => self.parts.current(model, self.active_part(model)),
        }
    }

    fn active_part(&self, name: &str) -> Option<&str> {
        self.versions.records.get(name)?.active.as_deref()
    }

    /// Chooses the parts of a model that was just found; what is missing or does not fit is its fault.
    pub(in super::super) fn compose(&self, found: &mut Found) {
        if found.needs.is_empty() || (found.fault.is_some() && !found.unfit) {
            return;
        }
        (found.fault, found.unfit) = (None, false);
        match self.parts.compose(found, |name| self.active_part(name)) {
            Ok(parts) => found.parts = parts,
            Err(fault) => {
                found.parts.clear();
                (found.fault, found.unfit) = (Some(fault.to_string()), true);
            }
        }
    }

    /// A part that was found, or installed: models that waited for it may be served now.
    pub(in super::super) fn take_part(&mut self, found: Found) {
        let label = format!("{}:{}", found.name, found.version);
        match &found.fault {
            Some(fault) => tracing::error!(part = %label, %fault, "part cannot be used"),
            None => tracing::info!(part = %label, "part"),
        }
        let name = found.name.clone();
        if !self.parts.add(found) {
            tracing::warn!(part = %label, "the same part again, ignored");
        }
        self.compose_again(&name, |found| found.unfit);
    }

    /// Chooses the parts of models that need this one again, of those that `which` names. What changes by that is a bundle of
    /// its own, in place of the one before.
    fn compose_again(&mut self, part: &str, which: impl Fn(&Found) -> bool) {
        for index in 0..self.models.bundles().len() {
            let Some(bundle) = self.models.bundle(index).filter(|bundle| !bundle.gone) else { continue };
            if !which(&bundle.found) || !bundle.found.needs.iter().any(|need| need.name == part) {
                continue;
            }
            let mut found = Found::clone(&bundle.found);
            self.compose(&mut found);
            if found == *bundle.found {
                continue;
            }
            self.forget_bundle(index);
            self.take_bundle(found);
        }
    }

    /// The bundles that need a part, and serve or would: of each its index.
    fn users(&self, part: &str) -> Vec<usize> {
        let needs = |bundle: &Bundle| bundle.found.needs.iter().any(|need| need.name == part);
        let users = self.models.bundles().iter().enumerate().filter(|(_, bundle)| !bundle.gone && needs(bundle));
        users.map(|(index, _)| index).collect()
    }

    /// Makes a version of a part the active one; the job.
    pub(super) fn activate_part(&mut self, part: &Found, how: Activate, who: String) -> Result<u64, Failure> {
        let label = format!("{}:{}", part.name, part.version);
        self.may_begin_part(&part.name)?;
        let job = self.jobs.begin(self.now, Operation::Activate, label, String::new(), None);
        match self.begin_part(job, part, how, who, None) {
            Ok(()) => Ok(job.0),
            Err(failure) => {
                self.jobs.finish(self.now, job, Err(failure.message.clone()));
                Err(failure)
            }
        }
    }

    /// Takes the version of a part back that was active before; the job.
    pub(super) fn rollback_part(&mut self, name: &str, who: String) -> Result<u64, Failure> {
        let previous = self.versions.records.get(name).and_then(|record| record.previous.clone());
        let Some(previous) = previous else {
            let text = format!("model: {name} has no version before the active one that it could go back to");
            return Err(Failure::invalid(text));
        };
        let Some(part) = self.parts.find(name, &previous).cloned() else {
            let text = format!("model: {name}:{previous}, which was active before, is not there any more");
            return Err(Failure::new(ErrorCode::Unavailable, text));
        };
        self.may_begin_part(name)?;
        let job = self.jobs.begin(self.now, Operation::Rollback, format!("{name}:{previous}"), String::new(), None);
        let back = Some(Back { why: None });
        match self.begin_part(job, &part, Activate { pause: false, force: true }, who, back) {
            Ok(()) => Ok(job.0),
            Err(failure) => {
                self.jobs.finish(self.now, job, Err(failure.message.clone()));
                Err(failure)
            }
        }
    }

    /// One change of a part at a time, and none of a model that needs it meanwhile.
    pub(super) fn may_begin_part(&self, name: &str) -> Result<(), Failure> {
        let other = self.versions.part_activations.iter().find(|other| other.name == name);
        let users = self.users(name);
        let of_user = |index: usize| users.contains(&index);
        let model = self.versions.activations.iter().find(|activation| of_user(activation.to));
        let job = other.map(|other| other.job).or(model.map(|activation| activation.job));
        job.map_or(Ok(()), |job| {
            let text =
                format!("model: {name} or a model that needs it is being activated (job {}): wait for its end", job.0);
            Err(Failure { retry_after_ms: Some(5000), ..Failure::new(ErrorCode::Unavailable, text) })
        })
    }

    /// Whether a model is being loaded with another part: it is not changed by itself meanwhile.
    pub(super) fn is_recomposed(&self, name: &str) -> Option<JobId> {
        let of_name = |index: &usize| self.models.bundle(*index).is_some_and(|bundle| bundle.found.name == name);
        let of_model = |activation: &&PartActivation| activation.pairs.iter().any(|(from, _)| of_name(from));
        self.versions.part_activations.iter().find(of_model).map(|activation| activation.job)
    }

    pub(super) fn begin_part(
        &mut self,
        job: JobId,
        part: &Found,
        how: Activate,
        who: String,
        back: Option<Back>,
    ) -> Result<(), Failure> {
        let begun = self.load_with_part(job, part, how, who, back);
        // What only has to wait says nothing of the part.
        if let Err(failure) = begun.as_ref()
            && failure.retry_after_ms.is_none()
        {
            self.parts.tried(&part.name, &part.version, Err(failure.message.clone()));
        }
        begun
    }

    fn load_with_part(
        &mut self,
        job: JobId,
        part: &Found,
        how: Activate,
        who: String,
        back: Option<Back>,
    ) -> Result<(), Failure> {
        let (name, version) = (part.name.clone(), part.version.clone());
        let label = format!("{name}:{version}");
        if let Some(fault) = &part.fault {
            return Err(Failure::new(ErrorCode::Unavailable, format!("model `{label}`: {fault}")));
        }
        if let Some(why) = self.versions.fleet.is_revoked(&name, &version) {
            return Err(Failure::new(ErrorCode::Unavailable, format!("model: {label} {}", super::revoke::words(why))));
        }
        let record = self.versions.records.get(&name);
        if let Some(why) = record.and_then(|record| record.bad.get(&version)).filter(|_| !how.force) {
            let text = format!("model: {label} was taken back here: {why}; `--force` activates it all the same");
            return Err(Failure::invalid(text));
        }
        let mut anew = Vec::new();
        for index in self.users(&name) {
            let Some(bundle) = self.models.bundle(index).filter(|bundle| self.is_active(bundle)) else { continue };
            let found = &bundle.found;
            let refused = |fault: PartFault| {
                Failure::invalid(format!("model: {label} is not for {}:{}: {fault}", found.name, found.version))
            };
            for need in found.needs.iter().filter(|need| need.name == name) {
                takes(found, need, part).map_err(refused)?;
            }
            let has = found.parts.iter().any(|used| used.name == name && used.version == version);
            if has || (found.fault.is_some() && !found.unfit) {
                continue;
            }
            let mut found = Found::clone(found);
            match found.unfit {
                true => self.compose(&mut found),
                false => {
                    let of_part = found.parts.iter_mut().filter(|used| used.name == name);
                    of_part.for_each(|place| *place = used(part));
                }
            }
            anew.push((index, found));
        }
        let mut pairs = Vec::new();
        for (index, found) in anew {
            let (allowed, hosts) = (&self.config.engine.providers, &mut self.hosts);
            let Some(to) = self.models.add_beside(found, allowed, |provider| hosts.of(provider)) else {
                pairs.iter().for_each(|(_, to)| self.forget_bundle(*to));
                return Err(Failure::new(ErrorCode::Overloaded, "the table of models is full: restart edged"));
            };
            pairs.push((index, to));
        }
        self.jobs.phase(job, "loading models with it", None);
        let places: Vec<usize> = pairs.iter().map(|(_, to)| *to).collect();
        let activation =
            PartActivation { job, name, version, who, back, pairs, recording: false, record: Record::default() };
        self.versions.part_activations.push(activation);
        places.into_iter().for_each(|to| self.place_found(to));
        self.drive_parts();
        self.touch();
        Ok(())
    }

    /// Each goes as far as it can.
    pub(super) fn drive_parts(&mut self) {
        for at in 0..self.versions.part_activations.len() {
            let Some(activation) = self.versions.part_activations.get(at).filter(|of| !of.recording) else { continue };
            let failed = activation.pairs.iter().find_map(|(_, to)| Some((*to, self.why_not(*to)?)));
            if let Some((to, why)) = failed {
                let why = format!("{}, loaded with it: {why}", self.label(to));
                self.part_failed(at, why);
            } else if activation.pairs.iter().all(|(_, to)| self.is_ready(*to)) {
                self.record_part(at);
            }
        }
        self.versions.part_activations.retain(|activation| self.jobs.is_running(activation.job));
    }

    fn is_ready(&self, index: usize) -> bool {
        let setups = self.models.bundle(index).into_iter().flat_map(Bundle::ids);
        setups.filter_map(|id| self.models.get(id)).any(|model| model.life == Life::Ready)
    }

    /// What was loaded with the part is let go; nothing else changes.
    fn part_failed(&mut self, at: usize, why: String) {
        let Some(activation) = self.versions.part_activations.get_mut(at) else { return };
        let (job, who) = (activation.job, activation.who.clone());
        let (name, version) = (activation.name.clone(), activation.version.clone());
        let label = format!("{name}:{version}");
        let what = if activation.back.is_some() { "rollback" } else { "activate" };
        let pairs = std::mem::take(&mut activation.pairs);
        self.parts.tried(&name, &version, Err(why.clone()));
        pairs.iter().for_each(|(_, to)| self.forget_bundle(*to));
        self.note_deed(&who, what, &label, Err(why.clone()));
        self.jobs.finish(self.now, job, Err(why));
    }

    fn record_part(&mut self, at: usize) {
        let Some(activation) = self.versions.part_activations.get(at) else { return };
        let (name, version, job) = (activation.name.clone(), activation.version.clone(), activation.job);
        let mut before = self.versions.records.get(&name).cloned().unwrap_or_default();
        let other = self.parts.current(&name, None).map(|part| part.version.clone());
        before.active = before.active.or(other.filter(|other| *other != version));
        let record = match &activation.back {
            Some(_) => before.rolled_back(None).unwrap_or(before),
            None => before.activated(&version, None),
        };
        let kept = Box::new(record.clone());
        if let Some(activation) = self.versions.part_activations.get_mut(at) {
            (activation.recording, activation.record) = (true, record);
        }
        self.jobs.phase(job, "switching", None);
        if let Err(failure) = self.ask_store_as(job.0, |id| Ask::Record { id, name, record: kept }) {
            self.part_failed(at, failure.message);
        }
    }

    /// A record is on the disk, or not; whether it was one of a part.
    pub(super) fn part_recorded(&mut self, id: u64, result: &Result<(), String>) -> bool {
        let Some(at) = self.versions.part_activations.iter().position(|activation| activation.job.0 == id) else {
            return false;
        };
        match result {
            Ok(()) => {
                let activation = self.versions.part_activations.remove(at);
                self.switch_part(activation);
            }
            Err(why) => self.part_failed(at, why.clone()),
        }
        true
    }

    /// From now on requests go to the models with the new part; what is on those before ends.
    fn switch_part(&mut self, activation: PartActivation) {
        let PartActivation { job, name, version, who, back, pairs, record, .. } = activation;
        let before = self.active_part(&name).map(str::to_owned);
        self.parts.tried(&name, &version, Ok(()));
        self.versions.records.insert(name.clone(), record);
        for (from, to) in &pairs {
            self.take_over(*from, *to);
        }
        // Versions that are installed and not active get it as well; they are tried when somebody asks for them.
        let inactive =
            |found: &Found| !pairs.iter().any(|(_, to)| self.models.bundle(*to).is_some_and(|to| *to.found == *found));
        let inactive: Vec<String> = self
            .users(&name)
            .into_iter()
            .filter_map(|index| self.models.bundle(index))
            .filter(|bundle| !self.is_active(bundle) && inactive(&bundle.found))
            .map(|bundle| bundle.found.version.clone())
            .collect();
        self.compose_again(&name, |found| inactive.contains(&found.version));
        let models: Vec<String> = pairs.iter().map(|(_, to)| self.label(*to)).collect();
        let of = if models.is_empty() { String::new() } else { format!("; it serves in {}", models.join(", ")) };
        let detail = before.map_or_else(|| "the first one".to_owned(), |before| format!("instead of {name}:{before}"));
        let what = if back.is_some() { "rollback" } else { "activate" };
        self.note_deed(&who, what, &format!("{name}:{version}"), Ok(format!("{detail}{of}")));
        self.jobs.finish(self.now, job, Ok(()));
        self.retire();
        self.adopt_found();
        self.choose_setups();
        self.touch();
    }

    /// Requests for a model go to the same version of it with another part.
    fn take_over(&mut self, from: usize, to: usize) {
        let (mut used, mut done) = (0, 0);
        if let Some(bundle) = self.models.bundle_mut(from) {
            bundle.gone = true;
            (used, done) = (bundle.used, bundle.done);
        }
        if let Some(bundle) = self.models.bundle_mut(to) {
            (bundle.gone, bundle.used, bundle.done) = (false, used, done);
        }
        if let Some(last) = self.memory.last_use.remove(&from) {
            self.memory.last_use.insert(to, last);
        }
        for watched in self.versions.on_probation.values_mut().filter(|watched| watched.bundle == from) {
            (watched.bundle, watched.checking) = (to, None);
        }
        self.versions.retiring.retain(|retiring| *retiring != to);
        self.versions.retiring.push(from);
    }

    /// Gives it up, unless its record is being written.
    pub(super) fn cancel_part(&mut self, id: JobId) {
        let of_job = |activation: &PartActivation| activation.job == id && !activation.recording;
        let Some(at) = self.versions.part_activations.iter().position(of_job) else { return };
        let PartActivation { job, name, version, who, pairs, .. } = self.versions.part_activations.remove(at);
        pairs.iter().for_each(|(_, to)| self.forget_bundle(*to));
        self.note_deed(&who, "activate", &format!("{name}:{version}"), Err("cancelled".into()));
        self.jobs.cancelled(self.now, job);
    }

    /// Whether a bundle takes part in a change of a part.
    pub(super) fn is_in_pair(&self, bundle: usize) -> bool {
        let pairs = self.versions.part_activations.iter().flat_map(|activation| &activation.pairs);
        pairs.into_iter().any(|(from, to)| *from == bundle || *to == bundle)
    }

    /// The first version of a part that is installed beside another must not be used before it was activated.
    pub(super) fn keep_part(&mut self, name: &str) {
        if self.versions.records.contains_key(name) {
            return;
        }
        let Some(active) = self.parts.current(name, None).map(|part| part.version.clone()) else { return };
        let record = Record { active: Some(active), ..Record::default() };
        let (name, kept) = (name.to_owned(), Box::new(record.clone()));
        self.versions.records.insert(name.clone(), record);
        if let Err(failure) = self.ask_store(|id| Ask::Record { id, name, record: kept }) {
            tracing::error!(why = %failure.message, "which version of a part is used could not be noted");
        }
    }

    /// Whether a version of a part may be taken out of the store.
    pub(super) fn may_remove_part(&self, name: &str, version: &str) -> Result<(), Failure> {
        let uses = |bundle: &&Bundle| {
            let used = bundle.found.parts.iter().any(|part| part.name == name && part.version == version);
            !bundle.gone && used
        };
        let users: Vec<String> = self.models.bundles().iter().filter(uses).map(|bundle| bundle.label()).collect();
        if !users.is_empty() {
            let text = format!(
                "model: {name}:{version} is used by {}: activate another version of {name} first",
                users.join(", ")
            );
            return Err(Failure::invalid(text));
        }
        let changing = self.versions.part_activations.iter().any(|activation| activation.name == name);
        if changing {
            return Err(Failure::invalid(format!("model: {name}:{version} is being activated")));
        }
        Ok(())
    }

    /// Parts as they cross the bus.
    pub(in super::super) fn part_statuses(&self) -> Vec<ModelStatus> {
        let status = |part: &Found| {
            let current = self.parts.current(&part.name, self.active_part(&part.name));
            let record = self.versions.records.get(&part.name);
            let uses = |bundle: &&Bundle| {
                let used = bundle.found.parts.iter().any(|used| used.name == part.name && used.version == part.version);
                !bundle.gone && used
            };
            let active = current.is_some_and(|current| current.version == part.version);
            let refused = self.parts.refused(&part.name, &part.version).filter(|_| !active);
            let fault = part.fault.as_deref().or(refused);
            ModelStatus {
                name: part.name.clone(),
                version: part.version.clone(),
                description: part.description.clone(),
                task: part.part.as_ref().map_or("", |facts| PartKind::as_str(facts.kind)).into(),
                licence: part.licence.clone(),
                state: if fault.is_some() { "failed" } else { "ready" }.into(),
                reason: fault.unwrap_or_default().into(),
                path: part.dir.display().to_string(),
                active,
                installed_at: part.installed_at.clone(),
                signed_by: part.signer.clone(),
                bad: record.and_then(|record| record.bad.get(&part.version).cloned()).unwrap_or_default(),
                used_by: self.models.bundles().iter().filter(uses).map(|bundle| bundle.label()).collect(),
                ..ModelStatus::default()
            }
        };
        self.parts.iter().map(status).collect()
    }

    /// Number of the key that signed a part.
    pub(super) fn part_signer(&self, name: &str, version: &str) -> Option<String> {
        self.parts.find(name, version).map(|part| part.signer.clone())
    }
}
