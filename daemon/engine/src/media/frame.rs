//! Where a picture lies in its tensor, so that what a model finds there can be told in the picture's own pixels.

use serde::{Deserialize, Serialize};

/// A picture in its tensor: what it does not cover is padding, what hangs over is cut off. All in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Size of the upright picture as it was sent.
    pub width: u32,
    pub height: u32,
    /// Size that it was scaled to, at least 1.
    pub scaled_width: u32,
    pub scaled_height: u32,
    /// Where its top left corner lies; negative where it hangs over.
    pub left: i32,
    pub top: i32,
    /// Size of the tensor.
    pub tensor_width: u32,
    pub tensor_height: u32,
}

impl Frame {
    /// A point of the tensor in the picture, which it never leaves.
    pub fn to_picture(self, x: f32, y: f32) -> [f64; 2] {
        self.point(f64::from(x), f64::from(y))
    }

    /// The same of an exact point.
    pub fn point(self, x: f64, y: f64) -> [f64; 2] {
        let along = |at: f64, from: i32, scaled: u32, size: u32| {
            let share = (at - f64::from(from)) / f64::from(scaled.max(1));
            (share * f64::from(size)).clamp(0.0, f64::from(size))
        };
        [along(x, self.left, self.scaled_width, self.width), along(y, self.top, self.scaled_height, self.height)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_back_to_where_they_are_in_the_picture() {
        let letterboxed = Frame {
            width: 1280,
            height: 720,
            scaled_width: 640,
            scaled_height: 360,
            left: 0,
            top: 140,
            tensor_width: 640,
            tensor_height: 640,
        };
        for (point, wanted) in [
            ((0.0, 140.0), [0.0, 0.0]),
            ((640.0, 500.0), [1280.0, 720.0]),
            ((320.0, 320.0), [640.0, 360.0]),
            ((-5.0, 0.0), [0.0, 0.0]),
            ((9e9, 9e9), [1280.0, 720.0]),
        ] {
            assert_eq!(letterboxed.to_picture(point.0, point.1), wanted, "{point:?}");
        }
        let cropped = Frame { scaled_width: 400, scaled_height: 225, left: -88, top: 0, ..letterboxed };
        assert_eq!(cropped.to_picture(0.0, 0.0), [88.0 * 1280.0 / 400.0, 0.0]);
    }
}
