//! Bundles as they are found or installed: each goes into the table of models, pipelines or parts, and it is said once that
//! every model was tried. Must not know how a bundle is read or checked.

use super::host::HostState;
use super::models::{Bundle, Life, Model};
use super::{Driver, Milestone};
use crate::store::Found;

impl Driver {
    pub(super) fn on_bundle(&mut self, found: Option<Found>) {
        self.now = self.clock.now();
        match found {
            // Its parts may be among those that are not read yet.
            Some(found) if !found.needs.is_empty() => self.parts.held.push(found),
            Some(found) => self.take_bundle(found),
            None => {
                for mut found in std::mem::take(&mut self.parts.held) {
                    self.compose(&mut found);
                    self.take_bundle(found);
                }
                self.bundles_open = false;
                self.wake_orphans();
            }
        }
        self.check_warm();
        self.touch();
    }

    /// A bundle that was found, or installed.
    pub(super) fn take_bundle(&mut self, mut found: Found) {
        let label = format!("{}:{}", found.name, found.version);
        if let Some(fault) = &found.fault {
            tracing::error!(model = %label, %fault, "bundle cannot be served");
        }
        if found.part.is_some() {
            return self.take_part(found);
        }
        let (allowed, hosts) = (&self.config.engine.providers, &mut self.hosts);
        let taken = match found.pipeline.take() {
            Some(spec) => {
                self.models.note_pipeline(&found.name);
                self.pipelines.add(found, spec)
            }
            None => {
                let added = self.models.add(found, allowed, |provider| hosts.of(provider));
                if let Some(bundle) = added {
                    self.rest_if_inactive(bundle);
                    self.obey(bundle);
                    self.adopt_found();
                    self.place_found(bundle);
                }
                added.is_some()
            }
        };
        if !taken {
            tracing::warn!(model = %label, "the same bundle again, ignored");
        }
    }

    /// Says once that every model was tried.
    pub(super) fn check_warm(&mut self) {
        let settled = |(at, bundle): (usize, &Bundle)| self.is_settled(bundle) && !self.awaits_plan(at);
        if !self.warm && !self.bundles_open && self.models.bundles().iter().enumerate().all(settled) {
            self.warm = true;
            self.milestone(Milestone::Warm);
        }
    }

    /// Whether a bundle is served, or nobody knows when it will be.
    fn is_settled(&self, bundle: &Bundle) -> bool {
        let setups = || bundle.ids().filter_map(|id| self.models.get(id));
        let is_unfit = |model: &Model| self.hosts.get(model.host).is_none_or(HostState::is_unfit);
        let awaited = |model: &Model| matches!(model.life, Life::Found | Life::Loading) && !is_unfit(model);
        setups().any(|model| model.life == Life::Ready) || !setups().any(awaited)
    }
}
