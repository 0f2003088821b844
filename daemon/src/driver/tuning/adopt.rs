//! What becomes of plans: one that was measured is kept and served by; one that was found is, if it is of this box.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use edge_core::{Event, ModelId};
use edge_wire::plan::Plan;

use super::super::models::Kind;
use super::super::{Driver, chain, clock, hosts};
use super::{Measuring, table};
use crate::plans;

impl Driver {
    /// Every way was tried: the plan is made, kept and served by.
    pub(super) fn measured(&mut self, measuring: Measuring) {
        let Measuring { bundle, job, began, tuner, setups, ways, reports, encoded, .. } = measuring;
        self.tuning.tried.push(bundle);
        let Some(found) = self.models.bundle(bundle).map(|bundle| bundle.found.clone()) else { return };
        let took = self.now.since(began);
        let plan = Plan {
            model: found.name.clone(),
            version: found.version.clone(),
            made_at: clock::rfc3339(clock::wall()),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            key: self.plan_key(&found),
            ..Plan::default()
        };
        let rail = self.outside.power.as_ref().map(|meter| meter.name.as_str());
        let disturbed = tuner.is_disturbed();
        let mut plan = table::plan(
            &table::Found { setups: &setups, reports: &reports, ways: &ways, points: tuner.points(), encoded, rail },
            plan,
        );
        if disturbed {
            let text =
                "other programs kept the processors busy: the figures may be too slow, measure again when they rest";
            plan.remarks.push(text.into());
        }
        if tuner.points().is_empty() {
            let mut reasons: Vec<&str> = plan.ways.iter().map(|way| way.reason.as_str()).collect();
            reasons.retain(|reason| !reason.is_empty());
            reasons.dedup();
            let why = if reasons.is_empty() { "no way to run it is allowed".into() } else { reasons.join("; ") };
            self.jobs.finish(self.now, job, Err(format!("nothing could be measured: {why}")));
            return;
        }
        let (dir, kept) = (self.config.cache.dir.clone(), plan.clone());
        let write = move || plans::write(&dir, &kept).map_err(|error| chain(&error));
        self.tuning.writing = Some(tokio::task::spawn_blocking(write));
        self.adopt(bundle, plan);
        self.jobs.finish(self.now, job, Ok(()));
        self.choose_setups();
        self.touch();
    }

    /// A model is served by its plan from now on.
    fn adopt(&mut self, index: usize, plan: Plan) {
        let plan = Arc::new(plan);
        let objective = self.config.models.objective;
        for kind in Kind::ALL {
            let first = table::chosen(&plan, kind, objective.as_str()).and_then(|(setup, _)| {
                let host = self.hosts.of(&setup.provider);
                let before = self.models.bundle(index).map_or(0, |bundle| bundle.ids().count());
                let id = self.models.ensure(index, &setup, host)?;
                if self.models.bundle(index).is_some_and(|bundle| bundle.ids().count() > before) {
                    self.core.handle(self.now, Event::Placed { model: id, host });
                }
                Some(id)
            });
            self.models.prefer(index, kind, first, |setup| table::allows(&plan, kind, setup));
        }
        if let Some(bundle) = self.models.bundle_mut(index) {
            tracing::info!(model = %bundle.found.name, version = %bundle.found.version, objective = objective.as_str(), "served by its plan");
            (bundle.plan, bundle.no_plan) = (Some(plan), None);
        }
    }

    /// Tells the core what was measured of a setup that was just loaded.
    pub(in crate::driver) fn tell_curve(&mut self, id: ModelId) {
        let Some(setup) = self.models.get(id).map(|model| model.setup.clone()) else { return };
        let Some(plan) = self.models.bundle_of(id).and_then(|bundle| bundle.plan.clone()) else { return };
        for (batch, took) in table::curve(&plan, &setup) {
            // As often as a size is measured before it is compared.
            for _ in 0..edge_core::estimate::batch_size::TRIED {
                self.core.handle(self.now, Event::Measured { model: id, batch, took });
            }
            self.core.handle(self.now, Event::Planned { model: id, batch, took });
        }
    }

