//! Room for models: asks the core before a setup is loaded, lets go of what makes room, and wakes what was let go when a
//! request comes for it. Which are let go is decided by [`edge_core::memory`]; what a model takes is measured by its host.
//!
//! What was let go here *rests*: it is on standby, with what is known of it kept, so that requests are checked and wait as
//! for a model that is loading.

use std::collections::HashMap;
use std::time::Duration;

use edge_core::memory::{Admission, Bound, DeviceRoom, Loaded, Room, admit};
use edge_core::recovery::Blame;
use edge_core::{Event, HostId, ModelId, ModelState, Mono};
use edge_wire::dto::Problem;

use super::Driver;
use super::builds::Over;
use super::models::{Bundle, Life, Model};

/// What a model takes before it was loaded for the first time: so many times the size of its files ...
const TIMES_FILES: u64 = 3;
/// ... and this, bytes: the session's own, and what the golden answers leave.
const BESIDE_FILES: u64 = 32 << 20;
/// Copies of a model that a trial takes: its own, and the reference.
const TRIAL_COPIES: u64 = 2;
/// A load that was refused is tried again after this, if there is room; then after twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A load that was refused.
#[derive(Clone, Debug)]
struct Refused {
    why: String,
    bound: Bound,
    /// Not before.
    again: Mono,
    pause: Duration,
}

/// What is remembered of the use of memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// When a request last came, by bundle.
    pub(super) last_use: HashMap<usize, Mono>,
    /// At most one for each setup.
    refused: HashMap<ModelId, Refused>,
}

impl Memory {
    /// Whether a setup was refused, and is tried again when there is room.
    pub(super) fn waits(&self, id: ModelId) -> bool {
        self.refused.contains_key(&id)
    }
}

/// What is to be done with a setup whose turn it is to be loaded.
pub(super) enum Turn {
    Load,
    /// What is loading now may leave it room.
    Wait,
    /// It was refused, and that is said.
    Over,
}

/// Whether a provider runs on cards with memory of their own.
fn own_memory(provider: &str) -> bool {
    matches!(provider, "cuda" | "tensorrt" | "tensorrt-rtx")
}

impl Driver {
    /// What a setup takes, bytes: as measured, or as guessed from its files.
    fn bytes_of(&self, model: &Model) -> u64 {
        match model.memory_bytes {
            0 => {
                let files = model.found.bytes_of(&model.setup.variant);
                files.saturating_mul(TIMES_FILES).saturating_add(BESIDE_FILES)
            }
            measured => measured,
        }
    }

    /// What a setup takes of its device's own memory, bytes: as measured, or as guessed from its files. Nothing where the
    /// device has none.
    fn device_bytes_of(&self, model: &Model) -> u64 {
        match (own_memory(&model.setup.provider), model.device_bytes) {
            (false, _) => 0,
            (true, 0) => {
                let files = model.found.bytes_of(&model.setup.variant);
                files.saturating_mul(TIMES_FILES)
            }
            (true, measured) => measured,
        }
    }

    /// What the device of a provider has left of its own memory; `None` where it has none, or nobody knows.
    pub(super) fn device_free(&self, provider: &str) -> Option<u64> {
        let card = self.config.engine.device.device.unwrap_or(0);
        own_memory(provider).then(|| (self.outside.device_free)(card.into())).flatten()
    }

    /// A setup begins to load: what its device has left now. Where another one loads there at the same time nothing is noted for
    /// either: what each takes could not be told apart.
    pub(super) fn note_device_before(&mut self, id: ModelId) {
        let Some(provider) = self.models.get(id).map(|model| model.setup.provider.clone()) else { return };
        let before = self.device_free(&provider);
        let loads = |other: &Model| other.life == Life::Loading && own_memory(&other.setup.provider);
        let others: Vec<ModelId> =
            self.models.iter().filter(|(other, model)| *other != id && loads(model)).map(|(other, _)| other).collect();
        let alone = others.is_empty();
        if before.is_some() {
            for other in others {
                if let Some(other) = self.models.get_mut(other) {
                    other.device_before = None;
                }
            }
        }
        if let Some(model) = self.models.get_mut(id) {
            model.device_before = before.filter(|_| alone);
        }
    }

