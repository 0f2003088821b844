//! Where a thing is within its rectangle: prototypes, which the model gives for the whole picture, weighted by the coefficients
//! of the thing's anchor and added up. What is probable enough, within the rectangle, is the thing. Knows prototypes and
//! rectangles, not labels.

use serde::Serialize;

use crate::bundle::{MasksRecipe, OutlinesRecipe};
use crate::media::MediaError;
use crate::media::frame::Frame;
use crate::media::numbers::{Elements, Numbers, place};
use crate::media::regions::{self, NOTHING, Ring, View, Window};
use crate::protocol::TensorSpec;
use crate::tensor::Answer;

/// Most prototypes; models have 32.
const MOST_PROTOTYPES: usize = 512;
/// A part of a thing that is smaller than this share of its largest part is taken for noise.
const SMALL_PART: f64 = 0.05;

/// Where one thing is.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Mask {
    /// Share of the picture, 0 to 1.
    pub area: f64,
    /// The ways around its parts, the largest first. Empty if the mask has no cell in the rectangle.
    pub polygons: Vec<Ring>,
    /// There were no corners left for its outlines.
    #[serde(skip)]
    pub is_left_out: bool,
}

/// Reads masks.
pub struct Masks {
    recipe: MasksRecipe,
    place: usize,
    prototypes: usize,
    /// The threshold before `1 / (1 + exp(-x))`.
    least: f32,
}

impl Masks {
    /// Holds the recipe against the outputs.
    pub fn new(recipe: MasksRecipe, specs: &[TensorSpec]) -> Result<Masks, MediaError> {
        let key = "output.masks.tensor";
        let place = place(key, &recipe.tensor, specs, Elements::Floats, &[&[-1, -1, -1, -1]])?;
        let count = specs.get(place).and_then(|spec| spec.shape.get(1)).copied().unwrap_or(-1);
        let prototypes = usize::try_from(count).ok().filter(|count| (1..=MOST_PROTOTYPES).contains(count));
        let Some(prototypes) = prototypes else {
            let what = format!(
                "the output {} has {count} prototypes; a fixed number of 1 to {MOST_PROTOTYPES} is accepted: close the \
                 dimension with a [[tensor]] table if the graph leaves it open",
                recipe.tensor
            );
            return Err(MediaError::Recipe { key, what });
        };
        let least = (recipe.threshold / (1.0 - recipe.threshold)).ln();
        Ok(Masks { recipe, place, prototypes, least })
    }

    /// How many coefficients each anchor has.
    pub fn coefficients(&self) -> usize {
        self.prototypes
    }

    /// The masks of things by their coefficients and sides, left, top, right, bottom, in pixels of the tensor.
    pub fn read(
        &self,
        answers: &[Answer<'_>],
        row: usize,
        frame: Frame,
        coefficients: &[Vec<f32>],
        sides: impl Iterator<Item = [f32; 4]>,
    ) -> Result<Vec<Mask>, MediaError> {
        let numbers = Numbers::of(answers, Some(&self.place), row)?;
        let (count, height, width) = (numbers.size(0), numbers.size(1), numbers.size(2));
        regions::check_size(width, height)?;
        let prototypes = numbers.floats()?;
        if count != self.prototypes || prototypes.len() != count * width * height {
            let what = format!("{count} prototypes, expected are {}", self.prototypes);
            return Err(MediaError::Output(what));
        }
        let view = View::new(frame, width, height);
        let mut points = self.recipe.max_points;
        let mask = |(coefficients, sides): (&Vec<f32>, [f32; 4])| {
            let window = self.window(prototypes, (width, height), coefficients, sides, &view);
            self.mask(&window, &view, sides, frame, &mut points)
        };
        Ok(coefficients.iter().zip(sides).map(mask).collect())
    }

    /// The part of the map that a rectangle holds, with 0 where the thing is.
    fn window(
        &self,
        prototypes: &[[u8; 4]],
        (width, height): (usize, usize),
        coefficients: &[f32],
        [left, top, right, bottom]: [f32; 4],
        view: &View,
    ) -> Window {
        let (columns, rows) = (view.between(0, left, right), view.between(1, top, bottom));
        let wide = columns.len();
        let mut sums = vec![0f32; wide * rows.len()];
        for (coefficient, plane) in coefficients.iter().zip(prototypes.chunks_exact((width * height).max(1))) {
            for (sums, row) in sums.chunks_exact_mut(wide.max(1)).zip(rows.clone()) {
                let values = plane.get(row * width + columns.start..row * width + columns.end).unwrap_or_default();
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += coefficient * f32::from_ne_bytes(*value);
                }
            }
        }
        let (first, upper) = (columns.start, rows.start);
        Window::cut(columns, rows, |column, row| {
            let sum = sums.get((row - upper) * wide + column - first);
            // What is no number is not above anything.
            if sum.is_some_and(|sum| *sum > self.least) { 0 } else { NOTHING }
        })
    }

    fn mask(&self, window: &Window, view: &View, sides: [f32; 4], frame: Frame, points: &mut u32) -> Mask {
        let limits = OutlinesRecipe {
            tolerance: self.recipe.tolerance,
            min_area: 0.0,
            max_regions: self.recipe.max_parts,
            max_points: *points,
        };
        let found = regions::find(window, view, &limits);
        let largest = found.regions.first().map_or(0.0, |region| region.area);
        let parts = found.regions.into_iter().filter(|region| region.area >= largest * SMALL_PART);
        let polygons: Vec<Ring> = parts.map(|region| within(region.outer, sides, frame)).collect();
        let used = polygons.iter().map(Vec::len).sum::<usize>();
        *points = points.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX));
        let area = regions::share(found.coverage.iter().sum());
        Mask { area, is_left_out: polygons.is_empty() && area > 0.0, polygons }
    }
}

/// A line that does not leave a rectangle of the tensor: cells at its sides may hang over.
fn within(ring: Ring, [left, top, right, bottom]: [f32; 4], frame: Frame) -> Ring {
    let (least, most) = (frame.to_picture(left, top), frame.to_picture(right, bottom));
    let side = |at: f64, axis: usize| {
        let (from, to) = (least[axis].min(most[axis]), most[axis].max(least[axis]));
        (at.clamp(from, to) * 10.0).round() / 10.0
    };
    ring.into_iter().map(|[x, y]| [side(x, 0), side(y, 1)]).collect()
}
