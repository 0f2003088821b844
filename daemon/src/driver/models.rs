//! The bundles of the box, the ways to run each (its setups), and what is known of them. The driver's table; the core
//! knows each setup by its number, as a model of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use edge_core::setups::{MAX_SETUPS, Stand};
use edge_core::{HostId, LaneId, LaneRange, ModelId, ModelState, Mono};
use edge_engine::protocol::{LoadedModel, Precision, Setup};
use edge_wire::dto::{ModelStatus, ProviderInfo, SetupStatus, TensorInfo};
use edge_wire::plan::Plan;

use super::builds::Build;
use crate::request::Failure;
use crate::store::Found;
use edge_wire::error::ErrorCode;

/// Variant of a model that is none.
pub const SIMULATED: &str = "simulated";
/// Lanes that are set aside for each setup; a manifest may ask for fewer.
pub const LANES_EACH: u16 = 16;
/// Setups that one box may hold: as many as there are numbers for their lanes.
pub const MAX_MODELS: usize = 4095;
/// A setup that has been loading for longer does not keep another one from serving meanwhile.
pub(super) const SLOW_LOAD: Duration = Duration::from_secs(2);

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

/// What a request brings, which decides what its answer may be held against: they may be served in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A payload that a recipe decodes: the golden answers must hold.
    Encoded,
    /// Tensors: every output must be close to the reference's, on any input.
    Tensors,
}

impl Kind {
    /// Both; tensors last, as their setup may serve the other kind too.
    pub const ALL: [Kind; 2] = [Kind::Encoded, Kind::Tensors];

    /// The word used on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Encoded => "encoded",
            Kind::Tensors => "tensors",
        }
    }
}

/// The ways to serve one kind of request.
#[derive(Clone, Debug)]
struct Ways {
    /// The most wanted first; at least one.
    order: Vec<ModelId>,
    /// The one that requests are given to.
    serving: ModelId,
}

/// One bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub found: Arc<Found>,
    /// Its setups: those of the manifest first, the most wanted of them first, then those that a plan added; at least one.
    ids: Vec<ModelId>,
    encoded: Ways,
    tensors: Ways,
    /// What was measured, if it holds on this box.
    pub plan: Option<Arc<Plan>>,
    /// Why a plan that was found is not used.
    pub no_plan: Option<String>,
    /// Order of last use, to load first after a restart what is in use.
    pub used: u64,
    pub done: u64,
    /// Nobody finds it: it was taken out of the store, or the same version with other parts serves.
    pub gone: bool,
    /// Why it must not serve, if the fleet's list says so.
    pub revoked: Option<String>,
}

impl Bundle {
    /// Its setups: those of the manifest first.
    pub fn ids(&self) -> impl Iterator<Item = ModelId> + use<> {
        self.ids.clone().into_iter()
    }

    fn ways(&self, kind: Kind) -> &Ways {
        match kind {
            Kind::Encoded => &self.encoded,
            Kind::Tensors => &self.tensors,
        }
    }

    fn ways_mut(&mut self, kind: Kind) -> &mut Ways {
        match kind {
            Kind::Encoded => &mut self.encoded,
            Kind::Tensors => &mut self.tensors,
        }
    }

    /// The setups that may serve this kind of request, the most wanted first.
    pub fn order(&self, kind: Kind) -> &[ModelId] {
        &self.ways(kind).order
    }

    /// The setup that this kind of request is given to.
    pub fn serves(&self, kind: Kind) -> ModelId {
        self.ways(kind).serving
    }

    /// Another setup serves this kind of request.
    pub fn set_serving(&mut self, kind: Kind, id: ModelId) {
        self.ways_mut(kind).serving = id;
    }

    /// The setup that is spoken of where one is: that of encoded requests, for which models are made.
    pub fn shown(&self) -> ModelId {
        self.encoded.serving
    }

    /// Whether a setup serves anything.
    pub fn is_serving(&self, id: ModelId) -> bool {
        Kind::ALL.into_iter().any(|kind| self.serves(kind) == id)
    }

    /// `name:version`.
    pub fn label(&self) -> String {
        format!("{}:{}", self.found.name, self.found.version)
    }

    /// The number that stands for the bundle, whatever serves it.
    pub fn root(&self) -> ModelId {
        self.ids.first().copied().unwrap_or_default()
    }
}

