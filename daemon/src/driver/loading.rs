//! Which models the engine host is asked to load, and what becomes of them when they are loaded, fail, or the host ends.

use std::os::fd::OwnedFd;
use std::time::Duration;

use edge_core::{Event, ModelId, ModelState};
use edge_engine::protocol::{LoadModel, LoadedModel, ToHost};
use edge_wire::error::ErrorCode;

use super::Driver;
use super::models::{Life, Model};
use crate::lanes::supervise::{AfterLoadDeath, LoadDeath, after_load_death};
use crate::request::Failure;

impl Driver {
    /// Asks for the models that are not loaded: those used last first; suspects one at a time, after all others. After a
    /// restart requests wait for what was used last, so nothing competes with that for the cores.
    pub(super) fn load_next(&mut self) {
        if !self.host.is_up() {
            return;
        }
        let mut found: Vec<(ModelId, u64, bool)> = self
            .models
            .iter()
            .filter(|(_, model)| model.life == Life::Found)
            .map(|(id, model)| (id, model.used, model.suspect))
            .collect();
        found.sort_by_key(|(id, used, _)| (std::cmp::Reverse(*used), *id));
        let is = |life: Life| self.models.iter().any(|(_, model)| model.life == life);
        let first_alone =
            self.host.is_restarted() && !is(Life::Ready) && found.first().is_some_and(|(_, used, _)| *used > 0);
        let most = match (first_alone, is(Life::Loading)) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => usize::MAX,
        };
        for (id, _, _) in found.iter().filter(|(_, _, suspect)| !suspect).take(most) {
            self.send_load(*id);
        }
        let busy = self.models.iter().any(|(_, model)| model.life == Life::Loading);
        if let (false, Some((id, _, _))) = (busy, found.first()) {
            self.send_load(*id);
        }
    }

    /// A bundle that was just found.
    pub(super) fn load_found(&mut self, id: ModelId) {
        let Some(model) = self.models.get(id) else { return };
        self.core.handle(self.now, Event::ModelState { model: id, state: model.core_state(id) });
        if model.life == Life::Found && self.host.is_hopeless() {
            let why = self.host.status().reason;
            self.fail_all_models(&format!("no engine: {why}"));
        }
        self.load_next();
    }

    fn send_load(&mut self, id: ModelId) {
        let Some(model) = self.models.get_mut(id) else { return };
        model.life = Life::Loading;
        let Some(setup) = model.setup(&self.config.engine.providers) else {
            let why = model.no_setup(&self.config.engine.providers);
            return self.model_failed(id, why);
        };
        model.load = model.load.wrapping_add(1);
        let load = LoadModel {
            model: id.0,
            load: model.load,
            bundle: model.found.dir.clone(),
            first_lane: Model::first_lane(id),
            setup,
            // The same bundle on the same library gave its golden answers in this very life of the daemon.
            check_goldens: model.loaded.is_none(),
        };
        let sent = self.host.send(&ToHost::Load(load), Vec::new());
        self.host.expect_load(self.now);
        self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Loading });
        if let Err(error) = sent {
            self.model_failed(id, super::chain(&error));
        }
    }

    /// Whether this load was not given up meanwhile: what was said before the host heard of it means nothing now.
    pub(super) fn awaits_load(&self, id: ModelId, load: u32) -> bool {
        self.models.get(id).is_some_and(|model| model.life == Life::Loading && model.load == load)
    }

    pub(super) fn model_loaded(&mut self, loaded: LoadedModel, channels: Vec<OwnedFd>) {
        let id = ModelId(loaded.model);
        let service_ns = loaded.service_ns;
        // Given up meanwhile: the host was told to forget it, and closed channels end its lanes.
        if !self.awaits_load(id, loaded.load) {
            return;
        }
        let Some(model) = self.models.get_mut(id) else { return };
        self.host.lanes(Model::first_lane(id), channels);
        let goldens = model.loaded.as_ref().map_or(loaded.goldens_passed, |before| before.goldens_passed);
        tracing::info!(model = %model.label(), variant = %loaded.variant, load_ms = loaded.load_ms, goldens, "model ready");
        model.suspect = false;
        model.set_loaded(LoadedModel { goldens_passed: goldens, ..loaded });
        let state = model.core_state(id);
        if service_ns > 0 {
            // A first estimate: without one the core has to take whatever comes until the first request is done.
            let took = Duration::from_nanos(service_ns);
            self.core.handle(self.now, Event::Measured { model: id, batch: 1, took });
        }
        self.core.handle(self.now, Event::ModelState { model: id, state });
        self.after_load();
    }

    pub(super) fn model_failed(&mut self, id: ModelId, message: String) {
        let Some(model) = self.models.get_mut(id).filter(|model| model.life == Life::Loading) else { return };
        tracing::error!(model = %model.label(), why = %message, "model cannot be served");
        model.life = Life::Failed(message);
        model.loaded = None;
        self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
        self.after_load();
    }

    fn after_load(&mut self) {
        if self.models.iter().any(|(_, model)| model.life == Life::Loading) {
            self.host.expect_load(self.now);
        } else {
            self.host.expect_nothing();
        }
        self.load_next();
        self.check_warm();
        self.touch();
    }

    /// The host ended while requests were on it or for a reason of its own (`explained`), or not.
    pub(super) fn models_after_end(&mut self, explained: bool) {
        let loading: Vec<ModelId> =
            self.models.iter().filter(|(_, model)| model.life == Life::Loading).map(|(id, _)| id).collect();
        for id in &loading {
            let Some(model) = self.models.get_mut(*id) else { continue };
            let death = LoadDeath { beside: loading.len() - 1, explained, suspect: model.suspect };
            match after_load_death(death) {
                AfterLoadDeath::Again => model.life = Life::Found,
                AfterLoadDeath::Alone => {
                    model.suspect = true;
                    model.life = Life::Found;
                }
                AfterLoadDeath::GiveUp => {
                    self.model_failed(*id, "its load ended the engine host twice, or did not end".into());
                }
            }
        }
        let ready: Vec<ModelId> =
            self.models.iter().filter(|(_, model)| model.life == Life::Ready).map(|(id, _)| id).collect();
        for id in ready {
            if let Some(model) = self.models.get_mut(id) {
                model.life = Life::Found;
            }
        }
        let found: Vec<ModelId> =
            self.models.iter().filter(|(_, model)| model.life == Life::Found).map(|(id, _)| id).collect();
        for id in found {
            self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Loading });
        }
    }

    /// Loads a model on request.
    pub(super) fn load(&mut self, name: &str) -> Result<(), Failure> {
        let (name, version) = super::resolve::model_name(name, None)?;
        let id = self.models.find(name, version)?;
        let Some(model) = self.models.get_mut(id) else { return Ok(()) };
        if let Some(fault) = &model.found.fault {
            return Err(Failure::new(ErrorCode::Unavailable, format!("model `{}`: {fault}", model.label())));
        }
        if matches!(model.life, Life::Failed(_) | Life::Unloaded) {
            if let Some(why) = self.host.is_hopeless().then(|| self.host.why_down()).flatten() {
                return Err(Failure::new(ErrorCode::Unavailable, why));
            }
            model.life = Life::Found;
            (model.loaded, model.suspect) = (None, false);
            self.load_next();
            self.touch();
        }
        Ok(())
    }

    /// Unloads a model on request; what waits for it is shed.
    pub(super) fn unload(&mut self, name: &str) -> Result<(), Failure> {
        let (name, version) = super::resolve::model_name(name, None)?;
        let id = self.models.find(name, version)?;
        let Some(model) = self.models.get_mut(id) else { return Ok(()) };
        if matches!(model.life, Life::Ready | Life::Loading | Life::Found) {
            model.life = Life::Unloaded;
            self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
            // Without a host there is nothing to unload.
            let _told = self.host.send(&ToHost::Unload { model: id.0 }, Vec::new());
            self.touch();
        }
        Ok(())
    }
}