    /// What a plan of this model holds for.
    fn plan_key(&self, found: &crate::store::Found) -> plans::Key {
        let mut key = vec![("model".to_owned(), found.digest.clone())];
        let parts = found.parts.iter().map(|part| (format!("part {}", part.name), part.digest.clone()));
        key.extend(parts);
        key.extend(self.plan_facts());
        for provider in &self.config.engine.providers {
            if found.setups.iter().any(|setup| setup.provider == *provider) {
                key.push((format!("provider {provider}"), self.provider_identity(provider)));
            }
        }
        key
    }

    /// What the plans of all installed models hold for, by model and version.
    pub(in crate::driver) fn plan_keys(&self) -> BTreeMap<(String, String), plans::Key> {
        let bundles = self.models.bundles().iter().filter(|bundle| !bundle.gone);
        let key = |found: &crate::store::Found| ((found.name.clone(), found.version.clone()), self.plan_key(found));
        bundles.map(|bundle| key(&bundle.found)).collect()
    }

    /// What this box is, for engines and plans that come from another one.
    pub(in crate::driver) fn facts(&self) -> plans::Key {
        let platform = &self.outside.platform;
        let root = self.outside.copied_machine.as_deref().unwrap_or(std::path::Path::new("/"));
        let facts = [
            ("machine", platform.machine.clone()),
            ("architecture", platform.architecture.clone()),
            ("processor", crate::telemetry::processor_name().unwrap_or_default()),
            ("processor features", crate::telemetry::processor_features()),
            ("graphics", crate::telemetry::graphics_names()),
            ("driver", crate::telemetry::gpu_driver()),
            ("board software", crate::telemetry::board_software(root)),
            ("runtime", self.hosts.library().map(|(version, _)| version.to_owned()).unwrap_or_default()),
        ];
        let known = facts.into_iter().filter(|(_, value)| !value.is_empty());
        known.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Plans of another box that are on the disk now: what is installed is served by them, and not measured.
    pub(in crate::driver) fn take_plans(&mut self, plans: Vec<Plan>) {
        for plan in plans {
            let Some(index) = self.models.place(&plan.model, &plan.version) else { continue };
            if let Some(job) = self.job_of_tuning(index) {
                self.cancel_tune(job);
            }
            if let Some(bundle) = self.models.bundle_mut(index) {
                Arc::make_mut(&mut bundle.found).plan = Some(Ok(plan));
                (bundle.plan, bundle.no_plan) = (None, None);
            }
        }
        self.adopt_found();
        self.choose_setups();
    }

    /// What any plan of this box holds for.
    pub(in crate::driver) fn plan_facts(&self) -> plans::Key {
        let platform = &self.outside.platform;
        let version = self.hosts.library().map(|(version, _)| version.to_owned()).unwrap_or_default();
        let mut key = vec![
            ("device".to_owned(), format!("{}, {} cores, {}", platform.machine, platform.cores, platform.architecture)),
            ("processor".to_owned(), crate::telemetry::processor_name().unwrap_or_default()),
            ("runtime".to_owned(), version),
            ("driver".to_owned(), crate::telemetry::gpu_driver()),
        ];
        let graphics = crate::telemetry::graphics_names();
        if !graphics.is_empty() {
            key.push(("graphics".to_owned(), graphics));
        }
        key
    }

    /// What tells one build of a provider from another.
    fn provider_identity(&self, provider: &str) -> String {
        match hosts::Provider::of(provider) {
            Some(hosts::Provider::Plugin) => {
                let dir = &self.config.engine.providers_dir;
                edge_engine::library::find_plugin(dir, provider)
                    .map_or_else(|_| "not there".into(), |path| identity(&path))
            }
            Some(hosts::Provider::BuiltIn) => match self.hosts.library() {
                Some((_, have)) if have.iter().any(|name| name == provider) => "built in".into(),
                Some(_) | None => "not there".into(),
            },
            None => "built in".into(),
        }
    }

    /// Whether it is not known yet whether the plan that was found for a bundle holds: that takes the library's version.
    pub(in crate::driver) fn awaits_plan(&self, index: usize) -> bool {
        let known = self.hosts.library().is_some()
            || self.hosts.first().is_none_or(|first| first.is_hopeless() || first.is_unfit());
        let found = self
            .models
            .bundle(index)
            .is_some_and(|bundle| bundle.found.plan.is_some() && bundle.plan.is_none() && bundle.no_plan.is_none());
        found && !known && self.outside.library.is_some()
    }

    /// Takes over the plans that were found and hold for this box.
    pub(in crate::driver) fn adopt_found(&mut self) {
        if self.hosts.library().is_none() || self.outside.library.is_none() {
            return;
        }
        for index in 0..self.models.bundles().len() {
            let Some(bundle) =
                self.models.bundle(index).filter(|bundle| bundle.plan.is_none() && bundle.no_plan.is_none())
            else {
                continue;
            };
            let found = bundle.found.clone();
            match &found.plan {
                None => {}
                Some(Ok(plan)) => match plans::differs(&plan.key, &self.plan_key(&found)) {
                    Some(why) => self.no_plan(index, format!("it is of another box or build: {why}")),
                    None => match table::foreign(plan, &found.setups) {
                        Some(why) => self.no_plan(index, why),
                        None => self.adopt(index, Plan::clone(plan)),
                    },
                },
                Some(Err(why)) => self.no_plan(index, why.clone()),
            }
        }
    }

    /// Plans that do not hold any more, because the runtime is another one, are not served by, and their models are measured
    /// again.
    pub(in crate::driver) fn drop_foreign_plans(&mut self) {
        if self.hosts.library().is_none() || self.outside.library.is_none() {
            return;
        }
        for index in 0..self.models.bundles().len() {
            let Some(bundle) = self.models.bundle(index) else { continue };
            let Some(plan) = &bundle.plan else { continue };
            let Some(why) = plans::differs(&plan.key, &self.plan_key(&bundle.found)) else { continue };
            if let Some(bundle) = self.models.bundle_mut(index) {
                bundle.plan = None;
            }
            self.no_plan(index, format!("it is of another box or build: {why}"));
            Kind::ALL.into_iter().for_each(|kind| self.models.prefer(index, kind, None, |_| true));
            self.tuning.tried.retain(|tried| *tried != index);
        }
    }

    /// Serves by the plans that there are for another objective.
    pub(in crate::driver) fn adopt_again(&mut self) {
        for index in 0..self.models.bundles().len() {
            if let Some(plan) = self.models.bundle(index).and_then(|bundle| bundle.plan.clone()) {
                self.adopt(index, Plan::clone(&plan));
            }
        }
        self.choose_setups();
    }

    fn no_plan(&mut self, index: usize, why: String) {
        if let Some(bundle) = self.models.bundle_mut(index) {
            tracing::warn!(model = %bundle.found.name, version = %bundle.found.version, %why, "a plan is not used");
            bundle.no_plan = Some(why);
        }
    }
}

/// Bytes of a library's begin that are read: there stands what its build is called, and its tables.
const READ_OF_LIBRARY: u64 = 1 << 20;

/// What tells one version of a library from another, without reading all of it. The same on every box that has it, wherever
/// and whenever it was put there.
fn identity(path: &std::path::Path) -> String {
    let known = || {
        let file = std::fs::File::open(path)?;
        let bytes = file.metadata()?.len();
        let digest = edge_engine::bundle::digest(&mut file.take(READ_OF_LIBRARY))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok::<_, std::io::Error>(format!("{name}, {bytes} bytes, {}", digest.get(..16).unwrap_or(&digest)))
    };
    known().unwrap_or_else(|error| format!("{}: {error}", path.display()))
}
