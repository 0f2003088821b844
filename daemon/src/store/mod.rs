//! Bundles on disk: finds them, reads their manifests, checks their files and signatures. What is wrong with one is a
//! fact to show, never a reason to stop. [`archive`] is a bundle as one file, [`trust`] says whose it is, [`install`] puts it
//! into the store, [`inbox`] is a folder of archives that are, [`records`] say which version is active, [`history`] who did what; [`keeper`] is the thread for all
//! of it.

pub mod archive;
pub mod history;
pub mod inbox;
pub mod install;
pub mod keeper;
pub mod records;
pub mod trust;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_core::tune::right::loses_little;
use edge_engine::bundle::{InputRecipe, Manifest, Need, PartKind, Pipeline, Task, Variant};
use edge_engine::protocol::{Precision, Setup};

use crate::config::ModelsConfig;
use edge_wire::plan::Plan;

use crate::driver::{chain, clock};
use crate::plans;

/// A bundle as found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// From the manifest; from the directory's name if the manifest cannot be read.
    pub name: String,
    pub version: String,
    pub description: String,
    pub task: String,
    pub licence: String,
    pub dir: PathBuf,
    pub default_deadline: Option<Duration>,
    pub max_payload_bytes: Option<u64>,
    /// Its recipe makes one tensor of a payload, which is run once.
    pub fills: bool,
    /// The ways to run it that its manifest names, the most wanted first.
    pub setups: Vec<Setup>,
    /// What its variants are stated to lose, and how much is accepted.
    pub losses: Losses,
    /// Largest batch that its manifest allows; 0 for one that has no batches.
    pub max_batch: u16,
    /// Size of what a session is made of, bytes, by variant.
    pub model_bytes: BTreeMap<String, u64>,
    /// Digest of the manifest, which has the digests of all other files.
    pub digest: String,
    /// What was measured before, or why that cannot be read.
    pub plan: Option<Result<Plan, String>>,
    /// What it is, if it is no model but a part of models.
    pub part: Option<Part>,
    /// Parts that it needs.
    pub needs: Vec<Need>,
    /// sha256 of the graphs of its variants.
    pub graphs: Vec<String>,
    /// The parts that it is used with, in the order of its needs; chosen by the driver.
    pub parts: Vec<UsedPart>,
    /// Its fault is that of a part, and may pass.
    pub unfit: bool,
    /// Its stages, if it has no model of its own.
    pub pipeline: Option<Pipeline>,
    /// When it was put there, RFC 3339: the time of its manifest; empty if the disk does not say.
    pub installed_at: String,
    /// Number of the key that signed it; empty if nobody did.
    pub signer: String,
    /// Why it cannot be loaded.
    pub fault: Option<String>,
}

/// What a part says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub kind: PartKind,
    /// sha256 of the graphs that it is for; empty for any.
    pub base: Vec<String>,
    /// Of all its files.
    pub bytes: u64,
}

/// A part that a model is used with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsedPart {
    pub name: String,
    pub version: String,
    pub kind: Option<PartKind>,
    pub dir: PathBuf,
    /// Digest of its manifest, which has the digests of all its files.
    pub digest: String,
    pub bytes: u64,
}

impl Found {
    /// Bytes on disk of what a session of this variant is made of, with its parts.
    pub fn bytes_of(&self, variant: &str) -> u64 {
        let own = self.model_bytes.get(variant).copied().unwrap_or(0);
        self.parts.iter().map(|part| part.bytes).fold(own, u64::saturating_add)
    }

    /// The directories of its parts.
    pub fn part_dirs(&self) -> Vec<PathBuf> {
        self.parts.iter().map(|part| part.dir.clone()).collect()
    }

    /// What tells the weights of its part from others; empty where they are its own.
    pub fn weights(&self) -> String {
        let weights = self.parts.iter().find(|part| part.kind == Some(PartKind::Weights));
        weights.map(|part| part.digest.clone()).unwrap_or_default()
    }
}

/// Which variants answer well enough.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Losses {
    /// What a variant is stated to lose, by its name; those without a statement are not there.
    pub stated: BTreeMap<String, f64>,
    /// Largest loss of a variant that may serve encoded requests.
    pub accepted: f64,
}

impl Losses {
    fn of(manifest: &Manifest) -> Losses {
        // Without encoded requests there is nothing to lose: tensors are held against the reference, one by one.
        let counts = |variant: &&Variant| manifest.task != Task::Tensors && variant.loss.is_some();
        let stated = |variant: &Variant| (variant.name.clone(), variant.loss.unwrap_or_default());
        Losses { stated: manifest.variant.iter().filter(counts).map(stated).collect(), accepted: manifest.max_loss }
    }

    /// What a variant is stated to lose.
    pub fn of_variant(&self, variant: &str) -> f64 {
        self.stated.get(variant).copied().unwrap_or(0.0)
    }

