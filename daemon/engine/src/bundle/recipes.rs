//! How encoded payloads become tensors and outputs become documents, as `model.toml` says it: the shape of the file.
//! [`super::recipe_rules`] checks the values.

use std::collections::BTreeMap;

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

/// How outputs become the result document.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum OutputRecipe {
    /// One score per label.
    Classes(ClassesRecipe),
    /// Connectionist temporal classification over a dictionary.
    Ctc(CtcRecipe),
    /// Rectangles around what a map of probabilities marks.
    Boxes(BoxesRecipe),
    /// Things with a label, a score and a rectangle.
    Objects(ObjectsRecipe),
    /// Magika's labels, thresholds and overwrites.
    FileType(FileTypeRecipe),
    /// Probabilities of speech, one per window.
    Speech(SpeechRecipe),
}

/// One score per label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassesRecipe {
    /// Output of the graph, `[N, labels]`.
    pub tensor: String,
    /// Labels in the order of the output.
    pub labels: Vec<String>,
    /// How many of them an answer lists, the best first.
    pub top: u16,
    /// What makes scores of 0 to 1 out of the output.
    #[serde(default)]
    pub activation: Activation,
}

/// What makes scores of 0 to 1 out of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// They are scores.
    #[default]
    None,
    /// One of the labels holds: `exp(x) / sum(exp)`.
    Softmax,
    /// Each label holds or not: `1 / (1 + exp(-x))`.
    Sigmoid,
}

/// Things in a picture.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsRecipe {
    /// Labels in the order of the model's classes.
    pub labels: Vec<String>,
    /// What is less sure is left out, 0 to 1.
    pub threshold: f32,
    /// The same for single labels.
    #[serde(default)]
    pub thresholds: BTreeMap<String, f32>,
    /// Of two things of one label whose rectangles overlap by more than this (intersection over union) the less sure one is
    /// left out. 1 leaves out none: for a head that has done it itself.
    #[serde(default = "ObjectsRecipe::default_overlap")]
    pub overlap: f32,
    /// Also of two things of different labels.
    #[serde(default)]
    pub across_labels: bool,
    /// Most things of an answer, the surest.
    #[serde(default = "ObjectsRecipe::default_most")]
    pub max_objects: u32,
    /// What the numbers of the outputs mean.
    pub head: Head,
}

impl ObjectsRecipe {
    fn default_overlap() -> f32 {
        0.45
    }

    fn default_most() -> u32 {
        300
    }
}

/// What the numbers of a detector's outputs mean. Rectangles are in pixels of the tensor unless something else is said.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Head {
    /// For each anchor the middle, the width and the height of a rectangle, then maybe the score of there being anything,
    /// then a score for each label.
    Yolo {
        /// Output: `[N, numbers, anchors]` if `planes`, else `[N, anchors, numbers]`.
        tensor: String,
        /// There is a score of there being anything; it multiplies the others.
        objectness: bool,
        /// All first numbers come first, then all second ones.
        planes: bool,
    },
    /// The same in cells of grids: `[N, anchors, numbers]` with objectness, the middle as an offset from its cell and the
    /// sizes as logarithms, both in strides.
    Yolox {
        /// Output.
        tensor: String,
        /// Pixels of a cell, of one grid after the other.
        strides: Vec<u32>,
    },
    /// A fixed number of queries: rectangles as middle, width and height in shares of the tensor.
    Detr {
        /// Output: `[N, queries, 4]`.
        boxes: String,
        /// Output: `[N, queries, labels]`; of a softmax the last number may be that of nothing.
        scores: String,
        /// What makes scores of it.
        activation: Activation,
    },
    /// One row for each thing that was found: `[N, rows, columns]`, or `[rows, columns]` in a model without batches.
    Rows {
        /// Output.
        tensor: String,
        /// What each number of a row is.
        columns: Vec<Column>,
        /// Rectangles are in shares of the tensor.
        #[serde(default)]
        unit: bool,
    },
    /// Rectangles, labels and scores in outputs of their own: `[N, things, 4]`, `[N, things]`, `[N, things]`.
    Lists {
        /// Output of rectangles.
        boxes: String,
        /// Output of places of labels.
        classes: String,
        /// Output of scores.
        scores: String,
        /// Output of the number of things, `[N]` or `[N, 1]`; absent if every row counts.
        count: Option<String>,
        /// What each of the four numbers is.
        columns: Vec<Column>,
        /// Rectangles are in shares of the tensor.
        #[serde(default)]
        unit: bool,
        /// Number of the first label: 1 where 0 means nothing.
        #[serde(default)]
        first_label: u32,
    },
}

/// What one number of a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    Left,
    Top,
    Right,
    Bottom,
    /// Of the middle.
    X,
    /// Of the middle.
    Y,
    Width,
    Height,
    /// Place of the label.
    Class,
    Score,
    /// Place in the batch, or anything else that is not needed.
    Other,
}

/// Text from `[N, T, dictionary]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CtcRecipe {
    /// Output of the graph.
    pub tensor: String,
    /// Key of the model's metadata that holds the dictionary, one entry a line.
    pub dictionary_key: String,
}

/// Rectangles from a map of probabilities, `[N, 1, height, width]`, as differentiable binarisation makes it: connected
/// areas above a threshold, each with its smallest rectangle, which is then grown to the text's real size.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxesRecipe {
    /// Output of the graph.
    pub tensor: String,
    /// A pixel of the map above this belongs to text.
    pub threshold: f32,
    /// Each such pixel takes its right and lower neighbours along, so that gaps of one pixel close.
    #[serde(default)]
    pub dilate: bool,
    /// Rectangles with a shorter side below this are dropped before they are grown, pixels of the map.
    pub min_size: u32,
    /// Mean of the map inside a rectangle, below which it is dropped.
    pub box_threshold: f32,
    /// A rectangle grows on each side by this times its area, divided by its circumference.
    pub unclip_ratio: f32,
    /// Most areas that are looked at, the largest.
    pub max_candidates: u32,
    /// Most boxes of an answer, the surest.
    pub max_boxes: u32,
}

/// A file's type from `[N, labels]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileTypeRecipe {
    /// Output of the graph.
    pub tensor: String,
    /// Magika's `config.min.json`: labels, thresholds, overwrites.
    pub config: String,
    /// Magika's `content_types_kb.min.json`: MIME type, group and so on of each label.
    pub content_types: String,
}

/// Segments of speech from one probability per window.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeechRecipe {
    /// Output that holds the probability, `[1, 1]`.
    pub probability: String,
    /// Output that holds the next state.
    pub state: String,
    /// Speech begins at this probability.
    pub threshold: f32,
    /// Speech may end below this one.
    pub neg_threshold: f32,
    /// Shorter segments are dropped.
    pub min_speech_ms: u32,
    /// Shorter gaps do not end a segment.
    pub min_silence_ms: u32,
    /// Added to both sides of a segment.
    pub pad_ms: u32,
}
