//! Versions that the fleet's list forbids: from the moment that this is known no request is given to one, whatever its name or
//! version; another version serves instead, if the box has one.

use edge_core::{Event, ModelId, ModelState};

use super::super::builds::Over;
use super::super::models::{Bundle, Life, order};
use super::super::{Driver, jobs::JobId};
use super::Activation;
use super::fleet::FLEET;
use crate::store::{Found, UsedPart};

/// Why a version does not serve, as part of a sentence.
pub(in super::super) fn words(why: &str) -> String {
    match why {
        "" => "is revoked by the fleet's list".into(),
        why => format!("is revoked by the fleet's list: {why}"),
    }
}

impl Driver {
    /// A bundle was found: it does not serve if it must not.
    pub(in super::super) fn obey(&mut self, index: usize) {
        let Some(found) = self.models.bundle(index).map(|bundle| bundle.found.clone()) else { return };
        if let Some(why) = self.ban(&found) {
            self.revoke(index, &why);
        }
    }

    /// Why a bundle must not serve: the list forbids it, or a part that it is used with.
    fn ban(&self, found: &Found) -> Option<String> {
        let revoked = |name: &str, version: &str| self.versions.fleet.is_revoked(name, version).map(str::to_owned);
        let part = || {
            let of = |part: &UsedPart| {
                let why = revoked(&part.name, &part.version)?;
                Some(format!("its part {}:{}: {why}", part.name, part.version))
            };
            found.parts.iter().find_map(of)
        };
        revoked(&found.name, &found.version).or_else(part)
    }

    /// What is forbidden has changed, perhaps.
    pub(super) fn obey_all(&mut self) {
        let fleet = &self.versions.fleet;
        self.pipelines.obey(|name, version| fleet.is_revoked(name, version).map(str::to_owned));
        for index in 0..self.models.bundles().len() {
            let Some(bundle) = self.models.bundle(index).filter(|bundle| !bundle.gone) else { continue };
            let why = self.ban(&bundle.found.clone());
            match (&bundle.revoked, why) {
                (None, Some(why)) => self.revoke(index, &why),
                (Some(_), None) => self.allow(index),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        if !self.bundles_open {
            self.replace_revoked();
        }
    }

    fn revoke(&mut self, index: usize, why: &str) {
        let label = self.label(index);
        tracing::error!(model = %label, %why, "a version is revoked");
        if let Some(bundle) = self.models.bundle_mut(index) {
            bundle.revoked = Some(why.to_owned());
        }
        let under_way = |activation: &&Activation| activation.to == index;
        let jobs: Vec<JobId> = self.versions.activations.iter().filter(under_way).map(|found| found.job).collect();
        for job in jobs {
            self.cancel_activation(job);
        }
        self.versions.on_probation.retain(|_, watched| watched.bundle != index);
        self.versions.retiring.retain(|retiring| *retiring != index);
        let ids: Vec<ModelId> = self.models.bundle(index).into_iter().flat_map(Bundle::ids).collect();
        for id in ids {
            self.recovery.forget(id);
            self.forget_refusal(id);
            let Some(model) = self.models.get_mut(id) else { continue };
            let was_there = matches!(model.life, Life::Ready | Life::Loading | Life::Found);
            (model.life, model.rest) = (Life::Failed(format!("it {}", words(why))), String::new());
            self.build_over(id, Over::GivenUp);
            self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
            if was_there {
                self.tell_unload(id);
            }
        }
        self.touch();
    }

    /// It is forbidden no more: it rests until somebody asks for it.
    fn allow(&mut self, index: usize) {
        tracing::info!(model = %self.label(index), "a version is not revoked any more");
        let ids: Vec<ModelId> = self.models.bundle(index).into_iter().flat_map(Bundle::ids).collect();
        if let Some(bundle) = self.models.bundle_mut(index) {
            bundle.revoked = None;
        }
        for id in ids {
            if let Some(model) = self.models.get_mut(id).filter(|model| model.found.fault.is_none()) {
                model.life = Life::Standby;
            }
        }
        self.rest_if_inactive(index);
        self.choose_setups();
    }

    /// Where the active version must not serve, the one before it does, or else the newest that may.
    pub(super) fn replace_revoked(&mut self) {
        let forbidden = |bundle: &&Bundle| !bundle.gone && bundle.revoked.is_some();
        let mut names: Vec<String> =
            self.models.bundles().iter().filter(forbidden).map(|bundle| bundle.found.name.clone()).collect();
        names.dedup();
        for name in names {
            let record = self.versions.records.get(&name).cloned().unwrap_or_default();
            // Without a record the newest that may serve does, anyway.
            let Some(active) = record.active.clone().filter(|active| self.is_banned(&name, active)) else { continue };
            let Some(instead) = self.substitute(&name, record.previous.as_deref()) else { continue };
            let version = self.models.bundle(instead).map(|bundle| bundle.found.version.clone()).unwrap_or_default();
            let record = record.revoked(Some(&version));
            self.models.set_active(&name, Some(&version));
            self.versions.records.insert(name.clone(), record);
            let why = self.versions.fleet.is_revoked(&name, &active).unwrap_or_default();
            let detail = format!("it {}; {version} serves instead", words(why));
            self.note_deed(FLEET, "revoke", &format!("{name}:{active}"), Ok(detail));
            self.load_version(instead);
            self.keep_record(&name);
        }
    }

    fn is_banned(&self, name: &str, version: &str) -> bool {
        let place = self.models.place(name, version).and_then(|index| self.models.bundle(index));
        place.is_some_and(|bundle| bundle.revoked.is_some())
    }

    fn substitute(&self, name: &str, previous: Option<&str>) -> Option<usize> {
        let bad =
            |version: &str| self.versions.records.get(name).is_some_and(|record| record.bad.contains_key(version));
        let fits = |(index, bundle): (usize, &Bundle)| {
            let named = !bundle.gone && bundle.found.name == name;
            let good = bundle.revoked.is_none() && bundle.found.fault.is_none() && !bad(&bundle.found.version);
            (named && good)
                .then(|| ((Some(bundle.found.version.as_str()) == previous, order(&bundle.found.version)), index))
        };
        self.models.bundles().iter().enumerate().filter_map(fits).max().map(|(_, index)| index)
    }
}
