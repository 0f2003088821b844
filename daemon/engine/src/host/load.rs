//! Loads a model: bundle, sessions, recipes, golden answers. Runs on a loader thread, so that several load at once.

use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::session::Adapter;

use super::arena::Options;
use super::golden::{self, GoldenError};
use super::model::{FitError, Model};
use super::provider::ApplyError;
use super::runner::Runner;
use super::session::{Engine, Runtime, SessionError, Source};
use super::trial::{References, Sample};
use super::{clock, post::Post};
use crate::bundle::{self, Bundle, BundleError, PartFault, PartKind};
use crate::channel;
use crate::fault::chain;
use crate::media::{MediaError, Recipe};
use crate::protocol::{LoadFault, LoadModel, LoadPhase, LoadedModel, Trial};

/// Why a model is not served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("no variant {variant}; the bundle has {}", have.join(", "))]
    NoVariant { variant: String, have: Vec<String> },
    #[error("it needs ONNX Runtime {needs} or newer, and this is {have}")]
    Runtime { needs: String, have: String },
    #[error("variant {variant}")]
    Session { variant: String, source: SessionError },
    #[error("manifest and graph")]
    Fit(#[from] FitError),
    #[error("recipe")]
    Recipe(#[from] MediaError),
    #[error("load the adapter {}", path.display())]
    Adapter { path: PathBuf, source: ort::Error },
    #[error("make run options")]
    Options(#[source] ort::Error),
    #[error("make the channel of a lane")]
    Channel(#[source] std::io::Error),
    #[error(transparent)]
    Golden(#[from] GoldenError),
}

impl LoadError {
    /// Whose fault it is. What nobody can tell counts as the provider's: it is tried again, and no more than that.
    pub fn fault(&self) -> LoadFault {
        match self {
            LoadError::Adapter { source, .. } => of_runtime(source.code()),
            LoadError::Runtime { .. } => LoadFault::Bundle,
            LoadError::Bundle(_) | LoadError::NoVariant { .. } | LoadError::Fit(_) | LoadError::Recipe(_) => {
                LoadFault::Bundle
            }
            LoadError::Session { source, .. } => of_session(source),
            LoadError::Golden(error) if error.is_runtime() => LoadFault::Provider,
            LoadError::Golden(_) => LoadFault::Bundle,
            LoadError::Options(_) | LoadError::Channel(_) => LoadFault::Provider,
        }
    }
}

fn of_session(error: &SessionError) -> LoadFault {
    match error {
        SessionError::Idle { .. }
        | SessionError::Other { .. }
        | SessionError::Unplaced
        | SessionError::Type { .. }
        | SessionError::Provider(
            ApplyError::OtherHost { .. } | ApplyError::Wish { .. } | ApplyError::NoProfile { .. },
        ) => LoadFault::Bundle,
        SessionError::Provider(ApplyError::Register { .. } | ApplyError::Device { .. })
        | SessionError::Placement(_) => LoadFault::Provider,
        SessionError::Make { source, .. } => of_runtime(source.code()),
    }
}

/// Whose fault it is that the runtime did not make a session.
fn of_runtime(code: ort::ErrorCode) -> LoadFault {
    match code {
        ort::ErrorCode::InvalidArgument
        | ort::ErrorCode::NoSuchFile
        | ort::ErrorCode::NoModel
        | ort::ErrorCode::InvalidProtobuf
        | ort::ErrorCode::InvalidGraph
        | ort::ErrorCode::NotImplemented => LoadFault::Bundle,
        _ => LoadFault::Provider,
    }
}

/// A model that can be served: what to say of it, and one runner per lane.
pub struct Loaded {
    pub said: LoadedModel,
    pub model: Arc<Model>,
    pub lanes: Vec<NewLane>,
    /// What its lanes run to be measured.
    pub sample: Option<Arc<Sample>>,
    /// What it was loaded from.
    pub bundle: Arc<Bundle>,
}

/// What a lane is made of, and the daemon's end of its channel.
pub struct NewLane {
    pub runner: Runner,
    pub post: Arc<Post>,
    pub channel: OwnedFd,
}

/// Loads what `request` names.
pub fn load(
    runtime: &Runtime,
    references: &References,
    request: &LoadModel,
    progress: impl Fn(LoadPhase),
) -> Result<Loaded, LoadError> {
    let start = clock::now_ns();
    progress(LoadPhase::Compiling);
    let bundle = bundle::open_with(&request.bundle, &request.parts)?;
    let manifest = bundle.manifest();
    if let Some(needs) = manifest.min_runtime.as_deref().filter(|needs| is_older(&runtime.version, needs)) {
        return Err(LoadError::Runtime { needs: needs.to_owned(), have: runtime.version.clone() });
    }
    let setup = &request.setup;
    let variant = manifest.variant(&setup.variant).ok_or_else(|| {
        let have = manifest.variant.iter().map(|variant| variant.name.clone()).collect();
        LoadError::NoVariant { variant: setup.variant.clone(), have }
    })?;
    let file = bundle.file(&variant.file)?;
    let failed = |source| LoadError::Session { variant: variant.name.clone(), source };
    let instances = setup.instances.max(1);
    let digest = manifest.digest(&variant.file).unwrap_or_default();
    let source = Source { file: &file, digest, weights: weights(&bundle) };
    let make = || Engine::make(runtime, variant, setup, source, request.cache_dir.as_deref()).map_err(failed);
    let (engine, others) = if request.check_goldens { (make()?, Vec::new()) } else { side_by_side(instances, make)? };
    let providers = engine.placement(setup).map_err(failed)?;
    let recipe = Recipe::load(&bundle, &engine.inputs, &engine.outputs, |key| engine.metadata(key))?;
    let model = Arc::new(Model::new(request.model, &bundle, variant, (&engine.inputs, &engine.outputs), recipe)?);

    let adapters = adapters(&bundle, &engine.optional)?;
    let lane = |engine: Engine| lane(&model, engine, &setup.provider, &adapters);
    let mut lanes = vec![lane(engine)?];
    let mut checked = golden::Checked::default();
    let (mut trial, mut sample) = (None, None);
    if let Some(NewLane { runner, .. }) = lanes.first_mut().filter(|_| request.check_goldens) {
        progress(LoadPhase::CheckingGoldens);
        if request.trial {
            let reference = references.of(runtime, &bundle);
            let goldens = golden::check(runner, &bundle).map(|_| ()).map_err(|error| chain(&error));
            let difference = reference.as_ref().map_err(String::clone).and_then(|held| held.difference(runner));
            let held = reference.ok();
            trial = Some(Box::new(Trial { goldens, difference, cost: held.as_ref().map_or(1, |held| held.cost) }));
            sample = held.map(|held| held.sample.clone());
        } else {
            checked = golden::check(runner, &bundle)?;
        }
    }
    for engine in others {
        lanes.push(lane(engine)?);
    }
    for _ in lanes.len()..usize::from(instances) {
        lanes.push(lane(make()?)?);
    }
    let said = LoadedModel {
        model: request.model,
        load: request.load,
        variant: variant.name.clone(),
        inputs: model.inputs.iter().map(|place| place.spec.clone()).collect(),
        outputs: model.outputs.clone(),
        batched: model.batched,
        most_rows: model.most_rows(),
        profile_rows: u32::try_from(model.max_rows).unwrap_or(u32::MAX),
        max_batch: model.max_batch,
        instances,
        content_types: model.recipe.as_ref().map(Recipe::content_types).unwrap_or_default(),
        providers,
        load_ms: u32::try_from(clock::since_ns(start) / 1_000_000).unwrap_or(u32::MAX),
        goldens_passed: checked.passed,
        service_ns: checked.service_ns,
        memory_bytes: 0,
        trial,
    };
    Ok(Loaded { said, model, lanes, sample, bundle: Arc::new(bundle) })
}

/// Whether a runtime is older than a bundle needs; of one that does not say its version nobody knows.
fn is_older(have: &str, needs: &str) -> bool {
    let is_version = bundle::range::takes(">=0", have);
    is_version && !bundle::range::takes(&format!(">={needs}"), have)
}

/// All instances of a model that served before, each made by a thread of its own: requests wait for it.
fn side_by_side(
    instances: u16,
    make: impl Fn() -> Result<Engine, LoadError> + Sync,
) -> Result<(Engine, Vec<Engine>), LoadError> {
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..instances).map(|_| scope.spawn(&make)).collect();
        let first = make()?;
        let joined = others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        Ok((first, joined.collect::<Result<_, _>>()?))
    })
}

/// Where the weights are, if they are a part of their own.
pub(super) fn weights(bundle: &Bundle) -> Option<&Path> {
    bundle.parts(PartKind::Weights).next().map(Bundle::dir)
}

/// The adapters that a model is run with, whose values must be optional inputs of the graph: the runtime would say so only
/// at a run.
pub(super) fn adapters(bundle: &Bundle, optional: &[String]) -> Result<Vec<Adapter>, LoadError> {
    let load = |part: &Bundle| {
        let label = format!("{}:{}", part.manifest().name, part.manifest().version);
        let path = part.adapter_file()?;
        let fault = |fault: PartFault| LoadError::Bundle(BundleError::Part(fault));
        let read = |source| LoadError::Bundle(BundleError::File { path: path.clone(), source });
        let names =
            bundle::parameters(&path).map_err(read)?.ok_or_else(|| fault(PartFault::Malformed(label.clone())))?;
        if let Some(name) = names.into_iter().find(|name| !optional.contains(name)) {
            return Err(fault(PartFault::Parameter(label, name)));
        }
        Adapter::from_file(&path, None).map_err(|source| LoadError::Adapter { path: path.clone(), source })
    };
    bundle.parts(PartKind::Adapter).map(load).collect()
}

fn lane(model: &Arc<Model>, engine: Engine, provider: &str, adapters: &[Adapter]) -> Result<NewLane, LoadError> {
    let options = Arc::new(Options::new(provider, adapters).map_err(LoadError::Options)?);
    let (daemon, ours) = channel::pair().map_err(LoadError::Channel)?;
    let post = Arc::new(Post::new(options.clone(), ours));
    Ok(NewLane { runner: Runner::new(model.clone(), engine, options), post, channel: daemon })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_is_older_than_a_bundle_needs_is_told_from_one_that_does() {
        for (have, needs, older) in [
            ("1.32.0", "1.33", true),
            ("1.32.0", "1.32.1", true),
            ("1.32.0", "1.32", false),
            ("1.32.0", "1", false),
            ("2.0.0", "1.32", false),
            ("of unknown version", "1.32", false),
        ] {
            assert_eq!(is_older(have, needs), older, "{have} {needs}");
        }
    }

    #[test]
    fn a_fault_of_the_bundle_is_told_from_one_that_may_pass() {
        use ort::ErrorCode::{
            DeviceReset, EngineError, ExecutionProviderFailure, GenericFailure, InvalidGraph, InvalidProtobuf, NoModel,
            NotImplemented, RuntimeException,
        };
        for code in [InvalidProtobuf, InvalidGraph, NoModel, NotImplemented] {
            assert_eq!(of_runtime(code), LoadFault::Bundle, "{code:?}");
        }
        for code in [GenericFailure, RuntimeException, EngineError, ExecutionProviderFailure, DeviceReset] {
            assert_eq!(of_runtime(code), LoadFault::Provider, "{code:?}");
        }
        let idle = SessionError::Idle { name: "openvino".into(), nodes: 3 };
        assert_eq!(of_session(&idle), LoadFault::Bundle);
        let lost = std::io::Error::other("no descriptor is left");
        assert_eq!(LoadError::Channel(lost).fault(), LoadFault::Provider);
    }
}
