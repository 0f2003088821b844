//! Pictures: JPEG or PNG to a line of pixels as a model was trained on. What a file would unpack to is judged by its
//! header, before anything is unpacked.

use std::io::Cursor;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};

use super::{Filled, MediaError, jpeg};
use crate::bundle::{Channels, ImageRecipe, WhenWider};
use crate::tensor::Aligned;

/// Bytes per pixel that a decoder may need, by the limit in pixels.
const BYTES_PER_PIXEL: u64 = 8;

/// A decoded picture at its final size, not yet normalised: a quarter of what the tensor takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width of the picture itself.
    pub width: u32,
    /// Width of the tensor; the rest is padding on the right.
    pub padded: u32,
    /// Red, green, blue, row by row.
    pub rgb: Vec<u8>,
}

/// Decodes and normalises as one recipe says.
pub struct Pictures {
    recipe: ImageRecipe,
    max_pixels: u64,
    /// The normalised value of each byte, per channel in the recipe's order.
    table: [[f32; 256]; 3],
}

impl Pictures {
    /// A recipe with the manifest's limit of pixels.
    pub fn new(recipe: ImageRecipe, max_pixels: u64) -> Pictures {
        let channel = |mean: f32, std: f32| {
            let mut values = [0.0; 256];
            for (value, byte) in values.iter_mut().zip(0u8..=255) {
                *value = (f32::from(byte) / 255.0 - mean) / std;
            }
            values
        };
        let (mean, std) = (recipe.mean, recipe.std);
        let table = [channel(mean[0], std[0]), channel(mean[1], std[1]), channel(mean[2], std[2])];
        Pictures { recipe, max_pixels, table }
    }

    /// Decodes a JPEG or PNG, turns it upright, and scales it to the recipe's height.
    pub fn decode(&self, content_type: &str, payload: &[u8]) -> Result<Picture, MediaError> {
        let format = format(content_type, payload)?;
        let mut decoder =
            ImageReader::with_format(Cursor::new(payload), format).into_decoder().map_err(|error| broken(&error))?;
        let (width, height) = decoder.dimensions();
        self.check_size(width, height, decoder.total_bytes())?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let sideways = matches!(
            orientation,
            Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
        );
        let (target, padded) = if sideways { self.widths(height, width)? } else { self.widths(width, height)? };
        if format == ImageFormat::Jpeg && !jpeg::is_complete(payload) {
            return Err(MediaError::Invalid("the JPEG is truncated: its end marker is missing".into()));
        }
        let pixels = DynamicImage::from_decoder(decoder).map_err(|error| broken(&error))?;
        // Scaled first and turned afterwards: the small picture is cheap to turn.
        let high = self.recipe.height;
        let (to_width, to_height) = if sideways { (high, target) } else { (target, high) };
        let mut upright = DynamicImage::ImageRgb8(scale(&opaque(pixels), to_width, to_height)?);
        upright.apply_orientation(orientation);
        Ok(Picture { width: target, padded, rgb: upright.into_rgb8().into_raw() })
    }

    /// Cost in units of the narrowest picture.
    pub fn cost(&self, picture: &Picture) -> u32 {
        picture.padded.div_ceil(self.recipe.min_width.max(1))
    }

    /// `[1, 3, height, padded]`.
    pub fn shape(&self, picture: &Picture) -> Vec<i64> {
        vec![1, 3, i64::from(self.recipe.height), i64::from(picture.padded)]
    }

