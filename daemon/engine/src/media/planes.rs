//! Pixels to the numbers that a model was trained on: normalised, in the order of channels and dimensions that it takes.

use super::{Filled, MediaError, half};
use crate::bundle::{Channels, Layout};
use crate::protocol::Datatype;
use crate::tensor::Aligned;

/// How one model takes its pixels.
pub struct Planes {
    channels: Channels,
    layout: Layout,
    mean: [f32; 3],
    std: [f32; 3],
    /// Numbers, or bytes as they are.
    datatype: Datatype,
}

/// A picture in a tensor, pixels. Where it hangs over it is cut off; what it does not cover is padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub left: i32,
    pub top: i32,
    /// Size of the tensor.
    pub wide: u32,
    pub high: u32,
}

impl Placed {
    /// In the top left corner.
    pub fn corner(wide: u32, high: u32) -> Placed {
        Placed { left: 0, top: 0, wide, high }
    }
}

/// What padding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The number 0, after normalisation.
    Zero,
    /// A pixel of this brightness.
    Grey(u8),
}

impl Planes {
    /// `mean` is subtracted from values in 0..=1 and `std` divides what is left, per channel in the order of `channels`.
    pub fn new(channels: Channels, mean: [f32; 3], std: [f32; 3]) -> Planes {
        Planes { channels, layout: Layout::Nchw, mean, std, datatype: Datatype::Fp32 }
    }

    /// In this order of dimensions, with elements of this type: FP32, FP16, or UINT8 for bytes as they are.
    pub fn into_tensor(self, layout: Layout, datatype: Datatype) -> Planes {
        Planes { layout, datatype, ..self }
    }

    /// `[1, 3, high, wide]` with a picture of red, green, blue, `width` pixels a row, in its top left corner. Padding is 0.
    pub fn fill(&self, rgb: &[u8], width: u32, wide: u32, high: u32) -> Filled {
        self.place(rgb, width, Placed::corner(wide, high), Padding::Zero)
    }

    /// Shape of the tensor.
    pub fn shape(&self, wide: u32, high: u32) -> Vec<i64> {
        let (channels, wide, high) =
            (i64::try_from(self.sources().len()).unwrap_or(3), i64::from(wide), i64::from(high));
        match self.layout {
            Layout::Nchw => vec![1, channels, high, wide],
            Layout::Nhwc => vec![1, high, wide, channels],
        }
    }

    /// The tensor with a picture of red, green, blue, `width` pixels a row.
    pub fn place(&self, rgb: &[u8], width: u32, placed: Placed, padding: Padding) -> Filled {
        let shape = self.shape(placed.wide, placed.high);
        let bytes = match self.datatype {
            Datatype::Uint8 => {
                let tables = std::array::from_fn(|_| std::array::from_fn(|byte| u8::try_from(byte).unwrap_or(0)));
                Aligned::copy_of(&self.spread(rgb, width, placed, padding, &tables, 0))
            }
            Datatype::Fp16 => {
                let tables = self.normalised().map(|values| values.map(half::from_f32));
                Aligned::from_u16(&self.spread(rgb, width, placed, padding, &tables, 0))
            }
            _ => Aligned::from_f32(&self.spread(rgb, width, placed, padding, &self.normalised(), 0.0)),
        };
        Filled { shape, bytes }
    }

    /// The normalised value of each byte, per channel.
    fn normalised(&self) -> [[f32; 256]; 3] {
        let channel = |(mean, std): (f32, f32)| {
            let mut values = [0.0; 256];
            for (value, byte) in values.iter_mut().zip(0u8..=255) {
                *value = (f32::from(byte) / 255.0 - mean) / std;
            }
            values
        };
        std::array::from_fn(|at| channel((self.mean[at], self.std[at])))
    }

    /// What each channel takes of a pixel.
    fn sources(&self) -> &'static [Source] {
        match self.channels {
            Channels::Rgb => &[Source::Colour(0), Source::Colour(1), Source::Colour(2)],
            Channels::Bgr => &[Source::Colour(2), Source::Colour(1), Source::Colour(0)],
            Channels::Grey => &[Source::Brightness],
        }
    }

    fn spread<T: Copy>(
        &self,
        rgb: &[u8],
        width: u32,
        placed: Placed,
        padding: Padding,
        tables: &[[T; 256]; 3],
        zero: T,
    ) -> Vec<T> {
        let (wide, high) = (placed.wide as usize, placed.high as usize);
        let sources = self.sources();
        let (plane, pixel) = match self.layout {
            Layout::Nchw => (wide * high, 1),
            Layout::Nhwc => (1, sources.len()),
        };
        let mut values = vec![zero; sources.len() * wide * high];
        if let Padding::Grey(level) = padding {
            for (at, value) in values.iter_mut().enumerate() {
                let channel = if plane == 1 { at % sources.len() } else { at / plane.max(1) };
                *value = tables[channel][usize::from(level)];
            }
        }
        let hidden = |offset: i32| usize::try_from(-i64::from(offset)).unwrap_or(0);
        let shown = |offset: i32| usize::try_from(offset).unwrap_or(0);
        let rows = rgb.chunks_exact((width as usize * 3).max(1)).skip(hidden(placed.top));
        for (row, pixels) in (shown(placed.top)..high).zip(rows) {
            let pixels = pixels.as_chunks::<3>().0.get(hidden(placed.left)..).unwrap_or_default();
            let first = (row * wide + shown(placed.left)) * pixel;
            let room = wide.saturating_sub(shown(placed.left));
            for ((channel, source), table) in sources.iter().enumerate().zip(tables) {
                let places = values.iter_mut().skip(first + channel * plane).step_by(pixel).take(room).zip(pixels);
                match source {
                    Source::Colour(at) => places.for_each(|(value, pixel)| *value = table[usize::from(pixel[*at])]),
                    Source::Brightness => {
                        places.for_each(|(value, pixel)| *value = table[usize::from(brightness(pixel))]);
                    }
                }
            }
        }
        values
    }
}