/// The table. A setup keeps its number for the life of the daemon.
#[derive(Debug, Default)]
pub struct Models {
    list: Vec<Model>,
    bundles: Vec<Bundle>,
    /// Names of the pipelines: they are asked for in the same way, so a list of what there is has them too.
    pipelines: Vec<String>,
    /// The versions that were decided on, by name; `None` where none is to serve.
    active: BTreeMap<String, Option<String>>,
}

impl Models {
    /// Notes the name of a pipeline.
    pub fn note_pipeline(&mut self, name: &str) {
        self.pipelines.push(name.to_owned());
    }

    /// Adds a bundle with those of its setups that the operator allows; its index. `None` if the same name and version is
    /// there already, or the table is full.
    pub fn add(&mut self, found: Found, allowed: &[String], mut host: impl FnMut(&str) -> HostId) -> Option<usize> {
        match self.place(&found.name, &found.version) {
            Some(_) => None,
            None => self.append(found, allowed, &mut host),
        }
    }

    /// Adds the same version of a model with other parts, which nobody finds until it takes over; its index. `None` if the
    /// table is full.
    pub fn add_beside(
        &mut self,
        found: Found,
        allowed: &[String],
        mut host: impl FnMut(&str) -> HostId,
    ) -> Option<usize> {
        let index = self.append(found, allowed, &mut host)?;
        self.bundle_mut(index)?.gone = true;
        Some(index)
    }

    fn append(&mut self, found: Found, allowed: &[String], host: &mut dyn FnMut(&str) -> HostId) -> Option<usize> {
        let (bundle, found) = (self.bundles.len(), Arc::new(found));
        let mut setups: Vec<Setup> =
            found.setups.iter().filter(|setup| allowed.contains(&setup.provider)).take(MAX_SETUPS).cloned().collect();
        let fault = found.fault.clone().or_else(|| setups.is_empty().then(|| none_allowed(&found, allowed)));
        let fault = fault.or_else(|| all_lossy(&found, &setups));
        if setups.is_empty() {
            setups.push(found.setups.first().cloned().unwrap_or_else(nothing));
        }
        if self.list.len() + setups.len() > MAX_MODELS {
            return None;
        }
        let first = u16::try_from(self.list.len()).ok()?;
        let mut encoded = Vec::new();
        for setup in setups {
            if found.losses.allow(&setup.variant) {
                encoded.push(ModelId(u16::try_from(self.list.len()).ok()?));
            }
            let host = if fault.is_none() { host(&setup.provider) } else { HostId::default() };
            let life = fault.clone().map_or(Life::Standby, Life::Failed);
            self.list.push(Model::new(found.clone(), bundle, setup, host, life));
        }
        let ids: Vec<ModelId> = (first..u16::try_from(self.list.len()).ok()?).map(ModelId).collect();
        let tensors = Ways { order: ids.clone(), serving: ModelId(first) };
        let serving = encoded.first().copied();
        let encoded = serving.map_or_else(|| tensors.clone(), |serving| Ways { order: encoded, serving });
        self.bundles.push(Bundle {
            found,
            ids,
            encoded,
            tensors,
            plan: None,
            no_plan: None,
            used: 0,
            done: 0,
            gone: false,
            revoked: None,
        });
        Some(bundle)
    }

    /// The setup of a bundle that is like this one; it is made if there is none. `None` if the table is full.
    pub fn ensure(&mut self, bundle: usize, setup: &Setup, host: HostId) -> Option<ModelId> {
        let of_bundle = self.bundles.get(bundle)?;
        let same = |id: &ModelId| self.get(*id).is_some_and(|model| model.setup == *setup);
        if let Some(id) = of_bundle.ids().find(same) {
            return Some(id);
        }
        if self.list.len() >= MAX_MODELS {
            return None;
        }
        let id = ModelId(u16::try_from(self.list.len()).ok()?);
        let found = of_bundle.found.clone();
        self.list.push(Model::new(found, bundle, setup.clone(), host, Life::Standby));
        self.bundles.get_mut(bundle)?.ids.push(id);
        Some(id)
    }

