//! `models check`: everything for which a box would refuse a bundle, each with its place, and what a person should know.

use std::path::Path;

use edge_engine::bundle::{
    self, Bundle, BundleError, InputRecipe, Manifest, ManifestError, OutputRecipe, PartKind, Variant,
};
use edge_engine::graph::{Graph, Size};
use edge_wire::bring::{Checked, Finding};

use super::{BringError, room, sign};
use crate::driver::chain;

/// Checks the bundle in `dir`. With a runtime on this machine its variants are loaded too, and give their golden answers.
pub async fn check(dir: &Path, library: Option<&Path>) -> Checked {
    let mut checked = Checked { path: dir.display().to_string(), ..Checked::default() };
    let opened = match bundle::open(dir) {
        Ok(opened) => opened,
        Err(error) => {
            checked.faults = unreadable(error);
            return checked;
        }
    };
    let manifest = opened.manifest();
    (checked.name, checked.version) = (manifest.name.clone(), manifest.version.clone());
    signature(dir, &mut checked);
    files(&opened, &mut checked);
    for variant in &manifest.variant {
        graph(&opened, variant, &mut checked);
    }
    if manifest.is_part() {
        return checked;
    }
    manners(manifest, &mut checked);
    if checked.faults.is_empty() && manifest.pipeline.is_none() {
        run(dir, manifest, library, &mut checked).await;
    }
    checked
}

/// A manifest's faults one by one, each with its key.
fn unreadable(error: BundleError) -> Vec<Finding> {
    let place = |fault: String| match fault.split_once(": ") {
        Some((key, what)) => found(&format!("{}, {key}", bundle::MANIFEST), what),
        None => found(bundle::MANIFEST, &fault),
    };
    match error {
        BundleError::Manifest { source: ManifestError::Values(faults), .. } => faults.into_iter().map(place).collect(),
        BundleError::Manifest { source: ManifestError::Syntax(fault), .. } => vec![place(fault)],
        other => vec![found(bundle::MANIFEST, &chain(&other))],
    }
}

