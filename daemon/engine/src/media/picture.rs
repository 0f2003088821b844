//! Pictures of any shape, brought to the one size that a model takes: with padding, stretched, or cropped.

use super::frame::Frame;
use super::planes::{Padding, Placed, Planes};
use super::{Filled, MediaError, upright};
use crate::bundle::{At, Fit, PictureRecipe};
use crate::protocol::Datatype;

/// A decoded picture at its final size, not yet normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub frame: Frame,
    /// Red, green, blue, row by row, of the scaled size.
    pub rgb: Vec<u8>,
}

/// Decodes and normalises as one recipe says.
pub struct Pictures {
    recipe: PictureRecipe,
    max_pixels: u64,
    planes: Planes,
}

impl Pictures {
    /// A recipe with the manifest's limit of pixels of the picture as it is sent, for an input of this type: FP32, FP16 or UINT8.
    pub fn new(recipe: PictureRecipe, max_pixels: u64, datatype: Datatype) -> Pictures {
        let planes = Planes::new(recipe.channels, recipe.mean, recipe.std).into_tensor(recipe.layout, datatype);
        Pictures { recipe, max_pixels, planes }
    }

    /// Decodes a JPEG or PNG, turns it upright, and scales it.
    pub fn decode(&self, content_type: &str, payload: &[u8]) -> Result<Picture, MediaError> {
        let fit = |width, height| {
            let frame = frame(&self.recipe, width, height);
            let area = u64::from(frame.scaled_width) * u64::from(frame.scaled_height);
            // A strip that is cropped is scaled as a whole before.
            if area > self.max_pixels.max(u64::from(self.recipe.width) * u64::from(self.recipe.height)) {
                return Err(MediaError::TooLarge(format!(
                    "the picture has {width} x {height} pixels; to be cropped it would be scaled to {area} pixels, accepted \
                     are {}",
                    self.max_pixels
                )));
            }
            Ok((frame.scaled_width, frame.scaled_height, frame))
        };
        let (pixels, frame) = upright::read(content_type, payload, self.max_pixels, fit)?;
        Ok(Picture { frame, rgb: pixels.into_raw() })
    }

    /// Shape of the tensor.
    pub fn shape(&self) -> Vec<i64> {
        self.planes.shape(self.recipe.width, self.recipe.height)
    }

    /// The tensor, normalised.
    pub fn fill(&self, picture: &Picture) -> Filled {
        let Frame { left, top, tensor_width, tensor_height, scaled_width, .. } = picture.frame;
        let placed = Placed { left, top, wide: tensor_width, high: tensor_height };
        self.planes.place(&picture.rgb, scaled_width, placed, Padding::Grey(self.recipe.pad))
    }
}

/// Where a picture of this size lies in the recipe's tensor.
fn frame(recipe: &PictureRecipe, width: u32, height: u32) -> Frame {
    let (wide, high) = (recipe.width, recipe.height);
    let tensor = Frame {
        width,
        height,
        scaled_width: wide,
        scaled_height: high,
        left: 0,
        top: 0,
        tensor_width: wide,
        tensor_height: high,
    };
    // The width decides if the picture is wider in shape than the tensor.
    let wider = u64::from(width) * u64::from(high) >= u64::from(height) * u64::from(wide);
    let by_width = (wide, scaled(height, wide, width));
    let by_height = (scaled(width, high, height), high);
    let (scaled_width, scaled_height) = match (recipe.fit, recipe.shorter_side) {
        (Fit::Stretch, _) => return tensor,
        (Fit::Letterbox, _) if wider => by_width,
        (Fit::Letterbox, _) => by_height,
        (Fit::Crop, Some(side)) if width >= height => (scaled(width, side, height), side),
        (Fit::Crop, Some(side)) => (side, scaled(height, side, width)),
        (Fit::Crop, None) if wider => by_height,
        (Fit::Crop, None) => by_width,
    };
    // Half of what is left over, rounded down; negative if the picture is larger.
    let middle = |room: u32, size: u32| i32::try_from((i64::from(room) - i64::from(size)).div_euclid(2)).unwrap_or(0);
    let (left, top) = match recipe.at {
        At::Centre => (middle(wide, scaled_width), middle(high, scaled_height)),
        At::Corner => (0, 0),
    };
    Frame { scaled_width, scaled_height, left, top, ..tensor }
}

/// `side` times `to / from`, rounded, at least 1.
fn scaled(side: u32, to: u32, from: u32) -> u32 {
    let from = u64::from(from.max(1));
    u32::try_from((u64::from(side) * u64::from(to) * 2 + from) / (2 * from)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bundle::{Channels, Layout};

    fn recipe(fit: Fit, at: At, shorter_side: Option<u32>) -> PictureRecipe {
        let (channels, layout) = (Channels::Rgb, Layout::Nchw);
        let (mean, std) = ([0.0; 3], [1.0; 3]);
        PictureRecipe {
            tensor: "x".into(),
            width: 640,
            height: 480,
            fit,
            at,
            pad: 0,
            shorter_side,
            channels,
            layout,
            mean,
            std,
        }
    }

    #[test]
    fn a_picture_comes_to_the_tensors_size_as_the_recipe_says() {
        use At::{Centre, Corner};
        use Fit::{Crop, Letterbox, Stretch};
        // (fit, at, shorter side), picture, scaled, left and top
        for ((fit, at, side), (width, height), scaled, corner) in [
            ((Letterbox, Centre, None), (1280, 720), (640, 360), (0, 60)),
            ((Letterbox, Corner, None), (1280, 720), (640, 360), (0, 0)),
            ((Letterbox, Centre, None), (100, 300), (160, 480), (240, 0)),
            ((Letterbox, Centre, None), (64, 48), (640, 480), (0, 0)),
            ((Letterbox, Centre, None), (20_000, 1), (640, 1), (0, 239)),
            ((Stretch, Centre, None), (100, 300), (640, 480), (0, 0)),
            ((Crop, Centre, None), (1280, 720), (853, 480), (-107, 0)),
            ((Crop, Centre, None), (100, 300), (640, 1920), (0, -720)),
            ((Crop, Centre, Some(700)), (1400, 1400), (700, 700), (-30, -110)),
            ((Crop, Centre, Some(700)), (2800, 1400), (1400, 700), (-380, -110)),
        ] {
            let frame = frame(&recipe(fit, at, side), width, height);
            let wanted = (scaled, corner);
            let found = ((frame.scaled_width, frame.scaled_height), (frame.left, frame.top));
            assert_eq!(found, wanted, "{fit:?} {width} x {height}");
        }
    }

    proptest! {
        #[test]
        fn no_picture_leaves_the_tensor_and_a_crop_covers_it(
            (width, height) in (1..70_000u32, 1..70_000u32), fit in 0..3usize,
        ) {
            let fit = [Fit::Letterbox, Fit::Stretch, Fit::Crop][fit];
            let frame = frame(&recipe(fit, At::Centre, None), width, height);
            let (right, bottom) =
                (i64::from(frame.left) + i64::from(frame.scaled_width), i64::from(frame.top) + i64::from(frame.scaled_height));
            if fit == Fit::Crop {
                prop_assert!(frame.left <= 0 && frame.top <= 0 && right >= 640 && bottom >= 480, "{frame:?}");
            } else {
                prop_assert!(frame.left >= 0 && frame.top >= 0 && right <= 640 && bottom <= 480, "{frame:?}");
            }
        }
    }
}
