//! The mean of a map inside a rectangle. Sums along the rows are made once, so that a rectangle costs its rows and not its
//! area: a map may hold many large ones that overlap.

use super::rectangle::Point;
use super::{Map, MediaError, floats};

/// Sums of a map.
pub struct Means {
    /// For each row the sums of its first 0, 1, ... pixels.
    sums: Vec<f64>,
    width: usize,
    height: usize,
}

impl Means {
    /// Sums up a map. A map with something that is no number is the model's fault.
    pub fn of(map: &Map<'_>) -> Result<Means, MediaError> {
        let mut sums = Vec::with_capacity((map.width + 1) * map.height);
        for (at, row) in map.rows().enumerate() {
            let mut sum = 0f64;
            sums.push(sum);
            sums.extend(floats(row).map(|value| {
                sum += f64::from(value);
                sum
            }));
            if !sum.is_finite() {
                return Err(MediaError::Output(format!("row {at} of the map holds values that are no numbers")));
            }
        }
        Ok(Means { sums, width: map.width, height: map.height })
    }

    /// The mean over the pixels that a convex polygon touches, each a square around its middle; 0 if there is none.
    pub fn inside(&self, corners: &[Point; 4]) -> f64 {
        let (mut sum, mut count) = (0f64, 0u32);
        let span = |values: [f64; 4]| {
            values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)))
        };
        let (top, bottom) = span(corners.map(|corner| corner.y));
        let (Some(first), Some(last)) = (pixel(top, self.height), pixel(bottom, self.height)) else { return 0.0 };
        for row in first..=last {
            let middle = f64::from(row);
            let Some((left, right)) = cut(corners, middle - 0.5, middle + 0.5) else { continue };
            let (Some(left), Some(right)) = (pixel(left, self.width), pixel(right, self.width)) else { continue };
            let start = row as usize * (self.width + 1);
            let upto = |end: u32| self.sums.get(start + end as usize).copied().unwrap_or(0.0);
            sum += upto(right + 1) - upto(left);
            count += right + 1 - left;
        }
        if count == 0 { 0.0 } else { sum / f64::from(count) }
    }
}

/// The nearest of `size` pixels; `None` if there are none.
fn pixel(at: f64, size: usize) -> Option<u32> {
    let last = u32::try_from(size.checked_sub(1)?).ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last pixel")]
    let nearest = at.round().clamp(0.0, f64::from(last)) as u32;
    Some(nearest)
}

/// From where to where a convex polygon reaches between two horizontal lines; `None` if it is not there.
fn cut(corners: &[Point; 4], upper: f64, lower: f64) -> Option<(f64, f64)> {
    let mut found: Option<(f64, f64)> = None;
    for (from, to) in corners.iter().zip(corners.iter().cycle().skip(1)) {
        let (high, low) = if from.y <= to.y { (from, to) } else { (to, from) };
        if low.y < upper || high.y > lower {
            continue;
        }
        let tall = low.y - high.y;
        let x_at = |y: f64| high.x + (low.x - high.x) * (y - high.y) / tall;
        // A level side is one whose ends are both within.
        let ends = if tall > 0.0 { [x_at(high.y.max(upper)), x_at(low.y.min(lower))] } else { [high.x, low.x] };
        for x in ends {
            found = Some(found.map_or((x, x), |(left, right)| (left.min(x), right.max(x))));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corners(places: [(f64, f64); 4]) -> [Point; 4] {
        places.map(|(x, y)| Point { x, y })
    }

    #[test]
    fn every_pixel_that_a_rectangle_touches_counts() {
        // Rows of 1, 10, 100, 1000.
        let values: Vec<f32> = [1.0, 10.0, 100.0, 1000.0].into_iter().flat_map(|value| [value; 5]).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
        let means = Means::of(&Map { bytes: &bytes, stride: 5, width: 5, height: 4 }).unwrap();
        let cases = [
            ([(1.0, 1.0), (3.0, 1.0), (3.0, 2.0), (1.0, 2.0)], 55.0),
            ([(1.0, 1.0), (3.0, 1.0), (3.0, 1.0), (1.0, 1.0)], 10.0),
            ([(1.0, 1.6), (3.0, 1.6), (3.0, 2.4), (1.0, 2.4)], 100.0),
            ([(-9.0, -9.0), (9.0, -9.0), (9.0, 9.0), (-9.0, 9.0)], 277.75),
            // A slope of 1 in 4: three pixels of the upper row, all five of the middle one, three of the lower.
            ([(0.0, 1.0), (4.0, 0.0), (4.25, 1.0), (0.25, 2.0)], (3.0 + 50.0 + 300.0) / 11.0),
        ];
        for (places, mean) in cases {
            let found = means.inside(&corners(places));
            assert!((found - mean).abs() < 1e-9, "{places:?}: {found} instead of {mean}");
        }
    }
}
