//! Parts: bundles that are no models, and that models are made of. Which kinds there are, what a model says of the parts that
//! it needs, and whether a part is one of them. Pure, but for the names in an adapter's file.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::range;

/// How a recipe names a file of a part: `part:NAME/FILE`.
pub const PREFIX: &str = "part:";
/// What an adapter's file ends with.
pub const ADAPTER: &str = ".onnx_adapter";
/// Largest file of an adapter that is read.
const MOST_BYTES: u64 = 2 << 30;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartKind {
    /// Values of a graph's optional inputs: LoRA, in ONNX Runtime's own form.
    Adapter,
    /// What text is cut into, and made of: a dictionary, a `tokenizer.json`.
    Tokenizer,
    /// What answers are called, or compared with.
    Labels,
    /// Files of weights that a graph refers to.
    Weights,
}

impl PartKind {
    /// The word used on every surface.
    pub fn as_str(self) -> &'static str {
        match self {
            PartKind::Adapter => "adapter",
            PartKind::Tokenizer => "tokenizer",
            PartKind::Labels => "labels",
            PartKind::Weights => "weights",
        }
    }

    /// Whether recipes read its files.
    pub fn is_read(self) -> bool {
        matches!(self, PartKind::Tokenizer | PartKind::Labels)
    }
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part that a model needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// What it is.
    pub kind: PartKind,
    /// The part's name.
    pub name: String,
    /// The versions that it takes, such as `^1.2`.
    pub version: String,
}

/// What is known of a part when it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a> {
    pub kind: PartKind,
    pub name: &'a str,
    pub version: &'a str,
    /// sha256 of the graphs that it was made for; empty for any.
    pub base: &'a [String],
}

/// Why a part is not for a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartFault {
    #[error("it needs the {kind} {name} {version}, which is not here", kind = .0.kind, name = .0.name, version = .0.version)]
    Missing(Need),
    #[error("it needs the {kind} {name}, and {name} is of the kind {found}", kind = need.kind, name = need.name)]
    Kind { need: Need, found: PartKind },
    #[error("it needs {name} {version}, and {name} is {found}", name = need.name, version = need.version)]
    Version { need: Need, found: String },
    #[error("the adapter {name}:{version} was made for other graphs than its {graph}: make it again for this one")]
    Base { name: String, version: String, graph: String },
    #[error("the adapter {0} has {1}, which no optional input of the graph is called")]
    Parameter(String, String),
    #[error("{0}: its file is no adapter of ONNX Runtime")]
    Malformed(String),
}

/// Whether a part is what a model needs, whose graphs have these digests.
pub fn fits(need: &Need, graphs: &[String], part: Offered<'_>) -> Result<(), PartFault> {
    if part.kind != need.kind {
        return Err(PartFault::Kind { need: need.clone(), found: part.kind });
    }
    if !range::takes(&need.version, part.version) {
        return Err(PartFault::Version { need: need.clone(), found: part.version.to_owned() });
    }
    let foreign = graphs.iter().find(|graph| !part.base.is_empty() && !part.base.contains(graph));
    foreign.map_or(Ok(()), |graph| {
        let graph = format!("sha256 {}", graph.get(..12).unwrap_or(graph));
        Err(PartFault::Base { name: part.name.to_owned(), version: part.version.to_owned(), graph })
    })
}

impl Manifest {
    /// Digests of the graphs of all variants, each once.
    pub fn graphs(&self) -> Vec<String> {
        let mut graphs: Vec<String> =
            self.variant.iter().filter_map(|variant| self.digest(&variant.file)).map(str::to_owned).collect();
        graphs.sort();
        graphs.dedup();
        graphs
    }

    /// What it offers, if it is a part.
    pub fn offered(&self) -> Option<Offered<'_>> {
        Some(Offered { kind: self.kind?, name: &self.name, version: &self.version, base: &self.base })
    }
}

/// Names of the values in an adapter's file.
pub fn parameters(path: &Path) -> std::io::Result<Option<Vec<String>>> {
    let size = std::fs::metadata(path)?.len();
    if size > MOST_BYTES {
        return Err(std::io::Error::other(format!("larger than {MOST_BYTES} bytes")));
    }
    Ok(names(&std::fs::read(path)?))
}