    /// Why a variant may serve no encoded requests.
    pub fn told(&self, variant: &str) -> String {
        too_lossy(self.of_variant(variant), self.accepted)
    }

    /// Whether a variant may serve encoded requests.
    pub fn allow(&self, variant: &str) -> bool {
        loses_little(self.of_variant(variant), self.accepted)
    }
}

/// A loss that is not accepted, in words.
pub fn too_lossy(loss: f64, accepted: f64) -> String {
    format!("its variant loses {loss} of the task's measure, the bundle's max_loss is {accepted}")
}

/// The directories that look like bundles, in the order of the configuration, each directory's in name order.
pub fn list(config: &ModelsConfig) -> (Vec<PathBuf>, Vec<String>) {
    let (mut bundles, mut faults) = (Vec::new(), Vec::new());
    for dir in &config.dirs {
        match std::fs::read_dir(dir) {
            Ok(entries) => {
                let mut found: Vec<PathBuf> = entries
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    // What is being put in or taken out.
                    .filter(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")))
                    // Whatever has this name: what cannot be read is said, not passed over.
                    .filter(|path| path.join("model.toml").symlink_metadata().is_ok())
                    .collect();
                found.sort();
                bundles.extend(found);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => faults.push(format!("read models directory {}: {error}", dir.display())),
        }
    }
    (bundles, faults)
}

/// Reads and checks one bundle. Takes as long as hashing its files.
pub fn inspect(dir: &Path, config: &ModelsConfig, cache_dir: &Path) -> Found {
    look(dir, config, cache_dir, |bundle| edge_engine::bundle::verify(bundle).map_err(|error| chain(&error)))
}

/// The same of a bundle whose files were proven while they were written.
pub fn proven(dir: &Path, config: &ModelsConfig, cache_dir: &Path) -> Found {
    look(dir, config, cache_dir, |_| Ok(()))
}

fn look(
    dir: &Path,
    config: &ModelsConfig,
    cache_dir: &Path,
    files: impl FnOnce(&edge_engine::bundle::Bundle) -> Result<(), String>,
) -> Found {
    let bundle = match edge_engine::bundle::open(dir) {
        Ok(bundle) => bundle,
        Err(error) => {
            let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            return Found { name, dir: dir.to_owned(), fault: Some(chain(&error)), ..Found::default() };
        }
    };
    let signer = trust::check(dir, config, clock::wall()).map_err(|error| chain(&error));
    let manifest = bundle.manifest();
    Found {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        description: manifest.description.clone(),
        task: manifest.task.as_str().into(),
        licence: manifest.licence.clone(),
        dir: dir.to_owned(),
        default_deadline: Some(Duration::from_millis(manifest.deadline_ms)),
        max_payload_bytes: Some(manifest.limits.payload_bytes),
        fills: manifest.input.as_ref().is_some_and(InputRecipe::fills),
        max_batch: manifest.batching.map_or(0, |batching| batching.max),
        model_bytes: manifest
            .variant
            .iter()
            .map(|variant| (variant.name.clone(), manifest.model_bytes(&variant.name)))
            .collect(),
        digest: bundle.digest().to_owned(),
        plan: plans::read(cache_dir, &manifest.name, &manifest.version).map_err(|error| chain(&error)).transpose(),
        setups: manifest.variant.iter().flat_map(Variant::setups).collect(),
        losses: Losses::of(manifest),
        part: manifest.kind.map(|kind| Part {
            kind,
            base: manifest.base.clone(),
            bytes: manifest.file.iter().map(|file| file.bytes).fold(0, u64::saturating_add),
        }),
        needs: manifest.needs.clone(),
        graphs: manifest.graphs(),
        parts: Vec::new(),
        unfit: false,
        pipeline: manifest.pipeline.clone(),
        installed_at: installed_at(dir),
        fault: signer.clone().and_then(|_| files(&bundle)).err(),
        signer: signer.unwrap_or_default(),
    }
}

fn installed_at(dir: &Path) -> String {
    let time = std::fs::metadata(dir.join(edge_engine::bundle::MANIFEST)).and_then(|found| found.modified());
    time.map(|time| humantime::format_rfc3339_seconds(time).to_string()).unwrap_or_default()
}

/// The simulator's models.
pub fn simulated() -> Vec<Found> {
    let found = |model: &crate::lanes::sim::SimModel| Found {
        name: model.name.into(),
        version: "0.0.0".into(),
        description: model.description.into(),
        task: model.task.into(),
        licence: "none".into(),
        dir: PathBuf::from("simulated"),
        setups: vec![Setup {
            variant: crate::driver::models::SIMULATED.into(),
            provider: "cpu".into(),
            precision: Precision::Exact,
            threads: 1,
            instances: 2,
        }],
        ..Found::default()
    };
    crate::lanes::sim::MODELS.iter().map(found).collect()
}
