//! What `model.toml` may say: the shape of the file and nothing about the disk. [`super::rules`] checks the values.

use serde::Deserialize;

use crate::protocol::{Precision, Setup};

/// A bundle's manifest. Build it with [`Manifest::parse`], which checks every value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Logical name, `[a-z0-9_-]`.
    pub name: String,
    /// Semantic version of the bundle.
    pub version: String,
    /// What the model does; it shapes the result document.
    pub task: Task,
    /// SPDX expression.
    pub licence: String,
    /// One line for people.
    pub description: String,
    /// Where the weights come from.
    #[serde(default)]
    pub source: String,
    /// Deadline of requests that name none, milliseconds.
    pub deadline_ms: u64,
    /// Builds of the model, the most wanted first; none of a pipeline.
    #[serde(default)]
    pub variant: Vec<Variant>,
    /// Inputs and outputs whose open dimensions are closed or bounded.
    #[serde(default)]
    pub tensor: Vec<TensorRule>,
    /// Present if dimension 0 of every input and output is the batch.
    pub batching: Option<Batching>,
    /// What one request may bring.
    pub limits: Limits,
    /// How an encoded payload becomes tensors.
    pub input: Option<InputRecipe>,
    /// How outputs become the result document.
    pub output: Option<OutputRecipe>,
    /// Present if it has no model of its own: the models that a request goes through.
    pub pipeline: Option<Pipeline>,
    /// Inputs with their expected answers, run before the model is served; those of a pipeline are for tests.
    #[serde(default)]
    pub golden: Vec<Golden>,
    /// Every file of the bundle besides the manifest.
    pub file: Vec<FileEntry>,
}

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Text of one line in a picture.
    TextRecognition,
    /// Where in a picture text stands.
    TextDetection,
    /// All lines of text in a picture, with their places.
    TextReading,
    /// Labels with scores.
    Classification,
    /// Type of a file's content.
    FileType,
    /// Where in a sound somebody speaks.
    SpeechSegments,
    /// Tensors only; no encoded payload.
    Tensors,
}

impl Task {
    /// The word used on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::TextRecognition => "text-recognition",
            Task::TextDetection => "text-detection",
            Task::TextReading => "text-reading",
            Task::Classification => "classification",
            Task::FileType => "file-type",
            Task::SpeechSegments => "speech-segments",
            Task::Tensors => "tensors",
        }
    }
}

/// A pipeline that reads the text of a picture: boxes around the lines are found, each is cut out, turned upright and read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Finds the lines: a model of the task text-detection.
    pub boxes: Stage,
    /// Tells which of them are upside down: a model of the task classification with the labels 0 and 180. Absent: none is.
    pub direction: Option<Stage>,
    /// Reads them: a model of the task text-recognition.
    pub text: Stage,
    /// Most lines that are read, the surest boxes.
    pub max_lines: u32,
    /// Most requests for stages that one request has open at the same time.
    pub fan_out: u16,
}

impl Pipeline {
    /// Its stages in the order in which a request comes to them.
    pub fn stages(&self) -> impl Iterator<Item = (&'static str, &Stage)> {
        let direction = self.direction.as_ref().map(|stage| ("direction", stage));
        [("boxes", &self.boxes)].into_iter().chain(direction).chain([("text", &self.text)])
    }
}

/// A model that a pipeline asks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name.
    pub model: String,
    /// One to three numbers that its version begins with, such as `1` or `1.2`. Absent: any.
    pub version: Option<String>,
    /// What it says with less certainty counts as not said: no box, upright, no text.
    #[serde(default)]
    pub min_score: f64,
}

impl Stage {
    /// Whether a version is one that it takes.
    pub fn takes(&self, version: &str) -> bool {
        let Some(wanted) = &self.version else { return true };
        let numbers = version.split(['-', '+']).next().unwrap_or_default();
        numbers.split('.').zip(wanted.split('.')).all(|(have, wanted)| have == wanted)
    }
}

/// One build of the model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Name within the bundle.
    pub name: String,
    /// The ONNX file.
    pub file: String,
    /// Execution providers that may run it, the most wanted first; one of them does. Without `cpu` no node may fall to the
    /// CPU.
    pub providers: Vec<String>,
    /// Intra-op threads of one session.
    pub threads: u16,
    /// Sessions side by side.
    pub instances: u16,
    /// Let the runtime plan its memory once for each shape of input and keep the plan: a few per cent faster. For models
    /// whose requests have few shapes, because no plan is ever given back.
    #[serde(default)]
    pub memory_pattern: bool,
    /// The graph carries INT8 quantisation (QuantizeLinear, DequantizeLinear) that TensorRT is to compute with.
    #[serde(default)]
    pub int8: bool,
    /// Which sizes its inputs may have. Whatever provider runs it: what is accepted must not depend on that.
    #[serde(default)]
    pub profile: Vec<Profile>,
}

/// The sizes of one input for which a provider that compiles for shapes (TensorRT) compiles. A request beyond them is
/// refused: compiling again takes minutes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// An input of the graph.
    pub tensor: String,
    /// Smallest size of each dimension.
    pub min: Vec<i64>,
    /// The size that it is made fastest for.
    pub opt: Vec<i64>,
    /// Largest size of each dimension; in a batch of several requests, of all together.
    pub max: Vec<i64>,
}

impl Variant {
    /// The ways to run it that the manifest names, the most wanted first.
    pub fn setups(&self) -> impl Iterator<Item = Setup> {
        self.providers.iter().map(|provider| Setup {
            variant: self.name.clone(),
            provider: provider.clone(),
            precision: Precision::Exact,
            threads: self.threads,
            instances: self.instances,
        })
    }
}

/// Closes or bounds what the graph leaves open.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorRule {
    /// An input or output of the graph.
    pub name: String,
    /// -1 stays open.
    pub shape: Vec<i64>,
    /// Largest size of each dimension; empty for no bound.
    #[serde(default)]
    pub max: Vec<i64>,
    /// What the size of each dimension must be a multiple of; empty for any size.
    #[serde(default)]
    pub multiple: Vec<i64>,
}

/// Requests that may run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batching {
    /// Most members of one batch; 1 where measuring showed no gain.
    pub max: u16,
}

/// What one request may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Payload, or all tensors together, bytes.
    pub payload_bytes: u64,
    /// Pixels of a decoded picture.
    pub pixels: Option<u64>,
    /// Length of a sound, seconds.
    pub seconds: Option<u32>,
}

/// How an encoded payload becomes tensors.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum InputRecipe {
    /// A JPEG or PNG that shows one line.
    Image(ImageRecipe),
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

/// An input with its expected answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The payload; a JSON file of tensors if there is no `content_type`.
    pub input: String,
    /// Content type of an encoded payload.
    pub content_type: Option<String>,
    /// The expected document, or a JSON file of tensors.
    pub expected: String,
    /// Numbers may differ by this times max(1, |expected|); in a tensor, times max(1, its largest |expected|).
    pub tolerance: f64,
}

/// One file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Relative to the manifest.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}
