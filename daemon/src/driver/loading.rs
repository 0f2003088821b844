//! Which setups an engine host is asked to load, and what becomes of them when they are loaded, fail, or the host ends.
//! Which of them are to be loaded is chosen in [`setups`](super::setups).

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use edge_core::recovery::Blame;
use edge_core::{Event, HostId, ModelId, ModelState};
use edge_engine::protocol::{LoadModel, LoadedModel, ToHost, compiles};
use edge_wire::error::ErrorCode;

use super::Driver;
use super::builds::{CANCELLED, Over};
use super::memory::Turn;
use super::models::{Life, Model};
use crate::lanes::supervise::{AfterLoadDeath, LoadDeath, after_load_death};
use crate::request::Failure;

impl Driver {
    /// Asks a host for what is to be loaded there and is not: what was used last first; suspects one at a time, after all
    /// others. After a restart requests wait for what was used last, so nothing competes with that for the cores.
    pub(super) fn load_next(&mut self, host: HostId) {
        let Some(state) = self.hosts.get(host).filter(|state| state.is_up()) else { return };
        let of_host = || self.models.iter().filter(|(_, model)| model.host == host);
        let used = |model: &Model| self.models.bundle(model.bundle).map_or(0, |bundle| bundle.used);
        let mut found: Vec<(ModelId, u64, bool)> = of_host()
            .filter(|(_, model)| model.life == Life::Found)
            .map(|(id, model)| (id, used(model), model.suspect))
            .collect();
        found.sort_by_key(|(id, used, _)| (std::cmp::Reverse(*used), *id));
        let is = |life: Life| of_host().any(|(_, model)| model.life == life);
        let first_alone =
            state.is_restarted() && !is(Life::Ready) && found.first().is_some_and(|(_, used, _)| *used > 0);
        let most = match (first_alone, is(Life::Loading)) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => usize::MAX,
        };
        let ordinary: Vec<ModelId> =
            found.iter().filter(|(_, _, suspect)| !suspect).take(most).map(|(id, _, _)| *id).collect();
        for id in ordinary {
            // One that is refused lets others have their turn meanwhile.
            if self.models.get(id).is_some_and(|model| model.life == Life::Found) {
                self.send_load(id);
            }
        }
        let busy = self.models.iter().any(|(_, model)| model.host == host && model.life == Life::Loading);
        let first = found.first().map(|(id, _, _)| *id);
        let is_left = |id: &ModelId| self.models.get(*id).is_some_and(|model| model.life == Life::Found);
        if let (false, Some(id)) = (busy, first.filter(is_left)) {
            self.send_load(id);
        }
    }

    /// A setup is to be loaded now, if there is room for it.
    pub(super) fn send_load(&mut self, id: ModelId) {
        match self.take_turn(id) {
            Turn::Load => {}
            Turn::Wait => {
                if let Some(model) = self.models.get_mut(id) {
                    model.life = Life::Found;
                }
                return;
            }
            Turn::Over => return,
        }
        let now = self.now;
        let Some(model) = self.models.get_mut(id) else { return };
        model.life = Life::Loading;
        model.since = now;
        model.load = model.load.wrapping_add(1);
        self.core.handle(now, Event::ModelState { model: id, state: ModelState::Loading });
        self.begin_load(id);
    }

    /// Asks the host of a setup to load it; what is compiled for it is kept in this directory.
    pub(super) fn tell_load(&mut self, id: ModelId, cache_dir: Option<PathBuf>) {
        let now = self.now;
        let Some(model) = self.models.get_mut(id) else { return };
        let (host, long) = (model.host, compiles(&model.setup.provider));
        let load = LoadModel {
            model: id.0,
            load: model.load,
            bundle: model.found.dir.clone(),
            parts: model.found.part_dirs(),
            first_lane: Model::first_lane(id),
            setup: model.setup.clone(),
            // The same bundle on the same library gave its golden answers in this very life of the daemon.
            check_goldens: model.loaded.is_none() || model.recheck,
            trial: false,
            cache_dir,
        };
        self.note_device_before(id);
        let Some(state) = self.hosts.get_mut(host) else { return };
        let sent = state.send(&ToHost::Load(load), Vec::new());
        state.expect_load(now, long);
        if let Err(error) = sent {
            self.model_failed(id, super::chain(&error), Blame::Provider);
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
        if let Some(why) = self.models.differs(id, &loaded) {
            self.tell_unload(id);
            return self.model_failed(id, why, Blame::Lasting);
        }
        let Some(model) = self.models.get_mut(id) else { return };
        let host = model.host;
        if let Some(state) = self.hosts.get_mut(host) {
            state.lanes(Model::first_lane(id), channels);
        }
        let goldens = model.loaded.as_ref().map_or(loaded.goldens_passed, |before| before.goldens_passed);
        tracing::info!(
            model = %model.label(), variant = %loaded.variant, provider = %model.setup.provider,
            load_ms = loaded.load_ms, goldens, "model ready"
        );
        (model.suspect, model.recheck) = (false, false);
        let grown = loaded.memory_bytes;
        model.set_loaded(LoadedModel { goldens_passed: goldens, ..loaded });
        let state = model.core_state(id);
        self.note_grown(id, grown);
        self.note_device(id);
        self.recovery.loaded(id, self.now);
        self.build_loaded(id);
        if service_ns > 0 {
            // A first estimate: without one the core has to take whatever comes until the first request is done.
            let took = Duration::from_nanos(service_ns);
            self.core.handle(self.now, Event::Measured { model: id, batch: 1, took });
        }
        self.tell_curve(id);
        self.core.handle(self.now, Event::ModelState { model: id, state });
        self.keep_within_limit(id);
        self.after_load(host);
    }

    /// A setup that is being loaded cannot be served.
    pub(super) fn model_failed(&mut self, id: ModelId, message: String, blame: Blame) {
        let Some(model) = self.models.get_mut(id).filter(|model| model.life == Life::Loading) else { return };
        tracing::error!(model = %model.label(), way = %model.way(), why = %message, "model cannot be served");
        model.life = Life::Failed(message.clone());
        model.loaded = None;
        let (host, took) = (model.host, self.now.since(model.since));
        self.note_failure(id, blame, took);
        self.build_over(id, Over::Failed(message));
        // Another setup may take over what waits for it.
        self.choose_setups();
        self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
        self.after_load(host);
    }

    pub(super) fn after_load(&mut self, host: HostId) {
        let loading = || self.models.iter().filter(|(_, model)| model.host == host && model.life == Life::Loading);
        let (loads, long) = (loading().next().is_some(), loading().any(|(_, model)| compiles(&model.setup.provider)));
        let now = self.now;
        if let Some(state) = self.hosts.get_mut(host) {
            if loads {
                state.expect_load(now, long);
            } else {
                state.expect_nothing();
            }
        }
        self.choose_setups();
        self.load_next(host);
        // What waits on other hosts for room may have it now.
        self.load_waiting();
        self.check_warm();
        self.touch();
    }

    /// A host ended while requests were on it or for a reason of its own (`explained`), or not.
    pub(super) fn models_after_end(&mut self, host: HostId, explained: bool) {
        let with = |life: Life| -> Vec<ModelId> {
            let of_host = self.models.iter().filter(|(_, model)| model.host == host && model.life == life);
            of_host.map(|(id, _)| id).collect()
        };
        let (loading, ready, now) = (with(Life::Loading), with(Life::Ready), self.now);
        for id in &loading {
            self.build_killed(*id, explained);
            let Some(model) = self.models.get_mut(*id) else { continue };
            let death = LoadDeath { beside: loading.len() - 1, explained, suspect: model.suspect };
            match after_load_death(death) {
                AfterLoadDeath::Again => (model.life, model.since) = (Life::Found, now),
                AfterLoadDeath::Alone => {
                    model.suspect = true;
                    (model.life, model.since) = (Life::Found, now);
                }
                AfterLoadDeath::GiveUp => {
                    let why = "its load ended the engine host twice, or did not end";
                    self.model_failed(*id, why.into(), Blame::Host);
                }
            }
        }
        for id in ready {
            if let Some(model) = self.models.get_mut(id) {
                (model.life, model.since) = (Life::Found, now);
            }
        }
        let found: Vec<ModelId> = self
            .models
            .iter()
            .filter(|(_, model)| model.host == host && model.life == Life::Found)
            .map(|(id, _)| id)
            .collect();
        for id in found {
            self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Loading });
        }
    }

    /// Loads a model on request.
    pub(super) fn load(&mut self, name: &str) -> Result<(), Failure> {
        let (name, version) = super::resolve::model_name(name, None)?;
        if self.set_unloaded(name, version, false)? {
            return Ok(());
        }
        let id = self.models.find(name, version)?.shown();
        let Some(model) = self.models.get(id) else { return Ok(()) };
        let (label, life) = (model.label(), model.life.clone());
        if let Some(fault) = &model.found.fault {
            return Err(Failure::new(ErrorCode::Unavailable, format!("model `{label}`: {fault}")));
        }
        let bundle = self.models.bundle_of(id);
        let mut setups = bundle.into_iter().flat_map(super::models::Bundle::ids).filter_map(|id| self.models.get(id));
        let cancelled = setups.any(|model| model.life == Life::Failed(CANCELLED.into()));
        let pausing = bundle.into_iter().flat_map(super::models::Bundle::ids).any(|id| self.recovery.awaits(id));
        if cancelled || pausing || matches!(life, Life::Failed(_) | Life::Unloaded) {
            let why_down = |host: HostId| self.hosts.get(host).filter(|host| host.is_hopeless())?.why_down();
            let ids: Vec<ModelId> =
                self.models.bundle_of(id).into_iter().flat_map(super::models::Bundle::ids).collect();
            let hosts = ids.iter().filter_map(|id| self.models.get(*id)).map(|model| model.host);
            let whys: Vec<Option<String>> = hosts.map(why_down).collect();
            if let Some(Some(why)) = whys.first().filter(|_| whys.iter().all(Option::is_some)) {
                return Err(Failure::new(ErrorCode::Unavailable, why.clone()));
            }
            for (id, why) in ids.into_iter().zip(whys) {
                let stopped = |model: &&mut Model| matches!(model.life, Life::Failed(_) | Life::Unloaded);
                if let Some(model) = self.models.get_mut(id).filter(|_| why.is_none()).filter(stopped) {
                    model.life = Life::Standby;
                    (model.loaded, model.suspect) = (None, false);
                    self.recovery.forget(id);
                }
            }
            self.choose_setups();
            self.touch();
        }
        self.wake(id);
        Ok(())
    }

    /// Unloads a model on request; what waits for it is shed.
    pub(super) fn unload(&mut self, name: &str) -> Result<(), Failure> {
        let (name, version) = super::resolve::model_name(name, None)?;
        if self.set_unloaded(name, version, true)? {
            return Ok(());
        }
        let ids: Vec<ModelId> = self.models.find(name, version)?.ids().collect();
        for id in ids {
            let Some(model) = self.models.get_mut(id) else { continue };
            // What would be tried again by itself is not, when it was unloaded.
            let pausing = self.recovery.awaits(id) || self.memory.waits(id);
            if matches!(model.life, Life::Standby | Life::Ready | Life::Loading | Life::Found) || pausing {
                self.recovery.forget(id);
                model.life = Life::Unloaded;
                model.rest.clear();
                self.build_over(id, Over::GivenUp);
                self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
                self.tell_unload(id);
            }
        }
        self.touch();
        Ok(())
    }

    /// Lets a host forget a setup.
    pub(super) fn tell_unload(&mut self, id: ModelId) {
        let Some(host) = self.models.get(id).map(|model| model.host) else { return };
        if let Some(state) = self.hosts.get_mut(host) {
            // Without a host there is nothing to unload.
            let _told = state.send(&ToHost::Unload { model: id.0 }, Vec::new());
        }
    }
}
