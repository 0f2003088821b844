//! Pictures of any size: a JPEG or PNG scaled as a whole into the top left corner of a tensor whose sides are multiples of
//! a step. Decides the size; what the model finds there is brought back to the picture's own pixels by its [`Frame`].

use image::RgbImage;

use super::frame::Frame;
use super::planes::Planes;
use super::{Filled, MediaError, upright};
use crate::bundle::{Layout, SceneRecipe};
use crate::protocol::Datatype;

/// A decoded picture at its final size, not yet normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    pub frame: Frame,
    /// Red, green, blue, row by row, of the scaled size.
    pub rgb: Vec<u8>,
}

/// Decodes and normalises as one recipe says.
pub struct Scenes {
    recipe: SceneRecipe,
    max_pixels: u64,
    planes: Planes,
}

impl Scenes {
    /// A recipe with the manifest's limit of pixels of the picture as it is sent, for an input of this type: FP32 or FP16.
    pub fn new(recipe: SceneRecipe, max_pixels: u64, datatype: Datatype) -> Scenes {
        let planes = Planes::new(recipe.channels, recipe.mean, recipe.std).into_tensor(Layout::Nchw, datatype);
        Scenes { recipe, max_pixels, planes }
    }

    /// Decodes a JPEG or PNG, turns it upright, and scales it into a tensor.
    pub fn decode(&self, content_type: &str, payload: &[u8]) -> Result<Scene, MediaError> {
        let (pixels, frame) = upright::read(content_type, payload, self.max_pixels, |w, h| self.fit(w, h))?;
        Ok(Scene { frame, rgb: pixels.into_raw() })
    }

    /// The same, and the picture itself for its parts.
    pub fn decode_and_keep(&self, content_type: &str, payload: &[u8]) -> Result<(Scene, RgbImage), MediaError> {
        let fit = |width: u32, height: u32| self.fit(width, height);
        let (pixels, frame, kept) = upright::read_and_keep(content_type, payload, self.max_pixels, fit)?;
        Ok((Scene { frame, rgb: pixels.into_raw() }, kept))
    }

    fn fit(&self, width: u32, height: u32) -> Result<(u32, u32, Frame), MediaError> {
        let frame = frame(&self.recipe, width, height);
        Ok((frame.scaled_width, frame.scaled_height, frame))
    }

    /// Cost in units of the smallest tensor.
    pub fn cost(&self, scene: &Scene) -> u32 {
        let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
        let smallest = area(self.recipe.min_side, self.recipe.min_side).max(1);
        let cost = area(scene.frame.tensor_width, scene.frame.tensor_height).div_ceil(smallest);
        u32::try_from(cost).unwrap_or(u32::MAX)
    }

    /// `[1, 3, height, width]` of the padded tensor.
    pub fn shape(&self, scene: &Scene) -> Vec<i64> {
        vec![1, 3, i64::from(scene.frame.tensor_height), i64::from(scene.frame.tensor_width)]
    }

    /// `[1, 3, tensor_height, tensor_width]`, normalised; padding is 0.
    pub fn fill(&self, scene: &Scene) -> Filled {
        let Frame { scaled_width, tensor_width, tensor_height, .. } = scene.frame;
        self.planes.fill(&scene.rgb, scaled_width, tensor_width, tensor_height)
    }
}

/// The largest frame that a recipe allows for a picture, which is not enlarged beyond the smallest tensor. The longer side
/// is shortened step by step until the padded tensor has few enough pixels; the smallest tensor always has.
fn frame(recipe: &SceneRecipe, width: u32, height: u32) -> Frame {
    let SceneRecipe { step, min_side, max_side, max_pixels, .. } = *recipe;
    let mut longest = max_side;
    loop {
        let target = width.max(height).clamp(min_side, longest);
        let scaled = |side: u32| scaled(side, target, width.max(height));
        let padded = |side: u32| scaled(side).div_ceil(step.max(1)).saturating_mul(step.max(1)).max(min_side);
        let (tensor_width, tensor_height) = (padded(width), padded(height));
        let fits = u64::from(tensor_width) * u64::from(tensor_height) <= u64::from(max_pixels);
        if fits || longest <= min_side {
            let (scaled_width, scaled_height) = (scaled(width), scaled(height));
            return Frame { width, height, scaled_width, scaled_height, left: 0, top: 0, tensor_width, tensor_height };
        }
        longest = longest.saturating_sub(step.max(1)).max(min_side);
    }
}

