//! How outputs become documents. Must not know how a payload was read.

use serde::Deserialize;

use super::{AnomalyRecipe, ObjectsRecipe, SegmentationRecipe};

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