/// The same of its bytes: a FlatBuffer, whose root has a vector of tables at its fourth field, each with a name at its
/// first. `None` if it is not of that form.
fn names(bytes: &[u8]) -> Option<Vec<String>> {
    let number = |at: usize| -> Option<usize> {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(four)).ok()
    };
    let short = |at: usize| -> Option<usize> {
        let two: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(usize::from(u16::from_le_bytes(two)))
    };
    // Where the field of a table is, 0 if it is absent; its description lies before it mostly, so that the way there may be
    // negative.
    let field = |table: usize, index: usize| -> Option<usize> {
        let four: [u8; 4] = bytes.get(table..table.checked_add(4)?)?.try_into().ok()?;
        let description = i64::try_from(table).ok()? - i64::from(i32::from_le_bytes(four));
        let description = usize::try_from(description).ok()?;
        let at = 4 + 2 * index;
        let offset = if at + 2 <= short(description)? { short(description.checked_add(at)?)? } else { 0 };
        Some(if offset == 0 { 0 } else { table.checked_add(offset)? })
    };
    let follow = |at: usize| at.checked_add(number(at)?);
    let root = follow(0)?;
    if bytes.get(4..8) != Some(b"TORT") {
        return None;
    }
    let vector = match field(root, 3)? {
        0 => return Some(Vec::new()),
        vector => follow(vector)?,
    };
    let count = number(vector)?;
    if count > bytes.len() / 4 {
        return None;
    }
    let name = |at: usize| {
        let table = follow(vector.checked_add(4 + 4 * at)?)?;
        let text = follow(field(table, 0).filter(|at| *at != 0)?)?;
        let from = text.checked_add(4)?;
        let text = bytes.get(from..from.checked_add(number(text)?)?)?;
        String::from_utf8(text.to_vec()).ok()
    };
    (0..count).map(name).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn need() -> Need {
        Need { kind: PartKind::Adapter, name: "tone".into(), version: "^1.2".into() }
    }

    #[test]
    fn a_part_of_another_kind_version_or_base_is_refused_by_name() {
        let (graph, other) = ("a".repeat(64), "b".repeat(64));
        let (base, both) = ([graph.clone()], [graph.clone(), other.clone()]);
        let said = |kind, version, graphs: &[String], base: &[String]| {
            let part = Offered { kind, name: "tone", version, base };
            fits(&need(), graphs, part).map_err(|fault| fault.to_string()).err().unwrap_or_default()
        };
        assert_eq!(said(PartKind::Adapter, "1.4.0", &base, &both), "");
        assert_eq!(said(PartKind::Adapter, "1.4.0", &base, &[]), "");
        let cases = [
            (
                said(PartKind::Labels, "1.4.0", &base, &base),
                "it needs the adapter tone, and tone is of the kind labels",
            ),
            (said(PartKind::Adapter, "2.0.0", &base, &base), "it needs tone ^1.2, and tone is 2.0.0"),
            (said(PartKind::Adapter, "1.2.0", &both, &base), "was made for other graphs than its sha256 bbbbbbbbbbbb"),
            (PartFault::Missing(need()).to_string(), "it needs the adapter tone ^1.2, which is not here"),
        ];
        for (said, expected) in cases {
            assert!(said.contains(expected), "{said}\ninstead of\n{expected}");
        }
    }

    #[test]
    fn the_names_of_an_adapter_are_read_from_its_file() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../onnx-models/test/tone/tone.onnx_adapter");
        let mut names = parameters(Path::new(file)).unwrap().unwrap();
        names.sort();
        assert_eq!(names, ["lora_a", "lora_b"]);
    }

    proptest! {
        #[test]
        fn whatever_an_adapters_file_holds_is_taken_apart_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..2000, with in any::<u8>()
        ) {
            let _ = names(&bytes);
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../onnx-models/test/tone/tone.onnx_adapter");
            let mut real = std::fs::read(file).unwrap();
            let place = at % real.len();
            real[place] = with;
            let _ = names(&real);
        }
    }
}
