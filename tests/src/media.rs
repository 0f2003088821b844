//! Encoded payloads, good and bad: images, sounds.

use std::io::Cursor;

use anyhow::{Context, Result};
use image::{DynamicImage, ImageFormat, RgbImage};

/// A picture without meaning, as JPEG: every pixel differs, so that it is as large as photographs are.
pub fn noise_jpeg(width: u32, height: u32) -> Result<Vec<u8>> {
    encode(noise(width, height), ImageFormat::Jpeg)
}

/// The same as PNG.
pub fn noise_png(width: u32, height: u32) -> Result<Vec<u8>> {
    encode(noise(width, height), ImageFormat::Png)
}

fn noise(width: u32, height: u32) -> RgbImage {
    let mut state = 0x2545_f491_u32;
    RgbImage::from_fn(width, height, |_, _| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let [red, green, blue, _] = state.to_le_bytes();
        image::Rgb([red, green, blue])
    })
}

fn encode(image: RgbImage, format: ImageFormat) -> Result<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image).write_to(&mut file, format).context("encode a picture")?;
    Ok(file.into_inner())
}

/// A small PNG whose header claims 65,000 x 65,000 pixels, with a right checksum.
pub fn bomb_png() -> Result<Vec<u8>> {
    let mut png = noise_png(8, 8)?;
    // 8 bytes signature, then the chunk IHDR: length, type, width, height, 5 more bytes, checksum of type and content.
    let size = 65_000_u32.to_be_bytes();
    png.get_mut(16..20).context("width")?.copy_from_slice(&size);
    png.get_mut(20..24).context("height")?.copy_from_slice(&size);
    let checksum = crc32fast::hash(png.get(12..29).context("IHDR")?).to_be_bytes();
    png.get_mut(29..33).context("checksum")?.copy_from_slice(&checksum);
    Ok(png)
}

/// A small JPEG whose frame header claims 65,000 x 65,000 pixels.
pub fn bomb_jpeg() -> Result<Vec<u8>> {
    let mut jpeg = noise_jpeg(8, 8)?;
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).context("a frame header")?;
    // Marker, length (2), precision (1), height (2), width (2).
    let size = 65_000_u16.to_be_bytes();
    jpeg.get_mut(frame + 5..frame + 7).context("height")?.copy_from_slice(&size);
    jpeg.get_mut(frame + 7..frame + 9).context("width")?.copy_from_slice(&size);
    Ok(jpeg)
}

/// A mono WAV file of 16-bit samples that claims to hold `claimed` bytes of them.
pub fn wav(rate: u32, samples: &[i16], claimed: u32) -> Vec<u8> {
    let mut file = Vec::with_capacity(44 + samples.len() * 2);
    file.extend(b"RIFF");
    file.extend(claimed.saturating_add(36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * 2).to_le_bytes());
    file.extend(2_u16.to_le_bytes());
    file.extend(16_u16.to_le_bytes());
    file.extend(b"data");
    file.extend(claimed.to_le_bytes());
    samples.iter().for_each(|sample| file.extend(sample.to_le_bytes()));
    file
}
