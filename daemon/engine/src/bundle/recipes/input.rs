//! How encoded payloads become tensors. Must not know what is made of the outputs.

use serde::Deserialize;

/// How an encoded payload becomes tensors.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum InputRecipe {
    /// A JPEG or PNG that shows one line.
    Image(ImageRecipe),
    /// A JPEG or PNG of any shape, brought to one size.
    Picture(PictureRecipe),
    /// A JPEG or PNG of any shape.
    Scene(SceneRecipe),
    /// The beginning and the end of any file.
    FileBytes(FileBytesRecipe),
    /// A WAV, cut into windows that carry a state along.
    Sound(SoundRecipe),
}

impl InputRecipe {
    /// Whether it makes one tensor of a payload, which is run once; a sound is run window by window.
    pub fn fills(&self) -> bool {
        match self {
            InputRecipe::Image(_) | InputRecipe::Picture(_) | InputRecipe::Scene(_) | InputRecipe::FileBytes(_) => true,
            InputRecipe::Sound(_) => false,
        }
    }
}

/// A picture, scaled to one height with its aspect kept, padded to a width, normalised, `[1, 3, height, width]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRecipe {
    /// Input of the graph.
    pub tensor: String,
    /// Height in pixels.
    pub height: u32,
    /// Narrower pictures are padded to this width.
    pub min_width: u32,
    /// Widest picture at that height.
    pub max_width: u32,
    /// Wider pictures than the narrowest are padded to a multiple of this: fewer shapes, more requests that can run together.
    /// 1, which pads nothing, unless said: only a model that takes padding for what it is may have more.
    #[serde(default = "ImageRecipe::default_step")]
    pub width_step: u32,
    /// What happens to a picture wider than that.
    pub when_wider: WhenWider,
    /// Order of the channels.
    pub channels: Channels,
    /// Subtracted from values in 0..=1, per channel in that order.
    pub mean: [f32; 3],
    /// Divides what is left.
    pub std: [f32; 3],
}

impl ImageRecipe {
    fn default_step() -> u32 {
        1
    }
}

/// A picture of any size, scaled as a whole with its aspect kept and padded on the right and below, so that both sides
/// of `[1, 3, height, width]` are multiples of `step`. Smaller pictures are enlarged only until they touch the smallest
/// tensor.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneRecipe {
    /// Input of the graph.
    pub tensor: String,
    /// Height and width of the tensor are multiples of this, pixels. A larger step gives fewer shapes and more padding.
    #[serde(default = "SceneRecipe::default_step")]
    pub step: u32,
    /// Least height and width of the tensor, pixels.
    pub min_side: u32,
    /// Greatest height and width of the tensor, pixels.
    pub max_side: u32,
    /// Most pixels of the tensor, padding included: what a run may take of memory and time.
    pub max_pixels: u32,
    /// Order of the channels.
    pub channels: Channels,
    /// Subtracted from values in 0..=1, per channel in that order.
    pub mean: [f32; 3],
    /// Divides what is left.
    pub std: [f32; 3],
}

impl SceneRecipe {
    /// What convolutional detectors halve five times.
    fn default_step() -> u32 {
        32
    }
}

/// A picture of any size, brought to the one size that a model takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureRecipe {
    /// Input of the graph: FP32, or UINT8 for bytes as they are.
    pub tensor: String,
    /// Width of the tensor, pixels.
    pub width: u32,
    /// Height of the tensor, pixels.
    pub height: u32,
    /// How a picture of another shape comes to that size.
    pub fit: Fit,
    /// Where a letterboxed picture lies.
    #[serde(default)]
    pub at: At,
    /// Brightness of the padding around a letterboxed picture, 0 to 255.
    #[serde(default)]
    pub pad: u8,
    /// What the shorter side is scaled to before the middle is cropped, pixels. Absent: just so that the tensor is covered.
    pub shorter_side: Option<u32>,
    /// Order of the channels.
    pub channels: Channels,
    /// Order of the tensor's dimensions.
    #[serde(default)]
    pub layout: Layout,
    /// Subtracted from values in 0..=1, per channel in that order; nothing unless said.
    #[serde(default)]
    pub mean: [f32; 3],
    /// Divides what is left; 1 unless said. A model that was trained on 0..=255 has 0.00392157 (1/255).
    #[serde(default = "PictureRecipe::ones")]
    pub std: [f32; 3],
}

impl PictureRecipe {
    fn ones() -> [f32; 3] {
        [1.0; 3]
    }
}

/// How a picture comes to another shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// As a whole, with its aspect kept; the rest is padding.
    Letterbox,
    /// As a whole, each side by itself.
    Stretch,
    /// With its aspect kept, and without what hangs over in the middle of the tensor.
    Crop,
}

/// Where a letterboxed picture lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// In the middle, with padding on both sides.
    #[default]
    Centre,
    /// In the top left corner.
    Corner,
}

/// Order of the dimensions of a picture's tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `[1, channels, height, width]`.
    #[default]
    Nchw,
    /// `[1, height, width, channels]`.
    Nhwc,
}

/// What happens to a picture that is wider than `max_width` at the recipe's height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenWider {
    /// The request is answered `too_large`.
    Refuse,
    /// It is squeezed to `max_width`.
    Squeeze,
}

/// Order of the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    Rgb,
    Bgr,
    /// One channel: brightness.
    Grey,
}

/// Beginning and end of a file, stripped and padded as the named configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileBytesRecipe {
    /// Input of the graph.
    pub tensor: String,
    /// Magika's `config.min.json`.
    pub config: String,
}

/// A sound at one rate, cut into windows; each window is one run that takes the state of the run before.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoundRecipe {
    /// Samples per second.
    pub rate: u32,
    /// New samples per window.
    pub window: u32,
    /// Samples of the window before, put in front.
    pub context: u32,
    /// Input that takes context and window, `[1, context + window]`.
    pub signal: String,
    /// Input that takes the state.
    pub state: String,
    /// Shape of the state, which starts as zeros.
    pub state_shape: Vec<i64>,
    /// Input that takes the rate as an INT64 scalar.
    pub rate_tensor: String,
}
