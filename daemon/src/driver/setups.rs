//! Carries out the choice among the setups of each model: loads one, lets another go, gives requests to the one that
//! serves. The choice itself is the core's.

use edge_core::setups::{Stand, choose};
use edge_core::{Event, ModelId, ModelState};

use super::Driver;
use super::models::{Life, Model};

impl Driver {
    /// A bundle that was just found.
    pub(super) fn place_found(&mut self, bundle: usize) {
        let ids: Vec<ModelId> = self.models.bundle(bundle).into_iter().flat_map(super::models::Bundle::ids).collect();
        for id in ids {
            let Some(model) = self.models.get(id) else { continue };
            let (host, state) = (model.host, model.core_state(id));
            self.core.handle(self.now, Event::Placed { model: id, host });
            self.core.handle(self.now, Event::ModelState { model: id, state });
        }
        self.choose_setups();
    }

    /// Chooses again for every model, because a setup or a host has changed.
    pub(super) fn choose_setups(&mut self) {
        for bundle in 0..self.models.bundles().len() {
            self.choose_for(bundle);
        }
    }

    fn choose_for(&mut self, index: usize) {
        let Some(bundle) = self.models.bundle(index) else { return };
        let (ids, serving): (Vec<ModelId>, _) = (bundle.ids().collect(), bundle.serving);
        let stands: Vec<Stand> =
            ids.iter().filter_map(|id| self.models.get(*id)).map(|model| self.stand(model)).collect();
        let choice = choose(&stands);
        if let Some(id) = choice.load.and_then(|at| ids.get(at)) {
            self.want(*id);
        }
        if let Some(to) = ids.get(choice.serve).filter(|to| **to != serving) {
            self.serve_by(index, serving, *to);
        }
        for (at, id) in ids.iter().enumerate() {
            if choice.release & 1 << at != 0 {
                self.release(*id);
            }
        }
    }

    fn stand(&self, model: &Model) -> Stand {
        let host = self.hosts.get(model.host);
        let (up, coming) = host.map_or((false, false), |host| (host.is_up(), host.is_coming(self.now)));
        model.stand(self.now, up, coming)
    }

    /// A setup is to be loaded, as soon as its host can.
    fn want(&mut self, id: ModelId) {
        let now = self.now;
        let Some(model) = self.models.get_mut(id) else { return };
        model.life = Life::Found;
        model.since = now;
        let host = model.host;
        if let Some(state) = self.hosts.get_mut(host) {
            state.want(now);
        }
        self.core.handle(now, Event::ModelState { model: id, state: ModelState::Loading });
        self.fail_models_of(host);
        self.load_next(host);
        self.touch();
    }

    /// Another setup takes over.
    fn serve_by(&mut self, bundle: usize, from: ModelId, to: ModelId) {
        if let (Some(old), Some(new)) = (self.models.get(from), self.models.get(to)) {
            tracing::info!(model = %new.label(), from = %old.way(), to = %new.way(), "another setup serves");
        }
        if let Some(bundle) = self.models.bundle_mut(bundle) {
            bundle.serving = to;
        }
        self.core.handle(self.now, Event::Moved { from, to });
        self.touch();
    }

    /// A setup that stood in is not needed any more; what it runs may end.
    fn release(&mut self, id: ModelId) {
        let Some(model) = self.models.get_mut(id) else { return };
        model.life = Life::Standby;
        self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
        self.tell_unload(id);
        self.touch();
    }
}