/// Refuses a normalisation whose numbers the tensor cannot hold: FP16 ends at 65504.
pub fn in_range(mean: &[f32; 3], std: &[f32; 3], datatype: Datatype) -> Result<(), MediaError> {
    let planes = Planes::new(Channels::Rgb, *mean, *std);
    let held = |value: &f32| half::to_f32(half::from_f32(*value)).is_finite();
    if datatype != Datatype::Fp16 || planes.normalised().iter().flatten().all(held) {
        return Ok(());
    }
    let what = format!("mean {mean:?} and std {std:?} give numbers beyond 65504, which FP16 does not hold");
    Err(MediaError::Recipe { key: "input.std", what })
}

/// What a channel takes of a pixel of red, green, blue.
#[derive(Clone, Copy)]
enum Source {
    Colour(usize),
    Brightness,
}

/// As television has weighed the colours since 1953: ITU-R BT.601.
fn brightness(pixel: &[u8; 3]) -> u8 {
    let [red, green, blue] = pixel.map(u32::from);
    u8::try_from((299 * red + 587 * green + 114 * blue + 500) / 1000).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of three pixels: 1 to 18.
    fn picture() -> Vec<u8> {
        (1..=18).collect()
    }

    fn bytes(channels: Channels, layout: Layout, placed: Placed, padding: Padding) -> (Vec<i64>, Vec<u8>) {
        let planes = Planes::new(channels, [0.0; 3], [1.0; 3]).into_tensor(layout, Datatype::Uint8);
        let filled = planes.place(&picture(), 3, placed, padding);
        (filled.shape, filled.bytes.as_slice().to_vec())
    }

    #[test]
    fn a_picture_lies_where_it_is_placed_in_every_layout() {
        let placed = |left, top, wide, high| Placed { left, top, wide, high };
        let (shape, values) = bytes(Channels::Rgb, Layout::Nchw, placed(1, 1, 5, 4), Padding::Grey(99));
        assert_eq!(shape, [1, 3, 4, 5]);
        let red = [99, 99, 99, 99, 99, 99, 1, 4, 7, 99, 99, 10, 13, 16, 99, 99, 99, 99, 99, 99];
        assert_eq!(values[..20], red);
        let (shape, values) = bytes(Channels::Bgr, Layout::Nhwc, placed(1, 0, 4, 3), Padding::Grey(9));
        assert_eq!(shape, [1, 3, 4, 3]);
        assert_eq!(values[..12], [9, 9, 9, 3, 2, 1, 6, 5, 4, 9, 8, 7]);
        assert_eq!(values[24..], [9; 12]);
        // It hangs over on all sides.
        let (_, values) = bytes(Channels::Rgb, Layout::Nhwc, placed(-1, -1, 1, 1), Padding::Zero);
        assert_eq!(values, [13, 14, 15]);
        let (shape, values) = bytes(Channels::Grey, Layout::Nchw, placed(-2, 0, 2, 2), Padding::Zero);
        assert_eq!((shape, values), (vec![1, 1, 2, 2], vec![8, 0, 17, 0]));
        // It does not show at all.
        for (left, top) in [(-3, 0), (0, -2), (7, 0), (0, 7), (i32::MIN, i32::MIN), (i32::MAX, i32::MAX)] {
            let (_, values) = bytes(Channels::Grey, Layout::Nchw, placed(left, top, 2, 2), Padding::Grey(7));
            assert_eq!(values, [7; 4], "{left} {top}");
        }
    }

    #[test]
    fn half_numbers_are_the_nearest_to_the_whole_ones_and_must_be_in_their_range() {
        let planes = |datatype| Planes::new(Channels::Rgb, [0.485; 3], [0.229; 3]).into_tensor(Layout::Nchw, datatype);
        let bytes = |datatype| planes(datatype).place(&picture(), 3, Placed::corner(3, 2), Padding::Zero).bytes;
        let halves = half::widen(bytes(Datatype::Fp16).as_slice());
        let wanted = crate::tensor::floats(bytes(Datatype::Fp32).as_slice());
        let found = crate::tensor::floats(&halves);
        assert_eq!(found.len(), wanted.len());
        assert!(found.iter().zip(&wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-3), "{found:?}");
        for (std, datatype, good) in [
            (1.0 / 255.0, Datatype::Fp16, true),
            (1e-5, Datatype::Fp16, false),
            (1e-5, Datatype::Fp32, true),
            (1.6e-5, Datatype::Fp16, true),
        ] {
            assert_eq!(in_range(&[0.0; 3], &[std; 3], datatype).is_ok(), good, "{std} {datatype:?}");
        }
    }

    #[test]
    fn numbers_are_normalised_per_channel_and_so_is_a_grey_padding() {
        let planes = Planes::new(Channels::Bgr, [0.5, 0.0, 0.0], [0.5, 1.0, 1.0 / 255.0]);
        let filled = planes.place(&[255, 51, 0], 1, Placed { left: 0, top: 0, wide: 2, high: 1 }, Padding::Grey(255));
        let values = crate::tensor::floats(filled.bytes.as_slice());
        let wanted = [-1.0, 1.0, 0.2, 1.0, 255.0, 255.0];
        assert!(values.iter().zip(wanted).all(|(value, wanted)| (value - wanted).abs() < 1e-4), "{values:?}");
    }
}
