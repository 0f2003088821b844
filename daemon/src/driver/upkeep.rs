//! Engine hosts that run: ends those that no setup needs, and replaces those that keep memory of models that were unloaded.
//! Which and when is decided by [`edge_core::upkeep`]; here is what it is told, and what is done.

use std::time::Duration;

use edge_core::upkeep::{Facts, Upkeep, keeps_too_much, upkeep};
use edge_core::{HostId, ModelId, Mono};

use super::Driver;
use super::models::{Life, Model};

/// What is known of the memory and the work of one host, in this life of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Upkept {
    /// Its own memory without a model, bytes; 0 if nobody knows.
    base: u64,
    /// What unloading gave back less than the models had taken, bytes. Models that are unloaded at once cannot be told apart.
    missing: u64,
    /// Memory of unloaded models that was not given back, bytes.
    kept: u64,
    /// What the models took that were unloaded and are not loaded again, bytes.
    unloaded: u64,
    /// Work that it was given.
    work: u64,
    /// The work when it was last looked at.
    seen: u64,
    /// Nothing was under way since then.
    quiet_since: Mono,
    /// It has kept too much since then.
    keeping_since: Option<Mono>,
    /// Its setups serve only until others can.
    pub leaving: bool,
}

impl Upkept {
    /// A host that has just come up, with so much memory of its own.
    pub(super) fn new(now: Mono, base: u64) -> Upkept {
        Upkept { base, quiet_since: now, ..Upkept::default() }
    }

    /// It was given work.
    pub(super) fn works(&mut self) {
        self.work = self.work.wrapping_add(1);
    }

    /// A model that takes `cost` was loaded, and the host grew by less: it had room that it had kept.
    fn loaded(&mut self, cost: u64, grown: u64) {
        self.missing = self.missing.saturating_sub(cost.saturating_sub(grown));
        self.kept = self.kept.min(self.missing);
        self.unloaded = self.unloaded.saturating_sub(cost);
    }

    /// A model that took `cost` was unloaded, and those that are left there take `left`. What the host has beyond that may be
    /// what they took to run, and what was not given back may be what others took at the same time: only what is both is kept.
    fn unloaded(&mut self, cost: u64, before: u64, after: u64, left: u64) {
        if before == 0 || after == 0 || self.base == 0 {
            return;
        }
        self.unloaded = self.unloaded.saturating_add(cost);
        self.missing = self.missing.saturating_add(cost.saturating_sub(before.saturating_sub(after)));
        let beyond = after.saturating_sub(self.base.saturating_add(left));
        if left == 0 {
            // Without any model all that is more than at the start is kept.
            self.missing = beyond;
        }
        self.kept = self.missing.min(beyond);
    }

    /// For how long it has kept too much.
    fn keeps(&mut self, now: Mono) -> Duration {
        self.keeping_since = keeps_too_much(self.kept, self.unloaded).then_some(self.keeping_since.unwrap_or(now));
        self.keeping_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether anything was under way since it was last looked at, or is: for how long not.
    fn look(&mut self, now: Mono, busy: bool) -> Duration {
        if busy || self.work != self.seen {
            (self.seen, self.quiet_since) = (self.work, now);
        }
        now.since(self.quiet_since)
    }
}

impl Driver {
    /// A setup was loaded: whether its host had kept room for it.
    pub(super) fn note_grown(&mut self, id: ModelId, grown: u64) {
        let Some(model) = self.models.get(id) else { return };
        let (cost, host) = (model.memory_bytes, model.host);
        if let Some(state) = self.hosts.get_mut(host) {
            state.upkept.loaded(cost, grown);
        }
    }

    /// A host says that it has unloaded a model.
    pub(super) fn note_unloaded(&mut self, host: HostId, id: ModelId, before: u64, after: u64) {
        let Some(model) = self.models.get(id) else { return };
        let (cost, label, way) = (model.memory_bytes, model.label(), model.way());
        let holds = |model: &&Model| model.host == host && matches!(model.life, Life::Loading | Life::Ready);
        let left =
            self.models.iter().map(|(_, model)| model).filter(holds).map(|model| model.memory_bytes.max(1)).sum();
        let Some(state) = self.hosts.get_mut(host) else { return };
        state.upkept.unloaded(cost, before, after, left);
        let (took_mib, freed_mib, kept_mib) = (cost >> 20, before.saturating_sub(after) >> 20, state.upkept.kept >> 20);
        tracing::info!(model = %label, %way, took_mib, freed_mib, kept_mib, "unloaded");
        self.look_after_host(host);
    }

    /// The setups on a host that requests are given to.
    fn serving_on(&self, host: HostId) -> impl Iterator<Item = ModelId> {
        let on_host = self.models.iter().filter(move |(_, model)| model.host == host && model.life == Life::Ready);
        on_host.map(|(id, _)| id).filter(|id| self.models.bundle_of(*id).is_some_and(|bundle| bundle.is_serving(*id)))
    }

