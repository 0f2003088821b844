//! Loads a model: bundle, sessions, recipes, golden answers. Runs on a loader thread, so that several load at once.

use std::sync::Arc;

use ort::session::RunOptions;

use super::golden::{self, GoldenError};
use super::model::{FitError, Model};
use super::runner::Runner;
use super::session::{Engine, Runtime, SessionError};
use super::{clock, post::Post};
use crate::bundle::{self, BundleError, Variant};
use crate::media::{MediaError, Recipe};
use crate::protocol::{LoadModel, LoadedModel};

/// Why a model is not served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("no variant runs on the allowed providers ({}): {wished}", allowed.join(", "))]
    NoVariant { allowed: Vec<String>, wished: String },
    #[error("variant {variant}")]
    Session { variant: String, source: SessionError },
    #[error("manifest and graph")]
    Fit(#[from] FitError),
    #[error("recipe")]
    Recipe(#[from] MediaError),
    #[error("make run options")]
    Options(#[source] ort::Error),
    #[error(transparent)]
    Golden(#[from] GoldenError),
}

/// A model that can be served: what to say of it, and one runner per lane.
pub struct Loaded {
    pub said: LoadedModel,
    pub model: Arc<Model>,
    pub lanes: Vec<(Runner, Arc<Post>)>,
}

/// Loads what `request` names.
pub fn load(runtime: &Runtime, request: &LoadModel) -> Result<Loaded, LoadError> {
    let start = clock::now_ns();
    let bundle = bundle::open(&request.bundle)?;
    let manifest = bundle.manifest();
    let variant = manifest.variant_for(&request.allowed_providers).ok_or_else(|| {
        let wish = |variant: &Variant| format!("{} wants {}", variant.name, variant.providers.join(" and "));
        let wished = manifest.variant.iter().map(wish).collect::<Vec<_>>().join(", ");
        LoadError::NoVariant { allowed: request.allowed_providers.clone(), wished }
    })?;
    let file = bundle.file(&variant.file)?;
    let failed = |source| LoadError::Session { variant: variant.name.clone(), source };
    let engine = Engine::make(runtime, variant, &file).map_err(failed)?;
    let providers = engine.placement(variant).map_err(failed)?;
    let recipe = Recipe::load(&bundle, &engine.inputs, &engine.outputs, |key| engine.metadata(key))?;
    let model = Arc::new(Model::new(request.model, &bundle, (&engine.inputs, &engine.outputs), recipe)?);

    let mut lanes = vec![lane(&model, engine)?];
    let checked = match lanes.first_mut() {
        Some((first, _)) if request.check_goldens => golden::check(first, &bundle)?,
        _ => golden::Checked::default(),
    };
    let instances = request.instances.unwrap_or(variant.instances).max(1);
    for _ in 1..instances {
        let engine = Engine::make(runtime, variant, &file).map_err(failed)?;
        lanes.push(lane(&model, engine)?);
    }
    let said = LoadedModel {
        model: request.model,
        load: request.load,
        variant: variant.name.clone(),
        inputs: model.inputs.iter().map(|place| place.spec.clone()).collect(),
        outputs: model.outputs.clone(),
        batched: model.batched,
        max_batch: model.max_batch,
        instances,
        content_types: model.recipe.as_ref().map(Recipe::content_types).unwrap_or_default(),
        providers,
        load_ms: u32::try_from(clock::since_ns(start) / 1_000_000).unwrap_or(u32::MAX),
        goldens_passed: checked.passed,
        service_ns: checked.service_ns,
    };
    Ok(Loaded { said, model, lanes })
}

fn lane(model: &Arc<Model>, engine: Engine) -> Result<(Runner, Arc<Post>), LoadError> {
    let options = Arc::new(RunOptions::new().map_err(LoadError::Options)?);
    let post = Arc::new(Post::new(options.clone()));
    Ok((Runner::new(model.clone(), engine, options), post))
}