    /// A setup was loaded: what its device has less than before is what it takes there.
    pub(super) fn note_device(&mut self, id: ModelId) {
        let Some(provider) = self.models.get(id).map(|model| model.setup.provider.clone()) else { return };
        let after = self.device_free(&provider);
        let Some(model) = self.models.get_mut(id) else { return };
        if let Some((before, after)) = model.device_before.take().zip(after) {
            model.device_bytes = model.device_bytes.max(before.saturating_sub(after));
        }
    }

    /// The device's part of what a load needs.
    fn device_room(&self, id: ModelId) -> Option<DeviceRoom> {
        let model = self.models.get(id)?;
        let free = self.device_free(&model.setup.provider)?;
        let loading = self.models.iter().filter(|(other, model)| *other != id && model.life == Life::Loading);
        let loading = loading.map(|(_, model)| self.device_bytes_of(model)).fold(0, u64::saturating_add);
        Some(DeviceRoom { needed: self.device_bytes_of(model), loading, free })
    }

    fn setups_of<'a>(&'a self, bundle: &Bundle) -> impl Iterator<Item = (ModelId, &'a Model)> {
        bundle.ids().filter_map(|id| Some((id, self.models.get(id)?)))
    }

    /// Bundles with open requests, the stages of pipelines included.
    fn bundles_in_use(&self) -> Vec<usize> {
        let bundle_of = |id: ModelId| self.models.get(id).map(|model| model.bundle);
        let mut used: Vec<usize> = Vec::new();
        for entry in self.entries.values() {
            match self.pipelines.get(entry.model) {
                Some(served) => {
                    used.extend(
                        served
                            .stages(&self.models)
                            .iter()
                            .flat_map(|stages| stages.as_slice())
                            .copied()
                            .filter_map(bundle_of),
                    );
                }
                None => used.extend(bundle_of(entry.model)),
            }
        }
        used
    }

    /// The bundles that hold memory: each is let go as a whole, and named by its number.
    fn loaded_bundles(&self) -> Vec<Loaded> {
        let used = self.bundles_in_use();
        let one = |(index, bundle): (usize, &Bundle)| {
            let ready = || self.setups_of(bundle).filter(|(_, model)| model.life == Life::Ready);
            let bytes = ready().map(|(_, model)| self.bytes_of(model)).fold(0, u64::saturating_add);
            let device_bytes = ready().map(|(_, model)| self.device_bytes_of(model)).fold(0, u64::saturating_add);
            let coming = self.setups_of(bundle).any(|(_, model)| matches!(model.life, Life::Found | Life::Loading));
            let since = self.setups_of(bundle).map(|(_, model)| model.since).max().unwrap_or_default();
            let last_use = self.memory.last_use.get(&index).copied().unwrap_or_default().max(since);
            (bytes > 0).then(|| Loaded {
                model: bundle.root(),
                bytes,
                device_bytes,
                last_use,
                pinned: self.is_pinned(bundle) || self.is_protected(index),
                busy: coming || used.contains(&index),
            })
        };
        self.models.bundles().iter().enumerate().filter_map(one).collect()
    }

    fn is_pinned(&self, bundle: &Bundle) -> bool {
        let (name, version) = (&bundle.found.name, &bundle.found.version);
        self.config.models.pinned.iter().any(|pinned| pinned == name || *pinned == format!("{name}:{version}"))
    }

    /// What the load of a setup needs, and what there is.
    fn room_for(&self, id: ModelId) -> Room {
        let loading = self.models.iter().filter(|(other, model)| *other != id && model.life == Life::Loading);
        Room {
            needed: self.models.get(id).map_or(0, |model| self.bytes_of(model)),
            loading: loading.map(|(_, model)| self.bytes_of(model)).fold(0, u64::saturating_add),
            available: (self.outside.available_bytes)(),
            reserve: self.config.engine.memory_reserve_bytes,
            limit: self.config.engine.memory_bytes,
            device: self.device_room(id),
        }
    }

    /// Whether a setup is loaded now; makes room for it.
    pub(super) fn take_turn(&mut self, id: ModelId) -> Turn {
        if self.outside.library.is_none() {
            // A simulator's models take nothing.
            return Turn::Load;
        }
        let room = self.room_for(id);
        let others = self.loaded_bundles();
        match admit(&room, &others) {
            Admission::Fits => self.memory.refused.remove(&id).map_or(Turn::Load, |_| Turn::Load),
            Admission::Unload(bundles) => {
                self.memory.refused.remove(&id);
                let label = self.models.get(id).map(Model::label).unwrap_or_default();
                for root in bundles {
                    self.rest(root, &format!("let go to make room for {label}"));
                }
                Turn::Load
            }
            Admission::Refuse { .. } if self.fits_without_what_loads(&room, &others) => Turn::Wait,
            Admission::Refuse { needed, free, bound } => {
                self.refuse_load(id, needed, free, bound);
                Turn::Over
            }
        }
    }

    /// Whether a setup finds room beside this bundle, which serves and must not be let go for it.
    pub(super) fn admit_beside(&self, id: ModelId, bundle: usize) -> Admission {
        let root = self.models.bundle(bundle).map(Bundle::root);
        let mut loaded = self.loaded_bundles();
        loaded.iter_mut().filter(|loaded| Some(loaded.model) == root).for_each(|loaded| loaded.pinned = true);
        admit(&self.room_for(id), &loaded)
    }

    /// Whether there is room to try a variant of a bundle beside all that serves: it is loaded once more, with the reference
    /// that it is held against. Nothing gives way to a trial.
    pub(super) fn room_for_trial(&self, root: ModelId, variant: &str) -> Result<(), String> {
        let Some(model) = self.models.get(root) else { return Ok(()) };
        let files = model.found.bytes_of(variant);
        let needed = files.saturating_mul(TIMES_FILES).saturating_add(BESIDE_FILES).saturating_mul(TRIAL_COPIES);
        let loading = self.models.iter().filter(|(_, model)| model.life == Life::Loading);
        let loading = loading.map(|(_, model)| self.bytes_of(model)).fold(0, u64::saturating_add);
        let serving: Vec<Loaded> =
            self.loaded_bundles().into_iter().map(|loaded| Loaded { busy: true, ..loaded }).collect();
        match admit(&Room { needed, loading, ..self.room_for(root) }, &serving) {
            Admission::Fits | Admission::Unload(_) => Ok(()),
            Admission::Refuse { needed, free, bound } => Err(format!(
                "no room to try it: it needs {} MiB, and {} MiB {}",
                mib_up(needed),
                free >> 20,
                self.setting(bound)
            )),
        }
    }

    /// A setup was loaded, and took more than was guessed perhaps: others give way to it within the limit, or it to them.
    pub(super) fn keep_within_limit(&mut self, id: ModelId) {
        let root = self.models.bundle_of(id).map(Bundle::root);
        let (own, others): (Vec<Loaded>, Vec<Loaded>) =
            self.loaded_bundles().into_iter().partition(|loaded| Some(loaded.model) == root);
        let needed = own.iter().map(|loaded| loaded.bytes).fold(0, u64::saturating_add);
        let room = Room { needed, limit: self.config.engine.memory_bytes, ..Room::default() };
        match admit(&room, &others) {
            Admission::Fits => {}
            Admission::Unload(bundles) => {
                let label = self.models.get(id).map(Model::label).unwrap_or_default();
                for root in bundles {
                    self.rest(root, &format!("let go to make room for {label}"));
                }
            }
            Admission::Refuse { needed, free, bound } => {
                self.tell_unload(id);
                self.refuse_load(id, needed, free, bound);
            }
        }
    }

    /// Whether there may be room when what is loading has been loaded: it may take less than was guessed, or be let go.
    fn fits_without_what_loads(&self, room: &Room, others: &[Loaded]) -> bool {
        room.loading > 0 && !matches!(admit(&Room { loading: 0, ..*room }, others), Admission::Refuse { .. })
    }

    /// What sets a bound, in words.
    fn setting(&self, bound: Bound) -> String {
        let engine = &self.config.engine;
        match bound {
            Bound::Machine => {
                let reserve = engine.memory_reserve_bytes >> 20;
                format!("are available beside the reserve (engine.memory_reserve_mib = {reserve})")
            }
            Bound::Limit => {
                let limit = engine.memory_bytes.unwrap_or(0) >> 20;
                format!("are left by what other models take (engine.memory_mib = {limit})")
            }
            Bound::Device => "are free on its device".into(),
        }
    }

    fn refuse_load(&mut self, id: ModelId, needed: u64, free: u64, bound: Bound) {
        let setting = self.setting(bound);
        let why = format!("no room to load it: it needs {} MiB, and {} MiB {setting}", mib_up(needed), free >> 20);
        let pause = self.memory.refused.get(&id).map_or(FIRST_PAUSE, |refused| (refused.pause * 2).min(LONGEST_PAUSE));
        let again = self.now.after(pause);
        self.memory.refused.insert(id, Refused { why: why.clone(), bound, again, pause });
        let Some(model) = self.models.get_mut(id) else { return };
        if model.loaded.is_none() {
            model.life = Life::Loading;
            // It is tried again from here.
            return self.model_failed(id, why, Blame::Lasting);
        }
        // It has served: it rests, and the next request tries again.
        tracing::warn!(model = %model.label(), way = %model.way(), %why, "model is not loaded");
        (model.life, model.rest) = (Life::Standby, why);
        self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
        self.touch();
    }

    /// Lets go of all that a bundle has loaded, until a request comes for it.
    pub(super) fn rest(&mut self, root: ModelId, why: &str) {
        let ids: Vec<ModelId> = self.models.bundle_of(root).into_iter().flat_map(Bundle::ids).collect();
        for id in ids {
            let Some(model) = self.models.get_mut(id).filter(|model| model.life == Life::Ready) else { continue };
            tracing::info!(model = %model.label(), way = %model.way(), %why, "model is let go");
            (model.life, model.rest) = (Life::Standby, format!("{why}; the next request loads it again"));
            self.build_over(id, Over::GivenUp);
            self.core.handle(self.now, Event::ModelState { model: id, state: ModelState::Unavailable });
            self.tell_unload(id);
        }
        self.touch();
    }

    /// That there was no room for a setup is of no interest any more.
    pub(super) fn forget_refusal(&mut self, id: ModelId) {
        self.memory.refused.remove(&id);
    }

    /// Whether nothing of a bundle is loaded because it was let go.
    pub(super) fn rests(&self, index: usize) -> bool {
        let Some(bundle) = self.models.bundle(index) else { return false };
        let is_left = |model: &Model| model.life == Life::Standby && !model.rest.is_empty();
        let is_there = |model: &Model| matches!(model.life, Life::Found | Life::Loading | Life::Ready);
        self.setups_of(bundle).any(|(_, model)| is_left(model))
            && !self.setups_of(bundle).any(|(_, model)| is_there(model))
    }

    /// A request came for this setup, or one of its bundle: it is loaded again if it rests.
    pub(super) fn wake(&mut self, id: ModelId) {
        let Some(index) = self.models.get(id).map(|model| model.bundle) else { return };
        self.memory.last_use.insert(index, self.now);
        if !self.rests(index) {
            return;
        }
        self.stir(index);
        self.choose_setups();
    }

    /// What rests of a bundle may be chosen again.
    fn stir(&mut self, index: usize) {
        let ids: Vec<ModelId> = self.models.bundle(index).into_iter().flat_map(Bundle::ids).collect();
        for id in ids {
            if let Some(model) = self.models.get_mut(id) {
                model.rest.clear();
            }
        }
    }

    /// What a bundle that rests is answered with, if a request has just failed to wake it.
    pub(super) fn why_it_rests(&self, id: ModelId) -> Option<String> {
        let model = self.models.get(id)?;
        let bundle = self.models.bundle(model.bundle).filter(|_| self.rests(model.bundle))?;
        self.setups_of(bundle).map(|(_, model)| &model.rest).find(|rest| !rest.is_empty()).cloned()
    }

    /// Now and then: lets go of what was not used for long, and tries again what was refused.
    pub(super) fn look_after_memory(&mut self) {
        if self.outside.library.is_none() {
            return;
        }
        if let Some(after) = self.config.models.idle_unload {
            let idle = |loaded: &Loaded| !loaded.pinned && !loaded.busy && self.now.since(loaded.last_use) >= after;
            let idle: Vec<ModelId> =
                self.loaded_bundles().into_iter().filter(idle).map(|loaded| loaded.model).collect();
            for root in idle {
                self.rest(root, &format!("not asked for within {} s (models.idle_unload_s)", after.as_secs()));
            }
        }
        let due = self.memory.refused.iter().filter(|(_, refused)| refused.again <= self.now);
        let mut due: Vec<ModelId> = due.map(|(id, _)| *id).collect();
        due.sort_unstable();
        for id in due {
            self.try_again(id);
        }
        self.load_waiting();
    }

    fn try_again(&mut self, id: ModelId) {
        let Some(model) = self.models.get(id) else { return };
        let index = model.bundle;
        let resting = model.life == Life::Standby && !model.rest.is_empty();
        let failed =
            self.memory.refused.get(&id).is_some_and(|refused| model.life == Life::Failed(refused.why.clone()));
        if !resting && !failed {
            // It is loaded, or somebody else has decided.
            self.memory.refused.remove(&id);
            return;
        }
        match admit(&self.room_for(id), &self.loaded_bundles()) {
            // What has served lets go of nothing unless somebody asks for it.
            Admission::Unload(_) if resting => {}
            Admission::Fits | Admission::Unload(_) => {
                self.stir(index);
                if let Some(model) = self.models.get_mut(id) {
                    model.life = Life::Standby;
                }
                return self.choose_setups();
            }
            Admission::Refuse { .. } => {}
        }
        let now = self.now;
        if let Some(refused) = self.memory.refused.get_mut(&id) {
            refused.pause = (refused.pause * 2).min(LONGEST_PAUSE);
            refused.again = now.after(refused.pause);
        }
    }

    /// Loads what waits for room, on every host.
    pub(super) fn load_waiting(&mut self) {
        for at in 0..self.hosts.iter().count() {
            self.load_next(HostId(u8::try_from(at).unwrap_or(u8::MAX)));
        }
    }

    /// Whether a setup has failed for want of room.
    pub(super) fn lacks_room(&self, id: ModelId) -> bool {
        self.memory.waits(id)
    }

    /// Setups that are not loaded for want of room.
    pub(super) fn memory_problems(&self) -> Vec<Problem> {
        let mut refused: Vec<_> = self.memory.refused.iter().collect();
        refused.sort_by_key(|(id, _)| **id);
        let problem = |(id, refused): (&ModelId, &Refused)| {
            let model = self.models.get(*id)?;
            let remedy = match refused.bound {
                Bound::Machine => "end what else takes memory, remove models, or lower `engine.memory_reserve_mib`",
                Bound::Limit => "raise `engine.memory_mib`, take models off `models.pinned`, or remove models",
                Bound::Device => "end what else uses the device, or remove models",
            };
            Some(Problem {
                subject: format!("model {}", model.label()),
                what: format!("{}: {}", model.way(), refused.why),
                remedy: format!("{remedy}; it is tried again by itself"),
            })
        };
        refused.into_iter().filter_map(problem).collect()
    }
}

/// Bytes in MiB, rounded up.
fn mib_up(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
