//! Carries out the choice among the setups of each model: loads one, lets another go, gives requests to the one that
//! serves. The choice itself is the core's.

use edge_core::setups::{Stand, choose};
use edge_core::{Event, ModelId, ModelState};

use super::Driver;
use super::builds::Over;
use super::models::{Kind, Life, Model};

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
        if self.awaits_plan(index) || self.rests(index) {
            return;
        }
        let Some(all) = self.models.bundle(index).map(|bundle| bundle.ids().collect::<Vec<_>>()) else { return };
        // What no kind of request needs is let go.
        let mut needed: Vec<ModelId> = Vec::new();
        for kind in Kind::ALL {
            let Some(bundle) = self.models.bundle(index) else { return };
            let (ids, serving) = (bundle.order(kind).to_vec(), bundle.serves(kind));
            let stands: Vec<Stand> =
                ids.iter().filter_map(|id| self.models.get(*id)).map(|model| self.stand(model)).collect();
            let choice = choose(&stands);
            if let Some(id) = choice.load.and_then(|at| ids.get(at)) {
                self.want(*id);
            }
            if let Some(to) = ids.get(choice.serve).filter(|to| **to != serving) {
                self.serve_by(index, kind, serving, *to);
            }
            let settled = stands.iter().find(|stand| **stand != Stand::Failed) == Some(&Stand::Ready);
            needed.extend(ids.iter().enumerate().filter(|(at, _)| choice.release & 1 << at == 0).map(|(_, id)| *id));
            if !settled {
                // Whatever is there may have to stand in.
                needed.extend(all.iter().copied());
            }
        }
        for id in all {
            let holds = self.models.get(id).is_some_and(Model::wants_host);
            if holds && !needed.contains(&id) {
                self.release(id);
            }
        }
    }

    fn stand(&self, model: &Model) -> Stand {
        let host = self.hosts.get(model.host);
        let (up, coming) = host.map_or((false, false), |host| (host.is_up(), host.is_coming(self.now)));
        match model.stand(self.now, up, coming) {
            Stand::Ready if host.is_some_and(|host| host.upkept.leaving) => Stand::Leaving,
            stand => stand,
        }
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
    fn serve_by(&mut self, bundle: usize, kind: Kind, from: ModelId, to: ModelId) {
        if let (Some(old), Some(new)) = (self.models.get(from), self.models.get(to)) {
            let (from, to) = (old.way(), new.way());
            tracing::info!(model = %new.label(), requests = kind.as_str(), %from, %to, "another setup serves");
        }
        let Some(bundle) = self.models.bundle_mut(bundle) else { return };
        bundle.set_serving(kind, to);
        // What waits where others of its bundle are still served waits well. What is left by the last of them goes with
        // tensor requests, whose setup answers any request right.
        if !bundle.is_serving(from) {
            self.core.handle(self.now, Event::Moved { from, to });
        }
        self.touch();
    }

    /// A setup that stood in is not needed any more; what it runs may end.
    fn release(&mut self, id: ModelId) {
        let Some(model) = self.models.get_mut(id) else { return };
        model.life = Life::Standby;
        self.build_over(id, Over::GivenUp);
        self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
        self.tell_unload(id);
        self.touch();
    }
}