    /// The setup `first` is wanted first for this kind of request, then the others that `good` allows.
    pub fn prefer(&mut self, bundle: usize, kind: Kind, first: Option<ModelId>, good: impl Fn(&Setup) -> bool) {
        let Some(of_bundle) = self.bundles.get(bundle) else { return };
        let little = |id: &ModelId| {
            let losses = &of_bundle.found.losses;
            kind == Kind::Tensors || self.get(*id).is_some_and(|model| losses.allow(&model.setup.variant))
        };
        let fits = |id: &ModelId| little(id) && self.get(*id).is_some_and(|model| good(&model.setup));
        let mut order: Vec<ModelId> = first.into_iter().collect();
        order.extend(of_bundle.ids().filter(fits).filter(|id| Some(*id) != first));
        order.truncate(MAX_SETUPS);
        if order.is_empty() {
            // Nothing is known to be good: as the manifest says.
            order.extend(of_bundle.ids().filter(little));
        }
        if order.is_empty() {
            // It has a fault, and serves nothing.
            order.extend(of_bundle.ids());
        }
        if let Some(of_bundle) = self.bundles.get_mut(bundle) {
            of_bundle.ways_mut(kind).order = order;
        }
    }

    /// A version that was there was installed again: who signed it is known by now, perhaps.
    pub fn set_signer(&mut self, name: &str, version: &str, signer: &str) {
        let Some(at) = self.place(name, version) else { return };
        if let Some(bundle) = self.bundles.get_mut(at) {
            Arc::make_mut(&mut bundle.found).signer = signer.to_owned();
        }
        for model in self.list.iter_mut().filter(|model| model.bundle == at) {
            Arc::make_mut(&mut model.found).signer = signer.to_owned();
        }
    }

    /// Which version of a model requests without one are given to, if that was decided.
    pub fn set_active(&mut self, name: &str, version: Option<&str>) {
        self.active.insert(name.to_owned(), version.map(str::to_owned));
    }

    /// The version that was decided on.
    pub fn active(&self, name: &str) -> Option<Option<&str>> {
        self.active.get(name).map(Option::as_deref)
    }

    /// The index of this version of a model.
    pub fn place(&self, name: &str, version: &str) -> Option<usize> {
        let is = |bundle: &Bundle| !bundle.gone && bundle.found.name == name && bundle.found.version == version;
        self.bundles.iter().position(is)
    }

    /// The number that stands for a model, whatever its version: that of the first bundle of its name.
    pub fn family(&self, id: ModelId) -> ModelId {
        let Some(name) = self.get(id).map(|model| &model.found.name) else { return id };
        self.bundles.iter().find(|bundle| bundle.found.name == *name).map_or(id, Bundle::root)
    }

    /// All bundles.
    pub fn bundles(&self) -> &[Bundle] {
        &self.bundles
    }

    /// A bundle by its index.
    pub fn bundle(&self, index: usize) -> Option<&Bundle> {
        self.bundles.get(index)
    }

    /// A bundle by its index, to change.
    pub fn bundle_mut(&mut self, index: usize) -> Option<&mut Bundle> {
        self.bundles.get_mut(index)
    }

    /// The bundle of a setup.
    pub fn bundle_of(&self, id: ModelId) -> Option<&Bundle> {
        self.bundles.get(self.get(id)?.bundle)
    }

    /// In what a setup that was just loaded takes or gives something else than one that was loaded before.
    pub fn differs(&self, id: ModelId, loaded: &LoadedModel) -> Option<String> {
        let bundle = self.bundle_of(id)?;
        let (other, spec) = bundle.ids().filter(|other| *other != id).find_map(|other| {
            let other = self.get(other)?;
            Some((other, other.loaded.as_ref()?))
        })?;
        let same = spec.inputs == loaded.inputs && spec.outputs == loaded.outputs && spec.batched == loaded.batched;
        let way = other.way();
        (!same).then(|| format!("it takes or gives other tensors than {way}: requests could not go to either"))
    }

    /// What requests for the bundle of this setup are checked against: all its setups take and give the same.
    pub fn spec(&self, id: ModelId) -> Option<&Arc<LoadedModel>> {
        let own = self.get(id)?.loaded.as_ref();
        own.or_else(|| self.bundle_of(id)?.ids().find_map(|other| self.get(other)?.loaded.as_ref()))
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

    /// The bundle that `name` and `version` mean: without a version the newest that is ready, else the newest.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<&Bundle, Failure> {
        if let (None, Some(active)) = (version, self.active.get(name)) {
            let Some(active) = active else { return Err(self.none_active(name)) };
            let placed = self.place(name, active).and_then(|index| self.bundles.get(index));
            if let Some(bundle) = placed.filter(|bundle| bundle.revoked.is_none()) {
                return Ok(bundle);
            }
        }
        let named = |bundle: &&Bundle| {
            let of_version = version.is_none_or(|version| version == bundle.found.version);
            !bundle.gone && bundle.found.name == name && of_version
        };
        let meant = |bundle: &&Bundle| named(bundle) && bundle.revoked.is_none();
        let rank = |bundle: &Bundle| (self.spec(bundle.root()).is_some(), order(&bundle.found.version));
        let mut best: Option<&Bundle> = None;
        for bundle in self.bundles.iter().filter(meant) {
            if best.is_none_or(|other| rank(bundle) > rank(other)) {
                best = Some(bundle);
            }
        }
        best.ok_or_else(|| match self.bundles.iter().find(named) {
            Some(revoked) => self.revoked(&revoked.found.version, revoked),
            None => self.unknown(name, version),
        })
    }

