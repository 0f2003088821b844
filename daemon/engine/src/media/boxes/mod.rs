//! Text in a picture: `{"width", "height", "boxes": [{"polygon", "score"}]}`, in pixels of the upright picture. The model
//! gives the probability of text for each pixel; what is done with it here is called differentiable binarisation. One file
//! per step: areas of the map, the smallest rectangle around each, its mean, the order in which people read.

mod areas;
mod mean;
mod order;
mod rectangle;
#[cfg(test)]
mod tests;

use serde::Serialize;

use self::areas::{Area, areas};
use self::mean::Means;
use self::order::{clockwise, in_reading_order};
use self::rectangle::{Point, Rectangle};
use super::frame::Frame;
use super::numbers::Elements;
use super::{MediaError, floats, json};
use crate::bundle::BoxesRecipe;
use crate::protocol::TensorSpec;

/// Where a whole document tells what was found.
#[derive(Serialize)]
struct Document {
    width: u32,
    height: u32,
    boxes: Vec<Found>,
    /// Areas and boxes beyond the recipe's limits; absent if there were none.
    #[serde(skip_serializing_if = "is_none")]
    left_out: usize,
}

/// One box: corners clockwise from the top left, whole pixels; mean probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Found {
    polygon: [[u32; 2]; 4],
    score: f64,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// The part of a model's answer that shows the picture: one probability per pixel.
struct Map<'a> {
    bytes: &'a [u8],
    /// Pixels from one row to the next.
    stride: usize,
    width: usize,
    height: usize,
}

impl Map<'_> {
    /// The rows from top to bottom, without the padding.
    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let row = (self.stride * 4).max(1);
        self.bytes.chunks_exact(row).take(self.height).map(|row| row.get(..self.width * 4).unwrap_or(row))
    }
}

/// Reads `[N, 1, height, width]`.
pub struct Boxes(BoxesRecipe);

impl Boxes {
    /// Holds the recipe against the output.
    pub fn new(recipe: BoxesRecipe, output: &TensorSpec) -> Result<Boxes, MediaError> {
        let one_plane = matches!(output.shape[..], [_, -1 | 1, _, _]);
        if !Elements::are_floats(output.datatype) || !one_plane {
            let what = format!(
                "the output {} of {:?} is no FP32 or FP16 map of [N, 1, height, width]",
                output.datatype.as_str(),
                output.shape
            );
            return Err(MediaError::Recipe { key: "output.tensor", what });
        }
        Ok(Boxes(recipe))
    }

    /// The document of one row of the output, whose shape is that of all rows.
    pub fn document(&self, row: &[u8], shape: &[i64], frame: Frame) -> Result<String, MediaError> {
        let map = map(row, shape, frame)?;
        let (areas, smaller) = areas(&map, &self.0);
        let means = Means::of(&map)?;
        let mut found: Vec<Found> = areas.iter().filter_map(|area| self.found(area, &means, frame)).collect();
        let most = usize::try_from(self.0.max_boxes).unwrap_or(usize::MAX);
        let worse = found.len().saturating_sub(most);
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.truncate(most);
        let boxes = in_reading_order(found);
        json(&Document { width: frame.width, height: frame.height, boxes, left_out: smaller + worse })
    }

    /// The box of one area, unless it is too small or too unlikely.
    fn found(&self, area: &Area, means: &Means, frame: Frame) -> Option<Found> {
        let rectangle = Rectangle::around(&area.outline)?;
        let (long, short) = rectangle.sides();
        if short < f64::from(self.0.min_size) {
            return None;
        }
        let score = means.inside(&rectangle.corners());
        if score < f64::from(self.0.box_threshold) {
            return None;
        }
        let margin = long * short * f64::from(self.0.unclip_ratio) / (2.0 * (long + short));
        let corners = clockwise(rectangle.grown(margin).corners());
        let polygon = corners.map(|corner| on_picture(corner, frame));
        // What lies outside of the picture, or on its edge alone, shows nothing.
        has_area(&polygon).then_some(Found { polygon, score })
    }
}

/// Takes the picture's part out of one row of the output.
fn map<'a>(row: &'a [u8], shape: &[i64], frame: Frame) -> Result<Map<'a>, MediaError> {
    let (width, height) = (frame.tensor_width as usize, frame.tensor_height as usize);
    let said = matches!(shape, [_, 1, high, wide]
        if i64::from(frame.tensor_height) == *high && i64::from(frame.tensor_width) == *wide);
    if !said || row.len() != width * height * 4 {
        return Err(MediaError::Output(format!("the map has the shape {shape:?}, the picture {width} x {height}")));
    }
    Ok(Map { bytes: row, stride: width, width: frame.scaled_width as usize, height: frame.scaled_height as usize })
}

/// A point of the map as a whole pixel of the picture, which it never leaves.
fn on_picture(point: Point, frame: Frame) -> [u32; 2] {
    let pixel = |at: f64, scaled: u32, size: u32| {
        let at = (at * f64::from(size) / f64::from(scaled.max(1))).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the picture, which is u32")]
        let at = at.clamp(0.0, f64::from(size.saturating_sub(1))) as u32;
        at
    };
    [pixel(point.x, frame.scaled_width, frame.width), pixel(point.y, frame.scaled_height, frame.height)]
}

/// Whether no two neighbouring corners are the same pixel.
fn has_area(polygon: &[[u32; 2]; 4]) -> bool {
    polygon.iter().zip(polygon.iter().cycle().skip(1)).all(|(corner, next)| corner != next)
}
