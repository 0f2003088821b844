//! What each part of a picture is: `{"width", "height", "regions": [{"label", "score", "area", "polygon", "holes"}],
//! "coverage": [{"label", "area"}]}`, in pixels of the upright picture and shares of it, the largest first. Decides which label
//! each cell of the model's map has; [`crate::media::regions`] makes regions of them.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::Serialize;

use crate::bundle::{Activation, Layout, SegmentationRecipe};
use crate::media::frame::Frame;
use crate::media::numbers::{Elements, Numbers, place};
use crate::media::regions::{self, Found, NOTHING, Region, Ring, View, Window};
use crate::media::{MediaError, json};
use crate::protocol::TensorSpec;
use crate::tensor::Answer;

/// Least score of a cell where there is one label and the recipe says nothing.
const EVEN: f32 = 0.5;

#[derive(Serialize)]
struct Document<'a> {
    width: u32,
    height: u32,
    regions: Vec<Told<'a>>,
    /// Share of the picture for each label that was found at all.
    coverage: Vec<Share<'a>>,
    /// Regions beyond the recipe's limits; absent if there were none.
    #[serde(skip_serializing_if = "is_none")]
    left_out: usize,
}

#[derive(Serialize)]
struct Told<'a> {
    label: &'a str,
    /// Mean over its cells; absent where the model gives no scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    area: f64,
    polygon: Ring,
    /// Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    holes: Vec<Ring>,
}

#[derive(Serialize)]
struct Share<'a> {
    label: &'a str,
    area: f64,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// The class of each cell, and how sure it is.
struct Map {
    width: usize,
    height: usize,
    classes: Vec<u32>,
    /// As long, or empty where the model gives no scores.
    scores: Vec<f32>,
}

/// Reads what a segmentation model gives.
pub struct Segmentation {
    recipe: SegmentationRecipe,
    place: usize,
    /// Place of the label that is not told.
    background: u32,
}

impl Segmentation {
    /// Holds the recipe against the outputs.
    pub fn new(recipe: SegmentationRecipe, outputs: &[TensorSpec]) -> Result<Segmentation, MediaError> {
        let key = "output.tensor";
        let classes = i64::try_from(recipe.labels.len()).unwrap_or(i64::MAX);
        let spec = outputs.iter().find(|spec| spec.name == recipe.tensor);
        let indices = spec.is_some_and(|spec| !Elements::are_floats(spec.datatype));
        let scores: [i64; 4] = match recipe.layout {
            Layout::Nchw => [-1, classes, -1, -1],
            Layout::Nhwc => [-1, -1, -1, classes],
        };
        let place = match (indices, recipe.labels.len()) {
            (true, _) => {
                place(key, &recipe.tensor, outputs, Elements::FloatsOrClasses, &[&[-1, -1, -1], &[-1, 1, -1, -1]])?
            }
            (false, 1) => place(key, &recipe.tensor, outputs, Elements::Floats, &[&scores, &[-1, -1, -1]])?,
            (false, _) => place(key, &recipe.tensor, outputs, Elements::Floats, &[&scores])?,
        };
        if indices && (recipe.threshold.is_some() || recipe.activation != Activation::None) {
            let what = format!("{} has places of labels and no scores: absent is accepted", recipe.tensor);
            let key = if recipe.threshold.is_some() { "output.threshold" } else { "output.activation" };
            return Err(MediaError::Recipe { key, what });
        }
        let place_of = |label: &String| recipe.labels.iter().position(|other| other == label);
        let background = recipe.background.as_ref().and_then(place_of).and_then(|at| u32::try_from(at).ok());
        Ok(Segmentation { background: background.unwrap_or(NOTHING), recipe, place })
    }

