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
    /// Areas with a label and an outline.
    Segmentation(SegmentationRecipe),
    /// How unlike good pictures it is, and where.
    Anomaly(AnomalyRecipe),
    /// Numbers that are alike for what looks alike.
    Embedding(EmbeddingRecipe),
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
    /// Where a thing is within its rectangle, if the model tells.
    pub masks: Option<MasksRecipe>,
}

impl ObjectsRecipe {
    fn default_overlap() -> f32 {
        0.45
    }

    fn default_most() -> u32 {
        300
    }
}

/// Masks of things, as YOLO has them: the last numbers of each anchor say how much of each prototype goes into its mask.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MasksRecipe {
    /// Output of prototypes, `[N, prototypes, height, width]`.
    pub tensor: String,
    /// A cell whose probability (`1 / (1 + exp(-sum))`) is above this belongs to the thing, 0 to 1.
    #[serde(default = "MasksRecipe::default_threshold")]
    pub threshold: f32,
    /// No corner of an outline that is left out is farther from what stays, cells of the prototypes.
    #[serde(default = "OutlinesRecipe::default_tolerance")]
    pub tolerance: f32,
    /// Most outlines of a thing, the largest: it may be in parts.
    #[serde(default = "MasksRecipe::default_parts")]
    pub max_parts: u32,
    /// Most corners of all outlines of an answer.
    #[serde(default = "MasksRecipe::default_points")]
    pub max_points: u32,
}

impl MasksRecipe {
    fn default_threshold() -> f32 {
        0.5
    }

    fn default_parts() -> u32 {
        4
    }

    fn default_points() -> u32 {
        20_000
    }
}

/// Which regions of a picture are told, and how exactly.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutlinesRecipe {
    /// No corner of an outline that is left out is farther from what stays, cells of the map.
    #[serde(default = "OutlinesRecipe::default_tolerance")]
    pub tolerance: f32,
    /// Smaller regions and holes are not told, share of the picture.
    #[serde(default = "OutlinesRecipe::default_area")]
    pub min_area: f32,
    /// Most regions of an answer, the largest.
    #[serde(default = "OutlinesRecipe::default_regions")]
    pub max_regions: u32,
    /// Most corners of all outlines of an answer.
    #[serde(default = "OutlinesRecipe::default_points")]
    pub max_points: u32,
}

impl Default for OutlinesRecipe {
    fn default() -> OutlinesRecipe {
        OutlinesRecipe {
            tolerance: OutlinesRecipe::default_tolerance(),
            min_area: OutlinesRecipe::default_area(),
            max_regions: OutlinesRecipe::default_regions(),
            max_points: OutlinesRecipe::default_points(),
        }
    }
}

impl OutlinesRecipe {
    /// The steps of a slanting edge are 0.7 cells at most.
    fn default_tolerance() -> f32 {
        1.0
    }

    fn default_area() -> f32 {
        0.0005
    }

    fn default_regions() -> u32 {
        100
    }

    fn default_points() -> u32 {
        5000
    }
}

/// What each part of a picture is. The output is one map of scores for each label, `[N, labels, height, width]`; with one
/// label also `[N, height, width]`; or a map of the labels' places in whole numbers, `[N, height, width]` or
/// `[N, 1, height, width]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentationRecipe {
    /// Output of the graph.
    pub tensor: String,
    /// Labels in the order of the model's classes.
    pub labels: Vec<String>,
    /// The label of what is nothing in particular, which is not told.
    pub background: Option<String>,
    /// Order of the dimensions of scores.
    #[serde(default)]
    pub layout: Layout,
    /// What makes scores of 0 to 1 out of the output.
    #[serde(default)]
    pub activation: Activation,
    /// A cell that is less sure is nothing, 0 to 1. Absent: 0.5 with one label; with several the best one holds.
    pub threshold: Option<f32>,
    /// Which regions are told, and how exactly.
    #[serde(default)]
    pub outlines: OutlinesRecipe,
}

/// How unlike the pictures that a model was trained with one is, and where. At least one of the two outputs is named.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnomalyRecipe {
    /// Output that tells it for each part of the picture: `[N, 1, height, width]` or `[N, height, width]`.
    pub map: Option<String>,
    /// Output that tells it for the whole: `[N]` or `[N, 1]`. Absent: it is read off the map.
    pub score: Option<String>,
    /// What the outputs give for a score of 0.
    #[serde(default)]
    pub min: f32,
    /// What the outputs give for a score of 1.
    #[serde(default = "AnomalyRecipe::default_max")]
    pub max: f32,
    /// The whole is anomalous from this score on, 0 to 1.
    pub threshold: f32,
    /// A part is anomalous from this score on, 0 to 1; as for the whole unless said.
    pub pixel_threshold: Option<f32>,
    /// Without an output for the whole: the score that this share of the map does not exceed. 1, the largest, unless said.
    #[serde(default = "AnomalyRecipe::default_quantile")]
    pub quantile: f32,
    /// Which regions are told, and how exactly.
    #[serde(default)]
    pub outlines: OutlinesRecipe,
}

impl AnomalyRecipe {
    fn default_max() -> f32 {
        1.0
    }

    fn default_quantile() -> f32 {
        1.0
    }
}

/// Numbers that are alike for what looks alike, and which of those that are known it is most like.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingRecipe {
    /// Output of the graph, `[N, numbers]`.
    pub tensor: String,
    /// Scale the numbers so that the sum of their squares is 1.
    #[serde(default)]
    pub normalise: bool,
    /// File of the bundle with those that are known: for each a line `{"label": "...", "embedding": [...]}`.
    pub enrolled: Option<String>,
    /// Most labels of an answer, the most alike.
    #[serde(default = "EmbeddingRecipe::default_top")]
    pub top: u32,
    /// What is less alike (cosine similarity) is not told, -1 to 1.
    #[serde(default)]
    pub threshold: f32,
}

impl EmbeddingRecipe {
    fn default_top() -> u32 {
        5
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
    /// Key of the model's metadata that holds the dictionary, one entry a line, without the blank and the space.
    pub dictionary_key: Option<String>,
    /// File of the bundle that holds it instead, in the same form.
    pub dictionary: Option<String>,
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
