//! One setup of one bundle: its life, its host, its lanes, and what the core is told of it. Must not know the other setups.

use std::sync::Arc;

use edge_core::setups::Stand;
use edge_core::{HostId, LaneId, LaneRange, ModelId, ModelState, Mono};
use edge_engine::protocol::{LoadedModel, Setup};

use super::super::builds::Build;
use super::{LANES_EACH, SLOW_LOAD};
use crate::store::Found;

/// Where a setup is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// Could be loaded; a better one serves, or it was let go until somebody asks for it.
    Standby,
    /// To be loaded, not asked for from its host yet.
    Found,
    /// Asked for.
    Loading,
    Ready,
    /// Not served, and why.
    Failed(String),
    /// Unloaded on request.
    Unloaded,
}

impl Life {
    /// The word used on every surface.
    pub fn as_str(&self) -> &'static str {
        match self {
            Life::Standby => "standby",
            Life::Found => "found",
            Life::Loading => "loading",
            Life::Ready => "ready",
            Life::Failed(_) => "failed",
            Life::Unloaded => "unloaded",
        }
    }
}

/// One setup of one bundle.
#[derive(Clone, Debug)]
pub struct Model {
    pub found: Arc<Found>,
    /// Index of its bundle.
    pub bundle: usize,
    pub setup: Setup,
    /// Where it runs.
    pub host: HostId,
    pub life: Life,
    /// When its last load began.
    pub since: Mono,
    /// As last loaded; kept while the host is away, so that requests can be checked and wait.
    pub loaded: Option<Arc<LoadedModel>>,
    pub output_names: Vec<Arc<str>>,
    /// Number of its last load: what is said of an earlier one is of no interest any more.
    pub load: u32,
    /// Ended the host while loading beside others: to be loaded alone.
    pub suspect: bool,
    /// Its runs failed: its golden answers are checked again when it is loaded.
    pub recheck: bool,
    /// What is compiled for it.
    pub build: Build,
    pub provider: String,
    /// The most that it has taken when it was loaded in this life of the daemon, bytes; 0 before.
    pub memory_bytes: u64,
    /// The same of the own memory of its provider's device; 0 before, and where there is none.
    pub device_bytes: u64,
    /// What that device had left when the load began.
    pub device_before: Option<u64>,
    /// Why it is on standby though no better one serves: it was let go, and is loaded again on request. Empty otherwise.
    pub rest: String,
}
impl Model {
    pub(super) fn new(found: Arc<Found>, bundle: usize, setup: Setup, host: HostId, life: Life) -> Model {
        Model {
            found,
            bundle,
            setup,
            host,
            life,
            since: Mono::default(),
            loaded: None,
            load: 0,
            output_names: Vec::new(),
            suspect: false,
            recheck: false,
            build: Build::default(),
            provider: String::new(),
            memory_bytes: 0,
            device_bytes: 0,
            device_before: None,
            rest: String::new(),
        }
    }

    /// `name:version`.
    pub fn label(&self) -> String {
        format!("{}:{}", self.found.name, self.found.version)
    }

    /// Where it stands for the choice among the setups of its bundle; `host_up` and `host_coming` tell of its host.
    pub fn stand(&self, now: Mono, host_up: bool, host_coming: bool) -> Stand {
        match self.life {
            Life::Standby => Stand::Idle,
            Life::Failed(_) | Life::Unloaded => Stand::Failed,
            Life::Found | Life::Loading | Life::Ready if !host_up && !host_coming => Stand::Away,
            Life::Ready if host_up => Stand::Ready,
            // On the CPU a load is the shortest there is, however many others wait with it: nothing could stand in sooner.
            Life::Loading if self.setup.provider != "cpu" && now.since(self.since) >= SLOW_LOAD => Stand::Building,
            Life::Found | Life::Ready if !host_up && now.since(self.since) >= SLOW_LOAD => Stand::Building,
            Life::Found | Life::Loading | Life::Ready => Stand::Loading,
        }
    }

    /// Whether it is on its host, or is to be.
    pub fn wants_host(&self) -> bool {
        matches!(self.life, Life::Found | Life::Loading | Life::Ready)
    }

    /// `variant on provider`.
    pub fn way(&self) -> String {
        format!("{} on {}", self.setup.variant, self.setup.provider)
    }

    /// First of the lanes that are set aside for the model `id`.
    pub fn first_lane(id: ModelId) -> u16 {
        id.0.saturating_mul(LANES_EACH)
    }

    /// Which of its sessions a lane is, from 1 on, and how many it has.
    pub fn session(&self, id: ModelId, lane: LaneId) -> (u16, u16) {
        let of = self.loaded.as_ref().map_or(0, |loaded| loaded.instances.clamp(1, LANES_EACH));
        (lane.0.saturating_sub(Model::first_lane(id)) + 1, of)
    }

    /// Takes over what the host says of it.
    pub fn set_loaded(&mut self, loaded: LoadedModel) {
        self.output_names = loaded.outputs.iter().map(|spec| Arc::from(spec.name.as_str())).collect();
        self.provider = loaded.providers.first().map(|provider| provider.name.clone()).unwrap_or_default();
        // A later load may fill memory that its host has already, and seem to take less.
        self.memory_bytes = self.memory_bytes.max(loaded.memory_bytes);
        self.loaded = Some(Arc::new(loaded));
        self.life = Life::Ready;
    }

    /// What the core is told of it.
    pub fn core_state(&self, id: ModelId) -> ModelState {
        match (&self.life, &self.loaded) {
            (Life::Ready, Some(loaded)) => ModelState::Ready {
                lanes: LaneRange { first: LaneId(Model::first_lane(id)), count: loaded.instances.clamp(1, LANES_EACH) },
                max_batch: loaded.max_batch.max(1),
                default_deadline: self.found.default_deadline,
            },
            (Life::Found | Life::Loading, _) => ModelState::Loading,
            (Life::Standby | Life::Ready | Life::Failed(_) | Life::Unloaded, _) => ModelState::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::models;
    use super::*;

    #[test]
    fn a_setup_stands_as_its_life_and_its_host_say() {
        let mut models = models(&[("a", "1.0.0")]);
        let (soon, late) = (Duration::from_millis(500), Duration::from_secs(3));
        for (life, host_up, host_coming, since, expected) in [
            (Life::Standby, false, false, late, Stand::Idle),
            (Life::Failed(String::new()), true, false, soon, Stand::Failed),
            (Life::Unloaded, true, false, soon, Stand::Failed),
            (Life::Ready, true, false, late, Stand::Ready),
            (Life::Ready, false, true, soon, Stand::Loading),
            (Life::Found, true, false, late, Stand::Loading),
            (Life::Found, false, true, soon, Stand::Loading),
            (Life::Found, false, true, late, Stand::Building),
            (Life::Found, false, false, soon, Stand::Away),
            (Life::Loading, true, false, soon, Stand::Loading),
            (Life::Loading, true, false, late, Stand::Building),
            (Life::Loading, false, false, soon, Stand::Away),
        ] {
            models.get_mut(ModelId(0)).unwrap().setup.provider = "openvino".into();
            let model = models.get_mut(ModelId(0)).unwrap();
            let case = format!("{life:?}, up {host_up}, coming {host_coming}, {since:?}");
            model.life = life;
            let stand = |model: &Model| model.stand(Mono::default().after(since), host_up, host_coming);
            assert_eq!(stand(model), expected, "{case}");
            model.setup.provider = "cpu".into();
            let loading = model.life == Life::Loading && expected == Stand::Building;
            assert_eq!(stand(model), if loading { Stand::Loading } else { expected }, "{case} on the CPU");
        }
    }
}