    /// Now and then: looks after all hosts.
    pub(super) fn look_after_hosts(&mut self) {
        for at in 0..self.hosts.iter().count() {
            self.look_after_host(HostId(u8::try_from(at).unwrap_or(u8::MAX)));
        }
    }

    fn look_after_host(&mut self, id: HostId) {
        let Some(facts) = self.facts_of(id) else { return };
        let Some(state) = self.hosts.get_mut(id) else { return };
        let (provider, kept_mib) = (state.provider.clone(), facts.kept >> 20);
        match upkeep(&facts) {
            Upkeep::Keep => self.leave_host(id, false, kept_mib),
            Upkeep::Leave => self.leave_host(id, true, kept_mib),
            Upkeep::End => {
                tracing::info!(%provider, kept_mib, "no model needs this engine host: it is ended");
                state.replace();
            }
            Upkeep::Replace => {
                tracing::info!(%provider, kept_mib, "the runtime keeps memory of what was unloaded: its engine host is replaced");
                state.replace();
            }
        }
    }

    /// What is known of a host that is up.
    fn facts_of(&mut self, id: HostId) -> Option<Facts> {
        let of_host = || self.models.iter().filter(|(_, model)| model.host == id).map(|(_, model)| model);
        let (wanted, loading) = (of_host().any(Model::wants_host), of_host().any(|model| model.life == Life::Loading));
        let now = self.now;
        let state = self.hosts.get_mut(id).filter(|state| state.is_up())?;
        let busy = loading || state.is_at_work();
        // A host that was wanted until now was not idle.
        let quiet = state.upkept.look(now, busy || wanted && state.upkept.kept == 0);
        let keeping = state.upkept.keeps(now);
        let Upkept { kept, unloaded, .. } = state.upkept;
        let facts = Facts { first: id == HostId(0), wanted, busy, quiet, kept, unloaded, keeping, ..Facts::default() };
        if !keeps_too_much(kept, unloaded) {
            return Some(facts);
        }
        let serving: Vec<ModelId> = self.serving_on(id).collect();
        let can_leave = serving.iter().all(|setup| self.has_stand_in(*setup, Some(id)));
        Some(Facts { serves: !serving.is_empty(), can_leave, ..facts })
    }

    /// The setups on a host serve only until others can, from now on, or not any more.
    fn leave_host(&mut self, id: HostId, leave: bool, kept_mib: u64) {
        let Some(state) = self.hosts.get_mut(id).filter(|state| state.upkept.leaving != leave) else { return };
        state.upkept.leaving = leave;
        if leave {
            tracing::info!(provider = %state.provider, kept_mib, "the runtime keeps memory of what was unloaded: others serve while its engine host is replaced");
            state.remark(format!("it keeps {kept_mib} MiB of models that were unloaded: replaced when others serve"));
        } else {
            state.remark(String::new());
        }
        self.choose_setups();
        self.touch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_taken_and_not_given_back() {
        // The host has 10 without a model; a model of 100 is unloaded beside others that take `left`.
        for (before, after, left, kept) in [
            (310, 210, 200, 0),
            (310, 290, 200, 80),
            (310, 290, 250, 30),
            (110, 10, 0, 0),
            (110, 95, 0, 85),
            (310, 330, 200, 100),
            // Another one was unloaded at the same time: what is gone is gone.
            (310, 110, 100, 0),
            (110, 110, 100, 0),
            (0, 0, 0, 0),
            (310, 0, 0, 0),
        ] {
            let mut host = Upkept::new(Mono::default(), 10);
            host.unloaded(100, before, after, left);
            let unloaded = if before == 0 || after == 0 { 0 } else { 100 };
            assert_eq!((host.kept, host.unloaded), (kept, unloaded), "{before} {after} {left}");
        }
    }

    #[test]
    fn what_is_used_again_is_not_kept_any_more() {
        let mut host = Upkept::new(Mono::default(), 10);
        host.unloaded(100, 310, 290, 200);
        host.loaded(90, 20);
        assert_eq!((host.kept, host.unloaded), (10, 10));
        host.loaded(100, 0);
        assert_eq!((host.kept, host.unloaded), (0, 0));
    }

    #[test]
    fn quiet_begins_when_the_last_work_was_seen() {
        let at = |seconds| Mono::default().after(Duration::from_secs(seconds));
        let mut host = Upkept::new(at(0), 10);
        assert_eq!(host.look(at(3), false), Duration::from_secs(3));
        assert_eq!(host.look(at(4), true), Duration::ZERO);
        host.works();
        assert_eq!(host.look(at(6), false), Duration::ZERO);
        assert_eq!(host.look(at(8), false), Duration::from_secs(2));
    }
}
