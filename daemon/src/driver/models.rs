//! The models of the box and what is known of each. The driver's table; the core knows them by number.

use std::sync::Arc;
use std::time::Duration;

use edge_core::{LaneId, LaneRange, ModelId, ModelState};
use edge_engine::protocol::{LoadedModel, Setup};
use edge_wire::dto::{ModelStatus, ProviderInfo, TensorInfo};

use crate::request::Failure;
use crate::store::Found;
use edge_wire::error::ErrorCode;

/// Variant of a model that is none.
pub const SIMULATED: &str = "simulated";
/// Lanes that are set aside for each model; a manifest may ask for fewer.
pub const LANES_EACH: u16 = 16;
/// Models that one box may hold.
pub const MAX_MODELS: usize = 1024;

/// Where a model is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// Known, not asked for from the host yet.
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
            Life::Found => "found",
            Life::Loading => "loading",
            Life::Ready => "ready",
            Life::Failed(_) => "failed",
            Life::Unloaded => "unloaded",
        }
    }
}

/// One model.
#[derive(Clone, Debug)]
pub struct Model {
    pub found: Found,
    pub life: Life,
    /// As last loaded; kept while the host is away, so that requests can be checked and wait.
    pub loaded: Option<Arc<LoadedModel>>,
    pub output_names: Vec<Arc<str>>,
    /// Number of its last load: what is said of an earlier one is of no interest any more.
    pub load: u32,
    /// Ended the host while loading beside others: to be loaded alone.
    pub suspect: bool,
    /// Order of last use, to load first after a restart what is in use.
    pub used: u64,
    pub done: u64,
    pub provider: String,
}

/// The table. A model keeps its number for the life of the daemon.
#[derive(Debug, Default)]
pub struct Models {
    list: Vec<Model>,
}

impl Models {
    /// Adds a bundle; `None` if the same name and version is there already, or the table is full.
    pub fn add(&mut self, found: Found) -> Option<ModelId> {
        let same = |model: &&Model| model.found.name == found.name && model.found.version == found.version;
        if self.list.len() >= MAX_MODELS || self.list.iter().any(|model| same(&model)) {
            return None;
        }
        let id = ModelId(u16::try_from(self.list.len()).ok()?);
        let life = found.fault.clone().map_or(Life::Found, Life::Failed);
        self.list.push(Model {
            found,
            life,
            loaded: None,
            load: 0,
            output_names: Vec::new(),
            suspect: false,
            used: 0,
            done: 0,
            provider: String::new(),
        });
        Some(id)
    }

    /// The model of this number.
    pub fn get(&self, id: ModelId) -> Option<&Model> {
        self.list.get(usize::from(id.0))
    }

    /// The model of this number, to change.
    pub fn get_mut(&mut self, id: ModelId) -> Option<&mut Model> {
        self.list.get_mut(usize::from(id.0))
    }

    /// All with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (ModelId, &Model)> {
        self.list.iter().enumerate().filter_map(|(at, model)| Some((ModelId(u16::try_from(at).ok()?), model)))
    }

    /// The model that `name` and `version` mean: without a version the newest that is ready, else the newest.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<ModelId, Failure> {
        let mut best: Option<(ModelId, &Model)> = None;
        for (id, model) in self.iter().filter(|(_, model)| model.found.name == name) {
            if version.is_some_and(|version| version != model.found.version) {
                continue;
            }
            let rank =
                |model: &Model| (model.life == Life::Ready || model.loaded.is_some(), order(&model.found.version));
            if best.is_none_or(|(_, other)| rank(model) > rank(other)) {
                best = Some((id, model));
            }
        }
        best.map(|(id, _)| id).ok_or_else(|| self.unknown(name, version))
    }

    fn unknown(&self, name: &str, version: Option<&str>) -> Failure {
        let mut versions: Vec<&str> = self
            .list
            .iter()
            .filter(|model| model.found.name == name)
            .map(|model| model.found.version.as_str())
            .collect();
        versions.sort_unstable();
        let name = super::resolve::shorten(name);
        let message = match version {
            Some(version) if !versions.is_empty() => {
                let version = super::resolve::shorten(version);
                format!("model: no version `{version}` of `{name}`: takes {}", versions.join(", "))
            }
            _ => {
                let mut names: Vec<&str> = self.list.iter().map(|model| model.found.name.as_str()).collect();
                names.sort_unstable();
                names.dedup();
                names.truncate(32);
                let takes =
                    if names.is_empty() { "none is installed".into() } else { format!("takes {}", names.join(", ")) };
                format!("model: no model `{name}`: {takes}")
            }
        };
        Failure::new(ErrorCode::UnknownModel, message)
    }
}

