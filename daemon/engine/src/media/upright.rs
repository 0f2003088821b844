//! A JPEG or PNG as upright pixels of the size that a model takes. What a file would unpack to is judged by its header,
//! before anything is unpacked. Knows no model: the size is the caller's to choose.

use std::io::Cursor;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};

use super::{MediaError, jpeg};

/// Bytes per pixel that a decoder may need, by the limit in pixels.
const BYTES_PER_PIXEL: u64 = 8;

/// Longest side of a picture that is kept for its parts, pixels: as RapidOCR has it, and as much as 12 MB.
const KEPT_SIDE: u32 = 2000;

/// Decodes a JPEG or PNG of at most `max_pixels`, turns it upright and scales it. `fit` chooses width and height from
/// those of the upright picture, or refuses it; what it says beside them is handed back. Never panics, whatever the bytes.
pub fn read<T>(
    content_type: &str,
    payload: &[u8],
    max_pixels: u64,
    fit: impl FnOnce(u32, u32) -> Result<(u32, u32, T), MediaError>,
) -> Result<(RgbImage, T), MediaError> {
    let (opened, said) = open(content_type, payload, max_pixels, fit)?;
    Ok((opened.upright(opened.size)?, said))
}

/// The same, and the upright picture itself, of at most [`KEPT_SIDE`] pixels on its longer side.
pub fn read_and_keep<T>(
    content_type: &str,
    payload: &[u8],
    max_pixels: u64,
    fit: impl FnOnce(u32, u32) -> Result<(u32, u32, T), MediaError>,
) -> Result<(RgbImage, T, RgbImage), MediaError> {
    let (opened, said) = open(content_type, payload, max_pixels, fit)?;
    let (width, height) = opened.pixels.dimensions();
    let kept = opened.upright(kept(width, height))?;
    Ok((opened.upright(opened.size)?, said, kept))
}

/// The upright picture itself, of at most [`KEPT_SIDE`] pixels on its longer side.
pub fn read_whole(content_type: &str, payload: &[u8], max_pixels: u64) -> Result<RgbImage, MediaError> {
    let fit = |width, height| Ok((width, height, ()));
    let (opened, ()) = open(content_type, payload, max_pixels, fit)?;
    let (width, height) = opened.pixels.dimensions();
    opened.upright(kept(width, height))
}

/// The size that a picture of this size is kept in.
fn kept(width: u32, height: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= KEPT_SIDE {
        return (width, height);
    }
    let scaled = |side: u32| {
        let side = (u64::from(side) * u64::from(KEPT_SIDE) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(side).unwrap_or(KEPT_SIDE).max(1)
    };
    (scaled(width), scaled(height))
}

/// A decoded picture as it lies in its file.
struct Opened {
    pixels: RgbImage,
    orientation: Orientation,
    /// What was chosen for it, as it lies in its file.
    size: (u32, u32),
}

impl Opened {
    /// Upright, of this size as it lies in its file.
    fn upright(&self, (width, height): (u32, u32)) -> Result<RgbImage, MediaError> {
        // Scaled first and turned afterwards: the small picture is cheap to turn.
        let mut upright = DynamicImage::ImageRgb8(scale(&self.pixels, width, height)?);
        upright.apply_orientation(self.orientation);
        Ok(upright.into_rgb8())
    }
}

fn open<T>(
    content_type: &str,
    payload: &[u8],
    max_pixels: u64,
    fit: impl FnOnce(u32, u32) -> Result<(u32, u32, T), MediaError>,
) -> Result<(Opened, T), MediaError> {
    let format = format(content_type, payload)?;
    let mut decoder =
        ImageReader::with_format(Cursor::new(payload), format).into_decoder().map_err(|error| broken(&error))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, decoder.total_bytes(), max_pixels)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let sideways = matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    );
    let (wide, high, said) = if sideways { fit(height, width)? } else { fit(width, height)? };
    if format == ImageFormat::Jpeg && !jpeg::is_complete(payload) {
        return Err(MediaError::Invalid("the JPEG is truncated: its end marker is missing".into()));
    }
    let pixels = DynamicImage::from_decoder(decoder).map_err(|error| broken(&error))?;
    let size = if sideways { (high, wide) } else { (wide, high) };
    Ok((Opened { pixels: opaque(pixels), orientation, size }, said))
}

fn check_size(width: u32, height: u32, bytes: u64, most: u64) -> Result<(), MediaError> {
    if width == 0 || height == 0 {
        return Err(MediaError::Invalid(format!("the picture has {width} x {height} pixels, accepted is at least 1")));
    }
    if u64::from(width) * u64::from(height) > most || bytes > most.saturating_mul(BYTES_PER_PIXEL) {
        return Err(MediaError::TooLarge(format!(
            "the picture has {width} x {height} pixels and unpacks to {bytes} bytes, accepted are {most} pixels"
        )));
    }
    Ok(())
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
    // Some decoders end their lines.
    let text = format!("the picture cannot be decoded: {}", error.to_string().trim_end());
    match error {
        ImageError::Limits(_) => MediaError::TooLarge(text),
        _ => MediaError::Invalid(text),
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
pub fn scale(pixels: &RgbImage, width: u32, height: u32) -> Result<RgbImage, MediaError> {
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
