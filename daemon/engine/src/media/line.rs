//! Pictures of one line: a JPEG or PNG at the height that a model was trained with, as wide as it comes.

use image::RgbImage;

use super::planes::Planes;
use super::{Filled, MediaError, upright};
use crate::bundle::{ImageRecipe, Layout, WhenWider};
use crate::protocol::Datatype;

/// A decoded picture at its final size, not yet normalised: a quarter of what the tensor takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Width of the picture itself.
    pub width: u32,
    /// Width of the tensor; the rest is padding on the right.
    pub padded: u32,
    /// Red, green, blue, row by row.
    pub rgb: Vec<u8>,
}

/// Decodes and normalises as one recipe says.
pub struct Lines {
    recipe: ImageRecipe,
    max_pixels: u64,
    planes: Planes,
}

impl Lines {
    /// A recipe with the manifest's limit of pixels, for an input of this type: FP32 or FP16.
    pub fn new(recipe: ImageRecipe, max_pixels: u64, datatype: Datatype) -> Lines {
        let planes = Planes::new(recipe.channels, recipe.mean, recipe.std).into_tensor(Layout::Nchw, datatype);
        Lines { recipe, max_pixels, planes }
    }

    /// Decodes a JPEG or PNG, turns it upright, and scales it to the recipe's height.
    pub fn decode(&self, content_type: &str, payload: &[u8]) -> Result<Line, MediaError> {
        let fit = |width: u32, height: u32| {
            let (own, padded) = self.widths(width, height)?;
            Ok((own, self.recipe.height, padded))
        };
        let (pixels, padded) = upright::read(content_type, payload, self.max_pixels, fit)?;
        Ok(Line { width: pixels.width(), padded, rgb: pixels.into_raw() })
    }

    /// A line that was cut out of a larger picture, scaled to the recipe's height. One that is too wide is squeezed whatever
    /// the recipe says: it is one of many, and the others are not to be lost for it.
    pub fn take(&self, line: &RgbImage) -> Result<Line, MediaError> {
        let (own, padded) = self.squeezed(line.width(), line.height());
        let pixels = upright::scale(line, own, self.recipe.height)?;
        Ok(Line { width: own, padded, rgb: pixels.into_raw() })
    }

    /// Most pixels of a picture.
    pub fn max_pixels(&self) -> u64 {
        self.max_pixels
    }

    /// Cost in units of the narrowest picture.
    pub fn cost(&self, picture: &Line) -> u32 {
        picture.padded.div_ceil(self.recipe.min_width.max(1))
    }

    /// `[1, 3, height, padded]`.
    pub fn shape(&self, picture: &Line) -> Vec<i64> {
        vec![1, 3, i64::from(self.recipe.height), i64::from(picture.padded)]
    }

    /// All of [`Lines::shape`], normalised; padding is 0.
    pub fn fill(&self, picture: &Line) -> Filled {
        self.planes.fill(&picture.rgb, picture.width, picture.padded, self.recipe.height)
    }

    /// Width at the recipe's height, and with padding. The padded width is rounded down and the picture's own up, as in
    /// the code that the models were published with.
    fn widths(&self, width: u32, height: u32) -> Result<(u32, u32), MediaError> {
        let ImageRecipe { height: high, max_width, when_wider, .. } = self.recipe;
        let down = u64::from(high) * u64::from(width) / u64::from(height.max(1));
        if down > u64::from(max_width) && when_wider == WhenWider::Refuse {
            return Err(MediaError::TooLarge(format!(
                "the picture has {width} x {height} pixels; at height {high} it would be {down} wide, accepted is \
                 {max_width}"
            )));
        }
        Ok(self.squeezed(width, height))
    }

    /// The same, no wider than the recipe allows.
    fn squeezed(&self, width: u32, height: u32) -> (u32, u32) {
        let ImageRecipe { height: high, min_width, max_width, width_step, .. } = self.recipe;
        let scaled = u64::from(high) * u64::from(width);
        let (down, up) = (scaled / u64::from(height.max(1)), scaled.div_ceil(u64::from(height.max(1))));
        let padded = u32::try_from(down).unwrap_or(u32::MAX).clamp(min_width, max_width);
        // The widest one is a multiple of the step.
        let padded = padded.div_ceil(width_step.max(1)).saturating_mul(width_step.max(1)).min(max_width);
        (u32::try_from(up).unwrap_or(u32::MAX).clamp(1, padded), padded)
    }
}