    fn revoked(&self, version: &str, bundle: &Bundle) -> Failure {
        let why = super::versions::revoke::words(bundle.revoked.as_deref().unwrap_or_default());
        let name = super::resolve::shorten(&bundle.found.name);
        Failure::new(ErrorCode::Unavailable, format!("model `{name}`: version {version} {why}"))
    }

    fn none_active(&self, name: &str) -> Failure {
        if !self.bundles.iter().any(|bundle| !bundle.gone && bundle.found.name == name) {
            return self.unknown(name, None);
        }
        let name = super::resolve::shorten(name);
        let text = format!("model `{name}`: installed, and no version of it is active: `edgectl models activate`");
        Failure::new(ErrorCode::Unavailable, text)
    }

    fn unknown(&self, name: &str, version: Option<&str>) -> Failure {
        let of_name = self.bundles.iter().filter(|bundle| !bundle.gone && bundle.found.name == name);
        let mut versions: Vec<&str> = of_name.map(|bundle| bundle.found.version.as_str()).collect();
        versions.sort_unstable();
        let name = super::resolve::shorten(name);
        let message = match version {
            Some(version) if !versions.is_empty() => {
                let version = super::resolve::shorten(version);
                format!("model: no version `{version}` of `{name}`: takes {}", versions.join(", "))
            }
            _ => {
                let pipelines = self.pipelines.iter().map(String::as_str);
                let mut names: Vec<&str> = self
                    .bundles
                    .iter()
                    .filter(|bundle| !bundle.gone)
                    .map(|bundle| bundle.found.name.as_str())
                    .chain(pipelines)
                    .collect();
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
    fn new(found: Arc<Found>, bundle: usize, setup: Setup, host: HostId, life: Life) -> Model {
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

    /// Why it failed, to follow the word for its state.
    fn why(&self) -> String {
        match &self.life {
            Life::Failed(why) => format!(": {why}"),
            _ => String::new(),
        }
    }

    /// What there is to say of its state.
    fn reason(&self) -> String {
        match (&self.life, &self.loaded) {
            (Life::Failed(why), _) => why.clone(),
            (Life::Standby, _) => self.rest.clone(),
            (Life::Ready, Some(loaded)) if loaded.goldens_passed == 0 && loaded.variant != SIMULATED => {
                "its bundle has no golden inputs: nobody knows whether it answers right on this machine".into()
            }
            _ => String::new(),
        }
    }

    /// The bundle as it crosses the bus, while this setup serves it; load figures are the caller's to fill in.
    fn status(&self, bundle: &Bundle, policy_deadline: Duration) -> ModelStatus {
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
            done: bundle.done,
            path: self.found.dir.display().to_string(),
            installed_at: self.found.installed_at.clone(),
            signed_by: self.found.signer.clone(),
            parts: self.found.parts.iter().map(|part| format!("{}:{}", part.name, part.version)).collect(),
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

impl Models {
    /// A bundle as it crosses the bus; load figures are the caller's to fill in.
    /// `absent` are hosts of providers that this box does not have, and that nobody asked for.
    pub fn status(&self, bundle: &Bundle, policy_deadline: Duration, absent: impl Fn(HostId) -> bool) -> ModelStatus {
        let shown = bundle.shown();
        let Some(model) = self.get(shown) else { return ModelStatus::default() };
        let setups = bundle.ids().filter_map(|id| Some((id, self.get(id)?)));
        let serves = |id: ModelId| {
            Kind::ALL
                .into_iter()
                .filter(|kind| bundle.serves(*kind) == id)
                .map(|kind| kind.as_str().to_owned())
                .collect()
        };
        let setups = setups.map(|(id, model)| model.setup_status(serves(id))).collect();
        let mut status = ModelStatus { setups, ..model.status(bundle, policy_deadline) };
        let mut wanted = bundle.order(Kind::Encoded).iter().filter_map(|id| Some((*id, self.get(*id)?)));
        let wanted = wanted.find(|(_, model)| !matches!(model.life, Life::Failed(_)) || !absent(model.host));
        if model.life == Life::Ready
            && let Some((_, wanted)) = wanted.filter(|(id, _)| *id != shown)
        {
            status.reason = format!(
                "{} stands in for {}, which is {}{}",
                model.way(),
                wanted.way(),
                wanted.life.as_str(),
                wanted.why()
            );
        }
        status
    }
}

impl Model {
    fn setup_status(&self, serves: Vec<String>) -> SetupStatus {
        let share = |loaded: &Arc<LoadedModel>| {
            loaded.providers.iter().find(|report| report.name == self.setup.provider).map(|report| report.share)
        };
        SetupStatus {
            variant: self.setup.variant.clone(),
            provider: self.setup.provider.clone(),
            precision: self.setup.precision.as_str().into(),
            threads: self.setup.threads.into(),
            instances: self.setup.instances.into(),
            state: self.life.as_str().into(),
            reason: match &self.life {
                Life::Failed(why) => why.clone(),
                Life::Standby if self.rest.is_empty() && !self.found.losses.allow(&self.setup.variant) => {
                    format!("not for encoded requests: {}", self.found.losses.told(&self.setup.variant))
                }
                Life::Standby => self.rest.clone(),
                _ => String::new(),
            },
            serving: !serves.is_empty(),
            serves,
            share: f64::from(self.loaded.as_ref().and_then(share).unwrap_or(0.0)),
            load_ms: self.loaded.as_ref().map_or(0, |loaded| loaded.load_ms),
            memory_bytes: self.memory_bytes,
            device_bytes: self.device_bytes,
            cache: self.build.word.into(),
            ..SetupStatus::default()
        }
    }
}

/// Why no setup of a bundle may be used.
fn none_allowed(found: &Found, allowed: &[String]) -> String {
    let way = |setup: &Setup| format!("{} on {}", setup.variant, setup.provider);
    let ways: Vec<_> = found.setups.iter().map(way).collect();
    format!("none of the allowed providers ({}) runs it: its bundle has {}", allowed.join(", "), ways.join(", "))
}

/// Why a bundle has nothing for encoded requests, although it has setups: each is of a variant that loses too much.
fn all_lossy(found: &Found, setups: &[Setup]) -> Option<String> {
    if setups.is_empty() || setups.iter().any(|setup| found.losses.allow(&setup.variant)) {
        return None;
    }
    let lost = |setup: &Setup| {
        format!("{} on {} loses {}", setup.variant, setup.provider, found.losses.of_variant(&setup.variant))
    };
    let lost: Vec<_> = setups.iter().map(lost).collect();
    let accepted = found.losses.accepted;
    Some(format!(
        "no way that is allowed here answers well enough: {}, the bundle's max_loss is {accepted}",
        lost.join(", ")
    ))
}

/// The setup of a bundle that has none, because it cannot be read.
fn nothing() -> Setup {
    Setup { variant: String::new(), provider: String::new(), precision: Precision::Exact, threads: 1, instances: 1 }
}

/// Orders versions by their numbers; a pre-release (`-rc.1`) comes before its release.
pub(super) fn order(version: &str) -> (Vec<u64>, bool) {
    let (numbers, pre) = version.split_once('-').map_or((version, false), |(numbers, _)| (numbers, true));
    (numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect(), !pre)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(models: &mut Models, name: &str, version: &str) -> Option<usize> {
        let setups = vec![Setup { provider: "cpu".into(), ..nothing() }];
        let found = Found { name: name.into(), version: version.into(), setups, ..Found::default() };
        models.add(found, &["cpu".into()], |_| HostId(0))
    }

    fn models(list: &[(&str, &str)]) -> Models {
        let mut models = Models::default();
        for (name, version) in list {
            add(&mut models, name, version).unwrap();
        }
        models
    }

    #[test]
    fn without_a_version_the_newest_ready_one_serves() {
        let mut models = models(&[("a", "1.9.0"), ("a", "1.10.0"), ("a", "2.0.0-rc.1"), ("b", "1.0.0")]);
        let find = |models: &Models, version: Option<&str>| models.find("a", version).map(Bundle::root);
        assert_eq!(find(&models, None), Ok(ModelId(2)));
        models.get_mut(ModelId(0)).unwrap().loaded = Some(Arc::default());
        assert_eq!(find(&models, None), Ok(ModelId(0)));
        models.get_mut(ModelId(1)).unwrap().loaded = Some(Arc::default());
        assert_eq!(find(&models, None), Ok(ModelId(1)));
        assert_eq!(find(&models, Some("1.9.0")), Ok(ModelId(0)));
    }

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

    #[test]
    fn an_unknown_name_or_version_is_told_what_there_is() {
        let mut models = models(&[("b", "1.0.0"), ("d", "1.0.0")]);
        models.note_pipeline("a");
        assert!(models.find("c", None).unwrap_err().message.contains("no model `c`: takes a, b, d"));
        assert!(models.find("b", Some("9")).unwrap_err().message.contains("no version `9` of `b`: takes 1.0.0"));
    }

    #[test]
    fn a_plans_setup_is_wanted_first_and_made_once() {
        let mut models = models(&[("a", "1.0.0"), ("b", "1.0.0")]);
        let two = Setup { provider: "cpu".into(), threads: 2, ..nothing() };
        let id = models.ensure(0, &two, HostId(0)).unwrap();
        assert_eq!((id, models.ensure(0, &two, HostId(0))), (ModelId(2), Some(ModelId(2))));
        assert_eq!(models.ensure(0, &Setup { threads: 1, ..two.clone() }, HostId(0)), Some(ModelId(0)));
        models.prefer(0, Kind::Encoded, Some(id), |_| true);
        models.prefer(0, Kind::Tensors, None, |setup| setup.threads == 1);
        let bundle = models.bundle(0).unwrap();
        assert_eq!(bundle.order(Kind::Encoded), [ModelId(2), ModelId(0)]);
        assert_eq!(bundle.order(Kind::Tensors), [ModelId(0)]);
        models.prefer(0, Kind::Tensors, None, |_| false);
        assert_eq!(
            models.bundle(0).unwrap().order(Kind::Tensors),
            [ModelId(0), ModelId(2)],
            "nothing is good: all are"
        );
        assert_eq!(models.bundle(1).unwrap().order(Kind::Encoded), [ModelId(1)]);
    }

    #[test]
    fn encoded_requests_never_go_to_a_variant_that_loses_too_much() {
        let of =
            |variant: &str, provider: &str| Setup { variant: variant.into(), provider: provider.into(), ..nothing() };
        let found = |name: &str, accepted| Found {
            name: name.into(),
            version: "1.0.0".into(),
            setups: vec![of("int8", "openvino"), of("fp32", "cpu"), of("int8", "cpu")],
            losses: crate::store::Losses { stated: [("int8".to_owned(), 0.02)].into(), accepted },
            ..Found::default()
        };
        let mut models = Models::default();
        let all = ["cpu".to_owned(), "openvino".to_owned()];
        let order = |models: &Models, bundle, kind| models.bundle(bundle).unwrap().order(kind).to_vec();
        models.add(found("strict", 0.01), &all, |_| HostId(0)).unwrap();
        models.add(found("lax", 0.02), &all, |_| HostId(0)).unwrap();
        assert_eq!(order(&models, 0, Kind::Encoded), [ModelId(1)]);
        assert_eq!(models.bundle(0).unwrap().serves(Kind::Encoded), ModelId(1));
        assert_eq!(order(&models, 0, Kind::Tensors), [ModelId(0), ModelId(1), ModelId(2)]);
        assert_eq!(order(&models, 1, Kind::Encoded), [ModelId(3), ModelId(4), ModelId(5)]);
        // Nor when a plan says nothing good of the others.
        models.prefer(0, Kind::Encoded, None, |setup| setup.variant == "int8");
        assert_eq!(order(&models, 0, Kind::Encoded), [ModelId(1)]);
        // Where the operator allows nothing else, that is a fault.
        models.add(found("none", 0.01), &["openvino".to_owned()], |_| HostId(0)).unwrap();
        let Life::Failed(why) = &models.get(ModelId(6)).unwrap().life else { panic!() };
        assert!(why.contains("int8 on openvino loses 0.02, the bundle's max_loss is 0.01"), "{why}");
    }

    #[test]
    fn the_same_name_and_version_is_taken_once() {
        let mut models = models(&[("a", "1.0.0")]);
        assert_eq!(add(&mut models, "a", "1.0.0"), None);
    }
}
