//! What is said of a bundle that is not served yet: drafted from a graph, checked, packed, signed. The records cross from
//! the daemon's binary to `edgectl models new|check|goldens|pack|sign|keygen`, and to its `--json`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A bundle that was drafted from a graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drafted {
    /// The bundle's directory.
    pub dir: String,
    /// Logical name.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// What it does.
    pub task: String,
    /// The kind of model in words.
    pub family: String,
    /// What the ONNX file says.
    pub graph: GraphFacts,
    /// Lines of the manifest that were assumed: somebody has to look at them.
    pub assumed: Vec<Assumed>,
    /// What else there is to say.
    pub remarks: Vec<String>,
    /// What the model said of the samples.
    pub samples: Vec<Sample>,
    /// Milliseconds of one run on this machine's processor; 0 if it did not run.
    pub run_ms: f64,
}

/// What an ONNX file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GraphFacts {
    /// The file.
    pub file: String,
    /// Its size; weights in files beside it not counted.
    pub bytes: u64,
    /// Version of ONNX's own operators; 0 if it does not say.
    pub opset: i64,
    /// Version of the file's form.
    pub ir_version: i64,
    /// What wrote it.
    pub producer: String,
    /// What it takes.
    pub inputs: Vec<PortFacts>,
    /// What it gives.
    pub outputs: Vec<PortFacts>,
    /// How often each operator is used, the commonest first.
    pub operators: Vec<(String, u32)>,
    /// Files beside it that hold weights.
    pub external: Vec<String>,
    /// Keys of its metadata.
    pub metadata: Vec<String>,
}

/// An input or output of a graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortFacts {
    /// As the graph calls it.
    pub name: String,
    /// Of the Open Inference Protocol; empty for what is no tensor.
    pub datatype: String,
    /// A number, or the name of what is left open.
    pub shape: Vec<String>,
}

/// A line of a manifest that the graph does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Assumed {
    /// For example `input.channels`.
    pub key: String,
    /// As it stands in the file.
    pub value: String,
    /// What it is taken from.
    pub why: String,
}

/// What a model said of one sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// The sample.
    pub file: String,
    /// The document of the bundle's task; null if there is none.
    pub result: Value,
    /// Why there is none.
    pub error: String,
    /// It was taken as a golden input.
    pub golden: bool,
}

/// What a check of a bundle found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    /// The directory or archive.
    pub path: String,
    /// Logical name; empty if the manifest cannot be read.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// Number of the key that signed it; empty if nobody did.
    pub signed_by: String,
    /// Everything for which a box would refuse it.
    pub faults: Vec<Finding>,
    /// What a box would take and somebody should know.
    pub remarks: Vec<Finding>,
    /// Golden inputs that gave their answers on this machine's processor.
    pub goldens_passed: u32,
    /// The model was loaded on this machine's processor.
    pub ran: bool,
}

/// One thing that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Finding {
    /// A file, or a key of the manifest.
    pub place: String,
    /// What is wrong there, or worth knowing.
    pub what: String,
}

/// A file that was written, or a bundle that was changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Written {
    /// What was written.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Number of the key that signs, or signed; empty if none did.
    pub key: String,
    /// The public key in one line, of a new pair of keys.
    pub public: String,
    /// What else there is to say.
    pub remarks: Vec<String>,
}

/// What the variants of a bundle are worth: quality and speed of each, on the same samples, on this machine's processor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evaluated {
    /// The directory or archive.
    pub path: String,
    /// Logical name.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// What it does.
    pub task: String,
    /// The samples.
    pub data: String,
    /// What the answers were held against: `labels`, or `first-variant` where the data has none.
    pub against: String,
    /// The measure by which variants are compared, 0 to 1, more is better.
    pub measure: String,
    /// Samples that the measures are made of.
    pub samples: u32,
    /// What of the data does not count.
    pub left_out: Vec<LeftOut>,
    /// The variants, the first of the bundle first: the others are held against it.
    pub variants: Vec<Scored>,
    /// What else there is to say.
    pub remarks: Vec<String>,
}

/// A part of the data that does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeftOut {
    /// The file.
    pub file: String,
    /// The line in it; 0 if it is about the whole file.
    pub line: u32,
    /// Why.
    pub why: String,
}

/// One variant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scored {
    /// Name within the bundle.
    pub variant: String,
    /// Size of its file.
    pub bytes: u64,
    /// Its graph carries INT8 quantisation.
    pub int8: bool,
    /// What was measured of its answers.
    pub measures: Vec<Measure>,
    /// Share of the measure that it lost against the first variant, 0 to 1; null if that cannot be told.
    pub loss: Option<f64>,
    /// Samples that the first variant answered and this one did not: they count as wrong.
    pub failed: u32,
    /// Milliseconds of a run: half of them were quicker; 0 if it did not run.
    pub run_p50_ms: f64,
    /// Milliseconds of a run: 95 of 100 were quicker.
    pub run_p95_ms: f64,
    /// Runs a second, one after the other.
    pub per_second: f64,
    /// Why it could not be measured; empty if it was.
    pub error: String,
}

/// A figure of the quality of answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measure {
    /// For example `top1`.
    pub name: String,
    /// The figure; null if it cannot be told.
    pub value: Option<f64>,
}

/// A variant that was quantised.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quantized {
    /// The bundle's directory.
    pub dir: String,
    /// Name of the new variant.
    pub variant: String,
    /// Its file within the bundle.
    pub file: String,
    /// Size of its file.
    pub bytes: u64,
    /// Size of the file that it was made of.
    pub from_bytes: u64,
    /// Samples that its scales were made of.
    pub calibrated: u32,
    /// Values of its graph that are quantised.
    pub quantized: u32,
    /// What the manifest states that it lost: the larger one of both evaluations.
    pub loss: f64,
    /// The evaluation of all samples.
    pub all: Evaluated,
    /// The evaluation of those that it was not made of; null where there were too few to keep any back.
    pub held_out: Option<Evaluated>,
    /// What else there is to say.
    pub remarks: Vec<String>,
}

/// Tensors that a recipe made of samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prepared {
    /// The directory that they lie in.
    pub dir: String,
    /// Names of the model's inputs, in the order of the numbers of their files.
    pub inputs: Vec<String>,
    /// Samples.
    pub samples: u32,
    /// What of the data was not prepared.
    pub left_out: Vec<LeftOut>,
}
