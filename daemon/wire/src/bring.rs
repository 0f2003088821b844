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
