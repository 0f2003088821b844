//! What the values of recipes with maps must be, and of those for embeddings. Every fault names its key and the accepted range.

use super::manifest::FileEntry;
use super::recipes::{
    Activation, AnomalyRecipe, EmbeddingRecipe, Head, MasksRecipe, OutlinesRecipe, SegmentationRecipe,
};
use super::rules::Faults;

/// Largest file of known embeddings, which is read as a whole, bytes: its 16,777,216 numbers with 32 characters each.
const MOST_ENROLLED: u64 = 512 << 20;
/// Coarser outlines than this show nothing any more, cells.
const COARSEST: f32 = 100.0;

/// Regions with labels.
pub fn segmentation(recipe: &SegmentationRecipe, faults: &mut Faults) {
    faults.unless((1..=10_000).contains(&recipe.labels.len()), "output.labels", "1..=10000 labels");
    let known = recipe.background.as_ref().is_none_or(|label| recipe.labels.contains(label));
    faults.unless(known, "output.background", "absent, or one of output.labels");
    // The only label of one is all of it.
    let sensible = recipe.activation != Activation::Softmax || recipe.labels.len() > 1;
    faults.unless(sensible, "output.activation", "\"none\" or \"sigmoid\" with one label");
    let sure = recipe.threshold.is_none_or(|threshold| (0.0..=1.0).contains(&threshold));
    faults.unless(sure, "output.threshold", "0..=1");
    outlines(&recipe.outlines, faults);
}

/// Masks of things.
pub fn masks(recipe: &MasksRecipe, head: &Head, faults: &mut Faults) {
    let weighted = matches!(head, Head::Yolo { .. });
    faults.unless(weighted, "output.masks", "absent unless output.head.kind is \"yolo\"");
    faults.unless((0.0..=1.0).contains(&recipe.threshold), "output.masks.threshold", "0..=1");
    faults.unless((0.0..=COARSEST).contains(&recipe.tolerance), "output.masks.tolerance", "0..=100");
    faults.unless((1..=16).contains(&recipe.max_parts), "output.masks.max_parts", "1..=16");
    faults.unless((8..=200_000).contains(&recipe.max_points), "output.masks.max_points", "8..=200000");
}

/// How unlike good pictures one is.
pub fn anomaly(recipe: &AnomalyRecipe, faults: &mut Faults) {
    let told = recipe.map.is_some() || recipe.score.is_some();
    faults.unless(told, "output.map", "present, or output.score is");
    let ordered = recipe.min.is_finite() && recipe.max.is_finite() && recipe.min < recipe.max;
    faults.unless(ordered, "output.max", "a number above output.min, which is 0 unless said");
    faults.unless((0.0..=1.0).contains(&recipe.threshold), "output.threshold", "0..=1");
    let pixel = recipe.pixel_threshold.is_none_or(|threshold| recipe.map.is_some() && (0.0..=1.0).contains(&threshold));
    faults.unless(pixel, "output.pixel_threshold", "0..=1, and absent without output.map");
    let read = recipe.quantile == 1.0 || recipe.score.is_none() && (0.0..=1.0).contains(&recipe.quantile);
    faults.unless(read, "output.quantile", "0..=1, and absent with output.score");
    outlines(&recipe.outlines, faults);
}

/// Numbers that are alike for what looks alike.
pub fn embedding(recipe: &EmbeddingRecipe, files: &[FileEntry], faults: &mut Faults) {
    let is_large = |file: &FileEntry| Some(&file.path) == recipe.enrolled.as_ref() && file.bytes > MOST_ENROLLED;
    faults.unless(!files.iter().any(is_large), "output.enrolled", "a file of at most 536870912 bytes");
    faults.unless((1..=1000).contains(&recipe.top), "output.top", "1..=1000");
    faults.unless((-1.0..=1.0).contains(&recipe.threshold), "output.threshold", "-1..=1");
}

fn outlines(recipe: &OutlinesRecipe, faults: &mut Faults) {
    faults.unless((0.0..=COARSEST).contains(&recipe.tolerance), "output.outlines.tolerance", "0..=100");
    faults.unless((0.0..=1.0).contains(&recipe.min_area), "output.outlines.min_area", "0..=1");
    faults.unless((1..=10_000).contains(&recipe.max_regions), "output.outlines.max_regions", "1..=10000");
    faults.unless((8..=200_000).contains(&recipe.max_points), "output.outlines.max_points", "8..=200000");
}
