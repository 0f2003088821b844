//! Things in a picture: `{"width", "height", "objects": [{"label", "score", "box": [left, top, right, bottom]}]}`, in pixels
//! of the upright picture, the surest first; of a model with masks each with its `area` and `polygons` too. One file per step: what the numbers of a head mean, which of thousands of
//! anchors show anything, which of several rectangles around one thing stays, where in its rectangle a thing is.

mod candidates;
mod grid;
mod head;
mod masks;
#[cfg(test)]
mod tests;

use serde::Serialize;

use self::candidates::{Candidate, shorten, suppress};
use self::head::Outputs;
use self::masks::{Mask, Masks};
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
    /// Things whose outlines are beyond the recipe's limit; absent if there were none.
    #[serde(skip_serializing_if = "is_none")]
    polygons_left_out: usize,
}

/// One thing: its rectangle in tenths of a pixel.
#[derive(Serialize)]
struct Found<'a> {
    label: &'a str,
    score: f32,
    #[serde(rename = "box")]
    sides: [f64; 4],
    /// Absent of a model without masks.
    #[serde(flatten)]
    mask: Option<Mask>,
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
    masks: Option<Masks>,
}

impl Objects {
    /// Holds the recipe against the outputs.
    pub fn new(recipe: ObjectsRecipe, outputs: &[TensorSpec]) -> Result<Objects, MediaError> {
        let masks = recipe.masks.clone().map(|recipe| Masks::new(recipe, outputs)).transpose()?;
        let coefficients = masks.as_ref().map_or(0, Masks::coefficients);
        let outputs = Outputs::new(&recipe.head, recipe.labels.len(), coefficients, outputs)?;
        let of = |label: &String| recipe.thresholds.get(label).copied().unwrap_or(recipe.threshold);
        let thresholds = recipe.labels.iter().map(of).collect();
        Ok(Objects { recipe, outputs, thresholds, masks })
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
        let told = kept.iter().take(most);
        let mut objects: Vec<(&Candidate, Found<'_>)> =
            told.filter_map(|one| Some((one, self.found(one, frame)?))).collect();
        let mut polygons_left_out = 0;
        if let Some(masks) = &self.masks {
            let anchors = objects.iter().map(|(one, _)| one.place);
            let coefficients = self.outputs.coefficients(&self.recipe.head, answers, row, anchors)?;
            let sides = objects.iter().map(|(one, _)| one.sides);
            let found = masks.read(answers, row, frame, &coefficients, sides)?;
            polygons_left_out = found.iter().filter(|mask| mask.is_left_out).count();
            objects.iter_mut().zip(found).for_each(|((_, object), mask)| object.mask = Some(mask));
        }
        let objects = objects.into_iter().map(|(_, object)| object).collect();
        json(&Document { width: frame.width, height: frame.height, objects, left_out, polygons_left_out })
    }

    /// A candidate in the picture; none if it shows nothing of it.
    fn found(&self, one: &Candidate, frame: Frame) -> Option<Found<'_>> {
        let [left, top, right, bottom] = one.sides;
        let ([left, top], [right, bottom]) = (frame.to_picture(left, top), frame.to_picture(right, bottom));
        let sides = [left, top, right, bottom].map(|side| (side * 10.0).round() / 10.0);
        let label = self.recipe.labels.get(one.class)?;
        (sides[0] < sides[2] && sides[1] < sides[3]).then_some(Found { label, score: one.score, sides, mask: None })
    }
}