impl Model {
    /// `name:version`.
    pub fn label(&self) -> String {
        format!("{}:{}", self.found.name, self.found.version)
    }

    /// The first way to run it that the operator allows.
    pub fn setup(&self, allowed: &[String]) -> Option<Setup> {
        self.found.setups.iter().find(|setup| allowed.contains(&setup.provider)).cloned()
    }

    /// Why there is none.
    pub fn no_setup(&self, allowed: &[String]) -> String {
        let wishes: Vec<_> =
            self.found.setups.iter().map(|setup| format!("{} on {}", setup.variant, setup.provider)).collect();
        format!(
            "it runs on none of the allowed providers ({}): its bundle has {}",
            allowed.join(", "),
            wishes.join(", ")
        )
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
            (Life::Ready | Life::Failed(_) | Life::Unloaded, _) => ModelState::Unavailable,
        }
    }

    /// What there is to say of its state.
    fn reason(&self) -> String {
        match (&self.life, &self.loaded) {
            (Life::Failed(why), _) => why.clone(),
            (Life::Ready, Some(loaded)) if loaded.goldens_passed == 0 && loaded.variant != SIMULATED => {
                "its bundle has no golden inputs: nobody knows whether it answers right on this machine".into()
            }
            _ => String::new(),
        }
    }

    /// As it crosses the bus; load figures are the caller's to fill in.
    pub fn status(&self, policy_deadline: Duration) -> ModelStatus {
        let tensors = |specs: &[edge_engine::protocol::TensorSpec]| {
            let info = |spec: &edge_engine::protocol::TensorSpec| TensorInfo {
                name: spec.name.clone(),
                datatype: spec.datatype.as_str().into(),
                shape: spec.shape.clone(),
            };
            specs.iter().map(info).collect()
        };
        let deadline = self.found.default_deadline.unwrap_or(policy_deadline);
        let mut status = ModelStatus {
            name: self.found.name.clone(),
            version: self.found.version.clone(),
            description: self.found.description.clone(),
            task: self.found.task.clone(),
            licence: self.found.licence.clone(),
            state: self.life.as_str().into(),
            reason: self.reason(),
            default_deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            done: self.done,
            path: self.found.dir.display().to_string(),
            ..ModelStatus::default()
        };
        if let Some(loaded) = &self.loaded {
            status.variant = loaded.variant.clone();
            status.providers = loaded
                .providers
                .iter()
                .map(|provider| ProviderInfo { name: provider.name.clone(), share: f64::from(provider.share) })
                .collect();
            status.inputs = tensors(&loaded.inputs);
            status.outputs = tensors(&loaded.outputs);
            status.content_types = loaded.content_types.clone();
            status.instances = loaded.instances.into();
            status.max_batch = loaded.max_batch.into();
            status.goldens_passed = loaded.goldens_passed.into();
            status.load_ms = loaded.load_ms;
        }
        status
    }
}

/// Orders versions by their numbers; a pre-release (`-rc.1`) comes before its release.
fn order(version: &str) -> (Vec<u64>, bool) {
    let (numbers, pre) = version.split_once('-').map_or((version, false), |(numbers, _)| (numbers, true));
    (numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect(), !pre)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(list: &[(&str, &str)]) -> Models {
        let mut models = Models::default();
        for (name, version) in list {
            models.add(Found { name: (*name).into(), version: (*version).into(), ..Found::default() }).unwrap();
        }
        models
    }

    #[test]
    fn without_a_version_the_newest_ready_one_serves() {
        let mut models = models(&[("a", "1.9.0"), ("a", "1.10.0"), ("a", "2.0.0-rc.1"), ("b", "1.0.0")]);
        assert_eq!(models.find("a", None), Ok(ModelId(2)));
        models.get_mut(ModelId(0)).unwrap().life = Life::Ready;
        assert_eq!(models.find("a", None), Ok(ModelId(0)));
        models.get_mut(ModelId(1)).unwrap().life = Life::Ready;
        assert_eq!(models.find("a", None), Ok(ModelId(1)));
        assert_eq!(models.find("a", Some("1.9.0")), Ok(ModelId(0)));
    }

    #[test]
    fn an_unknown_name_or_version_is_told_what_there_is() {
        let models = models(&[("a", "1.0.0"), ("b", "1.0.0")]);
        assert!(models.find("c", None).unwrap_err().message.contains("no model `c`: takes a, b"));
        assert!(models.find("a", Some("9")).unwrap_err().message.contains("no version `9` of `a`: takes 1.0.0"));
    }

    #[test]
    fn the_same_name_and_version_is_taken_once() {
        let mut models = models(&[("a", "1.0.0")]);
        assert_eq!(models.add(Found { name: "a".into(), version: "1.0.0".into(), ..Found::default() }), None);
    }
}
