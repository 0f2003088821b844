//! Pixels to the numbers that a model was trained on: one plane per channel, normalised.

use super::Filled;
use crate::bundle::Channels;
use crate::tensor::Aligned;

/// How one model takes its pixels.
pub struct Planes {
    /// Which of red, green, blue each plane holds.
    order: [usize; 3],
    /// The normalised value of each byte, per plane.
    table: [[f32; 256]; 3],
}

impl Planes {
    /// `mean` is subtracted from values in 0..=1 and `std` divides what is left, per channel in the order of `channels`.
    pub fn new(channels: Channels, mean: [f32; 3], std: [f32; 3]) -> Planes {
        let channel = |mean: f32, std: f32| {
            let mut values = [0.0; 256];
            for (value, byte) in values.iter_mut().zip(0u8..=255) {
                *value = (f32::from(byte) / 255.0 - mean) / std;
            }
            values
        };
        let table = [channel(mean[0], std[0]), channel(mean[1], std[1]), channel(mean[2], std[2])];
        let order = match channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
        };
        Planes { order, table }
    }

    /// `[1, 3, high, wide]` with a picture of red, green, blue, `width` pixels a row, in its top left corner. Padding is 0.
    pub fn fill(&self, rgb: &[u8], width: u32, wide: u32, high: u32) -> Filled {
        let (width, row, rows) = (width as usize, wide as usize, high as usize);
        let mut values = vec![0f32; 3 * rows * row];
        let planes = values.chunks_exact_mut((rows * row).max(1));
        for ((plane, source), table) in planes.zip(self.order).zip(&self.table) {
            let rows = plane.chunks_exact_mut(row.max(1)).zip(rgb.chunks_exact((width * 3).max(1)));
            for (row, pixels) in rows {
                for (value, pixel) in row.iter_mut().zip(pixels.as_chunks::<3>().0) {
                    *value = table[usize::from(pixel[source])];
                }
            }
        }
        Filled { shape: vec![1, 3, i64::from(high), i64::from(wide)], bytes: Aligned::from_f32(&values) }
    }
}
