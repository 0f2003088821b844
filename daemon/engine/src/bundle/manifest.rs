//! What `model.toml` may say: the shape of the file and nothing about the disk. [`super::rules`] checks the values.

use serde::{Deserialize, Serialize};

use super::parts::{Need, PartKind};
use super::recipes::{InputRecipe, OutputRecipe};
use crate::protocol::{Precision, Setup};

/// A bundle's manifest. Build it with [`Manifest::parse`], which checks every value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Present if it is no model but a part of models.
    pub kind: Option<PartKind>,
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
    /// Largest stated loss of a variant that may serve encoded requests: a share of the task's measure, 0..=1.
    #[serde(default)]
    pub max_loss: f64,
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
    /// The least version of ONNX Runtime that it runs on.
    pub min_runtime: Option<String>,
    /// Of an adapter: sha256 of the graphs that it was made for.
    #[serde(default)]
    pub base: Vec<String>,
    /// Parts that it needs, which are bundles of their own.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// Every file of the bundle besides the manifest.
    pub file: Vec<FileEntry>,
}

/// What a model does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
    /// Things in a picture, each with a rectangle.
    ObjectDetection,
    /// Things in a picture, each with a rectangle and outlines.
    InstanceSegmentation,
    /// Areas of a picture, each with a label and an outline.
    Segmentation,
    /// How unlike good pictures one is, and where.
    Anomaly,
    /// Numbers that are alike for what looks alike.
    Embedding,
    /// Type of a file's content.
    FileType,
    /// Where in a sound somebody speaks.
    SpeechSegments,
    /// Tensors only; no encoded payload.
    #[default]
    Tensors,
}

impl Task {
    /// Every task.
    pub const ALL: [Task; 12] = [
        Task::TextRecognition,
        Task::TextDetection,
        Task::TextReading,
        Task::Classification,
        Task::ObjectDetection,
        Task::InstanceSegmentation,
        Task::Segmentation,
        Task::Anomaly,
        Task::Embedding,
        Task::FileType,
        Task::SpeechSegments,
        Task::Tensors,
    ];

    /// The task called `name`.
    pub fn from_name(name: &str) -> Option<Task> {
        Task::ALL.into_iter().find(|task| task.as_str() == name)
    }

    /// The word used on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::TextRecognition => "text-recognition",
            Task::TextDetection => "text-detection",
            Task::TextReading => "text-reading",
            Task::Classification => "classification",
            Task::ObjectDetection => "object-detection",
            Task::InstanceSegmentation => "instance-segmentation",
            Task::Segmentation => "segmentation",
            Task::Anomaly => "anomaly",
            Task::Embedding => "embedding",
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
#[derive(Clone, Debug, PartialEq, Deserialize)]
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
    /// Share of the task's measure that it lost against the first variant, 0..=1; absent if nobody measured it.
    pub loss: Option<f64>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Relative to the manifest.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}
