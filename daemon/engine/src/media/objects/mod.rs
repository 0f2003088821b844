//! Things in a picture: `{"width", "height", "objects": [{"label", "score", "box": [left, top, right, bottom]}]}`, in pixels
//! of the upright picture, the surest first. One file per step: what the numbers of a head mean, which of thousands of
//! anchors show anything, which of several rectangles around one thing stays.

mod candidates;
mod grid;
mod head;
#[cfg(test)]
mod tests;

use serde::Serialize;

use self::candidates::{Candidate, shorten, suppress};
use self::head::Outputs;
use super::frame::Frame;
use super::{MediaError, json};
use crate::bundle::ObjectsRecipe;
use crate::protocol::TensorSpec;
use crate::tensor::Answer;

/// Candidates that are compared with each other, the surest: a picture full of noise costs no more than that.
const MOST_COMPARED: usize = 1000;

#[derive(Serialize)]
struct Document<'a> {
    width: u32,
    height: u32,
    objects: Vec<Found<'a>>,
    /// What was sure enough and is beyond the recipe's limit; absent if there was none.
    #[serde(skip_serializing_if = "is_none")]
    left_out: usize,
}

/// One thing: its rectangle in tenths of a pixel.
#[derive(Serialize)]
struct Found<'a> {
    label: &'a str,
    score: f32,
    #[serde(rename = "box")]
    sides: [f64; 4],
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// Reads what a detector gives.
pub struct Objects {
    recipe: ObjectsRecipe,
    outputs: Outputs,
    /// Least score by place of the label.
    thresholds: Vec<f32>,
}

impl Objects {
    /// Holds the recipe against the outputs.
    pub fn new(recipe: ObjectsRecipe, outputs: &[TensorSpec]) -> Result<Objects, MediaError> {
        let outputs = Outputs::new(&recipe.head, recipe.labels.len(), outputs)?;
        let of = |label: &String| recipe.thresholds.get(label).copied().unwrap_or(recipe.threshold);
        let thresholds = recipe.labels.iter().map(of).collect();
        Ok(Objects { recipe, outputs, thresholds })
    }

    /// The document of one row of the outputs.
    pub fn document(&self, answers: &[Answer<'_>], row: usize, frame: Frame) -> Result<String, MediaError> {
        let least = self.thresholds.iter().copied().fold(f32::INFINITY, f32::min);
        let mut found = self.outputs.read(&self.recipe.head, answers, row, frame, least)?;
        // What is no number is nothing, and so is a class without a label.
        let sure = |one: &Candidate| self.thresholds.get(one.class).is_some_and(|least| one.score >= *least);
        found.retain(|one| sure(one) && one.sides.iter().all(|side| side.is_finite()));
        let most = usize::try_from(self.recipe.max_objects).unwrap_or(usize::MAX);
        shorten(&mut found, MOST_COMPARED.max(most));
        let kept = suppress(found, self.recipe.overlap, self.recipe.across_labels);
        let left_out = kept.len().saturating_sub(most);
        let objects = kept.iter().take(most).filter_map(|one| self.found(one, frame)).collect();
        json(&Document { width: frame.width, height: frame.height, objects, left_out })
    }

    /// A candidate in the picture; none if it shows nothing of it.
    fn found(&self, one: &Candidate, frame: Frame) -> Option<Found<'_>> {
        let [left, top, right, bottom] = one.sides;
        let ([left, top], [right, bottom]) = (frame.to_picture(left, top), frame.to_picture(right, bottom));
        let sides = [left, top, right, bottom].map(|side| (side * 10.0).round() / 10.0);
        let label = self.recipe.labels.get(one.class)?;
        (sides[0] < sides[2] && sides[1] < sides[3]).then_some(Found { label, score: one.score, sides })
    }
}