/// `side` times `target / longest`, rounded, at least 1.
fn scaled(side: u32, target: u32, longest: u32) -> u32 {
    let longest = u64::from(longest.max(1));
    let rounded = (u64::from(side) * u64::from(target) * 2 + longest) / (2 * longest);
    u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bundle::Channels;

    fn recipe(step: u32, min_side: u32, max_side: u32, max_pixels: u32) -> SceneRecipe {
        let (mean, std) = ([0.5; 3], [0.5; 3]);
        SceneRecipe { tensor: "x".into(), step, min_side, max_side, max_pixels, channels: Channels::Bgr, mean, std }
    }

    #[test]
    fn a_picture_keeps_its_aspect_within_the_sides_and_pixels_of_the_recipe() {
        let detector = recipe(32, 320, 1280, 960 * 960);
        let coarse = recipe(128, 256, 1280, 1280 * 1280);
        // (recipe, picture, scaled, tensor)
        let cases = [
            (&detector, (640, 480), (640, 480), (640, 480)),
            (&detector, (641, 479), (641, 479), (672, 480)),
            (&detector, (1280, 960), (1088, 816), (1088, 832)),
            (&detector, (3000, 4000), (816, 1088), (832, 1088)),
            (&detector, (1920, 1080), (1248, 702), (1248, 704)),
            (&detector, (200, 100), (320, 160), (320, 320)),
            (&detector, (1, 1), (320, 320), (320, 320)),
            (&detector, (20_000, 1), (1280, 1), (1280, 320)),
            (&detector, (1, 20_000), (1, 1280), (320, 1280)),
            (&coarse, (640, 480), (640, 480), (640, 512)),
            (&coarse, (2000, 1000), (1280, 640), (1280, 640)),
        ];
        for (recipe, (width, height), scaled, tensor) in cases {
            let frame = frame(recipe, width, height);
            assert_eq!((frame.width, frame.height), (width, height));
            assert_eq!((frame.scaled_width, frame.scaled_height), scaled, "{width} x {height}");
            assert_eq!((frame.tensor_width, frame.tensor_height), tensor, "{width} x {height}");
        }
    }

    #[test]
    fn cost_counts_smallest_tensors_and_padding_is_zero() {
        let scenes = Scenes::new(recipe(2, 2, 8, 64), 1000, Datatype::Fp32);
        let frame = frame(&scenes.recipe, 3, 2);
        let scene = Scene { frame, rgb: vec![255; 3 * 2 * 3] };
        assert_eq!(scenes.cost(&scene), 2);
        let filled = scenes.fill(&scene);
        assert_eq!(filled.shape, [1, 3, 2, 4]);
        assert_eq!(crate::tensor::floats(filled.bytes.as_slice())[..8], [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
    }

    proptest! {
        #[test]
        fn no_picture_leaves_the_recipes_bounds(
            (width, height) in (1..70_000u32, 1..70_000u32),
            (step, least, more, area) in (1..200u32, 1..8u32, 0..8u32, 0..1000u32),
        ) {
            let (min_side, max_side) = (step * least, step * (least + more));
            let most = min_side * min_side + area * 1000;
            let frame = frame(&recipe(step, min_side, max_side, most), width, height);
            for (scaled, tensor) in
                [(frame.scaled_width, frame.tensor_width), (frame.scaled_height, frame.tensor_height)]
            {
                prop_assert!((min_side..=max_side).contains(&tensor) && tensor % step == 0, "{frame:?}");
                prop_assert!((1..=tensor).contains(&scaled), "{frame:?}");
            }
            prop_assert!(frame.tensor_width * frame.tensor_height <= most, "{frame:?}");
        }
    }
}
