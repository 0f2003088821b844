//! How unlike good pictures one is, and where: `{"width", "height", "score", "anomalous", "threshold", "regions": [{"polygon",
//! "holes", "area", "score"}], "peak"}`, in pixels of the upright picture. Decides what the numbers of the model's outputs are
//! worth; [`crate::media::regions`] draws the outlines.

#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::bundle::AnomalyRecipe;
use crate::media::frame::Frame;
use crate::media::numbers::{Elements, Numbers, place};
use crate::media::regions::{self, NOTHING, Region, Ring, View, Window};
use crate::media::{MediaError, json};
use crate::protocol::TensorSpec;
use crate::tensor::Answer;

#[derive(Serialize)]
struct Document {
    width: u32,
    height: u32,
    /// 0 to 1.
    score: f32,
    anomalous: bool,
    threshold: f32,
    /// What is above the threshold for parts, the largest first.
    regions: Vec<Told>,
    /// Where the map is highest; null without a map.
    peak: Option<[f64; 2]>,
    /// Regions beyond the recipe's limits; absent if there were none.
    #[serde(skip_serializing_if = "is_none")]
    left_out: usize,
}

#[derive(Serialize)]
struct Told {
    /// The highest of its cells.
    score: f32,
    area: f64,
    polygon: Ring,
    /// Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    holes: Vec<Ring>,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// Scores of the cells of a map.
struct Map {
    width: usize,
    height: usize,
    /// 0 to 1; below 0 for what is no number.
    scores: Vec<f32>,
}

/// Reads what a model for anomalies gives.
pub struct Anomaly {
    recipe: AnomalyRecipe,
    map: Option<usize>,
    score: Option<usize>,
}

impl Anomaly {
    /// Holds the recipe against the outputs.
    pub fn new(recipe: AnomalyRecipe, outputs: &[TensorSpec]) -> Result<Anomaly, MediaError> {
        let map =
            |name: &String| place("output.map", name, outputs, Elements::Floats, &[&[-1, 1, -1, -1], &[-1, -1, -1]]);
        let score = |name: &String| place("output.score", name, outputs, Elements::Floats, &[&[-1], &[-1, 1]]);
        let (map, score) = (recipe.map.as_ref().map(map).transpose()?, recipe.score.as_ref().map(score).transpose()?);
        Ok(Anomaly { recipe, map, score })
    }

    /// The document of one row of the outputs.
    pub fn document(&self, answers: &[Answer<'_>], row: usize, frame: Frame) -> Result<String, MediaError> {
        let map = self.map.map(|place| self.map(answers, place, row)).transpose()?;
        let view = map.as_ref().map(|map| View::new(frame, map.width, map.height));
        let (mut regions, mut left_out, mut peak, mut of_map) = (Vec::new(), 0, None, None);
        if let (Some(map), Some(view)) = (&map, &view) {
            let threshold = self.recipe.pixel_threshold.unwrap_or(self.recipe.threshold);
            let class = |column, row| if map.score(column, row) >= threshold { 0 } else { NOTHING };
            let window = Window::of(view, class);
            let found = regions::find(&window, view, &self.recipe.outlines);
            left_out = found.left_out;
            regions = found.regions.into_iter().map(|region| told(map, &window, region)).collect();
            peak = map.peak(view);
            of_map = quantile(map.shown(view), self.recipe.quantile);
        }
        let score = match self.score {
            Some(place) => self.worth(Numbers::of(answers, Some(&place), row)?.number(0).unwrap_or(f32::NAN)),
            None => of_map,
        };
        let score = score.ok_or_else(|| MediaError::Output("the score is no number".into()))?;
        json(&Document {
            width: frame.width,
            height: frame.height,
            score,
            anomalous: score >= self.recipe.threshold,
            threshold: self.recipe.threshold,
            regions,
            peak,
            left_out,
        })
    }

    /// What a number of the model is worth, 0 to 1; none if it is no number.
    fn worth(&self, number: f32) -> Option<f32> {
        let (min, max) = (f64::from(self.recipe.min), f64::from(self.recipe.max));
        #[expect(clippy::cast_possible_truncation, reason = "between 0 and 1")]
        let share = ((f64::from(number) - min) / (max - min)).clamp(0.0, 1.0) as f32;
        (!number.is_nan()).then_some(share)
    }

    fn map(&self, answers: &[Answer<'_>], place: usize, row: usize) -> Result<Map, MediaError> {
        let numbers = Numbers::of(answers, Some(&place), row)?;
        let first = numbers.rank().saturating_sub(2);
        let (height, width) = (numbers.size(first), numbers.size(first + 1));
        regions::check_size(width, height)?;
        let worth = |number: &[u8; 4]| self.worth(f32::from_ne_bytes(*number)).unwrap_or(-1.0);
        let scores: Vec<f32> = numbers.floats()?.iter().map(worth).collect();
        if scores.len() != width * height {
            return Err(MediaError::Output(format!("{} numbers for one map of {width} x {height}", scores.len())));
        }
        Ok(Map { width, height, scores })
    }
}

impl Map {
    fn score(&self, column: usize, row: usize) -> f32 {
        self.scores.get(row * self.width + column).copied().unwrap_or(-1.0)
    }

    /// The scores of the cells that show the picture, as far as they are numbers, with their places.
    fn cells<'a>(&'a self, view: &View) -> impl Iterator<Item = ([usize; 2], f32)> + 'a {
        let columns = view.columns();
        let cells = view.rows().flat_map(move |row| columns.clone().map(move |column| [column, row]));
        cells.map(|[column, row]| ([column, row], self.score(column, row))).filter(|(_, score)| *score >= 0.0)
    }

    fn shown(&self, view: &View) -> Vec<f32> {
        self.cells(view).map(|(_, score)| score).collect()
    }

    /// The middle of the highest cell, pixels of the picture, to a tenth.
    fn peak(&self, view: &View) -> Option<[f64; 2]> {
        let ([column, row], _) = self.cells(view).reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        #[expect(clippy::cast_precision_loss, reason = "a map has at most 16777216 cells")]
        let middle = [column as f64 + 0.5, row as f64 + 0.5];
        Some(view.to_picture(middle).map(|at| (at * 10.0).round() / 10.0))
    }
}

/// A region with the highest score of its cells.
fn told(map: &Map, window: &Window, region: Region) -> Told {
    let cells = region.part.runs.iter().flat_map(|run| {
        let row = window.top + run.row;
        (run.first..=run.last).map(move |column| map.score(window.left + column, row))
    });
    let score = cells.fold(0.0, f32::max);
    Told { score, area: regions::share(region.area), polygon: region.outer, holes: region.holes }
}

/// The least of the numbers that so large a share of them does not exceed; none of none.
fn quantile(mut numbers: Vec<f32>, share: f32) -> Option<f32> {
    let last = numbers.len().checked_sub(1)?;
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
    let at = ((f64::from(share) * numbers.len() as f64).ceil() as usize).saturating_sub(1).min(last);
    Some(*numbers.select_nth_unstable_by(at, f32::total_cmp).1)
}