fn signature(dir: &Path, checked: &mut Checked) {
    match bundle::read_text(&dir.join(sign::SIGNATURE), 64 << 10) {
        Ok(text) => {
            checked.signed_by = sign::signer(&text);
            if checked.signed_by.is_empty() {
                checked.faults.push(found(sign::SIGNATURE, "is no signature in the form of minisign"));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let what = "not signed: a box takes it only with allow_unsigned; sign it with `edgectl models sign`";
            checked.remarks.push(found(sign::SIGNATURE, what));
        }
        Err(error) => checked.faults.push(found(sign::SIGNATURE, &error.to_string())),
    }
}

/// Each file by itself, so that all that are wrong are told at once.
fn files(opened: &Bundle, checked: &mut Checked) {
    for entry in &opened.manifest().file {
        if let Err(error) = bundle::verify_file(opened, entry) {
            let what = match &error {
                BundleError::File { source, .. } => source.to_string(),
                other => chain(other),
            };
            checked.faults.push(found(&entry.path, &what));
        }
    }
}

/// A variant's graph, held against the manifest.
fn graph(opened: &Bundle, variant: &Variant, checked: &mut Checked) {
    // A file that is missing was told above.
    let Ok(path) = opened.file(&variant.file) else { return };
    let graph = match Graph::read(&path) {
        Ok(graph) => graph,
        Err(error) => return checked.faults.push(found(&variant.file, &chain(&error))),
    };
    let manifest = opened.manifest();
    for place in &graph.external {
        let listed = manifest.file.iter().any(|file| file.path == *place);
        // The host looks there, when it is loaded.
        let in_part = manifest.needs.iter().any(|need| need.kind == PartKind::Weights);
        if !in_part && (!listed || !bundle::is_inside(place)) {
            let what = format!("keeps weights in {place:?}, which is no [[file]] of the bundle");
            checked.faults.push(found(&variant.file, &what));
        }
    }
    let names = |ports: &[edge_engine::graph::Port]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>();
    let (inputs, outputs) = (names(&graph.inputs), names(&graph.outputs));
    let mut needs = |key: String, name: &str, among: &[&[String]]| {
        if !among.iter().any(|names| names.iter().any(|other| other == name)) {
            let there = among.iter().flat_map(|names| names.iter()).cloned().collect::<Vec<_>>().join(", ");
            let what = format!("{name:?} is not in {}; there are {there}", variant.file);
            checked.faults.push(found(&format!("{}, {key}", bundle::MANIFEST), &what));
        }
    };
    for (at, rule) in manifest.tensor.iter().enumerate() {
        needs(format!("tensor[{at}].name"), &rule.name, &[&inputs, &outputs]);
    }
    for (at, profile) in variant.profile.iter().enumerate() {
        needs(format!("profile[{at}].tensor"), &profile.tensor, &[&inputs]);
    }
    if let Some(tensor) = input_tensor(manifest) {
        needs("input.tensor".into(), tensor, &[&inputs]);
    }
    if let Some(tensor) = output_tensor(manifest) {
        needs("output.tensor".into(), tensor, &[&outputs]);
    }
    if manifest.batching.is_some()
        && let Some(port) =
            graph.inputs.iter().chain(&graph.outputs).find(|port| matches!(port.sizes.first(), Some(Size::Fixed(_))))
    {
        let what = format!("present, but the first dimension of {:?} in {} is not open", port.name, variant.file);
        checked.faults.push(found(&format!("{}, batching", bundle::MANIFEST), &what));
    }
}

fn input_tensor(manifest: &Manifest) -> Option<&str> {
    match manifest.input.as_ref()? {
        InputRecipe::Image(recipe) => Some(&recipe.tensor),
        InputRecipe::Picture(recipe) => Some(&recipe.tensor),
        InputRecipe::Scene(recipe) => Some(&recipe.tensor),
        InputRecipe::FileBytes(recipe) => Some(&recipe.tensor),
        InputRecipe::Sound(recipe) => Some(&recipe.signal),
    }
}

/// The output that the recipe names first; the heads of detectors are checked when the model is loaded.
fn output_tensor(manifest: &Manifest) -> Option<&str> {
    match manifest.output.as_ref()? {
        OutputRecipe::Classes(recipe) => Some(&recipe.tensor),
        OutputRecipe::Ctc(recipe) => Some(&recipe.tensor),
        OutputRecipe::Boxes(recipe) => Some(&recipe.tensor),
        OutputRecipe::FileType(recipe) => Some(&recipe.tensor),
        OutputRecipe::Speech(recipe) => Some(&recipe.probability),
        OutputRecipe::Segmentation(recipe) => Some(&recipe.tensor),
        OutputRecipe::Embedding(recipe) => Some(&recipe.tensor),
        OutputRecipe::Anomaly(recipe) => recipe.map.as_deref().or(recipe.score.as_deref()),
        OutputRecipe::Objects(_) => None,
    }
}

/// What a box takes and somebody should know.
fn manners(manifest: &Manifest, checked: &mut Checked) {
    if manifest.golden.is_empty() {
        let what =
            "there is none: nothing tells that the model answers right on a box; `edgectl models goldens` makes some";
        checked.remarks.push(found(&format!("{}, golden", bundle::MANIFEST), what));
    }
    if manifest.licence == "NOASSERTION" {
        let what = "nobody knows under which licence the model may be used";
        checked.remarks.push(found(&format!("{}, licence", bundle::MANIFEST), what));
    }
}

async fn run(dir: &Path, manifest: &Manifest, library: Option<&Path>, checked: &mut Checked) {
    let mut room = match room(library).await {
        Ok(room) => room,
        Err(error @ BringError::Library(_)) => {
            let what = format!("the model did not run, as there is none on this machine: {}", chain(&error));
            return checked.remarks.push(found("ONNX Runtime", &what));
        }
        Err(error) => return checked.remarks.push(found("ONNX Runtime", &chain(&error))),
    };
    for variant in &manifest.variant {
        match room.load(dir, variant, true).await {
            Ok(loaded) => {
                checked.ran = true;
                checked.goldens_passed = checked.goldens_passed.max(u32::from(loaded.goldens_passed));
            }
            Err(error) => {
                let place = format!("{}, variant {}", bundle::MANIFEST, variant.name);
                checked.faults.push(found(&place, &chain(&error)));
                // After a crash nothing more can be asked of this host.
                if matches!(error, super::RoomError::Gone(_) | super::RoomError::Silent) {
                    return;
                }
            }
        }
    }
}

fn found(place: &str, what: &str) -> Finding {
    Finding { place: place.into(), what: what.into() }
}