    /// All of [`Pictures::shape`], normalised; padding is 0.
    pub fn fill(&self, picture: &Picture) -> Filled {
        let (width, padded, high) = (picture.width as usize, picture.padded as usize, self.recipe.height as usize);
        let mut values = vec![0f32; 3 * high * padded];
        let order: [usize; 3] = match self.recipe.channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
        };
        let planes = values.chunks_exact_mut((high * padded).max(1));
        for ((plane, source), table) in planes.zip(order).zip(&self.table) {
            let rows = plane.chunks_exact_mut(padded.max(1)).zip(picture.rgb.chunks_exact((width * 3).max(1)));
            for (row, pixels) in rows {
                for (value, pixel) in row.iter_mut().zip(pixels.as_chunks::<3>().0) {
                    *value = table[usize::from(pixel[source])];
                }
            }
        }
        Filled { shape: self.shape(picture), bytes: Aligned::from_f32(&values) }
    }

    fn check_size(&self, width: u32, height: u32, bytes: u64) -> Result<(), MediaError> {
        let most = self.max_pixels;
        if width == 0 || height == 0 {
            return Err(MediaError::Invalid(format!(
                "the picture has {width} x {height} pixels, accepted is at least 1"
            )));
        }
        if u64::from(width) * u64::from(height) > most || bytes > most.saturating_mul(BYTES_PER_PIXEL) {
            return Err(MediaError::TooLarge(format!(
                "the picture has {width} x {height} pixels and unpacks to {bytes} bytes, accepted are {most} pixels"
            )));
        }
        Ok(())
    }

    /// Width at the recipe's height, and with padding. The padded width is rounded down and the picture's own up, as in
    /// the code that the models were published with.
    fn widths(&self, width: u32, height: u32) -> Result<(u32, u32), MediaError> {
        let ImageRecipe { height: high, min_width, max_width, when_wider, .. } = self.recipe;
        let scaled = u64::from(high) * u64::from(width);
        let (down, up) = (scaled / u64::from(height.max(1)), scaled.div_ceil(u64::from(height.max(1))));
        if down > u64::from(max_width) && when_wider == WhenWider::Refuse {
            return Err(MediaError::TooLarge(format!(
                "the picture has {width} x {height} pixels; at height {high} it would be {down} wide, accepted is \
                 {max_width}"
            )));
        }
        let padded = u32::try_from(down).unwrap_or(u32::MAX).clamp(min_width, max_width);
        Ok((u32::try_from(up).unwrap_or(u32::MAX).clamp(1, padded), padded))
    }
}

/// The format that the content type names, if the payload really is of it.
fn format(content_type: &str, payload: &[u8]) -> Result<ImageFormat, MediaError> {
    let named = if content_type == "image/png" { ImageFormat::Png } else { ImageFormat::Jpeg };
    match image::guess_format(payload) {
        Ok(found) if found == named => Ok(named),
        Ok(found) => {
            let found = found.to_mime_type();
            Err(MediaError::Invalid(format!("the bytes are {found}, the content type says {content_type}")))
        }
        Err(_) => Err(MediaError::Invalid(format!("the bytes are no {content_type}"))),
    }
}

fn broken(error: &ImageError) -> MediaError {
    match error {
        ImageError::Limits(_) => MediaError::TooLarge(format!("the picture cannot be decoded: {error}")),
        _ => MediaError::Invalid(format!("the picture cannot be decoded: {error}")),
    }
}

/// Three channels; what is transparent becomes white, like paper.
fn opaque(pixels: DynamicImage) -> RgbImage {
    if !pixels.color().has_alpha() {
        return pixels.into_rgb8();
    }
    let pixels = pixels.into_rgba8();
    let mut paper = RgbImage::new(pixels.width(), pixels.height());
    for (to, from) in paper.pixels_mut().zip(pixels.pixels()) {
        let [red, green, blue, alpha] = from.0.map(u16::from);
        let blend = |colour: u16| u8::try_from((colour * alpha + 255 * (255 - alpha) + 127) / 255).unwrap_or(255);
        to.0 = [blend(red), blend(green), blend(blue)];
    }
    paper
}

/// Bilinear with two samples per axis and no further smoothing, as the models were trained with.
fn scale(pixels: &RgbImage, width: u32, height: u32) -> Result<RgbImage, MediaError> {
    let failed = |error: &dyn std::fmt::Display| MediaError::Invalid(format!("the picture cannot be scaled: {error}"));
    let source = TypedImageRef::<U8x3>::from_buffer(pixels.width(), pixels.height(), pixels.as_raw())
        .map_err(|error| failed(&error))?;
    let mut scaled = vec![0; width as usize * height as usize * 3];
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut scaled).map_err(|error| failed(&error))?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear));
    // The typed call: the other one compiles the filters of all pixel types into this crate.
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|error| failed(&error))?;
    RgbImage::from_raw(width, height, scaled).ok_or_else(|| failed(&"wrong size"))
}