    /// The document of one row of the outputs.
    pub fn document(&self, answers: &[Answer<'_>], row: usize, frame: Frame) -> Result<String, MediaError> {
        let numbers = Numbers::of(answers, Some(&self.place), row)?;
        let map = if numbers.is_floats() { self.scored(&numbers)? } else { self.indexed(&numbers)? };
        let view = View::new(frame, map.width, map.height);
        let class = |column: usize, row: usize| map.classes.get(row * map.width + column).copied().unwrap_or(NOTHING);
        let window = Window::of(&view, class);
        let Found { regions, left_out, coverage } = regions::find(&window, &view, &self.recipe.outlines);
        let told = |region: Region| {
            let label = self.label(region.part.class)?;
            let score = map.mean(&window, &region);
            Some(Told { label, score, area: regions::share(region.area), polygon: region.outer, holes: region.holes })
        };
        let shares = (0u32..).zip(coverage).filter(|(_, area)| *area > 0.0);
        let share = |(class, area): (u32, f64)| Some(Share { label: self.label(class)?, area: regions::share(area) });
        let mut coverage: Vec<Share<'_>> = shares.filter_map(share).collect();
        coverage.sort_by(|a, b| b.area.total_cmp(&a.area));
        let regions = regions.into_iter().filter_map(told).collect();
        json(&Document { width: frame.width, height: frame.height, regions, coverage, left_out })
    }

    fn label(&self, class: u32) -> Option<&str> {
        usize::try_from(class).ok().and_then(|at| self.recipe.labels.get(at)).map(String::as_str)
    }

    /// A map of places of labels. What has no label is nothing.
    fn indexed(&self, numbers: &Numbers<'_>) -> Result<Map, MediaError> {
        let first = numbers.rank().saturating_sub(2);
        let (height, width) = (numbers.size(first), numbers.size(first + 1));
        regions::check_size(width, height)?;
        let known = |class: Option<u32>| {
            let class = class.filter(|class| *class != self.background);
            class.filter(|class| self.label(*class).is_some()).unwrap_or(NOTHING)
        };
        let classes: Vec<u32> = numbers.classes().into_iter().map(known).collect();
        let map = Map { width, height, classes, scores: Vec::new() };
        map.checked(numbers.rank() == 2 || numbers.size(0) == 1)
    }

    /// A map of scores for each label: the best one holds, if it is sure enough. What is no number is nothing.
    fn scored(&self, numbers: &Numbers<'_>) -> Result<Map, MediaError> {
        let labels = self.recipe.labels.len();
        let (channels, height, width) = match (numbers.rank(), self.recipe.layout) {
            (2, _) => (1, numbers.size(0), numbers.size(1)),
            (_, Layout::Nchw) => (numbers.size(0), numbers.size(1), numbers.size(2)),
            (_, Layout::Nhwc) => (numbers.size(2), numbers.size(0), numbers.size(1)),
        };
        regions::check_size(width, height)?;
        let (values, cells) = (numbers.floats()?, width * height);
        if channels != labels || cells.checked_mul(labels) != Some(values.len()) {
            return Err(MediaError::Output(format!("{channels} maps of {width} x {height} for {labels} labels")));
        }
        let turned = match self.recipe.layout {
            Layout::Nhwc if channels > 1 => Cow::Owned(turned(values, channels)),
            _ => Cow::Borrowed(values),
        };
        let plane = |channel: usize| {
            let numbers = turned.get(channel * cells..(channel + 1) * cells).unwrap_or_default();
            numbers.iter().map(|number| f32::from_ne_bytes(*number))
        };
        let (mut best, mut classes) = (vec![f32::NEG_INFINITY; cells], vec![NOTHING; cells]);
        for (class, channel) in (0u32..).zip(0..channels) {
            for ((best, place), value) in best.iter_mut().zip(&mut classes).zip(plane(channel)) {
                let better = value > *best;
                *best = if better { value } else { *best };
                *place = if better { class } else { *place };
            }
        }
        for (class, best) in classes.iter_mut().zip(&best) {
            if *class == self.background || !best.is_finite() {
                *class = NOTHING;
            }
        }
        let scores = match self.recipe.activation {
            Activation::None => best,
            Activation::Sigmoid => best.into_iter().map(|value| 1.0 / (1.0 + (-value).exp())).collect(),
            Activation::Softmax => softmax(&best, &classes, (0..channels).map(plane)),
        };
        let threshold = self.recipe.threshold.or((labels == 1).then_some(EVEN)).unwrap_or(f32::NEG_INFINITY);
        for (class, score) in classes.iter_mut().zip(&scores) {
            if score.is_nan() || *score < threshold {
                *class = NOTHING;
            }
        }
        Ok(Map { width, height, classes, scores })
    }
}

/// Numbers that come cell by cell, channel by channel.
fn turned(values: &[[u8; 4]], channels: usize) -> Vec<[u8; 4]> {
    (0..channels).flat_map(|channel| values.iter().skip(channel).step_by(channels).copied()).collect()
}

/// The share that the best value of each cell has, of those cells that are something.
fn softmax<P: Iterator<Item = f32>>(best: &[f32], classes: &[u32], planes: impl Iterator<Item = P>) -> Vec<f32> {
    let mut sums = vec![0f32; best.len()];
    for plane in planes {
        for (((sum, best), class), value) in sums.iter_mut().zip(best).zip(classes).zip(plane) {
            if *class != NOTHING && !value.is_nan() {
                *sum += (value - best).exp();
            }
        }
    }
    sums.into_iter().map(f32::recip).collect()
}

impl Map {
    fn checked(self, is_one: bool) -> Result<Map, MediaError> {
        let Map { width, height, .. } = self;
        if !is_one || width * height != self.classes.len() {
            let count = self.classes.len();
            return Err(MediaError::Output(format!("{count} places of labels for one map of {width} x {height}")));
        }
        Ok(self)
    }

    /// The mean score of a region's cells.
    fn mean(&self, window: &Window, region: &Region) -> Option<f32> {
        let (mut sum, mut count) = (0f64, 0u32);
        for run in &region.part.runs {
            let start = (window.top + run.row) * self.width + window.left;
            let scores = self.scores.get(start + run.first..=start + run.last)?;
            sum += scores.iter().map(|score| f64::from(*score)).sum::<f64>();
            count += u32::try_from(scores.len()).unwrap_or(0);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a mean of such numbers")]
        let mean = (sum / f64::from(count.max(1))) as f32;
        Some(mean)
    }
}
