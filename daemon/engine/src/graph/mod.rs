//! What an ONNX file says of itself: inputs, outputs, operators, opsets, metadata, files beside it. Reads the file and
//! nothing else; whether the runtime can run it is the engine host's to find out.

mod proto;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use prost::Message;

use crate::protocol::Datatype;

/// Largest file: the format ends at 2 GiB, larger weights lie in files beside it.
const MOST_BYTES: u64 = 2 << 30;

/// Why a graph cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    #[error("read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} has {bytes} bytes: an ONNX file has at most {MOST_BYTES}")]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{path} is no ONNX file")]
    Malformed {
        path: PathBuf,
        #[source]
        source: prost::DecodeError,
    },
    #[error("{path} is no ONNX file: {what}")]
    Empty { path: PathBuf, what: &'static str },
}

/// What a graph takes or gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// `None` for what is no tensor, or of elements that no request can bring.
    pub datatype: Option<Datatype>,
    /// Empty for a scalar, and where the file does not say.
    pub sizes: Vec<Size>,
    /// The operator that makes it; empty for an input.
    pub made_by: String,
}

/// One dimension of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Size {
    Fixed(i64),
    /// Open, with the name that the exporter gave it.
    Open(String),
}

impl Port {
    /// Sizes as manifests have them: -1 for an open one.
    pub fn shape(&self) -> Vec<i64> {
        let size = |size: &Size| match size {
            Size::Fixed(size) => *size,
            Size::Open(_) => -1,
        };
        self.sizes.iter().map(size).collect()
    }
}

/// An ONNX file, without its weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Size of the file.
    pub bytes: u64,
    pub ir_version: i64,
    /// Name and version of what wrote it.
    pub producer: String,
    /// By domain; the empty one is ONNX's own.
    pub opsets: BTreeMap<String, i64>,
    pub metadata: BTreeMap<String, String>,
    /// Without those that the file gives a value to.
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// How often each operator is used, subgraphs and functions included; by domain and name.
    pub operators: BTreeMap<(String, String), u32>,
    /// Files beside it that hold weights, as it names them.
    pub external: BTreeSet<String>,
}

impl Graph {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Graph, GraphError> {
        let failed = |source| GraphError::Read { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length > MOST_BYTES {
            return Err(GraphError::TooLarge { path: path.to_owned(), bytes: length });
        }
        Graph::parse(&bytes, path)
    }

    /// Reads the bytes of the file at `path`.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Graph, GraphError> {
        let malformed = |source| GraphError::Malformed { path: path.to_owned(), source };
        let empty = |what| GraphError::Empty { path: path.to_owned(), what };
        let model = proto::Model::decode(bytes).map_err(malformed)?;
        let graph = model.graph.as_ref().ok_or_else(|| empty("it has no graph"))?;
        if graph.node.is_empty() || graph.output.is_empty() {
            return Err(empty("its graph does nothing"));
        }
        let mut found = Graph {
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            ir_version: model.ir_version,
            producer: [model.producer_name.as_str(), model.producer_version.as_str()].join(" ").trim().to_owned(),
            opsets: model.opset_import.iter().map(|opset| (opset.domain.clone(), opset.version)).collect(),
            metadata: model.metadata_props.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect(),
            ..Graph::default()
        };
        let given: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        found.inputs = graph.input.iter().filter(|input| !given.contains(input.name.as_str())).map(port).collect();
        let makers = makers(graph);
        let made_by = |name: &str| makers.get(name).copied().unwrap_or_default().to_owned();
        found.outputs =
            graph.output.iter().map(|output| Port { made_by: made_by(&output.name), ..port(output) }).collect();
        found.walk(graph);
        model.functions.iter().for_each(|function| found.walk_nodes(&function.node));
        Ok(found)
    }

    /// The version of ONNX's own operators; 0 if the file does not say.
    pub fn opset(&self) -> i64 {
        self.opsets.get("").or_else(|| self.opsets.get("ai.onnx")).copied().unwrap_or(0)
    }

    /// Whether an operator of ONNX's own is used.
    pub fn uses(&self, operator: &str) -> bool {
        self.operators.contains_key(&(String::new(), operator.to_owned()))
    }

    fn walk(&mut self, graph: &proto::Graph) {
        graph.initializer.iter().for_each(|tensor| self.note_external(tensor));
        self.walk_nodes(&graph.node);
    }

    fn walk_nodes(&mut self, nodes: &[proto::Node]) {
        for node in nodes {
            let domain = if node.domain == "ai.onnx" { "" } else { node.domain.as_str() };
            *self.operators.entry((domain.to_owned(), node.op_type.clone())).or_default() += 1;
            for attribute in &node.attribute {
                attribute.t.iter().for_each(|tensor| self.note_external(tensor));
                attribute.g.iter().for_each(|graph| self.walk(graph));
                attribute.graphs.iter().for_each(|graph| self.walk(graph));
            }
        }
    }

    fn note_external(&mut self, tensor: &proto::Tensor) {
        let place = tensor.external_data.iter().find(|entry| entry.key == "location");
        self.external.extend(place.map(|entry| entry.value.clone()));
    }
}

/// The operator that makes each value, by its name; the first one, should there be several.
fn makers(graph: &proto::Graph) -> BTreeMap<&str, &str> {
    let mut makers = BTreeMap::new();
    for node in &graph.node {
        for output in &node.output {
            makers.entry(output.as_str()).or_insert(node.op_type.as_str());
        }
    }
    makers
}

fn port(value: &proto::Value) -> Port {
    let tensor = value.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let size = |size: &proto::Dimension| match (size.dim_value, &size.dim_param) {
        // Some exporters write 0 or less for what is open.
        (Some(value), _) if value > 0 => Size::Fixed(value),
        (_, name) => Size::Open(name.clone().unwrap_or_default()),
    };
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    Port {
        name: value.name.clone(),
        datatype: tensor.and_then(|tensor| datatype(tensor.elem_type)),
        sizes: shape.map(|shape| shape.dim.iter().map(size).collect()).unwrap_or_default(),
        made_by: String::new(),
    }
}

/// `TensorProto.DataType`.
fn datatype(number: i32) -> Option<Datatype> {
    Some(match number {
        1 => Datatype::Fp32,
        2 => Datatype::Uint8,
        3 => Datatype::Int8,
        4 => Datatype::Uint16,
        5 => Datatype::Int16,
        6 => Datatype::Int32,
        7 => Datatype::Int64,
        8 => Datatype::Bytes,
        9 => Datatype::Bool,
        10 => Datatype::Fp16,
        11 => Datatype::Fp64,
        12 => Datatype::Uint32,
        13 => Datatype::Uint64,
        16 => Datatype::Bf16,
        _ => return None,
    })
}
